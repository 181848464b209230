//! What becomes of pull requests between plan and run: pushed over, closed and opened again, merged unseen, their
//! branches gone. Nothing is lost, nobody is misled, and people read it on the page.

use ledger::{Key, partition};
use memory::MemoryForge;
use ports::{CheckState, Permission, Platform, PullState};

use crate::fixture::{APP, CONFIG, RELEASE, release};
use crate::review::{OTHER, RESULTS, merge, one, open, plan, pull, push, review, seen, tell};
use crate::world::{Act, World};

async fn world() -> (World, MemoryForge) {
    (World::with_checks().await, MemoryForge::default())
}

/// What the page of `commit` says of the work.
fn results(forge: &MemoryForge, commit: &str) -> (CheckState, String) {
    let check = seen(forge, commit, RESULTS).expect("it is told");
    (check.state, check.title)
}

#[tokio::test]
async fn opened_and_merged_between_two_looks() {
    let (mut world, forge) = world().await;
    let pull = open(&mut world, &forge, &[(APP, Some(&one("app")))]).await;
    merge(&mut world, &forge, &pull).await;
    review(&world, &forge).await;
    tell(&world, &forge).await;
    let check = seen(&forge, &pull.head, RESULTS).expect("it is told");
    assert_eq!(check.pull, Some(pull.number));
    world.quiet().await;
    world.pass(61);
    tell(&world, &forge).await;
    let done = (CheckState::Passed, "Done: 3 of 3 tasks done".to_owned());
    assert_eq!(results(&forge, &pull.head), done);
    assert!(forge.checks(&pull.head).iter().all(|it| it.name == RESULTS));
}

/// Two are merged, one of them squashed and never seen, before anything is planned; and somebody pushes.
#[tokio::test]
async fn each_of_several_that_are_planned_together_has_its_page() {
    let (mut world, forge) = world().await;
    let repo = world.memory.state_repo().clone();
    let one_of = open(&mut world, &forge, &[(APP, Some(&one("app")))]).await;
    let other = open(&mut world, &forge, &[(OTHER, Some(&one("lib")))]).await;
    for (pull, file, text) in [(&one_of, APP, one("app")), (&other, OTHER, one("lib"))] {
        let new = world.next_commit(&[(file, Some(&text))]);
        let commit = repo.push("main", "Ada <ada@example.org>", new);
        let merged = PullState::Merged(commit);
        forge.change_pull(pull.number, |it| it.state = merged);
    }
    world.push(&[("README.md", Some("by hand"))]);
    world.quiet().await;
    tell(&world, &forge).await;
    for pull in [one_of, other] {
        let done = (CheckState::Passed, "Done: 3 of 3 tasks done".to_owned());
        assert_eq!(results(&forge, &pull.head), done);
    }
}

/// Its branch takes in what others have merged, after the last look at it, and is squashed.
#[tokio::test]
async fn what_a_branch_took_in_from_main_is_not_its_own() {
    let (mut world, forge) = world().await;
    let repo = world.memory.state_repo().clone();
    let mut pull = open(&mut world, &forge, &[(APP, Some(&one("app")))]).await;
    review(&world, &forge).await;
    world.merge(&[(OTHER, Some(&one("lib")))]).await;
    let parents = [world.tip("main").await, pull.head.clone()];
    pull.head = repo.push_merge("topic", "Ada <ada@example.org>", &parents, "Merge main");
    push(&mut world, &forge, &mut pull, &[(APP, Some(&one("app")))]).await;
    let squashed = world.push(&[(APP, Some(&one("app")))]);
    let merged = PullState::Merged(squashed);
    forge.change_pull(pull.number, |it| it.state = merged);
    world.quiet().await;
    review(&world, &forge).await;
    tell(&world, &forge).await;
    let said = seen(&forge, &pull.head, RESULTS).expect("it is told");
    assert!(said.summary.contains(APP), "{}", said.summary);
    assert!(!said.summary.contains(OTHER), "{}", said.summary);
}

/// A git host that does not answer is no mistake of who opened the pull request.
#[tokio::test]
async fn a_host_that_is_away_is_asked_again() {
    let (mut world, forge) = world().await;
    let pull = open(&mut world, &forge, &[(APP, Some(&one("app")))]).await;
    world.faults.break_off("repo.resolve", 0);
    for _ in 0..3 {
        review(&world, &forge).await;
        let check = plan(&forge, &pull);
        assert_eq!(check.state, CheckState::Failed);
        let says = "Not known yet: 1 source cannot be looked up now";
        assert_eq!(check.title, says);
        let text = check.summary;
        assert!(text.contains("cannot be looked up now"), "{text}");
        assert!(!text.contains("To mend"), "{text}");
    }
    assert_eq!(forge.checks_written(), 1);
    world.faults.disarm();
    // It is left alone for a minute.
    world.pass(61);
    review(&world, &forge).await;
    assert_eq!(plan(&forge, &pull).state, CheckState::Passed);
    review(&world, &forge).await;
    assert_eq!(forge.checks_written(), 2);
}

