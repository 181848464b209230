//! What people do to the branches, and what is answered.

use control::{Planned, Reported};
use ledger::{Change, Key, Problem, Row, StatusBranchRow};
use ports::{Applied, Ledger, NewCommit, Platform, StateRepo};

use crate::fixture::{APP, CONFIG, RELEASE, build, build_on, release};
use crate::world::{Act, World, path};

const OTHER: &str = "builds/2026/11/other.yaml";
const FAKE: &str = "builds/2026/11/fake.yaml";
const PERSON: &str = "Eve <eve@example.org>";

async fn reported(world: &World) -> Reported {
    let reported = world.control.report(std::time::Duration::ZERO).await;
    reported.expect("no fault is armed")
}

async fn tip(world: &World, branch: &str) -> Option<String> {
    let repo = world.memory.state_repo();
    repo.head(branch).await.expect("memory")
}

/// Two builds whose status is on the branch: their files.
async fn written() -> (World, [Option<String>; 2]) {
    let mut world = World::new().await;
    let text = build_on("el-10: [x86_64]", &["app"]);
    world
        .merge(&[(APP, Some(&text)), (OTHER, Some(&text))])
        .await;
    let files = [world.written(APP).await, world.written(OTHER).await];
    assert!(files.iter().all(Option::is_some));
    (world, files)
}

/// The branch is as it was before `harm` after one report, and then nothing more is written.
async fn check_mended(harm: impl AsyncFnOnce(&mut World)) -> World {
    let (mut world, before) = written().await;
    let rows = world.rows().len();
    harm(&mut world).await;
    reported(&world).await;
    let after = [world.written(APP).await, world.written(OTHER).await];
    assert_eq!(after, before);
    assert_eq!(world.written(FAKE).await, None);
    assert_eq!(world.rows().len(), rows);
    let mended = tip(&world, "status").await;
    assert_eq!(reported(&world).await, Reported::Nothing);
    world.restart();
    assert_eq!(reported(&world).await, Reported::Nothing);
    assert_eq!(tip(&world, "status").await, mended);
    world
}

fn vandal(world: &mut World) -> NewCommit {
    world.next_commit(&[
        (APP, Some("phase: published\n")),
        (OTHER, None),
        (FAKE, Some("phase: succeeded\n")),
        ("README.md", Some("mine\n")),
    ])
}

#[tokio::test]
async fn a_deleted_status_branch_is_made_anew() {
    check_mended(async |world| world.memory.state_repo().delete("status")).await;
}

#[tokio::test]
async fn what_a_person_wrote_to_the_status_branch_is_history_and_no_answer() {
    let mut theirs = String::new();
    let world = check_mended(async |world| {
        let new = vandal(world);
        theirs = world.memory.state_repo().push("status", PERSON, new);
    })
    .await;
    let repo = world.memory.state_repo();
    let head = tip(&world, "status").await.expect("it is there");
    assert!(repo.is_ancestor(&theirs, &head).await.expect("memory"));
    // What the machine has no word for is left alone.
    let readme = world.written("README.md").await;
    assert_eq!(readme.as_deref(), Some("mine\n"));
}

#[tokio::test]
async fn a_status_branch_pushed_by_force_is_made_whole() {
    check_mended(async |world| {
        let new = vandal(world);
        world.memory.state_repo().force_push("status", PERSON, new);
    })
    .await;
    check_mended(async |world| {
        let repo = world.memory.state_repo();
        let head = repo.head("status").await.expect("memory").expect("there");
        let first = repo.info(&head).await.expect("memory").parents[0].clone();
        repo.reset("status", &first);
    })
    .await;
}

/// While the branch said something else, nothing named the record of this answer, so it may have been pruned.
#[tokio::test]
async fn an_answer_that_was_put_back_names_a_record_that_is_there() {
    check_mended(async |world| {
        let whole = tip(world, "status").await.expect("two answers");
        let answer = world.written(APP).await.expect("an answer");
        let mut lines = answer.lines();
        let record = lines.find_map(|line| line.strip_prefix("record: "));
        let record = record.expect("a record").trim_matches(['"', '\'']);
        let record = record.parse().expect("a digest");
        let store = world.memory.store();
        assert!(store.bytes(&record).is_some());
        store.remove(&record);
        // The machine left the branch with another answer, and a person puts this one back.
        let other = world.next_commit(&[(APP, Some("phase: open\n"))]);
        let repo = world.memory.state_repo();
        repo.push("status", PERSON, other);
        let left = tip(world, "status").await.expect("it was pushed");
        let mut change = Change::default();
        let row = StatusBranchRow { commit: left };
        change.put(Key::status_branch(), Row::StatusBranch(row));
        let noted = world.memory.ledger().apply(change, 0).await;
        assert_eq!(noted.expect("memory"), Applied::Done);
        repo.reset("status", &whole);
        reported(world).await;
        assert!(world.memory.store().bytes(&record).is_some());
    })
    .await;
}

