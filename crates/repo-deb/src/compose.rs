//! Makes a suite out of packages: what files it has and what is in them. Nothing is written or signed here.
//!
//! Caller: the compose role, which knows the exact list of packages (what is kept and what replaced is decided by
//! the release request). Same suite, packages and date in: same bytes out, in whatever order the packages came and
//! whatever was cached. Indexes are `.gz` and `.xz`, which every apt reads; the plain ones are listed in `Release`,
//! as apt checks what it unpacked against them, but not part of the files: apt never fetches them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::blocks::{self, BlockCache, BlockKey, Found, GzipIndex, KeyBuilder, XzIndex};
use crate::digest::Sha256Digest;
use crate::fragment::{self, Entry, Fragment, Kind, PoolFile};
use crate::names::{Architecture, Component, PackageName, PackageVersion};
use crate::release::{self, Indexes, Suite};

/// Why a suite cannot be made. Reads after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A package is placed in a component that the suite does not have.
    #[error(
        "place {package} in the index: suite {suite} has no component `{component}`; add it to the repository's components"
    )]
    Component {
        /// The package.
        package: PackageName,
        /// The suite's codename.
        suite: String,
        /// The component asked for.
        component: Component,
    },
    /// A package is for an architecture that the suite does not have.
    #[error(
        "place {package} in the index: suite {suite} has no architecture `{architecture}`; add it to the repository's architectures"
    )]
    Architecture {
        /// The package.
        package: PackageName,
        /// The suite's codename.
        suite: String,
        /// The package's architecture.
        architecture: Architecture,
    },
    /// Two different files are the same version of the same package.
    #[error(
        "place {package} {version} in the index: two different builds of it are listed, {one} and {other}; keep one"
    )]
    SameVersion {
        /// The package.
        package: PackageName,
        /// The version.
        version: PackageVersion,
        /// Digest of one file.
        one: Sha256Digest,
        /// Digest of the other.
        other: Sha256Digest,
    },
    /// Two different files have the same path in the pool.
    #[error("place {path}: two different files have this path, {one} and {other}; keep one")]
    SamePath {
        /// The path.
        path: String,
        /// Digest of one file.
        one: Sha256Digest,
        /// Digest of the other.
        other: Sha256Digest,
    },
    /// A fragment could not be had.
    #[error("get the index entry of {package} {version}")]
    Fragment {
        /// The package.
        package: PackageName,
        /// The version.
        version: PackageVersion,
        /// The store's error.
        #[source]
        source: StoreError,
    },
    /// A fragment does not fit its package.
    #[error(transparent)]
    Unusable(#[from] fragment::Error),
    /// The date is beyond the year 9999.
    #[error("write Release: there is no date {0} seconds after 1970")]
    Date(u64),
}

/// An error of whatever keeps the fragments.
pub type StoreError = Box<dyn std::error::Error + Send + Sync>;

/// Where fragments come from. Asked only for packages whose block is not cached.
pub trait Fragments {
    /// The fragment of a package, known by [`Entry::digest`].
    ///
    /// # Errors
    /// If there is none or it cannot be read.
    fn fragment(&self, entry: &Entry) -> Result<Arc<Fragment>, StoreError>;
}

impl<F: Fn(&Entry) -> Result<Arc<Fragment>, StoreError>> Fragments for F {
    fn fragment(&self, entry: &Entry) -> Result<Arc<Fragment>, StoreError> {
        self(entry)
    }
}

/// A package and the component it goes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// The component.
    pub component: Component,
    /// The package.
    pub entry: Entry,
}

/// A suite, complete but for its signatures.
#[derive(Debug, Clone)]
pub struct Composition {
    /// `dists/bookworm`.
    pub directory: String,
    /// The bytes of `Release`, for [`crate::sign_release`].
    pub release: Vec<u8>,
    /// Every file of the suite by path below the repository's root, sorted; `Release` among them.
    pub files: Vec<File>,
    /// The blocks that the indexes are made of: what a cache should keep.
    pub blocks: Vec<BlockKey>,
}

