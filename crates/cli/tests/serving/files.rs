//! A shell's usual limit of open files, and more connections than that.

use reqwest::Method;
use tokio::net::TcpStream;

use crate::up::{Up, in_words, made};

#[tokio::test]
async fn more_connections_than_the_soft_limit_of_files_stop_nobody() {
    let folder = made();
    let shell = ["sh", "-c", "ulimit -Sn 128 && exec \"$0\" \"$@\""];
    let up = Up::started(in_words(&shell, folder.path())).await;
    let address = up.url.trim_start_matches("http://");
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(address).await.expect("a connection"));
    }
    assert_eq!(up.status(Method::GET, "/healthz").await.0, 200);
    let limits = format!("/proc/{}/limits", up.child.id().expect("it runs"));
    let limits = std::fs::read_to_string(limits).expect("its limits");
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = files.and_then(|line| line.split_whitespace().nth(3));
    assert!(soft.is_some_and(|soft| soft != "128"), "{limits}");
}
