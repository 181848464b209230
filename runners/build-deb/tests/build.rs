//! Source and build tasks against real mmdebstrap, apt and dpkg-buildpackage.

#![allow(
    clippy::disallowed_methods,
    reason = "a test starts programs and opens ports"
)]

use std::collections::BTreeMap;

use runner_api::{
    Artifact, ArtifactKind, BuildScope, BuildTask, Facts, FailureKind, Origin, Outcome, SourceTask,
    TaskRef, TaskSpec,
};
use runner_build_deb::BuildDeb;
use testkit::{Desk, artifacts_of, assert_failed, cache, limits, sandbox, task_ref};

const PLATFORM: &str = r#"{"architectures": ["amd64"], "backend": "mmdebstrap", "buildroot": ["debhelper"],
  "format": "deb", "archives": [{"url": "host", "suites": ["bookworm"], "components": ["main"]}]}"#;

struct Bench {
    role: BuildDeb,
    desk: Desk,
}

impl Bench {
    async fn new() -> Self {
        let state = cache("build-deb");
        Self {
            role: BuildDeb::new(sandbox(&state).await, &state),
            desk: Desk::new(),
        }
    }

    async fn run(&self, spec: TaskSpec, inputs: Vec<(TaskRef, Vec<Artifact>)>) -> Outcome {
        self.desk.run(&self.role, spec, inputs).await
    }

    fn source(&self, origin: Origin) -> TaskSpec {
        TaskSpec::Source(Box::new(SourceTask {
            package: "tiny".parse().expect("a name"),
            platform: "debian-12".parse().expect("a name"),
            target: serde_json::from_str(PLATFORM).expect("a platform"),
            keys: BTreeMap::new(),
            origin,
            options: Default::default(),
            limits: limits(),
        }))
    }

    fn build(&self, source: &TaskRef, dependencies: Vec<TaskRef>) -> TaskSpec {
        TaskSpec::Build(Box::new(BuildTask {
            package: "tiny".parse().expect("a name"),
            platform: "debian-12".parse().expect("a name"),
            target: serde_json::from_str(PLATFORM).expect("a platform"),
            keys: BTreeMap::new(),
            arch: "amd64".parse().expect("an architecture"),
            scope: BuildScope::All,
            source: source.clone(),
            dependencies,
            options: Default::default(),
            limits: limits(),
        }))
    }

    /// Source and build of a package with these files, with the packages of other builds at hand, and
    /// what came out.
    async fn make(
        &self,
        files: &[(String, String)],
        linked: Vec<(TaskRef, Vec<Artifact>)>,
    ) -> (TaskRef, Outcome) {
        let files: Vec<(&str, &str)> = files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
            .collect();
        let spec = self.source(self.desk.commit(&files));
        let task = task_ref(&spec);
        match self.run(spec, vec![]).await {
            Outcome::Succeeded { artifacts, .. } => {
                let names = linked.iter().map(|(task, _)| task.clone()).collect();
                let spec = self.build(&task, names);
                let mut inputs = vec![(task, artifacts)];
                inputs.extend(linked);
                (task_ref(&spec), self.run(spec, inputs).await)
            }
            other => (task, other),
        }
    }
}

fn package(rules: &str, build_depends: &str) -> Vec<(String, String)> {
    let files = vec![
        ("debian/changelog", "tiny (1.0) bookworm; urgency=low\n\n  * x\n\n -- T <t@localhost>  Tue, 14 Nov 2023 22:13:20 +0000\n".to_owned()),
        ("debian/control", format!("Source: tiny\nMaintainer: T <t@localhost>\nBuild-Depends: debhelper-compat (= 13){build_depends}\nStandards-Version: 4.6.2\n\nPackage: tiny\nArchitecture: any\nDepends: ${{shlibs:Depends}}\nDescription: tiny\n tiny\n")),
        ("debian/source/format", "3.0 (native)\n".to_owned()),
        ("debian/rules", format!("#!/usr/bin/make -f\n%:\n\tdh $@\noverride_dh_auto_build:\n\t{rules}\noverride_dh_auto_install:\n\tinstall -D hello debian/tiny/usr/bin/tiny-hello\n")),
        ("hello.c", "#include <stdio.h>\nint main(void){puts(\"hello\");return 0;}\n".to_owned()),
    ];
    files
        .into_iter()
        .map(|(path, text)| (path.to_owned(), text))
        .collect()
}

