//! Requests: a newer wish is never overwritten by an older one, a decision is carried out, what is not at
//! rest is in the index that the sweep reads, and what is at rest holds up nobody.

use ledger::{Decision, Key, Phase, RequestRow, Row};

use super::Witness;

const REPOSITORIES: [&str; 3] = ["base", "debian", "extra"];

impl Witness {
    pub(super) fn request(&self, old: Option<&RequestRow>, new: &RequestRow) {
        let path = &new.path;
        if let Some(old) = old.filter(|_| !self.is_recovering()) {
            self.phase(old, new);
            if old.sequence != new.sequence {
                self.violated(format!("{path} has another place in the order of merges"));
            }
        }
        let mut state = self.state();
        if old.is_none_or(|old| old.commit != new.commit) {
            let writes = state.writes;
            state.asked.insert(path.clone(), writes);
            let left = state.left.entry(path.clone()).or_default();
            left.extend(old.map(|old| old.commit.clone()));
            let is_back = left.contains(&new.commit);
            drop(state);
            if is_back {
                self.violated(format!(
                    "{path} went back to the older commit {}",
                    new.commit
                ));
            }
        } else {
            drop(state);
        }
        if let Phase::Publishing(decision) = &new.phase {
            self.decide(new, decision);
        } else {
            self.state().decided.remove(path);
        }
        if self.is_recovering() {
            return;
        }
        let is_open = self.ledger().row(&Key::open(path)).is_some();
        if !new.phase.is_at_rest() && !is_open {
            self.violated(format!(
                "{path} is {} and not in the index of open requests",
                new.phase.word()
            ));
        }
        if new.phase.is_at_rest() {
            self.holds_no_turn(new);
        }
    }

    fn phase(&self, old: &RequestRow, new: &RequestRow) {
        let Phase::Publishing(decision) = &old.phase else {
            if matches!(new.phase, Phase::Published | Phase::Reverted) && old.phase != new.phase {
                self.violated(format!(
                    "{} went from {} to {} without a decision",
                    new.path,
                    old.phase.word(),
                    new.phase.word()
                ));
            }
            return;
        };
        let fits = match &new.phase {
            Phase::Publishing(next) => next == decision,
            Phase::Published => !decision.reverts,
            Phase::Reverted => decision.reverts,
            _ => false,
        };
        if !fits {
            self.violated(format!(
                "{} left its flips for {}",
                new.path,
                new.phase.word()
            ));
        }
        if matches!(new.phase, Phase::Published | Phase::Reverted) {
            self.is_carried_out(new, decision);
        }
    }

    /// The end of a decision is written when clients see all of it, or something newer.
    fn is_carried_out(&self, row: &RequestRow, decision: &Decision) {
        for flip in &decision.flips {
            let name = flip.pointer.repository.as_str();
            let public = self.public(name).map_or(0, |pointer| pointer.generation);
            if public < flip.pointer.generation {
                self.violated(format!(
                    "{} is {}, and clients of {name} see generation {public}",
                    row.path,
                    row.phase.word()
                ));
            }
        }
    }

    /// What was superseded before the release was asked for is not in it.
    fn decide(&self, row: &RequestRow, decision: &Decision) {
        let mut state = self.state();
        let asked = state.asked.get(&row.path).copied().unwrap_or(0);
        state.decided.insert(row.path.clone(), decision.clone());
        let packages = decision.flips.iter().flat_map(|flip| &flip.packages);
        let old: Vec<String> = packages
            .filter(|placed| {
                let dropped = state.dropped.get(&placed.built_by.id);
                dropped.is_some_and(|dropped| *dropped < asked)
            })
            .map(|placed| placed.artifact.name.clone())
            .collect();
        drop(state);
        if let Some(name) = old.first() {
            self.violated(format!(
                "{} publishes {name}, which was superseded before that was asked for",
                row.path
            ));
        }
    }

    fn holds_no_turn(&self, row: &RequestRow) {
        for name in REPOSITORIES {
            let name = name.parse().expect("a repository's name");
            let turn = self.ledger().row(&Key::turn(&name));
            if let Some(Row::Index { request }) = turn.as_ref().map(|record| &record.row)
                && *request == row.path
            {
                self.violated(format!(
                    "{} is {} and keeps its turn of {name}",
                    row.path,
                    row.phase.word()
                ));
            }
        }
    }
}
