//! Names that a package answers to because of the files in it, as rpm's own generators would find them, so that the
//! automatic requirements of packages built on the bridge are satisfied.

use std::collections::{BTreeMap, BTreeSet};

use crate::deb::{Entry, Kind};
use crate::elf;
use crate::plan::Provide;
use crate::usrmerge::merged;

/// A pkg-config file whose variables refer to each other deeper than this has a cycle.
const MAX_EXPANSIONS: usize = 32;

/// Everything that `entries` provide.
pub(crate) fn of_files(entries: &[Entry]) -> BTreeSet<Provide> {
    let mut found = BTreeSet::new();
    for entry in entries {
        let path = merged(&entry.path);
        if path != entry.path && !matches!(entry.kind, Kind::Directory) && is_program(&path) {
            // A requirement of /bin/sh must not depend on where the file is since the merge.
            found.insert(plain(entry.path.clone()));
        }
        if let Some(version) = python_abi(&path) {
            found.insert(versioned("python(abi)".to_owned(), version.to_owned()));
        }
        if let Some(module) = perl_module(&path) {
            found.insert(plain(format!("perl({module})")));
        }
        if let Kind::File(content) = &entry.kind {
            of_content(&path, content, &mut found);
        }
    }
    found
}

fn of_content(path: &str, content: &[u8], found: &mut BTreeSet<Provide>) {
    if path.starts_with("/usr/lib/") || path.starts_with("/usr/lib64/") {
        for name in elf::provides(content) {
            if name.starts_with("ld-linux") || name.starts_with("libc.so") {
                found.insert(plain("rtld(GNU_HASH)".to_owned()));
            }
            found.insert(plain(name));
        }
    }
    if let Some(module) = pkgconfig_module(path) {
        let text = String::from_utf8_lossy(content);
        let name = format!("pkgconfig({module})");
        found.insert(match pkgconfig_version(&text) {
            Some(version) => versioned(name, version),
            None => plain(name),
        });
    }
    if let Some((name, version)) = python_distribution(path, content) {
        found.insert(versioned(format!("python3dist({name})"), version.clone()));
        found.insert(versioned(format!("python3.11dist({name})"), version));
    }
}

fn plain(name: String) -> Provide {
    Provide {
        name,
        version: None,
    }
}

fn versioned(name: String, version: String) -> Provide {
    Provide {
        name,
        version: Some(version),
    }
}

fn is_program(path: &str) -> bool {
    path.starts_with("/usr/bin/") || path.starts_with("/usr/sbin/")
}

/// `/usr/bin/python3.11`: `3.11`.
fn python_abi(path: &str) -> Option<&str> {
    let version = path.strip_prefix("/usr/bin/python")?;
    let (major, minor) = version.split_once('.')?;
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    (number(major) && number(minor)).then_some(version)
}

/// The module that a file in one of perl's directories holds, by its path: perl finds it no other way.
fn perl_module(path: &str) -> Option<String> {
    let stem = path.strip_suffix(".pm")?;
    let below = [
        "/usr/share/perl5/",
        "/usr/share/perl/",
        "/usr/lib/x86_64-linux-gnu/perl5/",
        "/usr/lib/x86_64-linux-gnu/perl/",
        "/usr/lib/x86_64-linux-gnu/perl-base/",
    ]
    .iter()
    .find_map(|directory| stem.strip_prefix(directory))?;
    let below = match below.split_once('/') {
        Some((first, rest)) if first.starts_with("5.") => rest,
        _ => below,
    };
    Some(below.replace('/', "::"))
}

fn pkgconfig_module(path: &str) -> Option<&str> {
    let (directory, file) = path.rsplit_once('/')?;
    (directory.ends_with("/pkgconfig") && directory.starts_with("/usr/")).then_some(())?;
    file.strip_suffix(".pc")
}

