//! The three lists under `data/`: what the bridge carries, what RPM distributions call it, and the links that Debian's
//! maintainer scripts would make.

use std::collections::{BTreeMap, BTreeSet};

const SEEDS: &str = include_str!("../data/seeds.txt");
const NAMES: &str = include_str!("../data/names.txt");
const LINKS: &str = include_str!("../data/links.txt");

/// Debian packages to start from, in one of the sections of `seeds.txt`.
fn section(wanted: &str) -> Vec<&'static str> {
    let mut current = "";
    let mut words = Vec::new();
    for line in lines(SEEDS) {
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'))
        {
            current = name;
        } else if current == wanted {
            words.extend(line.split_whitespace());
        }
    }
    words
}

/// The packages of a build root.
pub(crate) fn buildroot() -> Vec<&'static str> {
    section("buildroot")
}

/// Every seed, build root included, and what must be in the closure so that nothing else is drawn in for it.
pub(crate) fn seeds() -> Vec<&'static str> {
    ["buildroot", "tools", "requires", "libraries", "replaced"]
        .iter()
        .flat_map(|name| section(name))
        .collect()
}

/// Packages that `bridge-base` stands for.
pub(crate) fn replaced() -> BTreeSet<&'static str> {
    section("replaced").into_iter().collect()
}

/// Names that RPM distributions have for `package`, by the list.
pub(crate) fn names(package: &str) -> Vec<&'static str> {
    let entry = lines(NAMES).find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some(package)).then(|| words.collect())
    });
    entry.unwrap_or_default()
}

/// Links to add to `package`: path to target.
pub(crate) fn links(package: &str) -> BTreeMap<&'static str, &'static str> {
    lines(LINKS)
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            match (words.next(), words.next(), words.next()) {
                (Some(owner), Some(link), Some(target)) if owner == package => Some((link, target)),
                _ => None,
            }
        })
        .collect()
}

/// What the lists say, for the key of the cache.
pub(crate) fn all() -> [&'static str; 3] {
    [SEEDS, NAMES, LINKS]
}

fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_whole() {
        let seeds = seeds();
        let unique: BTreeSet<_> = seeds.iter().collect();
        assert_eq!(unique.len(), seeds.len(), "a seed is listed twice");
        assert!(buildroot().contains(&"gcc") && replaced().contains("base-files"));
        for line in lines(LINKS) {
            assert_eq!(line.split_whitespace().count(), 3, "{line}");
        }
        let owners: Vec<_> = lines(NAMES)
            .filter_map(|line| line.split_whitespace().next())
            .collect();
        let unique: BTreeSet<_> = owners.iter().collect();
        assert_eq!(
            unique.len(),
            owners.len(),
            "a package has two lines in names.txt"
        );
        assert_eq!(names("zlib1g-dev"), ["zlib-devel"]);
        assert_eq!(links("bash"), BTreeMap::from([("/bin/sh", "bash")]));
    }
}
