//! What people ask for at the forge: who may, that each thing is done once, and that none is lost.

use std::time::Duration;

use control::{Answer, Answered};
use ledger::{About, Asked, Comment, Key, Message, QueueName, Wish, partition};
use memory::MemoryForge;
use ports::{Clock, Ledger, Permission, Place, Platform, TaskQueue};
use runner_api::Grant;

use crate::faults::When;
use crate::fixture::APP;
use crate::review::{OTHER, RESULTS, broken, merge, one, open, review, seen, tell};
use crate::world::{Act, World};

const DAY: u64 = 24 * 3_600;

pub(crate) fn here(number: u64) -> About {
    About::Pull { number }
}

pub(crate) fn at(commit: &str) -> About {
    About::Commit {
        commit: commit.to_owned(),
    }
}

pub(crate) fn pressed(id: &str, login: &str, about: About, wish: Wish) -> Asked {
    Asked {
        id: id.to_owned(),
        login: login.to_owned(),
        about,
        wishes: vec![wish],
        comment: None,
    }
}

/// Written a moment ago.
pub(crate) fn written(world: &World, id: u64, login: &str, pull: u64, wish: Wish) -> Asked {
    let comment = Comment {
        id,
        written: world.memory.clock().now(),
        left_out: 0,
    };
    Asked {
        comment: Some(comment),
        ..pressed(&format!("comment {id:020}"), login, here(pull), wish)
    }
}

pub(crate) async fn ask(world: &World, forge: &MemoryForge, asked: &Asked) -> Answer {
    let answer = world.control.ask(forge, asked).await;
    answer.expect("no fault is armed")
}

async fn send(world: &World, asked: &Asked) {
    let message = Message::Asked(Box::new(asked.clone()));
    send_message(world, &message).await;
}

async fn send_message(world: &World, message: &Message) {
    let place = Place::at(world.memory.clock().now());
    let queue = world.memory.queue();
    let sent = queue.send(&QueueName::forge(), message, &place).await;
    sent.expect("no fault is armed");
}

async fn answer(world: &World, forge: &MemoryForge) -> Answered {
    let answered = world.control.answer_forge(forge, Duration::ZERO).await;
    answered.expect("no fault is armed")
}

async fn waiting(world: &World) -> u64 {
    let depth = world.memory.queue().depth(&QueueName::forge()).await;
    depth.expect("no fault is armed")
}

/// A merged pull request whose build has failed; `ada` may push.
async fn failed(world: &mut World, forge: &MemoryForge) -> ports::Pull {
    forge.set_permission("ada", Permission::Write);
    forge.set_permission("eve", Permission::Read);
    let pull = open(world, forge, &[(APP, Some(&one("app")))]).await;
    review(world, forge).await;
    world.script(
        |grant: &Grant| match grant.spec.title().starts_with("build") {
            true => Act::Say(broken("no")),
            false => Act::Work,
        },
    );
    merge(world, forge, &pull).await;
    world.quiet().await;
    review(world, forge).await;
    tell(world, forge).await;
    pull
}

#[tokio::test]
async fn who_may_push_may_retry_and_each_wish_is_done_once() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    let pull = failed(&mut world, &forge).await;
    let eves = written(&world, 1, "eve", pull.number, Wish::Retry);
    let refused = ask(&world, &forge, &eves).await;
    assert_eq!(refused, Answer::Refused(Permission::Read));
    assert_eq!(world.phase(APP).await, "failed");
    let adas = written(&world, 2, "ada", pull.number, Wish::Retry);
    assert_eq!(ask(&world, &forge, &adas).await, Answer::Done(1));
    world.quiet().await;
    assert_eq!(world.phase(APP).await, "failed");
    // The forge says it again, when it could be done again.
    assert_eq!(ask(&world, &forge, &adas).await, Answer::Before);
    assert_eq!(world.phase(APP).await, "failed");
    // The buttons of both pages.
    let pages = [pull.head.clone(), world.tip("main").await];
    for (nth, commit) in pages.iter().enumerate() {
        let asked = pressed(&format!("button {nth}"), "ada", at(commit), Wish::Retry);
        assert_eq!(ask(&world, &forge, &asked).await, Answer::Done(1));
        world.quiet().await;
    }
    world.script(|_| Act::Hold);
    let retry = pressed("button 3", "ada", at(&pull.head), Wish::Retry);
    ask(&world, &forge, &retry).await;
    world.quiet().await;
    let cancel = pressed("button 4", "ada", at(&pull.head), Wish::Cancel);
    assert_ne!(ask(&world, &forge, &cancel).await, Answer::Done(0));
    // A commit that is not planned is nobody's.
    let stray = pressed("button 5", "ada", at(&"1".repeat(40)), Wish::Cancel);
    assert_eq!(ask(&world, &forge, &stray).await, Answer::Done(0));
}

