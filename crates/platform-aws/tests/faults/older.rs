//! What the version before has left: its messages in SQS, and its rows in DynamoDB.

use std::time::Duration;

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::types::AttributeValue;
use emulator::Kind;
use ledger::{Change, Expect, Message, QueueName, Row, Share};
use platform_aws::{DynamoLedger, Installation, SqsQueue, provision_queues, provision_table};
use ports::{Applied, Ledger, TaskQueue};

use crate::common::{clients, endpoint, installation, key};
use crate::queue::smuggle;

/// What the code of the version before wrote, one document a line: rows and messages.
const WRITTEN: &str = include_str!("../../../ledger/tests/format-1.jsonl");
/// The version before.
const BEFORE: u32 = ledger::format::CURRENT - 1;

fn raw(installation: &Installation) -> aws_sdk_dynamodb::Client {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(installation.region.clone()))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(installation.endpoint.clone().unwrap())
        .build();
    aws_sdk_dynamodb::Client::from_conf(config)
}

/// Each document of `tag`, as it was written and as it is read today.
fn written<T: serde::de::DeserializeOwned>(tag: &str) -> Vec<(&'static str, T)> {
    let tag = format!("{{\"{tag}\":");
    let lines = WRITTEN.lines().filter(|line| line.starts_with(&tag));
    let read = |line: &'static str| (line, serde_json::from_str(line).unwrap());
    lines.map(read).collect()
}

/// They are worked off as those of today, for nobody in particular.
#[tokio::test]
async fn its_messages_are_delivered_and_gone_when_their_work_is_done() {
    let installation = installation(endpoint(Kind::Ministack));
    let clients = clients(installation.clone());
    let name = QueueName::advance();
    provision_queues(&clients, std::slice::from_ref(&name), 3)
        .await
        .unwrap();
    let queue = SqsQueue::new(clients);
    let messages = written::<Message>("message");
    assert!(messages.len() > 2, "{messages:?}");
    for (line, _) in &messages {
        let body = format!(r#"{{"envelope":1,"format":{BEFORE},"message":{line}}}"#);
        smuggle(&installation, &body).await;
    }
    let hide = Duration::from_secs(3_600);
    let got = queue.receive(std::slice::from_ref(&name), 100, hide, Duration::ZERO);
    let mut got = got.await.unwrap();
    assert!(got.iter().all(|it| it.share == Share::default()));
    for (line, message) in &messages {
        let at = got.iter().position(|it| it.message == *message);
        let delivery = got.swap_remove(at.unwrap_or_else(|| panic!("{line} did not come")));
        queue.acknowledge(&delivery.receipt).await.unwrap();
    }
    assert!(got.is_empty(), "nothing else came: {got:?}");
    assert_eq!(queue.depth(&name).await.unwrap(), 0);
    assert_eq!(queue.dead(&name).await.unwrap(), 0);
}

/// They are read as what they were, and the next write of each is one of today.
#[tokio::test]
async fn its_rows_are_read_and_written_anew() {
    let installation = installation(endpoint(Kind::Ministack));
    let clients = clients(installation.clone());
    provision_table(&clients).await.unwrap();
    let (ledger, raw) = (DynamoLedger::new(clients), raw(&installation));
    let rows = written::<Row>("row");
    assert!(rows.len() > 10, "{rows:?}");
    for (number, (line, row)) in rows.iter().enumerate() {
        let key = key(&number.to_string());
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let put = raw.put_item().table_name(&installation.table);
        let put = put
            .item("pk", text(&format!("/{}", key.partition)))
            .item("sk", text(&format!("/{}", key.sort)))
            .item("version", AttributeValue::N("7".to_owned()))
            .item("format", AttributeValue::N(BEFORE.to_string()))
            .item("row", text(line));
        put.send().await.unwrap();
        let record = ledger.get(&key).await.unwrap().unwrap();
        assert_eq!((record.version, &record.row), (7, row), "{line}");
        let mut change = Change::default();
        change.replace(key.clone(), Expect::Version(7), row.clone());
        assert_eq!(ledger.apply(change, 1).await.unwrap(), Applied::Done);
        let record = ledger.get(&key).await.unwrap().unwrap();
        assert_eq!((record.version, &record.row), (8, row), "{line}");
    }
    let listed = ledger.list("p", "", None, 1_000).await.unwrap();
    assert_eq!(listed.len(), rows.len());
}
