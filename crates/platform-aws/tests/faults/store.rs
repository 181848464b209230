//! S3 that is busy, uploads that break off, races, and requests of strangers.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use bytes::Bytes;
use emulator::Kind;
use pipeline_spec::Sha256Digest;
use platform_aws::{Installation, Presigned, S3Store, Sizes, WallClock, provision_bucket};
use ports::{ArtifactStore, Body, Clock, Error, Stored};
use tokio::io::AsyncReadExt;
use tokio::sync::Notify;

use crate::common::proxy::{Fault, Proxy};
use crate::common::{QUICK, clients, endpoint, installation};

const BLOBS: &str = "/blobs/sha256/";

async fn make() -> (S3Store, Proxy, Installation) {
    let proxy = Proxy::new(endpoint(Kind::Ministack)).await;
    let mut installation = installation(proxy.url.clone());
    installation.patience = QUICK;
    let clients = clients(installation.clone());
    provision_bucket(&clients).await.unwrap();
    // As small as S3 allows.
    let sizes = Sizes {
        part: 5 << 20,
        copy: 6 << 20,
    };
    (S3Store::with_sizes(clients, sizes), proxy, installation)
}

fn raw(installation: &Installation) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(installation.region.clone()))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(installation.endpoint.clone().unwrap())
        .force_path_style(true)
        .build();
    aws_sdk_s3::Client::from_conf(config)
}

/// Versions of a file, and uploads that are under way.
async fn left(installation: &Installation) -> (usize, usize) {
    let (client, bucket) = (raw(installation), &installation.bucket);
    let versions = client.list_object_versions().bucket(bucket).send();
    let uploads = client.list_multipart_uploads().bucket(bucket).send();
    let (versions, uploads) = (versions.await.unwrap(), uploads.await.unwrap());
    (versions.versions().len(), uploads.uploads().len())
}

/// 12 MB and a bit: three parts.
fn large() -> Bytes {
    let byte = |index: u32| (index.wrapping_mul(2_654_435_761) >> 13) as u8;
    (0..12_000_017).map(byte).collect::<Vec<u8>>().into()
}

fn body(bytes: &Bytes) -> Body {
    Box::new(io::Cursor::new(bytes.clone()))
}

async fn digest_of(bytes: &Bytes) -> Sha256Digest {
    let (store, ..) = make().await;
    store.put(bytes.clone()).await.unwrap()
}

#[tokio::test]
async fn what_passes_is_tried_again_and_is_transient_in_the_end() {
    let (store, proxy, _) = make().await;
    let content = Bytes::from("content");
    for fault in [
        Fault::Instead(503, "SlowDown"),
        Fault::Instead(500, "InternalError"),
        Fault::Instead(409, "OperationAborted"),
        Fault::Body(502, "<html>".to_owned()),
    ] {
        for method in ["PUT ", "GET "] {
            proxy.fault(method, 3, fault.clone());
        }
        // Its answers have no body, so only the status says anything.
        proxy.fault("HEAD ", 3, Fault::Instead(503, ""));
        let digest = store.put(content.clone()).await.unwrap();
        let got = store.get(&digest, 100).await.unwrap();
        assert_eq!(got.as_ref(), Some(&content));
        assert_eq!(store.size(&digest).await.unwrap(), Some(7));
        proxy.end("");
        for method in ["PUT ", "GET "] {
            proxy.fault(method, 100, fault.clone());
        }
        let put = store.put(content.clone()).await.unwrap_err();
        let get = store.get(&digest, 100).await.unwrap_err();
        let held = store.held(None, 10).await.unwrap_err();
        for error in [put, get, held] {
            assert!(matches!(error, Error::Transient { .. }), "{error}");
        }
        proxy.end("");
    }
}

#[tokio::test]
async fn a_pointer_knows_its_own_write_again() {
    let (store, proxy, _) = make().await;
    let set = async |expected: Option<&str>, new: &str| {
        let expected = expected.map(str::as_bytes);
        let new = Bytes::copy_from_slice(new.as_bytes());
        store.set_pointer("base", expected, new).await.unwrap()
    };
    for busy in [
        Fault::Lost,
        Fault::Instead(409, "ConditionalRequestConflict"),
    ] {
        let now = store.pointer("base").await.unwrap();
        let now = now.map(|now| String::from_utf8(now.to_vec()).unwrap());
        proxy.fault("PUT ", 1, busy);
        assert!(set(now.as_deref(), "one").await, "it was set by this call");
        assert!(!set(None, "x").await);
        assert!(!set(Some("x"), "y").await);
        assert!(set(Some("one"), "two").await);
    }
    // The write of somebody else, with the same bytes, is not this one's.
    proxy.fault("PUT ", 1, Fault::Instead(500, "InternalError"));
    proxy.fault("PUT ", 1, Fault::Instead(412, "PreconditionFailed"));
    let new = Bytes::from("two");
    let set = store.set_pointer("base", None, new).await.unwrap();
    assert!(!set, "somebody else has set it");
}

