//! What keeps scratch builds out of releases and other builds, also where rows name them that no control plane writes.

use control::Error;
use ledger::{Expect, Key, Phase, RequestRow, RequestSpec, Row};
use pipeline_spec::{Priority, RequestPath};
use ports::{Applied, Clock, Ledger, Platform};
use runner_api::{Offer, Recorded, SignMetadataTask, SignPackagesTask, TaskId, TaskRef, TaskSpec};

use crate::fixture::{APP, RELEASE, build, release};
use crate::review::{OTHER, one};
use crate::scratch::{asks, scratch, stage};
use crate::world::{World, path};

/// Puts rows into the ledger that no control plane writes.
pub(crate) async fn forge_row(world: &World, key: Key, row: Row) {
    let mut change = ledger::Change::default();
    change.replace(key, Expect::Absent, row);
    let now = world.memory.clock().now();
    let applied = world.memory.ledger().apply(change, now).await;
    assert_eq!(applied.expect("memory"), Applied::Done);
}

async fn forge_request(world: &World, of: &str, spec: RequestSpec) -> RequestPath {
    let request = RequestRow {
        path: path(of),
        commit: world.tip("main").await,
        time: 0,
        author: "Eve <eve@example.org>".to_owned(),
        sequence: 9,
        spec: Some(spec),
        phase: Phase::Open,
        problems: Vec::new(),
        notes: Vec::new(),
    };
    let key = Key::request(&request.path);
    forge_row(world, key, Row::Request(Box::new(request))).await;
    world
        .control
        .advance(&path(of))
        .await
        .expect("no fault is armed");
    path(of)
}

/// A row that names a scratch build where no file can.
fn forged<T: serde::de::DeserializeOwned + serde::Serialize>(
    real: &T,
    named: &str,
    by: &RequestPath,
) -> T {
    let text = serde_json::to_string(real).expect("a row");
    assert!(text.contains(named));
    serde_json::from_str(&text.replace(named, by.as_str())).expect("rows know scratch builds")
}

#[tokio::test]
async fn a_row_that_would_release_a_scratch_build_releases_nothing() {
    let (mut world, forge, pull) = stage(&[(APP, Some(&one("app")))]).await;
    asks(&world, &forge, &pull, None).await;
    world.quiet().await;
    let scratch = scratch(&pull, APP);
    let text = release(&[APP], &["base"]);
    let real = pipeline_spec::parse_release(&path(RELEASE), text.as_bytes()).expect("a release");
    let real = forged(&real, APP, &scratch);
    let spec = RequestSpec::Release(Box::new(real));
    forge_request(&world, RELEASE, spec.clone()).await;
    world.quiet().await;
    let status = world.status(RELEASE).await;
    assert_eq!(status.phase, "failed");
    assert!(
        status.problems[0]
            .message
            .contains("nothing of one is ever released")
    );
    assert!(world.tasks(RELEASE).is_empty());
    // Nor is a scratch build a release itself.
    let own = RequestPath::scratch(9, &pull.head, &path(APP)).expect("a build");
    forge_request(&world, own.as_str(), spec).await;
    let status = world.control.request_status(&own).await;
    let status = status.expect("no fault").expect("it is there");
    assert_eq!(status.phase, "failed");
    assert!(world.pointer("base").await.is_none());
    // Nor is a build made with one.
    let text = format!("{}with: [{OTHER}]\n", one("app"));
    let real = pipeline_spec::parse_build(&path(APP), text.as_bytes()).expect("a build");
    let real = forged(&real, OTHER, &scratch);
    forge_request(&world, APP, RequestSpec::Build(Box::new(real))).await;
    let status = world.status(APP).await;
    assert_eq!(status.phase, "failed");
    assert!(
        status.problems[0]
            .message
            .contains("nothing but a scratch build")
    );
    assert!(world.tasks(APP).is_empty());
}

#[tokio::test]
async fn no_runner_gets_a_task_that_signs_for_a_scratch_build() {
    let (mut world, forge, pull) = stage(&[(APP, Some(&one("app")))]).await;
    asks(&world, &forge, &pull, None).await;
    world.quiet().await;
    let request = scratch(&pull, APP);
    let build = world.task(request.as_str(), "build app for el-10 x86_64");
    let spec = TaskSpec::SignMetadata(Box::new(SignMetadataTask {
        repository: "base".parse().expect("a name"),
        key: "main".parse().expect("an id"),
        files: None,
        compose: build.task.clone(),
        time: 0,
    }));
    let packages = TaskSpec::SignPackages(Box::new(SignPackagesTask {
        repository: "base".parse().expect("a name"),
        key: "main".parse().expect("an id"),
        files: None,
        packages: vec![Recorded {
            artifact: build.artifacts()[0].clone(),
            built_by: build.task.clone(),
        }],
        time: 0,
    }));
    for (of, spec) in [
        (request.clone(), spec.clone()),
        (path(RELEASE), spec),
        (request, packages.clone()),
        (path(RELEASE), packages),
    ] {
        let task = TaskRef {
            id: TaskId::of(&of, &spec),
            request: of,
        };
        let row = ledger::TaskRow::planned(task.clone(), spec.clone(), "a test".to_owned(), 0);
        let row = ledger::TaskRow {
            state: ledger::TaskState::Ready {
                attempt: 1,
                not_before: 0,
            },
            ..row
        };
        forge_row(&world, Key::task(&task), Row::Task(Box::new(row))).await;
        let signer = "signer".parse().expect("an id");
        let runner = world.control.runner(&signer).await;
        let runner = runner.expect("no fault").expect("it is enrolled");
        let offer = Offer {
            task,
            attempt: 1,
            priority: Priority::Normal,
        };
        let leased = world.control.lease(&signer, &runner, &offer).await;
        let error = leased.expect_err("it is refused");
        assert!(matches!(error, Error::Inconsistent(_)), "{error}");
    }
}

#[tokio::test]
async fn the_same_build_has_another_identity() {
    let real: RequestPath = path(APP);
    let (mut world, forge, pull) = stage(&[(APP, Some(&build(&["app"])))]).await;
    asks(&world, &forge, &pull, None).await;
    world.quiet().await;
    for row in world.tasks(scratch(&pull, APP).as_str()) {
        assert_eq!(row.task.id, TaskId::of(&row.task.request, &row.spec));
        assert_ne!(row.task.id, TaskId::of(&real, &row.spec));
    }
}