/// The button of a text is pressed once: what fails in the same way again has to have another text.
#[tokio::test]
async fn what_fails_again_is_told_anew_though_it_says_the_same() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    let pull = failed(&mut world, &forge).await;
    let mut said = seen(&forge, &pull.head, RESULTS).expect("it is told");
    for nth in 0..3 {
        let button = pressed(&format!("button {nth}"), "ada", at(&pull.head), Wish::Retry);
        assert_eq!(ask(&world, &forge, &button).await, Answer::Done(1));
        // It fails before anybody looks.
        world.quiet().await;
        tell(&world, &forge).await;
        let again = seen(&forge, &pull.head, RESULTS).expect("it is told");
        assert_eq!(again.summary, said.summary);
        assert_ne!(again.digest, said.digest);
        said = again;
        world.pass(61);
    }
}

/// The same while other work of the page goes on.
#[tokio::test]
async fn what_fails_again_beside_open_work_is_told_anew() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    forge.set_permission("ada", Permission::Write);
    let files = [(APP, Some(&*one("app"))), (OTHER, Some(&*one("lib")))];
    let pull = open(&mut world, &forge, &files).await;
    review(&world, &forge).await;
    world.script(|grant| match grant.spec.title().contains("lib") {
        true => Act::Hold,
        false => Act::Say(broken("no")),
    });
    merge(&mut world, &forge, &pull).await;
    world.quiet().await;
    review(&world, &forge).await;
    tell(&world, &forge).await;
    let said = seen(&forge, &pull.head, RESULTS).expect("it is told");
    assert!(said.title.contains("1 failed so far"), "{}", said.title);
    let button = pressed("button", "ada", at(&pull.head), Wish::Retry);
    assert_eq!(ask(&world, &forge, &button).await, Answer::Done(1));
    world.quiet().await;
    world.pass(61);
    tell(&world, &forge).await;
    let again = seen(&forge, &pull.head, RESULTS).expect("it is told");
    assert_eq!(again.title, said.title);
    assert_ne!(again.digest, said.digest);
}

/// Somebody cancels, thinks better of it, and webhooks come the other way round.
#[tokio::test]
async fn an_older_command_that_comes_late_undoes_nothing() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    let pull = failed(&mut world, &forge).await;
    let [cancel, retry] = [(3, Wish::Cancel), (4, Wish::Retry)]
        .map(|(id, wish)| written(&world, id, "ada", pull.number, wish));
    world.script(|_| Act::Hold);
    assert_eq!(ask(&world, &forge, &retry).await, Answer::Done(1));
    world.quiet().await;
    assert_eq!(ask(&world, &forge, &cancel).await, Answer::Done(0));
    assert_eq!(world.phase(APP).await, "open");
    let said = told(&forge, 3).expect("it is answered");
    assert!(said.contains("newer command"), "{said}");
    // To have a plan made changes no work: what was written before it, and comes later, is done.
    let plan = written(&world, 9, "ada", pull.number, Wish::Plan);
    ask(&world, &forge, &plan).await;
    // One that is newer does what it says.
    let newest = written(&world, 5, "ada", pull.number, Wish::Cancel);
    assert_ne!(ask(&world, &forge, &newest).await, Answer::Done(0));
}

/// What a later pull request brought is not stopped on the page of an earlier one.
#[tokio::test]
async fn a_command_means_what_its_own_pull_request_brought() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    let first = failed(&mut world, &forge).await;
    let again = one("app").replace("reason: a test", "reason: again");
    let second = open(&mut world, &forge, &[(APP, Some(&again))]).await;
    review(&world, &forge).await;
    world.script(|_| Act::Hold);
    merge(&mut world, &forge, &second).await;
    world.quiet().await;
    review(&world, &forge).await;
    tell(&world, &forge).await;
    let on_first = written(&world, 3, "ada", first.number, Wish::Cancel);
    assert_eq!(ask(&world, &forge, &on_first).await, Answer::Done(0));
    let on_second = written(&world, 4, "ada", second.number, Wish::Cancel);
    assert_ne!(ask(&world, &forge, &on_second).await, Answer::Done(0));
}