#[tokio::test]
async fn a_large_file_goes_up_in_parts() {
    let (store, proxy, installation) = make().await;
    let large = large();
    let digest = digest_of(&large).await;
    proxy.end("");
    // Each request once in vain, one answer lost.
    proxy.fault("partNumber=2", 1, Fault::Instead(503, "SlowDown"));
    proxy.fault("POST ", 1, Fault::Instead(500, "InternalError"));
    proxy.fault("partNumber=3", 1, Fault::Lost);
    let stored = store.put_stream(digest, u64::MAX, body(&large)).await;
    assert_eq!(stored.unwrap(), Stored::Yes);
    assert_eq!(proxy.end("partNumber="), 5, "three parts, two twice");
    let mut all = Vec::new();
    let mut stream = store.open(&digest, 0).await.unwrap().unwrap();
    stream.read_to_end(&mut all).await.unwrap();
    assert!(all == large, "the same bytes");
    let mut tail = Vec::new();
    let mut stream = store.open(&digest, 11_999_999).await.unwrap().unwrap();
    stream.read_to_end(&mut tail).await.unwrap();
    assert!(tail == large[11_999_999..], "from an offset");
    assert_eq!(left(&installation).await, (1, 0));
    // A second time it is only renewed, by parts as well.
    proxy.end("");
    let stored = store.put_stream(digest, u64::MAX, body(&large)).await;
    assert_eq!(stored.unwrap(), Stored::Yes);
    assert_eq!(proxy.end("partNumber="), 2, "two copies of parts");
    assert_eq!(left(&installation).await, (2, 0));
    assert!(store.get(&digest, u64::MAX).await.unwrap() == Some(large));
}

/// Yields its bytes, then an error.
struct Torn(io::Cursor<Bytes>);

impl tokio::io::AsyncRead for Torn {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        into: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = std::pin::Pin::new(&mut self.0).poll_read(context, into);
        if into.filled().len() == before && into.remaining() > 0 {
            return std::task::Poll::Ready(Err(io::Error::other("the connection broke")));
        }
        read
    }
}

