//! How long it takes to publish many small packages, and one more: this crate beside reprepro and apt-ftparchive.
//!
//! `repo_deb_bench compare COUNT DIRECTORY` makes COUNT packages below the empty DIRECTORY and prints one JSON object;
//! every time is the wall time of whole processes, in seconds. Ours signs and writes xz too; the others are spared both.
//! `repo_deb_bench publish DIRECTORY PACKAGE…` is the process it times: adds packages to a repository and publishes it.

#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark reads files and the clock and starts programs"
)]

use std::collections::HashMap;
use std::env::args;
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use openpgp::{KeyKind, SigningKey};
use repo_deb::package::{self, Contents};
use repo_deb::{
    Content, DirectoryCache, Entry, Fragment, Placed, Sha256Digest, StoreError, Suite, compose,
    sign_release,
};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// 2024-03-09 16:00:00 UTC.
const DATE: u64 = 1_710_000_000;
/// How often "one more" is measured; the median is printed.
const ROUNDS: usize = 7;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["compare", count, directory] => compare(count.parse()?, Path::new(directory)),
        ["publish", directory, packages @ ..] => publish(Path::new(directory), packages),
        _ => Err("usage: repo_deb_bench compare COUNT DIRECTORY".into()),
    }
}

fn compare(count: usize, root: &Path) -> Outcome<()> {
    let first = root.join("first");
    fs::create_dir_all(&first)?;
    let packages = (0..count)
        .map(|n| make_package(&first, n))
        .collect::<Outcome<Vec<_>>>()?;
    let more = root.join("more");
    fs::create_dir_all(&more)?;
    let more = (count..count + ROUNDS)
        .map(|n| make_package(&more, n))
        .collect::<Outcome<Vec<_>>>()?;

    let ours = Ours {
        root: root.join("ours"),
    };
    let ours_scratch = timed(|| ours.publish(&packages))?;
    let ours_one_more = median(&more, |package| ours.publish(std::slice::from_ref(package)))?;
    let again = Ours {
        root: root.join("again"),
    };
    again.publish(&[packages.clone(), more.clone()].concat())?;
    let same_bytes = fs::read(ours.in_release())? == fs::read(again.in_release())?;

    let archive = Archive {
        root: root.join("apt-ftparchive"),
    };
    archive.add(&packages)?;
    let archive_scratch = timed(|| archive.index())?;
    let archive_one_more = median(&more, |package| {
        archive.add(std::slice::from_ref(package))?;
        archive.index()
    })?;

    let reprepro = Reprepro {
        root: root.join("reprepro"),
    };
    reprepro.configure()?;
    let reprepro_scratch = timed(|| reprepro.include(&packages))?;
    let reprepro_one_more = median(&more, |package| {
        reprepro.include(std::slice::from_ref(package))
    })?;

    let result = serde_json::json!({
        "packages": count,
        "same_bytes_as_from_scratch": same_bytes,
        "from_scratch": { "millrace": ours_scratch, "apt-ftparchive": archive_scratch, "reprepro": reprepro_scratch },
        "one_more": { "millrace": ours_one_more, "apt-ftparchive": archive_one_more, "reprepro": reprepro_one_more },
    });
    println!("{result:#}");
    match same_bytes {
        true => Ok(()),
        false => Err("adding one by one gave other bytes than from scratch".into()),
    }
}

fn timed(work: impl FnOnce() -> Outcome<()>) -> Outcome<f64> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64())
}

fn median(packages: &[PathBuf], mut add: impl FnMut(&PathBuf) -> Outcome<()>) -> Outcome<f64> {
    let mut times = packages
        .iter()
        .map(|package| timed(|| add(package)))
        .collect::<Outcome<Vec<_>>>()?;
    times.sort_by(f64::total_cmp);
    Ok(times.get(times.len() / 2).copied().unwrap_or_default())
}

fn run(command: &mut Command) -> Outcome<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!(
            "{program}: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        )
        .into()),
    }
}

