//! RPM repositories: one per architecture, with the packages for all architectures in each, and one
//! for the sources.
//!
//! ```text
//! x86_64/Packages/t/tree-2.1.0-1.x86_64.rpm
//! x86_64/repodata/repomd.xml
//! source/Packages/t/tree-2.1.0-1.src.rpm
//! source/repodata/repomd.xml
//! ```

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use pipeline_spec::Sha256Digest;
use repo_rpm::cache::DirCache;
use repo_rpm::repodata::{self, Form, FragmentSource, Member, Options, REPOMD};
use repo_rpm::{Fragment, Package, Sha256};
use runner_agent::{Halt, Job};
use runner_api::{Artifact, ArtifactKind, ComposeTask, Placed, TreeFile};

use crate::cache::{Cache, Fragments, Used};
use crate::tree::Made;
use crate::unfit;

/// Folder of the source packages, beside the architectures'.
const SOURCE: &str = "source";

/// Members of each folder.
type Folders = BTreeMap<String, Vec<Member>>;

pub(crate) async fn make(
    job: &Job,
    task: &ComposeTask,
    content: Vec<Placed>,
    cache: &Arc<Cache>,
    time: u64,
) -> Result<Made, Halt> {
    let fragments = cache.fragments(&format!("rpm-{}", Fragment::FORMAT));
    let packages = content.iter().map(|placed| &placed.artifact);
    fragments.complete(job, packages, render).await?;
    let (folders, packages) = place(task, &content)?;
    let mut used = Used::default();
    for placed in &content {
        let path = fragments.path(&placed.artifact.sha256.to_string());
        used.0.insert(cache.spell(&path));
    }
    let mut made = Made {
        packages,
        used,
        ..Made::default()
    };
    let cache = Arc::clone(cache);
    let write = move || {
        write_all(folders, &fragments, &cache, time, &mut made)?;
        Ok(made)
    };
    tokio::task::spawn_blocking(write)
        .await
        .map_err(|_| Halt::trouble("write the repodata: the writer panicked"))?
}

/// Which package lies where.
fn place(
    task: &ComposeTask,
    content: &[Placed],
) -> Result<(Folders, Vec<(String, TreeFile)>), Halt> {
    let served: Vec<&str> = task
        .layout
        .architectures
        .iter()
        .map(|arch| arch.as_str())
        .collect();
    let every_folder = served.iter().copied().chain([SOURCE]);
    let mut folders: Folders = every_folder
        .map(|name| (name.to_owned(), Vec::new()))
        .collect();
    let mut packages = Vec::new();
    for Placed { artifact, .. } in content {
        let location = location(artifact)?;
        for folder in folders_of(artifact, &served)? {
            packages.push((
                format!("{folder}/{location}"),
                TreeFile {
                    sha256: artifact.sha256,
                    size: artifact.size,
                },
            ));
            folders
                .get_mut(folder)
                .expect("a folder of every served architecture was made")
                .push(Member {
                    location: location.clone(),
                    sha256: Sha256(*artifact.sha256.as_bytes()),
                });
        }
    }
    Ok((folders, packages))
}

fn folders_of<'a>(artifact: &Artifact, served: &[&'a str]) -> Result<Vec<&'a str>, Halt> {
    let arch = artifact
        .package
        .as_ref()
        .map_or("", |package| &package.arch);
    match artifact.kind {
        ArtifactKind::Srpm => Ok(vec![SOURCE]),
        ArtifactKind::Rpm if arch == "noarch" => Ok(served.to_vec()),
        ArtifactKind::Rpm => match served.iter().find(|name| **name == arch) {
            Some(name) => Ok(vec![*name]),
            None => Err(unfit(format!(
                "{} is for {arch}, and the repository has only {}. Add the architecture to the repository, or refuse the package there.",
                artifact.name,
                served.join(", ")
            ))),
        },
        _ => Err(unfit(format!(
            "{} is no RPM package, and the repository has format rpm.",
            artifact.name
        ))),
    }
}

/// `Packages/t/tree-2.1.0-1.x86_64.rpm`.
fn location(artifact: &Artifact) -> Result<String, Halt> {
    let name = &artifact.name;
    match name.chars().next() {
        Some(first) if first.is_ascii_alphanumeric() && !name.contains('/') => {
            Ok(format!("Packages/{}/{name}", first.to_ascii_lowercase()))
        }
        _ => Err(unfit(format!(
            "{name:?} is no name for a package: it has to begin with a letter or digit and have no '/'."
        ))),
    }
}

/// What the indexes say of one package, after a look whether it is the one that was recorded.
fn render(artifact: &Artifact, file: &Path) -> Result<Fragment, Halt> {
    let name = &artifact.name;
    let reader = File::open(file)
        .map(BufReader::new)
        .map_err(|cause| Halt::trouble(format!("open {}: {cause}", file.display())))?;
    let package = Package::read(reader)
        .map_err(|error| unfit(format!("{name} cannot be published: failed to {error}.")))?;
    let found = (&package.name, package.evr(), &package.arch);
    match &artifact.package {
        Some(claim) if (&claim.name, claim.version.clone(), &claim.arch) == found => {
            Ok(Fragment::render(&package))
        }
        _ => Err(unfit(format!(
            "{name} cannot be published: its header says {}, which is not what its build recorded.",
            package.nevra()
        ))),
    }
}

fn write_all(
    folders: Folders,
    fragments: &Fragments,
    cache: &Cache,
    time: u64,
    made: &mut Made,
) -> Result<(), Halt> {
    let blocks = DirCache::new(cache.blocks("rpm"));
    let options = Options {
        revision: time,
        form: Form::Zstd,
        threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
    };
    for (folder, members) in folders {
        let written = repodata::write(members, &Cached(fragments), &blocks, options)
            .map_err(|error| explain(&folder, error))?;
        let files = written
            .files
            .into_iter()
            .chain([(REPOMD.to_owned(), written.repomd)]);
        let files = files.map(|(path, bytes)| (format!("{folder}/{path}"), bytes.into()));
        made.metadata.extend(files);
        made.unsigned.insert(format!("{folder}/{REPOMD}"));
        for key in written.blocks {
            let name = key.to_string();
            let path = cache.blocks("rpm").join(&name[..2]).join(&name);
            made.used.0.insert(cache.spell(&path));
        }
    }
    Ok(())
}

fn explain(folder: &str, error: repo_rpm::Error) -> Halt {
    match error {
        repo_rpm::Error::Location { .. } | repo_rpm::Error::Duplicate { .. } => {
            unfit(format!("{folder} cannot be composed: failed to {error}."))
        }
        error => Halt::infrastructure(error),
    }
}

struct Cached<'a>(&'a Fragments);

impl FragmentSource for Cached<'_> {
    fn fragment(
        &self,
        sha256: &Sha256,
    ) -> Result<Cow<'_, Fragment>, Box<dyn std::error::Error + Send + Sync>> {
        let fragment: Fragment = self.0.get(&Sha256Digest::new(sha256.0))?;
        if fragment.sha256() != *sha256 {
            return Err("the cached metadata is another package's".into());
        }
        Ok(Cow::Owned(fragment))
    }
}
