//! What happens in a repository, and who is told.

use std::collections::BTreeMap;

use super::repo::NOTHING;
use super::world::{Merged, World};
use super::{Kind, gitea, github};

/// Something that a webhook tells of.
pub(crate) enum Event {
    Ping,
    /// A branch or a tag, by its whole name, is at another commit.
    Push {
        name: String,
        before: String,
        after: String,
    },
    Created {
        name: String,
    },
    Deleted {
        name: String,
    },
    Pull {
        number: u64,
        act: Act,
    },
    /// The commit's checks are wanted, or wanted again.
    Suite {
        sha: String,
        before: String,
        action: &'static str,
    },
    Run {
        id: u64,
        action: &'static str,
        /// The identifier of what was clicked on.
        asked: Option<String>,
    },
    Comment {
        id: u64,
        action: &'static str,
    },
    Renamed {
        from: String,
    },
    Uninstalled,
}

/// What became of a pull request.
pub(crate) enum Act {
    Opened,
    /// Its head was at another commit before.
    Pushed(String),
    Closed,
    Reopened,
}

impl World {
    pub(crate) fn emit(&mut self, event: &Event, sender: &str) {
        let told = match self.kind {
            Kind::GitHub => github::hook::payload(self, event, sender),
            Kind::Gitea => gitea::hook::payload(self, event, sender),
        };
        if let Some((name, kind, payload)) = told {
            self.hooks.send(name, kind, &payload);
        }
    }

    /// Tells of all that moved since, and has pull requests follow.
    pub(crate) fn moved(&mut self, before: &BTreeMap<String, String>, sender: &str) {
        let after = self.repo.refs();
        let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
        names.sort();
        names.dedup();
        for name in names {
            let at = |refs: &BTreeMap<String, String>| {
                refs.get(name).map_or(NOTHING, String::as_str).to_owned()
            };
            let (old, new) = (at(before), at(&after));
            if old != new {
                self.one_moved(name, old, new, sender);
            }
        }
    }

    fn one_moved(&mut self, name: &str, before: String, after: String, sender: &str) {
        let named = name.to_owned();
        if before == NOTHING {
            self.emit(
                &Event::Created {
                    name: named.clone(),
                },
                sender,
            );
        }
        if after == NOTHING {
            self.emit(
                &Event::Deleted {
                    name: named.clone(),
                },
                sender,
            );
        }
        let push = Event::Push {
            name: named,
            before: before.clone(),
            after: after.clone(),
        };
        self.emit(&push, sender);
        let Some(branch) = name.strip_prefix("refs/heads/") else {
            return;
        };
        if after != NOTHING {
            let suite = Event::Suite {
                sha: after.clone(),
                before,
                action: "requested",
            };
            self.emit(&suite, sender);
        }
        self.heads_follow(super::world::OWNER, branch, &after, sender);
        self.bases_follow(branch, &after, sender);
    }

    /// Open pull requests of a branch that moved.
    pub(crate) fn heads_follow(&mut self, owner: &str, branch: &str, to: &str, sender: &str) {
        let now = self.now();
        let meant: Vec<u64> = self
            .pulls
            .values()
            .filter(|p| p.is_open && p.head_owner == owner && p.branch == branch && p.head != to)
            .map(|p| p.number)
            .collect();
        for number in meant {
            if to == NOTHING {
                self.end(number, None, sender);
                continue;
            }
            let base_sha = self.at(&self.pulls[&number].base);
            let pull = self.pulls.get_mut(&number).unwrap();
            let before = std::mem::replace(&mut pull.head, to.to_owned());
            pull.base_sha = base_sha;
            pull.updated = now;
            self.keep_head(number);
            let act = Act::Pushed(before);
            self.emit(&Event::Pull { number, act }, sender);
        }
    }

    /// A pull request whose commits were pushed to its base is merged by that.
    fn bases_follow(&mut self, branch: &str, to: &str, sender: &str) {
        let meant: Vec<u64> = self
            .pulls
            .values()
            .filter(|p| p.is_open && p.base == branch && to != NOTHING)
            .filter(|p| p.head != p.base_sha && self.repo.is_ancestor(&p.head, to))
            .map(|p| p.number)
            .collect();
        for number in meant {
            let merged = Merged {
                sha: to.to_owned(),
                by: sender.to_owned(),
            };
            self.end(number, Some(merged), sender);
        }
    }

    pub(crate) fn end(&mut self, number: u64, merged: Option<Merged>, sender: &str) {
        let now = self.now();
        let pull = self.pulls.get_mut(&number).unwrap();
        pull.is_open = false;
        pull.merged = merged;
        pull.updated = now;
        pull.closed = Some(now);
        let act = Act::Closed;
        self.emit(&Event::Pull { number, act }, sender);
    }
}
