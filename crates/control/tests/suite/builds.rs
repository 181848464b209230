//! Builds, from a push to a status file.

use ports::{ArtifactStore as _, Platform as _};
use runner_api::{FailureKind, HeartbeatReply, Outcome, ResultReply, TaskSpec, protocol::Attempt};

use crate::fixture::{APP, build, build_on};
use crate::runners::{failure, manifest};
use crate::world::{Act, World, path};

fn requires(world: &mut World, package: &str, what: &str) {
    let requires = vec![what.to_owned()];
    world.upstream.requires.insert(package.to_owned(), requires);
}

#[tokio::test]
async fn a_build_runs_from_push_to_status_file() {
    let mut world = World::new().await;
    requires(&mut world, "app", "lib-devel");
    let line = "ExclusiveArch: x86_64".to_owned();
    let key = ("lib".to_owned(), "aarch64".to_owned());
    world.upstream.excluded.insert(key, line);
    world.merge(&[(APP, Some(&build(&["app", "lib"])))]).await;
    insta::assert_snapshot!("build_story", world.story().await);
    let text = world.written(APP).await.expect("it was reported");
    let read: control::StatusFile = serde_saphyr::from_str(&text).expect("it reads back");
    // The branch alone names the record.
    let digest = read.record.expect("a record");
    let kept = world.memory.store().size(&digest).await.expect("memory");
    assert!(kept.is_some(), "the record is not in the store");
    let status = control::StatusFile {
        record: Some(digest),
        ..world.status(APP).await
    };
    assert_eq!(read, status);
    insta::assert_snapshot!("build_status_file", text);
}

#[tokio::test]
async fn a_debian_build_keeps_its_sources() {
    let mut world = World::new().await;
    let text = build_on("debian-12:", &["tool"]);
    world.merge(&[(APP, Some(&text))]).await;
    assert_eq!(world.phase(APP).await, "succeeded");
}

#[tokio::test]
async fn a_package_failure_is_never_retried_and_names_what_waits_in_vain() {
    let mut world = World::new().await;
    requires(&mut world, "app", "lib");
    world.script(|grant| match &grant.spec {
        TaskSpec::Build(task) if task.package.as_str() == "lib" => {
            Act::Say(failure(FailureKind::Build, "make: no rule to make target"))
        }
        _ => Act::Work,
    });
    let text = build_on("el-10: [x86_64]", &["app", "lib"]);
    world.merge(&[(APP, Some(&text))]).await;
    world.heal().await;
    insta::assert_snapshot!("build_failed", world.story().await);
    let failed = world.task(APP, "build lib for el-10 x86_64");
    assert_eq!(failed.attempts.len(), 1);
    // The person mends the cause outside and asks again.
    world.script(|_| Act::Work);
    assert_eq!(
        world
            .control
            .retry_request(&path(APP))
            .await
            .expect("it failed"),
        1
    );
    world.quiet().await;
    assert_eq!(world.phase(APP).await, "succeeded");
}

#[tokio::test]
async fn a_canceled_task_goes_again_only_with_its_inputs() {
    let mut world = World::new().await;
    world.script(|_| Act::Hold);
    world.merge(&[(APP, Some(&build(&["app"])))]).await;
    // Everything else is refused while the source is made.
    assert_eq!(
        world
            .control
            .cancel_request(&path(APP), "wrong branch")
            .await
            .expect("open"),
        1
    );
    let (id, grant) = &world.held[0];
    let attempt = Attempt {
        task: grant.task.clone(),
        attempt: grant.attempt,
    };
    let heard = world
        .control
        .heartbeat(id, &attempt)
        .await
        .expect("no fault is armed");
    let reason = "wrong branch".to_owned();
    assert_eq!(heard, HeartbeatReply::Cancel { reason });
    world.finish_held().await;
    world.quiet().await;
    assert_eq!(world.phase(APP).await, "canceled");
    world.script(|_| Act::Work);
    world
        .control
        .retry_request(&path(APP))
        .await
        .expect("it was canceled");
    world.quiet().await;
    assert_eq!(world.phase(APP).await, "succeeded");
    assert_eq!(world.task(APP, "source app for el-10").state.attempt(), 2);
}

