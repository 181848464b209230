//! What a commit brings: requests, broken requests, broken configuration, rewritten history.

use control::{Planned, Reported};
use ledger::Row;
use ports::{NewCommit, Platform};

use crate::faults::When;
use crate::fixture::{APP, CONFIG, RELEASE, build, build_on, release};
use crate::world::{Act, World, path};

const OTHER: &str = "builds/2026/11/other.yaml";

#[tokio::test]
async fn the_same_commit_writes_nothing_twice() {
    let mut world = World::new().await;
    world.merge(&[(APP, Some(&build(&["app"])))]).await;
    world
        .merge(&[(RELEASE, Some(&release(&[APP], &["base"])))])
        .await;
    let before = world.rows();
    assert_eq!(
        world.control.plan_head().await.expect("no fault is armed"),
        Planned::UpToDate
    );
    for request in [APP, RELEASE] {
        world
            .control
            .advance(&path(request))
            .await
            .expect("no fault is armed");
    }
    world.control.sweep().await.expect("no fault is armed");
    assert_eq!(world.rows(), before);
    let reported = world.control.report(std::time::Duration::ZERO).await;
    assert_eq!(reported.expect("no fault is armed"), Reported::Nothing);
}

#[tokio::test]
async fn a_broken_request_says_where_and_mends() {
    let mut world = World::new().await;
    let good = build(&["app"]);
    let broken = good.replace("el-10:", "el-11:");
    world.merge(&[(APP, Some(&broken))]).await;
    insta::assert_snapshot!("broken_request", world.story().await);
    world.merge(&[(APP, Some(&good))]).await;
    assert_eq!(world.phase(APP).await, "succeeded");
}

#[tokio::test]
async fn a_broken_edit_stops_what_is_open() {
    let mut world = World::new().await;
    world.script(|_| Act::Hold);
    let good = build(&["app"]);
    world.merge(&[(APP, Some(&good))]).await;
    world.merge(&[(APP, Some("reason: [\n"))]).await;
    world.finish_held().await;
    world.quiet().await;
    assert_eq!(world.phase(APP).await, "invalid");
    assert_eq!(
        world.task(APP, "source app for el-10").state.word(),
        "superseded"
    );
    assert!(!world.story().await.contains("open:"));
    world.script(|_| Act::Work);
    world.merge(&[(APP, Some(&good))]).await;
    assert_eq!(world.phase(APP).await, "succeeded");
}

#[tokio::test]
async fn a_broken_configuration_plans_nothing_until_it_is_mended() {
    let mut world = World::new().await;
    let text = build(&["app"]);
    world.push(&[
        ("policy.yaml", Some("gates: {tests: maybe}\n")),
        (APP, Some(&text)),
    ]);
    let planned = world.control.plan_head().await.expect("no fault is armed");
    let Planned::Broken(problems) = planned else {
        panic!("{planned:?}");
    };
    assert!(
        problems[0].subject.starts_with("policy.yaml:1:"),
        "{problems:?}"
    );
    world.quiet().await;
    let status = world.control.status().await.expect("no fault is armed");
    assert_eq!((status.problems, status.requests), (problems, Vec::new()));
    world
        .merge(&[("policy.yaml", Some("gates: {tests: required}\n"))])
        .await;
    assert_eq!(world.phase(APP).await, "succeeded");
    let status = world.control.status().await.expect("no fault is armed");
    assert!(status.problems.is_empty());
}

#[tokio::test]
async fn rewritten_history_compares_every_request() {
    let mut world = World::new().await;
    let (gone, kept) = ("builds/2026/11/gone.yaml", build(&["app"]));
    world
        .merge(&[(APP, Some(&kept)), (gone, Some(&build(&["lib"])))])
        .await;
    world
        .merge(&[(RELEASE, Some(&release(&[APP], &["base"])))])
        .await;
    let released = world.repository("base").await;
    let (new, text) = ("builds/2026/11/new.yaml", build(&["tool"]));
    let published = release(&[APP], &["base"]);
    let mut files: Vec<(&str, Option<&str>)> = CONFIG
        .iter()
        .map(|(path, text)| (*path, Some(*text)))
        .collect();
    files.extend([
        (APP, Some(&*kept)),
        (new, Some(&text)),
        (RELEASE, Some(&published)),
    ]);
    world.force_push(&files);
    world.quiet().await;
    assert_eq!(world.phase(gone).await, "removed");
    assert_eq!(world.phase(new).await, "succeeded");
    assert_eq!(world.phase(APP).await, "succeeded");
    // What was published and is wished for as before is left alone.
    assert_eq!(world.repository("base").await, released);
}

/// Clients refuse indexes that are older than those they have.
#[tokio::test]
async fn what_is_published_never_gets_an_earlier_time() {
    let mut world = World::new().await;
    let text = build(&["app"]);
    world.merge(&[(APP, Some(&text))]).await;
    let time_of = |world: &World, wanted: &str| {
        let rows = world.rows().into_values();
        let mut times = rows.filter_map(|record| match record.row {
            Row::Request(row) if row.path.as_str() == wanted => Some(row.time),
            _ => None,
        });
        times.next().expect("it is known")
    };
    let first = time_of(&world, APP);
    let text = release(&[APP], &["base"]);
    let older = NewCommit {
        time: 1_000,
        ..world.next_commit(&[(RELEASE, Some(&text))])
    };
    let repo = world.memory.state_repo();
    repo.push("main", "Ada <ada@example.org>", older);
    world.quiet().await;
    assert_eq!(world.phase(RELEASE).await, "published");
    assert_eq!(time_of(&world, RELEASE), first);
}