/// A package of a few hundred bytes, without starting dpkg-deb for each.
fn make_package(directory: &Path, n: usize) -> Outcome<PathBuf> {
    let source = n / 3;
    let control = format!(
        "Package: bench-{n}\nSource: bench{source}\nVersion: 1.{n}-1\nArchitecture: amd64\n\
         Maintainer: Bench <bench@example.org>\nInstalled-Size: {n}\n\
         Depends: libc6 (>= 2.36), libbench{source} (= 1.{n}-1), libgcc-s1 (>= 3.0)\nSection: misc\nPriority: optional\n\
         Homepage: https://example.org/bench{source}\nDescription: package {n} of a benchmark\n \
         Its description is about as long as those of other packages are, {n} times\n out of ten.\n"
    );
    let members = [
        ("debian-binary", b"2.0\n".to_vec()),
        (
            "control.tar.gz",
            packed_tar("./control", control.as_bytes())?,
        ),
        (
            "data.tar.gz",
            packed_tar("./usr/share/bench", control.as_bytes())?,
        ),
    ];
    let mut deb = b"!<arch>\n".to_vec();
    for (name, body) in members {
        writeln!(
            deb,
            "{name:<16}{DATE:<12}{:<6}{:<6}{:<8}{:<10}`",
            0,
            0,
            "100644",
            body.len()
        )?;
        deb.extend_from_slice(&body);
        deb.resize(deb.len().next_multiple_of(2), b'\n');
    }
    let path = directory.join(format!("bench-{n}_1.{n}-1_amd64.deb"));
    fs::write(&path, deb)?;
    Ok(path)
}

