//! The template of a state repository, in memory.
#![allow(clippy::disallowed_methods, reason = "the template is files")]

use std::collections::BTreeMap;
use std::path::Path;

use pipeline_spec::{Color, lint, render_all};

pub(crate) type Tree = BTreeMap<String, Vec<u8>>;

/// Every file of `state-repo-template/`.
pub(crate) fn template() -> Tree {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../state-repo-template");
    let mut tree = Tree::new();
    read(&root, "", &mut tree);
    tree
}

fn read(folder: &Path, prefix: &str, tree: &mut Tree) {
    for entry in std::fs::read_dir(folder).expect("the template is there") {
        let entry = entry.expect("readable");
        let name = entry.file_name().into_string().expect("UTF-8");
        let path = format!("{prefix}{name}");
        if entry.file_type().expect("a type").is_dir() {
            read(&entry.path(), &format!("{path}/"), tree);
        } else {
            tree.insert(path, std::fs::read(entry.path()).expect("readable"));
        }
    }
}

/// The template in use: its examples in their places, and the public keys that it cannot carry.
#[allow(dead_code, reason = "each test crate uses its own part")]
pub(crate) fn in_use() -> Tree {
    let moved = |path: String| match path.strip_prefix("examples/") {
        Some(example) => example.replacen('-', "/", 1),
        None => path,
    };
    let mut tree: Tree = template()
        .into_iter()
        .map(|(path, bytes)| (moved(path), bytes))
        .collect();
    let key = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n-----END PGP PUBLIC KEY BLOCK-----\n";
    for name in [
        "main",
        "upstream/almalinux-9",
        "upstream/almalinux-10",
        "upstream/bridge-12",
    ] {
        tree.insert(format!("keys/{name}.asc"), key.to_vec());
    }
    tree
}

/// What `millrace lint` says about a tree.
#[allow(dead_code, reason = "each test crate uses its own part")]
pub(crate) fn said(tree: &Tree) -> String {
    let files: Vec<(&str, &[u8])> = tree
        .iter()
        .map(|(p, b)| (p.as_str(), b.as_slice()))
        .collect();
    render_all(&lint(&files), Color::Never)
}
