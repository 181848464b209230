//! Published repositories: what a pointer names was decided, judged, signed and is there, no package
//! gets older without a request that says so, and none that a release adds is missing.

use std::collections::BTreeMap;

use ledger::{Flip, Key, Row};
use pipeline_spec::Format;
use ports::Platform;
use runner_api::{Placed, Pointer, Tree};

use super::Witness;
use crate::run::block;

/// By name and architecture: the highest version.
type Versions = BTreeMap<String, u32>;

impl Witness {
    /// A pointer was set.
    pub(crate) fn flipped(&self, name: &str, before: Option<&[u8]>, new: &[u8]) {
        let parse = |bytes: &[u8]| serde_json::from_slice::<Pointer>(bytes).expect("a pointer");
        let before = before.map(parse);
        let pointer = parse(new);
        let generation = before.as_ref().map_or(0, |before| before.generation);
        if pointer.generation != generation + 1 {
            self.violated(format!(
                "{name} went from generation {generation} to {}",
                pointer.generation
            ));
        }
        if pointer.signatures.is_empty() {
            self.violated(format!("{name} was published without a signature"));
        }
        let Some(tree) = self.tree(&pointer) else {
            return self.violated(format!("{name} was published without its tree"));
        };
        self.is_decided(&pointer, &tree);
        self.is_judged(&pointer);
        self.is_complete(&pointer, &tree);
        if let Some(old) = before.and_then(|before| self.tree(&before)) {
            self.is_no_older(&pointer, &old, &tree);
        }
    }

    /// What clients of a repository see.
    pub(super) fn public(&self, name: &str) -> Option<Pointer> {
        let bytes = block(ports::ArtifactStore::pointer(self.memory.store(), name));
        let bytes = bytes.expect("memory")?;
        Some(serde_json::from_slice(&bytes).expect("a pointer"))
    }

    fn tree(&self, pointer: &Pointer) -> Option<Tree> {
        let bytes = self.memory.store().bytes(&pointer.tree)?;
        Some(serde_json::from_slice(&bytes).expect("a tree"))
    }

    /// The whole release stands in the ledger before any of it is public.
    fn is_decided(&self, pointer: &Pointer, tree: &Tree) {
        let state = self.state();
        let mut flips = state.decided.values().flat_map(|decision| &decision.flips);
        let flip = flips.find(|flip| flip.pointer == *pointer).cloned();
        drop(state);
        match flip {
            Some(flip) => self.is_added(&flip, tree),
            None => {
                let name = &pointer.repository;
                self.violated(format!("{name} was flipped without a decision"));
            }
        }
    }

    /// What a release adds is there, or something newer is.
    fn is_added(&self, flip: &Flip, tree: &Tree) {
        let there = versions(tree);
        for (key, version) in packages(&flip.packages) {
            let found = there.get(&key).copied();
            if found < Some(version) {
                let name = &flip.pointer.repository;
                self.violated(format!(
                    "{name}: version {version} of {key} was released, and {found:?} is there"
                ));
            }
        }
    }

    fn is_judged(&self, pointer: &Pointer) {
        let state = self.state();
        let compose = state.composed.get(&pointer.tree);
        let smoked = compose.and_then(|compose| state.smoked.get(compose));
        let passed = smoked.is_some_and(|tests| tests.values().all(|passed| *passed));
        drop(state);
        if !passed {
            let name = &pointer.repository;
            self.violated(format!(
                "{name} was published before its smoke tests passed"
            ));
        }
    }

    /// Every file is there, and made by an accepted result of the right kind.
    fn is_complete(&self, pointer: &Pointer, tree: &Tree) {
        let name = pointer.repository.as_str();
        let store = self.memory.store();
        for (path, file) in tree.files.iter().chain(&pointer.signatures) {
            let size = store.bytes(&file.sha256).map(|bytes| bytes.len() as u64);
            if size != Some(file.size) {
                self.violated(format!("{name} was published without {path}"));
            }
            let made_by = self.state().accepted.get(&file.sha256).copied();
            let is_signature = pointer.signatures.contains_key(path);
            let fits = match (path.starts_with("Packages/"), format(name)) {
                (false, _) if is_signature => made_by == Some("sign-metadata"),
                (false, _) => made_by == Some("compose"),
                (true, Format::Rpm) => made_by == Some("sign-packages"),
                (true, Format::Deb) => matches!(made_by, Some("build" | "source")),
            };
            if !fits {
                self.violated(format!(
                    "{name} was published with {path}, made by {made_by:?}"
                ));
            }
        }
    }

    /// A version goes down, or a package goes away, only with the request that brought it.
    fn is_no_older(&self, pointer: &Pointer, old: &Tree, new: &Tree) {
        let (old, new) = (versions(old), versions(new));
        let lower = |(key, version): &(&String, &u32)| new.get(*key) < Some(*version);
        let mut lost = old.iter().filter(lower).peekable();
        if lost.peek().is_none() {
            return;
        }
        let own = self.contributed(pointer);
        for (key, version) in lost {
            if !own.contains(&(key.clone(), *version)) {
                let name = &pointer.repository;
                self.violated(format!(
                    "{name}: {key} went from version {version} to {:?}, and no request says so",
                    new.get(key)
                ));
            }
        }
    }

    /// What the release that sets this pointer had in the repository before.
    fn contributed(&self, pointer: &Pointer) -> Vec<(String, u32)> {
        let state = self.state();
        let mut decided = state.decided.iter();
        let release = decided.find(|(_, decision)| {
            let mut flips = decision.flips.iter();
            flips.any(|flip| flip.pointer == *pointer)
        });
        let Some(release) = release.map(|(path, _)| path.clone()) else {
            return Vec::new();
        };
        drop(state);
        let key = Key::contribution(&pointer.repository, &release);
        let row = self.ledger().row(&key);
        match row.as_ref().map(|record| &record.row) {
            Some(Row::Contribution(row)) => packages(&row.packages).collect(),
            _ => Vec::new(),
        }
    }
}

/// Names with architectures, and versions.
fn packages(placed: &[Placed]) -> impl Iterator<Item = (String, u32)> {
    let files = placed
        .iter()
        .flat_map(|placed| std::iter::once(&placed.artifact).chain(&placed.files));
    files.filter_map(|file| package(&file.name))
}

fn versions(tree: &Tree) -> Versions {
    let mut versions = Versions::new();
    let names = tree.files.keys();
    for name in names.filter_map(|path| path.strip_prefix("Packages/")) {
        if let Some((key, version)) = package(name) {
            let highest = versions.entry(key).or_default();
            *highest = version.max(*highest);
        }
    }
    versions
}

/// Name with architecture, and version, of a file that the workshop made.
fn package(file: &str) -> Option<(String, u32)> {
    let (stem, kind) = match file.rsplit_once('.')? {
        (stem, "pkg" | "rpm") => stem.rsplit_once('.')?,
        (stem, "dsc") => (stem, "dsc"),
        _ => return None,
    };
    let stem = stem.strip_suffix(".0-1")?;
    let (name, version) = stem.rsplit_once(['-', '_'])?;
    Some((format!("{name}.{kind}"), version.parse().ok()?))
}

fn format(repository: &str) -> Format {
    if repository == "debian" {
        Format::Deb
    } else {
        Format::Rpm
    }
}
