//! Forges that have no patience, no time or no memory, and what our side makes of it: nothing doubles, nothing is lost,
//! and the reader is told what to mend.

mod common;

use std::time::Duration;

use common::World;
use fake_forge::forge::{Fault, Forge as Fake, Kind};
use forge::{Login, Secret};
use ports::contract::{ForgeWorld, Home};
use ports::{
    Annotation, Check, CheckState, Clock as _, Error, FORGE_WRITES, Forge, Level, Reply, Result,
};

/// An adapter of either forge.
enum Either {
    GitHub(Box<forge::GitHub<memory::ManualClock>>),
    Gitea(Box<forge::Gitea<memory::ManualClock>>),
}

impl Either {
    async fn write(&self, check: &Check) -> Result<()> {
        match self {
            Self::GitHub(forge) => forge.write_check(check).await,
            Self::Gitea(forge) => forge.write_check(check).await,
        }
    }

    /// What a person reads when it does not go.
    async fn refused(&self, check: &Check) -> String {
        cause(self.write(check).await)
    }
}

const BOTH: [Kind; 2] = [Kind::GitHub, Kind::Gitea];

fn adapter(world: &World, kind: Kind) -> Either {
    match kind {
        Kind::GitHub => Either::GitHub(Box::new(world.github())),
        Kind::Gitea => Either::Gitea(Box::new(world.gitea())),
    }
}

/// The sentence of a transient error. None shows a secret.
fn cause<T: std::fmt::Debug>(result: Result<T>) -> String {
    let error = result.expect_err("it does not go");
    let shown = format!("{error} {error:?}");
    for secret in [
        "ghs_fake",
        "PRIVATE KEY",
        "Bearer",
        "eyJ",
        "00000000000000000",
    ] {
        assert!(!shown.contains(secret), "{shown}");
    }
    match error {
        Error::Transient { cause, .. } => cause,
        Error::Corrupt { .. } => panic!("{error} is nobody's mistake"),
    }
}

async fn check(world: &World, annotations: u32) -> Check {
    let number = world.open("ada", "Build zlib", "main", Home::Own).await;
    let annotation = |line| Annotation {
        path: "builds/zlib.yaml".to_owned(),
        line,
        column: 1,
        level: Level::Error,
        message: format!("mistake {line}"),
        help: String::new(),
    };
    Check {
        name: "plan".to_owned(),
        commit: world.fake.head_of(number),
        pull: Some(number),
        state: CheckState::Failed,
        title: "Mistakes".to_owned(),
        summary: "See the lines.".to_owned(),
        annotations: (1..=annotations).map(annotation).collect(),
        actions: Vec::new(),
        details: None,
        digest: "digest-1".to_owned(),
    }
}

#[tokio::test]
async fn a_forge_that_asks_for_a_wait_is_left_alone_until_then() {
    for kind in BOTH {
        let world = World::new(kind);
        for (fault, seconds) in [
            (Fault::TooMany(30), 30),
            (Fault::RateLimit(30), 30),
            (Fault::Secondary(Some(30)), 30),
            (Fault::Secondary(None), 60),
        ] {
            let adapter = adapter(&world, kind);
            let check = check(&world, 0).await;
            world.fake.fault("POST", "s", fault, 1);
            let said = adapter.refused(&check).await;
            assert!(said.contains("asks to wait until "), "{fault:?}: {said}");
            let before = world.fake.counts().requests;
            world.clock.pass(Duration::from_secs(seconds - 2));
            let again = adapter.refused(&check).await;
            assert_eq!(again, said, "{fault:?}");
            assert_eq!(
                world.fake.counts().requests,
                before,
                "not one request: {fault:?}"
            );
            world.clock.pass(Duration::from_secs(3));
            adapter.write(&check).await.expect("the wait is over");
            assert_eq!(world.shown(&check.commit).await.len(), 1);
        }
    }
}

