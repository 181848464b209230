//! A GitHub App's token for pushes: had when it is needed, renewed in time, and in no error.

#![allow(
    clippy::disallowed_methods,
    reason = "tests begin at the double's time, which is the machine's"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use fake_forge::forge::{Change, Fault, Forge as Fake, Kind};
use forge::{Address, GitHub, Login, Secret};
use git::{Credentials, Repository};
use memory::ManualClock;
use ports::{Committed, NewCommit, StateRepo};
use state_repo::{GitStateRepo, TOKEN_USER, lent};
use tokio::runtime::Handle;

struct World {
    fake: Fake,
    clock: ManualClock,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let fake = Fake::start(Kind::GitHub, &folder.path().join("forge"));
        fake.push("main", &Change::new("begins").write("a", "1"));
        let since = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970");
        let now = i64::try_from(since.as_millis()).expect("before the year 292 million");
        Self {
            fake,
            clock: ManualClock::at(now),
            folder,
        }
    }

    fn later(&self, seconds: u64) {
        self.fake.later(i64::try_from(seconds).expect("a while"));
        self.clock.pass(Duration::from_secs(seconds));
    }

    fn open(&self, cache: &str, credentials: Credentials) -> Repository {
        let url = self.fake.clone_url().parse().expect("an address");
        let cache: &Path = &self.folder.path().join(cache);
        Repository::remote(url, cache, credentials).expect("a folder")
    }

    /// Logs in as the App.
    fn app(&self) -> GitStateRepo {
        let repository = format!("{}/{}", Fake::OWNER, Fake::REPOSITORY);
        let address = Address::new(&self.fake.url(), &repository).expect("an address");
        let login = Login::App {
            id: Fake::APP,
            key: Secret::new(Fake::app_key()),
            installation: None,
        };
        let app = GitHub::new(address, login, self.clock.clone()).expect("a key");
        let app = Arc::new(app);
        let again = app.clone();
        let refused = move || {
            let app = again.clone();
            async move { app.push_token_refused().await }
        };
        let lend = move || {
            let app = app.clone();
            async move { Ok(app.push_token().await?.expose().to_owned()) }
        };
        let repository = self.open("app", Credentials::None);
        GitStateRepo::new(repository.logging_in(lent(Handle::current(), lend, refused)))
    }

    fn lent(&self) -> usize {
        let requests = self.fake.requests();
        let lent = |line: &&String| line.contains("access_tokens") && line.ends_with("201");
        requests.iter().filter(lent).count()
    }
}

async fn push(repo: &GitStateRepo, text: &str) -> ports::Result<Committed> {
    let parent = repo.head("status").await?;
    let new = NewCommit {
        files: vec![("file".to_owned(), Some(Bytes::from(text.to_owned())))],
        message: "status".to_owned(),
        time: 1_782_864_000,
    };
    repo.commit("status", parent.as_deref(), new).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_token_serves_many_pushes_and_is_renewed_before_it_ends() {
    let world = World::new();
    let repo = world.app();
    for minute in 0..180_u64 {
        if minute % 10 == 0 {
            let pushed = push(&repo, &minute.to_string()).await;
            assert!(matches!(pushed, Ok(Committed::Yes(_))), "{pushed:?}");
        }
        world.later(60);
    }
    assert_eq!(world.fake.counts().pushes, 18);
    // Each lasts an hour, and is not used in its last minutes.
    assert!((3..=4).contains(&world.lent()), "{}", world.lent());
}

/// What an App would have without being asked again.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_double_refuses_a_token_that_has_ended() {
    let world = World::new();
    let credentials = Credentials::Basic {
        user: TOKEN_USER.to_owned(),
        password: world.fake.token(),
    };
    let repo = GitStateRepo::new(world.open("static", credentials));
    assert!(push(&repo, "1").await.is_ok());
    world.later(3_601);
    let error = push(&repo, "2").await.expect_err("it has ended");
    assert!(
        error.to_string().contains("refuses the credentials"),
        "{error}"
    );
}

/// The App was taken away and let in again: its tokens from before are dead, and nobody says when.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_token_that_was_taken_back_is_followed_by_another() {
    let world = World::new();
    let repo = world.app();
    assert!(push(&repo, "1").await.is_ok());
    world.later(60);
    world.fake.uninstall();
    let error = push(&repo, "2").await.expect_err("it is not let in");
    assert!(
        error.to_string().contains("refuses the credentials"),
        "{error}"
    );
    let error = push(&repo, "2").await.expect_err("no token is lent");
    assert!(error.to_string().contains("is not installed"), "{error}");
    world.fake.install();
    assert!(push(&repo, "2").await.is_ok());
    // One that is refused at once is not followed by a new one at each try.
    world.fake.fault("", "info/refs", Fault::Status(401), 5);
    let lent = world.lent();
    for _ in 0..5 {
        assert!(push(&repo, "3").await.is_err());
    }
    assert_eq!(world.lent(), lent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_lends_nothing_is_asked_again_and_the_error_says_why_without_a_secret() {
    let world = World::new();
    let repo = world.app();
    world
        .fake
        .fault("POST", "access_tokens", Fault::Status(502), 1);
    let error = push(&repo, "1").await.expect_err("no token is lent");
    assert!(matches!(error, ports::Error::Transient { .. }), "{error:?}");
    let text = format!("{error} {error:?} {repo:?}");
    assert!(text.contains("no login can be had"), "{text}");
    assert!(!text.contains("ghs_") && !text.contains("BEGIN"), "{text}");
    assert!(push(&repo, "1").await.is_ok(), "the next try goes well");
}
