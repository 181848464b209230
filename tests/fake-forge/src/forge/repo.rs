//! A bare repository on the disk, moved by the program git.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a forge calls "no commit".
pub(crate) const NOTHING: &str = "0000000000000000000000000000000000000000";

/// What a commit does to the files before it.
#[derive(Debug, Clone, Default)]
pub struct Change {
    message: String,
    files: Vec<(String, Option<String>)>,
}

impl Change {
    /// A commit with this message.
    pub fn new(message: &str) -> Self {
        Self {
            message: message.to_owned(),
            files: Vec::new(),
        }
    }

    /// The file has this content.
    #[must_use]
    pub fn write(mut self, path: &str, content: &str) -> Self {
        self.files.push((path.to_owned(), Some(content.to_owned())));
        self
    }

    /// The file is gone.
    #[must_use]
    pub fn delete(mut self, path: &str) -> Self {
        self.files.push((path.to_owned(), None));
        self
    }
}

/// A commit, as webhooks tell of it.
pub(crate) struct Told {
    pub(crate) sha: String,
    pub(crate) tree: String,
    pub(crate) author: String,
    pub(crate) email: String,
    /// RFC 3339.
    pub(crate) time: String,
    pub(crate) message: String,
    pub(crate) added: Vec<String>,
    pub(crate) removed: Vec<String>,
    pub(crate) modified: Vec<String>,
}

pub(crate) struct Repo {
    pub(crate) path: PathBuf,
}

