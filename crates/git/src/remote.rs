//! A repository on a server, read through a cache on this disk.
//!
//! The server is the truth: every look at a branch asks it (21 ms nearby), and only what is new is fetched. The
//! cache may be deleted at any time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gix::protocol::transport::Service;
use gix::refs::FullName;

use crate::build::NewCommit;
use crate::checkout::ByName;
use crate::fetch::{Depth, Files, Wanted, fetch};
use crate::http::Budget;
use crate::local::{self, Expect};
use crate::push::{self, Push, Pushed};
use crate::repository::is_known;
use crate::wire::{Connection, Peer, guarded};
use crate::{
    CommitId, Credentials, Error, Login, Outcome, RemoteUrl, Repository, Result, durable, history,
    pack,
};

/// Longest time for one conversation: the first fetch of a big repository.
const TIME: Duration = Duration::from_secs(15 * 60);
/// Longest time for asking where a branch is.
const LOOK_TIME: Duration = Duration::from_secs(60);
/// Most bytes of one conversation.
const BYTES: u64 = 4 << 30;
/// Most bytes of one object of a commit that is fetched by its name: of a pull request anybody may be the author, and
/// each object is in memory as a whole. Below it a pack of a few bytes can unfold to all of a small machine's memory.
const STRANGERS_OBJECT_BYTES: usize = 16 << 20;
/// Commits of each branch offered to the server as known. After a forced push the common one is usually
/// this near; when it is not, more is sent than needed, and nothing else happens.
const HAVES_PER_BRANCH: usize = 32;
/// Beside a copy that files were left out of.
const PARTIAL: &str = "millrace-partial";
/// Most files asked for in one conversation: some 50 bytes of a request each.
const MOST_BLOBS: usize = 10_000;
/// Most branches whose commits are offered.
const HAVE_BRANCHES: usize = 64;

#[derive(Debug)]
pub(crate) struct Remote {
    url: RemoteUrl,
    login: Arc<dyn Login>,
    pub(crate) files: Files,
    /// One fetch at a time: two callers of `head` after the same push would fetch the same objects twice.
    fetching: Mutex<()>,
}

impl Remote {
    /// # Errors
    /// A secret would be sent where others listen.
    pub(crate) fn new(url: RemoteUrl, credentials: Credentials) -> Result<Self> {
        credentials.header(&url)?;
        Ok(Self {
            url,
            login: Arc::new(credentials),
            files: Files::All,
            fetching: Mutex::new(()),
        })
    }

    /// From now on this is asked who logs in.
    pub(crate) fn ask(&mut self, login: Arc<dyn Login>) {
        self.login = login;
    }

