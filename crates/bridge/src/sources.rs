//! The Debian 12 part of the host's apt sources: same mirror, same keys, nothing of third parties.

use std::path::Path;

use crate::Error;
use crate::control::{Stanza, stanzas};

/// The release that the bridge is made of.
pub(crate) const SUITE: &str = "bookworm";
/// The component.
const COMPONENT: &str = "main";

/// Reads `directory` (`/etc/apt`) and returns what belongs into a private `sources.list` and `x.sources`.
pub(crate) fn read(directory: &Path) -> Result<Sources, Error> {
    let mut found = Sources::default();
    for path in files(directory)? {
        let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        if path
            .extension()
            .is_some_and(|extension| extension == "sources")
        {
            found
                .stanzas
                .extend(stanzas(&text).iter().filter_map(stanza));
        } else {
            found.lines.extend(text.lines().filter_map(line));
        }
    }
    if found.lines.is_empty() && found.stanzas.is_empty() {
        return Err(Error::NoSource {
            directory: directory.to_owned(),
        });
    }
    Ok(found)
}

/// Sources in both of apt's formats.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Sources {
    /// sources.list(5), one-line style.
    pub(crate) lines: Vec<String>,
    /// The same, deb822 style.
    pub(crate) stanzas: Vec<String>,
}

/// The main file and the parts, in apt's order. A directory that is not there has no files.
fn files(directory: &Path) -> Result<Vec<std::path::PathBuf>, Error> {
    let mut all = Vec::new();
    let parts = directory.join("sources.list.d");
    if parts.is_dir() {
        for item in std::fs::read_dir(&parts).map_err(Error::io("list", &parts))? {
            let path = item.map_err(Error::io("list", &parts))?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "list" || extension == "sources")
            {
                all.push(path);
            }
        }
    }
    all.sort();
    let main = directory.join("sources.list");
    if main.is_file() {
        all.insert(0, main);
    }
    Ok(all)
}

/// `bookworm`, `bookworm-updates`, `bookworm-security`; not `bookworm-backports`, nor a third party's suite.
fn wanted(suite: &str) -> bool {
    suite == SUITE || matches!(suite.strip_prefix(SUITE), Some("-updates" | "-security"))
}

/// `deb [options] uri suite component...`, reduced to what is wanted.
fn line(text: &str) -> Option<String> {
    let text = text.split('#').next()?.trim();
    let rest = text.strip_prefix("deb")?;
    if !rest.starts_with([' ', '\t']) {
        return None;
    }
    let rest = rest.trim();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(inner) => {
            let (options, rest) = inner.split_once(']')?;
            (format!("[{}] ", options.trim()), rest)
        }
        None => (String::new(), rest),
    };
    let mut words = rest.split_whitespace();
    let (uri, suite) = (words.next()?, words.next()?);
    (wanted(suite) && words.any(|word| word == COMPONENT))
        .then(|| format!("deb {options}{uri} {suite} {COMPONENT}"))
}

/// A deb822 source, reduced to what is wanted; its keys and options stay.
fn stanza(source: &Stanza) -> Option<String> {
    let words = |field: &str| source.get(field).split_whitespace().collect::<Vec<_>>();
    let suites: Vec<&str> = words("suites")
        .into_iter()
        .filter(|suite| wanted(suite))
        .collect();
    let usable = !suites.is_empty()
        && words("types").contains(&"deb")
        && words("components").contains(&COMPONENT)
        && !matches!(source.get("enabled"), "no" | "false" | "0" | "off");
    if !usable {
        return None;
    }
    let mut text = format!(
        "Types: deb\nSuites: {}\nComponents: {COMPONENT}\n",
        suites.join(" ")
    );
    for (name, value) in source.fields() {
        if !matches!(name, "types" | "suites" | "components" | "enabled") {
            text.push_str(&format!("{name}: {}\n", value.replace('\n', "\n ")));
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line() {
        let check =
            |text: &str, expect: Option<&str>| assert_eq!(line(text).as_deref(), expect, "{text}");
        check(
            "deb http://m/debian bookworm main contrib # note",
            Some("deb http://m/debian bookworm main"),
        );
        check(
            "deb [arch=amd64 signed-by=/k.gpg] http://m bookworm-security main",
            Some("deb [arch=amd64 signed-by=/k.gpg] http://m bookworm-security main"),
        );
        check("deb-src http://m/debian bookworm main", None);
        check("# deb http://m/debian bookworm main", None);
        check("deb http://m/debian trixie main", None);
        check("deb http://other cloud-sdk-bookworm main", None);
        check("deb http://other bookworm stable", None);
        check("deb http://m bookworm-backports main", None);
        check("deb [broken http://m bookworm main", None);
        check("deb", None);
    }

    #[test]
    fn deb822() {
        let check = |text: &str, expect: Option<&str>| {
            assert_eq!(stanza(&stanzas(text)[0]).as_deref(), expect, "{text}")
        };
        check(
            "Types: deb deb-src\nURIs: http://m/debian\nSuites: bookworm bookworm-updates bookworm-backports\nComponents: main contrib\nSigned-By:\n a\n b\n",
            Some(
                "Types: deb\nSuites: bookworm bookworm-updates\nComponents: main\nsigned-by: \n a\n b\nuris: http://m/debian\n",
            ),
        );
        check(
            "Types: deb-src\nURIs: http://m\nSuites: bookworm\nComponents: main\n",
            None,
        );
        check(
            "Types: deb\nEnabled: no\nURIs: http://m\nSuites: bookworm\nComponents: main\n",
            None,
        );
        check(
            "Types: deb\nURIs: http://m\nSuites: nodistro\nComponents: main\n",
            None,
        );
    }

    #[test]
    fn a_machine_without_debian_12_is_told_so() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(
            directory.path().join("sources.list"),
            "deb http://m jammy main\n",
        )
        .unwrap();
        let error = read(directory.path()).unwrap_err().to_string();
        assert!(
            error.contains("no source in") && error.contains("bookworm"),
            "{error}"
        );
    }
}
