//! The role with a sandbox that is kept between runs, and a folder in the place of the store.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use openpgp::{KeyKind, SigningKey};
use pipeline_spec::Repository;
use runner_api::{
    Artifact, ArtifactKind, ComposeTask, Facts, Failure, FailureKind, Outcome, Placed, TaskRef,
    TaskSpec, TreeFile,
};
use runner_compose::Compose;
use runner_test::InstallTest;
use testkit::{Desk, cache, named, run, sandbox, write};

/// 2026-11-01.
pub(crate) const TIME: i64 = 1_793_491_200;

pub(crate) struct Bench {
    role: InstallTest,
    desk: Desk,
}

/// The desk's own.
impl std::ops::Deref for Bench {
    type Target = Desk;

    fn deref(&self) -> &Desk {
        &self.desk
    }
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let state = cache("test-role");
        Self {
            role: InstallTest::new(sandbox(&state).await, &state),
            desk: Desk::new(),
        }
    }

    pub(crate) async fn run(
        &self,
        spec: TaskSpec,
        inputs: Vec<(TaskRef, Vec<Artifact>)>,
    ) -> Outcome {
        self.desk.run(&self.role, spec, inputs).await
    }

    /// What compose makes of the packages.
    pub(crate) async fn compose(
        &self,
        layout: &Repository,
        packages: &[Artifact],
    ) -> Vec<Artifact> {
        let placed: Vec<Placed> = packages
            .iter()
            .map(|artifact| Placed {
                artifact: artifact.clone(),
                component: String::new(),
                built_by: named("build"),
                files: Vec::new(),
            })
            .collect();
        let content = serde_json::to_vec(&placed).expect("JSON");
        let content = self.store("content", &content, ArtifactKind::Tree).sha256;
        let task = ComposeTask {
            repository: "test".parse().expect("a name"),
            layout: layout.clone(),
            content,
            time: TIME,
        };
        let compose = Compose::open(self.path("compose")).expect("a cache");
        let spec = TaskSpec::Compose(Box::new(task));
        match self.desk.run(&compose, spec, Vec::new()).await {
            Outcome::Succeeded { artifacts, .. } => artifacts,
            other => panic!("{other:?}"),
        }
    }

    /// The cases of the report that the task stored, each failed one with what was seen. A task whose
    /// cases do not all pass has failed with `kind`, and names the first.
    #[track_caller]
    pub(crate) fn cases(&self, outcome: Outcome, kind: FailureKind) -> Vec<String> {
        let (artifacts, told) = match outcome {
            Outcome::Succeeded {
                artifacts,
                facts: Facts::Test(facts),
            } => {
                assert!(
                    facts.cases.iter().all(|case| case.problem.is_none()),
                    "{facts:?}"
                );
                (artifacts, None)
            }
            Outcome::Failed { failure, artifacts } => {
                assert_eq!(failure.kind, kind, "{failure:?}");
                assert!(
                    (1..=Failure::MAX_EXCERPT).contains(&failure.excerpt.len()),
                    "{failure:?}"
                );
                (artifacts, Some(failure.message))
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(artifacts.len(), 1);
        assert_eq!(
            (artifacts[0].kind, artifacts[0].name.as_str()),
            (ArtifactKind::Tap, "test.tap")
        );
        let tap = String::from_utf8(self.load(&artifacts[0])).expect("UTF-8");
        let mut cases: Vec<String> = Vec::new();
        for line in tap.lines() {
            if line.starts_with("ok ") || line.starts_with("not ok ") {
                cases.push(line.to_owned());
            } else if let (Some(message), Some(last)) =
                (line.strip_prefix("  message: "), cases.last_mut())
            {
                last.push_str(": ");
                last.push_str(message.trim_matches('"'));
            }
        }
        let first = cases.iter().find(|case| case.starts_with("not ok"));
        assert_eq!(first.is_some(), told.is_some());
        if let (Some(first), Some(told)) = (first, told) {
            let (_, name) = first.split_once(" - ").expect("a name");
            let (name, _) = name.split_once(": ").expect("a message");
            assert!(
                told.starts_with(&format!("{name}: ")),
                "{told:?} does not begin with {name:?}"
            );
        }
        cases
    }
}

/// Among the cases of this package, which end in its name, `case` failed first, and `words` say why.
#[track_caller]
pub(crate) fn assert_failed(cases: &[String], case: &str, words: &str) {
    let (_, name) = case.rsplit_once(' ').expect("a case and a package");
    let marks = [format!(" {name}"), format!(" {name}: ")];
    let mut own = cases
        .iter()
        .filter(|line| line.ends_with(&marks[0]) || line.contains(&marks[1]));
    let failed = own.find(|line| line.starts_with("not ok"));
    let told =
        failed.is_some_and(|line| line.contains(&format!("- {case}: ")) && line.contains(words));
    assert!(
        told,
        "{case:?} did not fail first with {words:?}: {cases:#?}"
    );
}

pub(crate) fn key() -> SigningKey {
    SigningKey::generate(KeyKind::Ed25519, "Test <test@localhost>", 1_700_000_000).expect("a key")
}

pub(crate) fn no_keys() -> runner_api::PublicKeys {
    BTreeMap::new()
}

/// The file with a bit turned over, in the store.
pub(crate) fn flipped(bench: &Bench, path: &str, file: &TreeFile) -> TreeFile {
    let artifact = Artifact {
        name: path.to_owned(),
        sha256: file.sha256,
        size: file.size,
        kind: ArtifactKind::Unsigned,
        package: None,
    };
    let mut bytes = bench.load(&artifact);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let made = bench.store(path, &bytes, ArtifactKind::Unsigned);
    TreeFile {
        sha256: made.sha256,
        size: made.size,
    }
}

/// A program whose shared library is not beside it.
pub(crate) fn link_against_nothing(directory: &Path, program: &Path) {
    write(
        &directory.join("lib.c"),
        "int f(void) { return 0; }\n",
        0o644,
    );
    write(
        &directory.join("main.c"),
        "int f(void);\nint main(void) { return f(); }\n",
        0o644,
    );
    let library = directory.join("libnowhere.so.1");
    run(
        Command::new("gcc")
            .args(["-shared", "-Wl,-soname,libnowhere.so.1", "-o"])
            .arg(&library)
            .arg(directory.join("lib.c")),
        "gcc",
    );
    run(
        Command::new("gcc")
            .arg("-o")
            .arg(program)
            .arg(directory.join("main.c"))
            .arg(&library),
        "gcc",
    );
}
