//! Composed repositories, judged by dnf and apt.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "real tools on real files; the bench's helpers are part of the tests"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use pipeline_spec::{Repository, Sha256Digest, Weight};
use runner_agent::{Job, Role as _};
use runner_api::{
    Artifact, ArtifactKind, BuiltPackage, ComposeTask, Failure, FailureKind, Grant, Outcome,
    Placed, TaskRef, TaskSpec, Tree,
};
use runner_compose::Compose;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// 2026-11-01.
const TIME: i64 = 1_793_491_200;

struct Bench {
    home: TempDir,
}

impl Bench {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        for folder in ["blobs", "jobs"] {
            std::fs::create_dir(home.path().join(folder)).unwrap();
        }
        Self { home }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn blob_path(&self, digest: &Sha256Digest) -> PathBuf {
        self.path("blobs").join(digest.to_string())
    }

    fn artifact(&self, name: &str, bytes: &[u8], kind: ArtifactKind) -> Artifact {
        let sha256 = Sha256Digest::new(Sha256::digest(bytes).into());
        std::fs::write(self.blob_path(&sha256), bytes).unwrap();
        Artifact {
            name: name.into(),
            sha256,
            size: bytes.len() as u64,
            kind,
            package: None,
        }
    }

    /// A file that a packaging tool made; `claim`: name, version, architecture, source.
    fn placed(&self, file: &Path, kind: ArtifactKind, claim: [&str; 4]) -> Placed {
        let name = file.file_name().unwrap().to_str().unwrap();
        let bytes = std::fs::read(file).unwrap();
        let mut artifact = self.artifact(name, &bytes, kind);
        let [name, version, arch, source] = claim.map(str::to_owned);
        artifact.package = Some(BuiltPackage {
            name,
            version,
            arch,
            source,
        });
        Placed {
            artifact,
            component: String::new(),
            built_by: task_ref(),
            files: Vec::new(),
        }
    }

    /// The packages `name-1-1` for all architectures or one, and the source package.
    fn rpms(&self, name: &str, arch: &str) -> [Placed; 2] {
        let spec = self.path(&format!("{name}.spec"));
        let only = if arch == "noarch" {
            "BuildArch: noarch\n"
        } else {
            ""
        };
        let text = format!(
            "Name: {name}\nVersion: 1\nRelease: 1\nSummary: s\nLicense: MIT\n{only}\
             %description\nd\n%install\nmkdir -p %{{buildroot}}/usr/share\necho {name} > %{{buildroot}}/usr/share/{name}\n\
             %files\n/usr/share/{name}\n"
        );
        std::fs::write(&spec, text).unwrap();
        let top = format!("_topdir {}", self.path("rpmbuild").display());
        run(
            Command::new("rpmbuild")
                .args(["-ba", "--quiet", "--target", arch])
                .args(["--define", "_buildshell /bin/bash", "--define", &top])
                .arg(&spec),
            "rpm",
        );
        let rpm = self.path(&format!("rpmbuild/RPMS/{arch}/{name}-1-1.{arch}.rpm"));
        let source = self.path(&format!("rpmbuild/SRPMS/{name}-1-1.src.rpm"));
        [
            self.placed(&rpm, ArtifactKind::Rpm, [name, "1-1", arch, name]),
            self.placed(&source, ArtifactKind::Srpm, [name, "1-1", "src", name]),
        ]
    }

