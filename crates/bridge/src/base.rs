//! `bridge-base`: what a root needs before the first converted package, and what Debian's maintainer scripts would have
//! made: directories, the links of the merged `/usr`, users and groups, `/etc/os-release`, and RPM's macros.

use crate::deb::{Entry, Kind};
use crate::usrmerge::MERGED;

/// The user that builds run as, by the convention of mock.
const BUILDER: (&str, u32) = ("mockbuild", 1000);

/// Debian's fixed users (base-passwd): name, uid, gid, home.
const USERS: [(&str, u32, u32, &str); 18] = [
    ("root", 0, 0, "/root"),
    ("daemon", 1, 1, "/usr/sbin"),
    ("bin", 2, 2, "/bin"),
    ("sys", 3, 3, "/dev"),
    ("sync", 4, 65534, "/bin"),
    ("games", 5, 60, "/usr/games"),
    ("man", 6, 12, "/var/cache/man"),
    ("lp", 7, 7, "/var/spool/lpd"),
    ("mail", 8, 8, "/var/mail"),
    ("news", 9, 9, "/var/spool/news"),
    ("uucp", 10, 10, "/var/spool/uucp"),
    ("proxy", 13, 13, "/bin"),
    ("www-data", 33, 33, "/var/www"),
    ("backup", 34, 34, "/var/backups"),
    ("list", 38, 38, "/var/list"),
    ("irc", 39, 39, "/run/ircd"),
    ("_apt", 42, 65534, "/nonexistent"),
    ("nobody", 65534, 65534, "/nonexistent"),
];

/// Debian's fixed groups (base-passwd): name, gid.
const GROUPS: [(&str, u32); 38] = [
    ("root", 0),
    ("daemon", 1),
    ("bin", 2),
    ("sys", 3),
    ("adm", 4),
    ("tty", 5),
    ("disk", 6),
    ("lp", 7),
    ("mail", 8),
    ("news", 9),
    ("uucp", 10),
    ("man", 12),
    ("proxy", 13),
    ("kmem", 15),
    ("dialout", 20),
    ("fax", 21),
    ("voice", 22),
    ("cdrom", 24),
    ("floppy", 25),
    ("tape", 26),
    ("sudo", 27),
    ("audio", 29),
    ("dip", 30),
    ("www-data", 33),
    ("backup", 34),
    ("operator", 37),
    ("list", 38),
    ("irc", 39),
    ("src", 40),
    ("shadow", 42),
    ("utmp", 43),
    ("video", 44),
    ("sasl", 45),
    ("plugdev", 46),
    ("staff", 50),
    ("games", 60),
    ("users", 100),
    ("nogroup", 65534),
];

/// Directories that every root has. Converted packages leave them to this package.
const DIRECTORIES: [(&str, u16); 49] = [
    ("/boot", 0o755),
    ("/builddir", 0o755),
    ("/dev", 0o755),
    ("/etc", 0o755),
    ("/etc/ld.so.conf.d", 0o755),
    ("/etc/rpm", 0o755),
    ("/home", 0o755),
    ("/media", 0o755),
    ("/mnt", 0o755),
    ("/opt", 0o755),
    ("/proc", 0o555),
    ("/root", 0o700),
    ("/run", 0o755),
    ("/run/lock", 0o1777),
    ("/srv", 0o755),
    ("/sys", 0o555),
    ("/tmp", 0o1777),
    ("/usr", 0o755),
    ("/usr/bin", 0o755),
    ("/usr/games", 0o755),
    ("/usr/include", 0o755),
    ("/usr/lib", 0o755),
    ("/usr/lib/sysimage", 0o755),
    ("/usr/lib/sysimage/rpm", 0o755),
    ("/usr/lib/x86_64-linux-gnu", 0o755),
    ("/usr/lib64", 0o755),
    ("/usr/libexec", 0o755),
    ("/usr/local", 0o755),
    ("/usr/local/bin", 0o755),
    ("/usr/local/include", 0o755),
    ("/usr/local/lib", 0o755),
    ("/usr/local/sbin", 0o755),
    ("/usr/local/share", 0o755),
    ("/usr/sbin", 0o755),
    ("/usr/share", 0o755),
    ("/usr/share/doc", 0o755),
    ("/usr/share/info", 0o755),
    ("/usr/share/man", 0o755),
    ("/usr/src", 0o755),
    ("/var", 0o755),
    ("/var/cache", 0o755),
    ("/var/lib", 0o755),
    ("/var/lib/misc", 0o755),
    ("/var/log", 0o755),
    ("/var/mail", 0o755),
    ("/var/opt", 0o755),
    ("/var/spool", 0o755),
    ("/var/tmp", 0o1777),
    ("/usr/lib/rpm", 0o755),
];

/// Whether `bridge-base` owns the directory `path`.
pub(crate) fn owns(path: &str) -> bool {
    DIRECTORIES.iter().any(|(directory, _)| *directory == path)
}

/// Whether a file may belong to this user.
pub(crate) fn has_user(name: &str) -> bool {
    USERS.iter().any(|(user, ..)| *user == name)
}

/// Whether a file may belong to this group.
pub(crate) fn has_group(name: &str) -> bool {
    GROUPS.iter().any(|(group, _)| *group == name)
}

/// `user(x)` and `group(x)`, which RPM asks for where a file belongs to somebody other than root.
pub(crate) fn accounts() -> impl Iterator<Item = String> {
    let users = USERS.iter().map(|(name, ..)| format!("user({name})"));
    users.chain(GROUPS.iter().map(|(name, _)| format!("group({name})")))
}

