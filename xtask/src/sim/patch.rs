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
    bugs.sort_by(|a, b| (a.place(), &a.name).cmp(&(b.place(), &b.name)));
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

impl Bug {
    /// Files that it changes: bugs in one crate are built one after another.
    fn place(&self) -> &Path {
        &self.hunks[0].file
    }

    /// Files below `top` as they are with the bug, by path.
    pub(super) fn patched(&self, top: &Path) -> Result<Vec<(PathBuf, String)>> {
        let mut files: Vec<(PathBuf, String)> = Vec::new();
        for hunk in &self.hunks {
            let at = match files.iter().position(|(path, _)| *path == hunk.file) {
                Some(at) => at,
                None => {
                    let path = top.join(&hunk.file);
                    let text = std::fs::read_to_string(&path)
                        .with_context(|| format!("read {}", path.display()))?;
                    files.push((hunk.file.clone(), text));
                    files.len() - 1
                }
            };
            let text = &mut files[at].1;
            let count = text.matches(&hunk.before).count();
            ensure!(
                count == 1,
                "bug {}: its text stands {count} times in {} and not once; write it as the file has it now:\n{}",
                self.name,
                hunk.file.display(),
                hunk.before
            );
            *text = text.replacen(&hunk.before, &hunk.after, 1);
        }
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::{parse, read_all};
    use crate::sh::top;

    /// A bug whose text is gone would never be found, and nobody would see it.
    #[test]
    fn every_bug_fits_the_product_as_it_is() {
        let bugs = read_all(&top().join("crates/simulator/bugs")).expect("they are read");
        assert!(bugs.len() >= 20, "{} bugs", bugs.len());
        for bug in bugs {
            bug.patched(&top()).expect("its texts stand once");
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
