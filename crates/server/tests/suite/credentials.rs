//! Credentials of runners that somebody overheard, stole, or took away.

use ed25519_dalek::SigningKey;
use memory::CONFIG;
use pipeline_spec::{RunnerId, RunnerKey};
use ports::{Clock as _, Platform as _};
use reqwest::RequestBuilder;
use runner_api::auth::{self, Call, MAX_SKEW_SECONDS};
use runner_api::protocol::Attempt;
use runner_api::{Grant, HeartbeatReply, ResultManifest, ResultReply, TakeReply};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::fixture::{APP, build};
use crate::runners::manifest;
use crate::served::Served;
use crate::world::{Act, World};

const HEARTBEAT: &str = "/runner/v1/heartbeat";
const RESULT: &str = "/runner/v1/result";
const TAKE: &str = "/runner/v1/take";

/// RFC 8032, test 1: the fixture's builder.
const BUILDER: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
/// RFC 8032, test 2: its signer.
const SIGNER: &str = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";

/// Who calls, as whom.
struct Caller {
    id: RunnerId,
    key: SigningKey,
}

impl Caller {
    fn new(id: &str, secret: &str) -> Self {
        let secret: [u8; 32] = hex::decode(secret).expect("hex").try_into().expect("32");
        Self {
            id: id.parse().expect("an id"),
            key: SigningKey::from_bytes(&secret),
        }
    }

    /// A call, signed now.
    fn call(&self, bench: &Bench, path: &str, body: &impl Serialize) -> RequestBuilder {
        let body = serde_json::to_vec(body).expect("JSON");
        let header = self.header(bench, path, &body);
        let call = bench.served.call("POST", path);
        call.header("authorization", header).body(body)
    }

    fn header(&self, bench: &Bench, path: &str, body: &[u8]) -> String {
        let now = bench.world.memory.clock().now() / 1000;
        auth::header(&self.key, &self.id, now, &Call::new("POST", path, body))
    }
}

/// A builder that has a task, and a control plane that it calls.
struct Bench {
    world: World,
    served: Served,
    builder: Caller,
    grant: Grant,
}

impl Bench {
    async fn new() -> Self {
        let mut world = World::new().await;
        let served = Served::new(&world).await;
        world.script(|_| Act::Hold);
        world.merge(&[(APP, Some(&build(&["app"])))]).await;
        let (_, grant) = world.held.remove(0);
        Self {
            world,
            served,
            builder: Caller::new("builder", BUILDER),
            grant,
        }
    }

    fn attempt(&self) -> Attempt {
        Attempt {
            task: self.grant.task.clone(),
            attempt: self.grant.attempt,
        }
    }

    /// What a runner would say of a grant.
    async fn worked(&self, grant: &Grant, id: &RunnerId) -> ResultManifest {
        let outcome = self.world.workshop().work(grant).await;
        manifest(grant, id, outcome)
    }

    /// All goes on by itself from here.
    async fn ends_well(mut self) {
        self.world.script(|_| Act::Work);
        self.world.heal().await;
        assert_eq!(self.world.phase(APP).await, "succeeded");
        for task in self.world.tasks(APP) {
            assert_eq!(task.state.word(), "succeeded", "{}", task.spec.title());
        }
    }
}