#[tokio::test]
async fn what_was_asked_for_outlives_the_process_and_is_done_once() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    let pull = failed(&mut world, &forge).await;
    world.script(|_| Act::Work);
    let asked = written(&world, 7, "ada", pull.number, Wish::Retry);
    // It comes twice, and once more later.
    send(&world, &asked).await;
    send(&world, &asked).await;
    world = world.telling();
    let answered = answer(&world, &forge).await;
    assert_eq!((answered.done, answered.left, answered.later), (1, 1, 0));
    assert_eq!(waiting(&world).await, 0);
    world.quiet().await;
    assert_eq!(world.phase(APP).await, "succeeded");
    let before = world.rows();
    send(&world, &asked).await;
    assert_eq!(answer(&world, &forge).await.left, 1);
    assert_eq!(world.rows(), before);
}

#[tokio::test]
async fn a_message_to_look_is_a_look() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    open(&mut world, &forge, &[(APP, Some(&one("app")))]).await;
    for _ in 0..3 {
        send_message(&world, &Message::Look).await;
    }
    assert!(answer(&world, &forge).await.looked);
    assert_eq!(forge.checks_written(), 1);
    assert_eq!(waiting(&world).await, 0);
    assert_eq!(answer(&world, &forge).await, Answered::default());
}

#[tokio::test]
async fn a_comment_of_long_ago_asks_for_nothing() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    let pull = failed(&mut world, &forge).await;
    let asked = written(&world, 7, "ada", pull.number, Wish::Retry);
    world.pass(7 * DAY + 1);
    assert_eq!(ask(&world, &forge, &asked).await, Answer::Late);
    assert_eq!(world.phase(APP).await, "failed");
}

#[tokio::test]
async fn what_was_asked_for_is_forgotten_when_it_cannot_come_again() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    let pull = failed(&mut world, &forge).await;
    let asked = written(&world, 7, "ada", pull.number, Wish::Retry);
    ask(&world, &forge, &asked).await;
    world.quiet().await;
    let remembered = async |world: &World| {
        let ledger = world.memory.ledger();
        let rows = ledger.list(partition::ASKED, "", None, 9).await;
        rows.expect("no fault is armed").len()
    };
    world.pass(29 * DAY);
    sweep_of_the_hour(&world).await;
    // Itself, and that it is the newest there.
    assert_eq!(remembered(&world).await, 2);
    world.pass(DAY);
    sweep_of_the_hour(&world).await;
    assert_eq!(remembered(&world).await, 0);
    assert_eq!(ask(&world, &forge, &asked).await, Answer::Late);
}

#[tokio::test]
async fn trouble_of_the_worlds_puts_it_off_and_a_bad_message_is_given_up() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    let pull = failed(&mut world, &forge).await;
    let asked = written(&world, 7, "ada", pull.number, Wish::Retry);
    send(&world, &asked).await;
    for _ in 0..20 {
        forge.fail_next(ports::Error::transient("ask", "it is down"));
        assert_eq!(answer(&world, &forge).await.later, 1);
        world.pass(61);
    }
    assert_eq!(answer(&world, &forge).await.done, 1);
    let asked = written(&world, 8, "ada", pull.number, Wish::Retry);
    send(&world, &asked).await;
    let mut rounds = 0;
    while waiting(&world).await > 0 {
        forge.fail_next(ports::Error::corrupt("ask", "it does not understand"));
        answer(&world, &forge).await;
        world.pass(61);
        rounds += 1;
    }
    assert_eq!(rounds, 10);
    let key = Key::dead_letter(&QueueName::forge(), &Message::Asked(Box::new(asked)));
    let letter = async |world: &World| world.memory.ledger().get(&key).await;
    assert!(letter(&world).await.expect("no fault").is_some());
    let swept = world.control.sweep().await;
    swept.expect("no fault is armed");
    assert!(letter(&world).await.expect("no fault").is_some());
    world.pass(31 * DAY);
    let swept = world.control.sweep().await;
    swept.expect("no fault is armed");
    assert!(letter(&world).await.expect("no fault").is_none());
}

