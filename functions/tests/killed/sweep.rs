//! `sweep` killed at its writes, where there is something of everything to do.

use std::sync::Arc;

use control::Collected;
use ledger::{Message, QueueName};
use pipeline_spec::Role;
use ports::{Place, TaskQueue as _};
use serde_json::json;

use crate::cloud::Cloud;
use crate::end::{End, Moment, WRITE, same};
use crate::forge::request;
use crate::runtime::Lambda;
use crate::stage::Stage;

const SWEEP: &str = env!("CARGO_BIN_EXE_sweep");
/// Sweeps until there is nothing to do: what the first one has collected the second one moves on.
const MOST: usize = 5;

/// Wherever it ends: the next minute's does what is left.
#[tokio::test]
async fn a_sweep_that_is_killed_at_a_write_is_done_again() {
    let cloud = Arc::new(neglected().await);
    let run = |end| swept(Arc::clone(&cloud), end);
    let (undisturbed, writes) = run(None).await;
    assert!(writes > 5, "{writes}: there is a lot to do");
    let has = |word: &str| undisturbed.iter().any(|row| row.contains(word));
    let left = [
        r#""partition":"leases""#,
        r#""partition":"outbox""#,
        "all is well",
    ];
    for word in left {
        assert!(!has(word), "{word}: {undisturbed:#?}");
    }
    assert!(has("its lease ended"), "{undisturbed:#?}");
    let again = |end| {
        let run = run(Some(end));
        async { run.await.0 }
    };
    same(&undisturbed, End::all(writes), again).await;
}

/// Nobody has done anything since: a lease has ended, and another one whose result nobody told of; a source is made,
/// and its request was not moved on; a person has written over an answer; and all messages are in the outbox.
async fn neglected() -> Cloud {
    let names = ["silent", "unheard", "stuck", "idle"];
    let cloud = Cloud::new(&names).await;
    let stage = Stage::new(&cloud, 0);
    stage.plan(&names).await;
    stage.report(&names).await;
    stage.lease("silent").await;
    let grant = stage.lease("unheard").await;
    stage.hand_in(&grant).await;
    let grant = stage.lease("stuck").await;
    let place = stage.hand_in(&grant).await;
    let collected = stage.plane.collect(&place).await;
    assert_eq!(collected.unwrap(), Collected::Accepted);
    let (forge, path) = (&cloud.forge, request("idle"));
    forge.push("status", &path, "all is well\n");
    cloud
}

/// Rows, what was sent, and the answer that a person had written over; and the writes of the first sweep that ended well.
async fn swept(cloud: Arc<Cloud>, end: Option<End>) -> (Vec<String>, usize) {
    let cloud = cloud.twin().await;
    crowd(&cloud).await;
    let event = json!({"sweep": "everything"});
    if let Some(end) = end {
        let moment = Moment::of(&cloud.proxy, WRITE, end);
        let mut lambda = Lambda::start(&cloud, SWEEP).await;
        lambda.hand(&event);
        lambda.ends(moment).await;
    }
    cloud.proxy.end("");
    let lambda = Lambda::start(&cloud, SWEEP).await;
    let mut writes = Vec::new();
    while writes.last() != Some(&0) {
        assert!(writes.len() < MOST, "{writes:?}; its log: {}", lambda.log());
        lambda.answer(&event).await;
        writes.push(cloud.proxy.end(WRITE));
    }
    let (forge, path) = (&cloud.forge, request("idle"));
    let mut there = cloud.timeless_rows().await;
    there.extend(cloud.messages().await);
    there.push(forge.say(&["show", &format!("status:{path}")]));
    (there, writes[0])
}

/// Where messages wait, a task that nobody takes is offered again after a quarter of an hour, and not after a minute:
/// not within a test, however slow this machine is.
async fn crowd(cloud: &Cloud) {
    let queue = cloud.queue();
    for arch in ["x86_64", "aarch64"] {
        let arch = arch.parse().unwrap();
        let name = QueueName::work(Role::BuildRpm, Some(&arch));
        let at = Place::at(0);
        let sent = queue.send(&name, &Message::Configuration, &at).await;
        sent.unwrap();
    }
}
