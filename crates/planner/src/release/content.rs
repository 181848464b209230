//! The sum of what releases added to a repository, cut to the versions that it keeps.

use std::collections::BTreeMap;

use pipeline_spec::{Format, Repository, Retention, version};
use runner_api::{Artifact, Placed};

/// What makes two files the same package for clients: file name, package name, version, architecture.
pub(super) type Identity<'a> = (&'a str, Option<(&'a str, &'a str, &'a str)>);

pub(super) fn identity(placed: &Placed) -> Identity<'_> {
    let package = placed.artifact.package.as_ref();
    let package = package.map(|it| (it.name.as_str(), it.version.as_str(), it.arch.as_str()));
    (&placed.artifact.name, package)
}

/// Whether a signer's outputs are the packages that it was given, in their order.
pub(super) fn are_same_packages(given: &[Placed], outputs: &[Artifact]) -> bool {
    given.len() == outputs.len()
        && given.iter().zip(outputs).all(|(placed, output)| {
            let given = &placed.artifact;
            given.name == output.name && given.package == output.package
        })
}

/// The newest versions that the repository keeps, sorted. A package that several releases add is there
/// once, as the first of them signed it: a signature's time is its release's.
pub(super) fn kept(repository: &Repository, mut content: Vec<Placed>) -> Vec<Placed> {
    let sort = |a: &Placed, b: &Placed| {
        (&a.artifact.package, &a.artifact.name).cmp(&(&b.artifact.package, &b.artifact.name))
    };
    content.sort_by(sort);
    content.dedup_by(|a, b| identity(a) == identity(b));
    let Retention::Newest(keep) = repository.keep else {
        return content;
    };
    let keep = keep.get() as usize;
    let mut versions: BTreeMap<(String, String), Vec<Version>> = BTreeMap::new();
    for placed in &content {
        if let Some(package) = &placed.artifact.package {
            let of = versions
                .entry((package.name.clone(), package.arch.clone()))
                .or_default();
            of.push(Version::parse(repository.format(), &package.version));
        }
    }
    for of in versions.values_mut() {
        of.sort();
        of.dedup();
        of.drain(..of.len().saturating_sub(keep));
    }
    content.retain(|placed| {
        placed.artifact.package.as_ref().is_none_or(|package| {
            let version = Version::parse(repository.format(), &package.version);
            versions[&(package.name.clone(), package.arch.clone())].contains(&version)
        })
    });
    content
}

/// A version in its system's order; one that does not parse sorts before all that do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Version {
    Unreadable(String),
    Rpm(version::Evr),
    Deb(version::DebVersion),
}

impl Version {
    pub(super) fn parse(format: Format, text: &str) -> Self {
        let parsed = match format {
            Format::Rpm => text.parse().ok().map(Self::Rpm),
            Format::Deb => text.parse().ok().map(Self::Deb),
        };
        parsed.unwrap_or_else(|| Self::Unreadable(text.to_owned()))
    }
}
