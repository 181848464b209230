//! What is on `main` at any moment, and what must come of it in the end.
//!
//! The end depends on the newest commit alone, whatever was seen in between: what a release takes is
//! never changed once a release or another build names it, unless it cannot have been published.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use chaos::upstream::{PACKAGES, Platform, files, is_broken};

/// Repositories: name, platform, and how many versions of a package stay; 0: all.
pub(crate) const REPOSITORIES: [(&str, Platform, usize); 3] = [
    ("base", Platform::El, 0),
    ("extra", Platform::El, 2),
    ("archive", Platform::Deb, 1),
];

/// A build request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Build {
    pub(crate) platform: Platform,
    /// Indexes of [`PACKAGES`], each with a version.
    pub(crate) packages: BTreeMap<usize, u32>,
    pub(crate) with: Vec<String>,
}

impl Build {
    pub(crate) fn is_broken(&self) -> bool {
        self.packages.values().copied().any(is_broken)
    }
}

/// A release request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Release {
    pub(crate) from: Vec<String>,
    pub(crate) to: Vec<&'static str>,
}

/// How a request must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Succeeded,
    Failed,
    Published,
    /// Open, since a build that it names has failed: only a person can go on.
    Waits,
}

impl End {
    /// The phase in the status file.
    pub(crate) fn phase(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Published => "published",
            Self::Waits => "open",
        }
    }
}

/// All requests of a commit, by path.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wishes {
    pub(crate) builds: BTreeMap<String, Build>,
    pub(crate) releases: BTreeMap<String, Release>,
}

impl Wishes {
    /// Forgets a release whose packages no other one brings. `false`: there is none.
    pub(crate) fn without_a_published_release(&mut self) -> bool {
        let content = |wishes: &Self| REPOSITORIES.map(|(name, ..)| wishes.content(name));
        let before = content(self);
        for (path, release) in self.releases.clone() {
            self.releases.remove(&path);
            if content(self) != before {
                return true;
            }
            self.releases.insert(path, release);
        }
        false
    }

    /// How every request must end.
    pub(crate) fn ends(&self) -> BTreeMap<&str, End> {
        let builds = self.builds.iter().map(|(path, build)| {
            let end = match build.is_broken() {
                true => End::Failed,
                false => End::Succeeded,
            };
            (path.as_str(), end)
        });
        let releases = self.releases.iter().map(|(path, release)| {
            let waits = release
                .from
                .iter()
                .any(|path| self.builds[path].is_broken());
            let end = if waits { End::Waits } else { End::Published };
            (path.as_str(), end)
        });
        builds.chain(releases).collect()
    }

    /// The names of all package files that a repository must have: the sum of its releases.
    pub(crate) fn content(&self, repository: &str) -> BTreeSet<String> {
        let (_, platform, keep) = REPOSITORIES
            .into_iter()
            .find(|(name, ..)| *name == repository)
            .expect("one of ours");
        let ends = self.ends();
        let mut versions: BTreeMap<String, BTreeMap<u32, Vec<String>>> = BTreeMap::new();
        for (path, release) in &self.releases {
            if ends[path.as_str()] != End::Published || !release.to.contains(&repository) {
                continue;
            }
            let builds = release.from.iter().map(|path| &self.builds[path]);
            for build in builds.filter(|build| build.platform == platform) {
                for (index, version) in &build.packages {
                    for (key, names) in files(platform, PACKAGES[*index], *version) {
                        versions.entry(key).or_default().insert(*version, names);
                    }
                }
            }
        }
        let kept = |versions: BTreeMap<u32, Vec<String>>| {
            let skip = match keep {
                0 => 0,
                keep => versions.len().saturating_sub(keep),
            };
            versions.into_values().skip(skip).flatten()
        };
        versions.into_values().flat_map(kept).collect()
    }
}

/// The file of a build request; `sources` is the folder of the packages' repositories.
pub(crate) fn build_text(build: &Build, sources: &str) -> String {
    let mut text = format!(
        "reason: chaos\nplatforms:\n  {}:\npackages:\n",
        build.platform.name()
    );
    for (index, version) in &build.packages {
        let name = PACKAGES[*index].name;
        let _ = writeln!(
            text,
            "  - source: {{git: \"file://{sources}/{name}.git\", ref: v{version}}}"
        );
    }
    if !build.with.is_empty() {
        let _ = writeln!(text, "with: [{}]", build.with.join(", "));
    }
    text
}

/// The file of a release request.
pub(crate) fn release_text(release: &Release) -> String {
    format!(
        "from: [{}]\nto: [{}]\n",
        release.from.join(", "),
        release.to.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(packages: &[(usize, u32)]) -> Build {
        Build {
            platform: Platform::El,
            packages: packages.iter().copied().collect(),
            with: Vec::new(),
        }
    }

    #[test]
    fn a_repository_is_the_sum_of_its_releases_cut_to_what_it_keeps() {
        let mut wishes = Wishes::default();
        for version in [1, 2, 3, 7] {
            let path = format!("b{version}");
            wishes.builds.insert(path.clone(), build(&[(1, version)]));
            let release = Release {
                from: vec![path],
                to: vec!["base", "extra"],
            };
            wishes.releases.insert(format!("r{version}"), release);
        }
        let check = |repository: &str, expect: &[&str]| {
            let content = wishes.content(repository);
            let binary: Vec<&String> = content
                .iter()
                .filter(|f| f.ends_with("x86_64.rpm"))
                .collect();
            assert_eq!(binary, expect, "{repository}");
        };
        let [one, two, three] = [1, 2, 3].map(|version| format!("tool-{version}-1.x86_64.rpm"));
        check("base", &[&one, &two, &three]);
        check("extra", &[&two, &three]);
        check("archive", &[]);
        assert_eq!(wishes.ends()["r7"], End::Waits);
        assert_eq!(wishes.ends()["b7"], End::Failed);
    }
}
