//! Packages from the real rpmbuild, and the real clients as judges. Each needs its Debian package installed.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "shared by test binaries that each use a part; the judges are programs"
)]

use std::collections::HashMap;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use openpgp::SigningKey;
use repo_rpm::cache::MemoryCache;
use repo_rpm::repodata::{self, Form, Member, Options, Repodata};
use repo_rpm::{Fragment, Package, Sha256};

/// When everything here happens, in seconds since 1970; the test key is from 1700000000.
pub const NOW: u64 = 1_700_000_500;

/// A directory of its own for packages, repository, databases and caches of one test.
pub struct Desk(tempfile::TempDir);

impl Desk {
    pub fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        for dir in ["repo", "home", "logs", "cache", "persist", "reposdir", "db"] {
            fs::create_dir(desk.path(dir)).unwrap();
        }
        desk
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
            .env("HOME", self.path("home"));
        command
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            .current_dir(self.0.path());
        command
    }

    /// Runs a program to its end, whatever that is.
    pub fn run(&self, program: &str, args: &[&str]) -> Output {
        let run = self.command(program).args(args).output();
        run.unwrap_or_else(|error| {
            panic!(
                "{program} does not run ({error}); install Debian's package {}",
                debian_package(program)
            )
        })
    }

    /// Runs a program that must succeed; its standard output.
    pub fn ok(&self, program: &str, args: &[&str]) -> String {
        let out = self.run(program, args);
        let stdout = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(
            out.status.success(),
            "{program} {args:?}: {stdout}{}",
            String::from_utf8_lossy(&out.stderr)
        );
        stdout
    }

    /// Builds `spec` with rpmbuild into `repo/`; the paths of all its packages, source package included.
    pub fn rpmbuild(&self, spec: &str) -> Vec<PathBuf> {
        let file = self.path("package.spec");
        fs::write(&file, spec).unwrap();
        let top = self.path("top");
        let define = |name: &str, value: &str| ["--define".to_owned(), format!("{name} {value}")];
        let args = [
            define("_topdir", top.to_str().unwrap()),
            define("_dbpath", self.path("db").to_str().unwrap()),
            define("_buildhost", "builder.example.org"),
            define("use_source_date_epoch_as_buildtime", "1"),
        ]
        .concat();
        let out = self
            .command("rpmbuild")
            .env("SOURCE_DATE_EPOCH", "1699999999")
            .args(args)
            // BuildRequires name packages of another distribution than the one that runs the tests.
            .args(["--nodeps", "-ba", file.to_str().unwrap()])
            .output()
            .expect("rpmbuild runs; it is in Debian's package rpm");
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
        let mut moved = Vec::new();
        for path in rpms(&top) {
            let to = self.path("repo").join(path.file_name().unwrap());
            fs::rename(&path, &to).unwrap();
            moved.push(to);
        }
        moved
    }

    /// Publishes everything in `repo/`, signed by `key` if there is one.
    pub fn publish(&self, form: Form, key: Option<&SigningKey>) -> Repodata {
        let made = write(&self.path("repo"), form);
        let repo = self.path("repo");
        fs::create_dir_all(repo.join("repodata")).unwrap();
        for (path, bytes) in &made.files {
            fs::write(repo.join(path), bytes).unwrap();
        }
        fs::write(repo.join(repodata::REPOMD), &made.repomd).unwrap();
        if let Some(key) = key {
            fs::write(self.path("key.asc"), key.public().to_armored()).unwrap();
            let signature = key.sign_detached_armored(&made.repomd, NOW).unwrap();
            fs::write(repo.join(repodata::REPOMD_SIGNATURE), signature).unwrap();
        }
        made
    }

    /// dnf over `repo/` alone, with its own cache, keys and logs.
    pub fn dnf(&self, repo: &str, options: &[&str], command: &[&str]) -> Output {
        let mut args: Vec<String> = vec![
            "--quiet".into(),
            "--noplugins".into(),
            "--disablerepo=*".into(),
            "--forcearch=x86_64".into(),
            "--releasever=9".into(),
            format!("--repofrompath=judged,file://{}", self.path(repo).display()),
            "--enablerepo=judged".into(),
            format!("--config={}", self.dnf_conf().display()),
        ];
        args.extend(options.iter().map(|option| format!("--setopt={option}")));
        args.extend(command.iter().map(|&word| word.to_owned()));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        self.run("dnf", &args)
    }

    fn dnf_conf(&self) -> PathBuf {
        let conf = self.path("dnf.conf");
        let dir = |name: &str| self.path(name).display().to_string();
        let text = format!(
            "[main]\ncachedir={}\npersistdir={}\nlogdir={}\nreposdir={}\ninstallroot=/\nmetadata_expire=0\n",
            dir("cache"),
            dir("persist"),
            dir("logs"),
            dir("reposdir")
        );
        fs::write(&conf, text).unwrap();
        conf
    }
}

fn debian_package(program: &str) -> &str {
    match program {
        "rpmbuild" | "rpmkeys" | "rpmsign" => "rpm",
        "createrepo_c" | "sqliterepo_c" => "createrepo-c",
        other => other,
    }
}

/// All packages below `dir`, sorted.
pub fn rpms(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(rpms(&path));
        } else if path.extension().is_some_and(|extension| extension == "rpm") {
            found.push(path);
        }
    }
    found.sort();
    found
}

pub fn options(form: Form) -> Options {
    Options {
        revision: NOW,
        form,
        threads: NonZeroUsize::new(2).unwrap(),
    }
}

/// Reads what is in `repo` and renders its metadata from scratch.
pub fn write(repo: &Path, form: Form) -> Repodata {
    let mut members = Vec::new();
    let mut fragments = HashMap::<Sha256, Fragment>::new();
    for path in rpms(repo) {
        let package = Package::read(fs::File::open(&path).unwrap()).unwrap();
        let location = path
            .strip_prefix(repo)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        members.push(Member {
            location,
            sha256: package.sha256,
        });
        fragments.insert(package.sha256, Fragment::render(&package));
    }
    repodata::write(members, &fragments, &MemoryCache::default(), options(form)).unwrap()
}

pub fn key() -> SigningKey {
    SigningKey::from_armored(include_str!("../../../openpgp/tests/data/ed25519.key")).unwrap()
}

pub fn rsa_key() -> SigningKey {
    SigningKey::from_armored(include_str!("../../../openpgp/tests/data/rsa4096.key")).unwrap()
}

/// A small package as the `rpm` crate makes it: quick, and by another hand than ours.
pub fn small_package(name: &str, version: &str) -> Vec<u8> {
    let built = rpm::PackageBuilder::new(name, version, "MIT", "noarch", "a small package")
        .using_config(
            rpm::BuildConfig::v4()
                .compression(rpm::CompressionType::None)
                .source_date(1_699_999_999u32),
        )
        .description("Made to be one of many.")
        .requires(rpm::Dependency::any("/bin/sh"))
        .build()
        .unwrap();
    let mut bytes = Vec::new();
    built.write(&mut bytes).unwrap();
    bytes
}

/// A spec with everything that repodata holds.
pub const RICH_SPEC: &str = include_str!("rich.spec");
