//! The state repository's server is gone when `millrace up` starts.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fake_forge::Server;
use reqwest::Method;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use crate::up::{PATIENCE, Up, answered, ended, made, state, up};

/// A server of git behind a wire that can be cut: it closes what comes until it is mended.
async fn behind_a_wire(folder: &Path) -> (String, Arc<AtomicBool>) {
    let server = Server::start(folder);
    let real = server.url("state.git");
    let real = real.trim_start_matches("http://");
    let real = real.split('/').next().expect("a host").to_owned();
    let wire = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!(
        "http://{}/state.git",
        wire.local_addr().expect("an address")
    );
    let is_whole = Arc::new(AtomicBool::new(false));
    let flag = is_whole.clone();
    tokio::spawn(async move {
        let _kept = server;
        while let Ok((mut here, _)) = wire.accept().await {
            if flag.load(Ordering::SeqCst) {
                let real = real.clone();
                tokio::spawn(async move {
                    let mut there = TcpStream::connect(real).await.expect("the server");
                    let _ended = copy_bidirectional(&mut here, &mut there).await;
                });
            }
        }
    });
    (url, is_whole)
}

/// `millrace up` on the state repository `state`.
fn at(root: &Path, state: &str) -> tokio::process::Command {
    let mut command = up(root);
    command.args(["--state", state]);
    command
}

#[tokio::test]
async fn what_is_published_is_served_and_work_waits() {
    let folder = made();
    let root = folder.path();
    let (url, is_whole) = behind_a_wire(root).await;
    // As an earlier start left it.
    state(&root.join("state-cache.git"));
    let mut up = Up::started(at(root, &url)).await;
    let said = up.says("cannot be reached").await;
    let last = said.last().expect("a line");
    assert!(
        last.contains(&url) && last.contains("wait for it"),
        "{last}"
    );
    assert_eq!(up.status(Method::GET, "/healthz").await.0, 200);
    assert_eq!(up.status(Method::GET, "/repos/").await.0, 200);
    let (status, why) = up.status(Method::POST, "/api/v1/retry").await;
    assert_eq!(status, 503, "{why}");
    assert!(
        why.contains("the state repository cannot be reached"),
        "{why}"
    );
    is_whole.store(true, Ordering::SeqCst);
    let said = up.says("work goes on").await;
    let repeated = said.iter().filter(|line| line.contains("WARN"));
    assert_eq!(repeated.count(), 0, "{said:?}");
    let (status, why) = up.status(Method::POST, "/api/v1/retry").await;
    assert_ne!(status, 503, "{why}");
}

/// An empty database in the place of one that was lost would hide the loss.
#[tokio::test]
async fn a_lost_ledger_is_found_once_it_is_back() {
    let folder = made();
    let root = folder.path();
    let (url, is_whole) = behind_a_wire(root).await;
    state(&root.join("state-cache.git"));
    answered(&root.join("state.git"));
    let mut up = Up::started(at(root, &url)).await;
    up.says("cannot be reached").await;
    is_whole.store(true, Ordering::SeqCst);
    up.says("`millrace recover` rebuilds it").await;
    let ended = tokio::time::timeout(PATIENCE, up.child.wait()).await;
    let ended = ended.expect("in time").expect("it ends");
    assert_eq!(ended.code(), Some(3));
    assert!(!root.join("data/millrace.db").exists());
}

#[tokio::test]
async fn the_first_start_needs_it() {
    let folder = made();
    let (url, _cut) = behind_a_wire(folder.path()).await;
    let (code, said) = ended(at(folder.path(), &url)).await;
    assert_eq!(code, 3, "{said}");
    for words in [&url, "no copy of its branch main", "start again"] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[tokio::test]
async fn a_wrong_place_is_an_error_with_a_copy_too() {
    let folder = made();
    let root = folder.path();
    let (url, is_whole) = behind_a_wire(root).await;
    is_whole.store(true, Ordering::SeqCst);
    state(&root.join("state-cache.git"));
    let other = url.replace("state.git", "no-such.git");
    let missing = root.join("no-such.git").display().to_string();
    for (place, expect) in [(&other, "does not exist"), (&missing, "no-such.git")] {
        let (code, said) = ended(at(root, place)).await;
        assert_eq!(code, 3, "{said}");
        assert!(said.contains(expect), "{said}");
    }
}
