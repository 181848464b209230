//! The readers of packages and the indexes against dpkg's and apt's own tools.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::common::{self, Recipe, Shelf, build_deb, build_source, index_text, succeed, tool};
use repo_deb::deb822::{Dialect, Paragraph, parse};
use repo_deb::package::{self, Contents, FileEntry, FileKind};

fn read(path: &Path) -> package::Package {
    package::read(fs::File::open(path).expect("the package"), Contents::List)
        .expect("dpkg-deb's own package")
}

/// A line as `tar -tv` prints it, without owner and date: mode, size, path and link.
fn line(file: &FileEntry) -> String {
    let (letter, size, link) = match &file.kind {
        FileKind::File(size) => ('-', *size, String::new()),
        FileKind::Directory => ('d', 0, String::new()),
        FileKind::Symlink(target) => ('l', 0, format!(" -> {}", target.display())),
        FileKind::Hardlink(target) => ('h', 0, format!(" link to ./{}", target.display())),
        FileKind::Special => ('?', 0, String::new()),
    };
    let bits: String = (0..9)
        .map(|n| match file.mode & (0o400 >> n) {
            0 => '-',
            _ => ['r', 'w', 'x'][n % 3],
        })
        .collect();
    let slash = if letter == 'd' { "/" } else { "" };
    format!(
        "{letter}{bits} {size} ./{}{slash}{link}",
        file.path.display()
    )
}

#[test]
fn control_and_files_are_what_dpkg_deb_says() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for compression in ["none", "gzip", "xz", "zstd"] {
        let deb = build_deb(
            directory.path(),
            &Recipe {
                compression,
                ..Recipe::default()
            },
        );
        let package = read(&deb);

        let fields = succeed(tool("dpkg-deb", "dpkg").arg("--field").arg(&deb));
        assert_eq!(package.control.to_string(), fields, "{compression}");

        let listed = succeed(tool("dpkg-deb", "dpkg").arg("--contents").arg(&deb));
        let listed: Vec<String> = listed
            .lines()
            .filter(|line| !line.ends_with(" ./"))
            .map(|line| {
                let words: Vec<&str> = line.split_ascii_whitespace().collect();
                format!("{} {} {}", words[0], words[2], words[5..].join(" "))
            })
            .collect();
        let ours: Vec<String> = package.files.iter().map(line).collect();
        assert_eq!(ours, listed, "{compression}");

        for (sum, digest) in [
            ("md5sum", package.digests.md5.to_string()),
            ("sha1sum", package.digests.sha1.to_string()),
            ("sha256sum", package.digests.sha256.to_string()),
        ] {
            let line = succeed(tool(sum, "coreutils").arg(&deb));
            assert_eq!(line.split(' ').next(), Some(digest.as_str()), "{sum}");
        }
    }
}

#[test]
fn long_paths_and_hard_links() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let deep = "d".repeat(90);
    let tree = directory
        .path()
        .join("long-amd64-xz.tree/usr")
        .join(&deep)
        .join(&deep);
    fs::create_dir_all(&tree).expect("a tree");
    fs::write(tree.join("file"), "x").expect("a file");
    fs::hard_link(tree.join("file"), tree.join("other")).expect("a link");
    std::os::unix::fs::symlink(tree.join("file"), tree.join("to-file")).expect("a link");
    let deb = build_deb(
        directory.path(),
        &Recipe {
            name: "long",
            ..Recipe::default()
        },
    );
    let path = |name: &str| Path::new("usr").join(&deep).join(&deep).join(name);
    let kind = |name: &str| {
        let files = read(&deb).files;
        let file = files.iter().find(|file| file.path == path(name));
        file.unwrap_or_else(|| panic!("no {name} in {files:?}"))
            .kind
            .clone()
    };
    let kinds = [kind("file"), kind("other")];
    assert!(kinds.contains(&FileKind::File(1)), "{kinds:?}");
    assert!(
        kinds.contains(&FileKind::Hardlink(path("file")))
            || kinds.contains(&FileKind::Hardlink(path("other")))
    );
    assert_eq!(kind("to-file"), FileKind::Symlink(tree.join("file")));
}

