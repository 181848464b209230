//! The same tests as somebody else.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

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
    let output = command.arg(test).args(threads).output().expect("the tests");
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
        tool("userdel", "passwd", &[USER]);
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
