//! Packages made by dpkg's own tools, and repositories published into a directory.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use openpgp::{KeyKind, SigningKey};
use repo_deb::package::{self, Contents};
use repo_deb::source::Dsc;
use repo_deb::{
    BlockCache, Composition, Content, Digests, Entry, Fragment, NoCache, Placed, Sha256Digest,
    Suite, compose, sign_release,
};

/// 2024-03-09 16:00:00 UTC.
pub(crate) const DATE: u64 = 1_710_000_000;

/// A command that must exist; the message of its absence names the Debian package to install.
pub(crate) fn tool(name: &str, debian_package: &str) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|directory| directory.join(name).exists());
    assert!(
        found,
        "`{name}` is missing: apt-get install {debian_package}"
    );
    let mut command = Command::new(name);
    command.env("LC_ALL", "C.UTF-8");
    command
}

pub(crate) fn run(command: &mut Command) -> Output {
    command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Standard output of a command that must succeed.
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = run(command);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// What dpkg-deb shall make.
pub(crate) struct Recipe<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
    pub(crate) architecture: &'a str,
    /// Further lines of the control file.
    pub(crate) control: &'a str,
    /// `xz`, `gzip`, `zstd` or `none`.
    pub(crate) compression: &'a str,
}

impl Default for Recipe<'_> {
    fn default() -> Self {
        Self {
            name: "hello",
            version: "1.0-1",
            architecture: "amd64",
            control: "",
            compression: "xz",
        }
    }
}

/// Makes a package that installs `/usr/share/<name>/version` and a link to it.
pub(crate) fn build_deb(directory: &Path, recipe: &Recipe<'_>) -> PathBuf {
    let Recipe {
        name,
        version,
        architecture,
        control,
        compression,
    } = recipe;
    let tree = directory.join(format!("{name}-{architecture}-{compression}.tree"));
    let share = tree.join("usr/share").join(name);
    fs::create_dir_all(&share).expect("a package tree");
    fs::create_dir_all(tree.join("DEBIAN")).expect("a control directory");
    fs::write(share.join("version"), format!("{version}\n")).expect("a file");
    let link = share.join("current");
    if !link.is_symlink() {
        std::os::unix::fs::symlink("version", link).expect("a link");
    }
    let control = format!(
        "Package: {name}\nVersion: {version}\nArchitecture: {architecture}\n\
         Maintainer: Zoë Example <zoe@example.org>\n{control}\
         Description: test package {name}\n It has a long description.\n .\n In two parts.\n"
    );
    fs::write(tree.join("DEBIAN/control"), control).expect("a control file");
    let deb = directory.join(format!(
        "{name}_{}_{architecture}.{compression}.deb",
        version.replace(':', "%3a")
    ));
    succeed(
        tool("dpkg-deb", "dpkg")
            .args(["--root-owner-group", "--build"])
            .arg(format!("-Z{compression}"))
            .args([&tree, &deb])
            .env("SOURCE_DATE_EPOCH", DATE.to_string()),
    );
    deb
}

/// Makes a native source package and gives the path of its `.dsc`.
pub(crate) fn build_source(directory: &Path, name: &str, version: &str) -> PathBuf {
    let tree = directory.join(format!("{name}-{version}"));
    fs::create_dir_all(tree.join("debian/source")).expect("a source tree");
    let write = |path: &str, text: &str| fs::write(tree.join(path), text).expect("a source file");
    write("debian/source/format", "3.0 (native)\n");
    write("debian/rules", "#!/usr/bin/make -f\n%:\n\tdh $@\n");
    write(
        "debian/changelog",
        &format!(
            "{name} ({version}) bookworm; urgency=medium\n\n  * Test.\n\n -- Zoë Example <zoe@example.org>  Sat, 09 Mar 2024 16:00:00 +0000\n"
        ),
    );
    write(
        "debian/control",
        &format!(
            "Source: {name}\nSection: misc\nPriority: optional\nMaintainer: Zoë Example <zoe@example.org>\n\
             Build-Depends: debhelper-compat (= 13)\nStandards-Version: 4.6.2\n\n\
             Package: {name}\nArchitecture: any\nDescription: test package\n"
        ),
    );
    succeed(
        tool("dpkg-source", "dpkg-dev")
            .current_dir(directory)
            .args([OsStr::new("--build"), tree.as_os_str()])
            .env("SOURCE_DATE_EPOCH", DATE.to_string()),
    );
    let version = version
        .split_once(':')
        .map_or(version, |(_, version)| version);
    directory.join(format!("{name}_{version}.dsc"))
}

