//! What an installation has whether or not it works: queues, alarms, keys. Read from `terraform/`.

use crate::amounts::{Amounts, Assumptions};
use crate::measured::Measured;
use crate::prices::Item;

/// Hours of a month, as AWS counts it.
const HOURS: f64 = 730.0;
/// Requests that wait at a queue that starts a function, all the time: AWS begins with so many ("Using Lambda with Amazon
/// SQS" in Lambda's developer guide). Each waits 20 seconds.
const WAITING: f64 = 5.0;
/// Seconds that one of them waits.
const WAIT_SECONDS: f64 = 20.0;

/// Names of the control plane: `advance`, `report`, `wake`, `results` (`modules/queues`).
const OWN_NAMES: u64 = 4;
/// Their queues of SQS: three for the first two, one for the others. Each starts a function.
const OWN_LANES: u64 = 8;
/// Queues of SQS for a name of work: one a priority.
const LANES: u64 = 3;
/// Two alarms for each of eight functions (`modules/function`).
const FUNCTION_ALARMS: u64 = 16;
/// Metrics of alarms of `modules/control-plane` (six alarms, one over two), `ledger` (two of one alarm, and one for each
/// of three actions), `artifacts`, `webhook`.
const OTHER_ALARMS: u64 = 7 + 5 + 1 + 1;
/// Of a fleet, beside those of its queues: one that never rests, starts that fail, two of one alarm when none starts.
const FLEET_ALARMS: u64 = 1 + 1 + 2;

/// A group of runners that starts from zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fleet {
    /// Names of work that it takes.
    pub names: u64,
}

/// The shape of an installation, as an example of `terraform/examples` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Its name.
    pub name: &'static str,
    /// Architectures of RPM.
    pub rpm_architectures: u64,
    /// Architectures of Debian.
    pub deb_architectures: u64,
    /// Keys in KMS.
    pub keys: u64,
    /// Its runners in EC2.
    pub fleets: Vec<Fleet>,
}

impl Shape {
    /// `terraform/examples/minimal`.
    pub fn minimal() -> Self {
        Self {
            name: "minimal",
            rpm_architectures: 1,
            deb_architectures: 0,
            keys: 1,
            fleets: vec![Fleet { names: 3 }],
        }
    }

    /// Names of work: builds and tests for each architecture, composing and signing for all.
    fn work_names(&self) -> u64 {
        2 * (self.rpm_architectures + self.deb_architectures) + 2
    }

    /// Metrics that alarms look at: each is paid for.
    pub fn alarm_metrics(&self) -> u64 {
        let dead = self.work_names() + OWN_NAMES;
        let ages = LANES * self.work_names() + OWN_LANES;
        let fleets = self.fleets.iter();
        let fleets: u64 = fleets.map(|fleet| LANES * fleet.names + FLEET_ALARMS).sum();
        dead + ages + FUNCTION_ALARMS + OTHER_ALARMS + fleets
    }

    /// Of a month in which nothing is built and nobody reads.
    pub fn idle(&self, measured: &Measured, assumed: &Assumptions) -> Vec<(&'static str, Amounts)> {
        let one = |item, amount| {
            let mut amounts = Amounts::default();
            amounts.add(item, amount);
            amounts
        };
        let polls = OWN_LANES as f64 * WAITING * HOURS * 3_600.0 / WAIT_SECONDS;
        let sweeps = HOURS * 60.0;
        let mut sweep = Amounts::of(&measured.sweep, sweeps, assumed);
        sweep.add(Item::Timer, sweeps);
        vec![
            ("alarms", one(Item::AlarmMonth, self.alarm_metrics() as f64)),
            (
                "queues that wait to start functions",
                one(Item::QueueRequest, polls),
            ),
            ("signing keys", one(Item::KeyMonth, self.keys as f64)),
            ("the sweep, each minute", sweep),
        ]
    }

    /// Of a month in which one runner waits for work and gets none.
    pub fn waiting_runner(measured: &Measured, assumed: &Assumptions) -> Amounts {
        Amounts::of(&measured.poll, HOURS * 3_600.0 / WAIT_SECONDS, assumed)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test reads the Terraform")]
mod tests {
    use super::*;

    #[test]
    fn alarms_are_those_of_the_example() {
        let metrics = Shape::minimal().alarm_metrics();
        assert_eq!(metrics, 71);
        let example = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../terraform/examples/minimal/README.md"
        );
        let example = std::fs::read_to_string(example).expect("the example's page");
        let dollars = Item::AlarmMonth.dollars(metrics as f64);
        assert!(
            example.contains(&format!("alarms {dollars:.2}")),
            "{example}"
        );
    }

    /// A new alarm has to be counted above.
    #[test]
    fn every_alarm_of_the_modules_is_known() {
        let modules = concat!(env!("CARGO_MANIFEST_DIR"), "/../../terraform/modules");
        let mut alarms = 0;
        for module in std::fs::read_dir(modules).expect("the modules") {
            for file in std::fs::read_dir(module.expect("a module").path()).expect("its files") {
                let path = file.expect("a file").path();
                if path.extension().is_some_and(|it| it == "tf") {
                    let text = std::fs::read_to_string(path).expect("text");
                    alarms += text
                        .matches("resource \"aws_cloudwatch_metric_alarm\"")
                        .count();
                }
            }
        }
        assert_eq!(alarms, 19, "count it in `fixed.rs`, then here");
    }
}
