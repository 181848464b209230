//! Whoever speaks with the forge is killed at every call, before and behind it, and has a rival between any two: what
//! people read at the end is what they read without, nothing is said twice, and a wish is done once.

use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use control::{Answer, Control};
use ledger::{About, Asked, Comment, Row, Wish, partition};
use memory::MemoryForge;
use pipeline_spec::RequestPath;
use ports::{Clock, Permission, Platform, Pull};

use crate::faults::{Faulty, FaultyPlatform, When};
use crate::fixture::{APP, RELEASE, release};
use crate::review::{OTHER, broken, merge, one, open, push, review, tell, text};
use crate::world::{Act, World, path};

/// A world with a pull request.
struct Stage {
    world: World,
    forge: MemoryForge,
    pull: Pull,
}

/// What is done, and broken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Review,
    Tell,
    Again,
    WatchOpen,
    Retry,
    Cancel,
    Scratch,
}

/// How the process ends that is hurt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hurt {
    /// One call fails, and the process goes on.
    Fails,
    /// The process dies.
    Dies,
}

type Prepared = Pin<Box<dyn Future<Output = Stage>>>;

/// Opened, and not reviewed; its head is changed and another is merged meanwhile if `is_newer`.
fn opened(is_newer: bool) -> Prepared {
    Box::pin(async move {
        let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
        forge.set_permission("ada", Permission::Write);
        let released = release(&[APP], &["base"]);
        let files = [(APP, Some(&*one("app"))), (RELEASE, Some(&*released))];
        let mut pull = open(&mut world, &forge, &files).await;
        if is_newer {
            review(&world, &forge).await;
            push(&mut world, &forge, &mut pull, &[(APP, Some(&one("tool")))]).await;
            world.merge(&[(OTHER, Some(&one("lib")))]).await;
        }
        Stage { world, forge, pull }
    })
}

/// Merged, and `is_reviewed` before.
fn merged(is_reviewed: bool) -> Prepared {
    Box::pin(async move {
        let mut stage = opened(false).await;
        if is_reviewed {
            review(&stage.world, &stage.forge).await;
        }
        merge(&mut stage.world, &stage.forge, &stage.pull).await;
        stage
    })
}

/// Merged, and all builds of it have failed and go on to.
fn failed() -> Prepared {
    Box::pin(async move {
        let mut stage = merged(true).await;
        stage
            .world
            .script(|grant| match grant.spec.title().starts_with("build") {
                true => Act::Say(broken("no")),
                false => Act::Work,
            });
        stage.world.quiet().await;
        review(&stage.world, &stage.forge).await;
        tell(&stage.world, &stage.forge).await;
        stage
    })
}

/// Under way, told as such, and held.
fn running() -> Prepared {
    Box::pin(async move {
        let mut stage = merged(true).await;
        stage.world.script(|_| Act::Hold);
        review(&stage.world, &stage.forge).await;
        tell(&stage.world, &stage.forge).await;
        stage.world.quiet().await;
        stage
    })
}

/// Told as under way, and done since.
fn done() -> Prepared {
    Box::pin(async move {
        let mut stage = merged(true).await;
        review(&stage.world, &stage.forge).await;
        tell(&stage.world, &stage.forge).await;
        stage.world.quiet().await;
        stage
    })
}

/// Told as done.
fn over() -> Prepared {
    Box::pin(async move {
        let mut stage = done().await;
        stage.end().await;
        stage
    })
}

/// Merged, and main was moved before anybody planned it, ten minutes ago.
fn missed() -> Prepared {
    Box::pin(async move {
        let mut stage = opened(false).await;
        review(&stage.world, &stage.forge).await;
        let merged = ports::PullState::Merged(stage.pull.head.clone());
        stage
            .forge
            .change_pull(stage.pull.number, |it| it.state = merged);
        stage.world.merge(&[("README.md", Some("moved"))]).await;
        review(&stage.world, &stage.forge).await;
        stage.world.pass(601);
        stage
    })
}

/// Opened and reviewed, with two builds that belong together; `is_begun`: an older commit's scratch builds are at work.
fn proposed(is_begun: bool) -> Prepared {
    Box::pin(async move {
        let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
        forge.set_permission("ada", Permission::Write);
        let with = format!("{}with: [{APP}]\n", one("lib"));
        let files = [(APP, Some(&*one("app"))), (OTHER, Some(&*with))];
        let mut pull = open(&mut world, &forge, &files).await;
        if is_begun {
            let asked = Asked {
                id: "comment 0".to_owned(),
                comment: None,
                ..asked(&world.control, pull.number, SCRATCH)
            };
            let begun = world.control.ask(&forge, &asked).await;
            begun.expect("no fault is armed");
            world.script(|_| Act::Hold);
            world.quiet().await;
            world.script(|_| Act::Work);
            push(&mut world, &forge, &mut pull, &[(APP, Some(&one("tool")))]).await;
        }
        review(&world, &forge).await;
        Stage { world, forge, pull }
    })
}