#[tokio::test]
async fn a_ref_is_looked_up_once_and_a_missing_one_is_a_problem() {
    let mut world = World::new().await;
    let text = build_on("el-10: [x86_64]", &["app", "ghost"]);
    world.merge(&[(APP, Some(&text))]).await;
    assert_eq!(world.phase(APP).await, "failed");
    let problems = world.status(APP).await.problems;
    assert_eq!(problems[0].subject, "ghost");
    // It is created, and the other one moves: only the missing one is looked up.
    world.source("ghost", "main", '2');
    world.source("app", "main", '3');
    world
        .control
        .retry_request(&path(APP))
        .await
        .expect("it failed");
    world.quiet().await;
    assert_eq!(world.phase(APP).await, "succeeded");
    let refs = world.status(APP).await.refs;
    let commits: Vec<&str> = refs.iter().map(|found| &found.commit[..2]).collect();
    assert_eq!(commits, ["11", "22"]);
}

#[tokio::test]
async fn a_slow_planner_never_writes_an_older_wish_over_a_newer_one() {
    // Between any two calls of a planner, a newer commit is pushed and another planner admits it.
    let mut interrupted = true;
    for n in 0.. {
        if !interrupted {
            return;
        }
        let mut world = World::new().await;
        let lib = build(&["lib"]);
        world.push(&[
            (APP, Some(&build(&["app"]))),
            (OTHER, Some(&build(&["tool"]))),
        ]);
        let newer = world.next_commit(&[(APP, Some(&lib)), (OTHER, None)]);
        let (memory, other) = (world.memory.clone(), world.another());
        let (done, was_done) = std::sync::mpsc::channel();
        let rival = async move {
            memory
                .state_repo()
                .push("main", "Bo <bo@example.org>", newer);
            let planned = other.plan_head().await.expect("nobody is faster twice");
            assert!(matches!(planned, Planned::New(..)), "{planned:?}");
            done.send(()).expect("the test listens");
        };
        world.faults.interleave(n, Box::pin(rival));
        world
            .control
            .plan_head()
            .await
            .expect("one of them goes on");
        interrupted = was_done.try_recv().is_ok();
        if interrupted {
            world.quiet().await;
            let built = world.task(APP, "source lib for el-10");
            assert_eq!(
                built.state.word(),
                "succeeded",
                "interrupted before call {n}"
            );
            let left = world.story().await;
            let gone = !left.contains(OTHER) || left.contains(&format!("{OTHER} is removed"));
            assert!(gone, "interrupted before call {n}: {left}");
        }
    }
}

#[tokio::test]
async fn what_a_killed_planner_admitted_is_compared_with_the_next_tip() {
    let (kept, mut killed) = (build(&["app"]), 0);
    for n in 0.. {
        let mut world = World::new().await;
        world.merge(&[(APP, Some(&kept))]).await;
        world.push(&[
            (APP, Some(&build(&["lib"]))),
            (OTHER, Some(&build(&["tool"]))),
        ]);
        world.faults.arm(n, When::After);
        if world.control.plan_head().await.is_ok() {
            break;
        }
        world.faults.disarm();
        world.restart();
        // The next commit takes everything back.
        world.merge(&[(APP, Some(&kept)), (OTHER, None)]).await;
        let story = world.story().await;
        assert!(
            story.contains(&format!("{APP} is succeeded")),
            "{n}: {story}"
        );
        assert!(!story.contains("build lib"), "{n}: {story}");
        let gone = !story.contains(OTHER) || story.contains(&format!("{OTHER} is removed"));
        assert!(gone, "{n}: {story}");
        killed += 1;
    }
    assert!(killed > 10, "{killed}");
}

#[tokio::test]
async fn the_status_branch_names_the_commit_it_answers() {
    let mut world = World::new().await;
    world.push(&[(APP, Some(&build(&["app"])))]);
    world.quiet().await;
    let repo = world.memory.state_repo();
    let tip = ports::StateRepo::head(repo, "status")
        .await
        .expect("memory");
    let tip = tip.expect("it was reported");
    let info = ports::StateRepo::info(repo, &tip).await.expect("memory");
    let commit = world.status(APP).await.commit;
    assert_eq!(
        info.message,
        format!("status: {APP}\n\nDesired: {commit}\n")
    );
}

#[tokio::test]
async fn an_address_that_does_not_answer_is_left_alone_for_a_minute() {
    let mut world = World::new().await;
    world.faults.break_off("repo.resolve", 0);
    let text = build_on("el-10: [x86_64]", &["app", "lib", "tool"]);
    world.push(&[(APP, Some(&text))]);
    world.quiet().await;
    let asked = |world: &World| {
        let calls = world.faults.calls();
        calls.iter().filter(|it| **it == "repo.resolve").count()
    };
    assert_eq!(asked(&world), 3, "each once, and not again by what follows");
    assert_eq!(world.phase(APP).await, "open");
    world.faults.disarm();
    world.pass(61);
    world.control.sweep().await.expect("no fault is armed");
    assert_eq!(asked(&world), 6);
    world.quiet().await;
    assert_eq!(world.phase(APP).await, "succeeded");
}
