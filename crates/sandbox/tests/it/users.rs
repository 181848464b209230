//! The same tests as somebody else.

use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use nix::unistd::{User, getuid};

use crate::stage::{helper, open, own_state, runner};

const USER: &str = "millrace-test";

fn tool(program: &str, package: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output();
    let output = output
        .unwrap_or_else(|error| panic!("{program}: {error}; install the Debian package {package}"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Copies of the programs where everybody can run them, with a state directory of the given owner.
fn stage(owner: u32) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    let everybody = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(path, everybody).expect("a mode");
    let test = std::env::current_exe().expect("our own path");
    for (from, name) in [
        (test, "test"),
        (helper(), "millrace-sandbox-init"),
        (runner(), "millrace-sandbox-run"),
    ] {
        std::fs::copy(from, path.join(name)).expect("a copy");
    }
    let state = path.join("state");
    std::fs::create_dir(&state).expect("a directory");
    chown(&state, Some(owner), Some(owner)).expect("an owner");
    directory
}

fn pass(mut command: Command, test: &Path) {
    let threads = ["--test-threads=2", "--skip", "users::"];
    judge(command.arg(test).args(threads).output().expect("the tests"));
}

fn judge(output: Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(!text.contains(" 0 passed"), "{text}");
}

/// Removes the user however the test ends.
struct Guest;

impl Drop for Guest {
    fn drop(&mut self) {
        let removed = Command::new("userdel").arg(USER).output();
        if !removed.is_ok_and(|output| output.status.success()) && !std::thread::panicking() {
            panic!("the user {USER} stays: remove it with userdel {USER}");
        }
    }
}

#[test]
fn everything_holds_for_an_ordinary_user() {
    if !getuid().is_root() {
        // Then all the other tests just did.
        return;
    }
    if User::from_name(USER).expect("users").is_none() {
        tool(
            "useradd",
            "passwd",
            &["--no-create-home", "--shell", "/usr/sbin/nologin", USER],
        );
    }
    let _guest = Guest;
    let ranges = std::fs::read_to_string("/etc/subuid").unwrap_or_default();
    if !ranges
        .lines()
        .any(|line| line.starts_with(&format!("{USER}:")))
    {
        tool(
            "usermod",
            "passwd",
            &[
                "--add-subuids",
                "700000-765535",
                "--add-subgids",
                "700000-765535",
                USER,
            ],
        );
    }
    let id = User::from_name(USER)
        .expect("users")
        .expect("the user just made")
        .uid
        .as_raw();
    let stage = stage(id);
    let mut command = Command::new("setpriv");
    command
        .args([
            format!("--reuid={id}"),
            format!("--regid={id}"),
            "--clear-groups".into(),
        ])
        .current_dir("/");
    pass(command, &stage.path().join("test"));
}

/// Root whose kernel has no user namespaces, as a user namespace that allows no further one. The map is root's own. Two things
/// are weaker there: root inside is root, and a missing program is noticed by setpriv, whose exit code it is.
#[test]
fn everything_but_root_in_builds_holds_without_user_namespaces() {
    if !getuid().is_root() {
        // An ordinary user has nothing to drop: without user namespaces there is no sandbox.
        return;
    }
    let stage = stage(0);
    let script = format!(
        "read go; exec unshare --mount --pid --fork --mount-proc sh -c \
         'echo 0 >/proc/sys/user/max_user_namespaces; exec {0}/test --test-threads=2 --skip users:: --skip nobody_outside \
         --skip a_program_that_is_not_there'",
        stage.path().display()
    );
    let mut child = Command::new("unshare")
        .args(["--user", "sh", "-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("unshare (Debian package util-linux)");
    let namespace =
        |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/user")).expect("a namespace");
    let pid = child.id().to_string();
    while namespace(&pid) == namespace("self") {
        std::thread::yield_now();
    }
    for file in ["gid_map", "uid_map"] {
        std::fs::write(format!("/proc/{pid}/{file}"), "0 0 65536").expect("a map");
    }
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(b"go\n")
        .expect("a word");
    judge(child.wait_with_output().expect("the tests"));
}

#[tokio::test]
async fn findings_are_said_in_words() {
    let state = own_state();
    let words = open(state.path()).await.capabilities().explain();
    assert!(words.contains("workspaces get the"), "{words}");
    assert!(words.contains("roots are overlay mounts\n"), "{words}");
    assert!(
        words.contains("memory: limited ") && words.contains("processes: limited "),
        "{words}"
    );
}
