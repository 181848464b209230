//! The `repodata` directory: primary, filelists and other, each as zstd and as gzip, and `repomd.xml`.
//!
//! The packages, sorted by location, are cut into blocks where a package's digest says so. A block is rendered and
//! compressed on its own, once, and kept in a [`BlockCache`]; a file is the concatenation of its blocks. One package
//! more makes one block new, and the result is byte for byte what it would be from scratch. What stays
//! proportional to the repository is digesting the files.

mod blocks;
mod parallel;
mod repomd;

use std::borrow::Cow;
use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use crate::cache::{BlockCache, PARTS};
use crate::{Error, Fragment, Sha256};

/// One package of a repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Member {
    /// Path below the repository's root: `Packages/h/hello-1-1.noarch.rpm`. Sort order of the repository.
    pub location: String,
    /// Digest of the package file.
    pub sha256: Sha256,
}

/// Gives the fragment of a package when its block is not in the cache. Called from several threads.
pub trait FragmentSource: Sync {
    /// The fragment of the package file with this digest.
    ///
    /// # Errors
    /// Whatever keeps it from having one; the publish fails with it.
    fn fragment(
        &self,
        sha256: &Sha256,
    ) -> Result<Cow<'_, Fragment>, Box<dyn std::error::Error + Send + Sync>>;
}

impl FragmentSource for std::collections::HashMap<Sha256, Fragment> {
    fn fragment(
        &self,
        sha256: &Sha256,
    ) -> Result<Cow<'_, Fragment>, Box<dyn std::error::Error + Send + Sync>> {
        let found = self.get(sha256).ok_or("it was never read")?;
        Ok(Cow::Borrowed(found))
    }
}

/// Which form `repomd.xml` calls `primary`, `filelists` and `other`.
///
/// Both are always written. A type may be listed only once (librepo keeps either the first or the last of two), so
/// the other form is listed as `primary_gz` or `primary_zst`, the way zchunk files are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// For dnf and zypper since 2019.
    #[default]
    Zstd,
    /// For yum 3 (Enterprise Linux 7) and createrepo_c before 1.0.
    Gzip,
}

/// How to write a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Revision and timestamps of `repomd.xml`: the time of the commit that is published, in seconds since 1970.
    /// Clients take a higher one for newer.
    pub revision: u64,
    /// What clients read.
    pub form: Form,
    /// How many threads may compress and digest.
    pub threads: NonZeroUsize,
}

/// A repository's metadata, ready to be put in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repodata {
    /// Paths below the repository's root and contents. Names carry digests, so they never collide with those of another
    /// revision: put them in place first.
    pub files: Vec<(String, Vec<u8>)>,
    /// Content of [`REPOMD`]: sign it, then put it in place last.
    pub repomd: Vec<u8>,
    /// Keys of all blocks in use, for pruning a cache.
    pub blocks: Vec<Sha256>,
    /// How many of them were not in the cache.
    pub new_blocks: usize,
}

/// Path of the file that names all others.
pub const REPOMD: &str = "repodata/repomd.xml";
/// Path of its detached armored signature.
pub const REPOMD_SIGNATURE: &str = "repodata/repomd.xml.asc";

/// Names of the files, in the order in which blocks hold them.
pub(crate) const KINDS: [&str; PARTS] = ["primary", "filelists", "other"];

/// Writes the metadata of a repository of `members`, in any order.
///
/// # Errors
/// [`Error::Location`], [`Error::Duplicate`] for members that cannot be published; [`Error::Fragment`] if one has no metadata.
pub fn write(
    mut members: Vec<Member>,
    fragments: &dyn FragmentSource,
    cache: &dyn BlockCache,
    options: Options,
) -> Result<Repodata, Error> {
    members.sort_unstable();
    check(&members)?;
    let blocks = blocks::all(&members, fragments, cache, options.threads)?;
    let made = blocks::concatenate(&blocks, members.len(), options.threads);
    let repomd = repomd::render(&made, options);
    Ok(Repodata {
        files: made
            .into_iter()
            .flat_map(repomd::Made::into_files)
            .collect(),
        repomd: repomd.into_bytes(),
        new_blocks: blocks.iter().filter(|block| block.is_new).count(),
        blocks: blocks.into_iter().map(|block| block.key).collect(),
    })
}

fn check(sorted: &[Member]) -> Result<(), Error> {
    for member in sorted {
        if !is_publishable(&member.location) {
            return Err(Error::Location {
                location: member.location.clone(),
            });
        }
    }
    let refuse = |what, [first, second]: [&Member; 2]| {
        Err(Error::Duplicate {
            what,
            first: first.location.clone(),
            second: second.location.clone(),
        })
    };
    if let Some(pair) = sorted
        .windows(2)
        .find(|pair| pair[0].location == pair[1].location)
    {
        return refuse("location", [&pair[0], &pair[1]]);
    }
    let mut by_digest: Vec<&Member> = sorted.iter().collect();
    by_digest.sort_unstable_by_key(|member| (&member.sha256, &member.location));
    // Clients join primary and filelists by the digest.
    if let Some(pair) = by_digest
        .windows(2)
        .find(|pair| pair[0].sha256 == pair[1].sha256)
    {
        return refuse("package", [pair[0], pair[1]]);
    }
    Ok(())
}

/// Whether clients look the path up below the repository, and nowhere else.
pub(crate) fn is_publishable(location: &str) -> bool {
    let parts = || location.split('/');
    !location.chars().any(char::is_control) && parts().all(|part| !matches!(part, "" | "." | ".."))
}
