//! `report` killed at its writes, and in the middle of its pushes.

use std::sync::Arc;

use crate::cloud::Cloud;
use crate::end::{End, Moment, WRITE, same};
use crate::forge::{PUSH, request};
use crate::mapping::Mapping;
use crate::stage::{Stage, ask_for_report};

const REPORT: Mapping = Mapping {
    queue: "report-normal",
    program: env!("CARGO_BIN_EXE_report"),
};
const NAMES: [&str; 2] = ["app", "lib"];
/// Commits of the machine, each noted in the ledger: one that undoes what a person did, and the report.
const COMMITS: usize = 2;

/// What a report does that others see.
#[derive(Debug, Clone, Copy)]
enum Act {
    Write(End),
    Push(End),
    /// That its messages are done.
    Acknowledge,
}

/// Wherever it ends: the branch is the same byte for byte, no commit is there twice, and the ledger knows the tip.
#[tokio::test]
async fn a_report_that_is_killed_anywhere_is_written_once() {
    let cloud = Arc::new(changed().await);
    let run = |act| reported(Arc::clone(&cloud), act);
    let undisturbed = run(None).await;
    let writes = End::all(COMMITS).map(Act::Write);
    let pushes = End::all(COMMITS).map(Act::Push);
    let acts = writes.chain(pushes).chain([Act::Acknowledge]);
    same(&undisturbed, acts, |act| run(Some(act))).await;
}

/// All was reported. Since then one answer is another, and a person has written over the other one.
async fn changed() -> Cloud {
    let cloud = Cloud::new(&NAMES).await;
    let stage = Stage::new(&cloud, 3_600);
    stage.plan(&NAMES).await;
    stage.report(&NAMES).await;
    stage.lease("app").await;
    cloud.forge.push("status", &request("lib"), "all is well\n");
    cloud
}

/// The tree, which names every byte, how many commits there are, and the rows.
async fn reported(cloud: Arc<Cloud>, act: Option<Act>) -> Vec<String> {
    let cloud = cloud.twin().await;
    for name in NAMES {
        ask_for_report(&cloud, name).await;
    }
    if let Some(act) = act {
        let moment = match act {
            Act::Write(end) => Moment::of(&cloud.proxy, WRITE, end),
            Act::Push(End::Behind(passed)) => cloud.forge.holds_answer(passed),
            Act::Push(end) => Moment::of(&cloud.forge.proxy, PUSH, end),
            Act::Acknowledge => Moment::of(&cloud.proxy, "DeleteMessageBatch", End::Before(0)),
        };
        let before = commits(&cloud);
        REPORT.killed(&cloud, NAMES.len(), moment).await;
        assert_eq!(commits(&cloud) - before, act.commits(), "{act:?}");
    }
    cloud.proxy.end("");
    cloud.forge.proxy.end("");
    let times = if act.is_some() { 2 } else { 1 };
    REPORT.done(&cloud, NAMES.len(), times).await;
    if act.is_none() {
        assert_eq!(cloud.proxy.end(WRITE), COMMITS);
        assert_eq!(cloud.forge.proxy.end(PUSH), COMMITS);
    }
    let mut there = cloud.timeless_rows().await;
    there.push(cloud.forge.say(&["rev-parse", "status^{tree}"]));
    there.push(format!("{} commits", commits(&cloud)));
    there
}

/// Of the status branch.
fn commits(cloud: &Cloud) -> usize {
    let count = cloud.forge.say(&["rev-list", "--count", "status"]);
    count.parse().unwrap()
}

impl Act {
    /// Which are on the branch when it ends there. Each is noted behind its push.
    fn commits(self) -> usize {
        match self {
            Self::Write(End::Before(noted) | End::Behind(noted)) => noted + 1,
            Self::Push(end) => end.done(),
            Self::Acknowledge => COMMITS,
        }
    }
}
