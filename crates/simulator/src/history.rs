//! What people do: a random history of pushes, cancels and retries.

use std::collections::BTreeMap;

use fastrand::Rng;
use memory::CONFIG;
use pipeline_spec::Priority;

use crate::upstream::{BROKEN, PACKAGES, VERSIONS, git_ref, url};

/// A whole tree of files of the state repository.
pub(crate) type Files = BTreeMap<String, String>;

/// One thing that a person does.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// The branch becomes this tree, by an ordinary commit of this author.
    Push(&'static str, Files),
    /// The branch becomes this tree in one commit without parents.
    ForcePush(&'static str, Files),
    /// The branch is deleted.
    Delete,
    /// Stops what is open of a request.
    Cancel(String),
    /// Runs again what failed of a request.
    Retry(String),
    /// The next act follows at once, while the one before is perhaps half planned.
    Haste,
}

/// Who commits in scenarios where it does not matter.
pub(crate) const ADA: &str = "Ada <ada@example.org>";
/// All who commit, and whose turns they take: two names of one address, and one without an address.
pub(crate) const AUTHORS: [(&str, &str); 4] = [
    (ADA, "ada@example.org"),
    ("Bob <Bob@Example.org>", "bob@example.org"),
    ("Robert <bob@example.org>", "bob@example.org"),
    ("Release Robot", "release robot"),
];

const BUILDS: [&str; 4] = [
    "builds/2026/11/a.yaml",
    "builds/2026/11/b.yaml",
    "builds/2026/11/c.yaml",
    "builds/2026/11/d.yaml",
];
const RELEASES: [&str; 3] = [
    "releases/2026/11/r.yaml",
    "releases/2026/11/s.yaml",
    "releases/2026/11/t.yaml",
];
const PLATFORMS: [(&str, &[&str]); 3] = [
    ("el-10: [x86_64]", &["base", "extra"]),
    ("el-10:", &["base", "extra"]),
    ("debian-12:", &["debian"]),
];

/// What runners have room for; those who are not named, for one slot.
const CAPACITIES: [(&str, &str); 2] = [
    ("runners/builder.yaml", "capacity: 3\n"),
    ("runners/signer.yaml", "capacity: 3\n"),
];
/// Heavier than what any runner has room for.
const HEAVIEST: u8 = 5;

/// Two runners of one kind: only with them a lease can be in the wrong hands.
const SECOND_BUILDER: (&str, &str) = (
    "runners/builder2.yaml",
    "key: /FHNjmIYoaONpH7QAjDwWAgW7RO6MwOsXeuRFUiQgCU=
roles: [build-rpm, build-deb, test, compose]
architectures: [x86_64, aarch64, amd64]
capacity: 2
",
);

#[derive(Clone)]
struct Build {
    platform: usize,
    /// With their versions and weights.
    packages: Vec<(&'static str, u32, u8)>,
    priority: Priority,
}

#[derive(Clone)]
struct Release {
    from: Vec<&'static str>,
    priority: Priority,
}

struct Author<'r> {
    rng: &'r mut Rng,
    /// For who commits, and what hurries: these change no other choice.
    side: Rng,
    next_version: u32,
    builds: BTreeMap<&'static str, Build>,
    releases: BTreeMap<&'static str, Release>,
    /// A broken configuration, until it is mended.
    broken: bool,
    /// The branch is gone, until somebody pushes.
    is_gone: bool,
    /// Taken back with the next act: perhaps before it was planned.
    slip: Option<&'static str>,
    /// Edited with the next act, into what does not compile: perhaps while it is being released.
    spoilt: Option<&'static str>,
    /// What is written stays: then the end is known beforehand, see [`is_determined`].
    only_adds: bool,
}

/// A random history of about `length` acts. The last ones leave a configuration that can be read.
pub(crate) fn random(rng: &mut Rng, length: usize) -> Vec<Act> {
    let only_adds = rng.bool();
    let mut author = Author {
        only_adds,
        side: rng.clone().fork(),
        rng,
        next_version: 1,
        builds: BTreeMap::new(),
        releases: BTreeMap::new(),
        broken: false,
        is_gone: false,
        slip: None,
        spoilt: None,
    };
    let mut acts = Vec::new();
    for _ in 0..length {
        acts.push(author.act());
        if author.slip.is_some() {
            acts.push(Act::Haste);
        }
        if author.side.u32(..3) == 0 {
            acts.extend(author.edit_place());
        }
    }
    if std::mem::take(&mut author.broken) || author.is_gone {
        acts.push(author.push());
    }
    acts
}

/// Whether the end depends on the wishes alone, and not on when each was seen: a release takes what
/// its builds are at that moment, so no request may ever change once it was written, but for its place
/// among others.
pub(crate) fn is_determined(acts: &[Act]) -> bool {
    let mut written: BTreeMap<&str, String> = BTreeMap::new();
    let trees = acts.iter().filter_map(|act| match act {
        Act::Push(_, files) | Act::ForcePush(_, files) => Some(files),
        Act::Delete | Act::Cancel(_) | Act::Retry(_) | Act::Haste => None,
    });
    for files in trees {
        for (path, text) in files.iter().filter(|(path, _)| path.contains("/2026/")) {
            let text = without_place(text);
            if *written.entry(path).or_insert_with(|| text.clone()) != text {
                return false;
            }
        }
        if written.keys().any(|path| !files.contains_key(*path)) {
            return false;
        }
    }
    true
}

/// A request's file without what builds nothing anew.
pub(crate) fn without_place(text: &str) -> String {
    let is_place = |line: &str| line.starts_with("priority: ") || line.starts_with("    weight: ");
    let lines = text.lines().filter(|line| !is_place(line));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// The priority that a request's file says.
pub(crate) fn priority(text: &str) -> Priority {
    let word = text
        .lines()
        .find_map(|line| line.strip_prefix("priority: "));
    match word {
        Some("urgent") => Priority::Urgent,
        Some("background") => Priority::Background,
        _ => Priority::Normal,
    }
}

/// The weight of a package that a build's file says.
pub(crate) fn weight(text: &str, package: &str) -> u8 {
    let source = format!("/{package}.git\"");
    let mut lines = text.lines().skip_while(|line| !line.contains(&source));
    let weight = lines
        .nth(1)
        .and_then(|line| line.strip_prefix("    weight: "));
    weight.map_or(1, |it| it.parse().expect("a weight of this history"))
}

/// A state repository without requests.
pub(crate) fn configuration() -> Files {
    let files = CONFIG.iter().chain([&SECOND_BUILDER]);
    let mut files: Files = files
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
        .collect();
    for (path, capacity) in CAPACITIES {
        *files.entry(path.to_owned()).or_default() += capacity;
    }
    files
}

impl Author<'_> {
    fn act(&mut self) -> Act {
        if let Some(path) = self.slip.take() {
            self.builds.remove(path);
            self.is_gone = false;
            return self.push();
        }
        if let Some(path) = self.spoilt.take() {
            let version = self.broken_version();
            if let Some(build) = self.builds.get_mut(path) {
                build.packages.iter_mut().for_each(|it| it.1 = version);
            }
            self.is_gone = false;
            return self.push();
        }
        match self.rng.u32(..20) {
            0..=5 => self.write_build(),
            6..=10 => self.write_release(),
            11 if !self.only_adds => {
                let path = *self.one(&BUILDS);
                self.builds.remove(path);
            }
            12..=13 if !self.only_adds => {
                let path = *self.one(&RELEASES);
                self.releases.remove(path);
            }
            11..=13 => self.broken = !self.broken,
            14 => {
                self.is_gone = true;
                return Act::Delete;
            }
            15 => {
                self.is_gone = false;
                return Act::ForcePush(self.somebody(), self.files());
            }
            16..=17 => return Act::Cancel(self.request()),
            _ => return Act::Retry(self.request()),
        }
        self.is_gone = false;
        self.push()
    }

    fn push(&mut self) -> Act {
        Act::Push(self.somebody(), self.files())
    }

    fn somebody(&mut self) -> &'static str {
        AUTHORS[self.side.usize(..AUTHORS.len())].0
    }

    fn some_priority(&mut self) -> Priority {
        [Priority::Urgent, Priority::Normal, Priority::Background][self.side.usize(..3)]
    }

    /// The next one, or now and then the next one that does not compile.
    fn some_version(&mut self) -> u32 {
        if self.side.u32(..6) == 0 {
            return self.broken_version();
        }
        self.next_version += 1;
        (self.next_version - 1).min(VERSIONS)
    }

    fn broken_version(&mut self) -> u32 {
        while self.next_version % 10 != BROKEN {
            self.next_version += 1;
        }
        self.next_version += 1;
        (self.next_version - 1).min(VERSIONS)
    }

    /// Mostly light.
    fn some_weight(&mut self) -> u8 {
        let is_heavy = self.side.u32(..3) == 0;
        if is_heavy {
            self.side.u8(2..=HEAVIEST)
        } else {
            1
        }
    }

    /// A commit that changes of one request alone how much it hurries, or how heavy its packages are.
    fn edit_place(&mut self) -> Option<Act> {
        let paths: Vec<&'static str> = self
            .builds
            .keys()
            .chain(self.releases.keys())
            .copied()
            .collect();
        if paths.is_empty() {
            return None;
        }
        let path = paths[self.side.usize(..paths.len())];
        let (priority, weight) = (self.some_priority(), self.some_weight());
        if let Some(release) = self.releases.get_mut(path) {
            release.priority = priority;
        }
        if let Some(build) = self.builds.get_mut(path) {
            if self.side.u32(..4) > 0 {
                build.priority = priority;
            } else {
                build.packages[0].2 = weight;
            }
        }
        self.is_gone = false;
        Some(self.push())
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.rng.usize(..of.len())]
    }

    fn request(&mut self) -> String {
        if self.rng.bool() {
            (*self.one(&BUILDS)).to_owned()
        } else {
            (*self.one(&RELEASES)).to_owned()
        }
    }

    fn write_build(&mut self) {
        let path = *self.one(&BUILDS);
        if self.only_adds && self.builds.contains_key(path) {
            return;
        }
        let count = 1 + self.rng.usize(..3);
        let mut names: Vec<&'static str> = PACKAGES.iter().map(|(name, _)| *name).collect();
        self.rng.shuffle(&mut names);
        let version = self.some_version();
        let build = Build {
            platform: self.rng.usize(..PLATFORMS.len()),
            packages: names
                .into_iter()
                .take(count)
                .map(|name| (name, version, self.some_weight()))
                .collect(),
            priority: self.some_priority(),
        };
        let known = self.builds.insert(path, build);
        if known.is_none() && !self.only_adds && self.rng.u32(..5) == 0 {
            self.slip = Some(path);
        }
    }

    /// Of some builds of one platform, to all its repositories.
    fn write_release(&mut self) {
        if self.builds.is_empty() {
            return self.write_build();
        }
        let path = *self.one(&RELEASES);
        if self.only_adds && self.releases.contains_key(path) {
            return;
        }
        let known: Vec<&'static str> = self.builds.keys().copied().collect();
        let first = *self.one(&known);
        let format = |build: &Build| build.platform == 2;
        let wanted = format(&self.builds[first]);
        let mut from = vec![first];
        for other in known {
            if other != first && format(&self.builds[other]) == wanted && self.rng.bool() {
                from.push(other);
            }
        }
        let priority = self.some_priority();
        self.releases.insert(path, Release { from, priority });
        if !self.only_adds && self.side.u32(..3) == 0 {
            self.spoilt = Some(first);
        }
    }

    fn files(&self) -> Files {
        let mut files = configuration();
        if self.broken {
            files.insert("policy.yaml".to_owned(), "gates: [\n".to_owned());
        }
        for (path, build) in &self.builds {
            let (platform, _) = PLATFORMS[build.platform];
            let mut text = format!("reason: a test\nplatforms:\n  {platform}\npackages:\n");
            for (package, version, weight) in &build.packages {
                let (url, git_ref) = (url(package), git_ref(*version));
                text += &format!("  - source: {{git: \"{url}\", ref: {git_ref}}}\n");
                if *weight > 1 {
                    text += &format!("    weight: {weight}\n");
                }
            }
            text += &place(build.priority);
            files.insert((*path).to_owned(), text);
        }
        for (path, Release { from, priority }) in &self.releases {
            let platform = from.first().and_then(|build| self.builds.get(build));
            let (_, to) = PLATFORMS[platform.map_or(0, |build| build.platform)];
            let mut text = format!("from: [{}]\nto: [{}]\n", from.join(", "), to.join(", "));
            text += &place(*priority);
            files.insert((*path).to_owned(), text);
        }
        files
    }
}

fn place(priority: Priority) -> String {
    if priority.is_normal() {
        return String::new();
    }
    format!("priority: {priority}\n")
}
