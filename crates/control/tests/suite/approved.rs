//! Approvals: what waits for them, what they let go on, and who gets past them.

use control::Planned;
use ledger::Problem;
use memory::MemoryForge;
use openpgp::{KeyKind, SigningKey};
use ports::{CheckState, NewCommit, Platform, Pull, PullState};

use crate::fixture::{APP, RELEASE, build_on, release};
use crate::review::{RESULTS, seen, text};
use crate::world::{Act, World};

const RULES: &str = "approvals:\n  - {repositories: [base], count: 2, by: [alice, bob, carol]}\n";
const APPROVE: &str = "Approve: releases/2026/11/app.yaml";
const CONFIGURATION: &str = "Approve: configuration";

struct People {
    alice: SigningKey,
    bob: SigningKey,
    carol: SigningKey,
}

impl People {
    fn new() -> Self {
        let key = |name: &str| {
            let user = format!("{name} <{name}@example.org>");
            SigningKey::generate(KeyKind::Ed25519, &user, 1_700_000_000)
                .expect("a world that works")
        };
        Self {
            alice: key("alice"),
            bob: key("bob"),
            carol: key("carol"),
        }
    }

    fn files(&self) -> Vec<(String, String)> {
        let people = [
            ("alice", &self.alice),
            ("bob", &self.bob),
            ("carol", &self.carol),
        ];
        let file = |(name, key): (&str, &SigningKey)| {
            let path = format!("keys/people/{name}.asc");
            (path, key.public().to_armored())
        };
        let mut files: Vec<(String, String)> = people.map(file).into();
        files.push(("policy.yaml".to_owned(), RULES.to_owned()));
        files
    }
}

fn signed(
    world: &mut World,
    key: &SigningKey,
    message: &str,
    files: &[(&str, Option<&str>)],
) -> String {
    let new = NewCommit {
        message: message.to_owned(),
        ..world.next_commit(files)
    };
    let time = u64::try_from(new.time).expect("a world that works");
    let sign = |payload: &[u8]| {
        key.sign_detached_armored(payload, time)
            .expect("a world that works")
    };
    let repo = world.memory.state_repo();
    repo.push_signed("main", "Ada <ada@example.org>", new, &sign)
}

fn build() -> String {
    build_on("el-10: [x86_64]", &["app"])
}

fn to_base() -> String {
    release(&[APP], &["base"])
}

/// The rules are in force, and `app` is built.
async fn guarded() -> (World, People) {
    let (mut world, people) = (World::new().await, People::new());
    let files = people.files();
    let mut files: Vec<(&str, Option<&str>)> = files
        .iter()
        .map(|(path, text)| (&**path, Some(&**text)))
        .collect();
    let build = build();
    files.push((APP, Some(&build)));
    world.merge(&files).await;
    assert_eq!(world.phase(APP).await, "succeeded");
    (world, people)
}

async fn notes(world: &World) -> Vec<String> {
    let status = world.status(RELEASE).await;
    let notes = status.notes.iter().filter(|note| note.subject == RELEASE);
    notes.map(|note| note.why.clone()).collect()
}

async fn broken(world: &World) -> Vec<Problem> {
    match world.control.plan_head().await.expect("a world that works") {
        Planned::Broken(problems) => problems,
        planned => panic!("{planned:?}"),
    }
}

#[tokio::test]
async fn a_release_waits_for_approvals_and_goes_on_with_them() {
    let (mut world, people) = guarded().await;
    world.merge(&[(RELEASE, Some(&to_base()))]).await;
    insta::assert_snapshot!("approvals_awaited", world.story().await);
    let written = world.written(RELEASE).await.expect("a world that works");
    assert!(
        written.contains("needs 2 approvals, by alice, bob or carol, for base"),
        "{written}"
    );

    // What an owner of no listed key signs, and who signs something else, changes nothing.
    let stranger = People::new();
    signed(&mut world, &stranger.alice, APPROVE, &[]);
    signed(
        &mut world,
        &people.carol,
        "a readme",
        &[("README.md", Some("x"))],
    );
    signed(&mut world, &people.alice, APPROVE, &[]);
    world.quiet().await;
    let says = notes(&world).await;
    assert!(
        says[0].starts_with("needs 1 more approval, by bob or carol, for base; to approve,"),
        "{says:?}"
    );
    assert!(says[1].contains("is of nobody in keys/people/"), "{says:?}");
    signed(&mut world, &people.alice, APPROVE, &[]);
    world.quiet().await;
    assert_eq!(world.phase(RELEASE).await, "open", "she counts once");

    signed(&mut world, &people.bob, APPROVE, &[]);
    world.quiet().await;
    assert_eq!(world.phase(RELEASE).await, "published");
}

