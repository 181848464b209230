//! How much of each thing with a price.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::prices::Item;
use crate::usage::{Service, Usage};

/// What nobody has counted. Every answer says it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Assumptions {
    /// Minutes that a build has a machine for itself.
    pub build_minutes: f64,
    /// The same of any other task.
    pub other_minutes: f64,
    /// MiB that a build leaves in the store.
    pub build_mib: f64,
    /// Milliseconds of a function, beside its requests.
    pub start_millis: f64,
    /// Milliseconds that a function waits for one request.
    pub request_millis: f64,
    /// Bytes that a start of a function writes to its log, and a call of the HTTP API to its own.
    pub log_bytes: f64,
    /// Seconds between two heartbeats of a runner.
    pub heartbeat_seconds: f64,
    /// Tasks of one machine at a time.
    pub tasks_per_machine: f64,
    /// The machine of runners.
    pub machine: Item,
    /// Machines of a mass rebuild, which say how long it takes.
    pub machines: f64,
}

impl Default for Assumptions {
    fn default() -> Self {
        Self {
            build_minutes: 10.0,
            other_minutes: 1.0,
            build_mib: 20.0,
            start_millis: 20.0,
            request_millis: 10.0,
            log_bytes: 1_000.0,
            heartbeat_seconds: 15.0,
            tasks_per_machine: 1.0,
            machine: Item::ArmSpotHour,
            machines: 100.0,
        }
    }
}

/// Amounts by item, in the units of [`crate::PRICES`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Amounts(pub BTreeMap<Item, f64>);

impl Amounts {
    /// What a usage comes to, `times` over.
    pub fn of(usage: &Usage, times: f64, assumed: &Assumptions) -> Self {
        let mut amounts = Self::default();
        let gigabytes = assumed.log_bytes * (usage.invocations() + usage.api_calls()) as f64 / 1e9;
        for (item, amount) in [
            (Item::ReadUnit, usage.read_units as f64),
            (Item::WriteUnit, usage.write_units as f64),
            (Item::QueueRequest, usage.requests_to(Service::Sqs) as f64),
            (Item::StoreWrite, usage.requests_to(Service::S3Write) as f64),
            (Item::StoreRead, usage.requests_to(Service::S3Read) as f64),
            (Item::Invocation, usage.invocations() as f64),
            (Item::ApiCall, usage.api_calls() as f64),
            (Item::GbSecond, gb_seconds(usage, assumed)),
            (Item::LogGb, gigabytes),
        ] {
            amounts.add(item, amount * times);
        }
        amounts
    }

    /// Adds so many.
    pub fn add(&mut self, item: Item, amount: f64) {
        if amount > 0.0 {
            *self.0.entry(item).or_default() += amount;
        }
    }

    /// Adds all of `other`.
    pub fn add_all(&mut self, other: &Self) {
        for (item, amount) in &other.0 {
            self.add(*item, *amount);
        }
    }

    /// In US dollars.
    pub fn dollars(&self) -> f64 {
        self.0
            .iter()
            .map(|(item, amount)| item.dollars(*amount))
            .sum()
    }
}

/// Of functions: their memory, for as long as they start, ask and wait.
fn gb_seconds(usage: &Usage, assumed: &Assumptions) -> f64 {
    let functions = usage.by.iter();
    functions
        .map(|(actor, started)| {
            let busy = started.invocations as f64 * assumed.start_millis
                + started.total() as f64 * assumed.request_millis;
            let seconds = busy / 1_000.0 + started.waited_seconds as f64;
            f64::from(actor.memory_mib()) / 1_024.0 * seconds
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::{Action, Actor, Started};

    #[test]
    fn a_function_is_paid_for_while_it_asks_and_waits() {
        let mut usage = Usage::default();
        let started = Started {
            invocations: 10,
            api_calls: 10,
            waited_seconds: 8,
            ..Started::default()
        };
        usage.by.insert(Actor::RunnerApi, started);
        usage.request(Actor::RunnerApi, Action::GetItem, 100);
        // No function, and none of its time.
        usage.request(Actor::Mappings, Action::ReceiveMessage, 1_000);
        let amounts = Amounts::of(&usage, 2.0, &Assumptions::default());
        // 10 starts of 20 ms, 100 requests of 10 ms, 8 s of waiting; a quarter of a GiB, twice.
        assert_eq!(amounts.0[&Item::GbSecond], 2.0 * 0.25 * (0.2 + 1.0 + 8.0));
        assert_eq!(amounts.0[&Item::QueueRequest], 2_000.0);
        assert_eq!(amounts.0[&Item::ApiCall], 20.0);
        assert!(
            !amounts.0.contains_key(&Item::ReadUnit),
            "nothing is not listed"
        );
    }
}