    /// A native Debian source package and its binary package.
    fn debs(&self, name: &str, arch: &str) -> [Placed; 2] {
        let tree = self.path(&format!("{name}-1.0"));
        std::fs::create_dir_all(tree.join("debian/source")).unwrap();
        let control = format!(
            "Source: {name}\nMaintainer: T <t@example.org>\nStandards-Version: 4.6.2\n\n\
             Package: {name}\nArchitecture: {arch}\nDescription: d\n"
        );
        let changelog = format!(
            "{name} (1:1.0) unstable; urgency=low\n\n  * x\n\n -- T <t@example.org>  Sun, 01 Nov 2026 00:00:00 +0000\n"
        );
        for (file, text) in [
            ("control", control.as_str()),
            ("changelog", changelog.as_str()),
            ("source/format", "3.0 (native)\n"),
        ] {
            std::fs::write(tree.join("debian").join(file), text).unwrap();
        }
        run(
            Command::new("dpkg-source")
                .arg("-b")
                .arg(&tree)
                .current_dir(self.home.path()),
            "dpkg-dev",
        );
        let root = self.path(&format!("{name}-root"));
        std::fs::create_dir_all(root.join("DEBIAN")).unwrap();
        let control = format!(
            "Package: {name}\nVersion: 1:1.0\nArchitecture: {arch}\nMaintainer: T <t@example.org>\nDescription: d\n"
        );
        std::fs::write(root.join("DEBIAN/control"), control).unwrap();
        let deb = self.path(&format!("{name}_1.0_{arch}.deb"));
        run(
            Command::new("dpkg-deb").arg("-b").arg(&root).arg(&deb),
            "dpkg",
        );
        let dsc = self.path(&format!("{name}_1.0.dsc"));
        let mut source = self.placed(&dsc, ArtifactKind::Dsc, [name, "1:1.0", "source", name]);
        let tarball = format!("{name}_1.0.tar.xz");
        let bytes = std::fs::read(self.path(&tarball)).unwrap();
        source.files = vec![self.artifact(&tarball, &bytes, ArtifactKind::SourceFile)];
        [
            self.placed(&deb, ArtifactKind::Deb, [name, "1:1.0", arch, name]),
            source,
        ]
    }

    async fn compose(&self, cache: &str, layout: Repository, content: &[Placed]) -> Outcome {
        let content = serde_json::to_vec(content).unwrap();
        let content = self
            .artifact("content", &content, ArtifactKind::Tree)
            .sha256;
        let task = ComposeTask {
            repository: "test".parse().unwrap(),
            layout,
            content,
            time: TIME,
        };
        let grant = Grant {
            version: runner_api::VERSION,
            task: task_ref(),
            attempt: 1,
            spec: TaskSpec::Compose(Box::new(task)),
            inputs: BTreeMap::new(),
            links: BTreeMap::new(),
            proof: None,
            lease_seconds: 60,
            heartbeat_seconds: 10,
            capacity: None,
            weight: Weight::ONE,
        };
        let job = Job::offline(grant, &self.path("jobs"), &self.path("blobs")).unwrap();
        Compose::open(self.path(cache)).unwrap().run(&job).await
    }

