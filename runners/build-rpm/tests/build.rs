//! Source and build tasks with real dnf and rpmbuild, against the bridge.

#![allow(
    clippy::disallowed_methods,
    reason = "a test lays out files and asks real tools"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use runner_api::{
    Artifact, ArtifactKind, BuildScope, BuildTask, Facts, FailureKind, Origin, Outcome, PublicKeys,
    SourceFacts, SourceTask, TaskRef, TaskSpec,
};
use runner_build_rpm::BuildRpm;
use testkit::{
    Desk, artifacts_of, assert_failed, assert_trouble, bridge, cache, limits, sandbox, task_ref,
};

const KEY: &str = "keys/bridge-12.asc";

struct Bench {
    role: BuildRpm,
    desk: Desk,
}

impl Bench {
    async fn new() -> Self {
        let state = cache("build-rpm");
        Self {
            role: BuildRpm::new(sandbox(&state).await, &state),
            desk: Desk::new(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.desk.path(name)
    }

    async fn run(&self, spec: TaskSpec, inputs: Vec<(TaskRef, Vec<Artifact>)>) -> Outcome {
        self.desk.run(&self.role, spec, inputs).await
    }

    /// A git repository with the given files; answers the origin.
    fn commit(&self, files: &[(&str, &str)]) -> Origin {
        self.desk.commit(files)
    }

    async fn source(&self, origin: Origin) -> (TaskRef, Outcome) {
        self.source_with(origin, keys()).await
    }

    async fn source_with(&self, origin: Origin, keys: PublicKeys) -> (TaskRef, Outcome) {
        let spec = TaskSpec::Source(Box::new(SourceTask {
            package: "tiny".parse().expect("a name"),
            platform: "bridge-12".parse().expect("a name"),
            target: platform(),
            keys,
            origin,
            options: Default::default(),
            limits: limits(),
        }));
        (task_ref(&spec), self.run(spec, vec![]).await)
    }

    /// Builds the result of a source task with the packages of other builds at hand.
    async fn build(
        &self,
        source: (TaskRef, Outcome),
        linked: Vec<(TaskRef, Outcome)>,
    ) -> (TaskRef, Outcome) {
        let (task, outcome) = source;
        let Outcome::Succeeded { artifacts, .. } = outcome else {
            return (task, outcome);
        };
        let spec = TaskSpec::Build(Box::new(BuildTask {
            package: "tiny".parse().expect("a name"),
            platform: "bridge-12".parse().expect("a name"),
            target: platform(),
            keys: keys(),
            arch: "x86_64".parse().expect("an architecture"),
            scope: BuildScope::All,
            source: task.clone(),
            dependencies: linked.iter().map(|(task, _)| task.clone()).collect(),
            options: Default::default(),
            limits: limits(),
        }));
        let mut inputs = vec![(task, artifacts)];
        for (task, outcome) in linked {
            inputs.push((task, artifacts_of(&outcome).to_vec()));
        }
        (task_ref(&spec), self.run(spec, inputs).await)
    }
}

/// Source and build of a package in a bench of its own, and what came out.
async fn make(files: &[(&str, &str)]) -> Outcome {
    let bench = Bench::new().await;
    let source = bench.source(bench.commit(files)).await;
    bench.build(source, vec![]).await.1
}

fn platform() -> pipeline_spec::Platform {
    let bridge = bridge();
    let description =
        std::fs::read_to_string(&bridge.description).expect("the bridge's description");
    let list = description
        .split_once("\nbuildroot: [")
        .and_then(|(_, rest)| rest.split_once(']'));
    let buildroot: Vec<&str> = list.expect("a package set").0.split(", ").collect();
    serde_json::from_value(serde_json::json!({
        "architectures": ["x86_64", "aarch64"], "backend": "dnf", "format": "rpm",
        "first": ["bridge-base"], "buildroot": buildroot,
        "repos": [{"name": "bridge-12", "url": format!("file://{}", bridge.repository.display()), "keys": [KEY]}],
        "macros": {"dist": ".test"},
    }))
    .expect("a platform")
}

fn keys() -> PublicKeys {
    let armored = std::fs::read_to_string(&bridge().gpgkey).expect("the bridge's key");
    BTreeMap::from([(KEY.parse().expect("a path"), armored)])
}

fn spec(head: &str, build: &str) -> String {
    format!(
        "Name: tiny\nVersion: 1.0\nRelease: 1%{{?dist}}\nSummary: tiny\nLicense: MIT\nSource0: tiny-1.0.c\n{head}\n\
         %description\ntiny\n%package devel\nSummary: tiny\nRequires: tiny = %{{version}}-%{{release}}\nProvides: tiny-api = 3\n\
         %description devel\ntiny\n%prep\n%setup -c -T\ncp %{{SOURCE0}} tiny.c\n%build\n{build}\n%install\n\
         install -D tiny %{{buildroot}}%{{_bindir}}/tiny\ninstall -D -m 644 tiny.c %{{buildroot}}%{{_includedir}}/tiny.h\n\
         %files\n%{{_bindir}}/tiny\n%files devel\n%{{_includedir}}/tiny.h\n\
         %changelog\n* Tue Nov 14 2023 T <t@localhost> - 1.0-1\n- x\n"
    )
}

const CODE: &str = "#include <stdio.h>\nint main(void){puts(\"hello \" __DATE__);return 0;}\n";
const BUILD: &str = "gcc -O2 -g -o tiny tiny.c";

async fn try_spec(head: &str, build: &str) -> Outcome {
    make(&[("tiny.spec", &spec(head, build)), ("tiny-1.0.c", CODE)]).await
}

fn facts_of(outcome: &Outcome) -> &SourceFacts {
    let Outcome::Succeeded {
        facts: Facts::Source(facts),
        ..
    } = outcome
    else {
        panic!("{outcome:?}")
    };
    facts
}

fn names(outcome: &Outcome) -> Vec<&str> {
    artifacts_of(outcome)
        .iter()
        .map(|artifact| artifact.name.as_str())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_is_built_twice_with_the_same_bytes() {
    let first = try_spec("BuildRequires: zlib-devel", BUILD).await;
    let expect = [
        "tiny-1.0-1.test.x86_64.rpm",
        "tiny-debuginfo-1.0-1.test.x86_64.rpm",
        "tiny-debugsource-1.0-1.test.x86_64.rpm",
        "tiny-devel-1.0-1.test.x86_64.rpm",
        "buildroot.json",
    ];
    assert_eq!(names(&first), expect);
    let described = artifacts_of(&first)[3]
        .package
        .clone()
        .expect("a description");
    assert_eq!(
        (
            described.name.as_str(),
            described.version.as_str(),
            described.arch.as_str(),
            described.source.as_str()
        ),
        ("tiny-devel", "1.0-1.test", "x86_64", "tiny")
    );
    let second = try_spec("BuildRequires: zlib-devel", BUILD).await;
    assert_eq!(artifacts_of(&first), artifacts_of(&second));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_sees_the_packages_of_linked_builds() {
    let bench = Bench::new().await;
    let files: &[(&str, &str)] = &[
        ("tiny.spec", &spec("ExclusiveArch: x86_64", BUILD)),
        ("tiny-1.0.c", CODE),
    ];
    let (task, outcome) = bench.source(bench.commit(files)).await;
    let facts = facts_of(&outcome);
    let plain = facts
        .provides
        .iter()
        .filter(|name| !name.contains(['(', ')']) && !name.contains("-debug"));
    assert_eq!(
        plain.map(String::as_str).collect::<Vec<_>>(),
        ["tiny", "tiny-api", "tiny-devel"]
    );
    assert_eq!(facts.architectures[0].verdict, Ok(BuildScope::All));
    assert_eq!(
        facts.architectures[1].verdict,
        Err("ExclusiveArch: x86_64".to_owned())
    );
    let srpm = artifacts_of(&outcome)[0].clone();
    let first = bench.build((task, outcome), vec![]).await;

    let user = "Name: user\nVersion: 2\nRelease: 1\nEpoch: 4\nSummary: u\nLicense: MIT\nBuildArch: noarch\nBuildRequires: tiny-api >= 3\n\
                %description\nu\n%build\ntest -e %{_includedir}/tiny.h\ntiny > out\n%install\ninstall -D out %{buildroot}/usr/share/user/out\n%files\n/usr/share/user\n";
    let (task, outcome) = bench.source(bench.commit(&[("user.spec", user)])).await;
    let facts = facts_of(&outcome);
    assert_eq!(
        (facts.version.as_str(), &facts.build_requires[..]),
        ("4:2-1", &["tiny-api".to_owned()][..])
    );
    assert_eq!(
        facts.architectures[1].verdict,
        Err("BuildArch: noarch; it is built once, for x86_64".to_owned())
    );
    let second = bench.build((task, outcome), vec![first]).await.1;
    assert_eq!(names(&second), ["user-2-1.noarch.rpm", "buildroot.json"]);

    // The source RPM is a source of its own, taken as it is.
    let blob = bench.path("blobs").join(srpm.sha256.to_string());
    let file = bench.path(&srpm.name);
    std::fs::copy(blob, &file).expect("the source RPM in the store");
    let url = format!("file://{}", file.display()).parse().expect("a URL");
    let again = bench
        .source(Origin::Srpm {
            url,
            sha256: srpm.sha256,
        })
        .await;
    assert_eq!(artifacts_of(&again.1), [srpm]);
    assert!(names(&bench.build(again, vec![]).await.1).contains(&"tiny-1.0-1.test.x86_64.rpm"));
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_say_whose_fault_and_why() {
    let cases = [
        (
            "",
            "gcc -O2 -o tiny missing.c",
            FailureKind::Build,
            "missing.c",
        ),
        (
            "BuildRequires: no-such-package-here",
            BUILD,
            FailureKind::BuildDependencies,
            "no-such-package-here",
        ),
        (
            "Source1: gone.tar.gz",
            BUILD,
            FailureKind::SourceMissing,
            "names gone.tar.gz",
        ),
        ("%{lua:", BUILD, FailureKind::SourcePackage, "source RPM"),
        ("", "yes", FailureKind::LogLimit, "4 MiB"),
        (
            "",
            "getent hosts deb.debian.org || exit 7",
            FailureKind::Build,
            "exit 7",
        ),
        ("", "touch /usr/x", FailureKind::Build, "Read-only"),
    ];
    for (head, build, kind, words) in cases {
        assert_failed(&try_spec(head, build).await, kind, words);
    }
    let listed = format!("SHA256 (tiny-1.0.c) = {}\n", "0".repeat(64));
    let files: [(&str, &str); 3] = [
        ("tiny.spec", &spec("", BUILD)),
        ("tiny-1.0.c", CODE),
        ("sources", &listed),
    ];
    assert_failed(
        &make(&files).await,
        FailureKind::ChecksumMismatch,
        "tiny-1.0.c has the digest",
    );
    assert_failed(
        &make(&files[1..]).await,
        FailureKind::SourcePackage,
        "no .spec file",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn packages_of_another_key_are_refused_and_nobody_is_blamed() {
    let bench = Bench::new().await;
    let home = bench.path("gnupg");
    std::fs::create_dir(&home).expect("a directory");
    std::fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .expect("modes");
    let gpg = |args: &[&str]| {
        let output = Command::new("gpg")
            .arg("--homedir")
            .arg(&home)
            .args(["--batch", "--passphrase", ""])
            .args(args)
            .output();
        let output = output.expect("gpg runs (Debian package gnupg)");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("utf-8")
    };
    gpg(&["--quick-generate-key", "other", "ed25519", "sign", "never"]);
    let other = BTreeMap::from([(KEY.parse().expect("a path"), gpg(&["--armor", "--export"]))]);
    let origin = bench.commit(&[("tiny.spec", &spec("", BUILD)), ("tiny-1.0.c", CODE)]);
    let (_, outcome) = bench.source_with(origin, other).await;
    assert_trouble(&outcome, "make a root with dnf");
}

#[tokio::test(flavor = "multi_thread")]
async fn generated_requirements_are_installed() {
    let head = "BuildRequires: zlib-devel\n%generate_buildrequires\ntest -e /usr/include/zlib.h\necho 'bc >= 1'\nif test -e /usr/bin/bc; then echo flex; fi";
    let files = spec(
        "",
        "test -e /usr/bin/bc && test -e /usr/bin/flex\ngcc -g -O2 -o tiny tiny.c",
    );
    let files = files.replace(
        "%build",
        &format!("{}\n%build", head.split_once('\n').expect("two lines").1),
    );
    let files = files.replace(
        "%description\ntiny\n%package",
        "BuildRequires: zlib-devel\n%description\ntiny\n%package",
    );
    let outcome = make(&[("tiny.spec", &files), ("tiny-1.0.c", CODE)]).await;
    assert!(names(&outcome).contains(&"tiny-1.0-1.test.x86_64.rpm"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listed_source_is_fetched_and_checked() {
    let bench = Bench::new().await;
    let file = bench.path("far-1.txt");
    std::fs::write(&file, "far\n").expect("a file");
    let sum = Command::new("sha512sum")
        .arg(&file)
        .output()
        .expect("sha512sum runs (Debian package coreutils)");
    let sum = String::from_utf8(sum.stdout).expect("utf-8");
    let listed = format!(
        "SHA512 (far-1.txt) = {}\n",
        sum.split_whitespace().next().expect("a digest")
    );
    let far = format!(
        "Source1: file://{}/far-%{{major}}.txt",
        bench.path("").display()
    );
    let spec = spec(&format!("%global major 1\n{far}"), BUILD);
    let origin = bench.commit(&[
        ("tiny.spec", &spec),
        ("tiny-1.0.c", CODE),
        ("sources", &listed),
    ]);
    let (_, outcome) = bench.source(origin).await;
    assert_eq!(names(&outcome), ["tiny-1.0-1.test.src.rpm"]);
    let kinds: Vec<_> = artifacts_of(&outcome)
        .iter()
        .map(|artifact| artifact.kind)
        .collect();
    assert_eq!(kinds, [ArtifactKind::Srpm]);
}

#[tokio::test(flavor = "multi_thread")]
async fn scriptlets_of_a_linked_build_cannot_reach_the_machine() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = server.local_addr().expect("an address");
    // The port is another one each time, so that no root of an earlier run is found.
    let linked = format!(
        "Name: nosy\nVersion: 1\nRelease: 1\nSummary: n\nLicense: MIT\nBuildArch: noarch\n%description\nn\n\
         %post -p /bin/bash\nif exec 3<>/dev/tcp/127.0.0.1/{}; then seen=network; else seen=nothing; fi\n\
         echo $seen > /usr/share/nosy-seen\n%files\n",
        address.port()
    );
    let user = "Name: user\nVersion: 2\nRelease: 1\nSummary: u\nLicense: MIT\nBuildArch: noarch\nBuildRequires: nosy\n\
                %description\nu\n%build\ntest \"$(cat /usr/share/nosy-seen)\" = nothing\n%files\n";
    let bench = Bench::new().await;
    let source = bench.source(bench.commit(&[("nosy.spec", &linked)])).await;
    let first = bench.build(source, vec![]).await;
    assert_eq!(names(&first.1), ["nosy-1-1.noarch.rpm", "buildroot.json"]);
    let source = bench.source(bench.commit(&[("user.spec", user)])).await;
    let second = bench.build(source, vec![first]).await.1;
    assert_eq!(names(&second), ["user-2-1.noarch.rpm", "buildroot.json"]);
    // The same connection from outside of the sandbox is answered.
    std::net::TcpStream::connect(address).expect("the port is open");
}
