//! An installation on an emulator that nobody else uses: parameters, a table, queues, a bucket, and a state repository.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use emulator::{Emulator, Kind};
use fake_forge::forge::Forge as GitHub;
use ledger::{Change, Key, Message, QueueName, Row, partition};
use platform_aws::{
    Access, Clients, DynamoLedger, Installation, Patience, S3Store, SqsQueue, provision_bucket,
    provision_queues, provision_table,
};
use ports::{Applied, Ledger as _, TaskQueue as _};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::forge::Forge;
use crate::proxy::Proxy;

pub(crate) const REGION: &str = "eu-central-1";
/// Deliveries until SQS gives a message up.
pub(crate) const DELIVERIES: u32 = 3;
/// Seconds for which a function's messages are hidden: its time limit, and more.
const HIDDEN: u32 = 2;
/// What is told and offered here.
const QUEUES: [&str; 7] = [
    "advance",
    "report",
    "forge",
    "build-rpm.x86_64",
    "build-rpm.aarch64",
    "wake",
    "results",
];
/// Of these, the ones without messages of the ledger.
const RAW: [&str; 2] = ["wake", "results"];
/// Milliseconds since 1970 are more, and no other number in a row is.
const TIME: i64 = 1_000_000_000_000;

pub(crate) struct Cloud {
    /// In front of all services.
    pub(crate) proxy: Proxy,
    pub(crate) forge: Forge,
    installation: Installation,
    document: String,
    scratch: TempDir,
    client: reqwest::Client,
}

fn endpoint() -> String {
    static MINISTACK: OnceLock<Emulator> = OnceLock::new();
    let start = || Emulator::start(Kind::Ministack).unwrap();
    MINISTACK.get_or_init(start).endpoint()
}

impl Cloud {
    /// With a request for each of these packages. Nothing is planned.
    pub(crate) async fn new(names: &[&str]) -> Self {
        let cloud = Self::over(Forge::new(names).await, None).await;
        provision_bucket(&cloud.clients()).await.unwrap();
        cloud
    }

    /// Another one with the same rows, commits and artifacts. Nothing is in its queues.
    pub(crate) async fn twin(&self) -> Self {
        let bucket = self.installation.bucket.clone();
        let twin = Self::over(self.forge.twin().await, Some(bucket)).await;
        let table = &twin.installation.table;
        for item in self.items().await {
            let put = json!({"TableName": table, "Item": item});
            twin.ask("dynamodb", "DynamoDB_20120810.PutItem", &put)
                .await;
        }
        twin
    }

