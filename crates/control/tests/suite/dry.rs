//! The dry run, as the command line has it: nothing is written, and everything is said.

use std::fmt::Write as _;

use bytes::Bytes;
use control::{Checkout, DryRun};
use ports::Platform;

use crate::fixture::{APP, RELEASE, build_on, release};
use crate::world::World;

const NEWER: &str = "builds/2026/12/app.yaml";
const NEWER_RELEASE: &str = "releases/2026/12/app.yaml";

fn one(package: &str) -> String {
    build_on("el-10: [x86_64]", &[package])
}

fn text(run: &DryRun) -> String {
    let mut text = String::new();
    for problem in &run.problems {
        let _ = writeln!(text, "problem: {}: {}", problem.subject, problem.message);
    }
    for note in &run.notes {
        let _ = writeln!(text, "note: {}: {}", note.subject, note.why);
    }
    for request in &run.requests {
        let (change, path) = (&request.change, &request.path);
        let _ = match request.priority.is_normal() {
            true => writeln!(text, "{change} {path}"),
            false => writeln!(text, "{change} {path} ({})", request.priority),
        };
        for problem in &request.problems {
            let _ = writeln!(text, "  problem: {}: {}", problem.subject, problem.message);
        }
        for task in &request.tasks {
            let _ = writeln!(text, "  {} {}", task.state, task.title);
        }
        for repository in &request.repositories {
            let (name, key) = (&repository.name, &repository.key);
            let smoke = repository.smoke.join(", ");
            let _ = writeln!(text, "  {name}, signed by {key}, tried on {smoke}");
            for package in &repository.packages {
                let _ = writeln!(
                    text,
                    "    {:?} {} {}: {} → {}",
                    package.change,
                    package.name,
                    package.arch,
                    package.from.as_deref().unwrap_or("nothing"),
                    package.to.as_deref().unwrap_or("nothing"),
                );
            }
            for awaited in &repository.awaited {
                let _ = writeln!(text, "    later {awaited}");
            }
        }
        for note in &request.notes {
            let _ = writeln!(text, "  note: {}: {}", note.subject, note.why);
        }
    }
    text
}

/// The dry run of the branch `proposal`, which is `main` and these files.
async fn proposed(world: &mut World, files: &[(&str, Option<&str>)]) -> String {
    let repo = world.memory.state_repo().clone();
    let main = world.tip("main").await;
    repo.reset("proposal", &main);
    let new = world.next_commit(files);
    let commit = repo.push("proposal", "Ada <ada@example.org>", new);
    let rows = world.rows();
    let by_branch = world.control.dry_run("proposal").await;
    let by_branch = by_branch.expect("no fault").expect("it is a branch");
    let by_commit = world.control.dry_run(&commit).await;
    assert_eq!(by_commit.expect("no fault").as_ref(), Some(&by_branch));
    // The same files, not pushed.
    let files = files.iter().map(|(path, text)| {
        let bytes = text.map(|text| Bytes::copy_from_slice(text.as_bytes()));
        ((*path).to_owned(), bytes)
    });
    let checkout = Checkout {
        base: Some(main),
        files: files.collect(),
        ..Checkout::default()
    };
    let unpushed = world.control.dry_run_files(&checkout).await;
    assert_eq!(text(&unpushed.expect("no fault")), text(&by_branch));
    assert_eq!(world.rows(), rows);
    text(&by_branch)
}

/// `app` 1.0 is built.
async fn built() -> World {
    let mut world = World::new().await;
    world.merge(&[(APP, Some(&one("app")))]).await;
    world
}

async fn newer(world: &mut World, version: &str) {
    let app = "app".to_owned();
    world.upstream.versions.insert(app, version.to_owned());
    world.source("app", "main", '2');
    world.merge(&[(NEWER, Some(&one("app")))]).await;
}

#[tokio::test]
async fn a_release_of_builds_that_are_not_made_names_what_is_known() {
    let mut world = World::new().await;
    let released = release(&[APP], &["base"]);
    let run = proposed(
        &mut world,
        &[(APP, Some(&one("app"))), (RELEASE, Some(&released))],
    )
    .await;
    insta::assert_snapshot!("dry_unbuilt", run);
}

#[tokio::test]
async fn a_release_shows_the_packages_of_each_repository() {
    let mut world = built().await;
    let released = release(&[APP], &["base", "extra"]);
    let run = proposed(&mut world, &[(RELEASE, Some(&released))]).await;
    insta::assert_snapshot!("dry_added", run);
}