#[tokio::test]
async fn of_an_upload_that_breaks_off_nothing_stays() {
    let (store, proxy, installation) = make().await;
    let large = large();
    let digest = digest_of(&large).await;
    let other = Sha256Digest::new([7; 32]);
    let torn: Body = Box::new(Torn(io::Cursor::new(large.slice(..11_000_000))));
    let stored = store.put_stream(digest, u64::MAX, torn).await;
    assert!(matches!(stored.unwrap_err(), Error::Transient { .. }));
    let stored = store.put_stream(other, u64::MAX, body(&large)).await;
    assert_eq!(stored.unwrap(), Stored::OtherDigest(digest));
    let stored = store.put_stream(digest, 11_000_000, body(&large)).await;
    assert_eq!(stored.unwrap(), Stored::TooLarge);
    proxy.fault("partNumber=2", 100, Fault::Instead(500, "InternalError"));
    let stored = store.put_stream(digest, u64::MAX, body(&large)).await;
    assert!(matches!(stored.unwrap_err(), Error::Transient { .. }));
    proxy.end("");
    // Aborts go on in the background.
    for _ in 0..200 {
        if left(&installation).await == (0, 0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(left(&installation).await, (0, 0), "versions and uploads");
}

/// The removal has seen that the file is old, and the file is renewed before the removal is done.
#[tokio::test]
async fn a_renewal_in_the_middle_of_a_removal_keeps_the_file() {
    let (store, proxy, installation) = make().await;
    let content = Bytes::from("content");
    for way in ["renew", "put"] {
        let digest = store.put(content.clone()).await.unwrap();
        let held = store.held(None, 1).await.unwrap();
        let than = held[0].put + 1;
        let [there, on] = [(); 2].map(|()| Arc::new(Notify::new()));
        let (saw, go) = (Arc::clone(&there), Arc::clone(&on));
        proxy.fault(
            &format!("DELETE /{}", installation.bucket),
            1,
            Fault::Paused { there, on },
        );
        let removing = store.clone();
        let removing = tokio::spawn(async move { removing.remove_if_older(&digest, than).await });
        saw.notified().await;
        match way {
            "renew" => assert_eq!(store.renew(&digest, i64::MAX).await.unwrap(), Some(7)),
            _ => assert_eq!(store.put(content.clone()).await.unwrap(), digest),
        }
        go.notify_one();
        removing.await.unwrap().unwrap();
        let got = store.get(&digest, 100).await.unwrap();
        assert_eq!(got.as_ref(), Some(&content), "{way}");
    }
}

#[tokio::test]
async fn a_removal_takes_all_versions_and_ends_after_a_crash() {
    let (store, proxy, installation) = make().await;
    let digest = store.put(Bytes::from("content")).await.unwrap();
    for _ in 0..3 {
        store.renew(&digest, i64::MAX).await.unwrap();
    }
    assert_eq!(left(&installation).await, (4, 0));
    let than = WallClock.now() + 10_000;
    // Two are removed, then the process dies: what is left is the file, whole.
    let delete = format!("DELETE /{}{BLOBS}", installation.bucket);
    for (times, fault) in [(2, None), (100, Some(Fault::Instead(500, "InternalError")))] {
        match fault {
            // A rule that changes nothing, for the first ones.
            None => proxy.fault(&delete, times, Fault::Late(Duration::ZERO)),
            Some(fault) => proxy.fault(&delete, times, fault),
        }
    }
    store.remove_if_older(&digest, than).await.unwrap_err();
    proxy.end("");
    assert_eq!(left(&installation).await, (2, 0));
    assert_eq!(store.size(&digest).await.unwrap(), Some(7));
    assert!(store.remove_if_older(&digest, than).await.unwrap());
    assert_eq!(left(&installation).await, (0, 0));
    assert_eq!(store.size(&digest).await.unwrap(), None);
}

async fn make_request(presigned: &Presigned, bytes: &'static str) -> u16 {
    let method = presigned.method.parse().unwrap();
    let mut request = reqwest::Client::new().request(method, &presigned.url);
    for (name, value) in &presigned.headers {
        // What the client sets by itself, of the body that it really has.
        if name != "content-length" {
            request = request.header(name, value);
        }
    }
    if presigned.method == "PUT" {
        request = request.body(bytes);
    }
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn presigned_requests_do_what_they_say_and_nothing_else() {
    // Signatures are of the emulator's own address.
    let installation = installation(endpoint(Kind::Ministack));
    let clients = clients(installation);
    provision_bucket(&clients).await.unwrap();
    let store = S3Store::new(clients);
    let content = Bytes::from("content");
    let digest = digest_of(&content).await;
    let minute = Duration::from_secs(60);
    let get = store.presign_get(&digest, minute).await.unwrap();
    let put = store.presign_put(&digest, 7, minute).await.unwrap();
    assert_eq!(make_request(&get, "").await, 404, "nothing is there yet");
    for other in ["contend", "", "content and more"] {
        let status = make_request(&put, other).await;
        assert!((400..500).contains(&status), "{other:?} got {status}");
        assert_eq!(store.size(&digest).await.unwrap(), None, "{other:?}");
    }
    let mut elsewhere = put.clone();
    let other = Sha256Digest::new([7; 32]);
    elsewhere.url = put.url.replace(&digest.to_string(), &other.to_string());
    assert_eq!(make_request(&elsewhere, "content").await, 403);
    assert_eq!(make_request(&put, "content").await, 200);
    let got = store.get(&digest, 100).await.unwrap();
    assert_eq!(got, Some(content));
    assert_eq!(make_request(&get, "").await, 200);
    let second = Duration::from_secs(1);
    let get = store.presign_get(&digest, second).await.unwrap();
    let put = store.presign_put(&digest, 7, second).await.unwrap();
    tokio::time::sleep(3 * second).await;
    assert_eq!(make_request(&get, "").await, 403, "its time is over");
    assert_eq!(make_request(&put, "content").await, 403);
    let week = Duration::from_secs(8 * 24 * 3_600);
    assert!(store.presign_get(&digest, week).await.is_err());
}
