//! Refusals, their form and their words.

use std::time::Duration;

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use memory::MemoryPlatform;
use pipeline_spec::{Priority, RunnerId, Sha256Digest};
use ports::{ArtifactStore as _, Clock as _, Platform as _};
use runner_api::auth::{self, Call};
use runner_api::protocol::{Attempt, Heartbeat, UploadReply};
use runner_api::{Artifact, ArtifactKind, FailureKind, Grant, LeaseReply, Offer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::fixture::{APP, build};
use crate::runners::{failure, manifest};
use crate::served::{Served, TOKEN};
use crate::world::{Act, World};

async fn served() -> (World, Served) {
    let world = World::new().await;
    let served = Served::new(&world).await;
    (world, served)
}

/// A request whose source task failed.
async fn failed() -> (World, Served) {
    let (mut world, served) = served().await;
    world.script(|_| Act::Say(failure(FailureKind::Build, "no spec file")));
    world.merge(&[(APP, Some(&build(&["app"])))]).await;
    (world, served)
}

#[tokio::test]
async fn every_refusal_has_the_same_form() {
    let (_world, served) = served().await;
    let check = async |method: &str, path: &str, expect: &str| {
        let (status, sentence) = served.refused(served.call(method, path)).await;
        assert_eq!(format!("{status} {sentence}"), expect);
    };
    check(
        "GET",
        "/nope",
        "404 no such address: \"/nope\"; docs/reference/http.md lists all of them",
    )
    .await;
    check(
        "PUT",
        "/api/v1/status",
        "405 \"PUT\" is not for \"/api/v1/status\"; docs/reference/http.md says what is",
    )
    .await;
    check(
        "GET",
        "/api/v1/log/abcd?offset=x",
        "400 Failed to deserialize query string: offset: invalid digit found in string",
    )
    .await;
    check(
        "GET",
        "/api/v1/task/zz",
        "400 \"zz\" is neither a request's path nor 4 to 32 hex digits of a task's id",
    )
    .await;
}

#[tokio::test]
async fn a_long_name_is_cut_in_its_error() {
    let (_world, served) = served().await;
    let long = "x".repeat(5_000);
    for path in ["/", "/api/v1/request/", "/api/v1/task/", "/repos/"] {
        let (status, sentence) = served
            .refused(served.call("GET", &format!("{path}{long}")))
            .await;
        assert!((400..500).contains(&status), "{path}: {status}");
        assert!(sentence.len() < 600, "{path}: {} bytes", sentence.len());
    }
}

#[tokio::test]
async fn a_missing_token_and_a_wrong_one_read_differently() {
    let (_world, served) = failed().await;
    let retry = || {
        served
            .call("POST", "/api/v1/retry")
            .body(format!("{{\"subject\": {APP:?}}}"))
    };
    let (status, sentence) = served.refused(retry()).await;
    assert_eq!(status, 401);
    assert!(sentence.contains("needs the header"), "{sentence}");
    let (status, sentence) = served.refused(retry().bearer_auth("wrong")).await;
    assert_eq!(status, 401);
    assert!(sentence.contains("the token is wrong"), "{sentence}");
    assert!(
        sentence.contains("/srv/example/secrets/admin.token"),
        "{sentence}"
    );
    let answer = retry().bearer_auth(TOKEN).send().await.expect("it answers");
    assert_eq!(answer.text().await.expect("text"), r#"{"retried":1}"#);
}

/// The head of a call whose body never comes: it is refused by its head alone.
async fn without_body(served: &Served, path: &str, header: &str, length: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(served.address)
        .await
        .expect("it listens");
    let head =
        format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n{header}\r\n");
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = vec![0; 4096];
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut answer)).await;
    let read = read.expect("an answer comes though the body does not");
    String::from_utf8_lossy(&answer[..read.expect("bytes")]).into_owned()
}

#[tokio::test]
async fn a_strangers_body_is_not_read() {
    let (_world, served) = served().await;
    let key = SigningKey::from_bytes(&[7; 32]);
    let call = Call::new("POST", "/runner/v1/take", b"{}");
    let stranger = auth::header(&key, &"nobody".parse().expect("an id"), 0, &call);
    let check = async |path: &str, header: &str, expect: &str| {
        let answer = without_body(&served, path, header, "1000").await;
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
        assert!(answer.contains(expect), "{answer}");
    };
    check("/runner/v1/take", "", "Authorization header is missing").await;
    check(
        "/runner/v1/result",
        &format!("authorization: {stranger}\r\n"),
        "nobody is not enrolled",
    )
    .await;
    check("/api/v1/cancel", "", "needs the header").await;
    check("/api/v1/prune", "", "needs the header").await;
}

