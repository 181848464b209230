//! What a plan says beside what is built: how long it takes, which runners are missing, and whether it is what ran.

use std::time::Duration;

use memory::MemoryForge;
use ports::{CheckState, Platform, Pull, PullState};
use runner_api::Grant;

use crate::fixture::{APP, CONFIG, RELEASE, build, build_on, release};
use crate::review::{OTHER, RESULTS, broken, one, open, plan, push, review, seen, tell, text};
use crate::world::{Act, World, path};

/// A build takes ten minutes, all else one.
fn slowly(world: &mut World) {
    let clock = world.memory.clock().clone();
    world.script(move |grant: &Grant| {
        let minutes = match grant.spec.title().starts_with("build") {
            true => 10,
            false => 1,
        };
        clock.pass(Duration::from_secs(minutes * 60));
        Act::Work
    });
}

/// Somebody merges it in one commit, whatever was merged before.
pub(crate) async fn squash(
    world: &mut World,
    forge: &MemoryForge,
    pull: &Pull,
    files: &[(&str, Option<&str>)],
) {
    let merged = PullState::Merged(world.push(files));
    forge.change_pull(pull.number, |it| it.state = merged);
    let planned = world.control.plan_head().await;
    planned.expect("no fault is armed");
}

/// What the page of a merged pull request says before its table.
async fn told(world: &mut World, forge: &MemoryForge, pull: &Pull) -> String {
    world.quiet().await;
    review(world, forge).await;
    tell(world, forge).await;
    let check = seen(forge, &pull.head, RESULTS).expect("it is told");
    assert_eq!(check.state, CheckState::Passed, "{}", check.summary);
    let (said, _) = check.summary.split_once("| request").expect("a table");
    said.to_owned()
}

#[tokio::test]
async fn earlier_work_says_how_long_it_takes() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    slowly(&mut world);
    world.merge(&[(APP, Some(&one("app")))]).await;
    tell(&world, &forge).await;
    let released = release(&[OTHER], &["base"]);
    let files = [(OTHER, Some(&*one("app"))), (RELEASE, Some(&*released))];
    let pull = open(&mut world, &forge, &files).await;
    review(&world, &forge).await;
    insta::assert_snapshot!("plan_expected", text(&plan(&forge, &pull)));
    // Other numbers alone are no reason to write it anew.
    world.source("app", "main", '2');
    let clock = world.memory.clock().clone();
    world.script(move |_| {
        clock.pass(Duration::from_secs(3_600));
        Act::Work
    });
    world
        .merge(&[(APP, Some(&one("app").replace("a test", "again")))])
        .await;
    let third = "builds/2026/11/third.yaml";
    world.merge(&[(third, Some(&one("app")))]).await;
    tell(&world, &forge).await;
    let run = world.control.dry_run(&pull.head).await.expect("no fault");
    let forecast = run.and_then(|run| run.forecast).expect("there is history");
    assert!(forecast.high > 3_600, "{forecast:?}");
    world.source("app", "main", '1');
    assert_eq!(review(&world, &forge).await.written, 0);
}

#[tokio::test]
async fn what_was_never_done_has_no_duration() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    slowly(&mut world);
    world.merge(&[(APP, Some(&one("app")))]).await;
    tell(&world, &forge).await;
    let pull = open(&mut world, &forge, &[(OTHER, Some(&one("lib")))]).await;
    review(&world, &forge).await;
    let check = plan(&forge, &pull);
    assert!(!check.summary.contains("bout"), "{}", check.summary);
}

#[tokio::test]
async fn missing_runners_are_told_before_the_merge() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    let (_, platform) = CONFIG
        .iter()
        .find(|(path, _)| *path == "platforms/el-10.yaml")
        .expect("it is there");
    let wider = platform.replace("aarch64]", "aarch64, ppc64le]");
    let after = format!("{}    after: [lib]\n", build(&["lib", "app"]));
    let files = [
        ("platforms/el-10.yaml", Some(&*wider)),
        (APP, Some(&*after)),
    ];
    let pull = open(&mut world, &forge, &files).await;
    review(&world, &forge).await;
    insta::assert_snapshot!("plan_needs", text(&plan(&forge, &pull)));
}

