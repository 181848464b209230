//! Bugs as data: what is written instead of what, and what must notice.
//!
//! ```text
//! # What goes wrong, in one sentence.
//! budget: 2000
//! says: the word of the checker that must notice; of one of several, ` | ` between them
//! file: crates/ledger/src/transition.rs
//! <<<<
//! the text as it stands, once in the file
//! ====
//! the text with the bug
//! >>>>
//! ```
//!
//! `budget` is a number of seeds from 1 on. There may be several files. Invariant: a text that does not
//! stand exactly once in its file is an error, so that no bug fades away when the product changes.
//!
//! `SEEDED` in the text is true where the bug is asked for by name, and only there: with it, many bugs are
//! built into one program ([`in_builds`]). A bug without it is built alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

/// A bug that never reaches a release.
#[derive(Debug)]
pub(super) struct Bug {
    /// The file's name without `.bug`.
    pub(super) name: String,
    /// What goes wrong.
    pub(super) what: String,
    /// Seeds within which it must be found.
    pub(super) budget: u64,
    /// Part of a violation's text.
    pub(super) says: Vec<String>,
    hunks: Vec<Hunk>,
}

#[derive(Debug)]
struct Hunk {
    file: PathBuf,
    before: String,
    after: String,
}

/// All bugs of a folder, by name.
pub(super) fn read_all(folder: &Path) -> Result<Vec<Bug>> {
    let mut bugs = Vec::new();
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "bug") {
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("read {}", path.display()))?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let bug = parse(&name, &text).with_context(|| format!("read {}", path.display()))?;
            bugs.push(bug);
        }
    }
    bugs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(bugs)
}

fn parse(name: &str, text: &str) -> Result<Bug> {
    let mut bug = Bug {
        name: name.to_owned(),
        what: String::new(),
        budget: 0,
        says: Vec::new(),
        hunks: Vec::new(),
    };
    let mut lines = text.lines();
    let mut file = None;
    while let Some(line) = lines.next() {
        if let Some(what) = line.strip_prefix("# ") {
            bug.what = what.to_owned();
        } else if let Some(budget) = line.strip_prefix("budget: ") {
            bug.budget = budget.parse().context("read the budget")?;
        } else if let Some(says) = line.strip_prefix("says: ") {
            bug.says = says.split(" | ").map(str::to_owned).collect();
        } else if let Some(path) = line.strip_prefix("file: ") {
            file = Some(PathBuf::from(path));
        } else if line == "<<<<" {
            let file = file.clone().context("a text needs a `file:` before it")?;
            let before = until(&mut lines, "====")?;
            let after = until(&mut lines, ">>>>")?;
            bug.hunks.push(Hunk {
                file,
                before,
                after,
            });
        } else {
            ensure!(line.is_empty(), "{line:?} is nothing that a bug has");
        }
    }
    let complete = !bug.what.is_empty() && bug.budget > 0 && !bug.says.is_empty();
    ensure!(complete, "`# what`, `budget:` and `says:` are needed");
    ensure!(!bug.hunks.is_empty(), "nothing is changed");
    Ok(bug)
}

fn until<'a>(lines: &mut impl Iterator<Item = &'a str>, end: &str) -> Result<String> {
    let mut text = String::new();
    for line in lines {
        if line == end {
            return Ok(text);
        }
        text.push_str(line);
        text.push('\n');
    }
    bail!("the text has no end: {end:?} is missing")
}

