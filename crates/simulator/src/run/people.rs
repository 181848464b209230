//! What people do in a run: pushes, cancels, retries, and commits where they have no business.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use control::CommandError;
use pipeline_spec::RequestPath;
use ports::{NewCommit, Platform, StateRepo};

use super::{Answer, Run, Who, block};
use crate::history::{ADA, Act, Files};
use crate::past::Past;
use crate::upstream::{PACKAGES, VERSIONS, commit, git_ref, url};

impl Run {
    /// Somebody writes where only the machine should.
    pub(crate) fn status_rival(&mut self) {
        self.pushes += 1;
        let repo = self.memory.state_repo().clone();
        let Some(tip) = block(repo.head("status")).expect("memory") else {
            return;
        };
        let author = ADA;
        let files = block(repo.list(&tip, "")).expect("memory");
        let file = files.get(self.rng.usize(..files.len().max(1))).cloned();
        let junk = Some(Bytes::from(format!("by hand {}", self.pushes)));
        let write = |path: &str, content| NewCommit {
            files: vec![(path.to_owned(), content)],
            message: "by hand".to_owned(),
            time: 1_782_000_000 + self.pushes,
        };
        let what = match (self.rng.u32(..6), file) {
            (0, _) => {
                repo.delete("status");
                self.witness.status_may_return();
                "deletes the status branch".to_owned()
            }
            (1, _) => {
                repo.force_push("status", author, write("NOTES.md", junk));
                "replaces the status branch".to_owned()
            }
            (2, _) => {
                let info = block(repo.info(&tip)).expect("memory");
                if let Some(parent) = info.parents.first() {
                    repo.reset("status", parent);
                    self.witness.status_may_return();
                }
                "puts the status branch back by one commit".to_owned()
            }
            (3, Some(file)) => {
                repo.push("status", author, write(&file, None));
                format!("deletes {file} on the status branch")
            }
            (4, Some(file)) => {
                repo.push("status", author, write(&file, junk));
                format!("writes {file} on the status branch")
            }
            _ => {
                repo.push("status", author, write("NOTES.md", junk));
                "commits to the status branch".to_owned()
            }
        };
        self.log.push(format!("somebody {what}"));
    }

    /// A ref of a package's repository names another commit from now on.
    pub(super) fn move_ref(&mut self) {
        self.moved += 1;
        let (package, _) = PACKAGES[self.rng.usize(..PACKAGES.len())];
        let version = self.rng.u32(1..=VERSIONS.min(10));
        let to = commit(version, self.moved);
        let repo = self.memory.state_repo();
        repo.set_ref(&url(package), &git_ref(version), &to);
    }

    /// What a person does, at once.
    pub(crate) fn act(&mut self, act: &Act) {
        match act {
            Act::Push(author, files) => self.push(author, files, false),
            Act::ForcePush(author, files) => self.push(author, files, true),
            Act::Delete => {
                self.log.push("delete main".to_owned());
                self.memory.state_repo().delete("main");
            }
            Act::Cancel(path) => self.person(path, "cancel"),
            Act::Retry(path) => self.person(path, "retry"),
            Act::Haste => {}
        }
    }

    fn push(&mut self, author: &str, files: &Files, by_force: bool) {
        self.pushes += 1;
        let removed = self.tree.keys().filter(|path| !files.contains_key(*path));
        let removed = removed.map(|path| (path.clone(), None));
        let written = files.iter().map(|(path, text)| {
            let text = Bytes::copy_from_slice(text.as_bytes());
            (path.clone(), Some(text))
        });
        let changed: Vec<&String> = files
            .iter()
            .filter(|(path, text)| self.tree.get(*path) != Some(*text))
            .map(|(path, _)| path)
            .collect();
        self.log.push(format!(
            "push {} of {author} (by force: {by_force}) {changed:?}",
            self.pushes
        ));
        let new = NewCommit {
            files: removed.chain(written).collect(),
            message: format!("commit {}", self.pushes),
            time: 1_782_000_000 + self.pushes,
        };
        let proposed = self.propose(&new);
        let repo = self.memory.state_repo();
        if by_force {
            repo.force_push("main", author, new);
            self.merged(proposed, None);
        } else {
            let merged = repo.push("main", author, new);
            self.merged(proposed, Some(&merged));
        }
        self.tree.clone_from(files);
        if self.gate.happens(|rates| rates.moved_ref) {
            self.move_ref();
        }
        if self.gate.happens(|rates| rates.doubled_webhook) {
            for _ in 0..2 {
                self.webhook();
            }
        }
    }

    /// Somebody tells of a push.
    fn webhook(&mut self) {
        let plane = self.rng.usize(..self.planes.len());
        let control = self.planes[plane].clone();
        let future = Box::pin(async move {
            let _ends_in_the_log = control.plan_head().await;
            Answer::Nothing
        });
        self.under_way((plane, "planning"), Who::Nobody, future);
    }

    /// A person cancels one of the requests that there are.
    pub(super) fn cancel_something(&mut self) {
        let paths = self.tree.keys().filter(|path| path.contains("/2026/"));
        let paths: Vec<String> = paths.cloned().collect();
        if !paths.is_empty() {
            let path = &paths[self.rng.usize(..paths.len())];
            self.person(path, "cancel");
        }
    }

    fn person(&mut self, path: &str, what: &'static str) {
        self.log.push(format!("{what} {path}"));
        let path: RequestPath = path.parse().expect("a request's path");
        let plane = self.rng.usize(..self.planes.len());
        let control = self.planes[plane].clone();
        let future: Pin<Box<dyn Future<Output = Answer>>> = Box::pin(async move {
            if what == "cancel" {
                let _ = control.cancel_request(&path, "not needed").await;
            } else {
                let _ = control.retry_request(&path).await;
            }
            Answer::Nothing
        });
        self.under_way((plane, what), Who::Nobody, future);
    }

    /// A person's command, given again until it is heard.
    pub(crate) fn insist(&mut self, path: &str, what: &str) {
        let path: RequestPath = path.parse().expect("a request's path");
        for _ in 0..5 {
            let control = self.control();
            let done = block(async {
                if what == "cancel" {
                    control.cancel_request(&path, "not needed").await
                } else {
                    control.retry_request(&path).await
                }
            });
            match done {
                Err(CommandError::Control(error)) => self.trouble(&error),
                Ok(_) | Err(_) => return,
            }
        }
        self.witness
            .violated(format!("nobody hears the {what} of {path}"));
    }

    /// The ledger and the queues are lost. Each try of a person begins with an empty ledger.
    pub(crate) fn recover(&mut self) {
        for _ in 0..5 {
            self.store.lose();
            self.past = Past::default();
            self.witness.loses(true);
            self.restart();
            let control = self.control();
            match block(control.recover(|_, _| {})) {
                Ok(recovered) => {
                    for problem in recovered.problems {
                        self.witness
                            .violated(format!("recover: {}: {}", problem.subject, problem.message));
                    }
                    return self.witness.loses(false);
                }
                Err(error) => self.trouble(&error),
            }
        }
        self.witness.violated("the ledger cannot be rebuilt");
    }
}
