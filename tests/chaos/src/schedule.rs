//! Everything that people and fate do, and when: a function of the seed and the length.

use std::collections::BTreeMap;

use fastrand::Rng;

use crate::author::Author;
use crate::wishes::Wishes;

/// Seconds without a heartbeat after which a lease ends.
pub(crate) const LEASE_SECONDS: u64 = 4;
/// Nothing is hurt before this, in milliseconds: the installation may stand up.
const CALM_MILLIS: u64 = 4_000;

/// Who can be hurt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// The one that `millrace up` keeps.
    Builder,
    /// The signer that `millrace up` keeps.
    Signer,
    /// A runner elsewhere; index of [`crate::machine::ELSEWHERE`].
    Elsewhere(usize),
}

/// What fate does. Times are in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// kill -9, and a start after a while.
    KillControl { down: u64 },
    /// SIGTERM, and a start after a while.
    StopControl { down: u64 },
    /// SIGSTOP, and SIGCONT after a while.
    PauseControl { time: u64 },
    /// kill -9; runners elsewhere are started after a while.
    KillRunner { who: Who, down: u64 },
    /// SIGSTOP, and SIGCONT after a while.
    PauseRunner { who: Who, time: u64 },
    /// SIGTERM; runners elsewhere are started after a while.
    DrainRunner { who: Who, down: u64 },
    /// kill -9 of everything at once.
    KillAll { down: u64 },
    /// The disk of the data directory is full for a while.
    FillDisk { time: u64 },
    /// kill -9 of the control plane, and the file with ledger and queues is gone. A person recovers it
    /// after a while.
    LoseLedger { down: u64 },
    /// A person deletes the status branch.
    DeleteStatus,
    /// A person pushes an earlier commit of it by force: this many before.
    RewindStatus { back: u64 },
    /// A person pushes the main branch there by force.
    ReplaceStatus,
    /// A person commits to it: one request's answer, and a file of his own.
    ScribbleStatus,
}

/// One thing that happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Files of a commit that is pushed; `None` takes one away.
    Write {
        files: Vec<(String, Option<String>)>,
        message: String,
    },
    /// Stops what is open of a request.
    Cancel(String),
    /// Runs again what failed of a request.
    Retry(String),
    Hurt(Fault),
}

/// The whole schedule.
#[derive(Debug)]
pub(crate) struct Schedule {
    /// Milliseconds since the beginning, in order.
    pub(crate) deeds: Vec<(u64, Deed)>,
    /// What main has in the end.
    pub(crate) wishes: Wishes,
    /// Versions that the packages must have, from 1.
    pub(crate) versions: u32,
}

impl Schedule {
    /// `sources`: the folder of the packages' repositories.
    pub(crate) fn new(seed: u64, seconds: u64, sources: &str) -> Self {
        let mut rng = Rng::with_seed(seed);
        let end = seconds * 1000;
        let mut deeds = Vec::new();
        let mut fate = rng.fork();
        // What a person took from the status branch, and what the lost ledger alone still knew, is known to
        // nobody: it would be done once more, and rightly so. So a schedule has one or the other.
        let loses = fate.bool();
        let mut at = CALM_MILLIS;
        while at < end {
            deeds.push((at, Deed::Hurt(fault(&mut fate, loses))));
            at += fate.u64(500..4_000);
        }
        let mut haste = rng.fork();
        let mut author = Author::new(rng.fork(), sources);
        let mut at = 0;
        while at < end {
            deeds.push((at, author.act()));
            at += haste.u64(100..1_200);
        }
        let (last, wishes, versions) = author.end();
        deeds.extend(last.map(|deed| (end, deed)));
        deeds.sort_by_key(|(at, _)| *at);
        Self {
            deeds,
            wishes,
            versions,
        }
    }
}

fn fault(rng: &mut Rng, loses: bool) -> Fault {
    let down = rng.u64(0..3_000);
    let who = match rng.u32(..5) {
        0 | 1 => Who::Builder,
        2 => Who::Signer,
        n => Who::Elsewhere(n as usize - 3),
    };
    // Now and then longer than a lease.
    let time = match rng.u32(..3) {
        0 => LEASE_SECONDS * 1000 + rng.u64(1_000..8_000),
        _ => rng.u64(100..3_000),
    };
    match rng.u32(..100) {
        0..28 => Fault::KillControl { down },
        28..33 => Fault::StopControl { down },
        33..41 => Fault::PauseControl { time },
        41..58 => Fault::KillRunner { who, down },
        58..71 => Fault::PauseRunner { who, time },
        71..77 => Fault::DrainRunner { who, down },
        77..81 => Fault::KillAll { down },
        81..89 => Fault::FillDisk { time },
        89.. if loses => Fault::LoseLedger { down },
        89..92 => Fault::DeleteStatus,
        92..95 => Fault::RewindStatus {
            back: rng.u64(1..20),
        },
        95..97 => Fault::ReplaceStatus,
        _ => Fault::ScribbleStatus,
    }
}

/// How many of each kind of deed there are, for people.
pub(crate) fn count(deeds: &[(u64, Deed)]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for (_, deed) in deeds {
        *counts.entry(name(deed)).or_default() += 1;
    }
    counts
}

fn name(deed: &Deed) -> String {
    match deed {
        Deed::Write { message, .. } => {
            let verb = message.rsplit_once(' ').map_or("", |(verb, _)| verb);
            verb.to_lowercase()
        }
        Deed::Cancel(_) => "cancel".to_owned(),
        Deed::Retry(_) => "retry".to_owned(),
        Deed::Hurt(fault) => {
            let text = format!("{fault:?}");
            let end = text.find([' ', '{']).unwrap_or(text.len());
            text[..end].to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wishes::REPOSITORIES;

    #[test]
    fn the_same_seed_is_the_same_schedule() {
        let schedule = |seed| Schedule::new(seed, 300, "/s");
        assert_eq!(schedule(1).deeds, schedule(1).deeds);
        assert_ne!(schedule(1).deeds, schedule(2).deeds);
    }

    /// Of 100 schedules every wish can be judged, and each kind of deed is somewhere.
    #[test]
    fn every_end_is_known_and_everything_happens() {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for seed in 0..100 {
            let schedule = Schedule::new(seed, 120, "/s");
            let (wishes, ends) = (&schedule.wishes, schedule.wishes.ends());
            assert_eq!(ends.len(), wishes.builds.len() + wishes.releases.len());
            for (name, ..) in REPOSITORIES {
                let _content = wishes.content(name);
            }
            for (kind, n) in count(&schedule.deeds) {
                *seen.entry(kind).or_default() += n;
            }
        }
        let kinds: Vec<&str> = seen.keys().map(String::as_str).collect();
        assert_eq!(
            kinds,
            [
                "DeleteStatus",
                "DrainRunner",
                "FillDisk",
                "KillAll",
                "KillControl",
                "KillRunner",
                "LoseLedger",
                "PauseControl",
                "PauseRunner",
                "ReplaceStatus",
                "RewindStatus",
                "ScribbleStatus",
                "StopControl",
                "break",
                "bring back",
                "build",
                "cancel",
                "edit",
                "mend",
                "release",
                "remove",
                "retry",
                "revert",
            ]
        );
    }
}
