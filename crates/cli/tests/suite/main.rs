//! `millrace` as a person runs it: the real program against a control plane in memory.

#![allow(
    clippy::disallowed_methods,
    reason = "a test starts programs and writes files of its own"
)]

// Control's world is the fixture here too: one small distribution, and runners in miniature.
#[path = "../../../control/tests/suite/faults.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "the fixture has more than this suite needs"
)]
mod faults;
#[path = "../../../control/tests/suite/fixture.rs"]
#[allow(dead_code, reason = "the fixture has more than this suite needs")]
mod fixture;
#[path = "../../../control/tests/suite/runners.rs"]
#[allow(dead_code, reason = "the fixture has more than this suite needs")]
mod runners;
#[path = "../../../server/tests/suite/served.rs"]
#[allow(dead_code, reason = "the fixture has more than this suite needs")]
mod served;
#[path = "../../../control/tests/suite/world.rs"]
#[allow(dead_code, reason = "the fixture has more than this suite needs")]
mod world;

mod alone;
mod asked;
mod begun;
mod logs;
mod person;
mod planned;
mod pruned;
mod reference;
mod watched;
