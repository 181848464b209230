//! Which configuration is in force, from git alone: for a ledger that was lost.
//!
//! History is folded from its beginnings: the first configuration needs nobody, and each other one the approvals that
//! those before it demand. One that lacks them is not in force, and neither are its rules. A branch that began under an
//! older configuration and was merged later does not bring that one back.

use std::collections::BTreeMap;

use approvals::{CONFIGURATION, State, Subject, Walk, lacking_for_configuration};
use ledger::Problem;
use ports::Platform;

use super::{id, sentences};
use crate::{Control, Error, Result};

/// Configurations that came into force one after the other: a commit that has it, and what it has.
type Chain = Vec<(String, State)>;

/// Walks of one recovery; each passes a change of the configuration, or [`approvals::MAX_COMMITS`] commits.
const MAX_WALKS: usize = 10_000;

/// What was folded so far: what is in force at a commit. Several: nobody has decided between them.
#[derive(Default)]
struct Folded(BTreeMap<String, Vec<Chain>>);

impl<P: Platform> Control<P> {
    /// Why the configuration of `tip` is not in force. `None`: it is.
    pub(super) async fn unapproved_by_history(&self, tip: &str) -> Result<Option<Problem>> {
        let problem = |message| Problem {
            subject: CONFIGURATION.to_owned(),
            message,
        };
        let mut folded = Folded::default();
        let (mut left, mut walks) = (vec![tip.to_owned()], 0);
        while let Some(commit) = left.last().cloned() {
            if folded.0.contains_key(&commit) {
                left.pop();
                continue;
            }
            walks += 1;
            if walks > MAX_WALKS {
                let message = "its history is too long to find whose approvals it needs";
                return Ok(Some(problem(message.to_owned())));
            }
            let mut walk = Walk::new(Subject::Configuration, id(&commit)?);
            self.walk(&mut walk).await?;
            let edges: Vec<String> = walk.edges().map(|edge| edge.to_string()).collect();
            let unknown = edges.iter().filter(|edge| !folded.0.contains_key(*edge));
            let before = left.len();
            left.extend(unknown.cloned());
            if left.len() > before {
                continue;
            }
            let Some(state) = walk.state().cloned() else {
                // Behind it there may be rules.
                return Ok(Some(problem(format!(
                    "commit {commit} in its history cannot be read, so that nobody knows whose approvals it needs; take that commit out of the branch"
                ))));
            };
            let (chains, says) = self.fold(&folded, &edges, (&commit, state)).await?;
            if commit == tip && !says.is_empty() {
                return Ok(Some(problem(says.join("; "))));
            }
            // What came before within the same configuration is under the same rules, or older ones.
            for inside in walk.inside() {
                folded.0.insert(inside.to_string(), chains.clone());
            }
            folded.0.insert(commit, chains);
        }
        Ok(None)
    }

    /// What is in force at a commit, and what its own configuration lacks.
    async fn fold(
        &self,
        folded: &Folded,
        edges: &[String],
        (commit, state): (&str, State),
    ) -> Result<(Vec<Chain>, Vec<String>)> {
        let own = (commit.to_owned(), state);
        let before = edges.iter().filter_map(|edge| folded.0.get(edge));
        let chains = newest(before.flatten().cloned().collect());
        let mut says = Vec::new();
        for chain in &chains {
            let Some((rules, _)) = chain.last().filter(|(_, other)| *other != own.1) else {
                continue;
            };
            let rules = self.snapshot(rules).await?;
            let policy = &rules.config.policy.approvals;
            if policy.is_empty() {
                continue;
            }
            let judged = self.judge(Subject::Configuration, commit, &rules).await?;
            let lacks = lacking_for_configuration(policy, &judged.found.people());
            says.extend(sentences(&Subject::Configuration, &lacks, &judged.found));
        }
        if !says.is_empty() {
            return Ok((chains, says));
        }
        match self.snapshot(commit).await {
            Ok(_) => {}
            // It was never in force: nothing is planned with a configuration that cannot be used.
            Err(Error::Config { .. }) => return Ok((chains, says)),
            Err(error) => return Err(error),
        }
        let longest = chains.into_iter().max_by_key(Vec::len);
        let mut chain = longest.unwrap_or_default();
        if chain.last().is_none_or(|(_, last)| *last != own.1) {
            chain.push(own);
        }
        Ok((vec![chain], says))
    }
}

/// Without those that others begin with: they were in force once.
fn newest(chains: Vec<Chain>) -> Vec<Chain> {
    let states =
        |chain: &Chain| -> Vec<State> { chain.iter().map(|(_, state)| state.clone()).collect() };
    let mut kept: Vec<Chain> = Vec::new();
    let mut sorted = chains;
    sorted.sort_by_key(|chain| std::cmp::Reverse(chain.len()));
    for chain in sorted {
        let own = states(&chain);
        if !kept.iter().any(|longer| states(longer).starts_with(&own)) {
            kept.push(chain);
        }
    }
    kept
}