#[tokio::test]
async fn a_signed_request_needs_one_approval_less_and_others_need_none() {
    let (mut world, people) = guarded().await;
    let text = to_base();
    signed(
        &mut world,
        &people.alice,
        "Release app",
        &[(RELEASE, Some(&text))],
    );
    signed(&mut world, &people.carol, APPROVE, &[]);
    world.quiet().await;
    assert_eq!(world.phase(RELEASE).await, "published");
    let other = "releases/2026/11/other.yaml";
    world
        .merge(&[(other, Some(&release(&[APP], &["extra"])))])
        .await;
    assert_eq!(world.phase(other).await, "published");
}

#[tokio::test]
async fn a_revert_needs_them_too() {
    let (mut world, people) = guarded().await;
    let text = to_base();
    signed(
        &mut world,
        &people.alice,
        "Release app",
        &[(RELEASE, Some(&text))],
    );
    signed(&mut world, &people.bob, APPROVE, &[]);
    world.quiet().await;
    let published = world.repository("base").await;
    world.merge(&[(RELEASE, None)]).await;
    assert_eq!(world.phase(RELEASE).await, "reverting");
    assert_eq!(world.repository("base").await, published);
    for key in [&people.carol, &people.bob] {
        signed(&mut world, key, APPROVE, &[]);
    }
    world.quiet().await;
    assert_eq!(world.phase(RELEASE).await, "reverted");
    // What was approved before does not count for the same file that is back.
    world.merge(&[(RELEASE, Some(&text))]).await;
    assert_eq!(world.phase(RELEASE).await, "open");
    assert!(notes(&world).await[0].starts_with("needs 2 approvals"));
}

#[tokio::test]
async fn another_build_is_not_what_was_approved() {
    let (mut world, people) = guarded().await;
    let text = to_base();
    signed(
        &mut world,
        &people.alice,
        "Release app",
        &[(RELEASE, Some(&text))],
    );
    signed(&mut world, &people.bob, APPROVE, &[]);
    let evil = build_on("el-10: [x86_64]", &["app", "lib"]);
    world.merge(&[(APP, Some(&evil))]).await;
    assert_eq!(world.phase(RELEASE).await, "open");
    assert!(notes(&world).await[0].starts_with("needs 2 approvals"));

    // The same after the release has begun: it stops, and holds up nobody.
    for key in [&people.bob, &people.carol] {
        signed(&mut world, key, APPROVE, &[]);
    }
    world.script(|_| Act::Hold);
    world.quiet().await;
    assert!(!world.held.is_empty(), "it is being signed");
    world.script(|_| Act::Work);
    world.merge(&[(APP, Some(&build()))]).await;
    assert!(notes(&world).await[0].starts_with("needs 2 approvals"));
    assert_eq!(world.repository("base").await, "nothing");
    assert!(!world.story().await.contains("has the turn"));
}