#[tokio::test]
async fn a_report_that_was_cut_off_is_not_taken_for_a_persons_work() {
    let (mut world, before) = written().await;
    // The commit stands, and the note of it does not.
    let rows = world.rows();
    let key = ledger::Key::status_branch();
    world.push(&[(OTHER, None)]);
    world.quiet().await;
    let head = tip(&world, "status").await;
    let mut change = ledger::Change::default();
    change.put(key.clone(), rows[&key].row.clone());
    let applied = world.memory.ledger().apply(change, 0).await;
    assert_eq!(applied.expect("memory"), ports::Applied::Done);
    assert_eq!(reported(&world).await, Reported::Nothing);
    assert_eq!(tip(&world, "status").await, head);
    assert_eq!(world.written(APP).await, before[0]);
}

async fn problems(world: &World) -> Vec<Problem> {
    let status = world.control.status().await;
    status.expect("no fault is armed").problems
}

async fn warnings(world: &World) -> String {
    let status = world.control.status().await.expect("no fault is armed");
    let lines = status.warnings.iter();
    lines
        .map(|found| format!("{}: {}\n", found.subject, found.message))
        .collect()
}

#[tokio::test]
async fn a_deleted_main_is_told_of_and_what_is_planned_goes_on() {
    let mut world = World::new().await;
    world.script(|_| Act::Hold);
    world.merge(&[(APP, Some(&build(&["app"])))]).await;
    let commit = tip(&world, "main").await.expect("it was pushed");
    world.memory.state_repo().delete("main");
    world.script(|_| Act::Work);
    world.finish_held().await;
    world.quiet().await;
    assert_eq!(world.phase(APP).await, "succeeded");
    let found = problems(&world).await;
    assert_eq!(found[0].subject, "branch main");
    let way_back = format!("git push origin {commit}:refs/heads/main");
    assert!(found[0].message.contains(&way_back), "{found:?}");
    let told = world.written("millrace.yaml").await.expect("it is told");
    assert!(told.contains("branch main"), "{told}");
    // It is back, and the next commit is planned.
    world.memory.state_repo().reset("main", &commit);
    world.merge(&[(OTHER, Some(&build(&["lib"])))]).await;
    assert_eq!(world.phase(OTHER).await, "succeeded");
    assert!(problems(&world).await.is_empty());
    assert_eq!(world.written("millrace.yaml").await, None);
}

#[tokio::test]
async fn links_and_misplaced_files_are_told_of_and_stop_nothing() {
    let mut world = World::new().await;
    let repo = world.memory.state_repo().clone();
    repo.push_link("main", PERSON, FAKE);
    repo.push_link("main", PERSON, "platforms/linked.yaml");
    world
        .merge(&[
            ("builds/app.yaml", Some("reason: x\n")),
            ("platforms/new.yml", Some("format: rpm\n")),
            ("docs/notes.yaml", Some("anything\n")),
            (APP, Some(&build(&["app"]))),
        ])
        .await;
    assert_eq!(world.phase(APP).await, "succeeded");
    assert_eq!(world.phase(FAKE).await, "invalid");
    insta::assert_snapshot!(
        "misplaced",
        format!(
            "{}\n{}",
            world.written(FAKE).await.expect("an answer in its place"),
            world.written("millrace.yaml").await.expect("warnings")
        )
    );
    // What is not mended is still told of after the next commit, what is mended is not.
    world
        .merge(&[
            ("builds/app.yaml", None),
            (FAKE, Some(&build(&["lib"]))),
            (OTHER, Some(&build(&["lib"]))),
        ])
        .await;
    assert_eq!(world.phase(FAKE).await, "succeeded");
    let left = warnings(&world).await;
    assert!(!left.contains("builds/app.yaml"), "{left}");
    assert!(left.contains("platforms/new.yml: "), "{left}");
    assert!(left.contains("platforms/linked.yaml: "), "{left}");
}

