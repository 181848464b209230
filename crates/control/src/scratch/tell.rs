//! Whoever reads a pull request sees how its scratch builds go: in a check of their own, told as results are.

use std::collections::BTreeMap;

use ledger::{Change, Expect, Key, Millis, Phase, Row, ScratchRow};
use pipeline_spec::RequestPath;
use ports::{Applied, Check, Forge, Platform};

use super::check::scratch_check;
use super::end::is_open_still;
use crate::budgets::{Word, pace};
use crate::results_check::{Brought, Standing};
use crate::review::named;
use crate::tell::AGAIN_MILLIS;
use crate::writer::{WRITING_MILLIS, Writer};
use crate::{Control, MAX_TRIES, Result, Told, contended};

impl<P: Platform> Control<P> {
    /// Says how scratch builds go, where that has changed, and goes on with what a process that died has left.
    pub(crate) async fn tell_scratch<F: Forge>(&self, forge: &F, told: &mut Told) -> Result<()> {
        let rows = self.scratch_rows().await?.into_iter();
        let mut rows: Vec<ScratchRow> = rows.filter(|row| !row.over).collect();
        told.watched += rows.len();
        let pace = pace(told.watched).max(AGAIN_MILLIS);
        let now = self.now();
        let since = |row: &ScratchRow| now.saturating_sub(row.looked);
        rows.retain(|row| row.looked == 0 || !(0..AGAIN_MILLIS).contains(&since(row)));
        if forge.rests_until().is_some() {
            return Ok(());
        }
        // Whoever was told the longest time ago comes first.
        rows.sort_by_key(|row| row.told);
        for row in rows {
            match self.tell_scratch_of(forge, &row, pace).await {
                Ok((written, waits)) => {
                    told.written += usize::from(written);
                    told.waiting += usize::from(waits);
                }
                Err(error) => {
                    tracing::warn!(pull = row.number, %error, "failed to tell how scratch builds go");
                    told.failed += 1;
                }
            }
        }
        Ok(())
    }

    /// Whether something was said, and whether something waits.
    async fn tell_scratch_of<F: Forge>(
        &self,
        forge: &F,
        row: &ScratchRow,
        pace: Millis,
    ) -> Result<(bool, bool)> {
        let key = Key::scratch(row.number, &row.commit);
        match row.stopped {
            Some(_) => self.end_requests(row).await?,
            None => self.begin_scratch(&key).await?,
        }
        let Some((mut row, mut version)) = self.scratch_row(&key).await? else {
            return Ok((false, false));
        };
        let writer = self.writer(row.writing);
        if writer == Writer::Another {
            return Ok((false, true));
        }
        let brought = self.brought_by_scratch(&row).await?;
        let failed = brought.values().map(Brought::failures).sum();
        let check = scratch_check(&row, &brought, self.options.public_url.as_deref());
        let check = named(check, row.again);
        let word = Word::of_results(&check, failed, row.failed);
        let since = self.now().saturating_sub(row.told);
        let is_due = word == Word::News || !(0..pace).contains(&since);
        let mut stands = check.digest == row.digest && writer == Writer::None;
        let mut said = Ok(false);
        if is_due && !stands {
            row.writing = self.now() + WRITING_MILLIS;
            if !self.note_scratch(&key, version, &row).await? {
                return Ok((false, true));
            }
            version += 1;
            said = self.write_word(forge, &check, word).await;
            let failed = self.writing_failed(row.writing);
            row.writing = said.as_ref().map_or(failed, |_| 0);
        }
        let is_said = matches!(said, Ok(true));
        stands |= is_said;
        row.looked = self.now();
        if is_said {
            row.told = row.looked;
        }
        if stands {
            row.failed = failed;
            row.over = check.state.is_done();
            row.digest = check.digest;
        }
        let is_noted = self.note_scratch(&key, version, &row).await?;
        said?;
        Ok((is_said, !stands || !is_noted))
    }

    /// `false`: it was written meanwhile.
    async fn note_scratch(&self, key: &Key, version: u64, row: &ScratchRow) -> Result<bool> {
        let mut change = Change::default();
        let row = Row::Scratch(Box::new(row.clone()));
        change.replace(key.clone(), Expect::Version(version), row);
        Ok(self.apply(change).await? == Applied::Done)
    }

    /// `false`: it has to wait.
    async fn write_word<F: Forge>(&self, forge: &F, check: &Check, word: Word) -> Result<bool> {
        if !self.may_write(forge, forge.writes(check), word).await? {
            return Ok(false);
        }
        forge.write_check(check).await?;
        Ok(true)
    }

    async fn brought_by_scratch(&self, row: &ScratchRow) -> Result<BTreeMap<RequestPath, Brought>> {
        let mut brought = BTreeMap::new();
        for path in &row.requests {
            let Some(loaded) = self.load(path).await? else {
                continue;
            };
            let phase = match &loaded.row.phase {
                Phase::Removed if is_open_still(&loaded) => Phase::Open,
                Phase::Removed => Phase::Canceled,
                phase => phase.clone(),
            };
            brought.insert(path.clone(), Brought::new(Standing::Own(phase), &loaded));
        }
        Ok(brought)
    }

    /// The last word of it was not the last: something of it is tried again, and told also when it says the same.
    pub(crate) async fn tell_scratch_again(
        &self,
        path: &RequestPath,
        change: &mut Change,
    ) -> Result<()> {
        let rows = self.scratch_rows().await?.into_iter();
        // Also of one that is not over: whoever tells its last word now has not seen this.
        let of = rows.filter(|row| row.requests.contains(path));
        for row in of {
            let key = Key::scratch(row.number, &row.commit);
            if let Some((row, version)) = self.scratch_row(&key).await? {
                let next = Row::Scratch(Box::new(ScratchRow {
                    over: false,
                    looked: 0,
                    told: 0,
                    again: self.now().max(row.again + 1),
                    ..row
                }));
                change.replace(key, Expect::Version(version), next);
            }
        }
        Ok(())
    }

    /// Has the check of a commit's scratch builds written anew, even if it says the same.
    pub(crate) async fn make_scratch_again(&self, commit: &str) -> Result<usize> {
        let mut again = 0;
        let rows = self.scratch_rows().await?.into_iter();
        for row in rows.filter(|row| row.commit == commit) {
            let key = Key::scratch(row.number, &row.commit);
            again += self.make_row_again(&key).await?;
        }
        Ok(again)
    }

    async fn make_row_again(&self, key: &Key) -> Result<usize> {
        for _ in 0..MAX_TRIES {
            let Some((row, version)) = self.scratch_row(key).await? else {
                return Ok(0);
            };
            let next = ScratchRow {
                digest: String::new(),
                looked: 0,
                over: false,
                again: self.now().max(row.again + 1),
                ..row
            };
            let next = Row::Scratch(Box::new(next));
            if self.put_again(key.clone(), Some(version), next).await? {
                return Ok(1);
            }
        }
        Err(contended(key))
    }
}