#[tokio::test]
async fn a_forge_that_is_away_at_any_call_delays_a_wish_and_its_answer() {
    for call in 0..10 {
        let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
        let pull = failed(&mut world, &forge).await;
        let asked = written(&world, 7, "ada", pull.number, Wish::Retry);
        send(&world, &asked).await;
        forge.fail_after(call, ports::Error::transient("ask", "it is down"));
        let answered = answer(&world, &forge).await;
        if answered.done == 1 {
            assert!(call > 2, "it asks more than that");
            assert_eq!(forge.answers().len(), 1);
            return;
        }
        assert_eq!(answered.later, 1);
        world.pass(61);
        answer(&world, &forge).await;
        assert_eq!(waiting(&world).await, 0, "call {call}");
        assert_eq!(forge.answers().len(), 1, "call {call}");
        let text = told(&forge, 7).expect("it is answered");
        assert!(
            text.starts_with("1 task is tried again"),
            "call {call}: {text}"
        );
    }
    panic!("it never ends");
}

#[tokio::test]
async fn a_crash_at_any_call_loses_no_wish() {
    // Each life ends one call later than the one before, until one comes through.
    for call in 0..200 {
        for when in [When::Before, When::After] {
            let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
            let pull = failed(&mut world, &forge).await;
            world.script(|_| Act::Work);
            let asked = written(&world, 7, "ada", pull.number, Wish::Retry);
            send(&world, &asked).await;
            world.faults.arm(call, when);
            let answered = world.control.answer_forge(&forge, Duration::ZERO).await;
            world.faults.disarm();
            if when == When::After && answered.is_ok_and(|it| it.done == 1) {
                assert!(call > 5, "it does more than that");
                return;
            }
            world = world.telling();
            world.pass(61);
            answer(&world, &forge).await;
            assert_eq!(waiting(&world).await, 0, "{when:?} call {call}");
            world.quiet().await;
            assert_eq!(world.phase(APP).await, "succeeded", "{when:?} call {call}");
            assert_eq!(forge.answers().len(), 1, "{when:?} call {call}");
        }
    }
    panic!("it never ends");
}

/// What was answered to the comment, and whether nothing else was.
pub(crate) fn told(forge: &MemoryForge, comment: u64) -> Option<String> {
    let answers = forge.answers().into_iter();
    let mut here = answers.filter(|reply| reply.comment == comment);
    let text = here.next().map(|reply| reply.text);
    if let Some(text) = &text {
        let is_command = text.lines().any(|line| line.starts_with("/millrace"));
        assert!(!is_command, "{text}");
    }
    text
}

#[tokio::test]
async fn whoever_asks_is_told_what_came_of_it() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    let pull = failed(&mut world, &forge).await;
    let open = open(
        &mut world,
        &forge,
        &[("builds/2026/11/next.yaml", Some(&one("lib")))],
    )
    .await;
    let unknown = |words: &str| Wish::Unknown {
        words: words.to_owned(),
    };
    let cases = [
        (pull.number, vec![Wish::Retry]),
        (pull.number, vec![Wish::Plan]),
        (open.number, vec![Wish::Retry]),
        (open.number, vec![Wish::Cancel]),
        (open.number, vec![Wish::Plan]),
        (open.number, vec![Wish::Scratch { commit: None }]),
        (pull.number, vec![Wish::Scratch { commit: None }]),
        (open.number, vec![unknown("merge `it` @ada")]),
        (open.number, vec![unknown("")]),
        (open.number, vec![Wish::Plan, Wish::Plan, Wish::Cancel]),
        (4_711, vec![Wish::Plan]),
    ];
    let mut text = String::new();
    for (id, (number, wishes)) in (1..).zip(cases) {
        let mut asked = written(&world, id, "ada", number, Wish::Retry);
        asked.wishes = wishes;
        ask(&world, &forge, &asked).await;
        let said = told(&forge, id).unwrap_or_else(|| "(nothing)".to_owned());
        text.push_str(&format!("{:?}\n\n{said}\n\n", asked.wishes));
        world.quiet().await;
    }
    let mut many = written(&world, 20, "ada", open.number, Wish::Cancel);
    many.wishes.push(Wish::Cancel);
    many.comment = many.comment.map(|it| Comment { left_out: 3, ..it });
    ask(&world, &forge, &many).await;
    text.push_str(&told(&forge, 20).expect("it is answered"));
    // A button is on the page that changes.
    let pressed = pressed("button", "ada", at(&pull.head), Wish::Retry);
    let before = forge.answers().len();
    assert_eq!(ask(&world, &forge, &pressed).await, Answer::Done(1));
    assert_eq!(forge.answers().len(), before);
    let text = text.replace(&open.head[..12], "HEAD");
    insta::assert_snapshot!("command_answers", text);
}

