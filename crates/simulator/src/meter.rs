//! Counting what a job costs on AWS: the control plane over memory, driven as the cloud drives its functions.
//!
//! Nothing fails here and nothing is random: the same job gives the same numbers. Each call of a port is noted as a
//! [`cost::Call`], with sizes as the adapter of AWS would have them, for the function that makes it.

mod cloud;
mod jobs;
mod ports;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cost::{Actor, Call, Usage};
use ledger::{Key, Row};

pub use jobs::measure;

/// Above it, the adapter of AWS packs a row's document (`platform-aws`, `ledger_rows/item.rs`).
const PACKED_ABOVE: usize = 1 << 10;
/// Of zstd, as there.
const LEVEL: i32 = 3;
/// Names and numbers of an item, as there.
const FRAME_BYTES: usize = 64;

/// Bytes of the item that a row is in DynamoDB.
fn item_bytes(key: &Key, row: &Row) -> u64 {
    let json = serde_json::to_vec(row).expect("rows are JSON");
    let stored = if json.len() > PACKED_ABOVE {
        let packed = zstd::bulk::compress(&json, LEVEL);
        packed.expect("memory is enough").len()
    } else {
        json.len()
    };
    let keys = key.partition.len() + key.sort.len() + 2;
    (FRAME_BYTES + keys + stored) as u64
}

/// Clones count together.
#[derive(Clone, Default)]
pub(crate) struct Meter(Arc<Mutex<Counted>>);

#[derive(Default)]
struct Counted {
    /// Whose calls are counted. Nobody's: somebody looks behind the scenes.
    actor: Option<Actor>,
    usage: Usage,
    /// Receives so far: each asks another queue first.
    receives: usize,
}

impl Meter {
    /// A function starts; until [`Self::end`] its calls are counted.
    fn start(&self, actor: Actor, is_api_call: bool) {
        let mut counted = self.counted();
        counted.actor = Some(actor);
        let started = counted.usage.by.entry(actor).or_default();
        started.invocations += 1;
        started.api_calls += u64::from(is_api_call);
    }

    /// A program that is no function acts; until [`Self::end`] its calls are counted.
    fn acts(&self, actor: Actor) {
        self.counted().actor = Some(actor);
    }

    fn end(&self) {
        self.counted().actor = None;
    }

    /// A call of the function that runs.
    fn note(&self, call: &Call) {
        let mut counted = self.counted();
        if let Some(actor) = counted.actor {
            call.add_to(&mut counted.usage, actor);
        }
    }

    /// A call of somebody who is no function.
    fn note_of(&self, actor: Actor, call: &Call) {
        call.add_to(&mut self.counted().usage, actor);
    }

    /// The function that runs waits for a message.
    fn waits(&self, seconds: u64) {
        let mut counted = self.counted();
        if let Some(actor) = counted.actor {
            counted.usage.by.entry(actor).or_default().waited_seconds += seconds;
        }
    }

    fn next_receive(&self) -> usize {
        let mut counted = self.counted();
        counted.receives += 1;
        counted.receives - 1
    }

    /// What was counted since the last time.
    fn take(&self) -> Usage {
        std::mem::take(&mut self.counted().usage)
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
