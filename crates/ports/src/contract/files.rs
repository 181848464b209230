//! The suite of [`ArtifactStore`]: files.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use pipeline_spec::Sha256Digest;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::task::JoinSet;

use super::{RIVALS, TestClock, bytes, pointers, removal};
use crate::{ArtifactStore, Body, Stored};

/// *Addressed by SHA-256; put twice is once; a torn put is never seen; what is put again is not removed.*
///
/// `grain` is how much younger than it is a file may look: the step of the store's times.
pub async fn store<S, C>(grain: Duration, make: impl AsyncFn() -> (S, C))
where
    S: ArtifactStore + 'static,
    C: TestClock,
{
    removal::holds(grain, &make).await;
    let make = async || make().await.0;
    known_digests(&make().await).await;
    missing_is_none(&make().await).await;
    // The digest of bytes that the store under test has never seen.
    let big = big();
    let digest = make().await.put(big.clone()).await.expect("put");
    streamed(&make().await, digest, &big).await;
    refused_is_not_kept(&make().await, digest, &big).await;
    torn_is_not_seen(&make().await, digest, &big).await;
    abandoned_is_not_seen(make().await, digest, &big).await;
    bounds_of_get(&make().await).await;
    offsets(&make().await).await;
    same_bytes_at_once(make().await, digest, &big).await;
    pointers::compare_and_swap(&make().await).await;
    pointers::races(make().await).await;
}

/// 3 MB and a bit, so that nothing divides it: more than any buffer on the way.
fn big() -> Bytes {
    (0..3_000_017_u32)
        .map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect::<Vec<u8>>()
        .into()
}

pub(super) fn body(bytes: &Bytes) -> Body {
    Box::new(io::Cursor::new(bytes.clone()))
}

async fn size(store: &impl ArtifactStore, digest: &Sha256Digest) -> Option<u64> {
    store.size(digest).await.expect("read a size")
}

async fn get(store: &impl ArtifactStore, digest: &Sha256Digest) -> Option<Bytes> {
    store.get(digest, u64::MAX).await.expect("get bytes")
}

/// What a stream from `offset` yields; an error of opening or reading is a failure.
async fn read_from(store: &impl ArtifactStore, digest: &Sha256Digest, offset: u64) -> Bytes {
    let stream = store.open(digest, offset).await.expect("open a stream");
    let mut all = Vec::new();
    let mut stream = stream.expect("the bytes are stored");
    stream.read_to_end(&mut all).await.expect("read a stream");
    all.into()
}

async fn known_digests(store: &impl ArtifactStore) {
    for (text, digest) in [
        (
            "",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        (
            "abc",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
    ] {
        for time in ["first", "second"] {
            let stored = store.put(bytes(text)).await.expect("put");
            assert_eq!(stored.to_string(), digest, "{time} put of {text:?}");
        }
        let digest = digest.parse().expect("a digest");
        assert_eq!(size(store, &digest).await, Some(text.len() as u64));
        assert_eq!(get(store, &digest).await, Some(bytes(text)));
        assert_eq!(read_from(store, &digest, 0).await, bytes(text));
    }
}

async fn missing_is_none(store: &impl ArtifactStore) {
    let digest = Sha256Digest::new([7; 32]);
    assert_eq!(size(store, &digest).await, None);
    assert_eq!(get(store, &digest).await, None);
    let opened = store.open(&digest, 0).await.expect("open");
    assert!(opened.is_none(), "what is not stored cannot be opened");
}

async fn streamed(store: &impl ArtifactStore, digest: Sha256Digest, big: &Bytes) {
    for time in ["first", "second"] {
        let max = big.len() as u64;
        let stored = store.put_stream(digest, max, body(big)).await;
        assert_eq!(stored.expect("put a stream"), Stored::Yes, "{time} time");
        assert_eq!(size(store, &digest).await, Some(max));
        assert!(read_from(store, &digest, 0).await == *big, "same bytes");
    }
}

async fn refused_is_not_kept(store: &impl ArtifactStore, digest: Sha256Digest, big: &Bytes) {
    let other = Sha256Digest::new([7; 32]);
    let stored = store.put_stream(other, u64::MAX, body(big)).await;
    let stored = stored.expect("put a stream");
    assert_eq!(
        stored,
        Stored::OtherDigest(digest),
        "the real digest is said"
    );
    assert_eq!(size(store, &other).await, None, "nothing under the claim");
    assert_eq!(size(store, &digest).await, None, "nothing under the truth");
    let max = big.len() as u64 - 1;
    let stored = store.put_stream(digest, max, body(big)).await;
    let stored = stored.expect("put a stream");
    assert_eq!(stored, Stored::TooLarge, "one byte too much");
    assert_eq!(size(store, &digest).await, None, "nothing of a large one");
}

/// Yields its bytes, then an error, as a broken connection does.
struct Torn(io::Cursor<Bytes>);

impl AsyncRead for Torn {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.0).poll_read(context, into);
        if into.filled().len() == before && into.remaining() > 0 {
            return Poll::Ready(Err(io::Error::other("the connection broke")));
        }
        read
    }
}