    async fn over(forge: Forge, bucket: Option<String>) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let installation = Installation {
            version: 1,
            region: REGION.to_owned(),
            table: format!("ledger-{number}"),
            bucket: bucket.unwrap_or_else(|| format!("artifacts-{number}")),
            queue_prefix: format!("test-{number}"),
            endpoint: Some(endpoint()),
            patience: Patience::default(),
        };
        let cloud = Self {
            proxy: Proxy::new(endpoint()).await,
            forge,
            installation,
            document: format!("/test-{number}/configuration"),
            scratch: TempDir::new().unwrap(),
            client: reqwest::Client::new(),
        };
        provision_table(&cloud.clients()).await.unwrap();
        let names = QUEUES.map(queue_name);
        let made = provision_queues(&cloud.clients(), &names, DELIVERIES).await;
        made.unwrap();
        cloud.write_document(&cloud.forge.url(), None).await;
        cloud
    }

    pub(crate) fn installation(&self) -> &Installation {
        &self.installation
    }

    /// Of whoever looks behind the scenes.
    pub(crate) fn access() -> Access {
        let (id, secret) = ("test".to_owned(), "test".to_owned());
        Access::Keys {
            id,
            secret,
            session: None,
        }
    }

    /// The adapters of whoever looks behind the scenes: not through the proxy.
    pub(crate) fn clients(&self) -> Clients {
        Clients::new(self.installation.clone(), Self::access())
    }

    pub(crate) fn ledger(&self) -> DynamoLedger {
        DynamoLedger::new(self.clients())
    }

    pub(crate) fn queue(&self) -> SqsQueue {
        SqsQueue::new(self.clients())
    }

    pub(crate) fn store(&self) -> S3Store {
        S3Store::new(self.clients())
    }

    /// The name of the parameter with the document.
    pub(crate) fn document(&self) -> &str {
        &self.document
    }

    /// What functions find again that another one has left on the disk.
    pub(crate) fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// From now on the state repository is on this GitHub, whose API is at `api`.
    pub(crate) async fn move_to(&self, forge: &GitHub, api: &str) {
        let site = json!({"kind": "github", "api": api, "app": GitHub::APP});
        self.write_document(&forge.clone_url(), Some(site)).await;
    }

    async fn write_document(&self, state: &str, site: Option<Value>) {
        let Installation {
            table,
            bucket,
            queue_prefix,
            ..
        } = &self.installation;
        let [token, key] = ["token", "key"].map(|it| format!("{}-{it}", self.document));
        let document = json!({
            "version": 1, "region": REGION, "table": table, "bucket": bucket, "queue_prefix": queue_prefix,
            "endpoint": self.proxy.url,
            "state_repository": {"url": state}, "forge": site,
            "secrets": {"state_token": token, "forge_token": key},
        });
        for (name, value) in [
            (&self.document, document.to_string()),
            (&token, "none".to_owned()),
            (&key, GitHub::app_key().to_owned()),
        ] {
            let put = json!({"Name": name, "Value": value, "Type": "String", "Overwrite": true});
            self.ask("ssm", "AmazonSSM.PutParameter", &put).await;
        }
    }

    async fn url(&self, queue: &str) -> Value {
        let name = format!("{}-{queue}", self.installation.queue_prefix);
        let get = json!({ "QueueName": name });
        let found = self.ask("sqs", "AmazonSQS.GetQueueUrl", &get).await;
        found["QueueUrl"].clone()
    }

    /// A message of anybody's.
    pub(crate) async fn send(&self, queue: &str, body: &str) {
        let send = json!({"QueueUrl": self.url(queue).await, "MessageBody": body});
        self.ask("sqs", "AmazonSQS.SendMessage", &send).await;
    }

    /// What a function would be started with, as soon as there is something; nothing, after some seconds.
    pub(crate) async fn batch(&self, queue: &str) -> Vec<Value> {
        let receive = json!({
            "QueueUrl": self.url(queue).await, "MaxNumberOfMessages": 10, "VisibilityTimeout": HIDDEN,
            "WaitTimeSeconds": 2 * HIDDEN, "MessageSystemAttributeNames": ["All"], "AttributeNames": ["All"],
        });
        let came = self.ask("sqs", "AmazonSQS.ReceiveMessage", &receive).await;
        let came = came["Messages"].as_array().cloned().unwrap_or_default();
        let prefix = &self.installation.queue_prefix;
        let record = |it: Value| {
            json!({
                "messageId": it["MessageId"], "receiptHandle": it["ReceiptHandle"], "body": it["Body"],
                "attributes": it["Attributes"], "messageAttributes": {}, "md5OfBody": it["MD5OfBody"],
                "eventSource": "aws:sqs", "awsRegion": REGION,
                "eventSourceARN": format!("arn:aws:sqs:{REGION}:000000000000:{prefix}-{queue}"),
            })
        };
        came.into_iter().map(record).collect()
    }

    /// So many of them: those that were hidden at the same time may be seen again one after another.
    pub(crate) async fn batch_of(&self, messages: usize, queue: &str) -> Vec<Value> {
        let mut batch = self.batch(queue).await;
        while batch.len() < messages {
            let more = self.batch(queue).await;
            assert!(!more.is_empty(), "{} of {messages} came", batch.len());
            batch.extend(more);
        }
        assert_eq!(batch.len(), messages);
        batch
    }

    /// What a function has done is deleted for it, also where it has done so itself.
    pub(crate) async fn delete(&self, queue: &str, batch: &[Value]) {
        let entry = |(id, record): (usize, &Value)| json!({"Id": id.to_string(), "ReceiptHandle": record["receiptHandle"]});
        let entries: Vec<_> = batch.iter().enumerate().map(entry).collect();
        let delete = json!({"QueueUrl": self.url(queue).await, "Entries": entries});
        self.ask("sqs", "AmazonSQS.DeleteMessageBatch", &delete)
            .await;
    }

    /// What waits in the queues, each once, and is gone from them. What is late on purpose is left out: each attempt
    /// after the first.
    pub(crate) async fn messages(&self) -> BTreeSet<String> {
        let queue = self.queue();
        let told = QUEUES.into_iter().filter(|name| !RAW.contains(name));
        let names: Vec<QueueName> = told.map(queue_name).collect();
        let mut messages = BTreeSet::new();
        loop {
            let got = queue.receive(&names, 100, Duration::from_secs(3_600), Duration::ZERO);
            let got = got.await.unwrap();
            if got.is_empty() {
                return messages;
            }
            let is_late = |it: &Message| matches!(it, Message::Attempt { attempt: 2.., .. });
            let prompt = got.iter().filter(|it| !is_late(&it.message));
            messages.extend(prompt.map(|it| format!("{} {}", it.queue, it.message.name())));
        }
    }

    /// The whole table.
    async fn items(&self) -> Vec<Value> {
        let scan = json!({"TableName": self.installation.table, "ConsistentRead": true});
        let found = self.ask("dynamodb", "DynamoDB_20120810.Scan", &scan).await;
        assert_eq!(found["LastEvaluatedKey"], Value::Null, "it fits one answer");
        found["Items"].as_array().unwrap().clone()
    }

    async fn all_keys(&self) -> Vec<Key> {
        let part = |item: &Value, part: &str| item[part]["S"].as_str().unwrap()[1..].to_owned();
        let items = self.items().await;
        let keys = items.iter().map(|item| Key {
            partition: part(item, "pk"),
            sort: part(item, "sk"),
        });
        keys.collect()
    }

    /// Of a partition.
    pub(crate) async fn keys(&self, partition: &str) -> Vec<Key> {
        let mut keys = self.all_keys().await;
        keys.retain(|key| key.partition == partition);
        keys
    }

    /// Every row, in order: where it is, how often it was written, and what it says.
    pub(crate) async fn rows(&self) -> Vec<String> {
        self.rows_with(|_| {}).await
    }

    /// The same with nothing that hangs on the moment.
    pub(crate) async fn timeless_rows(&self) -> Vec<String> {
        self.rows_with(without_times).await
    }

    /// Minutes go by: whoever was killed while it wrote checks keeps nobody out any more.
    pub(crate) async fn writers_are_lost(&self) {
        let ledger = self.ledger();
        for partition in [partition::PULLS, partition::WATCHED] {
            let found = ledger.list(partition, "", None, usize::MAX).await;
            for (key, mut record) in found.unwrap() {
                match &mut record.row {
                    Row::Pull(row) => row.writing = row.writing.min(1),
                    Row::Watch(row) => row.writing = row.writing.min(1),
                    _ => continue,
                }
                let mut change = Change::default();
                change.put(key, record.row);
                assert_eq!(ledger.apply(change, 0).await.unwrap(), Applied::Done);
            }
        }
    }

    async fn rows_with(&self, change: impl Fn(&mut Value)) -> Vec<String> {
        let ledger = self.ledger();
        let status = self.forge.tip("status");
        let keys = self.all_keys().await.into_iter();
        let partitions: BTreeSet<_> = keys.map(|key| key.partition).collect();
        let mut rows = Vec::new();
        for partition in &partitions {
            let found = ledger.list(partition, "", None, usize::MAX).await;
            for (key, mut record) in found.unwrap() {
                // The commit has a time, too. That it is the branch's is what matters.
                if let Row::StatusBranch(row) = &mut record.row
                    && Some(&row.commit) == status.as_ref()
                {
                    "the tip".clone_into(&mut row.commit);
                }
                let mut row = json!([key, record.version, record.row]);
                change(&mut row);
                rows.push(row.to_string());
            }
        }
        rows.sort_unstable();
        rows
    }

    /// One call of a service, without the SDK.
    async fn ask(&self, service: &str, target: &str, body: &Value) -> Value {
        // The emulator looks at the names in it, and not at the signature.
        let scope = format!("test/20260101/{REGION}/{service}/aws4_request");
        let signed =
            format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0");
        let answer = self
            .client
            .post(endpoint())
            .header("authorization", signed)
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", target)
            .body(body.to_string())
            .send()
            .await
            .unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{target}: {status}: {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }
}

fn queue_name(name: &str) -> QueueName {
    serde_json::from_value(json!(name)).unwrap()
}

/// Also of keys: the outbox is in the order of time.
fn without_times(value: &mut Value) {
    match value {
        Value::Number(number) if number.as_i64().is_some_and(|it| it > TIME) => {
            *value = json!("a time");
        }
        Value::String(text) => {
            if let Some((stamp, rest)) = text.split_once('/')
                && stamp.len() == 15
                && stamp.parse::<i64>().is_ok_and(|it| it > TIME)
            {
                *text = rest.to_owned();
            }
        }
        Value::Array(values) => values.iter_mut().for_each(without_times),
        Value::Object(fields) => fields.values_mut().for_each(without_times),
        _ => {}
    }
}