#[tokio::test]
async fn a_release_shows_which_versions_it_replaces_and_which_it_hides() {
    let mut world = built().await;
    let released = release(&[APP], &["base"]);
    world.merge(&[(RELEASE, Some(&released))]).await;
    newer(&mut world, "2.0-1").await;
    let upgrade = release(&[NEWER], &["base"]);
    let run = proposed(&mut world, &[(NEWER_RELEASE, Some(&upgrade))]).await;
    insta::assert_snapshot!("dry_upgraded", run);
    world.merge(&[(NEWER_RELEASE, Some(&upgrade))]).await;
    let run = proposed(&mut world, &[(NEWER_RELEASE, None)]).await;
    insta::assert_snapshot!("dry_reverted", run);
    // Again to the older version, while the newer one is there.
    let again = "releases/2026/12/old.yaml";
    let run = proposed(&mut world, &[(again, Some(&released))]).await;
    insta::assert_snapshot!("dry_hidden", run);
}

#[tokio::test]
async fn a_request_that_hurries_says_so() {
    let mut world = built().await;
    let hurries = format!("priority: urgent\n{}", one("app"));
    let run = proposed(&mut world, &[(APP, Some(&hurries))]).await;
    assert!(
        run.starts_with("modified builds/2026/11/app.yaml (urgent)\n"),
        "{run}"
    );
    assert!(!run.contains("  new "), "nothing is built anew: {run}");
}

#[tokio::test]
async fn what_is_not_a_request_is_told_of_too() {
    let mut world = built().await;
    let released = release(&[APP], &["base"]);
    world.merge(&[(RELEASE, Some(&released))]).await;
    let run = proposed(
        &mut world,
        &[
            ("builds/app.yaml", Some("reason: x\n")),
            ("repositories/base.yaml", None),
        ],
    )
    .await;
    let (place, off) = run.split_once('\n').expect("two notes");
    assert!(place.starts_with("note: builds/app.yaml: "), "{run}");
    assert!(
        off.starts_with("note: repositories/base.yaml: removed by "),
        "{run}"
    );
}

#[tokio::test]
async fn what_is_not_there_is_not_planned() {
    let world = World::new().await;
    for name in ["nowhere", &"0".repeat(40)] {
        let run = world.control.dry_run(name).await.expect("no fault");
        assert_eq!(run, None, "{name}");
    }
}

#[tokio::test]
async fn a_checkout_without_a_base_is_the_whole_tree() {
    let world = built().await;
    let mut files: std::collections::BTreeMap<String, Option<Bytes>> = crate::fixture::CONFIG
        .iter()
        .map(|(path, text)| {
            (
                (*path).to_owned(),
                Some(Bytes::from_static(text.as_bytes())),
            )
        })
        .collect();
    files.insert(NEWER.to_owned(), Some(Bytes::from(one("lib"))));
    let checkout = Checkout {
        files,
        ..Checkout::default()
    };
    let run = world
        .control
        .dry_run_files(&checkout)
        .await
        .expect("no fault");
    let changes = run
        .requests
        .iter()
        .map(|it| format!("{} {}", it.change, it.path));
    let changes: Vec<String> = changes.collect();
    assert_eq!(
        changes,
        [format!("removed {APP}"), format!("added {NEWER}")]
    );
}

#[tokio::test]
async fn what_is_to_be_done_is_counted() {
    let mut world = World::new().await;
    let check = async |world: &mut World, files: &[(&str, Option<&str>)], expect: [usize; 4]| {
        let repo = world.memory.state_repo().clone();
        repo.reset("proposal", &world.tip("main").await);
        let new = world.next_commit(files);
        repo.push("proposal", "Ada <ada@example.org>", new);
        let run = world.control.dry_run("proposal").await.expect("no fault");
        let work = run.expect("it is a branch").requests[0].work;
        let found = [work.sources, work.builds, work.tests, work.releasing];
        assert_eq!(found, expect, "{files:?}");
    };
    // Two packages on two architectures, of which nothing is known yet.
    let two = build_on("el-10:", &["lib", "tool"]);
    check(&mut world, &[(APP, Some(&two))], [2, 4, 4, 0]).await;
    world.merge(&[(APP, Some(&two))]).await;
    let same = two.replace("a test", "the same again");
    check(&mut world, &[(APP, Some(&same))], [0, 0, 0, 0]).await;
    // A third one joins, the others are done.
    let three = build_on("el-10:", &["lib", "tool", "app"]);
    check(&mut world, &[(APP, Some(&three))], [1, 2, 2, 0]).await;
    // Other options make another source of what is done already.
    let other = format!("{two}    options: {{without: [docs]}}\n");
    check(&mut world, &[(APP, Some(&other))], [1, 2, 2, 0]).await;
    // Sign packages, compose, sign metadata, and a smoke test on each architecture.
    let released = release(&[APP], &["base"]);
    check(&mut world, &[(RELEASE, Some(&released))], [0, 0, 0, 5]).await;
}