/// Asked in the product: `SEEDED` of a bug becomes a call of it.
const SWITCH: &str = "SEEDED";
/// Names the bug that a program is to have.
pub(super) const VARIABLE: &str = "MILLRACE_SEEDED_BUG";
/// The file that the switch is added to: its crate is known to all others.
const LOWEST: &str = "pipeline-spec/src/lib.rs";
/// The switch.
const ASKED: &str = "
/// Whether this bug is asked for.
#[doc(hidden)]
pub fn seeded(bug: &str) -> bool {
    static ASKED: std::sync::LazyLock<Option<String>> =
        std::sync::LazyLock::new(|| std::env::var(\"VARIABLE\").ok());
    ASKED.as_deref() == Some(bug)
}
";

/// Bugs that one program has, each of which is asked for by name; a bug without a switch is always there,
/// and alone.
#[derive(Debug, Default)]
pub(super) struct Build {
    pub(super) bugs: Vec<Bug>,
    /// The files as they are with the bugs, by path.
    pub(super) files: BTreeMap<PathBuf, String>,
}

/// Puts bugs into as few builds as their texts allow: no two bugs of one build change the same lines.
/// The files that they change are read below `top`.
pub(super) fn in_builds(bugs: Vec<Bug>, top: &Path) -> Result<Vec<Build>> {
    let mut builds: Vec<Build> = Vec::new();
    for bug in bugs {
        // Each fits the product as it is.
        let files = bug.applied(&BTreeMap::new(), top)?;
        let room = builds.iter_mut().find_map(|build| {
            let together = bug.has_switch() && build.bugs.iter().all(Bug::has_switch);
            let files = together.then(|| bug.applied(&build.files, top).ok())??;
            Some((build, files))
        });
        match room {
            Some((build, files)) => {
                build.files.extend(files);
                build.bugs.push(bug);
            }
            None => builds.push(Build {
                bugs: vec![bug],
                files,
            }),
        }
    }
    for build in &mut builds {
        let lowest = read(top, Path::new(LOWEST))?;
        let text = build.files.entry(LOWEST.into()).or_insert(lowest);
        text.push_str(&ASKED.replace("VARIABLE", VARIABLE));
    }
    Ok(builds)
}

fn read(top: &Path, file: &Path) -> Result<String> {
    let path = top.join(file);
    std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
}

impl Bug {
    /// Whether it is only there where it is asked for.
    pub(super) fn has_switch(&self) -> bool {
        self.hunks.iter().any(|hunk| hunk.after.contains(SWITCH))
    }

    /// The files that it changes, as they are with it on top of `files`, or of what is below `top`.
    fn applied(
        &self,
        files: &BTreeMap<PathBuf, String>,
        top: &Path,
    ) -> Result<BTreeMap<PathBuf, String>> {
        let mut changed: BTreeMap<PathBuf, String> = BTreeMap::new();
        let switch = format!("pipeline_spec::seeded({:?})", self.name);
        for hunk in &self.hunks {
            let file = &hunk.file;
            let text = match changed.get(file).or_else(|| files.get(file)) {
                Some(text) => text.clone(),
                None => read(top, file)?,
            };
            let count = text.matches(&hunk.before).count();
            ensure!(
                count == 1,
                "bug {}: its text stands {count} times in {} and not once; write it as the file has it now:\n{}",
                self.name,
                file.display(),
                hunk.before
            );
            let after = hunk.after.replace(SWITCH, &switch);
            changed.insert(file.clone(), text.replacen(&hunk.before, &after, 1));
        }
        Ok(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::{Bug, in_builds, parse, read_all};
    use crate::sh::top;

    /// A bug whose text is gone would never be found, and nobody would see it.
    #[test]
    fn every_bug_fits_the_product_as_it_is() {
        let bugs = read_all(&top().join("crates/simulator/bugs")).expect("they are read");
        let count = bugs.len();
        assert!(count >= 20, "{count} bugs");
        let builds = in_builds(bugs, &top()).expect("each text stands once");
        let built: usize = builds.iter().map(|build| build.bugs.len()).sum();
        assert_eq!(built, count, "none is left out");
        for build in &builds {
            let alone = build.bugs.len() == 1;
            assert!(alone || build.bugs.iter().all(Bug::has_switch));
        }
    }

    #[test]
    fn what_is_no_bug_is_refused() {
        let check = |text: &str, expect: &str| {
            let error = parse("x", text).expect_err(text);
            assert!(format!("{error:#}").contains(expect), "{error:#}");
        };
        check("", "are needed");
        check("# a\nbudget: 1\nsays: b\n", "nothing is changed");
        check("# a\nbudget: many\n", "read the budget");
        check("<<<<\n", "`file:` before it");
        check("file: a\n<<<<\nb\n", "\"====\" is missing");
        check("hello\n", "nothing that a bug has");
    }
}