/// Stanzas by what makes them one of a kind.
fn by_name(index: &str) -> BTreeMap<String, Paragraph> {
    let paragraphs = parse(index.as_bytes(), Dialect::Machine).expect("an index");
    let key = |paragraph: &Paragraph| {
        let word = |field| paragraph.get(field).unwrap_or_default().to_owned();
        format!(
            "{} {} {}",
            word("Package"),
            word("Version"),
            word("Architecture")
        )
    };
    paragraphs
        .into_iter()
        .map(|paragraph| (key(&paragraph), paragraph))
        .collect()
}

/// Every field of theirs is a field of ours with the same value and the other way round, `theirs_only` apart.
fn same_fields(ours: &str, theirs: &str, theirs_only: &[&str]) {
    let (ours, theirs) = (by_name(ours), by_name(theirs));
    assert_eq!(
        ours.keys().collect::<Vec<_>>(),
        theirs.keys().collect::<Vec<_>>()
    );
    for (name, theirs) in theirs {
        let fields = |paragraph: &Paragraph| -> BTreeMap<String, String> {
            let fields = paragraph.fields().iter();
            let lines = |value: &str| {
                let mut lines: Vec<&str> = value.lines().collect();
                lines.sort_unstable();
                lines.join("\n")
            };
            fields
                .filter(|field| !theirs_only.contains(&field.name.as_str()))
                .map(|field| (field.name.to_lowercase(), lines(&field.value)))
                .collect()
        };
        assert_eq!(fields(&ours[&name]), fields(&theirs), "{name}");
    }
}

fn shelf(directory: &Path) -> Shelf {
    let mut shelf = Shelf::default();
    for recipe in [
        Recipe {
            control: "Depends: libc6 (>= 2.36),\n libx\nSection: misc\nPriority: optional\n",
            ..Recipe::default()
        },
        Recipe {
            name: "libx",
            version: "1:2.0~rc1-1+b1",
            control: "Source: xlib (1:2.0~rc1-1)\nMulti-Arch: same\nEssential: no\n",
            compression: "zstd",
            ..Recipe::default()
        },
        Recipe {
            name: "hello-doc",
            architecture: "all",
            control: "Source: hello\nX-Own: kept\n",
            compression: "gzip",
            ..Recipe::default()
        },
    ] {
        shelf.add_deb(&build_deb(directory, &recipe));
    }
    shelf.add_dsc(&build_source(directory, "hello", "1.0"));
    shelf
}

#[test]
fn packages_agree_with_dpkg_scanpackages_and_apt_ftparchive() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let root = directory.path().join("repo");
    let composition = shelf(directory.path()).publish(&root, &common::key());
    let ours = index_text(&composition, "main/binary-amd64/Packages.gz");
    assert_eq!(
        ours,
        index_text(&composition, "main/binary-amd64/Packages.xz")
    );

    let scanned = succeed(
        tool("dpkg-scanpackages", "dpkg-dev")
            .current_dir(&root)
            .args(["--multiversion", "pool"]),
    );
    same_fields(&ours, &scanned, &[]);
    let archived = succeed(
        tool("apt-ftparchive", "apt-utils")
            .current_dir(&root)
            .args(["packages", "pool"]),
    );
    same_fields(&ours, &archived, &["SHA512"]);
}

#[test]
fn sources_agree_with_apt_ftparchive_and_dpkg_scansources() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let root = directory.path().join("repo");
    let composition = shelf(directory.path()).publish(&root, &common::key());
    let ours = index_text(&composition, "main/source/Sources.xz");
    let archived = succeed(
        tool("apt-ftparchive", "apt-utils")
            .current_dir(&root)
            .args(["sources", "pool"]),
    );
    same_fields(
        &ours,
        &archived,
        &["Checksums-Sha512", "Section", "Priority"],
    );
    let scanned = succeed(
        tool("dpkg-scansources", "dpkg-dev")
            .current_dir(&root)
            .arg("pool"),
    );
    same_fields(&ours, &scanned, &["Section", "Priority"]);
}
