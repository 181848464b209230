//! What came before: the work of other functions and of a runner, done in this process.

use std::time::Duration;

use axum::body::Bytes;
use control::{Control, Leased, Options, Planned, Reported};
use functions::Plane;
use git::{Credentials, Repository};
use ledger::{Key, Message, QueueName, Row, TaskState};
use pipeline_spec::{Priority, RequestPath, RunnerId};
use platform_aws::AwsPlatform;
use ports::{ArtifactStore as _, Clock as _, Ledger as _, Place, Platform as _, TaskQueue as _};
use runner_api::auth::SigningKey;
use runner_api::{
    ArchVerdict, Artifact, ArtifactKind, BuildScope, BuiltPackage, Facts, Grant, HandedIn, Offer,
    Outcome, ResultManifest, SourceFacts, TaskSpec,
};
use state_repo::GitStateRepo;
use tempfile::TempDir;

use crate::cloud::Cloud;
use crate::forge::request;

/// Rows of one request.
const MANY: usize = 100;

pub(crate) struct Stage<'a> {
    cloud: &'a Cloud,
    pub(crate) plane: Plane,
    _copy: TempDir,
}

impl<'a> Stage<'a> {
    /// With leases that end after so many seconds.
    pub(crate) fn new(cloud: &'a Cloud, lease_seconds: u64) -> Self {
        let copy = TempDir::new().unwrap();
        let url = cloud.forge.url().parse().unwrap();
        let folder = copy.path().join("state.git");
        let repository = Repository::remote(url, folder, Credentials::None).unwrap();
        let installation = cloud.installation().clone();
        let state = GitStateRepo::new(repository);
        let options = Options {
            lease_seconds,
            ..Options::default()
        };
        Self {
            cloud,
            plane: Control::new(
                AwsPlatform::new(installation, Cloud::access(), state),
                options,
            ),
            _copy: copy,
        }
    }

    /// Each request has its first tasks. What has to follow is in the outbox.
    pub(crate) async fn plan(&self, names: &[&str]) {
        let planned = self.plane.plan_head().await.unwrap();
        assert!(matches!(planned, Planned::New(_, count) if count == names.len()));
        for name in names {
            self.plane.advance(&path(name)).await.unwrap();
        }
    }

    /// The runner has the package's source to make.
    pub(crate) async fn lease(&self, name: &str) -> Grant {
        let partition = Key::request_partition(&path(name));
        let rows = self.cloud.ledger();
        let rows = rows.list(&partition, "task/", None, MANY).await.unwrap();
        let offer = |row: Row| match row {
            Row::Task(row) => match row.state {
                TaskState::Ready { attempt, .. } => Some(Offer {
                    task: row.task,
                    attempt,
                    priority: Priority::Normal,
                }),
                _ => None,
            },
            _ => None,
        };
        let offer = rows.into_iter().find_map(|(_, record)| offer(record.row));
        let runner = self.plane.runner(&builder()).await.unwrap().unwrap();
        let leased = self.plane.lease(&builder(), &runner, &offer.unwrap()).await;
        match leased.unwrap() {
            Leased::Granted(grant) => *grant,
            other => panic!("{other:?}"),
        }
    }

    /// The runner has made it. Answers the place of its result.
    pub(crate) async fn hand_in(&self, grant: &Grant) -> String {
        let result = ResultManifest {
            version: runner_api::VERSION,
            task: grant.task.clone(),
            attempt: grant.attempt,
            runner: builder(),
            outcome: self.made(grant).await,
            log: None,
            started: 100,
            finished: 160,
        };
        let key = SigningKey::from_bytes(&memory::BUILDER_SECRET);
        let now = self.plane.platform().clock().now() / 1_000;
        let (place, document) = HandedIn::sign(&key, &result, now);
        let put = self.cloud.store().hand_in(&place, document).await;
        assert!(put.unwrap(), "nothing was at {place}");
        place
    }

    /// A source package.
    async fn made(&self, grant: &Grant) -> Outcome {
        let TaskSpec::Source(task) = &grant.spec else {
            panic!("{:?}", grant.spec);
        };
        let (name, version) = (task.package.to_string(), "1.0-1".to_owned());
        let text = format!("the bytes of {name}");
        let size = text.len() as u64;
        let sha256 = self.cloud.store().put(Bytes::from(text)).await.unwrap();
        let package = BuiltPackage {
            name: name.clone(),
            version: version.clone(),
            arch: "src".to_owned(),
            source: name.clone(),
        };
        let artifact = Artifact {
            name: format!("{name}-{version}.src.rpm"),
            sha256,
            size,
            kind: ArtifactKind::Srpm,
            package: Some(package),
        };
        let architectures = task.target.architectures.iter().map(|arch| ArchVerdict {
            arch: arch.clone(),
            verdict: Ok(BuildScope::All),
        });
        let facts = SourceFacts {
            name: name.clone(),
            version,
            build_requires: Vec::new(),
            provides: vec![name],
            architectures: architectures.collect(),
        };
        Outcome::Succeeded {
            artifacts: vec![artifact],
            facts: Facts::Source(facts),
        }
    }

    /// Answers as they are now are on the status branch.
    pub(crate) async fn report(&self, names: &[&str]) {
        for name in names {
            ask_for_report(self.cloud, name).await;
            let reported = self.plane.report(Duration::from_secs(5)).await;
            assert!(matches!(reported, Ok(Reported::Commit(_, 1))));
        }
    }
}

/// A message that starts `report`.
pub(crate) async fn ask_for_report(cloud: &Cloud, name: &str) {
    let request = path(name);
    let message = Message::Report { request };
    let (queue, name) = (cloud.queue(), QueueName::report());
    let sent = queue.send(&name, &message, &Place::at(0)).await;
    sent.unwrap();
}

fn path(name: &str) -> RequestPath {
    request(name).parse().unwrap()
}

/// The runner.
pub(crate) fn builder() -> RunnerId {
    "builder".parse().unwrap()
}
