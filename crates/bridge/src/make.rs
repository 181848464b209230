//! Making the bridge, step by step.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use openpgp::SigningKey;

use crate::apt::Apt;
use crate::cache::{self, Cache, Converted};
use crate::plan::{BASE, Provide, plan};
use crate::{Error, PackagePlan, convert, data, key, repository};

/// What to make.
#[derive(Debug, Clone)]
pub struct Request {
    /// The directory of the bridge. Made if it is not there; everything in it belongs to the bridge.
    pub out: PathBuf,
    /// An armored, unprotected OpenPGP private key; without one, a key is made and kept in `keys/`.
    pub key: Option<PathBuf>,
    /// Packages converted at the same time. Each takes up to 100 MB of memory.
    pub jobs: NonZeroUsize,
    /// Debian packages to add to the seed list, with what they depend on.
    pub include: Vec<String>,
    /// Whether an existing bridge is good enough.
    pub resolve: Resolve,
}

/// Whether the mirror is asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolve {
    /// A finished bridge for the same request stays as it is, whatever the mirror has by now.
    Once,
    /// The mirror's present versions are taken; packages that did not change are not converted again.
    Again,
}

/// A finished bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridge {
    /// The repository: RPMs and `repodata/`.
    pub repository: PathBuf,
    /// The public key, armored.
    pub gpgkey: PathBuf,
    /// The list of packages to install first, and the build root's, as YAML.
    pub description: PathBuf,
    /// How many RPMs there are.
    pub packages: usize,
}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was there already.
    Unchanged(Bridge),
    /// It was made, or made anew.
    Made {
        /// The result.
        bridge: Bridge,
        /// RPMs converted in this run; the others were there.
        converted: usize,
    },
}

impl Outcome {
    /// The bridge, however it came about.
    #[must_use]
    pub fn bridge(&self) -> &Bridge {
        match self {
            Self::Unchanged(bridge) | Self::Made { bridge, .. } => bridge,
        }
    }
}

/// Makes the bridge. `tell` hears about progress, one line at a time, from several threads. Runs over the same directory
/// wait for each other.
///
/// # Errors
/// [`Error`]; what was finished before stays, and the next run uses it.
pub fn make(request: &Request, tell: &(dyn Fn(&str) + Sync)) -> Result<Outcome, Error> {
    let out = &request.out;
    std::fs::create_dir_all(out).map_err(Error::io("create", out))?;
    let _lock = lock(&out.join(".lock"))?;
    let signer = key::load(request.key.as_deref(), &out.join("keys"))?;
    let include: BTreeSet<String> = request.include.iter().cloned().collect();
    let request_key = cache::request_key(&signer, &include);
    if request.resolve == Resolve::Once
        && let Some(bridge) = finished(out, &request_key)
    {
        return Ok(Outcome::Unchanged(bridge));
    }
    let done = out.join(".state/done");
    remove_if_there(&done)?;

    let gpgkey = key::publish(&signer, &out.join("keys"))?;
    let apt = Apt::new(out.join("apt"), Path::new("/etc/apt"))?;
    tell("fetching the package lists");
    apt.update()?;
    let seeds: Vec<String> = data::seeds()
        .into_iter()
        .map(str::to_owned)
        .chain(include)
        .collect();
    let (plans, base) = plan(&apt.closure(&seeds)?)?;

    let workshop = Workshop {
        cache: Cache::new(out.join("x86_64"), out.join(".state/rpm"))?,
        debs: apt.debs(),
        signer,
        jobs: request.jobs,
        tell,
    };
    let todo: Vec<&PackagePlan> = plans
        .iter()
        .filter(|plan| workshop.cached(plan).is_none())
        .collect();
    apt.fetch(&todo)?;
    let converted = todo.len();
    tell(&format!(
        "converting {converted} of {} packages",
        plans.len()
    ));
    let made = workshop.run(&plans, &base)?;
    workshop.cache.keep_only(&made.files)?;

    tell("indexing");
    repository::index(workshop.cache.packages(), made.newest, &workshop.signer)?;
    let description = out.join("bridge.yaml");
    let text = repository::description(made.files.len(), &made.notes);
    std::fs::write(&description, text).map_err(Error::io("write", &description))?;
    let bridge = Bridge {
        repository: out.join("x86_64"),
        gpgkey,
        description,
        packages: made.files.len(),
    };
    let note = format!(
        "{request_key} {} {}\n",
        repomd_digest(out)?,
        bridge.packages
    );
    std::fs::write(&done, note).map_err(Error::io("write", &done))?;
    Ok(Outcome::Made { bridge, converted })
}

