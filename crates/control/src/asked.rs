//! What people ask for at the forge: by a command in a comment, or by a button of a check.

use std::collections::BTreeSet;

use ledger::{
    About, Asked, AskedRow, Change, DeadLetterRow, Expect, Key, Millis, PullRow, Row, ScratchRow,
    Wish, partition,
};
use pipeline_spec::RequestPath;
use ports::{Applied, Forge, Ledger, Permission, Platform, Reply};

use crate::budgets::{Word, no_more};
use crate::load::unexpected;
use crate::reply::{self, Came};
use crate::results_check::Standing;
use crate::{CommandError, Control, Error, MAX_TRIES, Result, contended};

/// What somebody asks for by a comment is done within this time after it was written, or never: whoever waited longer
/// has gone another way. GitHub delivers again what is three days old.
const LATE_MILLIS: Millis = 7 * 24 * 3_600_000;
/// What was asked for is remembered this long. Later than [`LATE_MILLIS`], so that a comment is never done twice. A
/// button that was pressed longer ago would be, if a forge said it again so late: another try of what failed then.
const REMEMBERED_MILLIS: Millis = 30 * 24 * 3_600_000;

/// People who may not and are told so, in an hour: whoever comes later is not answered. What a forge lets us write is
/// for those who may.
const REFUSALS_AN_HOUR: i64 = 5;
const HOUR_MILLIS: Millis = 3_600_000;

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
    /// A program says it, and is not listened to.
    Program,
}

impl<P: Platform> Control<P> {
    /// Does what somebody asks for, if they may push to the state repository: the forge is asked for that now. Whoever
    /// wrote a comment is told what came of it.
    ///
    /// Noted before and after it is done, and when it was told. Who finds that it was begun and not done does it again:
    /// what goes again or is stopped already stays so.
    pub async fn ask<F: Forge>(&self, forge: &F, asked: &Asked) -> Result<Answer> {
        if self.is_late(asked) {
            return Ok(Answer::Late);
        }
        let key = Key::asked(&asked.id);
        let (answer, found) = match self.asked_row(&key).await? {
            Some(found) => (Answer::Before, Some(found)),
            None => self.let_in(forge, &key, asked).await?,
        };
        let Some((row, version)) = found else {
            return Ok(answer);
        };
        if !row.under_way {
            self.say(forge, asked, (row, version)).await?;
            return Ok(answer);
        }
        let (came, tasks) = self.fulfil_all(forge, asked).await?;
        let wishes: Vec<&str> = asked.wishes.iter().map(Wish::word).collect();
        tracing::info!(
            login = asked.login,
            wishes = wishes.join(", "),
            tasks,
            "asked for at the forge"
        );
        let text = asked.comment.is_some().then(|| reply::answer(asked, &came));
        let done = AskedRow {
            under_way: false,
            answer: text,
            ..row
        };
        let version = self.note(&key, version, &done).await?;
        self.say(forge, asked, (done, version)).await?;
        Ok(Answer::Done(tasks))
    }

    /// Looks at who asks what nobody has asked before. Without a row nothing follows.
    async fn let_in<F: Forge>(
        &self,
        forge: &F,
        key: &Key,
        asked: &Asked,
    ) -> Result<(Answer, Option<(AskedRow, u64)>)> {
        if forge.is_program(&asked.login).await? {
            return Ok((Answer::Program, None));
        }
        let permission = forge.permission(&asked.login).await?;
        Ok(match permission < Permission::Write {
            true => (Answer::Refused(permission), self.refuse(key, asked).await?),
            false => (Answer::Before, Some(self.begin(key, asked).await?)),
        })
    }

    /// Tells whoever wrote the comment what is left to tell.
    async fn say<F: Forge>(
        &self,
        forge: &F,
        asked: &Asked,
        (row, version): (AskedRow, u64),
    ) -> Result<()> {
        let (Some(text), Some(comment), About::Pull { number }) =
            (&row.answer, &asked.comment, &asked.about)
        else {
            return Ok(());
        };
        let reply = Reply {
            pull: *number,
            comment: comment.id,
            written: comment.written,
            text: text.clone(),
        };
        if !self.may_write(forge, 1, Word::Plan).await? {
            return Err(no_more("answer a comment"));
        }
        forge.answer(&reply).await?;
        let told = AskedRow {
            answer: None,
            ..row
        };
        self.note(&Key::asked(&asked.id), version, &told).await?;
        Ok(())
    }

