//! Recovering: a lost ledger is folded back from `main`, `status` and the artifact store.
//!
//! Status files say how far each request is, their records what its tasks are to do, and the
//! publications that pointers lead to what was released. What the status branch does not know yet was
//! lost with the ledger: those tasks run again, and requests that it never heard of are planned anew.
//! Nothing is written but ledger rows, the head last, so that a run that was killed is run again.

mod publications;
mod record;
mod rows;

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::try_join_all;
use ledger::{
    Change, HeadRow, Key, Message, Phase, Problem, QueueName, RepositoryRow, RequestRow, Row, Write,
};
use pipeline_spec::{RequestKind, RequestPath};
use ports::{Applied, ArtifactStore, Ledger, PathChange, Platform, StateRepo};

use crate::admit::{MAX_LINKS_INDEXED, links, list};
use crate::files::Files;
use crate::publish::MAX_DOCUMENT_BYTES;
use crate::render::StatusFile;
use crate::report::is_request;
use crate::{Control, Error, Result};
use publications::{History, Newest};
pub(crate) use record::RequestRecord;
use rows::Answer;

/// Rows in one change.
const BATCH: usize = 90;
/// Changes on their way at a time: a ledger makes several durable at once.
const WIDTH: usize = 16;
/// Commits of the status branch that are looked through for an answer that can be read.
const LOOK_BACK: usize = 100;
/// Precedes the commit on the main branch in the message of a status commit.
const DESIRED: &str = "Desired: ";

/// What a recovery brought back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Requests.
    pub requests: usize,
    /// Their tasks.
    pub tasks: usize,
    /// Tasks of which an attempt was under way: it is made again.
    pub again: usize,
    /// Repositories with what they are made of.
    pub repositories: usize,
    /// Releases that are finished: the ledger was lost between two of their pointers.
    pub finished: Vec<RequestPath>,
    /// Answers that could not be used; these requests are planned anew. The status branch, if it is gone.
    pub problems: Vec<Problem>,
}

/// What was read of the status branch and is not written yet.
#[derive(Default)]
struct Read {
    releases: BTreeMap<RequestPath, Answer>,
    /// Rows of builds.
    change: Change,
    latest: Latest,
}

/// The latest time and the highest place in the order of merges.
#[derive(Clone, Copy, Default)]
struct Latest {
    time: i64,
    sequence: u64,
}

impl Latest {
    fn saw(&mut self, row: &RequestRow) {
        self.time = self.time.max(row.time);
        self.sequence = self.sequence.max(row.sequence);
    }
}

impl<P: Platform> Control<P> {
    /// Whether the ledger was ever planned with: then it is not lost.
    pub async fn is_planned(&self) -> Result<bool> {
        Ok(self.head_row().await?.1.is_some())
    }

    /// Rebuilds an empty ledger. `told` hears of the answers read so far, and of how many there are.
    ///
    /// # Errors
    /// [`Error::Inconsistent`] if the ledger is not empty, or a pointer or publication is not in the store.
    pub async fn recover(&self, told: impl Fn(usize, usize)) -> Result<Recovered> {
        if self.is_planned().await? {
            let message = "recover the ledger: it is there, and only an empty one is rebuilt";
            return Err(Error::Inconsistent(message.to_owned()));
        }
        let mut recovered = Recovered::default();
        let repo = self.platform.state_repo();
        let status = repo.head(&self.options.status_branch).await?;
        let (mut planned, mut read) = (String::new(), Read::default());
        if let Some(tip) = &status {
            self.refuse_empty_store(tip).await?;
            read = self.answers(tip, &mut recovered, told).await?;
            planned = self.planned_at(tip).await?;
        }
        let names = self.platform.store().pointers().await?;
        let without_status = status.is_none() && !names.is_empty();
        if without_status {
            let branch = &self.options.status_branch;
            recovered.problems.push(Problem {
                subject: format!("branch {branch}"),
                message: format!("it is not in the state repository: what is published is known, and the builds behind it are made anew; if it was deleted by mistake, bring it back (`git push origin COMMIT:refs/heads/{branch}`) and recover once more; nothing is pruned until then, or until `millrace prune --give-up`"),
            });
        }
        let history = self.history(names.into_iter().collect()).await?;
        let newest = history.newest();
        refuse_lost_pointers(&read.releases, &newest)?;
        for (release, newest) in newest {
            let known = read.releases.get(&release).map(|answer| &answer.row);
            let Some(row) = self.caught_up(&release, known, &newest).await? else {
                continue;
            };
            if matches!(row.phase, Phase::Publishing(_)) {
                recovered.finished.push(release.clone());
            }
            match read.releases.get_mut(&release) {
                Some(answer) => {
                    answer.row = row;
                    answer.is_news = true;
                }
                None => {
                    recovered.requests += 1;
                    read.releases.insert(release, Answer::without_tasks(row));
                }
            }
        }
        recovered.repositories = history.pointers.len();
        self.write_releases(&mut read, &history).await?;
        let head = HeadRow {
            without_status,
            ..head(planned, read.latest, &history)
        };
        self.write_head_row(head).await?;
        Ok(recovered)
    }

