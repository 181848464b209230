//! What was published, read from the pointers backwards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ledger::{Contribution, Decision};
use pipeline_spec::{RepositoryName, RequestPath, Sha256Digest};
use ports::{ArtifactStore, Platform};
use runner_api::{Pointer, Publication};

use crate::publish::MAX_DOCUMENT_BYTES;
use crate::{Control, Error, Result};

/// All that was ever published, as far as pointers lead to it.
#[derive(Default)]
pub(super) struct History {
    /// What clients see.
    pub(super) pointers: BTreeMap<RepositoryName, Pointer>,
    publications: BTreeMap<Sha256Digest, Arc<Publication>>,
    /// Of each repository, the oldest first.
    chains: BTreeMap<RepositoryName, Vec<Sha256Digest>>,
}

/// The newest publication of a release.
pub(super) struct Newest {
    pub(super) publication: Arc<Publication>,
    pub(super) decision: Decision,
    /// Every pointer was set; else the process ended between two of them.
    pub(super) complete: bool,
}

impl History {
    /// What each release has added and no revert took away.
    pub(super) fn contributions(&self) -> Vec<Contribution> {
        let mut all = Vec::new();
        for (name, chain) in &self.chains {
            let mut added: BTreeMap<&RequestPath, &Publication> = BTreeMap::new();
            for digest in chain {
                let publication = &self.publications[digest];
                let published = &publication.repositories[name];
                if published.packages.is_empty() {
                    added.remove(&publication.release);
                } else {
                    added.insert(&publication.release, publication);
                }
            }
            all.extend(added.into_values().map(|publication| Contribution {
                release: publication.release.clone(),
                repository: name.clone(),
                sequence: publication.sequence,
                packages: publication.repositories[name].packages.clone(),
            }));
        }
        all
    }

    /// The newest publication of each release.
    pub(super) fn newest(&self) -> BTreeMap<RequestPath, Newest> {
        let mut newest: BTreeMap<RequestPath, (Sha256Digest, Arc<Publication>)> = BTreeMap::new();
        let age = |publication: &Publication| {
            let generations = publication.repositories.values().map(|it| it.generation);
            (publication.time, generations.max())
        };
        for (digest, publication) in &self.publications {
            let known = newest.get(&publication.release);
            if known.is_none_or(|(_, known)| age(known) < age(publication)) {
                let release = publication.release.clone();
                newest.insert(release, (*digest, publication.clone()));
            }
        }
        let of = |(release, (digest, publication)): (RequestPath, (_, Arc<Publication>))| {
            let was_set = |name| self.chains.get(name).is_some_and(|it| it.contains(&digest));
            let newest = Newest {
                decision: Decision::of(&publication, digest),
                complete: publication.repositories.keys().all(was_set),
                publication,
            };
            (release, newest)
        };
        newest.into_iter().map(of).collect()
    }

    /// The highest place in the order of merges, and the latest time.
    pub(super) fn latest(&self) -> (u64, i64) {
        let all = || self.publications.values();
        let sequence = all().map(|it| it.sequence).max();
        let time = all().map(|it| it.time).max();
        (sequence.unwrap_or(0), time.unwrap_or(0))
    }
}

impl<P: Platform> Control<P> {
    /// Reads the publications of `names`, and of every repository that these lead to.
    ///
    /// # Errors
    /// If one is not in the store: without it nobody knows what the repository is made of.
    pub(super) async fn history(&self, names: BTreeSet<RepositoryName>) -> Result<History> {
        let (mut history, mut left) = (History::default(), names);
        while let Some(name) = left.pop_first() {
            let Some((pointer, _)) = self.pointer(name.as_str()).await? else {
                history.chains.insert(name, Vec::new());
                continue;
            };
            let (mut chain, mut next) = (Vec::new(), Some(pointer.publication));
            while let Some(digest) = next {
                let publication = match history.publications.get(&digest) {
                    Some(known) => known.clone(),
                    None => self.publication(&name, &digest).await?,
                };
                if chain.is_empty() && publication.pointer(&name, digest).as_ref() != Some(&pointer)
                {
                    return Err(Error::Inconsistent(format!(
                        "read the pointer of {name}: it says otherwise than publication {digest}, which set it; bring it back from a copy of the artifact store"
                    )));
                }
                let Some(published) = publication.repositories.get(&name) else {
                    let message = format!("read publication {digest}: it does not know {name}");
                    return Err(Error::Inconsistent(message));
                };
                next = published.previous;
                chain.push(digest);
                let others = publication.repositories.keys();
                left.extend(
                    others
                        .filter(|it| !history.chains.contains_key(*it) && **it != name)
                        .cloned(),
                );
                history.publications.insert(digest, publication);
            }
            chain.reverse();
            history.pointers.insert(name.clone(), pointer);
            history.chains.insert(name, chain);
        }
        Ok(history)
    }

    async fn publication(
        &self,
        name: &RepositoryName,
        digest: &Sha256Digest,
    ) -> Result<Arc<Publication>> {
        let store = self.platform.store();
        let Some(bytes) = store.get(digest, MAX_DOCUMENT_BYTES).await? else {
            return Err(Error::Inconsistent(format!(
                "read how {name} came to be: publication {digest} is not in the artifact store; bring it back from a copy of the store"
            )));
        };
        let publication = serde_json::from_slice(&bytes)
            .map_err(|cause| ports::Error::corrupt(format!("read publication {digest}"), cause))?;
        Ok(Arc::new(publication))
    }
}
