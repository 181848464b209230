//! The forge's door over HTTP, as `millrace up` opens it: what strangers and proxies may send.

use std::net::SocketAddr;
use std::time::Duration;

use control::Options;
use forge::webhook::{MAX_BODY_BYTES, signature};
use memory::MemoryPlatform;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const SECRET: &str = "a secret of the webhook";
const PUSH: &str =
    r#"{"ref":"refs/heads/main","after":"6113728f27ae82c7b1a177c8d03f9e96e0adf246"}"#;

/// A control plane of `acme/state` on a free port.
struct Up {
    address: SocketAddr,
    platform: MemoryPlatform,
}

impl Up {
    async fn new() -> Self {
        let platform = MemoryPlatform::new();
        let control = Arc::new(Control::new(platform.clone(), Options::default()));
        let ear = Ear(SecretFile::gone(SECRET), FullName::new("acme", "state"));
        let ears = ear.listen(control.clone(), Arc::new(News::default()));
        let config = server::Config {
            logs: None,
            admin: None,
            cloud: None,
            published_at: None,
            forge: Some(Arc::new(ears)),
        };
        let router = server::router(control, config);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, platform }
    }

    /// Sends a head with these lines and a body. The whole answer.
    async fn send(&self, lines: &[Vec<u8>], body: &[u8]) -> String {
        answer(self.sent(lines, body).await).await
    }

    /// The same, and then goes away while it listens.
    async fn cut_off(&self, lines: &[Vec<u8>], body: &[u8]) -> String {
        let mut stream = self.sent(lines, body).await;
        stream.shutdown().await.expect("nothing more is sent");
        answer(stream).await
    }

    async fn sent(&self, lines: &[Vec<u8>], body: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.expect("it listens");
        let mut head = b"POST /webhook HTTP/1.1\r\nhost: x\r\nconnection: close\r\n".to_vec();
        head.extend(lines.join(&b"\r\n"[..]));
        head.extend(b"\r\n\r\n");
        // Whoever is refused by the head alone is not read to the end.
        let _ = stream.write_all(&head).await;
        let _ = stream.write_all(body).await;
        stream
    }

    /// Its status alone, in figures.
    async fn status(&self, lines: &[Vec<u8>], body: &[u8]) -> String {
        let answer = self.send(lines, body).await;
        answer.split(' ').nth(1).unwrap_or("none").to_owned()
    }

    async fn waiting(&self) -> u64 {
        let depth = self.platform.queue().depth(&QueueName::forge()).await;
        depth.expect("no fault")
    }
}

async fn answer(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let read = tokio::time::timeout(Duration::from_secs(60), read).await;
    let _may_be_reset = read.expect("it answers");
    String::from_utf8_lossy(&answer).into_owned()
}

/// What GitHub sends above `body`.
fn head(event: &str, id: &str, body: &[u8]) -> Vec<Vec<u8>> {
    let lines = [
        format!("content-length: {}", body.len()),
        "content-type: application/json".to_owned(),
        format!("x-github-event: {event}"),
        format!("x-github-delivery: {id}"),
        format!("x-hub-signature-256: sha256={}", signature(SECRET, body)),
    ];
    lines.map(String::into_bytes).to_vec()
}

/// In one test, since room for large bodies is the process's.
#[tokio::test]
async fn large_deliveries_have_a_bound_each_and_all_together() {
    let up = Up::new().await;
    each_has_a_bound(&up).await;
    all_have_a_bound(&up).await;
}

async fn each_has_a_bound(up: &Up) {
    let of_size = |size: usize| format!("{PUSH}{}", " ".repeat(size - PUSH.len())).into_bytes();
    let largest = of_size(MAX_BODY_BYTES);
    let taken = up.status(&head("push", "1", &largest), &largest).await;
    assert_eq!(taken, "202");
    let larger = of_size(MAX_BODY_BYTES + 1);
    let lines = head("push", "2", &larger);
    // It is refused by its head: nothing of it is read.
    let answer = up.send(&lines, b"").await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("at most 25 MiB"), "{answer}");
    // As it comes, without a word of its length.
    let mut lines = lines;
    lines[0] = b"transfer-encoding: chunked".to_vec();
    let mut chunked = format!("{:x}\r\n", larger.len()).into_bytes();
    chunked.extend(&larger);
    chunked.extend(b"\r\n0\r\n\r\n");
    let refused = up.status(&lines, &chunked).await;
    assert!(["413", "none"].contains(&&*refused), "{refused}");
}