    fn tree(&self, artifacts: &[Artifact]) -> Tree {
        assert_eq!(artifacts[0].kind, ArtifactKind::Tree);
        let bytes = std::fs::read(self.blob_path(&artifacts[0].sha256)).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    /// The tree as a folder, as clients see it.
    fn publish(&self, tree: &Tree) -> PathBuf {
        let root = self.path("published");
        for (path, file) in &tree.files {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::copy(self.blob_path(&file.sha256), path).unwrap();
        }
        root
    }
}

fn task_ref() -> TaskRef {
    TaskRef {
        request: "releases/2026/11/a.yaml".parse().unwrap(),
        id: "0123456789abcdef0123456789abcdef".parse().unwrap(),
    }
}

fn rpm_layout() -> Repository {
    serde_json::from_value(json!({
        "platform": "bridge-12", "architectures": ["x86_64", "aarch64"], "key": "main",
        "keep": "all", "format": "rpm", "path": "bridge/12",
    }))
    .unwrap()
}

fn deb_layout() -> Repository {
    serde_json::from_value(json!({
        "platform": "debian-12", "architectures": ["amd64", "arm64"], "key": "main", "keep": 1,
        "format": "deb", "path": "debian", "suite": "stable", "codename": "bookworm",
        "components": ["main", "extra"], "origin": "Example Linux",
    }))
    .unwrap()
}

fn run(command: &mut Command, debian_package: &str) -> String {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .env("LC_ALL", "C")
        .output()
        .unwrap_or_else(|error| panic!("{name}: {error}; install {debian_package}"));
    assert!(output.status.success(), "{name}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn made(outcome: Outcome) -> Vec<Artifact> {
    match outcome {
        Outcome::Succeeded { artifacts, .. } => artifacts,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn unfit(outcome: Outcome) -> String {
    match outcome {
        Outcome::Failed {
            failure:
                Failure {
                    kind: FailureKind::Compose,
                    message,
                    ..
                },
            ..
        } => message,
        other => panic!("{other:?}"),
    }
}

fn names(artifacts: &[Artifact]) -> Vec<&str> {
    artifacts
        .iter()
        .map(|artifact| artifact.name.as_str())
        .collect()
}

#[tokio::test]
async fn dnf_reads_a_composed_repository() {
    let bench = Bench::new();
    let content = [bench.rpms("Apple", "noarch"), bench.rpms("pear", "x86_64")].concat();
    let made = made(bench.compose("cache", rpm_layout(), &content).await);
    let metadata = |arch: &str| format!("{arch}/repodata/repomd.xml");
    assert_eq!(
        names(&made),
        [
            "tree.json",
            &metadata("aarch64"),
            &metadata("source"),
            &metadata("x86_64")
        ]
    );
    let tree = bench.tree(&made);
    let packages: Vec<_> = tree
        .files
        .keys()
        .filter(|path| path.ends_with(".rpm"))
        .collect();
    assert_eq!(
        packages,
        [
            "aarch64/Packages/a/Apple-1-1.noarch.rpm",
            "source/Packages/a/Apple-1-1.src.rpm",
            "source/Packages/p/pear-1-1.src.rpm",
            "x86_64/Packages/a/Apple-1-1.noarch.rpm",
            "x86_64/Packages/p/pear-1-1.x86_64.rpm",
        ]
    );
    let root = bench.publish(&tree);
    let check = |folder: &str, expect: &str| {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| format!("{}/{name}", home.path().display());
        let config = at("dnf.conf");
        let text = format!(
            "[main]\nlogdir={}\ncachedir={}\npersistdir={}\nreposdir={}\n",
            at("log"),
            at("cache"),
            at("persist"),
            at("none")
        );
        std::fs::write(&config, text).unwrap();
        let query = run(
            Command::new("dnf")
                .args([
                    "-q",
                    "--noplugins",
                    "--config",
                    &config,
                    "--installroot",
                    &at("root"),
                ])
                .args(["--releasever", "1", "--forcearch", "x86_64"])
                .arg(format!(
                    "--repofrompath=t,file://{}/{folder}",
                    root.display()
                ))
                .args(["--repo", "t", "--setopt=gpgcheck=0", "repoquery", "-a"])
                .args([
                    "--qf",
                    "%{name}-%{epoch}:%{version}-%{release}.%{arch} %{relativepath}",
                ])
                .env("HOME", home.path()),
            "dnf",
        );
        let mut lines: Vec<&str> = query.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines.join("\n"), expect);
    };
    check(
        "x86_64",
        "Apple-0:1-1.noarch Packages/a/Apple-1-1.noarch.rpm\npear-0:1-1.x86_64 Packages/p/pear-1-1.x86_64.rpm",
    );
    check(
        "aarch64",
        "Apple-0:1-1.noarch Packages/a/Apple-1-1.noarch.rpm",
    );
}

#[tokio::test]
async fn apt_reads_a_composed_repository() {
    let bench = Bench::new();
    let content = [bench.debs("apple", "all"), bench.debs("pear", "amd64")].concat();
    let made = made(bench.compose("cache", deb_layout(), &content).await);
    assert_eq!(names(&made), ["tree.json", "dists/stable/Release"]);
    let tree = bench.tree(&made);
    let pool: Vec<_> = tree
        .files
        .keys()
        .filter(|path| path.starts_with("pool"))
        .collect();
    assert_eq!(
        pool,
        [
            "pool/main/a/apple/apple_1.0.dsc",
            "pool/main/a/apple/apple_1.0.tar.xz",
            "pool/main/a/apple/apple_1.0_all.deb",
            "pool/main/p/pear/pear_1.0.dsc",
            "pool/main/p/pear/pear_1.0.tar.xz",
            "pool/main/p/pear/pear_1.0_amd64.deb",
        ]
    );
    let root = bench.publish(&tree);
    let release = std::fs::read_to_string(root.join("dists/stable/Release")).unwrap();
    for line in [
        "Suite: stable",
        "Codename: bookworm",
        "Origin: Example Linux",
        "Label: test",
    ] {
        assert!(
            release.lines().any(|found| found == line),
            "{line}: {release}"
        );
    }

    let apt = tempfile::tempdir().unwrap();
    for folder in [
        "etc/preferences.d",
        "etc/apt.conf.d",
        "lists/partial",
        "archives/partial",
        "got",
    ] {
        std::fs::create_dir_all(apt.path().join(folder)).unwrap();
    }
    let line = |kind| {
        format!(
            "{kind} [trusted=yes] file://{} stable main extra\n",
            root.display()
        )
    };
    let sources = line("deb") + &line("deb-src");
    std::fs::write(apt.path().join("etc/sources.list"), sources).unwrap();
    std::fs::write(apt.path().join("status"), "").unwrap();
    let at = |name: &str| apt.path().join(name).display().to_string();
    let get = |words: &[&str]| {
        let mut command = Command::new("apt-get");
        for (option, value) in [
            ("Dir::Etc", at("etc")),
            ("Dir::State", at("")),
            ("Dir::State::lists", at("lists")),
            ("Dir::State::status", at("status")),
            ("Dir::Cache", at("")),
            ("Dir::Cache::archives", at("archives")),
            ("APT::Architecture", "amd64".into()),
            ("APT::Sandbox::User", "root".into()),
            ("Acquire::Languages", "none".into()),
        ] {
            command.arg("-o").arg(format!("{option}={value}"));
        }
        run(
            command.args(words).current_dir(apt.path().join("got")),
            "apt",
        )
    };
    get(&["-q", "update"]);
    get(&["-q", "download", "apple", "pear"]);
    get(&["-q", "source", "--download-only", "pear"]);
    let mut got: Vec<_> = std::fs::read_dir(apt.path().join("got"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    got.sort();
    assert_eq!(
        got,
        [
            "apple_1%3a1.0_all.deb",
            "pear_1%3a1.0_amd64.deb",
            "pear_1.0.dsc",
            "pear_1.0.tar.xz"
        ]
    );
}

#[tokio::test]
async fn the_same_content_gives_the_same_bytes_and_known_packages_are_not_fetched() {
    let bench = Bench::new();
    let rpms = [bench.rpms("apple", "noarch"), bench.rpms("pear", "x86_64")].concat();
    let debs = [bench.debs("apple", "all"), bench.debs("pear", "amd64")].concat();
    for (layout, content) in [(rpm_layout(), rpms), (deb_layout(), debs)] {
        made(bench.compose("warm", layout.clone(), &content[..2]).await);
        for placed in &content[..2] {
            std::fs::remove_file(bench.blob_path(&placed.artifact.sha256)).unwrap();
        }
        let warm = made(bench.compose("warm", layout.clone(), &content).await);
        // Nothing at all is read again, in whatever order the content comes.
        for placed in &content[2..] {
            std::fs::remove_file(bench.blob_path(&placed.artifact.sha256)).unwrap();
        }
        let reversed: Vec<Placed> = content.iter().rev().cloned().collect();
        assert_eq!(made(bench.compose("warm", layout, &reversed).await), warm);
    }
}

#[tokio::test]
async fn a_fresh_cache_gives_the_same_bytes_as_a_used_one() {
    let bench = Bench::new();
    let rpms = [bench.rpms("apple", "noarch"), bench.rpms("pear", "x86_64")].concat();
    let debs = [bench.debs("apple", "all"), bench.debs("pear", "amd64")].concat();
    for (layout, content) in [(rpm_layout(), rpms), (deb_layout(), debs)] {
        made(bench.compose("warm", layout.clone(), &content[..2]).await);
        let warm = made(bench.compose("warm", layout.clone(), &content).await);
        let fresh = tempfile::tempdir_in(bench.home.path()).unwrap();
        let fresh = fresh
            .path()
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        assert_eq!(made(bench.compose(&fresh, layout, &content).await), warm);
    }
}

#[tokio::test]
async fn a_damaged_cache_entry_costs_a_try_and_no_wrong_index() {
    let bench = Bench::new();
    let content = bench.rpms("apple", "noarch");
    let sound = made(bench.compose("cache", rpm_layout(), &content).await);
    let name = content[0].artifact.sha256.to_string();
    let family = format!("cache/fragments/rpm-{}", repo_rpm::Fragment::FORMAT);
    let entry = bench.path(&family).join(&name[..2]).join(&name);
    std::fs::write(&entry, "{").unwrap();
    std::fs::remove_dir_all(bench.path("cache/blocks")).unwrap();
    let outcome = bench.compose("cache", rpm_layout(), &content).await;
    assert!(
        matches!(outcome, Outcome::Infrastructure { .. }),
        "{outcome:?}"
    );
    assert_eq!(
        made(bench.compose("cache", rpm_layout(), &content).await),
        sound
    );
}

#[tokio::test]
async fn content_that_does_not_fit_is_named() {
    let bench = Bench::new();
    let [apple, source] = bench.rpms("apple", "noarch");
    let [deb, dsc] = bench.debs("pear", "amd64");
    let check = async |layout: Repository, content: Placed, expect: &str| {
        assert_eq!(
            unfit(bench.compose("cache", layout, &[content]).await),
            expect
        );
    };
    let claim = |placed: &Placed, change: fn(&mut BuiltPackage)| {
        let mut placed = placed.clone();
        change(placed.artifact.package.as_mut().unwrap());
        placed
    };
    check(
        rpm_layout(),
        claim(&apple, |package| package.name = "openssl".into()),
        "apple-1-1.noarch.rpm cannot be published: its header says apple-1-1.noarch, which is not what its build recorded.",
    )
    .await;
    made(
        bench
            .compose("cache", rpm_layout(), &[apple.clone(), source])
            .await,
    );
    check(
        rpm_layout(),
        claim(&apple, |package| package.arch = "riscv64".into()),
        "apple-1-1.noarch.rpm is for riscv64, and the repository has only x86_64, aarch64. \
         Add the architecture to the repository, or refuse the package there.",
    )
    .await;
    check(
        deb_layout(),
        claim(&deb, |package| package.name = "openssl".into()),
        "The suite cannot be composed: failed to use the stored index entry of openssl: it is another package's; make it again from the package.",
    )
    .await;
    let mut elsewhere = deb;
    elsewhere.component = "contrib".into();
    check(
        deb_layout(),
        elsewhere,
        "The suite cannot be composed: failed to place pear in the index: suite bookworm has no component `contrib`; add it to the repository's components.",
    )
    .await;
    let mut alone = dsc;
    let part = alone.files.remove(0);
    check(
        deb_layout(),
        alone,
        &format!(
            "pear_1.0.dsc cannot be published: it lists pear_1.0.tar.xz with SHA-256 {}, which its build did not record.",
            part.sha256
        ),
    )
    .await;
    let outcome = bench
        .compose("cache", rpm_layout(), &[apple.clone(), apple])
        .await;
    assert!(unfit(outcome).contains("list each package once"));
}