#[tokio::test]
async fn a_retry_of_all_runs_nothing_before_its_inputs() {
    let mut world = World::new().await;
    world.script(|grant| match &grant.spec {
        TaskSpec::Build(_) => Act::Hold,
        _ => Act::Work,
    });
    let text = build_on("el-10: [x86_64]", &["app"]);
    world.merge(&[(APP, Some(&text))]).await;
    // The build is leased, its test is blocked: both are canceled.
    assert_eq!(
        world
            .control
            .cancel_request(&path(APP), "no")
            .await
            .expect("open"),
        2
    );
    world.finish_held().await;
    world.quiet().await;
    world.script(|grant| {
        if let TaskSpec::Test(task) = &grant.spec {
            assert!(
                !grant.inputs[&task.build.id].is_empty(),
                "tested before it was built"
            );
        }
        Act::Work
    });
    assert_eq!(
        world
            .control
            .retry_request(&path(APP))
            .await
            .expect("canceled"),
        2
    );
    world.quiet().await;
    assert_eq!(world.phase(APP).await, "succeeded");
}

#[tokio::test]
async fn what_needs_a_canceled_task_ends_with_it_and_comes_back_with_it() {
    let mut world = World::new().await;
    world.script(|grant| match &grant.spec {
        TaskSpec::Build(_) => Act::Hold,
        _ => Act::Work,
    });
    let text = build_on("el-10: [x86_64]", &["app"]);
    world.merge(&[(APP, Some(&text))]).await;
    let built = world.task(APP, "build app for el-10 x86_64").task;
    world
        .control
        .cancel_task(&built, "too big")
        .await
        .expect("it is leased");
    // The runner hands it back as soon as it hears.
    let reason = "told to stop".to_owned();
    world.say_held(Outcome::HandedBack { reason }).await;
    world.quiet().await;
    insta::assert_snapshot!("build_canceled", world.story().await);
    let attempts = world.task(APP, "build app for el-10 x86_64").attempts;
    assert_eq!(
        attempts[0].end,
        "canceled: too big (handed back: told to stop)"
    );
    let summary = &world.control.status().await.expect("no fault").requests[0];
    assert_eq!((&*summary.phase, summary.at_rest), ("canceled", true));
    // A retry of the one task brings back what needs it.
    world.script(|_| Act::Work);
    world
        .control
        .retry_task(&built)
        .await
        .expect("it was canceled");
    world.quiet().await;
    assert_eq!(world.phase(APP).await, "succeeded");
}

#[tokio::test]
async fn an_edit_leaves_no_failure_of_the_old_version_behind() {
    let mut world = World::new().await;
    world.script(|grant| match &grant.spec {
        TaskSpec::Source(task) if task.package.as_str() == "lib" => {
            Act::Say(failure(FailureKind::Build, "no such file"))
        }
        _ => Act::Work,
    });
    world.merge(&[(APP, Some(&build(&["lib"])))]).await;
    assert_eq!(world.phase(APP).await, "failed");
    let failed = world.task(APP, "source lib for el-10").task;
    world.merge(&[(APP, Some(&build(&["app"])))]).await;
    let status = world.status(APP).await;
    let left: Vec<&str> = status.tasks.iter().map(|task| &*task.state).collect();
    assert_eq!((&*status.phase, left), ("succeeded", vec!["succeeded"; 5]));
    let summary = &world.control.status().await.expect("no fault").requests[0];
    assert_eq!(summary.tasks.keys().collect::<Vec<_>>(), ["succeeded"]);
    // It is still found by its id, and stands as it ended when it is wanted again.
    let id = failed.id.to_string();
    let found = world
        .control
        .find_task(&id[..8])
        .await
        .expect("it is known");
    assert_eq!(found, failed);
    world.merge(&[(APP, Some(&build(&["lib"])))]).await;
    assert_eq!(world.phase(APP).await, "failed");
    assert_eq!(world.task(APP, "source lib for el-10").state.attempt(), 1);
}