    /// An artifact store without anything in it, beside a branch with answers, is a disk that is not mounted.
    async fn refuse_empty_store(&self, tip: &str) -> Result<()> {
        if !self.platform.store().held(None, 1).await?.is_empty() {
            return Ok(());
        }
        let paths = self.platform.state_repo().list(tip, "").await?;
        if !paths.iter().any(|path| path.parse::<RequestPath>().is_ok()) {
            return Ok(());
        }
        let branch = &self.options.status_branch;
        Err(Error::Inconsistent(format!(
            "read what the branch `{branch}` tells of: the artifact store is empty; is its disk mounted? To build everything anew, delete that branch in the state repository first"
        )))
    }

    /// What the status branch says of each request. Builds are in the ledger when this returns, so that
    /// memory is not as large as the ledger; releases wait for their publications.
    async fn answers(
        &self,
        tip: &str,
        recovered: &mut Recovered,
        told: impl Fn(usize, usize),
    ) -> Result<Read> {
        let repo = self.platform.state_repo();
        let mut paths = repo.list(tip, "").await?;
        paths.retain(|path| is_request(path));
        repo.prefetch(tip, &paths).await?;
        let paths: Vec<RequestPath> = paths.iter().filter_map(|path| path.parse().ok()).collect();
        let mut read = Read::default();
        for (n, path) in paths.iter().enumerate() {
            match self.answer(tip, path).await? {
                Ok(answer) => {
                    recovered.requests += 1;
                    recovered.tasks += answer.tasks.len();
                    recovered.again += answer.again;
                    read.latest.saw(&answer.row);
                    match path.kind() {
                        RequestKind::Build => {
                            request_rows(&answer, &mut read.change, self.now());
                        }
                        RequestKind::Release => {
                            read.releases.insert(path.clone(), answer);
                        }
                        // No file is one.
                        RequestKind::Scratch => {}
                    }
                }
                Err(message) => recovered.problems.push(Problem {
                    subject: path.to_string(),
                    message: format!("{message}; the request is planned anew"),
                }),
            }
            if read.change.writes.len() >= BATCH * WIDTH {
                self.write_rows(std::mem::take(&mut read.change)).await?;
            }
            told(n + 1, paths.len());
        }
        Ok(read)
    }