    /// What is written there next, and its version. Another process that has had the same message may be first: it
    /// writes the same, and what is there then is what counts.
    async fn note(&self, key: &Key, version: u64, row: &AskedRow) -> Result<u64> {
        let mut change = Change::default();
        let expect = Expect::Version(version);
        change.replace(key.clone(), expect, Row::Asked(row.clone()));
        match self.apply(change).await? {
            Applied::Done => Ok(version + 1),
            Applied::Conflict(_) => Err(contended(key)),
        }
    }

    /// Notes that somebody who may not is to be told so, once, if not too many were told in this hour.
    async fn refuse(&self, key: &Key, asked: &Asked) -> Result<Option<(AskedRow, u64)>> {
        let told = Key::asked(&format!("told {}", asked.login));
        if asked.comment.is_none() || self.asked_row(&told).await?.is_some() {
            return Ok(None);
        }
        let mark = AskedRow {
            login: asked.login.clone(),
            at: self.now(),
            under_way: false,
            answer: None,
            comment: 0,
        };
        let row = AskedRow {
            answer: Some(reply::REFUSAL.to_owned()),
            ..mark.clone()
        };
        let hour = self.now() / HOUR_MILLIS;
        for place in 0..REFUSALS_AN_HOUR {
            let place = Key::asked(&format!("refusal {hour} {place}"));
            let mut change = Change::default();
            change.replace(key.clone(), Expect::Absent, Row::Asked(row.clone()));
            change.replace(told.clone(), Expect::Absent, Row::Asked(mark.clone()));
            change.replace(place.clone(), Expect::Absent, Row::Asked(mark.clone()));
            match self.apply(change).await? {
                Applied::Done => return Ok(Some((row, 1))),
                Applied::Conflict(at) if at == place => {}
                // Another process has said it.
                Applied::Conflict(_) => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Forgets what was asked for long ago.
    pub(crate) async fn forget_asked(&self) -> Result<()> {
        let since = self.now().saturating_sub(REMEMBERED_MILLIS);
        let at = |row: &Row| match row {
            Row::Asked(row) => Some(row.at),
            _ => None,
        };
        self.forget_rows(partition::ASKED, since, at).await
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
            comment: 0,
        };
        for _ in 0..MAX_TRIES {
            let mut change = Change::default();
            change.replace(key.clone(), Expect::Absent, Row::Asked(row.clone()));
            let newest = self.newest_comment(asked).await?;
            if let (Some(at), Some(comment)) = (newest_key(&asked.about), &asked.comment)
                && asked.wishes.iter().any(changes_work)
                && newest
                    .as_ref()
                    .is_none_or(|(newest, _)| newest.comment < comment.id)
            {
                let expect = Expect::as_read(newest.map(|(_, version)| version));
                let row = AskedRow {
                    under_way: false,
                    comment: comment.id,
                    ..row.clone()
                };
                change.replace(at, expect, Row::Asked(row));
            }
            if self.apply(change).await? == Applied::Done {
                return Ok((row, 1));
            }
            if let Some(found) = self.asked_row(key).await? {
                return Ok(found);
            }
        }
        Err(contended(key))
    }

    /// The newest comment there that changes work, and was begun. What is older and comes later, or again, undoes nothing of it.
    async fn newest_comment(&self, asked: &Asked) -> Result<Option<(AskedRow, u64)>> {
        match newest_key(&asked.about) {
            Some(key) => self.asked_row(&key).await,
            None => Ok(None),
        }
    }

    /// What came of each wish, and how many tasks go again or were stopped.
    async fn fulfil_all<F: Forge>(&self, forge: &F, asked: &Asked) -> Result<(Vec<Came>, usize)> {
        let (mut all, mut tasks) = (Vec::new(), 0);
        let newest = self.newest_comment(asked).await?;
        let is_overtaken = newest.is_some_and(|(row, _)| is_older(asked, row.comment));
        for wish in &asked.wishes {
            let came = match wish {
                wish if is_overtaken && changes_work(wish) => Came::Overtaken,
                Wish::Retry => self.retry_meant(asked).await?,
                Wish::Cancel => self.cancel_meant(asked).await?,
                Wish::Plan => match asked.about {
                    About::Pull { number } => self.plan_again(forge, number).await?,
                    About::Commit { .. } | About::Scratch { .. } => Came::NotOpen,
                },
                Wish::Scratch { commit } => {
                    self.start_scratch(forge, asked, commit.as_deref()).await?
                }
                Wish::Unknown { words } => Came::Unknown(words.clone()),
            };
            if let Came::Retried(_, count) | Came::Canceled(count) | Came::Stopped(count) = came {
                tasks += count;
            }
            all.push(came);
        }
        Ok((all, tasks))
    }

    async fn retry_meant(&self, asked: &Asked) -> Result<Came> {
        let (mut paths, mut tasks) = (Vec::new(), 0);
        for path in self.meant(&asked.about).await? {
            if let Some(count) = done(self.retry_request(&path).await)? {
                tasks += count;
                paths.push(path);
            }
        }
        Ok(Came::Retried(paths, tasks))
    }

    async fn cancel_meant(&self, asked: &Asked) -> Result<Came> {
        if let Some(rows) = self.scratch_about(&asked.about).await? {
            let why = format!("{} asked for it", asked.login);
            let stopped = self.stop_scratch_under_way(&rows, &why).await?;
            return Ok(stopped.map_or(Came::Canceled(0), Came::Stopped));
        }
        let reason = format!("{} asked for it at the forge", asked.login);
        let mut tasks = 0;
        for path in self.meant(&asked.about).await? {
            tasks += done(self.cancel_request(&path, &reason).await)?.unwrap_or(0);
        }
        Ok(Came::Canceled(tasks))
    }

    async fn plan_again<F: Forge>(&self, forge: &F, number: u64) -> Result<Came> {
        let head = self.review_again(forge, number).await?;
        Ok(head.map_or(Came::NotOpen, Came::Planned))
    }

    /// Requests that somebody means.
    async fn meant(&self, about: &About) -> Result<BTreeSet<RequestPath>> {
        if let Some(rows) = self.scratch_about(about).await? {
            return Ok(rows.into_iter().flat_map(|row| row.requests).collect());
        }
        let pulls = self.known_pulls().await?;
        let commit = match about {
            About::Pull { number } => {
                return match pulls.get(number) {
                    Some((row, _)) => self.still_of(row).await,
                    None => Ok(BTreeSet::new()),
                };
            }
            About::Commit { commit } | About::Scratch { commit } => commit,
        };
        let headed = pulls
            .values()
            .map(|(row, _)| row)
            .find(|row| row.head == *commit && row.merged.is_some());
        match headed {
            Some(row) => self.still_of(row).await,
            None => self.brought_by(commit).await,
        }
    }

    /// Requests of a merged pull request that no later commit has changed.
    async fn still_of(&self, pull: &PullRow) -> Result<BTreeSet<RequestPath>> {
        let mut still = BTreeSet::new();
        let Some(merged) = &pull.merged else {
            return Ok(still);
        };
        for path in &pull.requests {
            let Some(loaded) = self.load(path).await? else {
                continue;
            };
            if let Standing::Own(_) = self.standing(merged, &loaded).await? {
                still.insert(path.clone());
            }
        }
        Ok(still)
    }

    /// Scratch builds that somebody means; `None`: he means what was merged. Until then a pull request has brought
    /// nothing else.
    async fn scratch_about(&self, about: &About) -> Result<Option<Vec<ScratchRow>>> {
        let mut rows = self.scratch_rows().await?;
        rows.retain(|row| row.stopped.is_none());
        match about {
            About::Pull { number } => {
                let pulls = self.known_pulls().await?;
                if pulls
                    .get(number)
                    .is_some_and(|(row, _)| row.merged.is_some())
                {
                    return Ok(None);
                }
                rows.retain(|row| row.number == *number);
            }
            About::Scratch { commit } => rows.retain(|row| row.commit == *commit),
            About::Commit { .. } => return Ok(None),
        }
        Ok(Some(rows))
    }
}

/// Where the newest comment of a pull request is noted.
fn newest_key(about: &About) -> Option<Key> {
    match about {
        About::Pull { number } => Some(Key::asked(&format!("newest of {number}"))),
        About::Commit { .. } | About::Scratch { .. } => None,
    }
}

/// Whether it undoes, or is undone by, another one that changes work.
fn changes_work(wish: &Wish) -> bool {
    match wish {
        Wish::Retry | Wish::Cancel | Wish::Scratch { .. } => true,
        Wish::Plan | Wish::Unknown { .. } => false,
    }
}

/// Forges count comments upwards.
fn is_older(asked: &Asked, newest: u64) -> bool {
    asked
        .comment
        .as_ref()
        .is_some_and(|comment| comment.id < newest)
}

/// None: nothing of it failed, or is open.
fn done(done: std::result::Result<usize, CommandError>) -> Result<Option<usize>> {
    match done {
        Ok(tasks) => Ok(Some(tasks)),
        Err(CommandError::NotNow(_) | CommandError::Unknown(_)) => Ok(None),
        Err(CommandError::Control(error)) => Err(error),
        Err(CommandError::Ambiguous(name, _)) => Err(Error::Inconsistent(format!(
            "{name} names several requests"
        ))),
    }
}
