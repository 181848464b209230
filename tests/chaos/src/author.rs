//! What people write: builds, releases, edits, reverts, and a policy that nobody can read.

use std::collections::BTreeSet;

use chaos::upstream::{PACKAGES, Platform, is_broken};
use fastrand::Rng;

use crate::schedule::Deed;
use crate::wishes::{Build, REPOSITORIES, Release, Wishes, build_text, release_text};

/// Recent requests that people are still at.
const RECENT: usize = 8;

/// All people in one.
pub(crate) struct Author<'s> {
    rng: Rng,
    sources: &'s str,
    now: Wishes,
    removed: Wishes,
    /// Builds that something names: see [`crate::wishes`].
    frozen: BTreeSet<String>,
    version: u32,
    serial: u32,
    /// The request that was written last: the only one that is surely still open.
    last: String,
    /// The policy cannot be read, until it is mended.
    broken: bool,
}

impl<'s> Author<'s> {
    pub(crate) fn new(rng: Rng, sources: &'s str) -> Self {
        Self {
            rng,
            sources,
            now: Wishes::default(),
            removed: Wishes::default(),
            frozen: BTreeSet::new(),
            version: 0,
            serial: 0,
            last: "builds/2026/11/none.yaml".to_owned(),
            broken: false,
        }
    }

    /// The next deed.
    pub(crate) fn act(&mut self) -> Deed {
        if self.broken && self.rng.bool() {
            return self.mend_policy();
        }
        match self.rng.u32(..100) {
            0..34 => self.new_build(),
            34..44 => self.edit_build(),
            44..48 => self.remove_build(),
            48..50 => self.bring_back_build(),
            50..70 => self.new_release(),
            70..75 => self.edit_release(),
            75..81 => self.remove_release(),
            81..84 => self.bring_back_release(),
            84..86 => self.break_policy(),
            86..93 => Deed::Cancel(self.last.clone()),
            _ => Deed::Retry(self.any_request()),
        }
    }

    /// The last deed, where one is needed; what main has then, and the last version of a package.
    pub(crate) fn end(mut self) -> (Option<Deed>, Wishes, u32) {
        let last = self.broken.then(|| self.mend_policy());
        (last, self.now, self.version)
    }

    /// One of the newest.
    fn recent(&mut self, paths: &[String]) -> Option<String> {
        let skip = paths.len().saturating_sub(RECENT);
        let count = paths.len() - skip;
        (count > 0).then(|| paths[skip + self.rng.usize(..count)].clone())
    }

    fn any_request(&mut self) -> String {
        let builds: Vec<String> = self.now.builds.keys().cloned().collect();
        let releases: Vec<String> = self.now.releases.keys().cloned().collect();
        let paths = if self.rng.bool() { builds } else { releases };
        self.recent(&paths)
            .unwrap_or_else(|| "builds/2026/11/none.yaml".to_owned())
    }

    fn path(&mut self, folder: &str) -> String {
        self.serial += 1;
        // Names in order of time, so that the newest are the last.
        format!("{folder}/2026/11/{}{:04}.yaml", &folder[..1], self.serial)
    }

    /// The next version; `sound`: one that compiles.
    fn next_version(&mut self, sound: Sound) -> u32 {
        self.version += 1;
        while sound == Sound::Yes && is_broken(self.version) {
            self.version += 1;
        }
        self.version
    }

    fn new_build(&mut self) -> Deed {
        let platform = match self.rng.u32(..5) {
            0 | 1 => Platform::Deb,
            _ => Platform::El,
        };
        let version = self.next_version(Sound::Perhaps);
        let count = self.rng.usize(1..4);
        let packages = self.rng.choose_multiple(0..PACKAGES.len(), count);
        let sound: Vec<String> = self
            .now
            .builds
            .iter()
            .filter(|(_, build)| build.platform == platform && !build.is_broken())
            .map(|(path, _)| path.clone())
            .collect();
        let linked = match self.rng.u32(..8) {
            0 => self.recent(&sound),
            _ => None,
        };
        let with: Vec<String> = linked.into_iter().collect();
        self.frozen.extend(with.iter().cloned());
        let build = Build {
            platform,
            packages: packages.into_iter().map(|index| (index, version)).collect(),
            with,
        };
        let path = self.path("builds");
        self.write_build(path, build, "Build")
    }

    fn edit_build(&mut self) -> Deed {
        let frozen = &self.frozen;
        let free: Vec<String> = self
            .now
            .builds
            .iter()
            .filter(|(path, build)| !frozen.contains(*path) || build.is_broken())
            .map(|(path, _)| path.clone())
            .collect();
        let Some(path) = self.recent(&free) else {
            return self.new_build();
        };
        let mut build = self.now.builds[&path].clone();
        let version = self.next_version(Sound::Yes);
        let was_broken = build.is_broken();
        for old in build.packages.values_mut() {
            if was_broken || self.rng.bool() {
                *old = version;
            }
        }
        self.write_build(path, build, "Edit")
    }