    async fn answer(
        &self,
        tip: &str,
        path: &RequestPath,
    ) -> Result<std::result::Result<Answer, String>> {
        let file = match self.status_at(tip, path).await? {
            Ok(file) => file,
            Err(message) => return Ok(Err(message)),
        };
        if file.request != *path {
            return Ok(Err(format!("its status is of {}", file.request)));
        }
        let Some(digest) = &file.record else {
            return Ok(Err("its status names no record".to_owned()));
        };
        let store = self.platform.store();
        let bytes = match store.get(digest, MAX_DOCUMENT_BYTES).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => {
                let message = format!("its record {digest} is not in the artifact store");
                return Ok(Err(message));
            }
            Err(error @ ports::Error::Corrupt { .. }) => {
                return Ok(Err(format!("its record cannot be used: {error}")));
            }
            Err(error) => return Err(error.into()),
        };
        let record: RequestRecord = match serde_json::from_slice(&bytes) {
            Ok(record) => record,
            Err(cause) => return Ok(Err(format!("its record {digest} cannot be read: {cause}"))),
        };
        let mut answer = match Answer::of(file, record, self.now()) {
            Ok(answer) => answer,
            Err(message) => return Ok(Err(message)),
        };
        // `publishing` does not say of which kind.
        if answer.row.phase == Phase::Open && path.kind() == RequestKind::Release {
            let wish = self
                .platform
                .state_repo()
                .read(&answer.row.commit, path.as_str());
            if let Ok(None) = wish.await {
                answer.row.phase = Phase::Reverting;
            }
        }
        Ok(Ok(answer))
    }

    /// The file on the status branch; of one that people made unreadable, as it was before them.
    async fn status_at(
        &self,
        tip: &str,
        path: &RequestPath,
    ) -> Result<std::result::Result<StatusFile, String>> {
        let repo = self.platform.state_repo();
        let (mut commit, mut why) = (tip.to_owned(), String::new());
        for _ in 0..LOOK_BACK {
            let bytes = repo.read(&commit, path.as_str()).await?.unwrap_or_default();
            match serde_saphyr::from_str(&String::from_utf8_lossy(&bytes)) {
                Ok(file) => return Ok(Ok(file)),
                Err(cause) if why.is_empty() => {
                    let cause = cause.to_string();
                    let line = cause.lines().next().unwrap_or_default();
                    why = format!("its status cannot be read: {line}");
                }
                Err(_) => {}
            }
            match repo.info(&commit).await?.parents.into_iter().next() {
                Some(parent) => commit = parent,
                None => break,
            }
        }
        Ok(Err(why))
    }

    /// The commit of the main branch that was planned whole when the status was written; empty if it
    /// is not known any more.
    async fn planned_at(&self, status: &str) -> Result<String> {
        let repo = self.platform.state_repo();
        let info = repo.info(status).await?;
        let desired = info
            .message
            .lines()
            .find_map(|line| line.strip_prefix(DESIRED));
        let Some(desired) = desired else {
            return Ok(String::new());
        };
        let is_known = match repo.head(&self.options.branch).await? {
            Some(tip) => repo.is_ancestor(desired, &tip).await?,
            // Deleted: what was planned goes on until it is back.
            None => match repo.info(desired).await {
                Ok(_) => true,
                Err(ports::Error::Corrupt { .. }) => false,
                Err(error) => return Err(error.into()),
            },
        };
        Ok(match is_known {
            true => desired.to_owned(),
            false => String::new(),
        })
    }

    /// The row of a release whose publication is newer than its status; `None`: the status knows it.
    async fn caught_up(
        &self,
        path: &RequestPath,
        known: Option<&RequestRow>,
        newest: &Newest,
    ) -> Result<Option<RequestRow>> {
        let publication = &newest.publication;
        let phase = match (newest.complete, publication.reverts) {
            (false, _) => Phase::Publishing(newest.decision.clone()),
            (true, false) => Phase::Published,
            (true, true) => Phase::Reverted,
        };
        if let Some(row) = known {
            let same = row.commit == publication.commit;
            let is_told = matches!(row.phase, Phase::Published | Phase::Reverted);
            // At rest with a pointer missing: files had vanished, and a person has been told.
            let at_rest = is_told || row.phase.is_at_rest() && !newest.complete;
            if row.time > publication.time || same && at_rest {
                return Ok(None);
            }
            if same {
                return Ok(Some(RequestRow {
                    phase,
                    ..row.clone()
                }));
            }
            let repo = self.platform.state_repo();
            if !repo.is_ancestor(&row.commit, &publication.commit).await? {
                return Ok(None);
            }
        }
        let info = self.platform.state_repo().info(&publication.commit).await?;
        Ok(Some(RequestRow {
            path: path.clone(),
            commit: publication.commit.clone(),
            time: publication.time,
            author: info.author,
            sequence: publication.sequence,
            spec: match publication.reverts {
                true => known.and_then(|row| row.spec.clone()),
                false => self.wish_at(&publication.commit, path).await?,
            },
            phase,
            problems: Vec::new(),
            notes: Vec::new(),
        }))
    }

    async fn wish_at(
        &self,
        commit: &str,
        path: &RequestPath,
    ) -> Result<Option<ledger::RequestSpec>> {
        let Some(text) = self
            .platform
            .state_repo()
            .read(commit, path.as_str())
            .await?
        else {
            return Ok(None);
        };
        let config = &self.snapshot(commit).await?.config;
        let files = Files::Commit(commit);
        let wish = self.read_wish(config, files, path, &text).await?;
        Ok(wish.ok().map(|(spec, _)| spec))
    }

    /// Writes the rows of releases and repositories, and what is left of the builds'.
    async fn write_releases(&self, read: &mut Read, history: &History) -> Result<()> {
        let mut change = std::mem::take(&mut read.change);
        for answer in read.releases.values() {
            read.latest.saw(&answer.row);
            request_rows(answer, &mut change, self.now());
        }
        for (name, pointer) in &history.pointers {
            let pointer = pointer.clone();
            let row = Row::Repository(RepositoryRow { pointer });
            change.put(Key::repository(name), row);
        }
        for contribution in history.contributions() {
            let key = Key::contribution(&contribution.repository, &contribution.release);
            change.put(key, Row::Contribution(contribution));
        }
        self.write_rows(change).await
    }

    /// Without conditions: the ledger has no other writer, and a run that was killed is run again.
    async fn write_rows(&self, change: Change) -> Result<()> {
        let (_, mut writes) = change.into_rows(self.now());
        while !writes.is_empty() {
            let mut changes = Vec::new();
            while changes.len() < WIDTH && !writes.is_empty() {
                let batch: Vec<Write> = writes.drain(..writes.len().min(BATCH)).collect();
                changes.push(Change {
                    writes: batch,
                    ..Change::default()
                });
            }
            let applied = changes.into_iter().map(|change| self.apply(change));
            let _without_conditions = try_join_all(applied).await?;
        }
        Ok(())
    }

    /// The status branch is noted as whole by the next report, which compares all of it: people may have
    /// written to it, and an answer may have been read from a commit of before them.
    async fn write_head_row(&self, head: HeadRow) -> Result<()> {
        let mut change = Change::default();
        change.replace(Key::head(), ledger::Expect::Absent, Row::Head(head));
        match self.apply(change).await? {
            Applied::Done => Ok(()),
            Applied::Conflict(key) => Err(Error::Contended(key.to_string())),
        }
    }

    /// Requests whose file at `tip` is not the one that their row was made of: the status branch had
    /// not heard of them when the ledger was lost. `changes`: all files of the tip.
    pub(crate) async fn unheard_of(
        &self,
        tip: &str,
        changes: &[PathChange],
    ) -> Result<BTreeSet<RequestPath>> {
        let paths = changes.iter().filter_map(|change| change.path.parse().ok());
        let mut paths: BTreeSet<RequestPath> = paths.collect();
        paths.extend(self.indexed(ledger::partition::REQUESTS, "").await?);
        let mut unheard = BTreeSet::new();
        for path in paths {
            if !self.is_answered(&path, tip).await? {
                unheard.insert(path);
            }
        }
        Ok(unheard)
    }

    /// A published release keeps the commit that it was published from, and takes its place among others
    /// from later ones. A wish that cannot be granted any more is none.
    async fn has_its_place(&self, row: &RequestRow, tip: &str, wish: &[u8]) -> Result<bool> {
        if row.phase != Phase::Published {
            return Ok(true);
        }
        let config = &self.snapshot(tip).await?.config;
        let wish = self.read_wish(config, Files::Commit(tip), &row.path, wish);
        let wish = wish.await?.ok();
        Ok(wish.is_none_or(|(wish, _)| row.spec == Some(wish)))
    }

    async fn is_answered(&self, path: &RequestPath, tip: &str) -> Result<bool> {
        let row = match self.platform.ledger().get(&Key::request(path)).await? {
            None => None,
            Some(record) => match record.row {
                Row::Request(row) => Some(row),
                _ => return Err(crate::load::unexpected(&Key::request(path))),
            },
        };
        let repo = self.platform.state_repo();
        let gone = |row: &RequestRow| {
            matches!(
                row.phase,
                Phase::Removed | Phase::Reverting | Phase::Reverted
            )
        };
        Ok(match (repo.read(tip, path.as_str()).await?, row) {
            (None, None) => true,
            (Some(_), None) => false,
            (None, Some(row)) => gone(&row),
            (Some(_), Some(row)) if gone(&row) => false,
            (Some(wish), Some(row)) => match repo.read(&row.commit, path.as_str()).await {
                Ok(answered) => {
                    answered.as_ref() == Some(&wish) && self.has_its_place(&row, tip, &wish).await?
                }
                // The commit is gone, as after a force-push.
                Err(ports::Error::Corrupt { .. }) => false,
                Err(error) => return Err(error.into()),
            },
        })
    }
}

