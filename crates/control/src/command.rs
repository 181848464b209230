//! What a person asks of running work: cancel, retry. Wishes about *what* is built are commits.

use ledger::{
    Change, Event, Expect, Key, Message, Phase, QueueName, Row, WatchRow, partition, transition,
};
use pipeline_spec::RequestPath;
use ports::{Applied, Ledger, Platform, StateRepo};
use runner_api::TaskRef;

use crate::admit::list;
use crate::load::{Loaded, unexpected};
use crate::{Control, Error, MAX_TRIES, contended};

/// Tasks that a beginning of an id is compared with; more are as ambiguous.
const MAX_ALIKE: usize = 100;

/// Why a command did nothing.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Nothing of that name.
    #[error("no task or request is called {0}; `millrace status` lists them")]
    Unknown(String),
    /// Several tasks begin so.
    #[error("{0} is the beginning of {1} tasks' ids: write more digits")]
    Ambiguous(String, usize),
    /// The state does not allow it.
    #[error("{0}")]
    NotNow(String),
    /// The control plane's own trouble.
    #[error(transparent)]
    Control(#[from] Error),
}

impl<P: Platform> Control<P> {
    /// Finds a task by its id or the beginning of it.
    pub async fn find_task(&self, prefix: &str) -> std::result::Result<TaskRef, CommandError> {
        let (ledger, most) = (self.platform.ledger(), MAX_ALIKE);
        let rows = ledger.list(partition::TASKS, prefix, None, most).await;
        let mut found = Vec::new();
        for (key, record) in rows.map_err(Error::from)? {
            let (Row::Index { request }, Ok(id)) = (record.row, key.sort.parse()) else {
                return Err(unexpected(&key).into());
            };
            found.push(TaskRef { request, id });
        }
        match found.len() {
            0 => Err(CommandError::Unknown(prefix.to_owned())),
            1 => Ok(found.remove(0)),
            n => Err(CommandError::Ambiguous(prefix.to_owned(), n)),
        }
    }

    /// Stops a task; a runner that has it hears it with its next heartbeat.
    pub async fn cancel_task(
        &self,
        task: &TaskRef,
        reason: &str,
    ) -> std::result::Result<(), CommandError> {
        for _ in 0..MAX_TRIES {
            let Some((row, version)) = self.task_row(task).await? else {
                return Err(CommandError::Unknown(task.to_string()));
            };
            let change = transition(&row, version, &Event::Cancel { reason }, self.now()).map_err(
                |refusal| CommandError::NotNow(format!("{}: {refusal}", row.spec.title())),
            )?;
            if self.apply(change).await? == Applied::Done {
                return Ok(());
            }
        }
        Err(contended(&Key::task(task)).into())
    }

    /// Stops every open task of a request. Answers how many.
    pub async fn cancel_request(
        &self,
        path: &RequestPath,
        reason: &str,
    ) -> std::result::Result<usize, CommandError> {
        let loaded = self.known(path).await?;
        let mut canceled = 0;
        for row in loaded.tasks.values().filter(|row| !row.state.is_closed()) {
            match self.cancel_task(&row.task, reason).await {
                Ok(()) => canceled += 1,
                // It closed meanwhile: that is what was wanted.
                Err(CommandError::NotNow(_)) => {}
                Err(error) => return Err(error),
            }
        }
        if canceled == 0 {
            return Err(CommandError::NotNow(format!("nothing of {path} is open")));
        }
        Ok(canceled)
    }

    /// Another attempt at a failed or canceled task; its request is open again.
    pub async fn retry_task(&self, task: &TaskRef) -> std::result::Result<(), CommandError> {
        for _ in 0..MAX_TRIES {
            let loaded = self.known(&task.request).await?;
            let row = loaded
                .tasks
                .get(&task.id)
                .ok_or_else(|| CommandError::Unknown(task.to_string()))?;
            let version = loaded.versions[&task.id];
            let mut change =
                transition(row, version, &Event::Retry, self.now()).map_err(|refusal| {
                    CommandError::NotNow(format!("{}: {refusal}", row.spec.title()))
                })?;
            self.reopen(&loaded, &mut change).await?;
            if self.apply(change).await? == Applied::Done {
                return Ok(());
            }
        }
        Err(contended(&Key::task(task)).into())
    }

