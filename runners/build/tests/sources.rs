//! Sources that are not there, not what was written down, or only out of reach.

#![allow(
    clippy::disallowed_methods,
    reason = "a test lays out files and answers HTTP"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

use pipeline_spec::Sha256Digest;
use runner_agent::Halt;
use runner_api::{FailureKind, Origin, Outcome, TaskSpec};
use runner_build::{Fetched, fetch};
use testkit::{Desk, assert_failed, assert_trouble};

const ZERO: Sha256Digest = Sha256Digest::new([0; 32]);

fn task() -> TaskSpec {
    serde_json::from_value(serde_json::json!({
        "do": "sign-packages", "repository": "main", "key": "main", "packages": [], "time": 0,
    }))
    .expect("a task")
}

async fn outcome(desk: &Desk, origin: &Origin) -> Outcome {
    let job = desk.job(task(), vec![]);
    // A .dsc of this test lists one file beside it.
    let listed = |_: &[u8]| Ok::<_, Halt>(vec![("tiny.orig.tar.gz".to_owned(), ZERO)]);
    match fetch(&job, origin, &job.dir(), listed).await {
        Ok(found) => panic!("{found:?}"),
        Err(halt) => halt.into(),
    }
}

fn srpm(url: &str) -> Origin {
    let url = url.parse().expect("a URL");
    Origin::Srpm { url, sha256: ZERO }
}

fn git(url: &str, commit: &str) -> Origin {
    Origin::Git {
        url: url.parse().expect("a URL"),
        commit: commit.to_owned(),
        subdir: None,
    }
}

/// Answers one call so, and answers where.
fn server(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a call");
        let mut lines = BufReader::new(stream.try_clone().expect("a socket")).lines();
        while lines
            .next()
            .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
        {}
        write!(stream, "HTTP/1.1 {answer}\r\nconnection: close\r\n\r\n").expect("an answer");
    });
    format!("http://{address}/tiny-1-1.src.rpm")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_does_not_exist_is_the_requests_fault() {
    let desk = Desk::new();
    let gone = format!("file://{}", desk.path("tiny-1-1.src.rpm").display());
    let words = format!(
        "{} does not exist on the runner: correct the address in the request",
        desk.path("tiny-1-1.src.rpm").display()
    );
    assert_failed(
        &outcome(&desk, &srpm(&gone)).await,
        FailureKind::SourceMissing,
        &words,
    );
    let gone = server("404 Not Found");
    let words = format!("{gone} answers 404 Not Found: correct the address in the request");
    assert_failed(
        &outcome(&desk, &srpm(&gone)).await,
        FailureKind::SourceMissing,
        &words,
    );

    let nowhere = format!("file://{}", desk.path("nowhere").display());
    let ended = outcome(&desk, &git(&nowhere, &"1".repeat(40))).await;
    assert_failed(&ended, FailureKind::SourceMissing, "nowhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_not_in_the_repository_is_named() {
    let desk = Desk::new();
    let Origin::Git { url, .. } = desk.commit(&[("tiny.spec", "x")]) else {
        panic!("a commit is in git");
    };
    let commit = "1".repeat(40);
    let ended = outcome(&desk, &git(url.as_str(), &commit)).await;
    assert_failed(&ended, FailureKind::SourceMissing, &commit);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_the_one_written_down_is_refused() {
    let desk = Desk::new();
    let file = desk.path("tiny-1-1.src.rpm");
    std::fs::write(&file, "changed").expect("a file");
    let ended = outcome(&desk, &srpm(&format!("file://{}", file.display()))).await;
    assert_failed(
        &ended,
        FailureKind::ChecksumMismatch,
        &format!(
            ", but {ZERO} is written down: either the file was changed, or the digest is wrong; check before you correct it"
        ),
    );

    // Of a .dsc, the files that it lists are checked too.
    let dsc = desk.path("tiny.dsc");
    std::fs::write(&dsc, "").expect("a file");
    std::fs::write(desk.path("tiny.orig.tar.gz"), "changed").expect("a file");
    let url = format!("file://{}", dsc.display()).parse().expect("a URL");
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let sha256 = empty.parse().expect("the digest of nothing");
    let ended = outcome(&desk, &Origin::Dsc { url, sha256 }).await;
    assert_failed(
        &ended,
        FailureKind::ChecksumMismatch,
        "tiny.orig.tar.gz has the SHA-256",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_in_trouble_blames_nobody() {
    let desk = Desk::new();
    for answer in ["500 Internal Server Error", "429 Too Many Requests"] {
        let url = server(answer);
        let words = format!("fetch {url}: it answers {answer}");
        assert_trouble(&outcome(&desk, &srpm(&url)).await, &words);
    }
    let port = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = port.local_addr().expect("an address");
    drop(port);
    let url = format!("http://{address}/tiny-1-1.src.rpm");
    let ended = outcome(&desk, &srpm(&url)).await;
    assert_trouble(&ended, &format!("fetch {url}: "));
    assert_trouble(&ended, "Connection refused");
}

#[tokio::test]
async fn a_whole_source_is_fetched() {
    let desk = Desk::new();
    let job = desk.job(task(), vec![]);
    let none = |_: &[u8]| Ok::<_, Halt>(Vec::new());
    let origin = desk.commit(&[("tiny.spec", "x")]);
    let found = fetch(&job, &origin, &job.dir(), none).await;
    let found = found.map_err(Outcome::from).expect("it is there");
    let Fetched::Tree(tree, time) = found else {
        panic!("{found:?}");
    };
    assert_eq!(time, 1_700_000_000);
    assert_eq!(
        std::fs::read_to_string(tree.join("tiny.spec")).expect("a file"),
        "x"
    );
}