/// GitHub's "Redeliver", and a delivery that comes under another id: a wish to see a check again has no id of its own.
#[tokio::test]
async fn a_check_that_is_wanted_again_twice_is_written_once_and_tries_nothing() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    let pull = failed(&mut world, &forge).await;
    tell(&world, &forge).await;
    let said = seen(&forge, &pull.head, RESULTS).expect("it is told");
    let writes = forge.checks_written();
    for check in [None, Some(RESULTS.to_owned())] {
        let commit = pull.head.clone();
        send_message(&world, &Message::Again { commit, check }).await;
    }
    answer(&world, &forge).await;
    assert_eq!(waiting(&world).await, 0);
    for _ in 0..2 {
        tell(&world, &forge).await;
        assert_eq!(forge.checks_written(), writes + 1);
    }
    let again = seen(&forge, &pull.head, RESULTS).expect("it is told");
    assert_eq!((again.title, again.summary), (said.title, said.summary));
}

#[tokio::test]
async fn a_plan_is_made_anew_for_who_asks() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    forge.set_permission("ada", Permission::Write);
    let pull = open(&mut world, &forge, &[(APP, Some(&one("app")))]).await;
    // Nobody has looked at it yet.
    let asked = written(&world, 1, "ada", pull.number, Wish::Plan);
    assert_eq!(ask(&world, &forge, &asked).await, Answer::Done(0));
    assert_eq!(forge.checks(&pull.head).len(), 1);
    // It is gone from the forge, and the ledger says that it was written.
    forge.forget_checks();
    assert_eq!(review(&world, &forge).await.written, 0);
    assert!(forge.checks(&pull.head).is_empty());
    let asked = written(&world, 2, "ada", pull.number, Wish::Plan);
    ask(&world, &forge, &asked).await;
    assert_eq!(forge.checks(&pull.head).len(), 1);
}

#[tokio::test]
async fn strangers_are_told_once_and_cannot_spend_the_budget() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    let pull = failed(&mut world, &forge).await;
    let number = pull.number;
    // At the beginning of an hour.
    let over = world.memory.clock().now() / 1_000 % 3_600;
    world.pass(3_600 - over.unsigned_abs());
    for id in 1..=3 {
        let asked = written(&world, id, "eve", number, Wish::Retry);
        let refused = Answer::Refused(Permission::Read);
        assert_eq!(ask(&world, &forge, &asked).await, refused);
    }
    assert_eq!(forge.answers().len(), 1);
    let refusal = told(&forge, 1).expect("once");
    insta::assert_snapshot!(refusal, @"Nothing was done: commands are for people who may push to this repository.");
    for id in 10..60 {
        let asked = written(&world, id, &format!("eve-{id}"), number, Wish::Retry);
        ask(&world, &forge, &asked).await;
    }
    assert_eq!(forge.answers().len(), 5);
    // Who may is answered still.
    let asked = written(&world, 70, "ada", number, Wish::Retry);
    assert_eq!(ask(&world, &forge, &asked).await, Answer::Done(1));
    assert!(told(&forge, 70).is_some());
    world.pass(3_600);
    for id in 80..90 {
        let asked = written(&world, id, &format!("eve-{id}"), number, Wish::Retry);
        ask(&world, &forge, &asked).await;
    }
    assert_eq!(forge.answers().len(), 11);
}

#[tokio::test]
async fn a_program_is_not_listened_to_whatever_it_may() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    let pull = failed(&mut world, &forge).await;
    forge.set_permission(MemoryForge::PROGRAM, Permission::Admin);
    let before = world.rows();
    let asked = written(&world, 1, MemoryForge::PROGRAM, pull.number, Wish::Retry);
    assert_eq!(ask(&world, &forge, &asked).await, Answer::Program);
    assert_eq!(world.rows(), before);
    assert!(forge.answers().is_empty());
}

/// The one that forgets what is old enough.
pub(crate) async fn sweep_of_the_hour(world: &World) {
    let over = world.memory.clock().now() / 1_000 % 3_600;
    world.pass(3_600 - over.unsigned_abs());
    let swept = world.control.sweep().await;
    swept.expect("no fault is armed");
}