/// Scratch builds that were begun, as they are told of.
fn begun() -> Prepared {
    Box::pin(async move {
        let mut stage = proposed(true).await;
        let asked = asked(&stage.world.control, stage.pull.number, SCRATCH);
        let begun = stage.world.control.ask(&stage.forge, &asked).await;
        begun.expect("no fault is armed");
        stage.world.quiet().await;
        stage
    })
}

/// When it is time to tell again.
fn later(stage: Prepared) -> Prepared {
    Box::pin(async move {
        let stage = stage.await;
        stage.world.pass(61);
        stage
    })
}

/// A ledger that knows what is open and none of the watches.
fn lost() -> Prepared {
    Box::pin(async move {
        let mut stage = running().await;
        stage.world.lose_ledger().await;
        stage.world.held.clear();
        stage.world = stage.world.telling();
        stage
    })
}

const SCRATCH: Wish = Wish::Scratch { commit: None };

/// Written a moment ago.
fn asked(control: &Control<FaultyPlatform>, number: u64, wish: Wish) -> Asked {
    let comment = Comment {
        id: 1,
        written: control.platform().clock().now(),
        left_out: 0,
    };
    Asked {
        id: "comment 1".to_owned(),
        login: "ada".to_owned(),
        about: About::Pull { number },
        wishes: vec![wish],
        comment: Some(comment),
    }
}

async fn deed(
    deed: Deed,
    control: &Control<FaultyPlatform>,
    forge: &impl ports::Forge,
    pull: u64,
) -> control::Result<()> {
    let wish = match deed {
        // What fails for one pull request or commit is counted, and holds up no other.
        Deed::Review => return control.review(forge).await.map(drop),
        Deed::Tell => return control.tell(forge).await.map(drop),
        Deed::WatchOpen => return control.watch_open().await,
        Deed::Again => {
            let pull = forge.pull(pull).await?.expect("it is there");
            return control.anew(&pull.head, None).await.map(drop);
        }
        Deed::Retry => Wish::Retry,
        Deed::Cancel => Wish::Cancel,
        Deed::Scratch => SCRATCH,
    };
    let answer = control.ask(forge, &asked(control, pull, wish)).await?;
    assert!(matches!(answer, Answer::Done(_) | Answer::Before));
    Ok(())
}

impl Stage {
    async fn act(&self, what: Deed) -> control::Result<()> {
        let forge = Faulty::forge(&self.forge, &self.world.faults);
        deed(what, &self.world.control, &forge, self.pull.number).await
    }

    /// The rounds that come anyway, until all is told.
    async fn end(&mut self) {
        for _ in 0..4 {
            self.world.heal().await;
            review(&self.world, &self.forge).await;
            self.world.pass(61);
            tell(&self.world, &self.forge).await;
        }
    }

    /// All that people read, what is remembered of it, and how often each task was tried.
    async fn story(&self) -> String {
        let mut story = self.world.story().await;
        for commit in [self.pull.head.clone(), self.world.tip("main").await] {
            for check in self.forge.checks(&commit) {
                let _ = writeln!(story, "== {} at {commit}\n{}", check.name, text(&check));
            }
        }
        // Who goes on with what another has done says what is left, which is nothing.
        let _ = writeln!(story, "== answers: {}", self.forge.answers().len());
        let remembered = [partition::PULLS, partition::WATCHED, partition::SCRATCH];
        for (key, record) in self.world.rows() {
            if remembered.contains(&key.partition.as_str()) {
                let mut row = record.row;
                if let Row::Scratch(row) = &mut row {
                    // What failed is told a minute later.
                    (row.looked, row.told) = (0, 0);
                }
                let _ = writeln!(story, "{key}: {row:?}");
            }
        }
        story
    }

    fn scratch(&self) -> impl Iterator<Item = RequestPath> {
        let of = |build| RequestPath::scratch(self.pull.number, &self.pull.head, &path(build));
        [APP, OTHER].into_iter().filter_map(of)
    }

    fn attempts(&self) -> u64 {
        let of = |request| self.world.tasks(request).into_iter();
        let scratch = self.scratch().flat_map(|of| self.world.tasks(of.as_str()));
        let tasks = of(APP).chain(of(RELEASE)).chain(scratch);
        tasks.map(|row| u64::from(row.state.attempt())).sum()
    }
}

