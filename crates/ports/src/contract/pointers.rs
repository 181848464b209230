//! The suite of [`ArtifactStore`]: pointers.

use std::sync::Arc;

use pipeline_spec::RepositoryName;
use tokio::task::JoinSet;

use super::{RIVALS, bytes};
use crate::ArtifactStore;

/// Swaps per rival. Each loser reads again, so the work grows with the square of the rivals.
const SWAPS: usize = 8;

pub(super) async fn compare_and_swap(store: &impl ArtifactStore) {
    let name = "almalinux-10-baseos";
    assert_eq!(store.pointer(name).await.expect("read"), None, "none yet");
    for (expected, new, set, stands) in [
        (Some("one"), "x", false, None),
        (Some(""), "x", false, None),
        (None, "one", true, Some("one")),
        (None, "x", false, Some("one")),
        (Some("on"), "x", false, Some("one")),
        (Some("one\n"), "x", false, Some("one")),
        (Some("one"), "two", true, Some("two")),
        (Some("one"), "x", false, Some("two")),
        (Some("two"), "two", true, Some("two")),
        (Some("two"), "", true, Some("")),
        (None, "x", false, Some("")),
        (Some(""), "three", true, Some("three")),
    ] {
        let expected_bytes = expected.map(str::as_bytes);
        let result = store.set_pointer(name, expected_bytes, bytes(new)).await;
        let result = result.expect("set a pointer");
        assert_eq!(result, set, "set {new:?} where {expected:?} is expected");
        let now = store.pointer(name).await.expect("read a pointer");
        assert_eq!(now, stands.map(bytes), "after setting {new:?}");
    }
    let names = store.pointers().await.expect("list pointers");
    assert_eq!(names, [parse(name)], "one that was not set has no pointer");
    let set = store.set_pointer("almalinux-10", None, bytes("x")).await;
    assert!(set.expect("set a pointer"));
    let names = store.pointers().await.expect("list pointers");
    assert_eq!(names, [parse("almalinux-10"), parse(name)], "in order");
    let other = store.pointer("debian-12").await.expect("read a pointer");
    assert_eq!(other, None, "another name is another pointer");
    for name in ["../escape", "a/b", "", ".", ".hidden"] {
        let set = store.set_pointer(name, None, bytes("x")).await;
        assert!(set.is_err(), "{name:?} is no name of a repository");
    }
}

fn parse(name: &str) -> RepositoryName {
    name.parse().expect("a name of a repository")
}

pub(super) async fn races<S: ArtifactStore + 'static>(store: S) {
    let store = Arc::new(store);
    let mut rivals = JoinSet::new();
    for _ in 0..RIVALS {
        let store = Arc::clone(&store);
        rivals.spawn(async move {
            for _ in 0..SWAPS {
                increment(&*store, "contested").await;
            }
        });
    }
    rivals.join_all().await;
    let sum = (RIVALS * SWAPS).to_string();
    let stands = store.pointer("contested").await.expect("read a pointer");
    assert_eq!(stands, Some(bytes(&sum)), "no swap is lost");
}

async fn increment(store: &impl ArtifactStore, name: &str) {
    loop {
        let now = store.pointer(name).await.expect("read a pointer");
        let text = now.as_deref().map(String::from_utf8_lossy);
        let value: usize = text.map_or(0, |text| {
            text.parse()
                .unwrap_or_else(|_| panic!("a torn pointer was read: {text:?}"))
        });
        let new = bytes(&(value + 1).to_string());
        let set = store.set_pointer(name, now.as_deref(), new).await;
        if set.expect("set a pointer") {
            return;
        }
        tokio::task::yield_now().await;
    }
}
