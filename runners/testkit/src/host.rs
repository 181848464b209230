//! This machine: where tests keep things, and its tools.

use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use sandbox::{Config, Sandbox};

/// `target`, as the place of the test program shows: `target/debug/deps/test-0123`.
fn target() -> PathBuf {
    let own = std::env::current_exe().expect("this test's file");
    let target = own.ancestors().nth(3).expect("a test is in target/*/deps");
    target.to_owned()
}

/// A directory that is kept between runs.
pub fn cache(name: &str) -> PathBuf {
    let path = target().join("tmp").join(name);
    std::fs::create_dir_all(&path).expect("a cache directory");
    path
}

/// A sandbox whose roots are kept in `state`.
pub async fn sandbox(state: &Path) -> Sandbox {
    let config = Config::new(state.join("sandbox")).helper(helper());
    let opened = Sandbox::open(config).await;
    opened.unwrap_or_else(|error| panic!("failed to {error}"))
}

/// The sandbox's helper program, which cargo puts beside the test's own directory.
fn helper() -> PathBuf {
    let own = std::env::current_exe().expect("this test's file");
    let profile = own.ancestors().nth(2).expect("a test is in target/*/deps");
    let path = profile.join("millrace-sandbox-init");
    assert!(
        path.exists(),
        "{} is missing: run `cargo build -p sandbox`",
        path.display()
    );
    path
}

/// A directory in memory, where there is one.
pub(crate) fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    made.expect("a directory")
}

/// An RPM distribution out of Debian's packages, shared with the other suites and the demo.
pub fn bridge() -> &'static bridge::Bridge {
    static BRIDGE: OnceLock<bridge::Bridge> = OnceLock::new();
    BRIDGE.get_or_init(|| {
        let request = bridge::Request {
            out: target().join("bridge"),
            key: None,
            jobs: NonZeroUsize::MIN.saturating_add(1),
            include: vec![],
            resolve: bridge::Resolve::Once,
        };
        bridge::make(&request, &|line| println!("{line}"))
            .expect("the bridge")
            .bridge()
            .clone()
    })
}

/// Runs a tool that must end well, and answers its output.
#[track_caller]
pub fn run(command: &mut Command, debian_package: &str) -> String {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{name}: {error}; install {debian_package}"));
    assert!(output.status.success(), "{name}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Writes a file, and the directories on the way to it.
pub fn write(path: &Path, text: &str, mode: u32) {
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
    std::fs::write(path, text).expect("a file");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
}