#[tokio::test]
async fn rules_and_runners_are_not_changed_by_who_may_push() {
    let (mut world, people) = guarded().await;
    let text = to_base();
    world.push(&[("policy.yaml", None), (RELEASE, Some(&text))]);
    let problems = broken(&world).await;
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].subject, "configuration");
    let message = &problems[0].message;
    let begin = "needs 2 approvals, by alice, bob or carol; to approve, look at it and push `git commit -S --allow-empty -m \"Approve: configuration\"`; to see what is to be approved: `git diff ";
    assert!(message.starts_with(begin), "{message}");
    assert!(
        message.ends_with("until then nothing new is planned"),
        "{message}"
    );
    world.quiet().await;
    assert_eq!(world.repository("base").await, "nothing");

    for file in [
        "keys/people/alice.asc",
        "keys/people/mallory.asc",
        "keys/README.md",
    ] {
        let stranger = People::new().alice.public().to_armored();
        world.push(&[("policy.yaml", Some(RULES)), (file, Some(&stranger))]);
        broken(&world).await;
    }
    // Who signs what others changed has not approved it.
    signed(
        &mut world,
        &people.alice,
        "a runner",
        &[("runners/README.md", Some("x"))],
    );
    signed(&mut world, &people.bob, CONFIGURATION, &[]);
    assert!(
        broken(&world).await[0]
            .message
            .starts_with("needs 1 more approval, by alice or carol;")
    );
    signed(&mut world, &people.carol, CONFIGURATION, &[]);
    let planned = world.control.plan_head().await.expect("a world that works");
    assert!(matches!(planned, Planned::New(_, 1)), "{planned:?}");
    world.quiet().await;
    assert_eq!(
        world.phase(RELEASE).await,
        "open",
        "the release needs its own"
    );
}

#[tokio::test]
async fn a_forced_push_does_not_get_past_the_rules() {
    let (mut world, _) = guarded().await;
    let files: Vec<(&str, Option<&str>)> = memory::CONFIG
        .iter()
        .map(|(path, text)| (*path, Some(*text)))
        .collect();
    world.force_push(&files);
    assert!(
        broken(&world).await[0]
            .message
            .starts_with("needs 2 approvals")
    );
}

#[tokio::test]
async fn the_first_rules_hold_for_what_comes_with_them() {
    let (mut world, people) = (World::new().await, People::new());
    let files = people.files();
    let (build, text) = (build(), to_base());
    let mut files: Vec<(&str, Option<&str>)> = files
        .iter()
        .map(|(path, text)| (&**path, Some(&**text)))
        .collect();
    files.extend([(APP, Some(&*build)), (RELEASE, Some(&*text))]);
    world.merge(&files).await;
    assert_eq!(world.phase(RELEASE).await, "open");
    assert!(notes(&world).await[0].starts_with("needs 2 approvals"));
}

#[tokio::test]
async fn rules_outlive_the_ledger() {
    // By history: rules, then what nobody approved, in one step and in two.
    for steps in 1..=2 {
        let (mut world, people) = guarded().await;
        world.push(&[("policy.yaml", None)]);
        if steps == 2 {
            world.push(&[("runners/README.md", Some("x"))]);
        }
        world.lose_ledger().await;
        assert!(
            broken(&world).await[0]
                .message
                .starts_with("needs 2 approvals"),
            "{steps}"
        );
        for key in [&people.alice, &people.bob] {
            signed(&mut world, key, CONFIGURATION, &[]);
        }
        let planned = world.control.plan_head().await.expect("a world that works");
        assert!(matches!(planned, Planned::New(..)), "{planned:?}");
    }
    // Rules that were changed as they say stand.
    let (mut world, people) = guarded().await;
    let rules = RULES.replace("count: 2", "count: 1");
    world.push(&[("policy.yaml", Some(&rules))]);
    for key in [&people.alice, &people.bob] {
        signed(&mut world, key, CONFIGURATION, &[]);
    }
    world.quiet().await;
    let text = to_base();
    world.push(&[(RELEASE, Some(&text))]);
    world.lose_ledger().await;
    world.quiet().await;
    assert!(notes(&world).await[0].starts_with("needs 1 approval"));
    signed(&mut world, &people.carol, APPROVE, &[]);
    world.quiet().await;
    assert_eq!(world.phase(RELEASE).await, "published");
}

