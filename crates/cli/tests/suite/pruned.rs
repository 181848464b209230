//! `prune`.

use bytes::Bytes;
use ports::{ArtifactStore as _, Platform as _};

use crate::person::Person;

/// With a build that succeeded, and something that nobody needs, four days ago.
async fn with_an_orphan() -> Person {
    let mut person = Person::new().await;
    person.merge(&["app"]).await;
    let store = person.world.memory.store();
    let put = store.put(Bytes::from("x".repeat(1_500))).await;
    put.expect("memory");
    person.world.pass(4 * 24 * 3600);
    let put = store.put(Bytes::from("young")).await;
    put.expect("memory");
    person
}

#[tokio::test]
async fn orphans_are_listed_then_removed() {
    let person = with_an_orphan().await;
    let said = person.says(&["prune", "--dry-run"]).await;
    assert_eq!((said.code, &*said.err), (0, ""));
    let needed = said.out.lines().nth_back(1).expect("the last but one");
    assert!(needed.ends_with(") needed"), "{said:?}");
    assert!(said.out.contains("     1.5 kB\n"), "{said:?}");
    let removed = |text: &str| {
        let line = text.lines().find(|line| line.contains("removed"));
        line.expect("it says so").to_owned()
    };
    let before = removed(&said.out);
    assert!(before.ends_with(" would be removed"), "{said:?}");
    assert!(
        said.out
            .ends_with("1 file (5 B) not needed, and younger than the grace\n"),
        "{said:?}"
    );
    let said = person.says(&["prune", "--grace", "72h"]).await;
    let after = before.replace("would be removed", "removed");
    assert_eq!(removed(&said.out), after);
    assert!(!said.out.starts_with(' '), "{said:?}");
    let said = person.says(&["prune", "--json"]).await;
    let pruned: control::Pruned = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(pruned.removed.files, 0, "it is done");
    assert_eq!(pruned.young.bytes, 5);
}

#[tokio::test]
async fn a_wrong_grace_says_what_to_write() {
    let person = Person::new().await;
    for (grace, expect) in [
        ("72", "write a number and its unit: 90m, 72h or 3d"),
        ("59m", "give an hour (1h) at least"),
    ] {
        let said = person.says(&["prune", "--grace", grace]).await;
        assert_eq!(said.code, 2);
        assert!(said.err.contains(expect), "{said:?}");
    }
}

#[tokio::test]
async fn when_not_all_can_be_read_it_says_so_and_removes_nothing() {
    let person = with_an_orphan().await;
    let before = person.world.memory.store().digests();
    person.world.memory.ledger().lose();
    let said = person.refused(&["prune"]).await;
    assert!(
        said.ends_with("the ledger is empty, so nobody knows what is wanted; nothing was removed"),
        "{said}"
    );
    assert_eq!(person.world.memory.store().digests(), before);
}
