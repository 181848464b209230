//! Uploads to servers that are slow, that stand still, and that say nothing.

use std::net::Ipv4Addr;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use pipeline_spec::Sha256Digest;
use runner_api::protocol::UploadReply;
use tokio::net::TcpSocket;
use tokio::sync::watch;

use super::{Content, Pace};
use crate::Identity;
use crate::client::{Client, Trouble};
use crate::transfer::Patience;

/// Far more than both ends' buffers take: 4 MiB at the sender's, by Linux's default, and what the sink allows.
const BODY_BYTES: usize = 16 << 20;
/// What the slow sink reads before it rests.
const STEP_BYTES: usize = 1 << 20;
const REST: Duration = Duration::from_millis(50);
/// Half of all rests together, and much longer than one.
const SHORT: Duration = Duration::from_millis(400);
/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);
/// One may break because this machine is busy. All of them do not.
const MAX_TRIES: usize = 6;

/// What a server does with a body.
#[derive(Clone, Copy)]
enum Sink {
    Slow,
    /// Reads nothing.
    Still,
    /// Reads all, and never answers.
    Silent,
}

/// Where a server wants blobs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Here,
    /// At another address of its own.
    Elsewhere,
}

/// A control plane that wants every blob, and tells which try it is at.
#[derive(Clone)]
struct Server {
    base: String,
    place: Place,
    sink: Sink,
    tries: watch::Sender<usize>,
}

impl Server {
    async fn answer(State(server): State<Self>, request: Request) -> Response {
        if request.method() == Method::POST {
            let place = match server.place {
                Place::Here => UploadReply::Here,
                Place::Elsewhere => UploadReply::At {
                    url: format!("{}/elsewhere", server.base),
                    headers: Vec::new(),
                },
            };
            return serde_json::to_vec(&place).unwrap().into_response();
        }
        let is_elsewhere = request.uri().path() == "/elsewhere";
        assert_eq!(is_elsewhere, server.place == Place::Elsewhere);
        server.tries.send_modify(|tries| *tries += 1);
        if let Sink::Still = server.sink {
            std::future::pending::<()>().await;
        }
        let mut body = request.into_body().into_data_stream();
        let mut step = 0;
        while let Some(Ok(piece)) = body.next().await {
            step += piece.len();
            if matches!(server.sink, Sink::Slow) && step >= STEP_BYTES {
                step = 0;
                tokio::time::sleep(REST).await;
            }
        }
        if let Sink::Silent = server.sink {
            std::future::pending::<()>().await;
        }
        StatusCode::NO_CONTENT.into_response()
    }
}

/// A client of such a server, and the server's tries.
fn start(place: Place, sink: Sink, pace: Pace) -> (Client, watch::Receiver<usize>) {
    let socket = TcpSocket::new_v4().unwrap();
    // Its connections inherit that.
    socket.set_recv_buffer_size(64 << 10).unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let listener = socket.listen(16).unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (tries, told) = watch::channel(0);
    let app = Router::new().fallback(Server::answer);
    let app = app.with_state(Server {
        base: base.clone(),
        place,
        sink,
        tries,
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    let home = tempfile::tempdir().unwrap();
    let key = home.path().join("key");
    let identity = Identity::load_or_create("b1".parse().unwrap(), &key).unwrap();
    let client = Client::new(base.parse().unwrap(), identity, pace).unwrap();
    (client, told)
}

fn content() -> Content {
    Content::Bytes(vec![7; BODY_BYTES].into())
}

const DIGEST: Sha256Digest = Sha256Digest::new([1; 32]);

#[tokio::test]
async fn a_body_that_moves_has_all_the_time_it_takes() {
    let pace = Pace {
        piece: SHORT,
        answer: LONG,
    };
    for place in [Place::Here, Place::Elsewhere] {
        let (client, mut tries) = start(place, Sink::Slow, pace);
        tokio::select! {
            put = client.put_blob(content(), &DIGEST, Patience::Blob) => put.unwrap(),
            _ = tries.wait_for(|tries| *tries > MAX_TRIES) => panic!("no try goes through"),
        }
    }
}

#[tokio::test]
async fn an_empty_body_is_one_too() {
    let (client, tries) = start(Place::Here, Sink::Slow, Pace::default());
    let empty = Content::Bytes(Vec::new().into());
    let put = client.put_blob(empty, &DIGEST, Patience::Blob);
    tokio::time::timeout(LONG, put).await.unwrap().unwrap();
    assert_eq!(*tries.borrow(), 1);
}

/// And since the control plane is there, it is no silence that is waited out.
#[tokio::test]
async fn one_that_stands_still_is_left() {
    let check = async |place: Place, sink: Sink, pace: Pace, expect: &str| {
        let (client, _) = start(place, sink, pace);
        let content = content();
        let put = tokio::time::timeout(LONG, client.try_put(&content, &DIGEST)).await;
        match put.expect("it is left") {
            Err(Trouble::Passing(reason)) => assert_eq!(reason, expect),
            other => panic!("{other:?}"),
        }
    };
    let pace = Pace {
        piece: SHORT,
        answer: LONG,
    };
    check(
        Place::Elsewhere,
        Sink::Still,
        pace,
        "no part of the body was taken for 400ms",
    )
    .await;
    let pace = Pace {
        piece: LONG,
        answer: SHORT,
    };
    check(
        Place::Here,
        Sink::Silent,
        pace,
        "no answer came for 400ms after the body",
    )
    .await;
}
