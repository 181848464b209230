//! A data directory, and the real program on it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

/// Nothing of these tests takes longer, unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A directory as `millrace init` leaves it, with nothing in its state repository but a name.
pub(crate) fn made() -> TempDir {
    let folder = tempfile::tempdir().expect("a directory");
    let root = folder.path();
    std::fs::create_dir(root.join("secrets")).expect("a directory");
    std::fs::write(root.join("secrets/admin.token"), "0".repeat(64)).expect("a token");
    state(&root.join("state.git"));
    folder
}

/// A bare repository with one commit on `main`.
pub(crate) fn state(path: &Path) {
    commit(path, "main", "millrace.yaml", b"version: 1\nname: test\n");
}

/// The same, with an answer to a request.
pub(crate) fn answered(path: &Path) {
    commit(path, "status", "builds/2026/11/app.yaml", b"an answer");
}

pub(crate) fn commit(path: &Path, branch: &str, file: &str, text: &[u8]) {
    let repository = git::Repository::init_bare(path).expect("a repository");
    let meta = git::CommitMeta {
        name: "Ada".to_owned(),
        email: "ada@example.org".to_owned(),
        time: 0,
        message: "Begin\n".to_owned(),
    };
    let made = repository.commit_files(branch, None, &[(file, Some(text))], &meta);
    let _made = made.expect("committed");
}

/// A file that its owner alone may read.
pub(crate) fn private(path: PathBuf, text: &str) -> PathBuf {
    std::fs::write(&path, text).expect("a file");
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&path, mode).expect("a mode");
    path
}

/// `millrace up` on a free port.
pub(crate) fn up(root: &Path) -> Command {
    in_words(&[], root)
}

/// The same, behind `before`, words that start it.
pub(crate) fn in_words(before: &[&str], root: &Path) -> Command {
    let up = ["up", "--no-runners", "--listen", "127.0.0.1:0", "--data"];
    let mut command = program(before, &up);
    command.arg(root);
    command
}

pub(crate) fn millrace(args: &[&str]) -> Command {
    program(&[], args)
}

fn program(before: &[&str], args: &[&str]) -> Command {
    let words = [before, &[env!("CARGO_BIN_EXE_millrace")], args].concat();
    let mut command = Command::new(words[0]);
    command
        .args(&words[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

pub(crate) struct Up {
    pub(crate) url: String,
    said: Lines<BufReader<ChildStderr>>,
    pub(crate) child: Child,
}

impl Up {
    pub(crate) async fn started(mut command: Command) -> Self {
        let mut child = command.spawn().expect("it starts");
        let out = child.stdout.take().expect("a pipe");
        let said = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let mut lines = BufReader::new(out).lines();
        let first = tokio::time::timeout(PATIENCE, lines.next_line()).await;
        let first = first.expect("in time").expect("text");
        let mut up = Self {
            url: String::new(),
            said,
            child,
        };
        let Some(first) = first else {
            panic!("it ends: {:?}", up.rest().await);
        };
        let (_, url) = first.split_once(" at ").expect("an address");
        let (url, _) = url.split_once("/ ").expect("its end");
        url.clone_into(&mut up.url);
        up
    }

    /// What it says up to a line with `words`, that one too.
    pub(crate) async fn says(&mut self, words: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = tokio::time::timeout(PATIENCE, self.said.next_line()).await;
            let Ok(Ok(Some(line))) = line else {
                panic!("nobody says {words:?}: {lines:#?}");
            };
            let is_it = line.contains(words);
            lines.push(line);
            if is_it {
                return lines;
            }
        }
    }

    async fn rest(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Ok(Some(line)) = self.said.next_line().await {
            lines.push(line);
        }
        lines
    }

    pub(crate) async fn status(&self, method: reqwest::Method, path: &str) -> (u16, String) {
        let client = reqwest::Client::builder().timeout(PATIENCE).build();
        let client = client.expect("a client");
        let answer = client.request(method, format!("{}{path}", self.url));
        let answer = answer.send().await.expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.text().await.expect("text"))
    }
}

/// Of a program that is to end by itself: its code, and what it said.
pub(crate) async fn ended(mut command: Command) -> (i32, String) {
    let output = command.spawn().expect("it starts").wait_with_output();
    let output = tokio::time::timeout(PATIENCE, output).await;
    let output = output
        .unwrap_or_else(|_| panic!("{command:?} hangs"))
        .expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap_or(-1), said)
}
