//! What people do in a run: pushes, cancels, retries, and commits where they have no business.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use pipeline_spec::RequestPath;
use ports::{NewCommit, Platform};

use super::{Answer, Call, Run, Who};
use crate::history::{Act, Files};

impl Run {
    pub(super) fn status_rival(&mut self) {
        self.pushes += 1;
        let new = NewCommit {
            files: vec![(
                "NOTES.md".to_owned(),
                Some(Bytes::from(self.pushes.to_string())),
            )],
            message: "by hand".to_owned(),
            time: 1_782_000_000 + self.pushes,
        };
        let repo = self.memory.state_repo();
        repo.push("status", "Ada <ada@example.org>", new);
    }

    /// What a person does, at once.
    pub(crate) fn act(&mut self, act: &Act) {
        match act {
            Act::Push(files) => self.push(files, false),
            Act::ForcePush(files) => self.push(files, true),
            Act::Cancel(path) => self.person(path, "cancel"),
            Act::Retry(path) => self.person(path, "retry"),
        }
    }

    fn push(&mut self, files: &Files, by_force: bool) {
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
            "push {} (by force: {by_force}) {changed:?}",
            self.pushes
        ));
        let new = NewCommit {
            files: removed.chain(written).collect(),
            message: format!("commit {}", self.pushes),
            time: 1_782_000_000 + self.pushes,
        };
        let repo = self.memory.state_repo();
        let author = "Ada <ada@example.org>";
        if by_force {
            repo.force_push("main", author, new);
        } else {
            repo.push("main", author, new);
        }
        self.tree.clone_from(files);
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
        self.calls.push(Call {
            plane,
            who: Who::Nobody,
            future,
        });
    }
}
