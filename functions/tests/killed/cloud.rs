//! An installation on an emulator that nobody else uses: parameters, a table, queues, and a state repository with one
//! request.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use emulator::{Emulator, Kind};
use fake_forge::Server;
use ledger::QueueName;
use memory::CONFIG;
use platform_aws::{Access, Clients, Installation, Patience, provision_queues, provision_table};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::proxy::Proxy;

pub(crate) const REGION: &str = "eu-central-1";
/// Deliveries until SQS gives a message up.
pub(crate) const DELIVERIES: u32 = 3;
/// Seconds for which a function's messages are hidden: its time limit, and more.
const HIDDEN: u32 = 2;

pub(crate) struct Cloud {
    pub(crate) proxy: Proxy,
    installation: Installation,
    document: String,
    _forge: (Server, TempDir),
}

fn endpoint() -> String {
    static MINISTACK: OnceLock<Emulator> = OnceLock::new();
    let start = || Emulator::start(Kind::Ministack).unwrap();
    MINISTACK.get_or_init(start).endpoint()
}

impl Cloud {
    pub(crate) async fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let proxy = Proxy::new(endpoint()).await;
        let installation = Installation {
            version: 1,
            region: REGION.to_owned(),
            table: format!("ledger-{number}"),
            bucket: format!("artifacts-{number}"),
            queue_prefix: format!("test-{number}"),
            endpoint: Some(endpoint()),
            patience: Patience::default(),
        };
        let cloud = Self {
            proxy,
            installation,
            document: format!("/test-{number}/configuration"),
            _forge: forge(),
        };
        provision_table(&cloud.clients()).await.unwrap();
        // The queue of wakes is one of SQS alone.
        let wake: QueueName = serde_json::from_value(json!("wake")).unwrap();
        let names = [QueueName::advance(), QueueName::report(), wake];
        let made = provision_queues(&cloud.clients(), &names, DELIVERIES).await;
        made.unwrap();
        cloud.write_document().await;
        cloud
    }

    /// The adapters of whoever looks behind the scenes: not through the proxy.
    pub(crate) fn clients(&self) -> Clients {
        let (id, secret) = ("test".to_owned(), "test".to_owned());
        Clients::new(
            self.installation.clone(),
            Access::Keys {
                id,
                secret,
                session: None,
            },
        )
    }

    /// The name of the parameter with the document.
    pub(crate) fn document(&self) -> &str {
        &self.document
    }

    async fn write_document(&self) {
        let Installation {
            table,
            bucket,
            queue_prefix,
            ..
        } = &self.installation;
        let token = format!("{}-token", self.document);
        let document = json!({
            "version": 1, "region": REGION, "table": table, "bucket": bucket, "queue_prefix": queue_prefix,
            "endpoint": self.proxy.url,
            "state_repository": {"url": self._forge.0.url("state.git")},
            "secrets": {"state_token": token},
        });
        for (name, value) in [
            (&self.document, document.to_string()),
            (&token, "none".to_owned()),
        ] {
            let put = json!({"Name": name, "Value": value, "Type": "String"});
            ask("ssm", "AmazonSSM.PutParameter", &put).await;
        }
    }

    async fn url(&self, queue: &str) -> Value {
        let name = format!("{}-{queue}", self.installation.queue_prefix);
        ask(
            "sqs",
            "AmazonSQS.GetQueueUrl",
            &json!({ "QueueName": name }),
        )
        .await["QueueUrl"]
            .clone()
    }

    /// A message of anybody's.
    pub(crate) async fn send(&self, queue: &str, body: &str) {
        let send = json!({"QueueUrl": self.url(queue).await, "MessageBody": body});
        ask("sqs", "AmazonSQS.SendMessage", &send).await;
    }

    /// What a function would be started with, as soon as there is something; nothing, after some seconds.
    pub(crate) async fn batch(&self, queue: &str) -> Vec<Value> {
        let receive = json!({
            "QueueUrl": self.url(queue).await, "MaxNumberOfMessages": 10, "VisibilityTimeout": HIDDEN,
            "WaitTimeSeconds": 2 * HIDDEN, "MessageSystemAttributeNames": ["All"], "AttributeNames": ["All"],
        });
        let came = ask("sqs", "AmazonSQS.ReceiveMessage", &receive).await;
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

    /// What a function has done is deleted for it.
    pub(crate) async fn delete(&self, queue: &str, record: &Value) {
        let delete =
            json!({"QueueUrl": self.url(queue).await, "ReceiptHandle": record["receiptHandle"]});
        ask("sqs", "AmazonSQS.DeleteMessage", &delete).await;
    }

    /// Every row by its key, in order.
    pub(crate) async fn all_rows(&self) -> Vec<String> {
        let scan = json!({"TableName": self.installation.table, "ConsistentRead": true});
        let found = ask("dynamodb", "DynamoDB_20120810.Scan", &scan).await;
        let items = found["Items"].as_array().unwrap().iter();
        let text = |item: &Value, part: &str| item[part]["S"].as_str().unwrap()[1..].to_owned();
        let mut rows: Vec<String> = items
            .map(|item| format!("{} {}", text(item, "pk"), text(item, "sk")))
            .collect();
        rows.sort_unstable();
        rows
    }

    /// Those of a partition.
    pub(crate) async fn rows(&self, partition: &str) -> Vec<String> {
        let mut rows = self.all_rows().await;
        rows.retain(|row| row.split(' ').next() == Some(partition));
        rows
    }
}

/// One call of a service, without the SDK.
async fn ask(service: &str, target: &str, body: &Value) -> Value {
    // The emulator looks at the names in it, and not at the signature.
    let scope = format!("test/20260101/{REGION}/{service}/aws4_request");
    let signed = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0");
    let answer = reqwest::Client::new()
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

/// A state repository with the small distribution and a request, and the repository of a package.
fn forge() -> (Server, TempDir) {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let request = format!(
        "reason: a test\nplatforms:\n  el-10:\npackages:\n  - source: {{git: \"{}\", ref: main}}\n",
        server.url("app.git")
    );
    let mut files = CONFIG.to_vec();
    files.push(("builds/2026/11/app.yaml", &request));
    commit(folder.path(), "state", &files);
    commit(folder.path(), "app", &[("app.spec", "Name: app\n")]);
    (server, folder)
}

fn commit(folder: &Path, name: &str, files: &[(&str, &str)]) {
    let work = folder.join(name);
    for (path, text) in files {
        let path = work.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        let done = git
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org"])
            .args(arguments)
            .current_dir(&work)
            .output()
            .unwrap();
        assert!(done.status.success(), "git {arguments:?}: {done:?}");
    };
    git(&["init", "--quiet", "--initial-branch=main"]);
    git(&["add", "."]);
    git(&["commit", "--quiet", "--message=all of it"]);
    git(&["clone", "--quiet", "--bare", ".", &format!("../{name}.git")]);
}