    fn write_build(&mut self, path: String, build: Build, verb: &str) -> Deed {
        let text = build_text(&build, self.sources);
        self.last.clone_from(&path);
        self.now.builds.insert(path.clone(), build);
        write(verb, path, Some(text))
    }

    fn remove_build(&mut self) -> Deed {
        let frozen = &self.frozen;
        let free: Vec<String> = self
            .now
            .builds
            .keys()
            .filter(|path| !frozen.contains(*path))
            .cloned()
            .collect();
        let Some(path) = self.recent(&free) else {
            return self.new_build();
        };
        let build = self.now.builds.remove(&path).expect("just seen");
        self.removed.builds.insert(path.clone(), build);
        write("Remove", path, None)
    }

    fn bring_back_build(&mut self) -> Deed {
        match self.removed.builds.pop_last() {
            Some((path, build)) => self.write_build(path, build, "Bring back"),
            None => self.new_build(),
        }
    }

    fn new_release(&mut self) -> Deed {
        let builds: Vec<String> = self.now.builds.keys().cloned().collect();
        let count = self.rng.usize(1..4);
        let mut from = BTreeSet::new();
        for _ in 0..count {
            from.extend(self.recent(&builds));
        }
        if from.is_empty() {
            return self.new_build();
        }
        let path = self.path("releases");
        self.write_release(path, from, "Release")
    }

    /// What it was made of before may be public, so that what it is made of now must become so too.
    fn edit_release(&mut self) -> Deed {
        let releases: Vec<String> = self.now.releases.keys().cloned().collect();
        let Some(path) = self.recent(&releases) else {
            return self.new_release();
        };
        let builds = &self.now.builds;
        let sound: Vec<String> = builds
            .keys()
            .filter(|path| !builds[*path].is_broken())
            .cloned()
            .collect();
        let old = self.now.releases[&path].from.iter();
        let mut from: BTreeSet<String> = old.filter(|path| sound.contains(path)).cloned().collect();
        from.extend(self.recent(&sound));
        if from.len() > 2 && self.rng.bool() {
            from.pop_first();
        }
        if from.is_empty() {
            return self.new_release();
        }
        self.write_release(path, from, "Edit")
    }

    fn write_release(&mut self, path: String, from: BTreeSet<String>, verb: &str) -> Deed {
        let platforms: BTreeSet<Platform> = from
            .iter()
            .map(|path| self.now.builds[path].platform)
            .collect();
        let fits = REPOSITORIES
            .iter()
            .filter(|(_, of, _)| platforms.contains(of));
        let mut to: Vec<&'static str> = fits.map(|(name, ..)| *name).collect();
        // One of the two for RPM is enough.
        if to.contains(&"base") {
            match self.rng.u32(..4) {
                0 => to.retain(|name| *name != "base"),
                1 => to.retain(|name| *name != "extra"),
                _ => {}
            }
        }
        self.frozen.extend(from.iter().cloned());
        let from = from.into_iter().collect();
        let release = Release { from, to };
        let text = release_text(&release);
        self.last.clone_from(&path);
        self.now.releases.insert(path.clone(), release);
        write(verb, path, Some(text))
    }

    fn remove_release(&mut self) -> Deed {
        let releases: Vec<String> = self.now.releases.keys().cloned().collect();
        let Some(path) = self.recent(&releases) else {
            return self.new_release();
        };
        let release = self.now.releases.remove(&path).expect("just seen");
        self.removed.releases.insert(path.clone(), release);
        write("Revert", path, None)
    }

    fn bring_back_release(&mut self) -> Deed {
        let Some((path, release)) = self.removed.releases.pop_last() else {
            return self.new_release();
        };
        let text = release_text(&release);
        self.now.releases.insert(path.clone(), release);
        write("Bring back", path, Some(text))
    }

    fn break_policy(&mut self) -> Deed {
        self.broken = true;
        let text = "gates: [\n".to_owned();
        write("Break", "policy.yaml".to_owned(), Some(text))
    }

    fn mend_policy(&mut self) -> Deed {
        self.broken = false;
        let text = POLICY.to_owned();
        write("Mend", "policy.yaml".to_owned(), Some(text))
    }
}

/// The policy that can be read.
pub(crate) const POLICY: &str = "gates: {tests: required}\n";

/// Whether a version must compile.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sound {
    Yes,
    Perhaps,
}

fn write(verb: &str, path: String, text: Option<String>) -> Deed {
    Deed::Write {
        message: format!("{verb} {path}"),
        files: vec![(path, text)],
    }
}
