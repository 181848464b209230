//! What people ask for at the forge: by a command in a comment, or by a button of a check.

use std::collections::BTreeSet;

use ledger::{
    About, Asked, AskedRow, Change, DeadLetterRow, Expect, Key, Millis, Row, Wish, partition,
};
use pipeline_spec::RequestPath;
use ports::{Applied, Forge, Ledger, Permission, Platform};

use crate::load::unexpected;
use crate::{CommandError, Control, Error, Result, contended};

/// What somebody asks for by a comment is done within this time after it was written, or never: whoever waited longer
/// has gone another way. GitHub delivers again what is three days old.
const LATE_MILLIS: Millis = 7 * 24 * 3_600_000;
/// What was asked for is remembered this long. Later than [`LATE_MILLIS`], so that a comment is never done twice. A
/// button that was pressed longer ago would be, if a forge said it again so late: another try of what failed then.
const REMEMBERED_MILLIS: Millis = 30 * 24 * 3_600_000;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// So many tasks go again, or were stopped. None: there was nothing to do.
    Done(usize),
    /// They may not: it needs the right to push.
    Refused(Permission),
    /// It was done before.
    Before,
    /// It was asked for too long ago.
    Late,
}

impl<P: Platform> Control<P> {
    /// Does what somebody asks for, if they may push to the state repository: the forge is asked for that now.
    ///
    /// Noted before and after it is done. Who finds that it was begun and not done does it again: what goes again or is
    /// stopped already stays so.
    pub async fn ask<F: Forge>(&self, forge: &F, asked: &Asked) -> Result<Answer> {
        if self.is_late(asked) {
            return Ok(Answer::Late);
        }
        let key = Key::asked(&asked.id);
        let begun = match self.asked_row(&key).await? {
            Some(found) => found,
            None => {
                let permission = forge.permission(&asked.login).await?;
                if permission < Permission::Write {
                    return Ok(Answer::Refused(permission));
                }
                self.begin(&key, asked).await?
            }
        };
        let (row, version) = begun;
        if !row.under_way {
            return Ok(Answer::Before);
        }
        let mut tasks = 0;
        for wish in &asked.wishes {
            tasks += self.fulfil(asked, wish).await?;
        }
        let done = AskedRow {
            under_way: false,
            ..row
        };
        let mut change = Change::default();
        change.replace(key, Expect::Version(version), Row::Asked(done));
        if let Applied::Conflict(_) = self.apply(change).await? {
            // Another process has had the same message, and was done first.
            return Ok(Answer::Before);
        }
        tracing::info!(login = asked.login, wishes = ?asked.wishes, tasks, "asked for at the forge");
        Ok(Answer::Done(tasks))
    }

    /// Forgets what was asked for long ago.
    pub(crate) async fn forget_asked(&self) -> Result<()> {
        let since = self.now().saturating_sub(REMEMBERED_MILLIS);
        for (key, record) in self.all_rows(partition::ASKED, "").await? {
            let Row::Asked(row) = record.row else {
                return Err(unexpected(&key));
            };
            if row.at < since {
                let mut change = Change::default();
                change.delete(key);
                // Whoever writes it now writes the same.
                let _without_conditions = self.apply(change).await?;
            }
        }
        Ok(())
    }

    /// Whether what was given up of it is of no interest any more.
    pub(crate) fn is_forgotten(&self, letter: &DeadLetterRow) -> bool {
        letter.at < self.now().saturating_sub(REMEMBERED_MILLIS)
    }

    fn is_late(&self, asked: &Asked) -> bool {
        let written = asked.comment.as_ref().map(|comment| comment.written);
        written.is_some_and(|written| written < self.now().saturating_sub(LATE_MILLIS))
    }

    async fn asked_row(&self, key: &Key) -> Result<Option<(AskedRow, u64)>> {
        match self.platform.ledger().get(key).await? {
            None => Ok(None),
            Some(record) => match record.row {
                Row::Asked(row) => Ok(Some((row, record.version))),
                _ => Err(unexpected(key)),
            },
        }
    }

    /// Notes that it is under way, if another process has not done so meanwhile.
    async fn begin(&self, key: &Key, asked: &Asked) -> Result<(AskedRow, u64)> {
        let row = AskedRow {
            login: asked.login.clone(),
            at: self.now(),
            under_way: true,
            answer: None,
        };
        let mut change = Change::default();
        change.replace(key.clone(), Expect::Absent, Row::Asked(row.clone()));
        if self.apply(change).await? == Applied::Done {
            return Ok((row, 1));
        }
        let found = self.asked_row(key).await?;
        found.ok_or_else(|| contended(key))
    }

    /// Answers how many tasks go again or were stopped.
    async fn fulfil(&self, asked: &Asked, wish: &Wish) -> Result<usize> {
        let mut tasks = 0;
        for path in self.meant(&asked.about).await? {
            let done = match wish {
                Wish::Retry => self.retry_request(&path).await,
                Wish::Cancel => {
                    let reason = format!("{} asked for it at the forge", asked.login);
                    self.cancel_request(&path, &reason).await
                }
                Wish::Plan | Wish::Scratch { .. } | Wish::Unknown { .. } => Ok(0),
            };
            tasks += match done {
                Ok(tasks) => tasks,
                // Nothing of it failed, or is open.
                Err(CommandError::NotNow(_) | CommandError::Unknown(_)) => 0,
                Err(CommandError::Control(error)) => return Err(error),
                Err(CommandError::Ambiguous(name, _)) => {
                    return Err(Error::Inconsistent(format!(
                        "{name} names several requests"
                    )));
                }
            };
        }
        Ok(tasks)
    }

    /// Requests that somebody means.
    async fn meant(&self, about: &About) -> Result<BTreeSet<RequestPath>> {
        let pulls = self.known_pulls().await?;
        let commit = match about {
            About::Pull { number } => {
                let pull = pulls.get(number).filter(|(row, _)| row.merged.is_some());
                let requests = pull.map(|(row, _)| row.requests.iter().cloned().collect());
                return Ok(requests.unwrap_or_default());
            }
            About::Commit { commit } => commit,
        };
        let headed = pulls
            .values()
            .map(|(row, _)| row)
            .find(|row| row.head == *commit && row.merged.is_some());
        if let Some(row) = headed {
            return Ok(row.requests.iter().cloned().collect());
        }
        self.brought_by(commit).await
    }
}