fn packed_tar(path: &str, body: &[u8]) -> io::Result<Vec<u8>> {
    let encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut builder = tar::Builder::new(encoder);
    let mut header = tar::Header::new_gnu();
    header.set_size(body.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(DATE);
    builder.append_data(&mut header, path, body)?;
    builder.into_inner()?.finish()
}

struct Ours {
    root: PathBuf,
}

impl Ours {
    fn publish(&self, packages: &[PathBuf]) -> Outcome<()> {
        // An argument list has an end; ten thousand paths fit well below it.
        run(Command::new(std::env::current_exe()?)
            .arg("publish")
            .arg(&self.root)
            .args(packages))
    }

    fn in_release(&self) -> PathBuf {
        self.root.join("repo/dists/bench/InRelease")
    }
}

struct Archive {
    root: PathBuf,
}

impl Archive {
    fn add(&self, packages: &[PathBuf]) -> Outcome<()> {
        let pool = self.root.join("pool");
        fs::create_dir_all(&pool)?;
        for package in packages {
            fs::hard_link(
                package,
                pool.join(package.file_name().ok_or("a package without a name")?),
            )?;
        }
        Ok(())
    }

    fn index(&self) -> Outcome<()> {
        let script = "apt-ftparchive --db cache.db packages pool > Packages && gzip -9kf Packages && apt-ftparchive release . > Release.new && mv Release.new Release";
        run(Command::new("sh")
            .current_dir(&self.root)
            .args(["-ec", script]))
    }
}

struct Reprepro {
    root: PathBuf,
}

impl Reprepro {
    fn configure(&self) -> Outcome<()> {
        fs::create_dir_all(self.root.join("conf"))?;
        let text = "Codename: bench\nArchitectures: amd64\nComponents: main\n";
        Ok(fs::write(self.root.join("conf/distributions"), text)?)
    }

    fn include(&self, packages: &[PathBuf]) -> Outcome<()> {
        run(Command::new("reprepro")
            .arg("-b")
            .arg(&self.root)
            .args(["includedeb", "bench"])
            .args(packages))
    }
}

/// What a composing process keeps between two runs, all below one directory.
struct State {
    root: PathBuf,
}

impl State {
    /// The list of packages, one JSON object a line: one package more is one line more.
    fn manifest(&self) -> PathBuf {
        self.root.join("manifest.jsonl")
    }

    fn placed(&self) -> Outcome<Vec<Placed>> {
        match fs::read_to_string(self.manifest()) {
            Ok(text) => {
                // A line has about 260 bytes.
                let mut placed = Vec::with_capacity(text.len() / 200);
                for line in serde_json::Deserializer::from_str(&text).into_iter() {
                    placed.push(line?);
                }
                Ok(placed)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    fn append(&self, placed: &[Placed]) -> Outcome<()> {
        let mut lines = Vec::new();
        for one in placed {
            serde_json::to_writer(&mut lines, one)?;
            lines.push(b'\n');
        }
        let mut manifest = File::options()
            .append(true)
            .create(true)
            .open(self.manifest())?;
        Ok(manifest.write_all(&lines)?)
    }

    fn key(&self) -> Outcome<SigningKey> {
        let path = self.root.join("key.asc");
        if path.exists() {
            return Ok(SigningKey::from_armored(&fs::read_to_string(path)?)?);
        }
        // The key is shared by the repositories of one run, so that their signatures can be compared.
        let shared = self.root.with_file_name("key.asc");
        if !shared.exists() {
            let key =
                SigningKey::generate(KeyKind::Ed25519, "Bench <bench@example.org>", DATE - 1)?;
            fs::write(
                &shared,
                key.to_armored_secret()
                    .expect("it was made here")
                    .as_bytes(),
            )?;
        }
        fs::copy(shared, &path)?;
        self.key()
    }

    fn fragment_path(&self, digest: &Sha256Digest) -> PathBuf {
        self.root.join("fragments").join(digest.to_string())
    }

    fn fragment(&self, entry: &Entry) -> Result<Arc<Fragment>, StoreError> {
        let bytes = fs::read(self.fragment_path(entry.digest()))?;
        Ok(Arc::new(serde_json::from_slice(&bytes)?))
    }

    /// Reads a package, keeps its fragment and puts its file into the pool.
    fn add(&self, package: &Path, repository: &Path) -> Outcome<Placed> {
        let fragment =
            Fragment::from_package(&package::read(File::open(package)?, Contents::Skip)?)?;
        fs::write(
            self.fragment_path(fragment.entry.digest()),
            serde_json::to_vec(&fragment)?,
        )?;
        let placed = Placed {
            component: "main".parse()?,
            entry: fragment.entry,
        };
        for (path, _) in placed.entry.pool_files(&placed.component) {
            let path = repository.join(path);
            fs::create_dir_all(path.parent().unwrap_or(repository))?;
            fs::hard_link(package, path)?;
        }
        Ok(placed)
    }
}

fn publish(root: &Path, packages: &[&str]) -> Outcome<()> {
    let state = State {
        root: root.to_owned(),
    };
    let repository = root.join("repo");
    fs::create_dir_all(root.join("fragments"))?;
    let mut placed = state.placed()?;
    let before = placed.len();
    for package in packages {
        placed.push(state.add(Path::new(package), &repository)?);
    }
    let cache = DirectoryCache::open(root.join("blocks"))?;
    let composition = compose(
        &suite()?,
        &placed,
        &|entry: &Entry| state.fragment(entry),
        &cache,
        DATE,
    )?;
    let mut written = HashMap::new();
    for file in &composition.files {
        let Content::Bytes(bytes) = &file.content else {
            continue;
        };
        let path = repository.join(&file.path);
        fs::create_dir_all(path.parent().unwrap_or(&repository))?;
        // A new file under the old name: the old one may still have its by-hash name.
        let new = path.with_extension("new");
        match written.get(&bytes.as_ptr()) {
            Some(same) => fs::hard_link(same, &new)?,
            None => fs::write(&new, bytes)?,
        }
        fs::rename(&new, &path)?;
        written.insert(bytes.as_ptr(), path);
    }
    let signed = sign_release(&composition.release, &state.key()?, DATE)?;
    let directory = repository.join(&composition.directory);
    fs::write(directory.join("Release.gpg"), signed.release_gpg)?;
    fs::write(directory.join("InRelease"), signed.in_release)?;
    state.append(placed.get(before..).unwrap_or_default())
}

fn suite() -> Outcome<Suite> {
    Ok(Suite {
        origin: "Bench".parse()?,
        label: "Bench".parse()?,
        codename: "bench".parse()?,
        suite: None,
        version: None,
        description: None,
        components: vec!["main".parse()?],
        architectures: vec!["amd64".parse()?],
        upgrades: repo_deb::Upgrades::Automatic,
    })
}
