//! The suite of [`ArtifactStore`]: what is held, and what may be removed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pipeline_spec::Sha256Digest;

use super::files::body;
use super::{ROUNDS, TestClock, bytes};
use crate::{ArtifactStore, Held, Stored};

/// More than any clock's own grain.
const TICK: Duration = Duration::from_millis(3);

/// `grain`: of the store's times. A put may look as much younger as it is, never older.
pub(super) async fn holds<S: ArtifactStore + 'static, C: TestClock>(
    grain: Duration,
    make: &impl AsyncFn() -> (S, C),
) {
    let tick = grain + TICK;
    let (store, clock) = make().await;
    pages(&store, &clock, grain).await;
    let (store, clock) = make().await;
    only_the_old_goes(&store, &clock, tick).await;
    let (store, clock) = make().await;
    every_put_renews(&store, &clock, tick).await;
    let (store, clock) = make().await;
    a_put_beats_a_removal(Arc::new(store), &clock, tick).await;
}

async fn all(store: &impl ArtifactStore, limit: usize) -> Vec<Held> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = store.held(after.as_ref(), limit).await;
        let page = page.expect("list what is held");
        assert!(page.len() <= limit, "a page of {limit} has {}", page.len());
        let Some(last) = page.last() else {
            return all;
        };
        after = Some(last.digest);
        all.extend(page);
    }
}

async fn put_time(store: &impl ArtifactStore, digest: Sha256Digest) -> Option<i64> {
    let held = all(store, 100).await;
    let found = held.into_iter().find(|held| held.digest == digest);
    found.map(|held| held.put)
}

async fn pages(store: &impl ArtifactStore, clock: &impl TestClock, grain: Duration) {
    assert_eq!(all(store, 1).await, [], "an empty store holds nothing");
    let from = clock.now();
    let mut expect = Vec::new();
    for n in 0..20_u64 {
        let text = "x".repeat(n as usize);
        let digest = store.put(bytes(&text)).await.expect("put");
        expect.push((digest, n));
    }
    let until = clock.now() + i64::try_from(grain.as_millis()).expect("a short time");
    expect.sort_unstable();
    for limit in [1, 7, 20, 1_000] {
        let held = all(store, limit).await;
        let names: Vec<_> = held.iter().map(|held| (held.digest, held.size)).collect();
        assert_eq!(names, expect, "in pages of {limit}");
        for held in held {
            assert!(
                (from..=until).contains(&held.put),
                "{held:?} was put between {from} and {until}"
            );
        }
    }
}

async fn only_the_old_goes(store: &impl ArtifactStore, clock: &impl TestClock, tick: Duration) {
    let digest = store.put(bytes("old")).await.expect("put");
    let at = put_time(store, digest).await.expect("it is held");
    clock.advance(tick).await;
    let young = store.put(bytes("young")).await.expect("put");
    for (digest, than, goes) in [
        (digest, at - 1, false),
        (digest, at, false),
        (young, at + 1, false),
        (Sha256Digest::new([7; 32]), i64::MAX, false),
        (digest, at + 1, true),
        (digest, at + 1, false),
    ] {
        let removed = store.remove_if_older(&digest, than).await;
        assert_eq!(removed.expect("remove"), goes, "before {than}");
    }
    assert_eq!(store.size(&digest).await.expect("read a size"), None);
    assert_eq!(store.get(&digest, 100).await.expect("get"), None);
    let renewed = store.renew(&digest, i64::MAX).await.expect("renew");
    assert_eq!(renewed, None, "what is gone cannot be renewed");
    let held: Vec<_> = all(store, 100).await.iter().map(|it| it.digest).collect();
    assert_eq!(held, [young]);
    let again = store.put(bytes("old")).await.expect("put");
    let got = store.get(&again, 100).await.expect("get");
    assert_eq!(got, Some(bytes("old")), "it may come back");
}

async fn every_put_renews(store: &impl ArtifactStore, clock: &impl TestClock, tick: Duration) {
    let content = Bytes::from("again and again ".repeat(1_000));
    let digest = store.put(content.clone()).await.expect("put");
    for way in ["put", "put_stream", "renew", "renew what is old"] {
        clock.advance(tick).await;
        let since = clock.now();
        match way {
            "put" => {
                store.put(content.clone()).await.expect("put");
            }
            "put_stream" => {
                let stored = store.put_stream(digest, u64::MAX, body(&content)).await;
                assert_eq!(stored.expect("put a stream"), Stored::Yes);
            }
            _ => {
                let young = if way == "renew" { i64::MAX } else { since };
                let size = store.renew(&digest, young).await.expect("renew");
                assert_eq!(size, Some(content.len() as u64));
            }
        }
        let removed = store.remove_if_older(&digest, since).await;
        assert!(!removed.expect("remove"), "{way} counts as a put of now");
        let at = put_time(store, digest).await.expect("it is held");
        assert!(at >= since, "{way} at {since} left the time at {at}");
    }
}

/// A removal that saw the old time, and a put that finds the bytes there, at once.
async fn a_put_beats_a_removal<S: ArtifactStore + 'static>(
    store: Arc<S>,
    clock: &impl TestClock,
    tick: Duration,
) {
    // All before the tick, so that a store whose time passes waits for one.
    let mut contents = Vec::new();
    for round in 0..ROUNDS {
        let content = Bytes::from(format!("contested {round} ").repeat(100));
        let digest = store.put(content.clone()).await.expect("put");
        contents.push((digest, content));
    }
    clock.advance(tick).await;
    let since = clock.now();
    for (round, (digest, content)) in contents.into_iter().enumerate() {
        let (putting, removing) = (Arc::clone(&store), Arc::clone(&store));
        let again = content.clone();
        let put = tokio::spawn(async move {
            if round % 2 == 0 {
                let stored = putting.put_stream(digest, u64::MAX, body(&again)).await;
                assert_eq!(stored.expect("put a stream"), Stored::Yes);
            } else {
                putting.put(again).await.expect("put");
            }
        });
        let remove = tokio::spawn(async move { removing.remove_if_older(&digest, since).await });
        put.await.expect("the put ends");
        let removed = remove.await.expect("the removal ends");
        let removed = removed.expect("remove");
        let got = store.get(&digest, u64::MAX).await.expect("get");
        assert_eq!(
            got.as_ref(),
            Some(&content),
            "round {round}: it was put, and the removal answered {removed}"
        );
    }
}
