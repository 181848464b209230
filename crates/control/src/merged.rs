//! Pull requests that were opened and merged between two looks at the forge: nobody has reviewed them, and their pages
//! follow the work as those of all others do.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{Change, Expect, Key, Leans, PullRow, Row, WatchRow};
use pipeline_spec::RequestPath;
use ports::{Forge, Platform, Pull, StateRepo};

use crate::results_check::Brought;
use crate::{Control, Result};

/// Commits of one plan that the forge is asked about, newest first. Of older ones the commit's own page tells.
const MAX_COMMITS: usize = 50;

impl<P: Platform> Control<P> {
    /// Asks the forge which pull requests a planned commit came with, and notes those that are not among `known`. Answers
    /// how many there are.
    pub(crate) async fn find_merged<F: Forge>(
        &self,
        forge: &F,
        row: &WatchRow,
        known: BTreeSet<u64>,
    ) -> Result<usize> {
        let mut found = 0;
        let brought = self.brought(row).await?;
        if brought.is_empty() {
            return Ok(found);
        }
        for (commit, parent) in self.planned_with(row).await? {
            let Some(pull) = forge.pull_of(&commit).await? else {
                continue;
            };
            let is_known =
                known.contains(&pull.number) || self.is_done_pull(&pull.head, pull.number).await?;
            if is_known || pull.base != self.options.branch {
                continue;
            }
            found += 1;
            // As in `came_with`.
            let says_no_base = pull.head == commit || parent.as_ref() == Some(&pull.head);
            let base = match parent {
                Some(parent) if !says_no_base || row.from.is_empty() => parent,
                _ => row.from.clone(),
            };
            self.note_merged(pull, (&row.commit, base), &brought)
                .await?;
        }
        Ok(found)
    }

    async fn note_merged(
        &self,
        pull: Pull,
        (planned, base): (&str, String),
        brought: &BTreeMap<RequestPath, Brought>,
    ) -> Result<()> {
        let requests = self.proposed(&base, &pull.head).await?;
        if !requests.iter().any(|path| brought.contains_key(path)) {
            return Ok(());
        }
        let row = PullRow {
            number: pull.number,
            head: pull.head,
            base,
            digest: String::new(),
            requests,
            merged: Some(planned.to_owned()),
            plan: None,
            leans: Leans::default(),
            again: 0,
            writing: 0,
            missed: 0,
        };
        let mut change = Change::default();
        change.replace(Key::pull(row.number), Expect::Absent, Row::Pull(row));
        // Somebody has noted it meanwhile.
        let _as_it_should_be = self.apply(change).await?;
        Ok(())
    }

    /// Commits of the branch that were planned together, newest first, each with its first parent.
    async fn planned_with(&self, row: &WatchRow) -> Result<Vec<(String, Option<String>)>> {
        let repo = self.platform.state_repo();
        let most = match row.from.is_empty() {
            true => 1,
            false => MAX_COMMITS,
        };
        let (mut commits, mut next) = (Vec::new(), Some(row.commit.clone()));
        while let Some(commit) = next.filter(|commit| *commit != row.from)
            && commits.len() < most
        {
            let parent = repo.info(&commit).await?.parents.into_iter().next();
            next = parent.clone();
            commits.push((commit, parent));
        }
        Ok(commits)
    }
}