    /// With the login of this moment.
    fn peer(&self, time: Duration) -> Result<Peer<'_>> {
        let credentials = self.login.credentials();
        let credentials = credentials.map_err(|reason| Error::Network {
            url: self.url.to_string(),
            reason: crate::error::printable(&format!("no login can be had for it: {reason}")),
        })?;
        Ok(Peer {
            url: &self.url,
            credentials: Arc::new(credentials),
            budget: Budget::new(time, BYTES),
        })
    }

    /// What whoever logs in has to know of its end is told there.
    fn talk<T>(&self, conversation: impl FnOnce() -> Result<T>) -> Result<T> {
        let ended = guarded(&self.url, conversation);
        if let Err(Error::AccessDenied { .. }) = &ended {
            self.login.refused();
        }
        ended
    }

    /// Where `branch` is, with its objects in the cache.
    pub(crate) fn head(&self, cache: &Repository, branch: &FullName) -> Result<Option<CommitId>> {
        self.talk(|| self.look(cache, branch))
    }

    fn look(&self, cache: &Repository, branch: &FullName) -> Result<Option<CommitId>> {
        let (connection, tip) = self.tip(branch, TIME)?;
        let Some(tip) = tip else {
            return Ok(None);
        };
        let _turn = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        let repo = cache.handle();
        let known = repo
            .try_find_header(tip.0)
            .map_err(Error::corrupt(format!("read commit {tip}")))?;
        if known.is_none() {
            self.fetch(&repo, connection, tip, None)?;
            cache.tidy();
        }
        let _ = local::move_branch(&repo, branch, Expect::Anything, tip)?;
        Ok(Some(tip))
    }

    /// Has `commit` in the cache, if the server gives it by its name: another process may have learned of it first, or it
    /// is a pull request's.
    ///
    /// # Errors
    /// [`Error::TooLarge`], and [`Error::Corrupt`] if the server says that it cannot send it: what is wrong is then of
    /// the commit, or of one before it that is not here.
    pub(crate) fn bring(&self, cache: &Repository, commit: CommitId) -> Result<()> {
        self.talk(|| {
            let _turn = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
            let repo = cache.handle();
            if is_known(&repo, commit)? {
                return Ok(());
            }
            let connection = Connection::open(self.peer(TIME)?, Service::UploadPack)?;
            if connection.serves_by_name(commit) == ByName::Never {
                return Ok(());
            }
            match self.fetch(&repo, connection, commit, Some(STRANGERS_OBJECT_BYTES)) {
                // It is gone there too: whoever reads it says so.
                Err(Error::Server { .. }) => Ok(()),
                Err(error) => Err(of_commit(commit, error)),
                Ok(()) => {
                    cache.tidy();
                    Ok(())
                }
            }
        })
    }

    /// All of `commit`'s history that is not in the cache, or what of it comes at first.
    fn fetch(
        &self,
        repo: &gix::Repository,
        connection: Connection<'_>,
        commit: CommitId,
        max_object_bytes: Option<usize>,
    ) -> Result<()> {
        let marker = repo.git_dir().join(PARTIAL);
        let files = match self.files {
            Files::Later if connection.can_leave_files_out() => {
                std::fs::write(&marker, "").map_err(Error::io("write", &marker))?;
                Files::Later
            }
            _ => Files::All,
        };
        // What was left out before may be what the server would describe new files by.
        let have = match files == Files::All && marker.exists() {
            true => Vec::new(),
            false => known_commits(repo)?,
        };
        let wanted = Wanted {
            want: &[commit.0],
            have: &have,
            depth: Depth::Full,
            files,
            max_object_bytes,
        };
        fetch(repo, connection, &wanted)
    }

    /// Has `blobs` in the cache, which were left out when their commits were fetched. What the server does not have
    /// either is not there afterwards: whoever reads it says so.
    ///
    /// # Errors
    /// [`Error::Limit`] if one of them has more than `limit` bytes; the others are there.
    pub(crate) fn bring_blobs(
        &self,
        cache: &Repository,
        blobs: &[gix::ObjectId],
        limit: u64,
    ) -> Result<()> {
        self.talk(|| {
            let _turn = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
            let repo = cache.handle();
            let mut missing = Vec::new();
            for blob in blobs {
                if !is_known(&repo, CommitId(*blob))? {
                    missing.push(*blob);
                }
            }
            missing.sort_unstable();
            missing.dedup();
            let mut came = Ok(());
            for some in missing.chunks(MOST_BLOBS) {
                match self.fetch_blobs(&repo, some, limit) {
                    Err(error @ Error::Limit { .. }) => came = Err(error),
                    fetched => fetched?,
                }
            }
            if !missing.is_empty() {
                cache.tidy();
            }
            came
        })
    }

    fn fetch_blobs(
        &self,
        repo: &gix::Repository,
        blobs: &[gix::ObjectId],
        limit: u64,
    ) -> Result<()> {
        let connection = Connection::open(self.peer(TIME)?, Service::UploadPack)?;
        // What is asked for by name comes all the same. Of a tree in the place of a file, its files do not.
        let files = match connection.can_leave_files_out() {
            true => Files::Later,
            false => Files::All,
        };
        let wanted = Wanted {
            want: blobs,
            have: &[],
            depth: Depth::Full,
            files,
            max_object_bytes: Some(usize::try_from(limit).unwrap_or(usize::MAX)),
        };
        match fetch(repo, connection, &wanted) {
            // The others are to come all the same.
            Err(Error::Limit { .. }) if blobs.len() > 1 => {
                let (some, others) = blobs.split_at(blobs.len() / 2);
                let came = self.fetch_blobs(repo, some, limit);
                self.fetch_blobs(repo, others, limit).and(came)
            }
            Err(error @ Error::Server { .. }) => {
                tracing::warn!(%error, files = blobs.len(), "could not fetch files that were left out");
                Ok(())
            }
            other => other,
        }
    }

    fn tip(&self, branch: &FullName, time: Duration) -> Result<(Connection<'_>, Option<CommitId>)> {
        let mut connection = Connection::open(self.peer(time)?, Service::UploadPack)?;
        let name = branch.as_bstr().to_string();
        let refs = connection.list_refs(std::slice::from_ref(&name))?;
        let tip = refs.iter().find(|r| r.name == name).map(|r| CommitId(r.id));
        Ok((connection, tip))
    }

    /// Pushes `new`, and keeps it in the cache.
    pub(crate) fn commit(
        &self,
        cache: &Repository,
        branch: &FullName,
        expected: Option<CommitId>,
        new: &NewCommit,
    ) -> Result<Outcome> {
        self.talk(|| {
            let bytes = pack::encode(&new.objects)?;
            let commit = CommitId(new.id);
            let outcome = self.push(branch, expected, commit, &bytes)?;
            if outcome == Outcome::Committed(commit) {
                let repo = cache.handle();
                durable::store_pack(&repo, &mut bytes.as_slice(), None)?;
                let _ = local::move_branch(&repo, branch, Expect::Anything, commit)?;
            }
            Ok(outcome)
        })
    }

    fn push(
        &self,
        branch: &FullName,
        expected: Option<CommitId>,
        new: CommitId,
        pack: &[u8],
    ) -> Result<Outcome> {
        let name = branch.as_bstr().to_string();
        let request = Push {
            branch: &name,
            old: expected,
            new,
            pack,
        };
        let answer = push::push(self.peer(TIME)?, &request);
        let unclear = match answer {
            Ok(Pushed::Done) => return Ok(Outcome::Committed(new)),
            Ok(Pushed::Moved(now)) => return Ok(Outcome::Moved { now }),
            Ok(Pushed::Refused(reason)) => Error::Refused {
                url: self.url.to_string(),
                branch: name.clone(),
                reason,
            },
            Err(error @ Error::Network { .. }) => error,
            Err(error) => return Err(error),
        };
        // A refusal may be a race, and a lost answer may have been a yes: the branch itself tells.
        match self.tip(branch, LOOK_TIME) {
            Ok((_, Some(now))) if now == new => Ok(Outcome::Committed(new)),
            Ok((_, now)) if now != expected => Ok(Outcome::Moved { now }),
            Ok(_) | Err(_) => Err(unclear),
        }
    }
}