#[tokio::test]
async fn the_budget_of_writes_is_kept_however_many_are_wanted() {
    for kind in BOTH {
        let world = World::new(kind);
        let adapter = adapter(&world, kind);
        let mut check = check(&world, 0).await;
        check.pull = None;
        let mut refused = 0;
        let most = FORGE_WRITES[0].most;
        for nth in 0..most + 20 {
            check.title = format!("Number {nth}");
            check.digest = format!("digest-{nth}");
            if adapter.write(&check).await.is_err() {
                refused += 1;
            }
        }
        let writes = world.fake.counts().writes;
        assert!(
            refused >= 20 && writes <= most,
            "{writes} writes, {refused} refused"
        );
        let said = adapter.refused(&check).await;
        assert!(
            said.contains("80 writes a minute and 500 an hour"),
            "{said}"
        );
        world.clock.pass(Duration::from_mins(1));
        adapter.write(&check).await.expect("a minute later");
        let title = world.shown(&check.commit).await.remove(0).title;
        assert_eq!(title, check.title, "the last is shown");
    }
}

#[tokio::test]
async fn whatever_breaks_off_nothing_doubles_and_nothing_is_lost() {
    let faults = [
        Fault::Status(502),
        Fault::LoseRequest,
        Fault::LoseAnswer,
        Fault::CutAnswer(20),
        Fault::Page,
    ];
    for kind in BOTH {
        let requests = match kind {
            Kind::GitHub => [
                ("GET", "check-runs"),
                ("POST", "access_tokens"),
                ("POST", "check-runs"),
                ("PATCH", "check-runs"),
            ],
            Kind::Gitea => [
                ("GET", "comments"),
                ("GET", "user"),
                ("POST", "statuses"),
                ("POST", "comments"),
            ],
        };
        let world = World::new(kind);
        let other = adapter(&world, kind);
        for fault in faults {
            for request in requests {
                let name = format!("{kind:?} {fault:?} {request:?}");
                let check = check(&world, 120).await;
                world.fake.fault(request.0, request.1, fault, 1);
                let first = adapter(&world, kind);
                broken_off(&world, [&first, &other], &check, &name).await;
                // What the budget of one adapter had to bear is over.
                world.later(60);
            }
        }
    }
}