/// A link is told of as one, in the place of a request, of the configuration and of what nobody reads.
#[tokio::test]
async fn links_are_told_of_before_they_are_merged() {
    for (path, state, title) in [
        (APP, CheckState::Failed, "1 mistake"),
        ("millrace.yaml", CheckState::Failed, "2 mistakes"),
        (
            "platforms/linked.yaml",
            CheckState::Passed,
            "Nothing to build or release (1 warning)",
        ),
    ] {
        let (world, forge) = world().await;
        let repo = world.memory.state_repo().clone();
        repo.reset("topic", &world.tip("main").await);
        let head = repo.push_link("topic", "Ada <ada@example.org>", path);
        let number = forge.open_pull(pull(head.clone()));
        review(&world, &forge).await;
        let check = seen(&forge, &head, "plan").expect("it is told");
        assert_eq!((check.state, &*check.title), (state, title), "{number}");
        let says = format!("* `{path}`: it is a link or a submodule");
        assert!(check.summary.contains(&says), "{}", check.summary);
    }
}

/// What is merged while `main` cannot be planned waits, and its author learns that before.
#[tokio::test]
async fn a_main_that_cannot_be_planned_is_told_of() {
    let (mut world, forge) = world().await;
    let pull = open(&mut world, &forge, &[(APP, Some(&one("app")))]).await;
    world.push(&[("millrace.yaml", Some("nothing: true\n"))]);
    world.quiet().await;
    review(&world, &forge).await;
    let check = plan(&forge, &pull);
    let says = "* `main`: its newest commit is not planned, and whatever is merged";
    assert!(check.summary.contains(says), "{}", check.summary);
    assert_eq!(check.title, "1 source, 1 build, 1 test (1 warning)");
}

/// What git cannot read of it is its own fault, and its author is told.
#[tokio::test]
async fn a_pull_request_that_git_cannot_read_is_refused() {
    let (mut world, forge) = world().await;
    let pull = open(&mut world, &forge, &[(APP, Some(&one("app")))]).await;
    let unknown = "f".repeat(40);
    forge.change_pull(pull.number, |it| it.head.clone_from(&unknown));
    // It may only come late.
    assert_eq!(review(&world, &forge).await.failed, 1);
    assert_eq!(forge.checks_written(), 0);
    world.pass(31);
    for written in [1, 0] {
        assert_eq!(review(&world, &forge).await.written, written);
        let check = seen(&forge, &unknown, "plan").expect("it is told");
        assert_eq!(check.state, CheckState::Failed);
        let says = "git cannot read its newest commit";
        assert!(check.summary.contains(says), "{}", check.summary);
    }
    assert_eq!(forge.checks_written(), 1);
}

#[tokio::test]
async fn closed_and_opened_again() {
    let (mut world, forge) = world().await;
    let pull = open(&mut world, &forge, &[(APP, Some(&one("app")))]).await;
    review(&world, &forge).await;
    let state = |state: PullState| forge.change_pull(pull.number, |it| it.state = state);
    for is_seen in [true, false] {
        state(PullState::Closed);
        if is_seen {
            review(&world, &forge).await;
        }
        state(PullState::Open);
        assert_eq!(review(&world, &forge).await.open, 1);
        // It is still there, and still true.
        assert_eq!(forge.checks_written(), 1);
    }
    // What is merged meanwhile has it planned anew.
    state(PullState::Closed);
    world.merge(&[(APP, Some(&one("tool")))]).await;
    review(&world, &forge).await;
    state(PullState::Open);
    review(&world, &forge).await;
    let text = plan(&forge, &pull).summary;
    assert!(text.contains("was changed on the base branch"), "{text}");
}

#[tokio::test]
async fn a_pull_request_that_is_pushed_over() {
    let (mut world, forge) = world().await;
    let mut pull = open(&mut world, &forge, &[(APP, Some(&one("app")))]).await;
    review(&world, &forge).await;
    // Another commit in the place of the one that was planned, and the forge has the old one no more.
    let old = pull.head.clone();
    pull.head = world.tip("main").await;
    push(&mut world, &forge, &mut pull, &[(OTHER, Some(&one("lib")))]).await;
    forge.forget_commit(&old);
    review(&world, &forge).await;
    let text = plan(&forge, &pull).summary;
    assert!(text.contains(OTHER) && !text.contains(APP), "{text}");
    merge(&mut world, &forge, &pull).await;
    world.quiet().await;
    review(&world, &forge).await;
    tell(&world, &forge).await;
    assert_eq!(results(&forge, &pull.head).0, CheckState::Passed);
    assert!(world.tasks(APP).is_empty());
}