/// The same error, where the reason lies in the commit that was asked for.
fn of_commit(commit: CommitId, error: Error) -> Error {
    match error {
        Error::Limit { limit, .. } => Error::TooLarge { commit, limit },
        Error::GaveUp { reason, .. } => Error::Corrupt {
            operation: format!("fetch commit {commit}"),
            reason: format!("the server cannot send all of it, and says: {reason}"),
        },
        other => other,
    }
}

/// Commits of the cache's branches that are worth offering to a server.
fn known_commits(repo: &gix::Repository) -> Result<Vec<gix::ObjectId>> {
    let error = || Error::corrupt("list the cache's branches");
    let references = repo.references().map_err(error())?;
    let mut commits = Vec::new();
    for branch in references
        .local_branches()
        .map_err(error())?
        .take(HAVE_BRANCHES)
    {
        let branch = branch.map_err(|error| Error::Corrupt {
            operation: "list the cache's branches".to_owned(),
            reason: error.to_string(),
        })?;
        let tip = branch.try_id().map(|id| CommitId(id.detach()));
        // Of a damaged cache: all is fetched again.
        let is_here = tip.map_or(Ok(false), |tip| is_known(repo, tip))?;
        let mut next = tip.filter(|_| is_here);
        for _ in 0..HAVES_PER_BRANCH {
            let Some(commit) = next else { break };
            commits.push(commit.0);
            next = history::first_parent(repo, commit)?;
        }
    }
    commits.sort_unstable();
    commits.dedup();
    Ok(commits)
}
