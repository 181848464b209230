//! The source task: a .dsc and its files, and what they say.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};
use pipeline_spec::Sha256Digest;
use runner_agent::{Halt, Job};
use runner_api::{
    Artifact, ArtifactKind, BuiltPackage, Facts, FailureKind, Outcome, SourceTask, Step,
};
use runner_build::{Blame, Fetched, Room, fetch};
use sandbox::Command;

use crate::control;
use crate::root::{Roots, workspace_with};

/// Largest debian/control and .dsc, in bytes.
const MAX_TEXT_BYTES: u64 = 8 * 1024 * 1024;

pub(crate) async fn make(roots: &Roots, job: &Job, task: &SourceTask) -> Result<Outcome, Halt> {
    let input = job.dir().join("in");
    std::fs::create_dir_all(&input).map_err(Halt::infrastructure)?;
    let fetched = fetch(job, &task.origin, &input, listed).await?;
    let arch = task.target.architectures.primary();
    let (root, _) = roots.base(job, &task.target, &task.keys, arch).await?;
    job.step(Step::Source);
    let room = workspace_with(roots, job, &root, &task.limits).await?;
    let dsc_name = match &fetched {
        Fetched::Dsc(path) => file_name(path),
        Fetched::Tree(tree, time) => package_tree(&room, &input, tree, *time).await?,
        Fetched::Srpm(_) => {
            let message = "a source RPM cannot be built for a Debian platform: name a .dsc or a git tree with debian/";
            return Err(Halt::failed(FailureKind::SourcePackage, message));
        }
    };
    // Unpacked in the sandbox: applying a stranger's patches is running a stranger's input.
    let unpack = Command::build(["sh", "-ec", UNPACK, "sh", &dsc_name])
        .bind_read_only(&input, "/in")
        .writable("/build")
        .current_dir("/build");
    room.run(
        &unpack,
        "unpack the source package",
        Blame::Package(FailureKind::SourcePackage),
    )
    .await?;
    let read = |path: String| {
        let room = &room;
        async move {
            room.workspace()
                .read(&path, MAX_TEXT_BYTES)
                .await
                .map_err(|error| {
                    Halt::failed(
                        FailureKind::SourcePackage,
                        format!("the source has no readable {path}: {error}"),
                    )
                })
        }
    };
    let control = read("/build/source/debian/control".to_owned()).await?;
    let dsc = read(format!("/build/{dsc_name}")).await?;
    let facts = control::facts(&dsc, &control, &task.target.architectures)?;
    let artifacts = collect(&room, job, &dsc_name, &dsc, &facts).await?;
    room.close().await;
    Ok(Outcome::Succeeded {
        artifacts,
        facts: Facts::Source(facts),
    })
}