async fn make(rules: &str, build_depends: &str) -> Outcome {
    let bench = Bench::new().await;
    let files = package(rules, build_depends);
    bench.make(&files, vec![]).await.1
}

fn digests(outcome: &Outcome) -> Vec<(String, String)> {
    artifacts_of(outcome)
        .iter()
        .filter(|artifact| artifact.kind == ArtifactKind::Deb)
        .map(|artifact| (artifact.name.clone(), artifact.sha256.to_string()))
        .collect()
}

const BUILD: &str = "gcc -O2 -g -o hello hello.c";

#[tokio::test(flavor = "multi_thread")]
async fn a_package_is_built_twice_with_the_same_bytes() {
    let first = make(BUILD, "").await;
    let Outcome::Succeeded { artifacts, facts } = &first else {
        panic!("{first:?}")
    };
    let names: Vec<&str> = artifacts
        .iter()
        .map(|artifact| artifact.name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "tiny-dbgsym_1.0_amd64.deb",
            "tiny_1.0_amd64.buildinfo",
            "tiny_1.0_amd64.changes",
            "tiny_1.0_amd64.deb",
            "buildroot.json"
        ]
    );
    assert!(matches!(facts, Facts::Build(_)));
    assert_eq!(digests(&first), digests(&make(BUILD, "").await));
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_say_whose_fault_and_why() {
    let cases = [
        (
            "gcc -O2 -o hello missing.c",
            "",
            FailureKind::Build,
            "missing.c",
        ),
        (
            BUILD,
            ", no-such-package-here",
            FailureKind::BuildDependencies,
            "no-such-package-here",
        ),
        ("yes", "", FailureKind::LogLimit, "4 MiB"),
        (
            "dd if=/dev/zero of=big bs=1M count=2000",
            "",
            FailureKind::DiskFull,
            "1024 MiB",
        ),
        (
            "getent hosts localhost.localdomain.invalid deb.debian.org || exit 7",
            "",
            FailureKind::Build,
            "build",
        ),
    ];
    for (rules, depends, kind, words) in cases {
        assert_failed(&make(rules, depends).await, kind, words);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn maintainer_scripts_of_a_linked_build_cannot_reach_the_machine() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = server.local_addr().expect("an address");
    // The port is another one each time, so that no root of an earlier run is found.
    let script = format!(
        "#!/bin/bash\nset -e\nif exec 3<>/dev/tcp/127.0.0.1/{}; then seen=network; else seen=nothing; fi\n\
         echo $seen $(tail -n +3 /proc/net/dev | cut -d: -f1) > /usr/share/tiny-seen\n",
        address.port()
    );
    let bench = Bench::new().await;
    let mut files = package(BUILD, "");
    files.push(("debian/tiny.postinst".to_owned(), script));
    let (task, outcome) = bench.make(&files, vec![]).await;
    let artifacts = artifacts_of(&outcome).to_vec();
    let rules =
        "test \"$$(cat /usr/share/tiny-seen)\" = 'nothing lo'\n\tgcc -O2 -g -o hello hello.c";
    let user: Vec<_> = package(rules, ", tiny")
        .into_iter()
        .map(|(path, text)| {
            let text = match path.as_str() {
                "debian/changelog" => text.replace("tiny (", "user ("),
                "debian/control" => text.replace("Source: tiny", "Source: user"),
                _ => text,
            };
            (path, text)
        })
        .collect();
    let (_, outcome) = bench.make(&user, vec![(task, artifacts)]).await;
    assert!(matches!(outcome, Outcome::Succeeded { .. }), "{outcome:?}");
    // The same connection from outside of the sandbox is answered.
    std::net::TcpStream::connect(address).expect("the port is open");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_linked_build_whose_script_fails_is_at_fault() {
    let bench = Bench::new().await;
    let mut files = package(BUILD, "");
    let script = "#!/bin/sh\necho Failed to fetch\nexit 3\n";
    files.push(("debian/tiny.preinst".to_owned(), script.to_owned()));
    let (task, outcome) = bench.make(&files, vec![]).await;
    let artifacts = artifacts_of(&outcome).to_vec();
    let user = package(BUILD, ", tiny");
    let (_, outcome) = bench.make(&user, vec![(task, artifacts)]).await;
    assert_failed(
        &outcome,
        FailureKind::BuildDependencies,
        "tiny package pre-installation script",
    );
}
