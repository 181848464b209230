//! `collect` killed at its writes, told of a result again and again, and told of what is none.

use std::sync::Arc;

use serde_json::json;

use crate::cloud::{Cloud, REGION};
use crate::end::{End, Moment, WRITE, same};
use crate::mapping::Mapping;
use crate::stage::{Stage, builder};

const RESULTS: Mapping = Mapping {
    queue: "results-normal",
    program: env!("CARGO_BIN_EXE_collect"),
};

/// Wherever it ends: it is told again, and each result is taken in once.
#[tokio::test]
async fn a_collect_that_is_killed_at_a_write_is_done_again() {
    let names = ["app", "lib"];
    let (cloud, places) = handed_in(&names).await;
    let (cloud, places) = (Arc::new(cloud), Arc::new(places));
    let run = |end| collected(Arc::clone(&cloud), Arc::clone(&places), end);
    let undisturbed = run(None).await;
    assert_eq!(succeeded(&undisturbed), names.len(), "{undisturbed:#?}");
    same(&undisturbed, End::all(names.len()), |end| run(Some(end))).await;
}

/// Each is handed in, by a runner that has still its lease.
async fn handed_in(names: &[&str]) -> (Cloud, Vec<String>) {
    let cloud = Cloud::new(names).await;
    let stage = Stage::new(&cloud, 3_600);
    stage.plan(names).await;
    let mut places = Vec::new();
    for name in names {
        let grant = stage.lease(name).await;
        places.push(stage.hand_in(&grant).await);
    }
    (cloud, places)
}

/// Rows after all are collected.
async fn collected(cloud: Arc<Cloud>, places: Arc<Vec<String>>, end: Option<End>) -> Vec<String> {
    let cloud = cloud.twin().await;
    for place in &*places {
        tell(&cloud, place).await;
    }
    if let Some(end) = end {
        let moment = Moment::of(&cloud.proxy, WRITE, end);
        RESULTS.killed(&cloud, places.len(), moment).await;
    }
    cloud.proxy.end("");
    let times = if end.is_some() { 2 } else { 1 };
    RESULTS.done(&cloud, places.len(), times).await;
    let writes = cloud.proxy.end(WRITE) + end.map_or(0, End::done);
    assert_eq!(writes, places.len(), "{end:?}: one for each");
    cloud.timeless_rows().await
}

fn succeeded(rows: &[String]) -> usize {
    let word = r#""state":"succeeded""#;
    rows.iter().filter(|row| row.contains(word)).count()
}

#[tokio::test]
async fn a_result_that_is_told_of_twice_is_taken_in_once() {
    let (cloud, places) = handed_in(&["app"]).await;
    for _ in 0..2 {
        tell(&cloud, &places[0]).await;
    }
    RESULTS.done(&cloud, 2, 1).await;
    assert_eq!(cloud.proxy.end(WRITE), 1);
    let rows = cloud.rows().await;
    assert_eq!(succeeded(&rows), 1, "{rows:#?}");
    // Another process knows nothing of the first.
    tell(&cloud, &places[0]).await;
    RESULTS.done(&cloud, 1, 1).await;
    assert_eq!(cloud.proxy.end(WRITE), 0);
    assert_eq!(cloud.rows().await, rows);
}

/// It does not come back, and the result beside it is taken in.
#[tokio::test]
async fn what_is_no_result_is_told_and_changes_nothing() {
    let cloud = Cloud::new(&["app", "lib"]).await;
    let stage = Stage::new(&cloud, 3_600);
    stage.plan(&["app", "lib"]).await;
    let grants = [stage.lease("app").await, stage.lease("lib").await];
    // Where a result belongs, and where none does; and where nothing is any more.
    let own = runner_api::handed::place(&builder(), &grants[0].task, grants[0].attempt);
    let foreign = "builder/builds/2026/11/app.yaml/garbage.json".to_owned();
    for place in [&own, &foreign] {
        let garbage = b"\xff\0 no JSON".to_vec();
        assert!(cloud.store().hand_in(place, garbage).await.unwrap());
    }
    let gone = "builder/gone.json".to_owned();
    let rows = cloud.rows().await;
    let garbage = [own, foreign, gone];
    for place in &garbage {
        tell(&cloud, place).await;
    }
    let lambda = RESULTS.done(&cloud, garbage.len(), 1).await;
    assert_eq!(cloud.proxy.end(WRITE), 0);
    assert_eq!(cloud.rows().await, rows);
    let log = lambda.log();
    for place in &garbage {
        let is_told = |line: &str| line.contains("no result") && line.contains(place);
        assert!(log.lines().any(is_told), "{place}: {log}");
    }

    let place = stage.hand_in(&grants[1]).await;
    for place in [&garbage[0], &place] {
        tell(&cloud, place).await;
    }
    RESULTS.done(&cloud, 2, 1).await;
    assert_eq!(succeeded(&cloud.rows().await), 1);
}

/// As S3 does.
async fn tell(cloud: &Cloud, place: &str) {
    let bucket = &cloud.installation().bucket;
    let event = json!({"Records": [{
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": REGION,
        "eventTime": "2026-11-29T10:00:00.000Z", "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": "AWS:X"}, "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {},
        "s3": {
            "s3SchemaVersion": "1.0", "configurationId": "results",
            "bucket": {"name": bucket, "ownerIdentity": {"principalId": "A"}, "arn": format!("arn:aws:s3:::{bucket}")},
            "object": {"key": format!("results/{place}"), "size": 7, "eTag": "e", "sequencer": "0"},
        },
    }]});
    cloud.send(RESULTS.queue, &event.to_string()).await;
}