async fn answer<T: DeserializeOwned>(call: RequestBuilder) -> T {
    let text = call.send().await.expect("it answers").text().await;
    let text = text.expect("text");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A header is good for its own call and for some minutes; within them, to say the same again changes nothing.
#[tokio::test]
async fn an_overheard_call_does_nothing_new() {
    let bench = Bench::new().await;
    let result = bench.worked(&bench.grant, &bench.builder.id).await;
    let body = serde_json::to_vec(&result).expect("JSON");
    let header = bench.builder.header(&bench, RESULT, &body);
    let overheard = |path: &str, body: Vec<u8>| {
        let call = bench.served.call("POST", path);
        call.header("authorization", &header).body(body)
    };
    let mut other = result.clone();
    other.finished += 1;
    let other = serde_json::to_vec(&other).expect("JSON");
    for (path, body) in [(HEARTBEAT, body.clone()), (RESULT, other)] {
        let (status, why) = bench.served.refused(overheard(path, body)).await;
        assert_eq!(status, 401, "{path}: {why}");
    }
    let reply: ResultReply = answer(overheard(RESULT, body.clone())).await;
    assert_eq!(reply, ResultReply::Accepted);
    let rows = bench.world.rows();
    let reply: ResultReply = answer(overheard(RESULT, body.clone())).await;
    assert_eq!(
        reply,
        ResultReply::Accepted,
        "as the runner itself may ask twice"
    );
    assert_eq!(bench.world.rows(), rows, "and nothing is written");
    bench.world.pass(MAX_SKEW_SECONDS.unsigned_abs() + 1);
    let (status, why) = bench.served.refused(overheard(RESULT, body)).await;
    assert_eq!(status, 401);
    assert!(why.contains("the call's time differs"), "{why}");
    bench.ends_well().await;
}

/// A stolen key is answered by another one in the state repository. What the thief has ends with its lease.
#[tokio::test]
async fn a_key_that_was_taken_away_opens_nothing_and_its_work_is_done_by_another() {
    let mut bench = Bench::new().await;
    let (thief, result) = (
        Caller::new("builder", BUILDER),
        bench.worked(&bench.grant, &bench.builder.id).await,
    );
    let beat: HeartbeatReply = answer(thief.call(&bench, HEARTBEAT, &bench.attempt())).await;
    assert_eq!(beat, HeartbeatReply::Continue, "until somebody notices");

    let renewed = Caller::new("builder", &"09".repeat(32));
    let key = |caller: &Caller| RunnerKey::new(*caller.key.verifying_key().as_bytes()).to_string();
    let enrolled = CONFIG
        .iter()
        .find(|(path, _)| *path == "runners/builder.yaml");
    let (path, text) = enrolled.expect("the fixture's builder");
    assert!(text.contains(&key(&thief)), "{text}");
    let text = text.replace(&key(&thief), &key(&renewed));
    bench.world.push(&[(path, Some(&text))]);
    bench.world.offer().await;
    // A process goes by what it read for five seconds.
    bench.world.pass(4);
    let beat: HeartbeatReply = answer(thief.call(&bench, HEARTBEAT, &bench.attempt())).await;
    assert_eq!(beat, HeartbeatReply::Continue);
    bench.world.pass(1);

    let wait = serde_json::json!({"wait_seconds": 0});
    let blob = format!("/runner/v1/blobs/{}", "0".repeat(64));
    for call in [
        thief.call(&bench, TAKE, &wait),
        thief.call(&bench, HEARTBEAT, &bench.attempt()),
        thief.call(&bench, RESULT, &result),
        thief.call(&bench, &blob, &serde_json::json!({"size": 1})),
    ] {
        let (status, why) = bench.served.refused(call).await;
        assert_eq!(status, 401, "{why}");
    }

    // Nobody beats for the attempt any more.
    bench.world.pass(bench.grant.lease_seconds + 1);
    let expired = bench.world.control.expire_leases().await;
    expired.expect("no fault is armed");
    bench.world.pass(600);
    bench.world.offer().await;
    let taken: TakeReply = answer(renewed.call(&bench, TAKE, &wait)).await;
    let TakeReply::Granted(grant) = taken else {
        panic!("the work is there again");
    };
    assert_eq!(grant.task, bench.grant.task);
    assert_eq!(grant.attempt, bench.grant.attempt + 1);
    let result = bench.worked(&grant, &renewed.id).await;
    let reply: ResultReply = answer(renewed.call(&bench, RESULT, &result)).await;
    assert_eq!(reply, ResultReply::Accepted);
    bench.ends_well().await;
}

/// An enrolled runner's key, in other hands, is good for what that runner has, and for nothing that another one has.
#[tokio::test]
async fn what_one_runner_has_no_other_can_touch() {
    let bench = Bench::new().await;
    let signer = Caller::new("signer", SIGNER);
    let before = bench.world.rows();
    let beat: HeartbeatReply = answer(signer.call(&bench, HEARTBEAT, &bench.attempt())).await;
    assert_eq!(beat, HeartbeatReply::Lost);

    let own = bench.worked(&bench.grant, &bench.builder.id).await;
    let in_its_name = signer.call(&bench, RESULT, &own);
    let (status, why) = bench.served.refused(in_its_name).await;
    assert_eq!(status, 422);
    assert!(why.contains("signed by signer but says builder"), "{why}");

    let stolen = bench.worked(&bench.grant, &signer.id).await;
    let reply: ResultReply = answer(signer.call(&bench, RESULT, &stolen)).await;
    assert!(matches!(reply, ResultReply::Stale { .. }), "{reply:?}");

    let Attempt { task, attempt } = bench.attempt();
    let (request, id) = (&task.request, &task.id);
    let log = format!("/runner/v1/log?request={request}&task={id}&attempt={attempt}&offset=0");
    let (status, why) = bench
        .served
        .refused(signer.call(&bench, &log, &"mine"))
        .await;
    assert_eq!(status, 404);
    assert!(why.contains("signer holds no lease"), "{why}");

    assert_eq!(bench.world.rows(), before, "and nothing was written");
    let reply: ResultReply = answer(bench.builder.call(&bench, RESULT, &own)).await;
    assert_eq!(reply, ResultReply::Accepted);
    bench.ends_well().await;
}

#[tokio::test]
async fn commands_that_functions_do_not_serve_say_so() {
    let world = World::new().await;
    let served = Served::reading(&world).await;
    for command in ["plan", "prune"] {
        let call = served.call("POST", &format!("/api/v1/{command}"));
        let (status, sentence) = served.refused(call.body("{}")).await;
        assert_eq!(status, 401, "{command}");
        assert!(
            sentence.contains("`cancel` and `retry` alone"),
            "{sentence}"
        );
    }
}