/// The write of a check breaks off, and is done again by another process until it goes.
async fn broken_off(world: &World, [first, other]: [&Either; 2], check: &Check, name: &str) {
    if let Err(error) = first.write(check).await {
        assert!(matches!(error, Error::Transient { .. }), "{name}: {error}");
        let again = other.write(check).await;
        again.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let shown = world.shown(&check.commit).await;
    let seen: Vec<_> = shown
        .iter()
        .map(|shown| (shown.state, shown.annotations))
        .collect();
    assert_eq!(seen, [(CheckState::Failed, 120)], "{name}");
    let runs = world.fake.all_checks(&check.commit).len();
    assert!(runs < 2, "{name}: one run was made");
    let writes = world.fake.counts().writes;
    first.write(check).await.expect("once more");
    assert_eq!(
        world.fake.counts().writes,
        writes,
        "{name}: it is all there"
    );
}

#[tokio::test]
async fn a_repository_that_was_renamed_is_found_or_named() {
    for kind in BOTH {
        let world = World::new(kind);
        let check = check(&world, 0).await;
        let adapter = adapter(&world, kind);
        let number = check.pull.expect("on a pull request");
        adapter.write(&check).await.expect("under the old name");
        world.fake.rename("moved");
        let mut newer = check.clone();
        newer.state = CheckState::Passed;
        adapter.write(&newer).await.expect("redirected");
        assert_eq!(
            world.shown(&check.commit).await[0].state,
            CheckState::Passed
        );
        assert_eq!(world.fake.head_of(number), check.commit);
    }
    let world = World::new(Kind::GitHub);
    let check = check(&world, 0).await;
    world.fake.rename("moved");
    let said = adapter(&world, Kind::GitHub).refused(&check).await;
    assert!(
        said.contains("App 4242 is not installed on distro/state"),
        "{said}"
    );
    assert!(
        said.contains("the repository's new name if it was renamed"),
        "{said}"
    );
}

#[tokio::test]
async fn who_may_not_is_told_what_to_mend() {
    for (kind, status, words) in [
        (Kind::GitHub, 403, "\"Checks: write\""),
        (
            Kind::GitHub,
            404,
            "App 4242 does not see distro/state: install it there",
        ),
        (
            Kind::Gitea,
            403,
            "write:repository, write:issue and read:user",
        ),
        (
            Kind::Gitea,
            404,
            "does not see distro/state: add them as a collaborator",
        ),
        (Kind::Gitea, 404, "`--forge-api`"),
        (Kind::Gitea, 401, "make a new one"),
        (Kind::Gitea, 423, "archived"),
    ] {
        let world = World::new(kind);
        let check = check(&world, 0).await;
        world.fake.fault("", "/repos/", Fault::Status(status), 9);
        let said = match status {
            // The App may be found, and the repository not.
            404 if kind == Kind::GitHub => {
                let login = Login::App {
                    id: Fake::APP,
                    key: Secret::new(Fake::app_key()),
                    installation: Some(Fake::INSTALLATION),
                };
                cause(world.github_as(login).pull(1).await)
            }
            403 if kind == Kind::GitHub => {
                let login = Login::App {
                    id: Fake::APP,
                    key: Secret::new(Fake::app_key()),
                    installation: Some(Fake::INSTALLATION),
                };
                cause(world.github_as(login).write_check(&check).await)
            }
            _ => adapter(&world, kind).refused(&check).await,
        };
        assert!(said.contains(words), "{status}: {said}");
    }
}

#[tokio::test]
async fn an_app_that_was_uninstalled_is_named() {
    let world = World::new(Kind::GitHub);
    let check = check(&world, 0).await;
    let adapter = adapter(&world, Kind::GitHub);
    adapter.write(&check).await.expect("installed");
    world.fake.uninstall();
    let mut newer = check.clone();
    newer.digest = "digest-2".to_owned();
    let said = adapter.refused(&newer).await;
    assert!(
        said.contains("App 4242 is not installed on distro/state: install it there"),
        "{said}"
    );
    let token = Login::Token(Secret::new("ghs_fake"));
    let said = cause(world.github_as(token).write_check(&check).await);
    assert!(said.contains("write a new one"), "{said}");
}

#[tokio::test]
async fn whoever_answers_in_the_place_of_github_is_suspected() {
    for (method, word) in [("GET", "/installation"), ("POST", "access_tokens")] {
        for status in [405, 418] {
            let world = World::new(Kind::GitHub);
            let check = check(&world, 0).await;
            world.fake.fault(method, word, Fault::Status(status), 9);
            let said = adapter(&world, Kind::GitHub).refused(&check).await;
            assert!(said.contains(&format!("GitHub answers {status}")), "{said}");
            assert!(said.contains("look where `--forge-api` leads"), "{said}");
            assert!(!said.contains("not installed"), "{said}");
        }
    }
}

#[tokio::test]
async fn long_descriptions_hide_no_other_pull_request() {
    for kind in BOTH {
        let world = World::new(kind);
        let mut numbers = Vec::new();
        for nth in 0..7 {
            let title = format!("Build {nth}");
            numbers.push(world.open("ada", &title, "main", Home::Own).await);
        }
        world.fake.describe(numbers[3], &"x".repeat(33 << 20));
        let listed = match kind {
            Kind::GitHub => world.github().open_pulls("main").await,
            Kind::Gitea => world.gitea().open_pulls("main").await,
        };
        let listed = listed.expect("the others can be read").into_iter();
        numbers.remove(3);
        assert_eq!(listed.map(|pull| pull.number).collect::<Vec<_>>(), numbers);
    }
}

#[tokio::test]
async fn a_wrong_clock_does_not_keep_the_app_out() {
    for seconds in [-7_200, -120, -45, 45, 120, 7_200] {
        let world = World::new(Kind::GitHub);
        let check = check(&world, 0).await;
        world.fake.later(seconds);
        let adapter = adapter(&world, Kind::GitHub);
        adapter
            .write(&check)
            .await
            .unwrap_or_else(|error| panic!("{seconds} s: {error}"));
        // Its token lasts an hour by either clock, and is renewed before it ends.
        for _ in 0..8 {
            world.later(600);
            adapter
                .write(&check)
                .await
                .unwrap_or_else(|error| panic!("{seconds} s: {error}"));
        }
        let lines = world.fake.requests();
        let asked = |word: &str| lines.iter().filter(|line| line.contains(word)).count();
        assert_eq!(asked("access_tokens 201"), 2, "{seconds} s: {lines:#?}");
        let refused = lines.iter().filter(|line| line.ends_with(" 401"));
        assert!(refused.count() <= 1, "{seconds} s: {lines:#?}");
    }
}

#[tokio::test]
async fn a_token_that_was_taken_back_is_replaced() {
    let world = World::new(Kind::GitHub);
    let check = check(&world, 0).await;
    let adapter = adapter(&world, Kind::GitHub);
    world.fake.fault("GET", "check-runs", Fault::Status(401), 1);
    world
        .fake
        .fault("POST", "check-runs", Fault::Status(401), 1);
    adapter.write(&check).await.expect("with another token");
    assert_eq!(world.fake.all_checks(&check.commit).len(), 1);
}

#[tokio::test]
async fn a_token_for_pushes_is_good_and_shows_itself_to_nobody() {
    let world = World::new(Kind::GitHub);
    let adapter = world.github();
    let token = adapter.push_token().await.expect("a token");
    assert!(token.expose().starts_with("ghs_fake"));
    assert_eq!(
        format!("{token:?} {:?}", world.app())
            .matches("ghs_fake")
            .count(),
        0
    );
    assert!(!format!("{:?}", world.app()).contains("PRIVATE"));
    let again = adapter.push_token().await.expect("a token");
    assert!(again == token, "one token serves until its end");
    let other = world.github_as(Login::Token(token));
    let error = other.write_check(&check(&world, 0).await).await;
    let error = error.expect_err("it is for git alone").to_string();
    assert!(error.contains("lacks a permission"), "{error}");
}

#[tokio::test]
async fn a_token_that_somebody_else_made_serves_too() {
    let world = World::new(Kind::GitHub);
    let mut check = check(&world, 0).await;
    let adapter = world.github_as(Login::Token(Secret::new(&world.fake.token())));
    for state in [CheckState::Running, CheckState::Passed] {
        check.state = state;
        adapter
            .write_check(&check)
            .await
            .expect("a token of the App");
    }
    assert_eq!(world.fake.all_checks(&check.commit).len(), 1);
    assert_eq!(
        world.shown(&check.commit).await[0].state,
        CheckState::Passed
    );
}

#[tokio::test]
async fn long_texts_are_cut_and_say_so() {
    for kind in BOTH {
        let world = World::new(kind);
        let mut check = check(&world, 900).await;
        check.summary = "| zlib | x86_64 |\n".repeat(9_000);
        check.title = "a long title ".repeat(99);
        let adapter = adapter(&world, kind);
        adapter
            .write(&check)
            .await
            .expect("within the forge's limits");
        let shown = world.shown(&check.commit).await.remove(0);
        assert_eq!(shown.annotations, 200);
        assert!(shown.text.contains("700 more remarks are not shown here"));
        assert!(shown.text.contains("The rest is too long to be shown here"));
        assert!(shown.title.ends_with('…'), "{}", shown.title);
    }
}

#[tokio::test]
async fn two_who_write_one_check_through_one_adapter_make_one() {
    for kind in BOTH {
        let world = World::new(kind);
        let check = check(&world, 120).await;
        let adapter = adapter(&world, kind);
        let (one, other) = tokio::join!(adapter.write(&check), adapter.write(&check));
        one.and(other).expect("both");
        assert_eq!(world.shown(&check.commit).await[0].annotations, 120);
        let runs = world.fake.all_checks(&check.commit).len();
        let statuses = world.fake.status_count(&check.commit);
        assert_eq!(runs + statuses, 1, "{kind:?}");
    }
}

/// At Gitea all comments of a pull request come in one answer, and everybody may write one.
#[tokio::test]
async fn strangers_do_not_stop_the_comment_that_is_kept_up_to_date() {
    let world = World::new(Kind::Gitea);
    let gitea = world.gitea();
    let mut check = check(&world, 0).await;
    let number = check.pull.expect("it is of one");
    gitea.write_check(&check).await.expect("no fault is armed");
    world.fake.comment(number, "eve", &"x".repeat(33 << 20));
    world.later(60);
    "2 mistakes".clone_into(&mut check.title);
    "See the other lines.".clone_into(&mut check.summary);
    "d2".clone_into(&mut check.digest);
    gitea.write_check(&check).await.expect("it goes on");
    let comments = world.fake.comments(number);
    assert!(comments[0].body.contains("See the other lines."));
    let asked = world.fake.comment(number, "ada", "/millrace plan");
    let reply = Reply {
        pull: number,
        comment: asked,
        written: world.clock.now(),
        text: "It is planned.".to_owned(),
    };
    for _ in 0..2 {
        gitea.answer(&reply).await.expect("it goes on");
    }
    assert_eq!(world.answers(number).await, ["It is planned."]);
}