    /// Another attempt at everything of a request that failed or was canceled; refs that were missing
    /// are looked up again. Answers how many tasks go again.
    pub async fn retry_request(
        &self,
        path: &RequestPath,
    ) -> std::result::Result<usize, CommandError> {
        let loaded = self.known(path).await?;
        let mut retried = 0;
        for row in loaded.tasks.values() {
            match self.retry_task(&row.task).await {
                Ok(()) => retried += 1,
                Err(CommandError::NotNow(_)) => {}
                Err(error) => return Err(error),
            }
        }
        if retried == 0 {
            if !matches!(loaded.row.phase, Phase::Failed | Phase::Canceled) {
                let phase = loaded.row.phase.word();
                return Err(CommandError::NotNow(format!(
                    "{path} is {phase}: nothing of it failed"
                )));
            }
            let mut change = Change::default();
            self.reopen(&loaded, &mut change).await?;
            if let Applied::Conflict(key) = self.apply(change).await? {
                return Err(contended(&key).into());
            }
        }
        Ok(retried)
    }

    async fn reopen(
        &self,
        loaded: &Loaded,
        change: &mut Change,
    ) -> std::result::Result<(), CommandError> {
        let path = &loaded.row.path;
        let phase = match &loaded.row.phase {
            Phase::Open | Phase::Reverting => loaded.row.phase.clone(),
            Phase::Succeeded => Phase::Open,
            // A revert that failed is tried again as one: its file is not at its commit.
            Phase::Failed | Phase::Canceled
                if !path.is_scratch() && self.is_gone(loaded).await? =>
            {
                Phase::Reverting
            }
            Phase::Failed | Phase::Canceled => Phase::Open,
            Phase::Invalid
            | Phase::Publishing(_)
            | Phase::Published
            | Phase::Reverted
            | Phase::Removed => {
                let word = loaded.row.phase.word();
                return Err(CommandError::NotNow(format!(
                    "{path} is {word}: change the file instead"
                )));
            }
        };
        let mut row = loaded.row.clone();
        row.phase = phase;
        list(change, &row);
        change.put(
            Key::open(path),
            Row::Index {
                request: path.clone(),
            },
        );
        change.replace(
            Key::request(path),
            Expect::Version(loaded.version),
            Row::Request(Box::new(row)),
        );
        let message = Message::Advance {
            request: path.clone(),
        };
        change.effect(QueueName::advance(), message, self.now());
        match path.is_scratch() {
            true => self.tell_scratch_again(path, change).await?,
            false => self.watch_again(&loaded.row.commit, change).await?,
        }
        Ok(())
    }

    /// Whoever reads a commit's check sees what comes of a retry, also when it says the same: the button of one text is
    /// pressed once.
    async fn watch_again(
        &self,
        commit: &str,
        change: &mut Change,
    ) -> std::result::Result<(), Error> {
        if !self.options.checks {
            return Ok(());
        }
        let known = self.watch_row(commit).await?;
        let version = known.as_ref().map(|(_, version)| *version);
        let row = match known {
            Some((row, _)) => row,
            None => {
                // Its page tells of the pull request that was merged as it is.
                self.bring_back(commit).await?;
                self.unwatched(commit).await?
            }
        };
        let row = WatchRow {
            again: self.now().max(row.again + 1),
            ..row
        };
        let expect = Expect::as_read(version);
        change.replace(Key::watch(commit), expect, Row::Watch(row));
        Ok(())
    }

    async fn is_gone(&self, loaded: &Loaded) -> std::result::Result<bool, Error> {
        let row = &loaded.row;
        let repo = self.platform.state_repo();
        let file = repo.read(&row.commit, row.path.as_str()).await?;
        Ok(file.is_none())
    }

    async fn known(&self, path: &RequestPath) -> std::result::Result<Loaded, CommandError> {
        self.load(path)
            .await?
            .ok_or_else(|| CommandError::Unknown(path.to_string()))
    }
}