#[tokio::test]
async fn rewritten_history_is_told_until_the_next_commit() {
    let (mut world, _) = written().await;
    let old = tip(&world, "main").await.expect("it was pushed");
    let files: Vec<(&str, Option<&str>)> = CONFIG
        .iter()
        .map(|(path, text)| (*path, Some(*text)))
        .collect();
    let new = world.force_push(&files);
    world.quiet().await;
    let told = warnings(&world).await;
    assert!(
        told.contains(&format!(
            "{old} was planned last and is not in the history of {new}"
        )),
        "{told}"
    );
    assert_eq!(world.phase(APP).await, "removed");
    world.merge(&[(OTHER, Some(&build(&["lib"])))]).await;
    assert_eq!(warnings(&world).await, "");
}

#[tokio::test]
async fn another_default_branch_is_a_warning() {
    let mut world = World::new().await;
    let text = "version: 1\nname: Example Linux\ndefault_branch: stable\n";
    world.merge(&[("millrace.yaml", Some(text))]).await;
    assert_eq!(
        warnings(&world).await,
        "millrace.yaml: `default_branch` is stable, and this control plane plans main: start it with `--branch stable`, or write `default_branch: main`\n"
    );
}

#[tokio::test]
async fn a_removed_repository_is_told_of_while_it_is_published() {
    let mut world = World::new().await;
    let text = build_on("el-10: [x86_64]", &["app"]);
    world.merge(&[(APP, Some(&text))]).await;
    world
        .merge(&[(RELEASE, Some(&release(&[APP], &["base"])))])
        .await;
    // Nobody has anything from this one.
    world.merge(&[("repositories/extra.yaml", None)]).await;
    assert_eq!(warnings(&world).await, "");
    world.merge(&[("repositories/base.yaml", None)]).await;
    let told = warnings(&world).await;
    assert!(
        told.starts_with("repositories/base.yaml: removed by ")
            && told.contains("clients get 404 from the repository base"),
        "{told}"
    );
    world.merge(&[(OTHER, Some(&text))]).await;
    assert_eq!(warnings(&world).await, told);
    let base = CONFIG
        .iter()
        .find(|(path, _)| *path == "repositories/base.yaml");
    world
        .merge(&[base
            .map(|(path, text)| (*path, Some(*text)))
            .expect("it is one")])
        .await;
    assert_eq!(warnings(&world).await, "");
}

#[tokio::test]
async fn a_moved_repository_is_told_of_while_it_is_published() {
    let mut world = World::new().await;
    let base = CONFIG
        .iter()
        .find(|(path, _)| *path == "repositories/base.yaml");
    let (file, text) = *base.expect("it is one");
    let moved = text.replace("path: el/10/base", "path: el/10/other");
    world.merge(&[(file, Some(&moved))]).await;
    assert_eq!(warnings(&world).await, "");
    world.merge(&[(file, Some(text))]).await;
    let build = build_on("el-10: [x86_64]", &["app"]);
    world.merge(&[(APP, Some(&build))]).await;
    world
        .merge(&[(RELEASE, Some(&release(&[APP], &["base"])))])
        .await;
    world.merge(&[(file, Some(&moved))]).await;
    let told = warnings(&world).await;
    assert!(
        told.contains(
            "its address was el/10/base and is el/10/other: clients of the old one get 404"
        ),
        "{told}"
    );
}

#[tokio::test]
async fn a_published_release_outlives_the_file_of_its_build() {
    let mut world = World::new().await;
    let text = build_on("el-10: [x86_64]", &["app"]);
    world.merge(&[(APP, Some(&text))]).await;
    let published = release(&[APP], &["base"]);
    world.merge(&[(RELEASE, Some(&published))]).await;
    let before = world.repository("base").await;
    world.merge(&[(APP, None)]).await;
    assert_eq!(world.phase(APP).await, "removed");
    // Every request is compared.
    let mut files: Vec<(&str, Option<&str>)> = CONFIG
        .iter()
        .map(|(path, text)| (*path, Some(*text)))
        .collect();
    files.push((RELEASE, Some(&published)));
    world.force_push(&files);
    world.quiet().await;
    assert_eq!(world.phase(RELEASE).await, "published");
    assert_eq!(world.repository("base").await, before);
    // One that was never released is refused as before.
    let other = "releases/2026/11/other.yaml";
    world.push(&[(other, Some(&published))]);
    let planned = world.control.plan_head().await.expect("no fault is armed");
    assert!(matches!(planned, Planned::New(_, 1)), "{planned:?}");
    let status = world.control.request_status(&path(other)).await;
    let status = status.expect("no fault is armed").expect("it is known");
    assert!(status.problems[0].message.contains("there is no request"));
}