async fn torn_is_not_seen(store: &impl ArtifactStore, digest: Sha256Digest, big: &Bytes) {
    for length in [0, 1_000, 2_000_000, big.len()] {
        let torn = Torn(io::Cursor::new(big.slice(..length)));
        let stored = store.put_stream(digest, u64::MAX, Box::new(torn)).await;
        let error = stored.expect_err("a body that breaks off is an error");
        assert!(
            matches!(error, crate::Error::Transient { .. }),
            "a body that breaks off may come whole later: {error}"
        );
        assert_eq!(size(store, &digest).await, None, "torn after {length}");
    }
    let stored = store.put_stream(digest, u64::MAX, body(big)).await;
    assert_eq!(stored.expect("put a stream"), Stored::Yes, "whole at last");
    assert!(read_from(store, &digest, 0).await == *big, "same bytes");
}

async fn abandoned_is_not_seen<S: ArtifactStore + 'static>(
    store: S,
    digest: Sha256Digest,
    big: &Bytes,
) {
    let store = Arc::new(store);
    let half = big.len() / 2;
    let (mut sender, receiver) = tokio::io::duplex(1_000);
    let receiving = Arc::clone(&store);
    let upload = tokio::spawn(async move {
        let body = Box::new(receiver);
        receiving.put_stream(digest, u64::MAX, body).await
    });
    sender.write_all(&big[..half]).await.expect("send a half");
    assert_eq!(size(&*store, &digest).await, None, "half is invisible");
    upload.abort();
    assert!(upload.await.is_err(), "the upload was still under way");
    assert_eq!(size(&*store, &digest).await, None, "abandoned is invisible");
    assert_eq!(get(&*store, &digest).await, None);
    let stored = store.put_stream(digest, u64::MAX, body(big)).await;
    assert_eq!(stored.expect("put a stream"), Stored::Yes, "whole at last");
}

async fn bounds_of_get(store: &impl ArtifactStore) {
    let digest = store.put(bytes("12345")).await.expect("put");
    let got = store.get(&digest, 5).await.expect("get what just fits");
    assert_eq!(got, Some(bytes("12345")));
    let got = store.get(&digest, 4).await;
    assert!(got.is_err(), "get refuses more than it was allowed");
}

async fn offsets(store: &impl ArtifactStore) {
    let digest = store.put(bytes("0123456789")).await.expect("put");
    for (offset, rest) in [(0, "0123456789"), (1, "123456789"), (9, "9"), (10, "")] {
        let read = read_from(store, &digest, offset).await;
        assert_eq!(read, bytes(rest), "from offset {offset}");
    }
    let beyond = read_from(store, &digest, 1_000).await;
    assert_eq!(beyond, bytes(""), "nothing is beyond the end");
}

async fn same_bytes_at_once<S: ArtifactStore + 'static>(
    store: S,
    digest: Sha256Digest,
    big: &Bytes,
) {
    let store = Arc::new(store);
    let mut rivals = JoinSet::new();
    for _ in 0..RIVALS {
        let (store, body) = (Arc::clone(&store), body(big));
        rivals.spawn(async move { store.put_stream(digest, u64::MAX, body).await });
    }
    for stored in rivals.join_all().await {
        assert_eq!(stored.expect("put a stream"), Stored::Yes);
    }
    assert!(
        get(&*store, &digest).await.as_ref() == Some(big),
        "once, whole"
    );
}
