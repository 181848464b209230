//! Commits and how they follow each other.

use gix::bstr::ByteSlice;

use crate::{CommitId, Error, Repository, Result, read};

/// What a commit says of itself. Text that is not UTF-8 is shown with replacement characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitInfo {
    /// First parent first.
    pub parents: Vec<CommitId>,
    /// `Name <mail>`.
    pub author: String,
    /// Committer time, seconds since 1970. The committer chose it: never trust it for order.
    pub time: i64,
    /// The whole message.
    pub message: String,
    /// `Key: value` lines of the last paragraph, in order.
    pub trailers: Vec<(String, String)>,
}

impl Repository {
    /// What `commit` says of itself.
    pub fn commit_info(&self, commit: CommitId) -> Result<CommitInfo> {
        let repo = self.handle_with(commit)?;
        let error = || Error::corrupt(format!("read commit {commit}"));
        let object = read::object(&repo, commit.0)?
            .try_into_commit()
            .map_err(error())?;
        let decoded = object.decode().map_err(error())?;
        let author = decoded.author().map_err(error())?;
        let trailers = decoded
            .message()
            .body()
            .map(|body| {
                body.trailers()
                    .map(|trailer| {
                        (
                            trailer.token.to_str_lossy().into_owned(),
                            trailer.value.to_str_lossy().into_owned(),
                        )
                    })
                    .collect()
            })
            .unwrap_or_default();
        Ok(CommitInfo {
            parents: decoded.parents().map(CommitId).collect(),
            author: format!("{} <{}>", author.name, author.email),
            time: object.time().map_err(error())?.seconds,
            message: decoded.message.to_str_lossy().into_owned(),
            trailers,
        })
    }

    /// Whether `old` is `new` or one of its ancestors; `false` when `old` is not known (any more).
    pub fn is_ancestor(&self, old: CommitId, new: CommitId) -> Result<bool> {
        let repo = self.handle_with(new)?;
        if old == new {
            return Ok(true);
        }
        let known = repo
            .try_find_header(old.0)
            .map_err(Error::corrupt(format!("read commit {old}")))?;
        if known.is_none() {
            return Ok(false);
        }
        let bases = repo
            .merge_bases_many(old.0, &[new.0])
            .map_err(Error::corrupt(format!("compare commits {old} and {new}")))?;
        Ok(bases.iter().any(|base| base.detach() == old.0))
    }

    /// Commits from `from` along first parents down to `until`, which is not included, newest first, at
    /// most `limit`. Ends early at the first commit of the branch.
    pub fn log_first_parent(
        &self,
        from: CommitId,
        until: Option<CommitId>,
        limit: usize,
    ) -> Result<Vec<CommitId>> {
        let repo = self.handle_with(from)?;
        let mut log = Vec::new();
        let mut next = Some(from);
        while let Some(commit) = next.filter(|commit| Some(*commit) != until && log.len() < limit) {
            log.push(commit);
            next = first_parent(&repo, commit)?;
        }
        Ok(log)
    }
}

/// `None` for a first commit, and at the edge of a shallow repository.
pub(crate) fn first_parent(repo: &gix::Repository, commit: CommitId) -> Result<Option<CommitId>> {
    let error = || Error::corrupt(format!("read commit {commit}"));
    let object = read::object(repo, commit.0)?
        .try_into_commit()
        .map_err(error())?;
    let parent = object.parent_ids().next().map(gix::Id::detach);
    let Some(parent) = parent else {
        return Ok(None);
    };
    let known = repo.try_find_header(parent).map_err(error())?;
    Ok(known.map(|_| CommitId(parent)))
}