#[tokio::test]
async fn a_key_of_two_people_or_of_nobody_is_a_mistake() {
    let (mut world, people) = (World::new().await, People::new());
    let key = people.alice.public().to_armored();
    world.push(&[
        ("keys/people/alice.asc", Some(&key)),
        ("keys/people/bob.asc", Some(&key)),
    ]);
    let problems = broken(&world).await;
    assert_eq!(problems[0].subject, "keys/people/bob.asc:1:1");
    assert!(
        problems[0]
            .message
            .starts_with("this is the key of alice, too"),
        "{problems:?}"
    );
    let nothing = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n-----END PGP PUBLIC KEY BLOCK-----\n";
    world.push(&[("keys/people/bob.asc", Some(nothing))]);
    assert_eq!(broken(&world).await[0].subject, "keys/people/bob.asc:1:1");
}

/// People read it on the commit; whoever approves it last mends the others.
#[tokio::test]
async fn a_commit_says_whose_approvals_its_configuration_lacks() {
    let (world, people) = guarded().await;
    let (mut world, forge) = (world.telling(), MemoryForge::default());
    let told = async |world: &World, commit: &str| {
        world.control.tell(&forge).await.expect("no fault is armed");
        seen(&forge, commit, "configuration").expect("it is told")
    };
    let bad = world.push(&[("policy.yaml", None), (RELEASE, Some(&to_base()))]);
    world.quiet().await;
    let check = told(&world, &bad).await;
    let tip = &check.summary[check.summary.find("git diff").expect("it says how")..];
    let said = text(&check).replace(tip.split(' ').nth(2).expect("from"), "FROM");
    insta::assert_snapshot!("told_unapproved", said.replace(&bad, "TO"));
    let writes = forge.checks_written();
    let first = signed(&mut world, &people.alice, CONFIGURATION, &[]);
    world.quiet().await;
    let check = told(&world, &first).await;
    assert!(
        check.summary.contains("needs 1 more approval"),
        "{}",
        check.summary
    );
    let last = signed(&mut world, &people.bob, CONFIGURATION, &[]);
    world.quiet().await;
    assert_eq!(told(&world, &last).await.title, "It can be planned again");
    for commit in [&bad, &first] {
        let check = told(&world, commit).await;
        let said = text(&check).replace(&last[..12], "LAST");
        insta::assert_snapshot!("told_approved", said);
    }
    assert_eq!(
        seen(&forge, &last, RESULTS).expect("it is told").title,
        "Done: 4 of 4 tasks done"
    );
    assert_eq!(forge.checks_written(), writes + 5);
    // It is made again as it is by now.
    assert_eq!(
        world
            .control
            .anew(&bad, Some("configuration"))
            .await
            .expect("no fault is armed"),
        1
    );
    assert_eq!(told(&world, &bad).await.state, CheckState::Passed);
}

#[tokio::test]
async fn a_plan_says_who_has_to_approve() {
    let (mut world, people) = guarded().await;
    let forge = MemoryForge::default();
    let repo = world.memory.state_repo().clone();
    let main = world.tip("main").await;
    let text = to_base();
    // Signed on a branch; `main` stays as it is.
    let head = signed(
        &mut world,
        &people.alice,
        "Release app",
        &[(RELEASE, Some(&text)), ("policy.yaml", None)],
    );
    repo.reset("main", &main);
    let mut pull = Pull {
        number: 0,
        title: "Release app".to_owned(),
        author: "alice".to_owned(),
        head: head.clone(),
        base: "main".to_owned(),
        is_own: true,
        state: PullState::Open,
    };
    pull.number = forge.open_pull(pull.clone());
    world
        .control
        .review(&forge)
        .await
        .expect("a world that works");
    let checks = forge.checks(&head).into_iter();
    let check = checks.last().expect("a world that works");
    assert_eq!(check.state, CheckState::Failed);
    let title = "Do not merge this yet: the configuration lacks approvals";
    assert_eq!(check.title, title);
    for says in [
        "needs 1 more approval, by bob or carol, for base",
        "needs 2 approvals, by alice, bob or carol; to approve",
    ] {
        let text = format!("{}{:?}", check.summary, check.details);
        assert!(text.contains(says), "{text}");
    }
    let run = world
        .control
        .dry_run(&head)
        .await
        .expect("a world that works")
        .expect("a world that works");
    let needs = run.notes.iter().filter(|it| it.why.starts_with("needs "));
    assert_eq!(needs.count(), 2, "{:?}", run.notes);
}
