//! What jobs cost on AWS is counted, and what was counted is what the room `cost` and the page say.
#![allow(
    clippy::disallowed_methods,
    reason = "a test reads and writes a file of the repository"
)]

use std::sync::LazyLock;

use cost::{Action, Actor, Measured};
use simulator::measure;

const COUNTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cost/src/measured.json");

static MEASURED: LazyLock<Measured> = LazyLock::new(measure);

#[test]
fn the_counted_numbers_are_those_of_this_program() {
    let text = serde_json::to_string_pretty(&*MEASURED).expect("JSON") + "\n";
    if std::env::var_os("UPDATE").is_some() {
        return std::fs::write(COUNTED, text).expect("the file can be written");
    }
    assert!(
        text == std::fs::read_to_string(COUNTED).expect("the file"),
        "{COUNTED} is not what is counted: UPDATE=1 cargo test -p simulator --test cost, \
         then UPDATE=1 cargo test -p cost; and look why it grew"
    );
}

/// The aim is 12 requests of the control plane for each task, from plan to done. It holds where twenty tasks end
/// together, as in a mass rebuild; where they end one by one it does not, and these are the counts of today, rounded up in
/// the first digit behind the point. They may fall, and must not grow. `docs/explanation/cost.md` says where they come
/// from, and what would lower them.
#[test]
fn a_task_takes_no_more_requests_than_today() {
    let measured = &*MEASURED;
    let [one, ten, fifty] = &measured.builds[..] else {
        panic!("three sizes are counted");
    };
    for (what, job, most) in [
        ("one package, one architecture", one, 45.4),
        ("ten packages, two architectures", ten, 31.0),
        ("fifty packages, two architectures", fifty, 30.4),
        ("the same, 20 tasks at once", &measured.mass, 12.0),
        ("a release", &measured.release, 68.7),
    ] {
        let found = job.requests_per_task();
        assert!(
            found <= most,
            "{what}: {found:.2} requests a task, at most {most}"
        );
    }
    for (what, usage, most) in [
        ("a heartbeat", &measured.heartbeat, 2),
        ("a piece of log", &measured.log_piece, 0),
        // One of sixty also looks for what is old enough to be forgotten: that is the one that is counted.
        ("a sweep where nothing happens", &measured.sweep, 9),
        ("20 seconds of a waiting runner", &measured.poll, 12),
    ] {
        let found: u64 = usage.by.values().map(cost::Started::total).sum();
        assert!(found <= most, "{what}: {found} requests, at most {most}");
    }
}

/// The counts are of real work: what must be there is there, once for each task or message.
#[test]
fn each_task_is_leased_and_finished_once() {
    for job in MEASURED
        .builds
        .iter()
        .chain([&MEASURED.mass, &MEASURED.release])
    {
        let made = |actors: [Actor; 2], action: Action| -> u64 {
            let of = |actor| job.usage.by[&actor].requests.get(&action).copied();
            actors.into_iter().filter_map(of).sum()
        };
        let changes = made(
            [Actor::RunnerApi, Actor::Collect],
            Action::TransactWriteItems,
        );
        assert_eq!(changes, 2 * job.tasks, "lease and result");
        let removed = made([Actor::RunnerApi, Actor::Runners], Action::DeleteMessage);
        assert_eq!(removed, job.tasks, "of each offer");
        let files = job.usage.by[&Actor::Runners].requests[&Action::PutObject];
        assert!(files >= job.tasks, "each task leaves a log at least");
    }
}
