//! Names of branches and paths, checked where they come in.

use gix::bstr::ByteSlice;
use gix::refs::FullName;

use crate::{Error, Result};

/// Longest path written to a tree, in bytes: `PATH_MAX` of Linux, so that every commit can be checked out.
const MAX_PATH_BYTES: usize = 4095;

/// `refs/heads/<branch>`; takes the full name too.
pub(crate) fn branch(name: &str) -> Result<FullName> {
    let full = if name.starts_with("refs/") {
        name.to_owned()
    } else {
        format!("refs/heads/{name}")
    };
    full_name(&full)
}

/// A full name git allows.
pub(crate) fn full_name(full: &str) -> Result<FullName> {
    FullName::try_from(full).map_err(|_| Error::Name {
        name: crate::error::printable(full),
        reason: "git does not allow it as the name of a branch or tag".to_owned(),
    })
}

/// The parts of a path that is to be written.
///
/// Refused: what git itself refuses (`.git` in all its spellings, `.` and `..`, empty parts, absolute paths)
/// and control characters, which make every later listing unreadable.
pub(crate) fn parts(path: &str) -> Result<Vec<&str>> {
    let refuse = |reason: &str| Error::Name {
        name: crate::error::printable(path),
        reason: reason.to_owned(),
    };
    if path.len() > MAX_PATH_BYTES {
        return Err(refuse("it is longer than 4095 bytes"));
    }
    if path.chars().any(char::is_control) {
        return Err(refuse("it contains a control character"));
    }
    let parts: Vec<&str> = path.split('/').collect();
    for part in &parts {
        component(part.as_bytes()).map_err(|reason| refuse(&reason))?;
    }
    Ok(parts)
}

/// Whether git and Linux take `name` as one part of a path.
pub(crate) fn component(name: &[u8]) -> std::result::Result<(), String> {
    let options = gix::validate::path::component::Options {
        protect_windows: false,
        protect_hfs: true,
        protect_ntfs: true,
    };
    gix::validate::path::component(name.as_bstr(), None, options)
        .map(|_| ())
        .map_err(|error| error.to_string())?;
    if name.contains(&0) || name.len() > 255 {
        return Err("Linux does not allow it as a file name".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        fn check(path: &str, ok: bool) {
            assert_eq!(parts(path).is_ok(), ok, "{path:?}");
        }
        check("a", true);
        check("builds/2026/11/öpenssl fix.yaml", true);
        check("a:b", true);
        check(".gitignore", true);
        check("", false);
        check("/a", false);
        check("a/", false);
        check("a//b", false);
        check("a/../b", false);
        check("./a", false);
        check(".git/config", false);
        check("a/.GIT/b", false);
        check("git~1/b", false);
        check("a\nb", false);
        check(&"a/".repeat(3000), false);
        check(&"n".repeat(256), false);
    }

    #[test]
    fn branches() {
        fn check(name: &str, expect: Option<&str>) {
            let full = branch(name).ok().map(|n| n.as_bstr().to_string());
            assert_eq!(full.as_deref(), expect, "{name:?}");
        }
        check("main", Some("refs/heads/main"));
        check("refs/heads/status", Some("refs/heads/status"));
        check("team/x", Some("refs/heads/team/x"));
        check("a..b", None);
        check("a b", None);
        check("x.lock", None);
        check("", None);
        check("-x/../y", None);
    }
}