const UNPACK: &str = "
if [ ! -e \"$1\" ]; then cp /in/* .; fi
dpkg-source --no-check -x \"$1\" source
";

/// The files that a .dsc lists. The planner's digest covers the .dsc, and this covers the files.
fn listed(dsc: &[u8]) -> Result<Vec<(String, Sha256Digest)>, Halt> {
    let dsc = repo_deb::source::Dsc::parse(dsc).map_err(|error| {
        Halt::failed(
            FailureKind::SourcePackage,
            format!("the .dsc cannot be read: {error}"),
        )
    })?;
    dsc.files
        .iter()
        .map(|file| {
            let digest = file.sha256.to_string().parse().map_err(|_| {
                Halt::failed(
                    FailureKind::SourcePackage,
                    format!("the .dsc has no SHA-256 for {}", file.name),
                )
            })?;
            Ok((file.name.to_string(), digest))
        })
        .collect()
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// Makes a source package of a git tree; answers the name of its .dsc in `/build`.
async fn package_tree(
    room: &Room<'_>,
    input: &Path,
    tree: &Path,
    time: i64,
) -> Result<String, Halt> {
    let broken = |message: String| Halt::failed(FailureKind::SourcePackage, message);
    let changelog = read_inside(tree, "debian/changelog")
        .ok_or_else(|| broken("the tree has no debian/changelog: is `subdir` right?".to_owned()))?;
    let (source, version) = first_entry(&changelog).ok_or_else(|| {
        broken("the first line of debian/changelog is not `package (version) suite; …`".to_owned())
    })?;
    let format = read_inside(tree, "debian/source/format").unwrap_or_default();
    if format.trim_ascii() == b"3.0 (quilt)" {
        let upstream = upstream_version(&version);
        let archive = input.join(format!("{source}_{upstream}.orig.tar.gz"));
        let (tree, prefix) = (tree.to_owned(), format!("{source}-{upstream}"));
        let packed =
            tokio::task::spawn_blocking(move || pack_upstream(&tree, &archive, &prefix, time));
        packed
            .await
            .map_err(Halt::infrastructure)?
            .map_err(Halt::infrastructure)?;
    }
    let relative = tree.strip_prefix(input).map_err(Halt::infrastructure)?;
    let inside = format!("/in/{}", relative.display());
    let pack = Command::build(["sh", "-ec", PACK, "sh", &inside])
        .env("SOURCE_DATE_EPOCH", time.to_string())
        .bind_read_only(input, "/in")
        .writable("/build")
        .current_dir("/build");
    room.run(
        &pack,
        "make the source package",
        Blame::Package(FailureKind::SourcePackage),
    )
    .await?;
    let entries = room
        .workspace()
        .list("/build")
        .await
        .map_err(Halt::infrastructure)?;
    entries
        .into_iter()
        .map(|entry| entry.name)
        .find(|name| name.ends_with(".dsc"))
        .ok_or_else(|| broken("dpkg-source made no .dsc".to_owned()))
}

const PACK: &str = "
cp -a \"$1\" tree
for file in /in/*.orig.tar.*; do if [ -e \"$file\" ]; then cp \"$file\" .; fi; done
dpkg-source -b tree
rm -rf tree
";

/// The beginning of a regular file of the tree. Links of the tree are followed, but not out of it, where
/// a device or a file of the runner could be.
fn read_inside(tree: &Path, path: &str) -> Option<Vec<u8>> {
    let root = std::fs::canonicalize(tree).ok()?;
    let file = std::fs::canonicalize(tree.join(path)).ok()?;
    if !file.starts_with(&root) || !file.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(file).ok()?;
    file.take(MAX_TEXT_BYTES).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// `package (version) suite; …`, with names that are safe in file names.
fn first_entry(changelog: &[u8]) -> Option<(String, String)> {
    let text = String::from_utf8_lossy(changelog);
    let line = text.lines().find(|line| !line.trim().is_empty())?;
    let (source, rest) = line.split_once(" (")?;
    let (version, _) = rest.split_once(')')?;
    let plain = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+-.:~".contains(c))
    };
    (plain(source) && plain(version)).then(|| (source.to_owned(), version.to_owned()))
}

fn upstream_version(version: &str) -> &str {
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    version
        .rsplit_once('-')
        .map_or(version, |(upstream, _)| upstream)
}

/// The tree without debian/, as an upstream archive: sorted, owned by nobody, at the commit's time, so
/// that the same commit gives the same bytes.
fn pack_upstream(tree: &Path, archive: &Path, prefix: &str, time: i64) -> std::io::Result<()> {
    let mut paths: Vec<PathBuf> = Vec::new();
    let mut queue = vec![PathBuf::new()];
    while let Some(directory) = queue.pop() {
        for entry in std::fs::read_dir(tree.join(&directory))? {
            let entry = entry?;
            let path = directory.join(entry.file_name());
            if path == Path::new("debian") {
                continue;
            }
            if entry.file_type()?.is_dir() {
                queue.push(path.clone());
            }
            paths.push(path);
        }
    }
    paths.sort();
    let file = std::fs::File::create_new(archive)?;
    let mut tar = tar::Builder::new(
        GzBuilder::new()
            .mtime(0)
            .write(file, Compression::default()),
    );
    tar.follow_symlinks(false);
    for path in paths {
        let full = tree.join(&path);
        let meta = std::fs::symlink_metadata(&full)?;
        let mut header = tar::Header::new_gnu();
        header.set_metadata_in_mode(&meta, tar::HeaderMode::Deterministic);
        header.set_mtime(u64::try_from(time).unwrap_or(0));
        let name = Path::new(prefix).join(&path);
        if meta.is_symlink() {
            header.set_size(0);
            tar.append_link(&mut header, &name, std::fs::read_link(&full)?)?;
        } else if meta.is_dir() {
            header.set_size(0);
            tar.append_data(&mut header, &name, std::io::empty())?;
        } else {
            header.set_size(meta.len());
            tar.append_data(&mut header, &name, std::fs::File::open(&full)?)?;
        }
    }
    tar.into_inner()?.finish()?.sync_all()
}

async fn collect(
    room: &Room<'_>,
    job: &Job,
    dsc_name: &str,
    dsc: &[u8],
    facts: &runner_api::SourceFacts,
) -> Result<Vec<Artifact>, Halt> {
    let out = job.dir().join("out");
    std::fs::create_dir_all(&out).map_err(Halt::infrastructure)?;
    let package = BuiltPackage {
        name: facts.name.clone(),
        version: facts.version.clone(),
        arch: "source".to_owned(),
        source: facts.name.clone(),
    };
    let path = out.join(dsc_name);
    room.copy_out(&format!("/build/{dsc_name}"), &path).await?;
    let mut artifacts = vec![
        job.store(&path, dsc_name, ArtifactKind::Dsc, Some(package))
            .await?,
    ];
    for (name, digest) in listed(dsc)? {
        let path = out.join(&name);
        room.copy_out(&format!("/build/{name}"), &path).await?;
        let artifact = job
            .store(&path, &name, ArtifactKind::SourceFile, None)
            .await?;
        if artifact.sha256 != digest {
            let message = format!(
                "{name} has the SHA-256 {}, but the .dsc says {digest}",
                artifact.sha256
            );
            return Err(Halt::failed(FailureKind::ChecksumMismatch, message));
        }
        artifacts.push(artifact);
    }
    Ok(artifacts)
}