#[tokio::test]
async fn a_runner_that_is_silent_is_told_of() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    let pull = open(&mut world, &forge, &[(APP, Some(&one("app")))]).await;
    world.pass(4 * 3_600);
    review(&world, &forge).await;
    let check = plan(&forge, &pull);
    assert!(
        !check.title.contains("warning"),
        "nobody knows: {}",
        check.title
    );
    world.quiet().await;
    world.pass(4 * 3_600);
    world.merge(&[("README.md", Some("x"))]).await;
    review(&world, &forge).await;
    let check = plan(&forge, &pull);
    assert!(
        !check.title.contains("warning"),
        "it is back: {}",
        check.title
    );
    world.pass(4 * 3_600);
    world.push(&[("README.md", Some("y"))]);
    world.control.plan_head().await.expect("no fault is armed");
    review(&world, &forge).await;
    let check = plan(&forge, &pull);
    let expect = "the only runner that builds for x86\\_64 (builder) was not heard of for more than 3 hours: 1 build and 1 source would wait for it";
    assert!(check.summary.contains(expect), "{}", check.summary);
}

#[tokio::test]
async fn a_branch_that_moves_before_the_merge_is_told() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    let files = [(APP, Some(&*one("app")))];
    let pull = open(&mut world, &forge, &files).await;
    review(&world, &forge).await;
    world.source("app", "main", '2');
    squash(&mut world, &forge, &pull, &files).await;
    insta::assert_snapshot!("told_moved", told(&mut world, &forge, &pull).await);
}

#[tokio::test]
async fn configuration_that_comes_between_is_told() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    let all = build_on("el-10:", &["app"]);
    let files = [(APP, Some(&*all))];
    let pull = open(&mut world, &forge, &files).await;
    review(&world, &forge).await;
    let (_, platform) = CONFIG
        .iter()
        .find(|(path, _)| *path == "platforms/el-10.yaml")
        .expect("it is there");
    let wider = platform.replace("aarch64]", "aarch64, amd64]");
    world.push(&[("platforms/el-10.yaml", Some(&wider))]);
    squash(&mut world, &forge, &pull, &files).await;
    let said = told(&mut world, &forge, &pull).await;
    let expect =
        "on `el-10` it is built for x86_64, aarch64, amd64, and x86_64, aarch64 was planned";
    assert!(said.contains(expect), "{said}");
}

#[tokio::test]
async fn a_push_that_nobody_reviewed_is_told() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    let mut pull = open(&mut world, &forge, &[(APP, Some(&one("app")))]).await;
    review(&world, &forge).await;
    let files = [(APP, Some(&*one("lib"))), (OTHER, Some(&*one("tool")))];
    push(&mut world, &forge, &mut pull, &files).await;
    squash(&mut world, &forge, &pull, &files).await;
    let said = told(&mut world, &forge, &pull).await;
    for expect in [
        "`builds/2026/11/app.yaml`: the request was changed after that plan was made",
        "`builds/2026/11/other.yaml`: it was not in that plan",
        "The last push came after that plan",
    ] {
        assert!(said.contains(expect), "{said}");
    }
}

#[tokio::test]
async fn a_release_that_comes_between_is_told() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    world.merge(&[(APP, Some(&one("app")))]).await;
    world
        .upstream
        .versions
        .insert("app".to_owned(), "2.0-1".to_owned());
    world.source("app", "main", '2');
    world.merge(&[(OTHER, Some(&one("app")))]).await;
    let newer = "releases/2026/12/app.yaml";
    let released = release(&[OTHER], &["base"]);
    let files = [(newer, Some(&*released))];
    let pull = open(&mut world, &forge, &files).await;
    review(&world, &forge).await;
    world
        .merge(&[(RELEASE, Some(&release(&[APP], &["base"])))])
        .await;
    squash(&mut world, &forge, &pull, &files).await;
    insta::assert_snapshot!("told_between", told(&mut world, &forge, &pull).await);
}

