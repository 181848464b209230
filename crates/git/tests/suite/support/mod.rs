//! Repositories made by git.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use git::{CommitId, CommitMeta, Edit, Outcome, Repository};

/// 2026-01-02 03:04:05 UTC.
pub(crate) const TIME: i64 = 1_767_323_045;

/// Runs git without the machine's configuration; gives its output without the last newline.
pub(crate) fn git(directory: &Path, arguments: &[&str]) -> String {
    let (ok, output) = try_git(directory, arguments, b"");
    assert!(ok, "git {arguments:?} in {}: {output}", directory.display());
    output
}

/// As [`git`], with input; and failures are given back.
pub(crate) fn try_git(directory: &Path, arguments: &[&str], input: &[u8]) -> (bool, String) {
    use std::io::Write as _;
    let mut child = command()
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("git does not start (Debian package: git): {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feeder = std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        text.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    (
        output.status.success(),
        text.trim_end_matches('\n').to_owned(),
    )
}

pub(crate) fn command() -> Command {
    let mut command = Command::new("git");
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", "/nonexistent")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_AUTHOR_NAME", "Ann")
        .env("GIT_AUTHOR_EMAIL", "ann@example.org")
        .env("GIT_AUTHOR_DATE", format!("{TIME} +0000"))
        .env("GIT_COMMITTER_NAME", "Ann")
        .env("GIT_COMMITTER_EMAIL", "ann@example.org")
        .env("GIT_COMMITTER_DATE", format!("{TIME} +0000"));
    command
}

/// A bare repository made by git, strict about what is pushed to it.
pub(crate) fn bare(parent: &Path, name: &str) -> PathBuf {
    let path = parent.join(name);
    git(parent, &["init", "-q", "--bare", "-b", "main", name]);
    git(&path, &["config", "http.receivepack", "true"]);
    git(&path, &["config", "receive.fsckObjects", "true"]);
    path
}

/// A bare repository with `files` committed to `main` by git; gives the commit too.
pub(crate) fn bare_with(parent: &Path, name: &str, files: &[(&str, &str)]) -> (PathBuf, CommitId) {
    let path = bare(parent, name);
    let commit = fast_import(&path, "main", None, files);
    (path, commit)
}

/// Commits `files` to `branch` with `git fast-import`.
pub(crate) fn fast_import(
    repository: &Path,
    branch: &str,
    parent: Option<CommitId>,
    files: &[(&str, &str)],
) -> CommitId {
    let mut stream = format!(
        "commit refs/heads/{branch}\ncommitter Ann <ann@example.org> {TIME} +0000\ndata 5\nFirst\n"
    );
    if let Some(parent) = parent {
        stream.push_str(&format!("from {parent}\n"));
    }
    for (path, content) in files {
        stream.push_str(&format!(
            "M 100644 inline {path}\ndata {}\n{content}\n",
            content.len()
        ));
    }
    let (ok, output) = try_git(
        repository,
        &["fast-import", "--quiet", "--force"],
        stream.as_bytes(),
    );
    assert!(ok, "{output}");
    git(repository, &["rev-parse", &format!("refs/heads/{branch}")])
        .parse()
        .unwrap()
}

pub(crate) fn meta(message: &str) -> CommitMeta {
    CommitMeta {
        name: "Millrace".to_owned(),
        email: "millrace@example.org".to_owned(),
        time: TIME,
        message: message.to_owned(),
    }
}

/// Commits, and insists.
pub(crate) fn commit(
    repository: &Repository,
    branch: &str,
    parent: Option<CommitId>,
    edits: &[Edit<'_>],
) -> CommitId {
    match repository
        .commit_files(branch, parent, edits, &meta("Update"))
        .unwrap()
    {
        Outcome::Committed(commit) => commit,
        other => panic!("{other:?}"),
    }
}

/// `path content` of every file git sees in `revision`.
pub(crate) fn files(repository: &Path, revision: &str) -> Vec<String> {
    git(
        repository,
        &[
            "-c",
            "core.quotePath=off",
            "ls-tree",
            "-r",
            "--name-only",
            revision,
        ],
    )
    .lines()
    .map(|path| {
        let content = git(repository, &["show", &format!("{revision}:{path}")]);
        format!("{path} {content}")
    })
    .collect()
}

/// git's own opinion of every object and ref.
pub(crate) fn fsck(repository: &Path) {
    git(repository, &["fsck", "--strict", "--no-dangling", "--full"]);
}

/// Where a server has a repository.
pub(crate) fn url(server: &fake_forge::Server, repository: &str) -> git::RemoteUrl {
    server.url(repository).parse().unwrap()
}