/// One file of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Path below the repository's root.
    pub path: String,
    /// What is in it.
    pub content: Content,
}

/// What is in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Bytes made here. The by-hash name of an index shares them with the index.
    Bytes(Arc<[u8]>),
    /// A package's file, which the store has.
    Stored {
        /// Its digest.
        sha256: Sha256Digest,
        /// Bytes.
        size: u64,
    },
}

/// Makes a suite. `date` is the release commit's, in seconds since 1970.
///
/// # Errors
/// See [`Error`]; all but [`Error::Fragment`] are for people to mend.
pub fn compose(
    suite: &Suite,
    packages: &[Placed],
    fragments: &dyn Fragments,
    cache: &dyn BlockCache,
    date: u64,
) -> Result<Composition, Error> {
    let mut sorted: Vec<&Placed> = packages.iter().collect();
    // Callers mostly hand in what was sorted before, which the stable sort is quick with.
    sorted.sort_by(|a, b| order(a).cmp(&order(b)));
    sorted.dedup();

    let directory = suite.directory();
    let mut files = pool_files(&sorted)?;
    let mut indexes = Indexes::new();
    let mut blocks = Vec::new();
    for (path, members) in by_index(suite, &sorted)? {
        refuse_same_version(&members)?;
        let index = build_index(&members, fragments, cache, &mut blocks)?;
        indexes.insert(path.clone(), index.plain);
        for (suffix, bytes) in [("gz", index.gz), ("xz", index.xz)] {
            let sha256 = Sha256Digest::of(&bytes);
            indexes.insert(format!("{path}.{suffix}"), (bytes.len() as u64, sha256));
            let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
            files.push(File {
                path: format!("{directory}/{parent}/by-hash/SHA256/{sha256}"),
                content: Content::Bytes(Arc::clone(&bytes)),
            });
            files.push(File {
                path: format!("{directory}/{path}.{suffix}"),
                content: Content::Bytes(bytes),
            });
        }
    }
    let release = release::write(suite, &indexes, date)
        .map_err(|_| Error::Date(date))?
        .into_bytes();
    files.push(File {
        path: format!("{directory}/Release"),
        content: Content::Bytes(release.as_slice().into()),
    });
    files.sort_by(|a, b| a.path.cmp(&b.path));
    // Empty indexes of one component have one by-hash name.
    files.dedup();
    Ok(Composition {
        directory,
        release,
        files,
        blocks,
    })
}

fn order(placed: &Placed) -> impl Ord + '_ {
    let Placed { component, entry } = placed;
    (
        &entry.package,
        &entry.version,
        &entry.architecture,
        entry.kind,
        entry.digest(),
        component,
    )
}

fn pool_files(sorted: &[&Placed]) -> Result<Vec<File>, Error> {
    let stored = |(path, file): (String, &PoolFile)| File {
        path,
        content: Content::Stored {
            sha256: file.sha256,
            size: file.size,
        },
    };
    let mut files: Vec<File> = sorted
        .iter()
        .flat_map(|placed| placed.entry.pool_files(&placed.component).map(stored))
        .collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    // Source packages share their upstream archive from one Debian revision to the next.
    files.dedup();
    for pair in files.windows(2) {
        if let [a, b] = pair
            && a.path == b.path
            && let (Content::Stored { sha256: one, .. }, Content::Stored { sha256: other, .. }) =
                (&a.content, &b.content)
        {
            return Err(Error::SamePath {
                path: a.path.clone(),
                one: *one,
                other: *other,
            });
        }
    }
    Ok(files)
}

type ByIndex<'a> = BTreeMap<String, Vec<&'a Placed>>;

