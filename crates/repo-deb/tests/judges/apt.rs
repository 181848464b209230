//! Published suites as the real apt sees them, and what it refuses.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use openpgp::{KeyKind, SigningKey};

use repo_deb::{Composition, Sha256Digest};

use crate::common::{
    DATE, Recipe, Shelf, build_deb, build_source, key, run, succeed, tool, write_all,
};

/// An apt of its own: configuration, lists, caches and dpkg database below one directory.
struct Apt {
    root: PathBuf,
    config: PathBuf,
}

impl Apt {
    /// `compression` is the index form it prefers, `gz` or `xz`.
    fn new(root: &Path, repository: &Path, key: &SigningKey, compression: &str) -> Self {
        let root = root.to_owned();
        for directory in [
            "etc/apt/apt.conf.d",
            "etc/apt/preferences.d",
            "etc/apt/trusted.gpg.d",
            "var/lib/apt/lists/partial",
            "var/cache/apt/archives/partial",
            "var/log/apt",
            "var/lib/dpkg/info",
            "var/lib/dpkg/updates",
        ] {
            fs::create_dir_all(root.join(directory)).expect("a directory");
        }
        let write = |path: &str, text: String| fs::write(root.join(path), text).expect("a file");
        write("var/lib/dpkg/status", String::new());
        write("etc/apt/key.asc", key.public().to_armored());
        let signed_by = root.join("etc/apt/key.asc");
        let line = format!(
            "[signed-by={}] file:{} bookworm main contrib\n",
            signed_by.display(),
            repository.display()
        );
        write("etc/apt/sources.list", format!("deb {line}deb-src {line}"));
        // Read after the defaults of the machine, which is why it clears what it means to set.
        let config = root.join("apt.conf");
        write(
            "apt.conf",
            format!(
                "Dir \"{root}\";\nDir::State \"var/lib/apt\";\nDir::State::status \"{root}/var/lib/dpkg/status\";\n\
                 Dir::Cache \"var/cache/apt\";\nDir::Etc \"etc/apt\";\nDir::Log \"var/log/apt\";\n\
                 APT::Architecture \"amd64\";\nAPT::Architectures {{ \"amd64\"; }};\nAPT::Sandbox::User \"root\";\n\
                 Acquire::Languages \"none\";\n#clear Acquire::CompressionTypes::Order;\n\
                 Acquire::CompressionTypes::Order:: \"{compression}\";\n\
                 DPkg::Options {{ \"--root={root}\"; \"--force-not-root\"; \"--force-depends\"; }};\n",
                root = root.display()
            ),
        );
        Self { root, config }
    }

    fn command(&self, name: &str) -> Command {
        let mut command = tool(name, "apt");
        command
            .env("APT_CONFIG", &self.config)
            .current_dir(&self.root);
        command
    }

    fn succeed(&self, arguments: &[&str]) -> String {
        let (name, arguments) = arguments.split_first().expect("a command");
        succeed(self.command(name).args(arguments))
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let (name, arguments) = arguments.split_first().expect("a command");
        run(self.command(name).args(arguments))
    }
}

/// The names of all packages that apt sees in a suite, read in the given form.
pub(crate) fn package_names(
    directory: &Path,
    composition: &Composition,
    compression: &str,
) -> Vec<String> {
    let key = key();
    let repository = directory.join(format!("repo-{compression}"));
    write_all(&repository, composition, &key, &HashMap::new());
    let apt = Apt::new(
        &directory.join(format!("apt-{compression}")),
        &repository,
        &key,
        compression,
    );
    apt.succeed(&["apt-get", "update", "--error-on=any"]);
    let names = apt.succeed(&["apt-cache", "pkgnames"]);
    names.lines().map(str::to_owned).collect()
}

struct World {
    directory: tempfile::TempDir,
    shelf: Shelf,
    key: SigningKey,
}

impl World {
    fn new(key: SigningKey) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut shelf = Shelf::default();
        for (name, version, architecture, control) in [
            ("hello", "1.0-1", "amd64", "Depends: hello-data (= 1.0-1)\n"),
            ("hello", "0.9-1", "amd64", ""),
            ("hello", "1.0-1", "arm64", ""),
            ("hello-data", "1.0-1", "all", "Source: hello\n"),
            ("libz", "1:2.0-1", "amd64", "Source: zlib (1:2.0-1)\n"),
        ] {
            let recipe = Recipe {
                name,
                version,
                architecture,
                control,
                ..Recipe::default()
            };
            shelf.add_deb(&build_deb(directory.path(), &recipe));
        }
        shelf.add_dsc(&build_source(directory.path(), "hello", "1.0"));
        shelf.publish(&directory.path().join("repo"), &key);
        Self {
            directory,
            shelf,
            key,
        }
    }

    fn repository(&self) -> PathBuf {
        self.directory.path().join("repo")
    }

    fn apt(&self, compression: &str) -> Apt {
        let root = self.directory.path().join(format!("apt-{compression}"));
        Apt::new(&root, &self.repository(), &self.key, compression)
    }
}

