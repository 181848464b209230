//! A person's checkout of the state repository, as their own git sees it.
//!
//! What merging would bring is what differs from the newest commit that the checkout and the control
//! plane have in common: a checkout that is behind takes nothing away. The person's git is asked, since it
//! knows what is ignored, where the objects are and what an abbreviation means.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use pipeline_spec::RequestPath;

use crate::failure::{Failure, Kind};

/// Largest file that is sent, in bytes: above what the language allows.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// Path → new text, or nothing when the file goes.
pub(crate) type Edits = BTreeMap<String, Option<String>>;

/// Branches that a file is looked for on at most.
const MAX_BRANCHES: usize = 100;

/// How far a file came that the state repository does not have.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Whereabouts {
    /// It lies in the work tree.
    WorkTree,
    /// It is committed on this branch.
    Branch(String),
    /// It is committed on the right branch, and on the one that this is pushed to.
    Pushed,
    /// It is committed on no branch.
    Detached,
}

/// A work tree of git.
pub(crate) struct Checkout {
    top: PathBuf,
}

impl Checkout {
    /// The checkout that `directory` lies in; `None`: there is none, or it is no state repository's.
    pub(crate) fn find(directory: &Path) -> anyhow::Result<Option<Self>> {
        let probe = git(directory, &["rev-parse", "--show-toplevel"])?;
        let Some(top) = probe else {
            return Ok(None);
        };
        let top = PathBuf::from(String::from_utf8_lossy(&top).trim_end());
        Ok(top.join("millrace.yaml").exists().then_some(Self { top }))
    }

    pub(crate) fn top(&self) -> &Path {
        &self.top
    }

    /// What the work tree would bring to `planned`, committed or not; ignored files are left out.
    pub(crate) fn work_tree(&self, planned: &str) -> anyhow::Result<Edits> {
        let base = self.common("HEAD", planned)?;
        let mut paths = match &base {
            Some(base) => self.paths(&["diff", "--name-only", "--no-renames", "-z", base])?,
            None => self.paths(&["ls-files", "-z"])?,
        };
        paths.extend(self.paths(&["ls-files", "-z", "--others", "--exclude-standard"])?);
        let mut edits = Edits::new();
        for path in paths {
            let file = self.top.join(&path);
            let text = match std::fs::symlink_metadata(&file) {
                Ok(kind) if kind.is_file() => Some(read(&file, kind.len())?),
                // A link or a folder is no file of a state repository, and one that is gone is gone.
                _ => None,
            };
            edits.insert(path, text);
        }
        Ok(edits)
    }

    /// What `revision` would bring to `planned`; `None`: this checkout knows no such revision.
    pub(crate) fn revision(&self, revision: &str, planned: &str) -> anyhow::Result<Option<Edits>> {
        let name = format!("{revision}^{{commit}}");
        let verify = [
            "rev-parse",
            "--quiet",
            "--verify",
            "--end-of-options",
            &name,
        ];
        let Some(commit) = git(&self.top, &verify)? else {
            return Ok(None);
        };
        let commit = String::from_utf8_lossy(&commit).trim().to_owned();
        let paths = match self.common(&commit, planned)? {
            Some(base) => {
                self.paths(&["diff", "--name-only", "--no-renames", "-z", &base, &commit])?
            }
            None => self.paths(&["ls-tree", "-r", "-z", "--name-only", &commit])?,
        };
        let mut edits = Edits::new();
        for path in paths {
            let object = format!("{commit}:{path}");
            let bytes = git(&self.top, &["cat-file", "blob", &object])?;
            let text = bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            edits.insert(path, text);
        }
        Ok(Some(edits))
    }

    /// Where this checkout has the file `path`, which belongs on `branch`; `None`: nowhere.
    pub(crate) fn whereabouts(
        &self,
        path: &RequestPath,
        branch: &str,
    ) -> anyhow::Result<Option<Whereabouts>> {
        let has = |revision: &str| -> anyhow::Result<bool> {
            let object = format!("{revision}:{path}");
            Ok(git(&self.top, &["cat-file", "-e", &object])?.is_some())
        };
        if has("HEAD")? {
            let name = git(&self.top, &["symbolic-ref", "--quiet", "--short", "HEAD"])?;
            let Some(name) = name else {
                return Ok(Some(Whereabouts::Detached));
            };
            let name = String::from_utf8_lossy(&name).trim().to_owned();
            let pushed = name == branch && has("@{upstream}")?;
            return Ok(Some(match pushed {
                true => Whereabouts::Pushed,
                false => Whereabouts::Branch(name),
            }));
        }
        if self.top.join(path.as_str()).is_file() {
            return Ok(Some(Whereabouts::WorkTree));
        }
        let list = [
            "for-each-ref",
            "--format=%(refname:short)",
            "refs/heads",
            "refs/remotes",
        ];
        let list = git(&self.top, &list)?.unwrap_or_default();
        let list = String::from_utf8_lossy(&list);
        let mut names: Vec<&str> = list.lines().take(MAX_BRANCHES).collect();
        names.sort_by_key(|name| *name != branch);
        for name in names {
            if has(name)? {
                return Ok(Some(Whereabouts::Branch(name.to_owned())));
            }
        }
        Ok(None)
    }

    /// The newest commit that `revision` and the planned one have in common. `None`: nothing is planned,
    /// or nothing was committed here.
    fn common(&self, revision: &str, planned: &str) -> anyhow::Result<Option<String>> {
        if planned.is_empty()
            || git(&self.top, &["rev-parse", "--quiet", "--verify", revision])?.is_none()
        {
            return Ok(None);
        }
        let known = format!("{planned}^{{commit}}");
        if git(&self.top, &["cat-file", "-e", &known])?.is_none() {
            let sentence = format!(
                "the checkout {} does not have commit {planned}, which is planned now: run `git fetch` in it, or give the --data of the control plane that it belongs to",
                self.top.display()
            );
            return Err(Failure::new(Kind::NotNow, sentence).into());
        }
        let base = git(&self.top, &["merge-base", revision, planned])?;
        Ok(base.map(|base| String::from_utf8_lossy(&base).trim().to_owned()))
    }

    fn paths(&self, args: &[&str]) -> anyhow::Result<BTreeSet<String>> {
        let Some(list) = git(&self.top, args)? else {
            bail!("git {} failed in {}", args[0], self.top.display());
        };
        let names = list
            .split(|byte| *byte == 0)
            .filter(|name| !name.is_empty());
        Ok(names
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect())
    }
}

fn read(file: &Path, size: u64) -> anyhow::Result<String> {
    if size > MAX_FILE_BYTES {
        bail!(
            "{} has {size} bytes: a file of a state repository has at most {MAX_FILE_BYTES}",
            file.display()
        );
    }
    let bytes = std::fs::read(file).with_context(|| format!("read {}", file.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What git prints; `None`: it says no.
fn git(directory: &Path, args: &[&str]) -> anyhow::Result<Option<Vec<u8>>> {
    let output = Command::new("git")
        .arg("-C")
        .arg(directory)
        .args(args)
        .output()
        .context("run git: install it to look at a checkout")?;
    Ok(output.status.success().then_some(output.stdout))
}