/// The files of the package.
pub(crate) fn entries() -> Vec<Entry> {
    let mut all: Vec<Entry> = DIRECTORIES
        .iter()
        .map(|(path, mode)| entry(path, Kind::Directory, *mode))
        .collect();
    all.extend(
        MERGED
            .iter()
            .map(|name| symlink(&format!("/{name}"), &format!("usr/{name}"))),
    );
    all.push(symlink("/etc/os-release", "../usr/lib/os-release"));
    all.push(symlink("/var/run", "/run"));
    all.push(symlink("/var/lock", "/run/lock"));
    let files = [
        ("/etc/passwd", passwd(), 0o644),
        ("/etc/group", group(), 0o644),
        ("/etc/shadow", shadow(), 0o600),
        (
            "/etc/nsswitch.conf",
            "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n".to_owned(),
            0o644,
        ),
        (
            "/etc/hosts",
            "127.0.0.1 localhost\n::1 localhost\n".to_owned(),
            0o644,
        ),
        (
            "/etc/ld.so.conf.d/bridge.conf",
            "/usr/lib64\n".to_owned(),
            0o644,
        ),
        ("/etc/rpm/macros", MACROS.to_owned(), 0o644),
        ("/etc/shells", "/bin/sh\n/bin/bash\n".to_owned(), 0o644),
        ("/usr/lib/os-release", OS_RELEASE.to_owned(), 0o644),
    ];
    all.extend(
        files
            .into_iter()
            .map(|(path, text, mode)| entry(path, Kind::File(text.into_bytes()), mode)),
    );
    all
}

/// Which of [`entries`] are configuration: a root may change them.
pub(crate) const CONFIGURATION: [&str; 7] = [
    "/etc/passwd",
    "/etc/group",
    "/etc/shadow",
    "/etc/nsswitch.conf",
    "/etc/hosts",
    "/etc/rpm/macros",
    "/etc/shells",
];

fn entry(path: &str, kind: Kind, mode: u16) -> Entry {
    let root = || "root".to_owned();
    Entry {
        path: path.to_owned(),
        kind,
        mode,
        user: root(),
        group: root(),
        mtime: crate::KEY_CREATED,
    }
}

fn symlink(path: &str, target: &str) -> Entry {
    entry(path, Kind::Symlink(target.to_owned()), 0o777)
}

fn passwd() -> String {
    let (builder, id) = BUILDER;
    let mut text = String::new();
    for (name, uid, gid, home) in USERS {
        let shell = if name == "root" {
            "/bin/bash"
        } else {
            "/usr/sbin/nologin"
        };
        text.push_str(&format!("{name}:x:{uid}:{gid}:{name}:{home}:{shell}\n"));
    }
    text + &format!("{builder}:x:{id}:{id}:{builder}:/builddir:/bin/bash\n")
}

fn group() -> String {
    let (builder, id) = BUILDER;
    let mut text: String = GROUPS
        .iter()
        .map(|(name, gid)| format!("{name}:x:{gid}:\n"))
        .collect();
    text.push_str(&format!("{builder}:x:{id}:\n"));
    text
}

/// No account has a password.
fn shadow() -> String {
    let names = USERS.iter().map(|(name, ..)| *name).chain([BUILDER.0]);
    names
        .map(|name| format!("{name}:*:19000:0:99999:7:::\n"))
        .collect()
}

const OS_RELEASE: &str = r#"NAME="Millrace bridge"
ID=bridge
ID_LIKE="debian"
VERSION_ID="12"
PLATFORM_ID="platform:br12"
PRETTY_NAME="Millrace bridge 12 (Debian 12 packages as RPMs; not a distribution)"
"#;

/// Read by rpm inside the root, after its own macros.
const MACROS: &str = "\
%dist .br12
%bridge 12
# Debian's default is ~/.rpmdb, which nobody else would find.
%_dbpath /usr/lib/sysimage/rpm
# sh is bash here, and spec files of RPM distributions expect it.
%_buildshell /bin/bash
# Where Debian's compiler, linker and pkg-config look; nothing runs ldconfig for /usr/lib64.
%_lib lib/x86_64-linux-gnu
%_libdir %{_prefix}/%{_lib}
# The same source gives the same bytes.
%_buildhost bridge-12
%source_date_epoch_from_changelog 1
%use_source_date_epoch_as_buildtime 1
%clamp_mtime_to_source_date_epoch 1
# Nothing needs ldconfig here.
%ldconfig_post(n:) %{nil}
%ldconfig_postun(n:) %{nil}
%ldconfig_scriptlets(n:) %{nil}
# Debuginfo and debugsource packages wherever %setup has run, as redhat-rpm-config does it.
%_enable_debug_packages 1
%_debugsource_packages 1
%_unique_build_ids 1
%_unique_debug_names 1
%_unique_debug_srcs 1
%install %{?_enable_debug_packages:%{?buildsubdir:%{debug_package}}}\\
%%install\\
%{nil}
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_directory_comes_with_its_parents() {
        for (path, _) in DIRECTORIES {
            let (parent, _) = path.rsplit_once('/').unwrap();
            assert!(parent.is_empty() || owns(parent), "{path}");
        }
    }

    #[test]
    fn accounts_are_whole() {
        for line in passwd().lines() {
            let fields: Vec<&str> = line.split(':').collect();
            assert_eq!(fields.len(), 7, "{line}");
            assert!(
                group()
                    .lines()
                    .any(|group| group.split(':').nth(2) == Some(fields[3])),
                "{line}"
            );
        }
    }
}
