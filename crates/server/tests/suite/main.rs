//! The HTTP border over control's own world in memory: what strangers, runners and people are answered.

#![allow(
    clippy::disallowed_methods,
    reason = "a test reads and writes files of its own"
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
#[path = "../../../control/tests/suite/world.rs"]
#[allow(dead_code, reason = "the fixture has more than this suite needs")]
mod world;

mod border;
mod connections;
mod credentials;
mod pages;
mod published;
mod scratch;
mod served;