async fn all_have_a_bound(up: &Up) {
    let body = vec![b' '; MAX_BODY_BYTES];
    let lines = head("push", "1", &body);
    let announced = lines.join(&b"\r\n"[..]);
    // All but the last byte of two, which are waited for.
    let mut slow = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(up.address).await.expect("it listens");
        let head = [
            &b"POST /webhook HTTP/1.1\r\nhost: x\r\n"[..],
            &announced,
            b"\r\n\r\n",
        ];
        stream.write_all(&head.concat()).await.expect("sent");
        stream.write_all(&body[1..]).await.expect("sent");
        slow.push(stream);
    }
    // One byte more than there is room for: 64 MiB, and 64 KiB of each. What is sent behind it nobody reads, and a
    // connection with such bytes ends without its answer.
    let room = (64 << 20) + 3 * (64 << 10) - 2 * MAX_BODY_BYTES;
    let answer = up.send(&lines, &body[..=room]).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("too many large bodies at once"), "{answer}");
    assert!(answer.contains("\r\nretry-after: "), "{answer}");
    // Small ones are heard all the while.
    let small = PUSH.as_bytes();
    assert_eq!(up.status(&head("push", "2", small), small).await, "202");
}

#[tokio::test]
async fn what_is_cut_off_or_no_text_is_refused() {
    let up = Up::new().await;
    let body = PUSH.as_bytes();
    let cut = up.cut_off(&head("push", "1", body), &body[..40]).await;
    assert!(cut.starts_with("HTTP/1.1 400"), "{cut}");
    assert!(cut.contains("cut off"), "{cut}");
    let no_text = b"{\"ref\":\"refs/heads/\xff\"}";
    let answer = up.send(&head("push", "2", no_text), no_text).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(answer.contains("no UTF-8 from byte 19 on"), "{answer}");
    assert_eq!(up.waiting().await, 0);
}

#[tokio::test]
async fn a_header_that_is_there_twice_or_no_text_is_refused() {
    let up = Up::new().await;
    let body = PUSH.as_bytes();
    let right = head("push", "1", body);
    assert_eq!(up.status(&right, body).await, "202");
    for nth in 1..right.len() {
        let name = String::from_utf8_lossy(&right[nth]);
        let name = name.split(':').next().expect("it has a name").to_owned();
        let mut twice = right.clone();
        twice.push(right[nth].clone());
        let mut other = right.clone();
        other.push(format!("{name}: another").into_bytes());
        let mut no_text = right.clone();
        no_text[nth].extend(b"\xff");
        for lines in [twice, other, no_text] {
            let answer = up.send(&lines, body).await;
            assert!(answer.starts_with("HTTP/1.1 400"), "{name}: {answer}");
            assert!(
                answer.contains(&format!("the header {name} is")),
                "{answer}"
            );
        }
    }
}

/// GitHub's "Redeliver", and whoever has overheard a delivery and gives it another id, which nobody signs.
#[tokio::test]
async fn a_redelivery_of_a_wish_to_see_checks_again_is_kept_once() {
    for (event, at) in [("check_run", "check_run"), ("check_suite", "check_suite")] {
        let up = Up::new().await;
        let body = json!({
            "action": "rerequested",
            at: {
                "id": 4, "name": "millrace / plan", "head_sha": "a".repeat(40), "external_id": "d1",
                "pull_requests": [],
            },
            "repository": {"full_name": "acme/state"},
            "sender": {"login": "ada"},
        });
        let body = body.to_string().into_bytes();
        for id in ["one", "one", "another"] {
            assert_eq!(up.status(&head(event, id, &body), &body).await, "202");
        }
        assert_eq!(
            up.waiting().await,
            2,
            "{event}: the id is told, and no more"
        );
    }
}