/// What was planned last is not in the history any more.
#[tokio::test]
async fn main_that_is_pushed_over() {
    let (mut world, forge) = world().await;
    let start = world.tip("main").await;
    world.merge(&[(OTHER, Some(&one("lib")))]).await;
    let pull = open(&mut world, &forge, &[(APP, Some(&one("app")))]).await;
    review(&world, &forge).await;
    tell(&world, &forge).await;
    let over = world.tip("main").await;
    assert_eq!(results(&forge, &over).0, CheckState::Passed);
    // `other.yaml` is gone from main, and the pull request brings it back.
    world.memory.state_repo().reset("main", &start);
    world.push(&[("README.md", Some("anew"))]);
    world.quiet().await;
    review(&world, &forge).await;
    let text = plan(&forge, &pull).summary;
    assert!(text.contains(OTHER) && text.contains(APP), "{text}");
    // Who looks at main reads it, too.
    let warnings = world
        .control
        .status()
        .await
        .expect("nothing fails")
        .warnings;
    let words = "its history was rewritten";
    assert!(
        warnings.iter().any(|found| found.message.contains(words)),
        "{warnings:?}"
    );
}

/// Of a history that is another, or that nobody reads to its end, no plan is made; who reads the check knows what to do.
#[tokio::test]
async fn what_did_not_begin_on_main_is_refused() {
    let (mut world, forge) = world().await;
    let config = world.tip("main").await;
    let pull = open(&mut world, &forge, &[(APP, Some(&one("app")))]).await;
    let files = CONFIG.iter().map(|(path, text)| (*path, Some(*text)));
    world.force_push(&files.collect::<Vec<_>>());
    world.quiet().await;
    review(&world, &forge).await;
    let check = plan(&forge, &pull);
    assert_eq!(check.state, CheckState::Failed);
    let words = "it has no commit in common with `main`: rebase it on `main`.\n";
    assert_eq!(check.summary, words);

    // Main goes on for longer than anybody looks back.
    let mut tip = config;
    let repo = world.memory.state_repo().clone();
    for _ in 0..20_000 {
        tip = repo.push_merge("main", "Eve <eve@example.org>", &[tip], "more");
    }
    world.quiet().await;
    review(&world, &forge).await;
    let check = plan(&forge, &pull);
    assert_eq!(check.state, CheckState::Failed);
    let words = "it began too long ago: among 20000 commits before it and `main` there is none that both have; rebase it on `main`.\n";
    assert_eq!(check.summary, words);
}

/// What a commit wished that is pushed over while its work runs.
#[tokio::test]
async fn main_that_is_pushed_over_while_work_runs() {
    let (mut world, forge) = world().await;
    let start = world.tip("main").await;
    world.script(|_| Act::Hold);
    let pull = open(&mut world, &forge, &[(APP, Some(&one("app")))]).await;
    review(&world, &forge).await;
    merge(&mut world, &forge, &pull).await;
    review(&world, &forge).await;
    tell(&world, &forge).await;
    assert_eq!(results(&forge, &pull.head).0, CheckState::Running);
    world.memory.state_repo().reset("main", &start);
    world.push(&[("README.md", Some("anew"))]);
    world.script(|_| Act::Work);
    world.heal().await;
    world.pass(61);
    tell(&world, &forge).await;
    // It does not stay under way for ever.
    let (state, title) = results(&forge, &pull.head);
    assert!(state.is_done(), "{state:?} {title}");
}

/// Git says a branch is gone before the forge says that its pull request is closed, or never.
#[tokio::test]
async fn branches_that_are_deleted() {
    let (mut world, forge) = world().await;
    let pull = open(&mut world, &forge, &[(APP, Some(&one("app")))]).await;
    world.memory.state_repo().delete("topic");
    assert_eq!(review(&world, &forge).await.failed, 0);
    assert_eq!(plan(&forge, &pull).state, CheckState::Passed);
    // Main itself: what is open stays planned over what was planned last.
    let tip = world.tip("main").await;
    world.memory.state_repo().delete("main");
    world.quiet().await;
    assert_eq!(review(&world, &forge).await.failed, 0);
    let problems = world
        .control
        .status()
        .await
        .expect("nothing fails")
        .problems;
    assert!(
        !problems.is_empty(),
        "who looks at it reads that it is gone"
    );
    world.memory.state_repo().reset("main", &tip);
    world.quiet().await;
    assert_eq!(forge.checks_written(), 1);
}

const RUNNER: &str = "key: /FHNjmIYoaONpH7QAjDwWAgW7RO6MwOsXeuRFUiQgCU=
roles: [sign]
";
const KEY: &str =
    "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\naGVsbG8=\n-----END PGP PUBLIC KEY BLOCK-----\n";