/// Nothing is pushed and nothing merged: a build is mended by a retry, and another release is published.
#[tokio::test]
async fn a_plan_of_a_release_follows_its_builds_and_repositories() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    world.script(|_| Act::Say(broken("no")));
    world.merge(&[(APP, Some(&one("app")))]).await;
    let wish = release(&[APP], &["base"]);
    let pull = open(&mut world, &forge, &[(RELEASE, Some(&wish))]).await;
    review(&world, &forge).await;
    let said = plan(&forge, &pull);
    assert_eq!(said.state, CheckState::Failed, "{}", said.summary);

    world.script(|_| Act::Hold);
    let retried = world.control.retry_request(&path(APP)).await;
    assert!(retried.expect("it failed") > 0);
    world.quiet().await;
    assert_eq!(review(&world, &forge).await.written, 1);
    let said = plan(&forge, &pull);
    assert_eq!(said.state, CheckState::Passed, "{}", said.summary);
    assert!(
        said.summary.contains("once it is built"),
        "{}",
        said.summary
    );

    world.script(|_| Act::Work);
    world.finish_held().await;
    world.quiet().await;
    assert_eq!(world.phase(APP).await, "succeeded");
    assert_eq!(review(&world, &forge).await.written, 1);
    let said = plan(&forge, &pull);
    assert!(
        !said.summary.contains("once it is built"),
        "{}",
        said.summary
    );
    // Nothing has moved since.
    assert_eq!(review(&world, &forge).await.written, 0);
}

/// It is planned before it was published, and the branch does not move when it is.
#[tokio::test]
async fn a_plan_of_a_release_follows_what_is_published() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    world.merge(&[(APP, Some(&one("app")))]).await;
    world.script(|_| Act::Hold);
    let first = "releases/2026/12/app.yaml";
    world
        .merge(&[(first, Some(&release(&[APP], &["base"])))])
        .await;
    let pull = open(&mut world, &forge, &[(first, None)]).await;
    review(&world, &forge).await;
    let before = plan(&forge, &pull).summary;
    assert!(before.contains("nothing of it is published"), "{before}");
    world.script(|_| Act::Work);
    while !world.held.is_empty() {
        world.finish_held().await;
        world.quiet().await;
    }
    assert_eq!(world.phase(first).await, "published");
    assert_eq!(review(&world, &forge).await.written, 1);
    let after = plan(&forge, &pull).summary;
    assert!(after.contains("➖ removed"), "{after}");
}

#[tokio::test]
async fn a_plan_of_a_broken_configuration_has_no_digest() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    let wrong = "format: rpm\narchitectures: []\nbuildroot: [bash]\n";
    let files = [("platforms/el-11.yaml", Some(wrong))];
    let pull = open(&mut world, &forge, &files).await;
    review(&world, &forge).await;
    insta::assert_snapshot!("plan_broken", text(&plan(&forge, &pull)));
}

/// What was built is not built again.
#[tokio::test]
async fn a_plan_counts_what_is_reused() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    world
        .merge(&[(APP, Some(&build_on("el-10: [x86_64]", &["app"])))])
        .await;
    let wider = build_on("el-10: [x86_64, aarch64]", &["app"]);
    let pull = open(&mut world, &forge, &[(APP, Some(&wider))]).await;
    review(&world, &forge).await;
    insta::assert_snapshot!("plan_reused", text(&plan(&forge, &pull)));
}

/// One is released anew, one replaced, one goes down and one is taken away.
#[tokio::test]
async fn a_plan_of_releases_names_each_version() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    let [lib, newer] = [OTHER, "builds/2026/12/app.yaml"];
    let [of_lib, of_newer] = ["releases/2026/11/lib.yaml", "releases/2026/12/app.yaml"];
    let (first, second) = (release(&[APP], &["base"]), release(&[newer], &["base"]));
    world
        .merge(&[(APP, Some(&one("app"))), (lib, Some(&one("lib")))])
        .await;
    world.merge(&[(RELEASE, Some(&first))]).await;
    world
        .merge(&[(of_lib, Some(&release(&[lib], &["base", "extra"])))])
        .await;
    world
        .upstream
        .versions
        .insert("app".to_owned(), "2.0-1".to_owned());
    world.source("app", "main", '2');
    world.merge(&[(newer, Some(&one("app")))]).await;
    let said = async |world: &mut World, files: &[(&str, Option<&str>)]| {
        let pull = open(world, &forge, files).await;
        review(world, &forge).await;
        text(&plan(&forge, &pull))
    };
    let to_both = release(&[newer], &["base", "extra"]);
    let files = [(of_newer, Some(&*to_both)), (of_lib, None)];
    insta::assert_snapshot!("plan_released", said(&mut world, &files).await);
    world.merge(&[(of_newer, Some(&second))]).await;
    let again = "releases/2026/12/old.yaml";
    let files = [(again, Some(&*first))];
    insta::assert_snapshot!("plan_hidden", said(&mut world, &files).await);
    insta::assert_snapshot!(
        "plan_goes_down",
        said(&mut world, &[(of_newer, None)]).await
    );
}
