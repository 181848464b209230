//! All that a forge remembers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::Value;

use super::fault::{Faults, Limits, Spent};
use super::hooks::Hooks;
use super::repo::{Author, NOTHING, Repo};
use super::{Kind, Role};

/// Who acts when nobody in particular does.
pub(crate) const OWNER: &str = "distro";
pub(crate) const REPOSITORY: &str = "state";
pub(crate) const REPOSITORY_ID: u64 = 7001;

pub(crate) struct World {
    pub(crate) kind: Kind,
    /// Without a slash at its end.
    pub(crate) site: String,
    pub(crate) root: PathBuf,
    pub(crate) name: String,
    /// Names that the repository had.
    pub(crate) old_names: BTreeSet<String>,
    pub(crate) repo: Repo,
    /// Who has taken their fork away.
    pub(crate) lost_forks: BTreeSet<String>,
    pub(crate) is_installed: bool,
    /// Seconds that this forge's clock is ahead of the machine's.
    pub(crate) ahead: i64,
    pub(crate) roles: BTreeMap<String, Role>,
    /// Number → pull request.
    pub(crate) pulls: BTreeMap<u64, Pull>,
    pub(crate) runs: Vec<Run>,
    pub(crate) statuses: Vec<Status>,
    pub(crate) comments: Vec<Comment>,
    pub(crate) tokens: BTreeMap<String, Token>,
    pub(crate) hooks: Hooks,
    pub(crate) faults: Faults,
    pub(crate) limits: Limits,
    pub(crate) spent: Spent,
    next_id: u64,
}

/// A token, of an installation (GitHub) or of the bot (Gitea).
pub(crate) struct Token {
    /// Seconds since 1970.
    pub(crate) ends: i64,
    /// Name → `read` or `write`.
    pub(crate) permissions: BTreeMap<String, String>,
}

#[derive(Clone)]
pub(crate) struct Pull {
    pub(crate) number: u64,
    pub(crate) title: String,
    /// What people say of it.
    pub(crate) text: String,
    pub(crate) author: String,
    pub(crate) base: String,
    pub(crate) base_sha: String,
    /// Whose repository the branch is in.
    pub(crate) head_owner: String,
    pub(crate) branch: String,
    pub(crate) head: String,
    pub(crate) is_open: bool,
    pub(crate) merged: Option<Merged>,
    pub(crate) created: i64,
    pub(crate) updated: i64,
    pub(crate) closed: Option<i64>,
}

impl Pull {
    pub(crate) fn is_from_fork(&self) -> bool {
        self.head_owner != OWNER
    }
}

#[derive(Clone)]
pub(crate) struct Merged {
    pub(crate) sha: String,
    pub(crate) by: String,
}

/// A check run of GitHub.
#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) sha: String,
    pub(crate) status: String,
    pub(crate) conclusion: Option<String>,
    pub(crate) external_id: String,
    pub(crate) details_url: String,
    pub(crate) title: Option<String>,
    pub(crate) summary: Option<String>,
    pub(crate) text: Option<String>,
    pub(crate) annotations: Vec<Value>,
    pub(crate) actions: Vec<Value>,
    pub(crate) started: String,
    pub(crate) completed: Option<String>,
}

/// A commit status of Gitea.
#[derive(Clone)]
pub(crate) struct Status {
    pub(crate) id: u64,
    pub(crate) sha: String,
    pub(crate) context: String,
    pub(crate) state: String,
    pub(crate) description: String,
    pub(crate) target_url: String,
    pub(crate) created: i64,
}

#[derive(Clone)]
pub(crate) struct Comment {
    pub(crate) id: u64,
    pub(crate) pull: u64,
    pub(crate) author: String,
    pub(crate) body: String,
    pub(crate) created: i64,
    pub(crate) updated: i64,
}

