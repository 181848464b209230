//! What people ask for at the forge: by a command in a comment, or by a button of a check.

use std::collections::BTreeSet;

use ledger::{AskedRow, Change, Expect, Key, Row};
use pipeline_spec::RequestPath;
use ports::{Applied, Forge, Permission, Platform};

use crate::{CommandError, Control, Error, Result};

/// Something that somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Names it among all that was ever asked, and is part of what the forge has signed: it is done once, however often
    /// the forge says it.
    pub id: String,
    /// Who, by the forge's word.
    pub login: String,
    /// About what.
    pub about: About,
    /// What.
    pub wish: Wish,
}

/// What it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// What a pull request has brought.
    Pull(u64),
    /// What a commit has brought: a planned one, or the head of a merged pull request.
    Commit(String),
}

/// What people may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Another attempt at what failed.
    Retry,
    /// Nothing more of what is open.
    Cancel,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// So many tasks go again, or were stopped. None: there was nothing to do.
    Done(usize),
    /// They may not: it needs the right to push.
    Refused(Permission),
    /// It was done before.
    Before,
}

impl<P: Platform> Control<P> {
    /// Does what somebody asks for, if they may push to the state repository: the forge is asked for that now.
    ///
    /// Noted before it is done: a process that is killed in between has it done never and not twice, and whoever
    /// asked sees that nothing happens.
    pub async fn ask<F: Forge>(&self, forge: &F, asked: &Asked) -> Result<Answer> {
        let permission = forge.permission(&asked.login).await?;
        if permission < Permission::Write {
            return Ok(Answer::Refused(permission));
        }
        let paths = self.meant(&asked.about).await?;
        let mut change = Change::default();
        let row = AskedRow {
            login: asked.login.clone(),
            at: self.now(),
        };
        change.replace(Key::asked(&asked.id), Expect::Absent, Row::Asked(row));
        if let Applied::Conflict(_) = self.apply(change).await? {
            return Ok(Answer::Before);
        }
        let mut tasks = 0;
        for path in &paths {
            let done = match asked.wish {
                Wish::Retry => self.retry_request(path).await,
                Wish::Cancel => {
                    let reason = format!("{} asked for it at the forge", asked.login);
                    self.cancel_request(path, &reason).await
                }
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
        tracing::info!(login = asked.login, wish = ?asked.wish, requests = paths.len(), tasks, "asked for at the forge");
        Ok(Answer::Done(tasks))
    }

    /// Requests that somebody means.
    async fn meant(&self, about: &About) -> Result<BTreeSet<RequestPath>> {
        let pulls = self.known_pulls().await?;
        let commit = match about {
            About::Pull(number) => {
                let pull = pulls.get(number).filter(|(row, _)| row.merged.is_some());
                let requests = pull.map(|(row, _)| row.requests.iter().cloned().collect());
                return Ok(requests.unwrap_or_default());
            }
            About::Commit(commit) => commit,
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
