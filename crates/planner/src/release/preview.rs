//! What a release changes for clients, before any of it is signed or composed.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{Note, Problem};
use pipeline_spec::{Architecture, Format, KeyId, RepositoryName};
use runner_api::Placed;

use super::content::{Version, kept};
use super::stage::touched;
use super::{Planning, ReleaseView};
use crate::view::is_built;

/// The answer for a dry run: as far as the builds are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleasePreview {
    /// By name.
    pub repositories: BTreeMap<RepositoryName, RepositoryPreview>,
    /// What a person must mend.
    pub problems: Vec<Problem>,
    /// What waits.
    pub notes: Vec<Note>,
}

/// One repository, before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryPreview {
    /// Signs it.
    pub key: KeyId,
    /// The system of its packages.
    pub format: Format,
    /// Where the real client installs from it before it is public.
    pub smoke: Vec<Architecture>,
    /// Differing packages, by name and architecture.
    pub packages: Vec<PackageDifference>,
}

/// The newest version of a package that clients see, before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageDifference {
    /// Its name.
    pub name: String,
    /// As the package says it.
    pub arch: String,
    /// Before.
    pub from: Option<String>,
    /// After; of a package that stays hidden, its own version.
    pub to: Option<String>,
    /// What that means.
    pub change: Difference,
}

/// How a package changes for clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// It was not there.
    Added,
    /// A newer version.
    Upgraded,
    /// An older version.
    Downgraded,
    /// The release brings it, and the repository keeps a newer one instead.
    Hidden,
    /// It is not there any more.
    Removed,
}

/// Compares what clients see with what they would see. Of builds that are not done nothing is placed.
pub fn preview_release(view: &ReleaseView<'_>) -> ReleasePreview {
    let mut planning = Planning::new(view);
    let mut placed: BTreeMap<RepositoryName, Vec<Placed>> = view
        .repositories
        .keys()
        .map(|name| (name.clone(), Vec::new()))
        .collect();
    let whole = view.from.iter().all(is_built);
    if whole {
        placed = planning.placed().unwrap_or(placed);
    } else if let Some(wish) = view.wish {
        for build in view.from.iter().filter(|build| is_built(build)) {
            for row in build.tasks.values() {
                planning.place_task(wish, build, row, &mut placed);
            }
        }
    }
    planning.refuse_changed_packages(&placed);
    let mut repositories = BTreeMap::new();
    for (name, own) in &placed {
        let Some(repository) = view.config.repositories.get(name) else {
            let message = format!(
                "repositories/{name}.yaml is gone while packages of this release are in it: bring it back until the release is out"
            );
            planning.plan.problem(name, message);
            continue;
        };
        let format = repository.format();
        let contributions = &view.repositories[name].contributions;
        let before = contributions.iter().flat_map(|it| it.packages.clone());
        let before = newest(format, &kept(repository, before.collect()));
        let after = newest(format, &kept(repository, planning.content(name, own)));
        let mut packages = differences(format, &before, &after, &newest(format, own));
        // What is not built yet may be what seems to be missing.
        packages.retain(|package| whole || package.change != Difference::Removed);
        let preview = RepositoryPreview {
            key: repository.key.clone(),
            format,
            smoke: touched(repository, own),
            packages,
        };
        repositories.insert(name.clone(), preview);
    }
    ReleasePreview {
        repositories,
        problems: planning.plan.problems,
        notes: planning.plan.notes,
    }
}

type Newest = BTreeMap<(String, String), String>;

/// The newest version by name and architecture.
fn newest(format: Format, packages: &[Placed]) -> Newest {
    let mut newest = Newest::new();
    for package in packages
        .iter()
        .filter_map(|it| it.artifact.package.as_ref())
    {
        let key = (package.name.clone(), package.arch.clone());
        let version = Version::parse(format, &package.version);
        let older = newest
            .get(&key)
            .is_none_or(|known| Version::parse(format, known) < version);
        if older {
            newest.insert(key, package.version.clone());
        }
    }
    newest
}

fn differences(
    format: Format,
    before: &Newest,
    after: &Newest,
    own: &Newest,
) -> Vec<PackageDifference> {
    let keys: BTreeSet<_> = before
        .keys()
        .chain(after.keys())
        .chain(own.keys())
        .collect();
    let difference = |key: &(String, String)| {
        let parse = |version: &String| Version::parse(format, version);
        let (from, mut to) = (before.get(key), after.get(key));
        let change = match (from, to) {
            (None, None) => return None,
            (None, Some(_)) => Difference::Added,
            (Some(_), None) => Difference::Removed,
            (Some(old), Some(new)) if parse(old) < parse(new) => Difference::Upgraded,
            (Some(old), Some(new)) if parse(old) > parse(new) => Difference::Downgraded,
            (Some(old), Some(_)) => {
                to = own.get(key).filter(|own| parse(own) < parse(old));
                to?;
                Difference::Hidden
            }
        };
        Some(PackageDifference {
            name: key.0.clone(),
            arch: key.1.clone(),
            from: from.cloned(),
            to: to.cloned(),
            change,
        })
    };
    keys.into_iter().filter_map(difference).collect()
}
