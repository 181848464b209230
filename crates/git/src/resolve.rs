//! What a ref of somebody's repository is right now: resolved once, then recorded.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gix::protocol::transport::Service;

use crate::http::Budget;
use crate::wire::{Connection, Peer, guarded};
use crate::{CommitId, Credentials, Error, RemoteUrl, Result, names, read, repository};

/// Most bytes of a server's list of refs.
const BYTES: u64 = 64 << 20;
/// Tags of tags of tags: git itself makes one level.
const MAX_PEEL: usize = 8;

/// A ref and its commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The full name that was found; `None` when the commit itself was asked for.
    pub name: Option<String>,
    /// The commit; annotated tags are followed to it.
    pub commit: CommitId,
}

/// Resolves `name` in the repository at `url`, in at most `time`.
///
/// `name` is 40 hex digits (answered without asking anyone), a full name (`refs/tags/v1`), `HEAD`, or a short
/// one, which must not be a tag and a branch of different commits. Errors tell apart
/// [`Error::RepositoryMissing`] and [`Error::AccessDenied`], [`Error::RefMissing`], and [`Error::Network`], the
/// only one worth trying again.
pub fn ls_remote(
    url: &RemoteUrl,
    name: &str,
    credentials: &Credentials,
    time: Duration,
) -> Result<Resolved> {
    if let Ok(commit) = name.parse() {
        return Ok(Resolved { name: None, commit });
    }
    let candidates = candidates(name)?;
    let found = guarded(url, || match url.directory() {
        Some(directory) => in_directory(url, directory, &candidates),
        None => on_server(url, &candidates, credentials, time),
    })?;
    choose(url, name, &candidates, &found)
}

/// Full names a short one may stand for, as `git rev-parse` tries them.
fn candidates(name: &str) -> Result<Vec<String>> {
    if name == "HEAD" {
        return Ok(vec![name.to_owned()]);
    }
    let names = if name.starts_with("refs/") {
        vec![name.to_owned()]
    } else {
        vec![format!("refs/tags/{name}"), format!("refs/heads/{name}")]
    };
    for full in &names {
        names::full_name(full)?;
    }
    Ok(names)
}

fn choose(
    url: &RemoteUrl,
    name: &str,
    candidates: &[String],
    found: &BTreeMap<String, gix::ObjectId>,
) -> Result<Resolved> {
    let matches: Vec<(&String, gix::ObjectId)> = candidates
        .iter()
        .filter_map(|full| found.get(full).map(|id| (full, *id)))
        .collect();
    match matches.as_slice() {
        [] => Err(Error::RefMissing {
            url: url.to_string(),
            name: name.to_owned(),
        }),
        [(_, first), rest @ ..] if rest.iter().any(|(_, id)| id != first) => {
            Err(Error::RefAmbiguous {
                url: url.to_string(),
                name: name.to_owned(),
                candidates: matches.iter().map(|(full, _)| (*full).clone()).collect(),
            })
        }
        [(full, id), ..] => Ok(Resolved {
            name: Some((*full).clone()),
            commit: CommitId(*id),
        }),
    }
}

fn on_server(
    url: &RemoteUrl,
    candidates: &[String],
    credentials: &Credentials,
    time: Duration,
) -> Result<BTreeMap<String, gix::ObjectId>> {
    let peer = Peer {
        url,
        credentials: Arc::new(credentials.clone()),
        budget: Budget::new(time, BYTES),
    };
    let mut connection = Connection::open(peer, Service::UploadPack)?;
    let refs = connection.list_refs(candidates)?;
    Ok(refs
        .into_iter()
        .filter(|r| candidates.contains(&r.name))
        .map(|r| (r.name.clone(), r.target()))
        .collect())
}

fn in_directory(
    url: &RemoteUrl,
    directory: &std::path::Path,
    candidates: &[String],
) -> Result<BTreeMap<String, gix::ObjectId>> {
    let repo = repository::open(directory)?.to_thread_local();
    let mut found = BTreeMap::new();
    for full in candidates {
        let error = || Error::corrupt(format!("read {full} of {url}"));
        let Some(mut reference) = repo.try_find_reference(full.as_str()).map_err(error())? else {
            continue;
        };
        if reference.name().as_bstr() != full.as_str() {
            continue;
        }
        // An unborn HEAD points to a branch that does not exist yet.
        let Ok(id) = reference.follow_to_object() else {
            continue;
        };
        found.insert(full.clone(), peel(&repo, id.detach())?);
    }
    Ok(found)
}

/// Follows tags to what they point to.
pub(crate) fn peel(repo: &gix::Repository, mut id: gix::ObjectId) -> Result<gix::ObjectId> {
    for _ in 0..MAX_PEEL {
        let object = read::object(repo, id)?;
        if object.kind != gix::objs::Kind::Tag {
            return Ok(id);
        }
        let error = || Error::corrupt(format!("read tag {id}"));
        let tag = object.try_into_tag().map_err(error())?;
        id = tag.target_id().map_err(error())?.detach();
    }
    Err(Error::Corrupt {
        operation: format!("follow tag {id}"),
        reason: format!("it is a tag of a tag, {MAX_PEEL} times over"),
    })
}