impl World {
    pub(crate) fn new(kind: Kind, root: PathBuf) -> Self {
        let repo = Repo::create(&root.join(OWNER).join(format!("{REPOSITORY}.git")));
        Self {
            kind,
            site: String::new(),
            root,
            name: REPOSITORY.to_owned(),
            old_names: BTreeSet::new(),
            repo,
            lost_forks: BTreeSet::new(),
            is_installed: true,
            ahead: 0,
            // Gitea tells what somebody may do to those alone that administer the repository.
            roles: BTreeMap::from([
                (OWNER.to_owned(), Role::Admin),
                (bot_of(kind).to_owned(), Role::Admin),
            ]),
            pulls: BTreeMap::new(),
            runs: Vec::new(),
            statuses: Vec::new(),
            comments: Vec::new(),
            tokens: BTreeMap::new(),
            hooks: Hooks::new(kind),
            faults: Faults::default(),
            limits: Limits::default(),
            spent: Spent::default(),
            next_id: 100,
        }
    }

    /// Seconds since 1970 by this forge's clock.
    pub(crate) fn now(&self) -> i64 {
        let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX) + self.ahead
    }

    pub(crate) fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub(crate) fn author(&self, login: &str) -> Author {
        Author {
            login: login.to_owned(),
            time: self.now(),
        }
    }

    /// What acts with our tokens.
    pub(crate) fn bot(&self) -> &'static str {
        bot_of(self.kind)
    }

    pub(crate) fn is_branch_there(&self, pull: &Pull) -> bool {
        let name = format!("refs/heads/{}", pull.branch);
        if self.lost_forks.contains(&pull.head_owner) {
            return false;
        }
        match pull.is_from_fork() {
            true => self.fork(&pull.head_owner).commit_of(&name).is_some(),
            false => self.repo.commit_of(&name).is_some(),
        }
    }

    /// Somebody whom the forge knows from now on.
    pub(crate) fn meet(&mut self, login: &str) {
        self.roles.entry(login.to_owned()).or_insert(Role::None);
    }

    /// Numbers are given to pull requests alone: no issues are opened here.
    pub(crate) fn next_number(&self) -> u64 {
        self.pulls.keys().last().map_or(1, |last| last + 1)
    }

    /// A fork that somebody has, made at need.
    pub(crate) fn fork(&self, login: &str) -> Repo {
        let path = self.root.join(login).join(format!("{}.git", self.name));
        if path.exists() {
            return Repo { path };
        }
        let fork = Repo::create(&path);
        let origin = self.repo.path.to_string_lossy().into_owned();
        fork.git(&["fetch", "--quiet", &origin, "+refs/heads/*:refs/heads/*"]);
        fork
    }

    /// The newest run of each name on a commit, oldest first.
    pub(crate) fn latest_runs(&self, sha: &str) -> Vec<&Run> {
        let mut latest: Vec<&Run> = Vec::new();
        for run in self.runs.iter().filter(|run| run.sha == sha) {
            latest.retain(|older| older.name != run.name);
            latest.push(run);
        }
        latest
    }

    /// The check suite of a commit: one, since there is one App.
    pub(crate) fn suite_id(sha: &str) -> u64 {
        u64::from_str_radix(&sha[..8], 16).unwrap_or(0) + 1
    }

    /// Open pull requests of this repository's own branches that have this head.
    pub(crate) fn pulls_at(&self, sha: &str) -> impl Iterator<Item = &Pull> {
        self.pulls
            .values()
            .filter(move |pull| pull.is_open && !pull.is_from_fork() && pull.head == sha)
    }

    /// Where a pull request stands is kept in the repository, as both forges do.
    pub(crate) fn keep_head(&self, number: u64) {
        let name = format!("refs/pull/{number}/head");
        self.repo.set(&name, &self.pulls[&number].head);
    }

    /// A branch's commit, or that there is none.
    pub(crate) fn at(&self, branch: &str) -> String {
        self.repo.tip(branch).unwrap_or_else(|| NOTHING.to_owned())
    }
}

fn bot_of(kind: Kind) -> &'static str {
    match kind {
        Kind::GitHub => "millrace[bot]",
        Kind::Gitea => "millrace-bot",
    }
}

/// A number that somebody always has.
pub(crate) fn user_id(login: &str) -> u64 {
    let mix = |sum: u64, byte: u8| (sum * 31 + u64::from(byte)) % 90_000_000;
    login.bytes().fold(17, mix) + 1000
}

/// RFC 3339.
pub(crate) fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds)
        .unwrap_or_default()
        .to_string()
}