/// The `Version:` of a pkg-config file, its variables expanded.
fn pkgconfig_version(text: &str) -> Option<String> {
    let mut variables = BTreeMap::new();
    let mut version = None;
    for line in text.lines() {
        if let Some(value) = line.strip_prefix("Version:") {
            version = Some(value.trim().to_owned());
        } else if let Some((name, value)) = line.split_once('=') {
            variables.insert(name.trim(), value.trim());
        }
    }
    let mut version = version?;
    for _ in 0..MAX_EXPANSIONS {
        let Some(start) = version.find("${") else {
            break;
        };
        let end = start + version[start..].find('}')?;
        let value = variables.get(&version[start + 2..end])?;
        version = format!("{}{value}{}", &version[..start], &version[end + 1..]);
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '+' | '~' | '^');
    (!version.is_empty() && version.chars().all(allowed)).then_some(version)
}

/// Name (normalised as PEP 503 says) and version of an installed Python distribution.
fn python_distribution(path: &str, content: &[u8]) -> Option<(String, String)> {
    if !path.starts_with("/usr/lib/python3/dist-packages/") {
        return None;
    }
    let metadata = path.ends_with(".dist-info/METADATA")
        || path.ends_with(".egg-info/PKG-INFO")
        || path.ends_with(".egg-info");
    let text = metadata.then(|| String::from_utf8_lossy(content))?;
    let field = |name: &str| {
        text.lines()
            .take_while(|line| !line.is_empty())
            .find_map(|line| line.strip_prefix(name))
    };
    let name = field("Name: ")?
        .trim()
        .to_ascii_lowercase()
        .replace(['_', '.'], "-");
    let version = field("Version: ")?.trim().to_owned();
    let simple = |text: &str| {
        !text.is_empty()
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+'))
    };
    (simple(&name) && simple(&version) && !version.contains('-')).then_some((name, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(path: &str, content: &str) -> String {
        let entry = Entry {
            path: path.to_owned(),
            kind: Kind::File(content.as_bytes().to_vec()),
            mode: 0o644,
            user: "root".to_owned(),
            group: "root".to_owned(),
            mtime: 0,
        };
        let all = of_files(&[entry])
            .into_iter()
            .map(|provide| match provide.version {
                Some(version) => format!("{} = {version}", provide.name),
                None => provide.name,
            });
        all.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn of_one_file() {
        let check = |path: &str, content: &str, expect: &str| {
            assert_eq!(shown(path, content), expect, "{path}")
        };
        check("/bin/bash", "", "/bin/bash");
        check("/sbin/ldconfig", "", "/sbin/ldconfig");
        check("/usr/bin/env", "", "");
        check("/usr/bin/python3.11", "", "python(abi) = 3.11");
        check("/usr/bin/python3", "", "");
        check(
            "/usr/share/perl/5.36.0/Text/Wrap.pm",
            "",
            "perl(Text::Wrap)",
        );
        check("/usr/share/perl5/XML/SAX.pm", "", "perl(XML::SAX)");
        check(
            "/usr/lib/x86_64-linux-gnu/perl-base/strict.pm",
            "",
            "perl(strict)",
        );
        check("/usr/share/doc/x/A.pm", "", "");
        check(
            "/usr/lib/x86_64-linux-gnu/pkgconfig/zlib.pc",
            "prefix=/usr\nName: zlib\nVersion: 1.2.13\n",
            "pkgconfig(zlib) = 1.2.13",
        );
        check(
            "/usr/share/pkgconfig/x.pc",
            "a=1\nv=${a}.2\nVersion: ${v}\n",
            "pkgconfig(x) = 1.2",
        );
        check(
            "/usr/share/pkgconfig/x.pc",
            "v=${v}\nVersion: ${v}\n",
            "pkgconfig(x)",
        );
        check("/usr/share/pkgconfig/x.pc", "Version: ${\n", "pkgconfig(x)");
        check(
            "/usr/lib/python3/dist-packages/Foo.Bar-1.2.dist-info/METADATA",
            "Name: Foo.Bar\nVersion: 1.2\n\nName: no\n",
            "python3.11dist(foo-bar) = 1.2, python3dist(foo-bar) = 1.2",
        );
    }
}
