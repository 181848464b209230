//! What was planned before a commit: its page tells of all that came with it, also when work goes on that was done.

use ledger::{Change, Key, Millis, PlannedRow, Row, WatchRow, partition};
use ports::{Ledger, Platform};

use crate::load::unexpected;
use crate::{Control, Result};

/// It is remembered this long. Of an older commit the page tells what it has over its first parent.
const REMEMBERED_MILLIS: Millis = 90 * 24 * 3_600_000;

impl<P: Platform> Control<P> {
    /// Adds to `change` that `commit` is planned, over `from`.
    pub(crate) fn remember_planned(&self, commit: &str, from: &str, change: &mut Change) {
        let row = PlannedRow {
            from: from.to_owned(),
            at: self.now(),
        };
        change.put(Key::planned(commit), Row::Planned(row));
    }

    /// Of a planned commit that nobody watches (any more), as if nothing had been said of it.
    pub(crate) async fn unwatched(&self, commit: &str) -> Result<WatchRow> {
        let key = Key::planned(commit);
        let from = match self.platform.ledger().get(&key).await? {
            None => String::new(),
            Some(record) => match record.row {
                Row::Planned(row) => row.from,
                _ => return Err(unexpected(&key)),
            },
        };
        Ok(WatchRow {
            from,
            ..WatchRow::new(commit)
        })
    }

    /// Forgets what was planned long ago.
    pub(crate) async fn forget_planned(&self) -> Result<()> {
        let since = self.now().saturating_sub(REMEMBERED_MILLIS);
        let at = |row: &Row| match row {
            Row::Planned(row) => Some(row.at),
            _ => None,
        };
        self.forget_rows(partition::PLANNED, since, at).await
    }
}
