//! What work may cost: calls that somebody pays for are bounded by what was asked for, and do not grow
//! with what is there already.
//!
//! The numbers of [`Run::is_frugal`] are those of the product as measured over 300,000 pushes, and some
//! more: a use case that begins to ask twice, or in a loop, is over them.

use crate::gate::Counts;
use crate::history::{Files, without_place};
use crate::run::Run;

impl Run {
    /// Holds the price of one push, where nothing fails, against what came of it: the calls so far, and
    /// the attempts given out, are those of `before` and of now.
    pub(crate) fn is_frugal(&mut self, (before, given): (Counts, u64)) {
        let after = self.gate().counts();
        let attempts = self.attempts() - given;
        let bill = [
            (
                "changes of the ledger",
                after.applies - before.applies,
                40 + 6 * attempts,
            ),
            ("messages", after.sends - before.sends, 40 + 6 * attempts),
            (
                "files and pointers",
                after.stores - before.stores,
                8 + attempts,
            ),
            // The configuration is read file by file, and a ref looked up for each package.
            (
                "calls to the state repository",
                after.repo - before.repo,
                80 + attempts,
            ),
            // What happened together is told together.
            ("status commits", after.commits - before.commits, 1),
        ];
        for (what, cost, most) in bill {
            if cost > most {
                self.witness.violated(format!(
                    "a push with {attempts} attempts cost {cost} {what}: at most {most}"
                ));
            }
        }
    }

    /// Who changes only how much something hurries, when all is at rest, gives nobody work.
    pub(crate) fn builds_nothing_for_a_place(&mut self, before: &Files, attempts: u64) {
        let plain = |tree: &Files| -> Vec<(String, String)> {
            let files = tree.iter();
            files
                .map(|(path, text)| (path.clone(), without_place(text)))
                .collect()
        };
        let given = self.attempts() - attempts;
        if given > 0 && plain(before) == plain(self.tree()) {
            self.witness.violated(format!(
                "{given} attempts for a change of priorities and weights"
            ));
        }
    }
}
