//! What runners have of AWS: results that they hand in, and credentials that they are lent.
#![allow(
    clippy::unwrap_used,
    clippy::large_futures,
    reason = "a panic is how a test fails"
)]

mod common;

use bytes::Bytes;
use common::{clients, endpoint, installation};
use emulator::Kind;
use ledger::QueueName;
use pipeline_spec::Role;
use platform_aws::{
    Access, Clients, Lender, RESULTS, S3Store, SqsQueue, provision_bucket, provision_queues,
};
use ports::{ArtifactStore, Place, TaskQueue};
use std::time::Duration;

const KINDS: [Kind; 2] = [Kind::Ministack, Kind::Moto];
const PLACE: &str = "builder-1/builds/2026/11/tree.yaml/0123456789abcdef0123456789abcdef-1.json";

#[tokio::test]
async fn a_result_is_read_where_it_was_handed_in_first() {
    for kind in KINDS {
        let clients = clients(installation(endpoint(kind)));
        provision_bucket(&clients).await.unwrap();
        let store = S3Store::new(clients);
        assert_eq!(store.handed_in(PLACE).await.unwrap(), None);
        for text in ["first", "second"] {
            let is_first = store.hand_in(PLACE, text.into()).await.unwrap();
            assert_eq!(is_first, text == "first", "{kind:?}");
            let found = store.handed_in(PLACE).await.unwrap().unwrap();
            assert_eq!(found.bytes, Bytes::from("first"), "{kind:?}");
            let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
            let age = i64::try_from(now).unwrap() - found.put;
            assert!((-2_000..60_000).contains(&age), "{kind:?}: {age} ms old");
        }
        // A stranger's: larger than any result, and not read.
        let place = PLACE.replace("-1.json", "-2.json");
        assert!(store.hand_in(&place, vec![b' '; 21 << 20]).await.unwrap());
        assert_eq!(store.handed_in(&place).await.unwrap(), None, "{kind:?}");
        assert_eq!(RESULTS, "results/", "as the bucket's notification has it");
    }
}

/// Emulators give out keys, and ask nobody for rights: which rights a session has is judged over the policies,
/// `cargo xtask terraform iam`.
#[tokio::test]
async fn lent_credentials_read_a_queue() {
    for kind in KINDS {
        let installation = installation(endpoint(kind));
        let own = clients(installation.clone());
        let queue = QueueName::work(Role::Compose, None);
        let queues = [queue.clone()];
        provision_queues(&own, &queues, 5).await.unwrap();
        SqsQueue::new(own.clone())
            .send(&queue, &common::message("x"), &Place::at(0))
            .await
            .unwrap();
        // Of the account that all else is in.
        let account = match kind {
            Kind::Ministack => "000000000000",
            Kind::Moto => "123456789012",
        };
        let own_queue = SqsQueue::new(own.clone());
        let other = QueueName::work(Role::Sign, None);
        assert!(own_queue.exists(&queue).await.unwrap());
        assert!(!own_queue.exists(&other).await.unwrap());
        let role = format!("arn:aws:iam::{account}:role/millrace-runner");
        let lender = Lender::new(own, role, 60);
        let loan = lender
            .lend(&"builder-1".parse().unwrap(), &queues)
            .await
            .unwrap();
        assert_eq!(loan.seconds, 900, "the shortest that there is");
        assert!(!loan.session.is_empty());
        let lent = Access::Keys {
            id: loan.id,
            secret: loan.secret,
            session: Some(loan.session),
        };
        let lent = SqsQueue::new(Clients::new(installation, lent));
        let minute = Duration::from_secs(60);
        // One that is not there has nothing, and is no trouble.
        let both = [other, queue];
        for expect in [1, 0] {
            let got = lent.receive(&both, 1, minute, Duration::ZERO).await;
            assert_eq!(got.unwrap().len(), expect, "{kind:?}");
        }
    }
}