/// Hurts `what` at every call.
async fn check(prepare: impl Fn() -> Prepared, what: Deed) {
    let mut stage = prepare().await;
    let from = stage.world.faults.calls().len();
    stage.act(what).await.expect("nothing fails");
    let calls = stage.world.faults.calls().split_off(from);
    stage.end().await;
    let (expect, writes) = (stage.story().await, stage.forge.checks_written());
    let tried = stage.attempts();
    assert!(calls.len() > 1, "{what:?} makes calls: {calls:?}");
    for (n, call) in calls.iter().enumerate() {
        for when in [When::Before, When::After] {
            for hurt in [Hurt::Fails, Hurt::Dies] {
                let name = format!("{what:?}: {hurt:?} {when:?} call {n}, {call}");
                let mut stage = prepare().await;
                match hurt {
                    Hurt::Fails => stage.world.faults.arm(n, when),
                    Hurt::Dies => stage.world.faults.kill(n, when),
                }
                let _broken_off = stage.act(what).await;
                stage.world.faults.disarm();
                stage.world = stage.world.telling();
                // The forge or its queue says it again.
                stage.act(what).await.expect("nothing fails");
                stage.end().await;
                assert_eq!(stage.story().await, expect, "{name}");
                // A host that was away for a moment is told of, and then that it is there.
                let more = u64::from(*call == "repo.resolve" && matches!(hurt, Hurt::Fails));
                let written = stage.forge.checks_written();
                assert!(written <= writes + more, "{name}: said {written} times");
                assert_eq!(stage.attempts(), tried, "{name}: not done once");
            }
        }
    }
}

#[tokio::test]
async fn a_review_survives_a_kill_at_every_call() {
    check(|| opened(false), Deed::Review).await;
    check(|| opened(true), Deed::Review).await;
    check(|| merged(true), Deed::Review).await;
    check(missed, Deed::Review).await;
}

#[tokio::test]
async fn telling_survives_a_kill_at_every_call() {
    check(|| merged(true), Deed::Tell).await;
    check(|| merged(false), Deed::Tell).await;
    check(|| later(failed()), Deed::Tell).await;
    check(|| later(done()), Deed::Tell).await;
    check(lost, Deed::WatchOpen).await;
    check(begun, Deed::Tell).await;
    check(over, Deed::Again).await;
}

#[tokio::test]
async fn a_wish_survives_a_kill_at_every_call() {
    check(failed, Deed::Retry).await;
    check(running, Deed::Cancel).await;
    check(|| proposed(false), Deed::Scratch).await;
    check(|| proposed(true), Deed::Scratch).await;
}

/// Between any two calls of one, another process does the same to its end; if `moves`, when `main` has moved on.
async fn beside(prepare: impl Fn() -> Prepared, what: Deed, moves: bool) {
    let play = async |n: Option<usize>| {
        let mut stage = prepare().await;
        let new = stage.world.next_commit(&[(APP, Some(&one("lib")))]);
        let repo = stage.world.memory.state_repo().clone();
        let (other, forge) = (stage.world.another_telling(), stage.forge.clone());
        let (number, came) = (stage.pull.number, Arc::new(AtomicBool::new(false)));
        let comes = came.clone();
        let rival = async move {
            comes.store(true, Ordering::Relaxed);
            if moves {
                repo.push("main", "Eve <eve@example.org>", new);
                other.plan_head().await.expect("nothing fails");
            }
            let done = deed(what, &other, &forge, number).await;
            done.expect("nothing fails");
        };
        match n {
            Some(n) => stage.world.faults.interleave(n, Box::pin(rival)),
            None => rival.await,
        }
        if let Err(error) = stage.act(what).await {
            // The other one is doing it. The queue says it again.
            assert!(matches!(error, control::Error::Contended(_)), "{error}");
            stage.act(what).await.expect("nobody else does it");
        }
        let came = came.load(Ordering::Relaxed);
        stage.end().await;
        (came, stage.story().await, stage.attempts())
    };
    let (_, expect, tried) = play(None).await;
    for n in 0.. {
        let (came, story, attempts) = play(Some(n)).await;
        if !came {
            assert!(n > 1, "{what:?} makes calls");
            break;
        }
        assert_eq!(story, expect, "{what:?}, another before call {n}");
        assert_eq!(attempts, tried, "{what:?}, another before call {n}");
    }
}

#[tokio::test]
async fn two_at_once_leave_what_one_after_the_other_does() {
    beside(|| opened(false), Deed::Review, false).await;
    beside(|| opened(true), Deed::Review, true).await;
    beside(|| merged(true), Deed::Review, false).await;
    beside(missed, Deed::Review, false).await;
    beside(over, Deed::Again, false).await;
    beside(|| merged(false), Deed::Tell, false).await;
    beside(|| merged(true), Deed::Tell, true).await;
    beside(failed, Deed::Retry, false).await;
    beside(|| proposed(true), Deed::Scratch, false).await;
}