/// A stranger's pull request that wants all that it can ask for is shown as such, and nothing of it runs.
#[tokio::test]
async fn a_fork_that_tries_everything() {
    let (mut world, forge) = world().await;
    forge.set_permission("eve", Permission::Read);
    let files = [
        (APP, one("app")),
        (RELEASE, release(&[APP], &["base"])),
        ("runners/eve.yaml", RUNNER.to_owned()),
        ("keys/eve.yaml", "private: {file: eve.key}\n".to_owned()),
        ("keys/eve.asc", KEY.to_owned()),
        ("policy.yaml", "gates: {tests: advisory}\n".to_owned()),
        (".github/workflows/x.yaml", "on: push".to_owned()),
    ];
    let files: Vec<(&str, Option<&str>)> = files.iter().map(|(p, t)| (*p, Some(&**t))).collect();
    let pull = open(&mut world, &forge, &files).await;
    forge.change_pull(pull.number, |it| it.is_own = false);
    let (rows, calls) = (world.rows(), world.faults.calls().len());
    review(&world, &forge).await;
    world.heal().await;
    let called = world.faults.calls().split_off(calls);
    assert!(!called.contains(&"repo.resolve"), "nobody is called");
    let made: Vec<_> = world
        .rows()
        .into_keys()
        .filter(|key| !rows.contains_key(key))
        .filter(|key| key.partition != partition::BUDGETS)
        .collect();
    assert_eq!(made.len(), 1, "only what was said of it: {made:?}");
    assert!(world.tasks(APP).is_empty() && world.pointer("base").await.is_none());
    let text = crate::review::text(&plan(&forge, &pull));
    for told in [
        "`runners/eve.yaml`: a new runner: it gets work, and what it hands in is believed",
        "`keys/eve.yaml`: keys that packages are signed or checked with are others",
        "`policy.yaml`: the rules of what may be released, and of who approves",
        "is still to be looked up",
    ] {
        assert!(text.contains(told), "{told}: {text}");
    }
}

/// Merged, and pushed over before anybody planned it.
#[tokio::test]
async fn main_that_is_pushed_over_before_a_merge_is_planned() {
    let (mut world, forge) = world().await;
    let start = world.tip("main").await;
    let pull = open(&mut world, &forge, &[(APP, Some(&one("app")))]).await;
    review(&world, &forge).await;
    world.memory.state_repo().reset("main", &pull.head);
    let merged = PullState::Merged(pull.head.clone());
    forge.change_pull(pull.number, |it| it.state = merged);
    world.memory.state_repo().reset("main", &start);
    world.push(&[("README.md", Some("anew"))]);
    world.quiet().await;
    let is_known = |world: &World| world.rows().contains_key(&Key::pull(pull.number));
    // Git may be a little behind the forge.
    review(&world, &forge).await;
    assert!(is_known(&world) && seen(&forge, &pull.head, RESULTS).is_none());
    world.pass(601);
    review(&world, &forge).await;
    let check = seen(&forge, &pull.head, RESULTS).expect("it is told");
    insta::assert_snapshot!("told_moved_main", crate::review::text(&check));
    assert!(!is_known(&world));
    let writes = forge.checks_written();
    review(&world, &forge).await;
    assert_eq!(forge.checks_written(), writes);
}

/// The same, back to where it was; and then the merge is there again.
#[tokio::test]
async fn main_that_is_behind_a_merge_for_a_moment() {
    let (mut world, forge) = world().await;
    let start = world.tip("main").await;
    let pull = open(&mut world, &forge, &[(APP, Some(&one("app")))]).await;
    review(&world, &forge).await;
    let merged = PullState::Merged(pull.head.clone());
    forge.change_pull(pull.number, |it| it.state = merged);
    assert_eq!(world.tip("main").await, start);
    review(&world, &forge).await;
    merge(&mut world, &forge, &pull).await;
    world.quiet().await;
    world.pass(601);
    review(&world, &forge).await;
    tell(&world, &forge).await;
    let done = (CheckState::Passed, "Done: 3 of 3 tasks done".to_owned());
    assert_eq!(results(&forge, &pull.head), done);
}

/// Planned before it was pushed over, and nobody had looked at the forge.
#[tokio::test]
async fn main_that_is_pushed_over_after_a_merge_is_planned() {
    let (mut world, forge) = world().await;
    let start = world.tip("main").await;
    let pull = open(&mut world, &forge, &[(APP, Some(&one("app")))]).await;
    review(&world, &forge).await;
    merge(&mut world, &forge, &pull).await;
    world.memory.state_repo().reset("main", &start);
    world.push(&[("README.md", Some("anew"))]);
    world.quiet().await;
    review(&world, &forge).await;
    tell(&world, &forge).await;
    let text = crate::review::text(&seen(&forge, &pull.head, RESULTS).expect("it is told"));
    assert!(text.contains("changed by"), "{text}");
}
