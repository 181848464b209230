//! Commits and folders as git writes them, so that their names and signatures are git's.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bytes::Bytes;
use ports::{Commit, CommitInfo};
use sha1::{Digest, Sha1};

use crate::state_repo::{Files, Signing};

/// The target of every link.
const TARGET: &[u8] = b"target";

fn name(kind: &str, bytes: &[u8]) -> [u8; 20] {
    let mut hash = Sha1::new();
    hash.update(format!("{kind} {}\0", bytes.len()));
    hash.update(bytes);
    hash.finalize().into()
}

/// A commit and its name.
pub(crate) fn commit(info: &CommitInfo, tree: &str, sign: Option<Signing<'_>>) -> (Commit, Bytes) {
    let mut head = format!("tree {tree}\n");
    for parent in &info.parents {
        let _ = writeln!(head, "parent {parent}");
    }
    for role in ["author", "committer"] {
        let _ = writeln!(head, "{role} {} {} +0000", info.author, info.time);
    }
    let unsigned = format!("{head}\n{}", info.message);
    let object = match sign {
        None => unsigned,
        Some(sign) => {
            let signature = sign(unsigned.as_bytes());
            let lines = signature.trim_end().replace('\n', "\n ");
            format!("{head}gpgsig {lines}\n\n{}", info.message)
        }
    };
    let commit = hex::encode(name("commit", object.as_bytes()));
    (commit, Bytes::from(object))
}

/// The names of all folders, by path; the top is `""`.
pub(crate) fn trees(files: &Files) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    folder(files, "", &mut found);
    found
}

/// One folder's object.
pub(crate) fn tree(files: &Files, dir: &str) -> Bytes {
    Bytes::from(folder(files, dir, &mut BTreeMap::new()))
}

fn folder(files: &Files, dir: &str, found: &mut BTreeMap<String, String>) -> Vec<u8> {
    let prefix = match dir {
        "" => String::new(),
        dir => format!("{dir}/"),
    };
    // By name as git sorts them: a folder as if a slash were at its end.
    let mut entries = BTreeMap::new();
    let below = files.range(prefix.clone()..);
    for (path, file) in below.take_while(|(path, _)| path.starts_with(&prefix)) {
        let rest = &path[prefix.len()..];
        match rest.split_once('/') {
            Some((name, _)) => _ = entries.insert(format!("{name}/"), None),
            None => _ = entries.insert(rest.to_owned(), Some(file)),
        }
    }
    let mut bytes = Vec::new();
    for (entry, file) in entries {
        let own = entry.trim_end_matches('/');
        let (mode, id) = match file {
            Some(Some(content)) => ("100644", name("blob", content)),
            Some(None) => ("120000", name("blob", TARGET)),
            None => {
                let below = folder(files, &format!("{prefix}{own}"), found);
                ("40000", name("tree", &below))
            }
        };
        bytes.extend_from_slice(format!("{mode} {own}\0").as_bytes());
        bytes.extend_from_slice(&id);
    }
    found.insert(dir.to_owned(), hex::encode(name("tree", &bytes)));
    bytes
}