/// The bridge in `out`, if it was finished for this request and its index is the one that was written then.
fn finished(out: &Path, request_key: &str) -> Option<Bridge> {
    let note = std::fs::read_to_string(out.join(".state/done")).ok()?;
    let mut words = note.split_whitespace();
    let (key, digest, packages) = (words.next()?, words.next()?, words.next()?);
    let same = key == request_key && repomd_digest(out).ok()? == digest;
    let bridge = Bridge {
        repository: out.join("x86_64"),
        gpgkey: out.join("keys/bridge-12.asc"),
        description: out.join("bridge.yaml"),
        packages: packages.parse().ok()?,
    };
    (same && bridge.gpgkey.exists() && bridge.description.exists()).then_some(bridge)
}

fn repomd_digest(out: &Path) -> Result<String, Error> {
    let path = out.join("x86_64/repodata/repomd.xml");
    let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
    Ok(cache::sha256(&bytes))
}

fn lock(path: &Path) -> Result<std::fs::File, Error> {
    let file = std::fs::File::create(path).map_err(Error::io("create", path))?;
    file.lock().map_err(Error::io("lock", path))?;
    Ok(file)
}

fn remove_if_there(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove", path)(source))
        }
        _ => Ok(()),
    }
}

/// What converting needs.
struct Workshop<'a> {
    cache: Cache,
    debs: PathBuf,
    signer: SigningKey,
    jobs: NonZeroUsize,
    tell: &'a (dyn Fn(&str) + Sync),
}

/// What converting gave.
#[derive(Default)]
struct Made {
    /// Names of the RPM files.
    files: BTreeSet<String>,
    /// Newest time of a package, seconds since 1970.
    newest: u32,
    notes: Vec<String>,
}

impl Workshop<'_> {
    fn cached(&self, plan: &PackagePlan) -> Option<Converted> {
        self.cache
            .get(&file_name(plan), &cache::key(&self.signer, plan))
    }

    /// Converts what is not there yet, the largest first, and tells of every fiftieth package.
    fn run(&self, plans: &[PackagePlan], base: &[Provide]) -> Result<Made, Error> {
        let mut made = self.base(base)?;
        let mut queue: Vec<&PackagePlan> = plans.iter().collect();
        queue.sort_by_key(|plan| {
            std::cmp::Reverse(
                std::fs::metadata(self.debs.join(&plan.deb)).map_or(0, |file| file.len()),
            )
        });
        let next = AtomicUsize::new(0);
        let finished: Mutex<BTreeMap<String, Result<Converted, Error>>> = Mutex::default();
        let work = || {
            while let Some(plan) = queue.get(next.fetch_add(1, Ordering::Relaxed)) {
                let result = self.one(plan);
                let stop = result.is_err();
                let mut finished = finished
                    .lock()
                    .expect("no worker panics while it holds the lock");
                finished.insert(file_name(plan), result);
                if finished.len().is_multiple_of(50) {
                    (self.tell)(&format!("converted {} of {}", finished.len(), queue.len()));
                }
                if stop {
                    next.store(queue.len(), Ordering::Relaxed);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.get() {
                scope.spawn(work);
            }
        });
        for (file, result) in finished.into_inner().expect("the workers are done") {
            let Converted { time, notes } = result?;
            made.newest = made.newest.max(time);
            made.files.insert(file);
            made.notes.extend(notes);
        }
        Ok(made)
    }

    fn one(&self, plan: &PackagePlan) -> Result<Converted, Error> {
        if let Some(known) = self.cached(plan) {
            return Ok(known);
        }
        self.convert(plan).map_err(|source| Error::Convert {
            package: plan.name.clone(),
            source: Box::new(source),
        })
    }

    fn convert(&self, plan: &PackagePlan) -> Result<Converted, Error> {
        let deb = self.debs.join(&plan.deb);
        let bytes = std::fs::read(&deb).map_err(Error::io("read", &deb))?;
        let found = cache::sha256(&bytes);
        if found != plan.sha256 {
            remove_if_there(&deb)?;
            let reason = format!(
                "its SHA-256 is {found}, the signed index says {}; it is removed, run this again",
                plan.sha256
            );
            return Err(Error::malformed(deb.display().to_string(), reason));
        }
        let (package, known) = convert::convert(plan, &deb, &self.signer)?;
        self.cache.put(
            &file_name(plan),
            &cache::key(&self.signer, plan),
            &package,
            &known,
        )?;
        Ok(known)
    }

    fn base(&self, provides: &[Provide]) -> Result<Made, Error> {
        let file = format!(
            "{}-{}-{}.noarch.rpm",
            BASE,
            convert::BASE_VERSION,
            convert::BASE_RELEASE
        );
        let key = cache::key(&self.signer, &provides);
        let known = match self.cache.get(&file, &key) {
            Some(known) => known,
            None => {
                let (package, known) = convert::base(provides, &self.signer)?;
                self.cache.put(&file, &key, &package, &known)?;
                known
            }
        };
        Ok(Made {
            files: BTreeSet::from([file]),
            newest: known.time,
            notes: known.notes,
        })
    }
}

fn file_name(plan: &PackagePlan) -> String {
    format!(
        "{}-{}-{}.{}.rpm",
        plan.name,
        plan.evr.version,
        plan.evr.release(),
        plan.arch
    )
}