impl Repo {
    pub(crate) fn create(path: &Path) -> Self {
        std::fs::create_dir_all(path).unwrap();
        let repo = Self {
            path: path.to_owned(),
        };
        repo.git(&["init", "--quiet", "--bare", "--initial-branch=main"]);
        for (key, value) in [
            // As both forges have it: a commit of a pull request can be fetched, and nobody pushes there.
            ("uploadpack.allowAnySHA1InWant", "true"),
            ("uploadpack.allowFilter", "true"),
            ("receive.hideRefs", "refs/pull"),
            ("http.receivepack", "true"),
            ("gc.auto", "0"),
            ("receive.autogc", "false"),
        ] {
            repo.git(&["config", key, value]);
        }
        repo
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("git");
        command
            .args(args)
            .current_dir(&self.path)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", "/nonexistent")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_DIR", &self.path);
        command
    }

    /// What git prints, or what it complains of.
    pub(crate) fn ask(&self, args: &[&str]) -> Result<String, String> {
        finish(&mut self.command(args), b"")
    }

    pub(crate) fn git(&self, args: &[&str]) -> String {
        self.ask(args)
            .unwrap_or_else(|error| panic!("git {args:?} in {}: {error}", self.path.display()))
    }

    /// Branches and tags, and where they are.
    pub(crate) fn refs(&self) -> BTreeMap<String, String> {
        let format = "--format=%(refname) %(objectname)";
        self.git(&["for-each-ref", format, "refs/heads", "refs/tags"])
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(name, sha)| (name.to_owned(), sha.to_owned()))
            .collect()
    }

    /// The commit that a name, or a commit's number, stands for.
    pub(crate) fn commit_of(&self, name: &str) -> Option<String> {
        // A name that begins with a dash is an option to git.
        let safe = !name.is_empty() && !name.starts_with('-');
        let wanted = format!("{name}^{{commit}}");
        safe.then(|| {
            self.ask(&["rev-parse", "--verify", "--quiet", &wanted])
                .ok()
        })?
    }

    pub(crate) fn tip(&self, branch: &str) -> Option<String> {
        self.commit_of(&format!("refs/heads/{branch}"))
    }

    pub(crate) fn is_ancestor(&self, older: &str, newer: &str) -> bool {
        self.ask(&["merge-base", "--is-ancestor", older, newer])
            .is_ok()
    }

    pub(crate) fn merge_base(&self, one: &str, other: &str) -> String {
        self.ask(&["merge-base", one, other]).unwrap_or_default()
    }

    pub(crate) fn count(&self, range: &str) -> usize {
        let count = self.ask(&["rev-list", "--count", range]);
        count.ok().and_then(|n| n.parse().ok()).unwrap_or(0)
    }

    /// Sets a name; with [`NOTHING`], takes it away.
    pub(crate) fn set(&self, name: &str, sha: &str) {
        match sha {
            NOTHING => self.git(&["update-ref", "-d", name]),
            _ => self.git(&["update-ref", name, sha]),
        };
    }

    /// A commit upon `parent`.
    pub(crate) fn commit(&self, parent: Option<&str>, change: &Change, by: &Author) -> String {
        let index = tempfile::tempdir().unwrap();
        let index = index.path().join("index");
        let run = |args: &[&str], input: &[u8]| {
            let mut command = self.command(args);
            finish(command.env("GIT_INDEX_FILE", &index), input).unwrap()
        };
        if let Some(parent) = parent {
            run(&["read-tree", parent], b"");
        }
        for (path, content) in &change.files {
            let entry = match content {
                None => format!("0 {NOTHING}\t{path}\n"),
                Some(content) => {
                    let blob = run(&["hash-object", "-w", "--stdin"], content.as_bytes());
                    format!("100644 {blob}\t{path}\n")
                }
            };
            run(&["update-index", "--index-info"], entry.as_bytes());
        }
        let tree = run(&["write-tree"], b"");
        let parents: Vec<&str> = parent.into_iter().collect();
        self.commit_tree(&tree, &parents, &change.message, by)
    }

    /// The merge of two commits, or what is in its way.
    pub(crate) fn merged_tree(&self, base: &str, head: &str) -> Result<String, String> {
        let answer = self.ask(&["merge-tree", "--write-tree", base, head])?;
        Ok(answer.lines().next().unwrap_or_default().to_owned())
    }

    pub(crate) fn commit_tree(
        &self,
        tree: &str,
        parents: &[&str],
        message: &str,
        by: &Author,
    ) -> String {
        let mut args = vec!["commit-tree", tree, "-m", message];
        for parent in parents {
            args.extend(["-p", parent]);
        }
        let date = format!("{} +0000", by.time);
        let email = format!("{}@example.org", by.login);
        let mut command = self.command(&args);
        for who in ["AUTHOR", "COMMITTER"] {
            command
                .env(format!("GIT_{who}_NAME"), &by.login)
                .env(format!("GIT_{who}_EMAIL"), &email)
                .env(format!("GIT_{who}_DATE"), &date);
        }
        finish(&mut command, b"").unwrap()
    }

    /// The newest commits of a range, oldest first, as many as webhooks tell of.
    pub(crate) fn told(&self, before: &str, after: &str) -> Vec<Told> {
        let range = match before {
            NOTHING => after.to_owned(),
            _ => format!("{before}..{after}"),
        };
        let list = self.ask(&["rev-list", "-n", "20", &range]);
        let list = list.unwrap_or_default();
        let mut commits: Vec<Told> = list.lines().map(|sha| self.tell(sha)).collect();
        commits.reverse();
        commits
    }

    pub(crate) fn tell(&self, sha: &str) -> Told {
        let text = self.git(&["show", "-s", "--format=%T%n%an%n%ae%n%cI%n%B", sha]);
        let mut lines = text.splitn(5, '\n').map(str::to_owned);
        let mut line = || lines.next().unwrap_or_default();
        let mut told = Told {
            sha: sha.to_owned(),
            tree: line(),
            author: line(),
            email: line(),
            time: line(),
            message: line().trim_end().to_owned(),
            added: Vec::new(),
            removed: Vec::new(),
            modified: Vec::new(),
        };
        let names = self.git(&[
            "diff-tree",
            "--root",
            "--no-commit-id",
            "-r",
            "--no-renames",
            "--name-status",
            sha,
        ]);
        for (kind, path) in names.lines().filter_map(|line| line.split_once('\t')) {
            let list = match kind {
                "A" => &mut told.added,
                "D" => &mut told.removed,
                _ => &mut told.modified,
            };
            list.push(path.to_owned());
        }
        told
    }

    /// Lines added, lines taken away, files.
    pub(crate) fn size_of(&self, base: &str, head: &str) -> (u64, u64, u64) {
        let range = format!("{base}...{head}");
        let text = self.ask(&["diff", "--numstat", &range]).unwrap_or_default();
        text.lines()
            .fold((0, 0, 0), |(added, removed, files), line| {
                let mut numbers = line.split('\t').map(|word| word.parse().unwrap_or(0));
                let mut next = || numbers.next().unwrap_or(0);
                (added + next(), removed + next(), files + 1)
            })
    }
}

/// Who makes a commit, and when.
pub(crate) struct Author {
    pub(crate) login: String,
    /// Seconds since 1970.
    pub(crate) time: i64,
}

fn finish(command: &mut Command, input: &[u8]) -> Result<String, String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("git does not start (Debian package: git): {error}"));
    // Nothing that is given here fills a pipe before git reads it.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(format!("{}{}", text(&output.stdout), text(&output.stderr)))
    }
}
