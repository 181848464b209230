//! Pull requests that were merged, and whose branch was moved before anybody planned the merge: their pages say so.

use ledger::{Change, Condition, Expect, Key, Millis, PullRow, Row};
use ports::{Applied, Check, CheckState, Forge, Platform};

use crate::budgets::Word;
use crate::markdown::code;
use crate::review::named;
use crate::writer::{WRITING_MILLIS, Writer};
use crate::{Control, Result, results_check};

/// So long git may be behind the forge: a merge that it does not have by then is not there.
const BEHIND_MILLIS: Millis = 600_000;

impl<P: Platform> Control<P> {
    /// The branch does not have `merge`. If that stays so, it is said, and the row ends.
    pub(crate) async fn miss<F: Forge>(
        &self,
        forge: &F,
        (row, version): (PullRow, u64),
        merge: &str,
    ) -> Result<()> {
        let key = Key::pull(row.number);
        let since = self.now().saturating_sub(row.missed);
        // A clock that was set back begins anew.
        if row.missed == 0 || since < 0 {
            let missed = self.now();
            let row = Row::Pull(PullRow { missed, ..row });
            self.put_again(key, Some(version), row).await?;
            return Ok(());
        }
        if since < BEHIND_MILLIS || self.writer(row.writing) == Writer::Another {
            return Ok(());
        }
        let check = named(self.moved(&row, merge), row.again);
        if !self
            .may_write(forge, forge.writes(&check), Word::News)
            .await?
        {
            return Ok(());
        }
        let writing = self.now() + WRITING_MILLIS;
        let begun = Row::Pull(PullRow {
            writing,
            ..row.clone()
        });
        if !self.put_again(key.clone(), Some(version), begun).await? {
            return Ok(());
        }
        let version = version + 1;
        if let Err(error) = forge.write_check(&check).await {
            let writing = self.writing_failed(writing);
            let row = Row::Pull(PullRow { writing, ..row });
            self.put_again(key, Some(version), row).await?;
            return Err(error.into());
        }
        let mut change = Change::default();
        change.conditions.push(Condition {
            key: key.clone(),
            expect: Expect::Version(version),
        });
        change.delete(key);
        // Another process has taken over, and says the same.
        let (Applied::Done | Applied::Conflict(_)) = self.apply(change).await?;
        Ok(())
    }

    fn moved(&self, row: &PullRow, merge: &str) -> Check {
        let branch = code(&self.options.branch);
        let merge = code(&merge[..merge.len().min(12)]);
        Check {
            name: results_check::NAME.to_owned(),
            commit: row.head.clone(),
            pull: Some(row.number),
            state: CheckState::Neutral,
            title: format!(
                "Nothing was built: {} was moved by force",
                self.options.branch
            ),
            summary: format!(
                "This was merged as {merge}, which {branch} does not have any more: somebody moved it by force before the merge was planned. Nothing of it is built or released. If it is still wanted, open another pull request with the same commits.\n"
            ),
            annotations: Vec::new(),
            actions: Vec::new(),
            details: None,
            digest: String::new(),
        }
    }
}
