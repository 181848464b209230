//! Real sockets of those who connect and say nothing, or not all.

use std::time::Duration;

use server::Connections;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Nothing of these tests takes longer, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(30);
const BOUNDS: Connections = Connections {
    most: 4,
    silent: Duration::from_millis(100),
    unread: Duration::from_millis(300),
};

async fn served() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let slow = async || {
        tokio::time::sleep(BOUNDS.silent * 3).await;
        "slow"
    };
    let router = axum::Router::new()
        .route("/", axum::routing::get(async || "well"))
        .route("/large", axum::routing::get(async || vec![0_u8; 64 << 20]))
        .route("/slow", axum::routing::get(slow));
    tokio::spawn(server::serve(listener, router, BOUNDS));
    address
}

/// What comes on a connection after `words`, until its end.
async fn answer(stream: &mut TcpStream, words: &str) -> String {
    stream.write_all(words.as_bytes()).await.expect("sent");
    let mut text = String::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut text));
    // A connection that is reset has ended, too.
    let _end = read.await.expect("it ends");
    text
}

async fn connected(address: std::net::SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.expect("a connection")
}

#[tokio::test]
async fn silent_ones_are_closed_and_others_are_answered() {
    let address = served().await;
    let mut silent = Vec::new();
    for words in ["", "GET / HTTP/1.1\r\nhost: x\r\n"].repeat(5) {
        let mut stream = connected(address).await;
        stream.write_all(words.as_bytes()).await.expect("sent");
        silent.push(stream);
    }
    let last = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let said = answer(&mut connected(address).await, last).await;
    assert!(said.ends_with("well"), "{said}");
    for mut stream in silent {
        assert_eq!(answer(&mut stream, "").await, "");
    }
}

#[tokio::test]
async fn answers_that_nobody_reads_end() {
    let address = served().await;
    let mut unread = Vec::new();
    for _ in 0..BOUNDS.most {
        let mut stream = connected(address).await;
        let asks = b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n";
        stream.write_all(asks).await.expect("sent");
        unread.push(stream);
    }
    let last = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let said = answer(&mut connected(address).await, last).await;
    assert!(said.ends_with("well"), "{said}");
}

#[tokio::test]
async fn a_shut_latch_lets_questions_through() {
    let well = || async { "well" };
    let router = axum::Router::new().route("/", axum::routing::get(well).post(well));
    let latch = server::Latch::default();
    let router = latch.before(router, "not yet");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(server::serve(listener, router, BOUNDS));
    let check = async |method: &str, status: &str, expect: &str| {
        let words = format!("{method} / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let said = answer(&mut connected(address).await, &words).await;
        assert!(said.contains(status) && said.ends_with(expect), "{said}");
    };
    check("GET", " 200 ", "well").await;
    check("POST", " 503 ", r#"{"error":"not yet"}"#).await;
    latch.open();
    check("POST", " 200 ", "well").await;
}

#[tokio::test]
async fn an_answer_may_take_longer_than_a_question() {
    let address = served().await;
    let asks = "GET /slow HTTP/1.1\r\nhost: x\r\n\r\n";
    // Kept open for another question, and then closed.
    let said = answer(&mut connected(address).await, asks).await;
    assert!(said.ends_with("slow"), "{said}");
}