#[tokio::test]
async fn a_request_whose_file_is_gone_is_found_by_its_name_alone() {
    let mut world = World::new().await;
    world.merge(&[(APP, Some(&build(&["app"])))]).await;
    world.merge(&[(APP, None)]).await;
    let status = world.control.status().await.expect("no fault is armed");
    assert_eq!((status.requests, status.more), (Vec::new(), false));
    assert_eq!(world.phase(APP).await, "removed");
    let written = world.written(APP).await.expect("its answer is final");
    assert!(written.contains("phase: removed"), "{written}");
    world.merge(&[(APP, Some(&build(&["app"])))]).await;
    let status = world.control.status().await.expect("no fault is armed");
    assert_eq!(status.requests[0].phase, "succeeded");
}

#[tokio::test]
async fn status_of_many_requests_reads_the_open_the_failed_and_the_newest() {
    let mut world = World::new().await;
    let name = |n: usize| format!("builds/2026/11/r{n:03}.yaml");
    let (good, bad) = (build_on("el-10: [x86_64]", &["app"]), build(&["ghost"]));
    world.merge(&[(&name(0), Some(&bad))]).await;
    let names: Vec<String> = (1..60).map(name).collect();
    let files: Vec<(&str, Option<&str>)> =
        names.iter().map(|name| (&**name, Some(&*good))).collect();
    world.merge(&files).await;
    let status = world.control.status().await.expect("no fault is armed");
    let shown: Vec<&str> = status.requests.iter().map(|r| r.path.as_str()).collect();
    assert_eq!((shown.len(), shown[0], status.more), (51, &*name(59), true));
    // The oldest one waits for a person.
    assert_eq!(
        (shown[50], &*status.requests[50].phase),
        (&*name(0), "failed")
    );
}

/// The simulator's seed 2874: the runner heard neither, and its lease ended when all else was done.
#[tokio::test]
async fn what_was_canceled_and_is_then_not_wanted_is_no_part_of_the_answer() {
    let mut world = World::new().await;
    world.script(|_| Act::Hold);
    world.merge(&[(APP, Some(&build(&["app"])))]).await;
    let request = path(APP);
    let canceled = world.control.cancel_request(&request, "not needed").await;
    canceled.expect("it is open");
    world.script(|_| Act::Work);
    world.merge(&[(APP, Some(&build(&["lib"])))]).await;
    assert_eq!(world.phase(APP).await, "succeeded");
    world.heal().await;
    let titles = world.status(APP).await.tasks.into_iter();
    let of_app: Vec<String> = titles
        .map(|task| task.title)
        .filter(|title| title.contains("app"))
        .collect();
    assert_eq!(of_app, Vec::<String>::new());
    assert_eq!(world.phase(APP).await, "succeeded");
}

#[tokio::test]
async fn an_edit_supersedes_what_it_does_not_want() {
    let mut world = World::new().await;
    world.script(|_| Act::Hold);
    world.merge(&[(APP, Some(&build(&["app", "lib"])))]).await;
    world.script(|_| Act::Work);
    world.merge(&[(APP, Some(&build(&["app"])))]).await;
    // The held ones are told, and end as superseded or as wanted.
    while !world.held.is_empty() {
        world.finish_held().await;
    }
    world.quiet().await;
    insta::assert_snapshot!("build_edited", world.story().await);
}

