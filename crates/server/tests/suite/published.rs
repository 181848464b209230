//! Published repositories on a disk that fails: clients get an error, and whoever looks after it is told.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use ports::{ArtifactStore as _, Platform as _};
use runner_api::{Tree, TreeFile};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};

use crate::fixture::{APP, RELEASE, build, release};
use crate::served::Served;
use crate::world::World;

/// Warnings of this thread: each its message and its fields.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    fn taken(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("nobody panics here"))
    }
}

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() == Level::WARN
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().expect("nobody panics here").push(line.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, "{}={value:?} ", field.name()).expect("a text takes all");
    }
}

/// `app` is published in `base`.
async fn published() -> (World, Served) {
    let mut world = World::new().await;
    world.merge(&[(APP, Some(&build(&["app"])))]).await;
    world
        .merge(&[(RELEASE, Some(&release(&[APP], &["base"])))])
        .await;
    let served = Served::new(&world).await;
    (world, served)
}

#[tokio::test]
async fn a_file_that_is_not_as_it_was_published_is_an_error() {
    let (world, served) = published().await;
    let store = world.memory.store();
    let pointer = world.pointer("base").await.expect("it is published");
    let tree = store.get(&pointer.tree, u64::MAX).await.expect("memory");
    let tree: Tree = serde_json::from_slice(&tree.expect("a tree")).expect("JSON");
    let (path, file) = tree.files.iter().next().expect("a file");
    let (digest, address) = (&file.sha256, format!("/repos/el/10/base/{path}"));
    let whole = served.get(&address).await;
    assert_eq!(whole.status(), 200);
    assert_eq!(whole.headers()["content-type"], "application/octet-stream");
    let whole = whole.bytes().await.expect("bytes");

    let warnings = Warnings::default();
    let _guard = tracing::subscriber::set_default(warnings.clone());
    let check = async |found: &str| {
        let (status, sentence) = served.refused(served.call("GET", &address)).await;
        assert_eq!(
            format!("{status} {sentence}"),
            format!(
                "503 {path:?} of base cannot be served: the artifact {digest} {found}; bring it back from a backup"
            )
        );
        let warned = warnings.taken();
        assert_eq!(warned.len(), 1, "{warned:?}");
        for named in ["repository=base", path, &digest.to_string(), found] {
            assert!(warned[0].contains(named), "{named}: {warned:?}");
        }
    };
    let size = file.size;
    store.tamper(digest, whole.slice(1..));
    check(&format!(
        "has {} bytes in the artifact store, not {size}",
        size - 1
    ))
    .await;
    store.tamper(digest, Bytes::new());
    check(&format!("has 0 bytes in the artifact store, not {size}")).await;
    store.remove(digest);
    check("is not in the artifact store").await;
    store.tamper(digest, whole);
    assert_eq!(served.get(&address).await.status(), 200, "brought back");
    assert_eq!(warnings.taken(), Vec::<String>::new());
}

/// What others may keep, and where large files are: at the address of the installation, if it has one.
#[tokio::test]
async fn a_large_file_is_where_files_are_published() {
    let (world, here) = published().await;
    let store = world.memory.store();
    let before = store.pointer("base").await.expect("memory");
    let mut pointer = world.pointer("base").await.expect("it is published");
    let tree = store.get(&pointer.tree, u64::MAX).await.expect("memory");
    let mut tree: Tree = serde_json::from_slice(&tree.expect("a tree")).expect("JSON");
    let small = tree.files.keys().next().expect("a file").clone();
    let put = async |bytes: Vec<u8>| TreeFile {
        size: bytes.len() as u64,
        sha256: store.put(bytes.into()).await.expect("memory"),
    };
    let large = put(vec![7; 512 * 1024 + 1]).await;
    tree.files.insert("large.rpm".to_owned(), large.clone());
    let bytes = serde_json::to_vec(&tree).expect("JSON");
    pointer.tree = put(bytes).await.sha256;
    let bytes = serde_json::to_vec(&pointer).expect("JSON");
    let set = store.set_pointer("base", before.as_deref(), bytes.into());
    assert!(set.await.expect("memory"), "it was there");

    let cloud = Served::published_at(&world, "https://repos.example.org").await;
    let check = async |served: &Served, path: &str, expect: (u16, &str, Option<&str>)| {
        let answer = served.get(&format!("/repos/el/10/base/{path}")).await;
        let status = answer.status().as_u16();
        let header = |name: &str| {
            answer
                .headers()
                .get(name)
                .map(|it| it.to_str().expect("text"))
        };
        let lasts = header("cache-control").unwrap_or_default();
        assert_eq!((status, lasts, header("location")), expect, "{path}");
    };
    let place = format!("https://repos.example.org/blobs/sha256/{}", large.sha256);
    check(&cloud, "large.rpm", (307, "max-age=5", Some(&place))).await;
    check(&cloud, &small, (200, "max-age=5", None)).await;
    check(&here, "large.rpm", (200, "max-age=5", None)).await;
}

#[tokio::test]
async fn a_damaged_pointer_is_named_with_what_to_do() {
    let (world, served) = published().await;
    let store = world.memory.store();
    let good = store.pointer("base").await.expect("memory");
    let garbage = Bytes::from_static(b"\0\0\0");
    let set = store.set_pointer("base", good.as_deref(), garbage).await;
    assert!(set.expect("memory"), "it was there");
    let warnings = Warnings::default();
    let _guard = tracing::subscriber::set_default(warnings.clone());
    let (status, sentence) = served
        .refused(served.call("GET", "/repos/el/10/base/"))
        .await;
    assert_eq!(
        format!("{status} {sentence}"),
        "503 base cannot be served: its pointer, data/artifacts/pointers/base in the data directory, is damaged: expected value at line 1 column 1. Move that file away and start `millrace up` again: it sets the pointer as the ledger knows it"
    );
    let warned = warnings.taken();
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(warned[0].contains("data/artifacts/pointers/base"));
}
