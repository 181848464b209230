//! Roots that are made once.

use sandbox::{Command, Error, RootEntry, RootKey, Sandbox};

use crate::stage::{DISK_BYTES, build, open, own_state, root, run};

fn key(text: &str) -> RootKey {
    RootKey::new(text).expect("a key")
}

async fn missing(sandbox: &Sandbox, name: &str) -> sandbox::NewRoot {
    match sandbox.root(&key(name), None).await.expect("an entry") {
        RootEntry::Missing(new) => new,
        RootEntry::Ready(_) => panic!("{name} should not be there"),
    }
}

#[test]
fn keys_are_file_names() {
    let good = ["a", "bookworm-amd64-0a1b", "el9_x86_64+extra.2"];
    let long = "x".repeat(129);
    let bad = [
        "", ".", "..", ".x", "a/b", "a b", "a\0", "ü", "a.lock", "a.making", &long,
    ];
    for text in good {
        assert_eq!(key(text).as_str(), text);
    }
    for text in bad {
        assert!(
            matches!(RootKey::new(text), Err(Error::BadKey { .. })),
            "{text:?}"
        );
    }
}

#[tokio::test]
async fn two_makers_make_one_root() {
    let state = own_state();
    let (one, two) = (open(state.path()).await, open(state.path()).await);
    let first = missing(&one, "shared").await;
    let second = tokio::spawn(async move {
        two.root(&key("shared"), None)
            .await
            .map(|entry| (entry, two))
    });
    let made = Command::prepare_on_host(["touch", "/workspace/made"]);
    assert!(run(first.workspace(), &made).await.0.success());
    tokio::task::yield_now().await;
    assert!(
        !second.is_finished(),
        "the second maker waits for the first"
    );
    first.commit().await.expect("a root");
    let (entry, _two) = second.await.expect("no panic").expect("an entry");
    assert!(matches!(entry, RootEntry::Ready(_)));
}

#[tokio::test]
async fn a_root_that_was_not_committed_is_made_anew() {
    let state = own_state();
    let sandbox = open(state.path()).await;
    let half = missing(&sandbox, "half").await;
    let touch = Command::prepare_on_host([
        "sh",
        "-c",
        "mkdir -p /workspace/a/b; touch /workspace/a/b/half; chown -R 5:5 /workspace/a\n\
         cd /workspace; i=0; while [ $i -lt 1500 ]; do mkdir d && cd d || exit 1; i=$((i+1)); done",
    ]);
    assert!(run(half.workspace(), &touch).await.0.success());
    drop(half);
    let again = missing(&sandbox, "half").await;
    let list = Command::prepare_on_host(["sh", "-c", "ls /workspace"]);
    assert_eq!(
        run(again.workspace(), &list).await.1,
        "dev\n",
        "nothing but the mount point for /dev"
    );
}

#[tokio::test]
async fn a_layer_adds_replaces_and_removes() {
    let state = own_state();
    let sandbox = open(state.path()).await;
    let base = root(&sandbox, "base").await;
    let entry = sandbox
        .root(&key("base-more"), Some(&base))
        .await
        .expect("an entry");
    let RootEntry::Missing(new) = entry else {
        panic!("a new layer")
    };
    let change = "rm -r /root; mkdir -p /root/new; rm -r /suid; mkdir /opt; echo x >/opt/tool; chown 7:7 /opt/tool";
    assert!(
        run(new.workspace(), &Command::prepare(["sh", "-c", change]))
            .await
            .0
            .success()
    );
    let layered = new.commit().await.expect("a layer");
    let look = "ls -d /root/new /suid /opt/tool 2>/dev/null; rmdir /nowhere 2>/dev/null; true";
    let on = async |root| {
        let workspace = sandbox
            .workspace(root, DISK_BYTES)
            .await
            .expect("a workspace");
        run(&workspace, &build(look)).await.1
    };
    assert_eq!(on(&layered).await, "/opt/tool\n/root/new\n");
    assert_eq!(on(&base).await, "/suid\n");
}

#[tokio::test]
async fn a_workspace_leaves_its_root_as_it_was() {
    let state = own_state();
    let sandbox = open(state.path()).await;
    let root = root(&sandbox, "base").await;
    for _ in 0..2 {
        let workspace = sandbox
            .workspace(&root, DISK_BYTES)
            .await
            .expect("a workspace");
        let script = "ls /etc/mark 2>/dev/null; touch /etc/mark; rm -r /suid";
        assert_eq!(
            run(&workspace, &Command::prepare(["sh", "-c", script]))
                .await
                .1,
            ""
        );
        workspace.close().await.expect("an end");
    }
}

/// Prunes all that is not in use. A process that another test is just starting has our locks for a moment: then again.
async fn prune(sandbox: &Sandbox, expect: usize) {
    let mut removed = 0;
    for _ in 0..1000 {
        removed += sandbox.prune(0).await.expect("pruned");
        if removed == expect {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(
        (removed, sandbox.prune(0).await.expect("pruned")),
        (expect, 0)
    );
}

#[tokio::test]
async fn pruning_keeps_what_is_used() {
    let state = own_state();
    let sandbox = open(state.path()).await;
    for name in ["one", "two", "three"] {
        missing(&sandbox, name)
            .await
            .commit()
            .await
            .expect("a root");
    }
    let RootEntry::Ready(used) = sandbox.root(&key("one"), None).await.expect("an entry") else {
        panic!("a root")
    };
    prune(&sandbox, 2).await;
    drop(missing(&sandbox, "two").await);
    drop(used);
    prune(&sandbox, 1).await;
    drop(missing(&sandbox, "one").await);
}

#[tokio::test]
async fn pruning_takes_what_was_used_longest_ago_until_the_rest_fits() {
    const MIB: u64 = 1 << 20;
    let state = own_state();
    let sandbox = open(state.path()).await;
    for name in ["one", "two", "three"] {
        let new = missing(&sandbox, name).await;
        // Closed to us where we are no root: its maker's ids measure it.
        let fill = "cd /workspace; dd if=/dev/urandom of=big bs=1M count=2 2>&1; mkdir -m 700 own; mv big own; chown -R 7:7 own";
        let fill = Command::prepare_on_host(["sh", "-c", fill]);
        assert!(run(new.workspace(), &fill).await.0.success());
        new.commit().await.expect("a root");
    }
    let use_one = sandbox.root(&key("one"), None).await.expect("an entry");
    assert!(matches!(use_one, RootEntry::Ready(_)));
    drop(use_one);
    assert_eq!(sandbox.prune(7 * MIB).await.expect("pruned"), 0, "all fit");
    let mut removed = 0;
    // See `prune`.
    for _ in 0..1000 {
        removed += sandbox.prune(5 * MIB).await.expect("pruned");
        if removed > 0 {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(removed, 1);
    for name in ["one", "three"] {
        let entry = sandbox.root(&key(name), None).await.expect("an entry");
        assert!(
            matches!(entry, RootEntry::Ready(_)),
            "{name} was used later"
        );
    }
    drop(missing(&sandbox, "two").await);
}
