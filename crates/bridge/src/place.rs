//! Where the files of a .deb end up in the merged root, and what two names for one place come to.

use std::collections::{BTreeMap, BTreeSet};

use crate::Error;
use crate::deb::{Entry, Kind};
use crate::usrmerge::{merged, target};

/// An entry at its final path.
pub(crate) struct Placed {
    /// Path (before the merge), owner, mode and time. Its kind has moved to `content`.
    pub(crate) entry: Entry,
    pub(crate) content: Content,
}

/// What is at a path, hard links resolved.
pub(crate) enum Content {
    File(Vec<u8>),
    /// A file with several names: its bytes, and the first name, which names the set.
    Linked(Vec<u8>, String),
    Directory,
    Symlink(String),
}

/// Final path to entry. Of a file and a link that meet there, as `/usr/bin/x` and the compatibility link `/bin/x`
/// do, the file stays.
pub(crate) fn place(entries: Vec<Entry>) -> Result<BTreeMap<String, Placed>, Error> {
    let linked: BTreeSet<String> = entries
        .iter()
        .filter_map(|entry| match &entry.kind {
            Kind::Hardlink(first) => Some(merged(first)),
            _ => None,
        })
        .collect();
    let mut placed: BTreeMap<String, Placed> = BTreeMap::new();
    for mut entry in entries {
        let path = merged(&entry.path);
        let content = match std::mem::replace(&mut entry.kind, Kind::Directory) {
            Kind::Directory => Content::Directory,
            Kind::File(bytes) if linked.contains(&path) => Content::Linked(bytes, path.clone()),
            Kind::File(bytes) => Content::File(bytes),
            Kind::Symlink(to) => match target(&entry.path, &to) {
                Some(target) => Content::Symlink(target),
                None => continue,
            },
            Kind::Hardlink(first) => hardlink(&placed, &path, &merged(&first))?,
        };
        let weaker = matches!(content, Content::Symlink(_) | Content::Directory);
        if weaker && placed.contains_key(&path) {
            continue;
        }
        placed.insert(path, Placed { entry, content });
    }
    Ok(placed)
}

/// Every entry where it says, for the package that brings the links of the merge itself.
pub(crate) fn as_it_is(entries: Vec<Entry>) -> BTreeMap<String, Placed> {
    let one = |mut entry: Entry| {
        let content = match std::mem::replace(&mut entry.kind, Kind::Directory) {
            Kind::Directory => Content::Directory,
            Kind::File(bytes) => Content::File(bytes),
            Kind::Symlink(to) | Kind::Hardlink(to) => Content::Symlink(to),
        };
        (entry.path.clone(), Placed { entry, content })
    };
    entries.into_iter().map(one).collect()
}

fn hardlink(placed: &BTreeMap<String, Placed>, path: &str, first: &str) -> Result<Content, Error> {
    match placed.get(first).map(|placed| &placed.content) {
        Some(Content::Linked(bytes, set)) => Ok(Content::Linked(bytes.clone(), set.clone())),
        _ => Err(Error::malformed(
            format!("the hard link {path}"),
            format!("the package has no file {first} before it"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(entries: Vec<(&str, Kind)>) -> String {
        let entries = entries.into_iter().map(|(path, kind)| Entry {
            path: path.to_owned(),
            kind,
            mode: 0o755,
            user: "root".to_owned(),
            group: "root".to_owned(),
            mtime: 1,
        });
        match place(entries.collect()) {
            Ok(placed) => {
                let lines = placed.iter().map(|(path, placed)| match &placed.content {
                    Content::File(bytes) => format!("{path}: {}", String::from_utf8_lossy(bytes)),
                    Content::Linked(bytes, set) => {
                        format!("{path}: {} of {set}", String::from_utf8_lossy(bytes))
                    }
                    Content::Directory => format!("{path}/"),
                    Content::Symlink(to) => format!("{path} -> {to}"),
                });
                lines.collect::<Vec<_>>().join(", ")
            }
            Err(error) => format!("failed to {error}"),
        }
    }

    #[test]
    fn places() {
        let file = |text: &str| Kind::File(text.as_bytes().to_vec());
        let link = |to: &str| Kind::Symlink(to.to_owned());
        let hard = |to: &str| Kind::Hardlink(to.to_owned());
        let check = |entries, expect: &str| assert_eq!(shown(entries), expect);
        check(
            vec![("/bin", Kind::Directory), ("/bin/a", file("A"))],
            "/usr/bin/, /usr/bin/a: A",
        );
        check(
            vec![("/bin/a", link("/usr/bin/a")), ("/usr/bin/a", file("A"))],
            "/usr/bin/a: A",
        );
        check(
            vec![("/bin/a", link("b")), ("/usr/bin/a", file("A"))],
            "/usr/bin/a: A",
        );
        check(
            vec![("/usr/bin/a", file("A")), ("/bin/a", link("b"))],
            "/usr/bin/a: A",
        );
        check(
            vec![("/bin/a", file("A")), ("/bin/b", hard("/bin/a"))],
            "/usr/bin/a: A of /usr/bin/a, /usr/bin/b: A of /usr/bin/a",
        );
        check(
            vec![("/bin/b", hard("/bin/a"))],
            "failed to read the hard link /usr/bin/b: the package has no file /usr/bin/a before it",
        );
    }
}