/// A control plane that has just begun: it does not say of runners that they are strangers.
#[tokio::test]
async fn before_the_first_plan_nobody_is_refused_for_good() {
    let mut world = World::new().await;
    world.memory = MemoryPlatform::new();
    let served = Served::new(&world).await;
    let key = SigningKey::from_bytes(&[7; 32]);
    let call = Call::new("POST", "/runner/v1/take", b"{}");
    let now = world.memory.clock().now() / 1000;
    let proof = auth::header(&key, &"builder".parse().expect("an id"), now, &call);
    let header = format!("authorization: {proof}\r\n");
    let answer = without_body(&served, "/runner/v1/take", &header, "1000").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(
        answer.contains("no configuration is planned yet"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_name_alone_does_not_get_a_body_read() {
    let (world, served) = served().await;
    let now = world.memory.clock().now() / 1000;
    let unsigned = "A".repeat(86);
    let check = async |path: &str, time: i64, length: &str, expect: &str| {
        let header =
            format!("authorization: Millrace-Ed25519 id=builder,time={time},sig={unsigned}==\r\n");
        let answer = without_body(&served, path, &header, length).await;
        assert!(answer.contains(expect), "{answer}");
    };
    let large = (16 * 1024 * 1024 - 1).to_string();
    for path in ["/runner/v1/take", "/runner/v1/result"] {
        check(path, 1, &large, "the call's time differs").await;
        check(path, now - 301, &large, "by 301 s; 300 s are allowed").await;
    }
    for path in ["/runner/v1/take", "/runner/v1/heartbeat"] {
        check(path, now, &large, "has more than 65536 bytes").await;
    }
    let beyond = (16 * 1024 * 1024 + 1).to_string();
    let too_long = "has more than 16777216 bytes";
    check("/runner/v1/result", now, &beyond, too_long).await;
}

#[tokio::test]
async fn a_log_at_an_impossible_offset_is_refused() {
    let (mut world, served) = served().await;
    world.script(|_| Act::Hold);
    world.merge(&[(APP, Some(&build(&["app"])))]).await;
    let held = world.held.remove(0);
    let send = async |offset| send_line(&world, &served, &held, offset).await;
    assert_eq!(send(0).await, 204);
    assert_eq!(send(u64::MAX).await, 400);
    assert_eq!(send(1 << 63).await, 400);
    assert_eq!(send(5).await, 204, "the log goes on");
}

/// A piece of the held attempt's log; the status of the answer.
async fn send_line(
    world: &World,
    served: &Served,
    (runner, grant): &(RunnerId, Grant),
    offset: u64,
) -> u16 {
    let path = format!(
        "/runner/v1/log?request={APP}&task={}&attempt={}&offset={offset}",
        grant.task.id, grant.attempt
    );
    let call = Call::new("POST", &path, b"line\n");
    let now = world.memory.clock().now() / 1000;
    let key = SigningKey::from_bytes(&memory::BUILDER_SECRET);
    let header = auth::header(&key, runner, now, &call);
    let call = served.call("POST", &path).body("line\n");
    let answer = call.header("authorization", header).send().await;
    answer.expect("it answers").status().as_u16()
}

/// Where no disk lasts, a log is read when it is whole.
#[tokio::test]
async fn where_no_log_grows_the_one_of_an_attempt_that_ended_is_read() {
    let mut world = World::new().await;
    let served = Served::without_logs(&world).await;
    world.script(|_| Act::Hold);
    world.merge(&[(APP, Some(&build(&["app"])))]).await;
    let held = world.held.remove(0);
    assert_eq!(send_line(&world, &served, &held, 0).await, 410);
    let (runner, grant) = held;
    let (api, page) = (
        format!("/api/v1/log/{}", grant.task.id),
        format!("/log/{}", grant.task.id),
    );
    assert_eq!(served.text(&api).await, "");
    let answer = served.text(&page).await;
    assert!(
        answer.contains("none grow on this control plane"),
        "{answer}"
    );

    let text = "make\n".repeat(10_000) + "make: *** error\n";
    let sha256 = world.memory.store().put(Bytes::from(text.clone())).await;
    let mut result = manifest(&grant, &runner, failure(FailureKind::Build, "make failed"));
    result.log = Some(Artifact {
        name: "log".to_owned(),
        sha256: sha256.expect("memory"),
        size: text.len() as u64,
        kind: ArtifactKind::Log,
        package: None,
    });
    let taken = world.control.finish(&runner, &result).await;
    taken.expect("no fault is armed").expect("it is taken");
    assert_eq!(served.text(&page).await, text);
    assert_eq!(served.text(&api).await, text);
    assert_eq!(
        served.text(&format!("{api}?offset=50000")).await,
        text[50_000..]
    );
    assert_eq!(served.text(&format!("{api}?offset=99999")).await, "");
    let shown = served.text(&format!("/task/{}", grant.task.id)).await;
    assert!(
        shown.contains("<pre>…\nmake\n"),
        "from a line's beginning: {shown}"
    );
    assert!(shown.contains("make: *** error\n</pre>"), "{shown}");
}

#[tokio::test]
async fn an_id_may_be_written_in_capitals() {
    let (world, served) = failed().await;
    let task = world.tasks(APP).remove(0).task;
    let id = task.id.to_string().to_uppercase();
    let answer = served.text(&format!("/api/v1/task/{id}")).await;
    assert!(answer.contains(task.id.as_str()), "{answer}");
}

#[tokio::test]
async fn a_log_is_text_of_an_attempt_that_exists() {
    let (world, served) = failed().await;
    let task = world.tasks(APP).remove(0).task;
    served.write_log(&task.id, 1, b"<script>\n");
    let path = format!("/api/v1/log/{}", task.id);
    let answer = served.get(&path).await;
    let header = |name: &str| answer.headers()[name].to_str().expect("text").to_owned();
    assert_eq!(header("content-type"), "application/octet-stream");
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(answer.text().await.expect("text"), "<script>\n");
    let (status, sentence) = served
        .refused(served.call("GET", &format!("{path}?attempt=99")))
        .await;
    assert_eq!(status, 404);
    assert!(
        sentence.ends_with("has no attempt 99: the last one is 1"),
        "{sentence}"
    );
}

#[tokio::test]
async fn the_head_says_whether_planning_has_come_to_the_tip() {
    let (mut world, served) = served().await;
    let head = async || -> server::Head {
        serde_json::from_str(&served.text("/api/v1/head").await).expect("a head")
    };
    let before = head().await;
    assert_eq!(before.tip, before.planned);
    let pushed = world.push(&[(APP, Some(&build(&["app"])))]);
    let between = head().await;
    assert_eq!((between.tip, between.planned), (pushed.clone(), before.tip));
    world.quiet().await;
    assert_eq!(head().await.planned, pushed);
}

#[tokio::test]
async fn a_heartbeat_tells_what_the_runner_does() {
    let (mut world, served) = served().await;
    world.script(|_| Act::Hold);
    world.merge(&[(APP, Some(&build(&["app"])))]).await;
    let (runner, grant) = world.held.remove(0);
    let step = runner_api::Step::MakingRoot;
    let beat = Heartbeat {
        attempt: Attempt {
            task: grant.task.clone(),
            attempt: grant.attempt,
        },
        step: Some(step),
    };
    let body = serde_json::to_vec(&beat).expect("JSON");
    let now = world.memory.clock().now() / 1000;
    let call = Call::new("POST", "/runner/v1/heartbeat", &body);
    let header = auth::header(
        &SigningKey::from_bytes(&memory::BUILDER_SECRET),
        &runner,
        now,
        &call,
    );
    let answer = served
        .call("POST", "/runner/v1/heartbeat")
        .header("authorization", header)
        .body(body)
        .send()
        .await
        .expect("it answers");
    assert_eq!(answer.status(), 200);
    let page = served.text("/").await;
    assert!(page.contains(step.phrase()), "{page}");
}

/// Where the store has addresses of its own, no file passes through here.
#[tokio::test]
async fn a_store_with_addresses_gives_and_takes_blobs_itself() {
    let (world, served) = served().await;
    let store = world.memory.store();
    let stored = store.put(Bytes::from_static(b"stored")).await.expect("put");
    let new = Sha256Digest::new([7; 32]);
    let ask_for = async |digest, body| {
        let path = format!("/runner/v1/blobs/{digest}");
        let answer = signed(&world, &served, ("POST", &path), body).send().await;
        let text = answer.expect("it answers").text().await;
        serde_json::from_str::<UploadReply>(&text.expect("text")).expect("an answer")
    };
    let ask = async |digest| ask_for(digest, r#"{"size":6}"#).await;
    assert_eq!(ask(stored).await, UploadReply::Stored);
    assert_eq!(ask(new).await, UploadReply::Here);

    store.give_links("http://store.example.org");
    // To look for a small one costs more than to take it again.
    let again = ask(stored).await;
    assert!(matches!(again, UploadReply::At { .. }), "{again:?}");
    let large = ask_for(stored, r#"{"size":8388608}"#).await;
    assert_eq!(large, UploadReply::Stored);
    let url = format!("http://store.example.org/{new}");
    let headers = vec![("x-checked".to_owned(), "sha256".to_owned())];
    assert_eq!(ask(new).await, UploadReply::At { url, headers });
    let path = format!("/runner/v1/blobs/{stored}");
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let request = signed(&world, &served, ("GET", &path), "").build();
    let answer = http
        .build()
        .expect("a client")
        .execute(request.expect("a call"));
    let answer = answer.await.expect("it answers");
    assert_eq!(answer.status(), 307);
    let location = format!("http://store.example.org/{stored}");
    assert_eq!(answer.headers()["location"], location.as_str());
    let stranger = served.call("POST", &path).body(r#"{"size":6}"#);
    assert_eq!(served.refused(stranger).await.0, 401);
}

/// A runner that reads its queues itself, and one that would like to.
#[tokio::test]
async fn a_runner_leases_what_it_found_in_its_queue() {
    let (mut world, served) = served().await;
    let refused = async |path: &str, body| {
        let call = signed(&world, &served, ("POST", path), body);
        served.refused(call).await
    };
    let (status, words) = refused("/runner/v1/cloud", r#"{"credentials":true}"#).await;
    assert_eq!(status, 404);
    assert!(words.contains("leave `cloud` out"), "{words}");
    let (status, words) = refused("/runner/v1/lease", r#"{"task":1}"#).await;
    assert_eq!(status, 400, "{words}");
    world.push(&[(APP, Some(&build(&["app"])))]);
    world.offer().await;
    let task = world.task(APP, "source app for el-10").task;
    let offer = Offer {
        task,
        attempt: 1,
        priority: Priority::Normal,
    };
    let offer: &'static str = serde_json::to_string(&offer).expect("JSON").leak();
    let ask = async || {
        let call = signed(&world, &served, ("POST", "/runner/v1/lease"), offer);
        let answer = call.send().await.expect("it answers").text().await;
        serde_json::from_str::<LeaseReply>(&answer.expect("text")).expect("an answer")
    };
    let LeaseReply::Granted(grant) = ask().await else {
        panic!("it is offered");
    };
    assert_eq!(grant.attempt, 1);
    assert!(matches!(ask().await, LeaseReply::Gone), "it is leased");
    let stranger = served.call("POST", "/runner/v1/lease").body(offer);
    assert_eq!(served.refused(stranger).await.0, 401);
    // Enrolled, and for other work.
    let runner = "signer".parse().expect("an id");
    let call = Call::new("POST", "/runner/v1/lease", offer.as_bytes());
    let key = SigningKey::from_bytes(&memory::SIGNER_SECRET);
    let header = auth::header(&key, &runner, world.memory.clock().now() / 1000, &call);
    let call = served.call("POST", "/runner/v1/lease").body(offer);
    let (status, words) = served.refused(call.header("authorization", header)).await;
    assert_eq!(status, 403);
    assert!(words.contains("runners/signer.yaml"), "{words}");
}

/// A call of the fixture's runner.
fn signed(
    world: &World,
    served: &Served,
    (method, path): (&str, &str),
    body: &'static str,
) -> reqwest::RequestBuilder {
    let runner = "builder".parse().expect("an id");
    let now = world.memory.clock().now() / 1000;
    let call = Call::new(method, path, body.as_bytes());
    let header = auth::header(
        &SigningKey::from_bytes(&memory::BUILDER_SECRET),
        &runner,
        now,
        &call,
    );
    let request = served.call(method, path).header("authorization", header);
    request.body(body)
}