/// The packages of each index, by the index's path below the suite's directory. Packages and Sources are there for
/// every component and architecture, if empty; the installer's only where there are packages for it.
fn by_index<'a>(suite: &Suite, sorted: &[&'a Placed]) -> Result<ByIndex<'a>, Error> {
    let mut indexes = ByIndex::new();
    let path = |component: &Component, kind: Kind, architecture: &Architecture| match kind {
        Kind::Source => format!("{component}/source/Sources"),
        Kind::Deb => format!("{component}/binary-{architecture}/Packages"),
        Kind::Udeb => format!("{component}/debian-installer/binary-{architecture}/Packages"),
    };
    for component in &suite.components {
        indexes.insert(format!("{component}/source/Sources"), Vec::new());
        for architecture in &suite.architectures {
            indexes.insert(path(component, Kind::Deb, architecture), Vec::new());
        }
    }
    for &placed in sorted {
        let Placed { component, entry } = placed;
        if !suite.components.contains(component) {
            return Err(Error::Component {
                package: entry.package.clone(),
                suite: suite.codename.to_string(),
                component: component.clone(),
            });
        }
        let own = std::slice::from_ref(&entry.architecture);
        let architectures = match entry.kind {
            Kind::Source => own,
            Kind::Deb | Kind::Udeb if entry.architecture.is_all() => &suite.architectures,
            Kind::Deb | Kind::Udeb if suite.architectures.contains(&entry.architecture) => own,
            Kind::Deb | Kind::Udeb => {
                return Err(Error::Architecture {
                    package: entry.package.clone(),
                    suite: suite.codename.to_string(),
                    architecture: entry.architecture.clone(),
                });
            }
        };
        for architecture in architectures {
            indexes
                .entry(path(component, entry.kind, architecture))
                .or_default()
                .push(placed);
        }
    }
    Ok(indexes)
}

/// Clients could not tell two builds of one version apart, and would take either.
fn refuse_same_version(members: &[&Placed]) -> Result<(), Error> {
    for pair in members.windows(2) {
        if let [Placed { entry: a, .. }, Placed { entry: b, .. }] = pair
            && (&a.package, &a.version, &a.architecture)
                == (&b.package, &b.version, &b.architecture)
        {
            return Err(Error::SameVersion {
                package: a.package.clone(),
                version: a.version.clone(),
                one: *a.digest(),
                other: *b.digest(),
            });
        }
    }
    Ok(())
}

struct Index {
    plain: (u64, Sha256Digest),
    gz: Arc<[u8]>,
    xz: Arc<[u8]>,
}

fn build_index(
    members: &[&Placed],
    fragments: &dyn Fragments,
    cache: &dyn BlockCache,
    keys: &mut Vec<BlockKey>,
) -> Result<Index, Error> {
    let mut rest = members;
    let lengths = blocks::cut(members.iter().map(|placed| placed.entry.digest()));
    let runs = lengths.into_iter().map(|length| {
        let (run, after) = rest.split_at(length);
        rest = after;
        let mut key = KeyBuilder::new();
        for Placed { component, entry } in run {
            key.package(entry.digest(), &entry.place(component));
        }
        (run, key.finish())
    });
    let look_up = |(run, key): &(&[&Placed], BlockKey)| match cache.get(key) {
        Some(block) => Ok::<_, Error>(Found::Whole(block)),
        None => Ok(Found::Text(render(run, fragments)?)),
    };
    let (mut hasher, mut size) = (Sha256::new(), 0);
    let (mut gz, mut xz) = (GzipIndex::new(), XzIndex::new());
    blocks::in_order(runs, look_up, |(_, key), block, is_new| {
        if is_new {
            cache.put(&key, block);
        }
        hasher.update(block.text());
        size += block.text().len() as u64;
        gz.push(block);
        xz.push(block);
        keys.push(key);
    })?;
    Ok(Index {
        plain: (size, <[u8; 32]>::from(hasher.finalize()).into()),
        gz: gz.finish().into(),
        xz: xz.finish().into(),
    })
}

fn render(run: &[&Placed], fragments: &dyn Fragments) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    for Placed { component, entry } in run {
        let fragment = fragments
            .fragment(entry)
            .map_err(|source| Error::Fragment {
                package: entry.package.clone(),
                version: entry.version.clone(),
                source,
            })?;
        fragment.check(entry)?;
        text.extend_from_slice(fragment.stanza.as_bytes());
        text.extend_from_slice(entry.place(component).as_bytes());
        text.push(b'\n');
    }
    Ok(text)
}