fn installs_and_downloads(key: SigningKey, compression: &str) {
    let world = World::new(key);
    let apt = world.apt(compression);
    apt.succeed(&["apt-get", "update", "--error-on=any"]);

    let policy = apt.succeed(&["apt-cache", "policy", "hello"]);
    assert!(
        policy.contains("Candidate: 1.0-1") && policy.contains("0.9-1 500"),
        "{policy}"
    );
    let origin = apt.succeed(&["apt-cache", "policy"]);
    let release = "release v=12.5,o=Example Linux,a=stable,n=bookworm,l=Example,c=main,b=amd64";
    assert!(origin.contains(release), "{origin}");
    let source = apt.succeed(&["apt-cache", "showsrc", "hello"]);
    assert!(
        source.contains("Directory: pool/main/h/hello\n"),
        "{source}"
    );

    let downloads = apt.root.join("downloads");
    fs::create_dir_all(&downloads).expect("a directory");
    succeed(
        apt.command("apt-get")
            .args(["download", "hello=0.9-1"])
            .current_dir(&downloads),
    );
    succeed(
        apt.command("apt-get")
            .args(["source", "--download-only", "hello"])
            .current_dir(&downloads),
    );
    let mut names: Vec<_> = fs::read_dir(&downloads)
        .expect("the directory")
        .map(|file| {
            file.expect("a file")
                .file_name()
                .into_string()
                .expect("a name")
        })
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["hello_0.9-1_amd64.deb", "hello_1.0.dsc", "hello_1.0.tar.xz"]
    );

    apt.succeed(&["apt-get", "install", "--yes", "hello", "libz"]);
    let installed =
        fs::read_to_string(apt.root.join("usr/share/hello/version")).expect("the installed file");
    assert_eq!(installed, "1.0-1\n");
    let status = succeed(
        tool("dpkg-query", "dpkg")
            .arg(format!(
                "--admindir={}",
                apt.root.join("var/lib/dpkg").display()
            ))
            .args([
                "--show",
                "--showformat=${Package} ${Version} ${db:Status-Status}\n",
            ]),
    );
    assert_eq!(
        status,
        "hello 1.0-1 installed\nhello-data 1.0-1 installed\nlibz 1:2.0-1 installed\n"
    );
}

#[test]
fn apt_installs_from_gz_indexes_signed_with_ed25519() {
    installs_and_downloads(key(), "gz");
}

#[test]
fn apt_installs_from_xz_indexes_signed_with_rsa() {
    let key = SigningKey::generate(
        KeyKind::Rsa4096,
        "Example <archive@example.org>",
        DATE - 1000,
    );
    installs_and_downloads(key.expect("a key"), "xz");
}

/// Each case breaks one thing after publishing; apt must end with 100 and say `expect`.
fn refuses(breaks: impl FnOnce(&World), arguments: &[&str], expect: &str) {
    let world = World::new(key());
    let apt = world.apt("gz");
    let last_step_is_update = arguments.contains(&"update");
    if !last_step_is_update {
        apt.succeed(&["apt-get", "update", "--error-on=any"]);
    }
    breaks(&world);
    let output = apt.run(arguments);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(100), "{text}");
    assert!(text.contains(expect), "{text}");
}

const UPDATE: [&str; 3] = ["apt-get", "update", "--error-on=any"];

fn edit(world: &World, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let path = world.repository().join(path);
    let mut bytes = fs::read(&path).expect("a published file");
    change(&mut bytes);
    fs::write(path, bytes).expect("the edited file");
}

fn flip_middle_byte(bytes: &mut [u8]) {
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
}

#[test]
fn apt_refuses_another_key() {
    let resign = |world: &World| {
        world.shelf.publish(&world.repository(), &key());
    };
    refuses(resign, &UPDATE, "NO_PUBKEY");
}

#[test]
fn apt_refuses_an_edited_release() {
    let edit_text = |bytes: &mut Vec<u8>| {
        let text = String::from_utf8_lossy(bytes).replace("Suite: stable", "Suite: oldstable");
        *bytes = text.into_bytes();
    };
    refuses(
        |world| edit(world, "dists/bookworm/InRelease", edit_text),
        &UPDATE,
        "BADSIG",
    );
    let without_in_release = |world: &World| {
        fs::remove_file(world.repository().join("dists/bookworm/InRelease")).expect("InRelease");
        edit(world, "dists/bookworm/Release", edit_text);
    };
    refuses(without_in_release, &UPDATE, "BADSIG");
}

#[test]
fn apt_accepts_the_detached_signature_too() {
    let world = World::new(key());
    fs::remove_file(world.repository().join("dists/bookworm/InRelease")).expect("InRelease");
    world.apt("gz").succeed(&UPDATE);
}

/// Both names of the index that apt on amd64 reads in the `gz` form.
fn packages_index(world: &World) -> [String; 2] {
    let directory = "dists/bookworm/main/binary-amd64";
    let by_name = format!("{directory}/Packages.gz");
    let bytes = fs::read(world.repository().join(&by_name)).expect("the index");
    let by_hash = format!("{directory}/by-hash/SHA256/{}", Sha256Digest::of(&bytes));
    [by_name, by_hash]
}

#[test]
fn apt_refuses_a_tampered_index() {
    let tamper = |world: &World| {
        for path in packages_index(world) {
            edit(world, &path, |bytes| flip_middle_byte(bytes));
        }
    };
    refuses(tamper, &UPDATE, "Hash Sum mismatch");
}

#[test]
fn apt_reads_indexes_by_hash() {
    // A client that has the old InRelease while a new one is published finds its own index still there.
    let world = World::new(key());
    let [by_name, _] = packages_index(&world);
    edit(&world, &by_name, |bytes| flip_middle_byte(bytes));
    let apt = world.apt("gz");
    apt.succeed(&UPDATE);
    assert!(
        apt.succeed(&["apt-cache", "policy", "hello"])
            .contains("Candidate: 1.0-1")
    );
}

#[test]
fn apt_refuses_a_tampered_package() {
    let tamper = |world: &World| {
        edit(world, "pool/main/h/hello/hello_1.0-1_amd64.deb", |bytes| {
            flip_middle_byte(bytes)
        })
    };
    let arguments = ["apt-get", "install", "--yes", "--download-only", "hello"];
    refuses(tamper, &arguments, "Hash Sum mismatch");
}
