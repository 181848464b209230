//! Debian 12's archives still ship `/bin`, `/sbin` and `/lib*` as directories; the bridge has them as links into `/usr`,
//! so every path is moved before RPM sees it. RPM cannot unpack through a link that another package turns into a directory.

/// The directories that are links in the root: `/bin` to `usr/bin` and so on.
pub(crate) const MERGED: [&str; 4] = ["bin", "sbin", "lib", "lib64"];

/// Where `path` lives in the merged root.
pub(crate) fn merged(path: &str) -> String {
    let first = path
        .trim_start_matches('/')
        .split('/')
        .next()
        .unwrap_or_default();
    if MERGED.contains(&first) {
        format!("/usr{path}")
    } else {
        path.to_owned()
    }
}

/// The target of the link that was at `old`, as it must be written at `merged(old)`. None if it would point to itself.
pub(crate) fn target(old: &str, target: &str) -> Option<String> {
    let new = merged(old);
    let parent = old.rsplit_once('/').map_or("", |(parent, _)| parent);
    let pointed = if target.starts_with('/') {
        clean(target)
    } else {
        clean(&format!("{parent}/{target}"))
    };
    if merged(&pointed) == new {
        return None;
    }
    // Only a moved link whose target climbs out of its directory changes what it means.
    let moved = new != old;
    Some(if moved && target.starts_with("..") {
        merged(&pointed)
    } else {
        target.to_owned()
    })
}

/// Resolves `.`, `..` and repeated slashes by the text alone.
fn clean(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let check = |path: &str, expect: &str| assert_eq!(merged(path), expect);
        check("/bin/sh", "/usr/bin/sh");
        check(
            "/lib64/ld-linux-x86-64.so.2",
            "/usr/lib64/ld-linux-x86-64.so.2",
        );
        check("/bin", "/usr/bin");
        check("/usr/bin/env", "/usr/bin/env");
        check("/libexec/x", "/libexec/x");
        check("/etc/lib/x", "/etc/lib/x");
    }

    #[test]
    fn links() {
        let check = |old: &str, to: &str, expect: Option<&str>| {
            assert_eq!(target(old, to).as_deref(), expect, "{old} -> {to}")
        };
        check(
            "/lib/x86_64-linux-gnu/libz.so.1",
            "libz.so.1.2.13",
            Some("libz.so.1.2.13"),
        );
        check("/bin/which", "/usr/bin/which", None);
        check("/usr/bin/which", "/bin/which", None);
        check("/bin/x", "../usr/bin/x", None);
        check("/sbin/x", "../bin/y", Some("/usr/bin/y"));
        check(
            "/lib64/ld-linux-x86-64.so.2",
            "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
            Some("/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"),
        );
        check(
            "/usr/lib/x/liba.so",
            "../../../lib/x/liba.so.1",
            Some("../../../lib/x/liba.so.1"),
        );
    }
}
