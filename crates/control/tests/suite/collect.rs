//! Results that lie in the store, and leases on what runners found themselves.

use control::{Collected, Leased};
use ledger::{Message, QueueName, TaskState};
use pipeline_spec::{Priority, RunnerId};
use ports::{ArtifactStore as _, Clock as _, Platform, TaskQueue};
use runner_api::auth::SigningKey;
use runner_api::{Grant, HandedIn, Offer, Outcome, ResultManifest};
use std::time::Duration;

use crate::fixture::{APP, build};
use crate::runners::manifest;
use crate::world::{Act, World};

const SOURCE: &str = "source app for el-10";

fn builder() -> RunnerId {
    "builder".parse().expect("an id")
}

/// With a task that the builder holds.
async fn held() -> (World, Grant) {
    let mut world = World::new().await;
    world.script(|_| Act::Hold);
    world.merge(&[(APP, Some(&build(&["app"])))]).await;
    let (_, grant) = world.held.remove(0);
    world.script(|_| Act::Work);
    (world, grant)
}

async fn worked(world: &World, grant: &Grant) -> ResultManifest {
    let outcome = world.workshop().work(grant).await;
    manifest(grant, &builder(), outcome)
}

/// Puts it where it belongs, signed now.
fn hand_in(world: &World, key: [u8; 32], result: &ResultManifest) -> String {
    let now = world.memory.clock().now() / 1_000;
    let (place, document) = HandedIn::sign(&SigningKey::from_bytes(&key), result, now);
    world.memory.store().hand_in(&place, document);
    place
}

async fn collect(world: &World, place: &str) -> Collected {
    let collected = world.control.collect(place).await;
    collected.expect("no fault is armed")
}

#[tokio::test]
async fn what_is_handed_in_counts_however_often_it_is_told() {
    let (mut world, grant) = held().await;
    let result = worked(&world, &grant).await;
    let place = hand_in(&world, memory::BUILDER_SECRET, &result);
    // Days later: the time of the put counts.
    assert_eq!(collect(&world, &place).await, Collected::Accepted);
    world.pass(3_000);
    assert_eq!(collect(&world, &place).await, Collected::Accepted);
    world.quiet().await;
    assert_eq!(world.phase(APP).await, "succeeded");
    assert_eq!(world.task(APP, SOURCE).state.attempt(), 1);
    assert_eq!(collect(&world, &place).await, Collected::Accepted);
}

#[tokio::test]
async fn the_sweep_finds_what_nobody_told() {
    let (mut world, grant) = held().await;
    let result = worked(&world, &grant).await;
    hand_in(&world, memory::BUILDER_SECRET, &result);
    world.pass(61);
    let swept = world.control.sweep().await.expect("no fault is armed");
    assert_eq!(swept.expired, 0, "the attempt has ended, not its lease");
    world.quiet().await;
    assert_eq!(world.phase(APP).await, "succeeded");
    assert_eq!(world.task(APP, SOURCE).state.attempt(), 1);
}

#[tokio::test]
async fn a_lease_goes_on_while_the_store_cannot_be_asked() {
    let (mut world, grant) = held().await;
    let result = worked(&world, &grant).await;
    hand_in(&world, memory::BUILDER_SECRET, &result);
    world.pass(61);
    world.faults.break_off("store.handed_in", 0);
    let expired = world.control.expire_leases().await;
    assert_eq!(expired.expect("only the store fails"), 0);
    let state = world.task(APP, SOURCE).state;
    assert!(matches!(state, TaskState::Leased { .. }), "{state:?}");
    world.faults.disarm();
    let expired = world.control.expire_leases().await;
    assert_eq!(expired.expect("no fault is armed"), 0);
    world.quiet().await;
    assert_eq!(world.task(APP, SOURCE).state.attempt(), 1);
}

/// What lies there may never be readable.
#[tokio::test]
async fn a_lease_does_not_wait_for_ever() {
    let (world, grant) = held().await;
    let result = worked(&world, &grant).await;
    let place = hand_in(&world, memory::BUILDER_SECRET, &result);
    world.memory.store().hand_in(&place, "{");
    let expire = async || {
        let expired = world.control.expire_leases().await;
        expired.expect("no fault is armed")
    };
    world.pass(61);
    assert_eq!(expire().await, 0, "something is there");
    world.pass(598);
    assert_eq!(expire().await, 0);
    world.pass(1);
    assert_eq!(expire().await, 1);
    assert_eq!(world.task(APP, SOURCE).state.word(), "ready");
}

/// After a ledger was lost, numbers of attempts may come again.
#[tokio::test]
async fn a_result_of_an_earlier_life_is_stale() {
    let mut world = World::new().await;
    world.script(|_| Act::Hold);
    world.merge(&[(APP, Some(&build(&["app"])))]).await;
    let (_, grant) = world.held.remove(0);
    let result = worked(&world, &grant).await;
    let place = hand_in(&world, memory::BUILDER_SECRET, &result);
    world.memory.ledger().lose();
    world.memory.queue().lose();
    world.pass(400);
    world.restart();
    world.merge(&[(APP, Some(&build(&["app"])))]).await;
    let (_, again) = world.held.remove(0);
    assert_eq!((&again.task, again.attempt), (&grant.task, grant.attempt));
    let collected = collect(&world, &place).await;
    assert!(matches!(collected, Collected::Stale(_)), "{collected:?}");
    assert_eq!(world.task(APP, SOURCE).state.word(), "leased");
}