/// Packages read from files, and where those files are.
#[derive(Default)]
pub(crate) struct Shelf {
    pub(crate) fragments: HashMap<Sha256Digest, Arc<Fragment>>,
    pub(crate) paths: HashMap<Sha256Digest, PathBuf>,
    pub(crate) placed: Vec<Placed>,
}

impl Shelf {
    pub(crate) fn add_deb(&mut self, path: &Path) -> Entry {
        let file = fs::File::open(path).expect("the package");
        let package = package::read(file, Contents::Skip).expect("dpkg-deb's own package");
        self.add(
            Arc::new(Fragment::from_package(&package).expect("an entry")),
            path,
        )
    }

    pub(crate) fn add_dsc(&mut self, path: &Path) -> Entry {
        let bytes = fs::read(path).expect("the .dsc");
        let dsc = Dsc::parse(&bytes).expect("dpkg-source's own .dsc");
        for file in &dsc.files {
            self.paths
                .insert(file.sha256, path.with_file_name(file.name.as_str()));
        }
        self.add(
            Arc::new(Fragment::from_dsc(&dsc, &Digests::of(&bytes)).expect("an entry")),
            path,
        )
    }

    pub(crate) fn add(&mut self, fragment: Arc<Fragment>, path: &Path) -> Entry {
        let entry = fragment.entry.clone();
        self.paths.insert(*entry.digest(), path.to_owned());
        self.fragments.insert(*entry.digest(), fragment);
        self.placed.push(Placed {
            component: "main".parse().expect("a component"),
            entry: entry.clone(),
        });
        entry
    }

    pub(crate) fn compose_with(&self, cache: &dyn BlockCache) -> Composition {
        let fragments = |entry: &Entry| {
            let fragment = self.fragments.get(entry.digest());
            fragment.cloned().ok_or_else(|| "no such fragment".into())
        };
        compose(&suite(), &self.placed, &fragments, cache, DATE).expect("a composition")
    }

    /// Composes, signs and writes everything below `root`.
    pub(crate) fn publish(&self, root: &Path, key: &SigningKey) -> Composition {
        let composition = self.compose_with(&NoCache);
        write_all(root, &composition, key, &self.paths);
        composition
    }
}

/// Writes a composition with its signatures below `root`; packages that are in no place of `paths` are left out.
pub(crate) fn write_all(
    root: &Path,
    composition: &Composition,
    key: &SigningKey,
    paths: &HashMap<Sha256Digest, PathBuf>,
) {
    for file in &composition.files {
        let path = root.join(&file.path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        match &file.content {
            Content::Bytes(bytes) => fs::write(path, bytes).expect("an index"),
            Content::Stored { sha256, .. } => {
                if let Some(from) = paths.get(sha256) {
                    fs::copy(from, path).expect("a package");
                }
            }
        }
    }
    let signed = sign_release(&composition.release, key, DATE).expect("signatures");
    let directory = root.join(&composition.directory);
    fs::write(directory.join("Release.gpg"), signed.release_gpg).expect("Release.gpg");
    fs::write(directory.join("InRelease"), signed.in_release).expect("InRelease");
}

pub(crate) fn suite() -> Suite {
    Suite {
        origin: "Example Linux".parse().expect("a line"),
        label: "Example".parse().expect("a line"),
        codename: "bookworm".parse().expect("a suite"),
        suite: Some("stable".parse().expect("a suite")),
        version: Some("12.5".parse().expect("a line")),
        description: Some("Packages of the example".parse().expect("a line")),
        components: vec![
            "main".parse().expect("a component"),
            "contrib".parse().expect("a component"),
        ],
        architectures: vec![
            "amd64".parse().expect("an architecture"),
            "arm64".parse().expect("an architecture"),
        ],
        upgrades: repo_deb::Upgrades::Automatic,
    }
}

pub(crate) fn key() -> SigningKey {
    SigningKey::generate(
        KeyKind::Ed25519,
        "Example Archive <archive@example.org>",
        DATE - 1000,
    )
    .expect("a key")
}

/// The text of an index inside a composition, unpacked by the real gzip or xz.
pub(crate) fn index_text(composition: &Composition, path: &str) -> String {
    let path = format!("{}/{path}", composition.directory);
    let file = composition.files.iter().find(|file| file.path == path);
    let Some(Content::Bytes(bytes)) = file.map(|file| &file.content) else {
        panic!("no {path}");
    };
    let packed = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(packed.path(), bytes).expect("an index");
    let unpacker = match path.ends_with(".xz") {
        true => tool("xz", "xz-utils"),
        false => tool("gzip", "gzip"),
    };
    let mut unpacker = unpacker;
    succeed(
        unpacker
            .arg("-dc")
            .stdin(fs::File::open(packed.path()).expect("the index")),
    )
}