#[tokio::test]
async fn removal_cancels_and_return_goes_on() {
    let mut world = World::new().await;
    world.script(|_| Act::Hold);
    let text = build(&["app"]);
    world.merge(&[(APP, Some(&text))]).await;
    world.merge(&[(APP, None)]).await;
    assert_eq!(world.phase(APP).await, "removed");
    let open = world
        .control
        .open_requests()
        .await
        .expect("no fault is armed");
    assert_eq!(open, [path(APP)], "a runner still has a task of it");
    assert_eq!(world.finish_held().await, ResultReply::Accepted);
    world.quiet().await;
    assert!(
        world
            .control
            .open_requests()
            .await
            .expect("no fault is armed")
            .is_empty()
    );
    assert_eq!(
        world.task(APP, "source app for el-10").state.word(),
        "canceled"
    );
    world.script(|_| Act::Work);
    world.merge(&[(APP, Some(&text))]).await;
    assert_eq!(world.phase(APP).await, "succeeded");
}

#[tokio::test]
async fn a_result_that_breaks_the_contract_is_refused() {
    let mut world = World::new().await;
    world.script(|_| Act::Hold);
    world.merge(&[(APP, Some(&build(&["app"])))]).await;
    let (runner, grant) = world.held[0].clone();
    let good = world.workshop().work(&grant).await;
    let refused = async |change: &dyn Fn(&mut Outcome)| {
        let mut outcome = good.clone();
        change(&mut outcome);
        let result = manifest(&grant, &runner, outcome);
        let answer = world.control.finish(&runner, &result).await;
        answer
            .expect("no fault is armed")
            .expect_err("it breaks the contract")
            .0
    };
    let artifacts = |outcome: &mut Outcome, change: &dyn Fn(&mut runner_api::Artifact)| {
        if let Outcome::Succeeded { artifacts, .. } = outcome {
            change(&mut artifacts[0]);
        }
    };
    let said = [
        refused(&|outcome| artifacts(outcome, &|it| it.size += 1)).await,
        refused(&|outcome| {
            artifacts(outcome, &|it| {
                it.sha256 = pipeline_spec::Sha256Digest::new([7; 32])
            });
        })
        .await,
        refused(&|outcome| artifacts(outcome, &|it| it.name = "../../etc/passwd".to_owned())).await,
        refused(&|outcome| {
            if let Outcome::Succeeded { facts, .. } = outcome {
                *facts = runner_api::Facts::Nothing;
            }
        })
        .await,
    ];
    insta::assert_snapshot!("refused_results", said.join("\n"));
    assert_eq!(world.finish_held().await, ResultReply::Accepted);
}

#[tokio::test]
async fn a_linked_build_is_waited_for_even_when_it_fails_first() {
    let mut world = World::new().await;
    world.script(|_| Act::Say(failure(FailureKind::SourcePackage, "no spec")));
    let linked = "builds/2026/11/zlib.yaml";
    let text = format!("{}with: [{linked}]\n", build(&["app"]));
    // Both in one commit; the linked one is admitted last.
    world.merge(&[(linked, Some(&build(&["lib"])))]).await;
    world.script(|_| Act::Work);
    world.merge(&[(APP, Some(&text))]).await;
    insta::assert_snapshot!("linked_waits", world.story().await);
    world
        .control
        .retry_request(&path(linked))
        .await
        .expect("it failed");
    world.quiet().await;
    assert_eq!(world.phase(APP).await, "succeeded");
    let build = world.task(APP, "build app for el-10 aarch64");
    assert_eq!(
        build.spec.inputs().len(),
        3,
        "its source, and lib of both architectures"
    );
}

#[tokio::test]
async fn linked_builds_of_one_commit_need_no_order() {
    let mut world = World::new().await;
    let linked = "builds/2026/11/zlib.yaml";
    let text = format!("{}with: [{linked}]\n", build(&["app"]));
    world
        .merge(&[(APP, Some(&text)), (linked, Some(&build(&["lib"])))])
        .await;
    assert_eq!(world.phase(APP).await, "succeeded");
}
