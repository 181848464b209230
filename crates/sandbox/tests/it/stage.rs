//! What every test needs: a sandbox with a tiny root, and commands in it.

use std::path::{Path, PathBuf};

use sandbox::{
    CancellationToken, Command, Config, Ended, Limits, Root, RootEntry, RootKey, Sandbox, Workspace,
};

const BUSYBOX: &str = "/bin/busybox";
pub(crate) const DISK_BYTES: u64 = 64 << 20;

/// Beside the test program, or where cargo builds.
pub(crate) fn helper() -> PathBuf {
    let beside = std::env::current_exe()
        .expect("our own path")
        .with_file_name("millrace-sandbox-init");
    if beside.is_file() {
        beside
    } else {
        env!("CARGO_BIN_EXE_millrace-sandbox-init").into()
    }
}

/// The example that is a runner of its own.
pub(crate) fn runner() -> PathBuf {
    let beside = helper().with_file_name("millrace-sandbox-run");
    if beside.is_file() {
        beside
    } else {
        helper()
            .with_file_name("examples")
            .join("millrace-sandbox-run")
    }
}

pub(crate) fn state() -> PathBuf {
    let beside = helper().with_file_name("state");
    if beside.is_dir() {
        beside
    } else {
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("sandbox")
    }
}

/// A state directory of its own for a test that looks at all of it.
pub(crate) fn own_state() -> tempfile::TempDir {
    std::fs::create_dir_all(state()).expect("a state directory");
    tempfile::tempdir_in(state()).expect("a directory")
}

pub(crate) async fn open(state: &Path) -> Sandbox {
    let opened = Sandbox::open(Config::new(state).helper(helper())).await;
    opened.unwrap_or_else(|error| panic!("failed to {error}: {error:?}"))
}

pub(crate) fn limits() -> Limits {
    Limits {
        memory_bytes: 256 << 20,
        processes: 64,
        wall: std::time::Duration::from_secs(60),
        disk_bytes: DISK_BYTES,
        log_bytes: 1 << 20,
    }
}

pub(crate) fn make_busybox() -> Command {
    assert!(
        Path::new(BUSYBOX).is_file(),
        "{BUSYBOX} is missing: install the Debian package busybox-static"
    );
    let script = "set -e; cd /workspace; mkdir bin etc root; cp /in/busybox bin/; mkdir suid; cp /in/busybox suid/su; chmod 4755 suid/su
        for name in $(bin/busybox --list); do [ -e bin/$name ] || ln -s busybox bin/$name; done
        rm bin/setpriv; cp /in/setpriv bin/; for file in $(ldd /in/setpriv | grep -o '/[^ ]*'); do
        mkdir -p .$(dirname $file); cp $file .$file; done
        echo root:x:0:0::/root:/bin/sh >etc/passwd; echo root:x:0: >etc/group";
    Command::prepare_on_host(["sh", "-c", script]).bind_read_only("/bin", "/in")
}

pub(crate) async fn root(sandbox: &Sandbox, name: &str) -> Root {
    match sandbox
        .root(&RootKey::new(name).expect("a key"), None)
        .await
        .expect("a root")
    {
        RootEntry::Ready(root) => root,
        RootEntry::Missing(new) => {
            let (ended, log) = run(new.workspace(), &make_busybox()).await;
            assert_eq!(ended, Ended::Exited(0), "{log}");
            new.commit().await.expect("a complete root")
        }
    }
}

pub(crate) async fn workspace() -> Workspace {
    let sandbox = open(&state()).await;
    let root = root(&sandbox, "busybox-3").await;
    sandbox
        .workspace(&root, DISK_BYTES)
        .await
        .unwrap_or_else(|error| panic!("failed to {error}"))
}

pub(crate) async fn run(workspace: &Workspace, command: &Command) -> (Ended, String) {
    run_within(workspace, command, &limits()).await
}

pub(crate) async fn run_within(
    workspace: &Workspace,
    command: &Command,
    limits: &Limits,
) -> (Ended, String) {
    let mut log = Vec::new();
    let ended = workspace
        .run(command, limits, &mut log, &CancellationToken::new())
        .await;
    let log = String::from_utf8_lossy(&log).into_owned();
    (
        ended.unwrap_or_else(|error| panic!("failed to {error}: {error:?}")),
        log,
    )
}

pub(crate) fn build(script: &str) -> Command {
    Command::build(["sh", "-c", script])
        .writable("/build")
        .current_dir("/build")
}

/// Seconds to sleep that nobody else on this machine sleeps: the same tests may run as several users at once.
pub(crate) fn mark() -> String {
    let since = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .expect("a clock after 1970");
    format!("47{:09}", since.subsec_nanos())
}

/// Processes of this machine whose command line has `mark` in it.
pub(crate) fn processes(mark: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(mark) {
            found.push(line);
        }
    }
    found
}