/// Of a published release, pointers lead to its publication. Without them the repositories would be made
/// anew from what is left, and clients would see packages vanish.
fn refuse_lost_pointers(
    releases: &BTreeMap<RequestPath, Answer>,
    newest: &BTreeMap<RequestPath, Newest>,
) -> Result<()> {
    let lost = |path: &&RequestPath| {
        releases[*path].row.phase == Phase::Published && !newest.contains_key(*path)
    };
    match releases.keys().find(lost) {
        None => Ok(()),
        Some(path) => Err(Error::Inconsistent(format!(
            "find what {path} has published: no repository's pointer in the artifact store leads to it; bring the pointers back from a copy of the store"
        ))),
    }
}

fn head(planned: String, latest: Latest, history: &History) -> HeadRow {
    let (sequence, time) = history.latest();
    HeadRow {
        commit: planned,
        time: time.max(latest.time),
        sequence: sequence.max(latest.sequence),
        recovered: true,
        ..HeadRow::default()
    }
}

/// All rows of a request with their indexes, and the messages that its open tasks and its readers need.
fn request_rows(answer: &Answer, change: &mut Change, now: ledger::Millis) {
    let row = &answer.row;
    let path = &row.path;
    let index = || Row::Index {
        request: path.clone(),
    };
    for link in row.spec.iter().flat_map(links).take(MAX_LINKS_INDEXED) {
        change.put(Key::waiter(&link, path), index());
    }
    change.put(Key::listed(path), index());
    list(change, row);
    if let Phase::Publishing(decision) = &row.phase {
        for flip in &decision.flips {
            change.put(Key::turn(&flip.pointer.repository), index());
        }
    }
    change.put(Key::request(path), Row::Request(Box::new(row.clone())));
    for it in &answer.refs {
        let key = Key::git_ref(path, &it.url, &it.git_ref);
        change.put(key, Row::Ref(it.clone()));
    }
    for task in &answer.tasks {
        change.merge(task.insert());
    }
    if answer.is_open() {
        change.put(Key::open(path), index());
        let request = path.clone();
        change.effect(QueueName::advance(), Message::Advance { request }, now);
    }
    // A report that compares the whole branch finds requests in an index, which may be behind.
    if answer.is_open() || answer.is_news {
        let request = path.clone();
        change.effect(QueueName::report(), Message::Report { request }, now);
    }
}