#[tokio::test]
async fn who_has_no_attempt_makes_no_work() {
    let (world, grant) = held().await;
    let mut result = worked(&world, &grant).await;
    result.attempt = 2;
    let place = hand_in(&world, memory::BUILDER_SECRET, &result);
    let before = world.faults.calls().len();
    let collected = collect(&world, &place).await;
    assert!(matches!(collected, Collected::Stale(_)), "{collected:?}");
    let calls = world.faults.calls();
    assert!(
        !calls[before..].contains(&"store.renew"),
        "{:?}",
        &calls[before..]
    );
    result.attempt = 1;
    let Outcome::Succeeded { artifacts, .. } = &mut result.outcome else {
        panic!("{:?}", result.outcome);
    };
    *artifacts = vec![artifacts[0].clone(); 10_001];
    let place = hand_in(&world, memory::BUILDER_SECRET, &result);
    assert_eq!(collect(&world, &place).await, Collected::Accepted);
    let told = format!("{:?}", world.task(APP, SOURCE));
    assert!(told.contains("it names 10001 files"), "{told}");
}

#[tokio::test]
async fn a_refused_result_ends_the_attempt_with_the_reason() {
    let (world, grant) = held().await;
    let mut result = worked(&world, &grant).await;
    let Outcome::Succeeded { artifacts, .. } = &mut result.outcome else {
        panic!("{:?}", result.outcome);
    };
    artifacts[0].size += 1;
    let place = hand_in(&world, memory::BUILDER_SECRET, &result);
    assert_eq!(collect(&world, &place).await, Collected::Accepted);
    let row = world.task(APP, SOURCE);
    let told = format!("{row:?}");
    assert_eq!(row.state.word(), "ready", "it is tried again");
    assert!(told.contains("take in the result: "), "{told}");
    assert!(told.contains("bytes in the store"), "{told}");
}

#[tokio::test]
async fn what_somebody_else_puts_there_changes_nothing() {
    let (mut world, grant) = held().await;
    let result = worked(&world, &grant).await;
    let before = world.rows();
    let dropped = async |world: &World, place: &str, expect: &str| {
        let collected = collect(world, place).await;
        let Collected::Dropped(why) = &collected else {
            panic!("{collected:?}");
        };
        assert!(why.contains(expect), "{why}");
    };
    dropped(&world, "builder/builds/x.yaml/0-1.json", "nothing is there").await;
    // Another enrolled runner's key.
    let place = hand_in(&world, memory::SIGNER_SECRET, &result);
    dropped(&world, &place, "does not fit").await;
    let mut foreign = result.clone();
    foreign.runner = "stranger".parse().expect("an id");
    let place = hand_in(&world, memory::BUILDER_SECRET, &foreign);
    dropped(&world, &place, "not enrolled").await;
    // One that proves its own origin, and is of an attempt that it does not have.
    let mut foreign = result.clone();
    foreign.runner = "signer".parse().expect("an id");
    let place = hand_in(&world, memory::SIGNER_SECRET, &foreign);
    let collected = collect(&world, &place).await;
    assert!(matches!(collected, Collected::Stale(_)), "{collected:?}");
    // Caught, and put again when its time is over.
    let place = hand_in(&world, memory::BUILDER_SECRET, &result);
    let caught = world.memory.store().handed_in(&place).await;
    let caught = caught.expect("memory").expect("it is there");
    assert_eq!(world.rows(), before);
    world.pass(301);
    world.memory.store().hand_in(&place, caught.bytes);
    dropped(&world, &place, "differs from the server's").await;
    world.memory.store().hand_in(&place, "{");
    dropped(&world, &place, "no result").await;
    assert_eq!(world.rows(), before);
    world.heal().await;
    assert_eq!(world.phase(APP).await, "succeeded");
    assert_eq!(world.task(APP, SOURCE).state.attempt(), 2);
}

#[tokio::test]
async fn a_runner_leases_what_it_found_and_nothing_that_it_may_not_do() {
    let mut world = World::new().await;
    world.push(&[(APP, Some(&build(&["app"])))]);
    world.offer().await;
    let x86 = "x86_64".parse().expect("an architecture");
    let queues = [QueueName::work(pipeline_spec::Role::BuildRpm, Some(&x86))];
    let queue = world.memory.queue();
    let found = queue
        .receive(&queues, 1, Duration::from_secs(30), Duration::ZERO)
        .await;
    let found = found.expect("memory").pop().expect("it is offered");
    let Message::Attempt { task, attempt } = found.message else {
        panic!("{:?}", found.message);
    };
    let offer = Offer {
        task,
        attempt,
        priority: Priority::Normal,
    };
    let lease = async |id: &str, offer: &Offer| {
        let id: RunnerId = id.parse().expect("an id");
        let runner = world.control.runner(&id).await.expect("no fault is armed");
        let runner = runner.expect("it is enrolled");
        let leased = world.control.lease(&id, &runner, offer).await;
        leased.expect("no fault is armed")
    };
    let leased = lease("signer", &offer).await;
    assert!(matches!(leased, Leased::Foreign), "{leased:?}");
    let early = Offer {
        attempt: attempt + 1,
        ..offer.clone()
    };
    let leased = lease("builder", &early).await;
    assert!(matches!(leased, Leased::Gone), "{leased:?}");
    let leased = lease("builder", &offer).await;
    let Leased::Granted(grant) = leased else {
        panic!("{leased:?}");
    };
    assert_eq!((&grant.task, grant.attempt), (&offer.task, 1));
    assert!(grant.capacity.is_some(), "it hears how much it may do");
    // The message that comes again because it was not removed.
    let leased = lease("builder", &offer).await;
    assert!(matches!(leased, Leased::Gone), "{leased:?}");
}
