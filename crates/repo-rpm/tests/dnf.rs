//! The real dnf, createrepo_c, zstd and gzip over repositories that were written here.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    missing_docs,
    reason = "the judges are programs"
)]

mod common;

use std::fs;

use common::{Desk, RICH_SPEC, small_package};
use repo_rpm::repodata::Form;

/// Everything that dnf knows about every package of a repository.
fn repoquery(desk: &Desk, repo: &str) -> String {
    let _ = fs::remove_dir_all(desk.path("cache"));
    let mut all = String::new();
    let facts = "%{name}|%{epoch}|%{version}|%{release}|%{arch}|%{summary}|%{description}|%{license}|%{url}|%{vendor}|%{packager}|\
                 %{buildtime}|%{size}|%{installsize}|%{downloadsize}|%{sourcerpm}|%{source_name}|%{group}|%{location}|\
                 %{provides}|%{requires}|%{requires_pre}|%{conflicts}|%{obsoletes}|%{recommends}|%{suggests}|%{supplements}|%{enhances}|%{files}\n";
    for query in [&["--qf", facts][..], &["--changelogs"]] {
        let out = desk.dnf(repo, &[], &[&["repoquery"], query].concat());
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
        all += &String::from_utf8_lossy(&out.stdout);
    }
    all
}

#[test]
fn dnf_reads_the_same_as_from_createrepo_c() {
    let desk = Desk::new();
    desk.rpmbuild(RICH_SPEC);
    fs::create_dir(desk.path("other")).unwrap();
    for path in common::rpms(&desk.path("repo")) {
        fs::copy(&path, desk.path("other").join(path.file_name().unwrap())).unwrap();
    }
    desk.ok("createrepo_c", &["--quiet", "other"]);
    let theirs = repoquery(&desk, "other");
    assert!(
        theirs.contains("hello|1|1.2|3.el9|noarch|says <hello> & \"more\"|Two lines"),
        "{theirs}"
    );
    for form in [Form::Zstd, Form::Gzip] {
        desk.publish(form, None);
        let ours = repoquery(&desk, "repo");
        assert_eq!(ours, theirs, "{form:?}");
        fs::remove_dir_all(desk.path("repo/repodata")).unwrap();
    }
}

#[test]
fn every_reader_takes_many_blocks_in_one_file() {
    let desk = Desk::new();
    let count = 500;
    for n in 0..count {
        let name = format!("pkg{n:04}");
        fs::write(
            desk.path("repo").join(format!("{name}.rpm")),
            small_package(&name, "1.0"),
        )
        .unwrap();
    }
    let made = desk.publish(Form::Zstd, None);
    assert!(made.blocks.len() > 3, "{} blocks", made.blocks.len());
    for (path, _) in &made.files {
        let file = desk.path("repo").join(path);
        let tool = if path.ends_with(".zst") {
            "zstd"
        } else {
            "gzip"
        };
        desk.ok(tool, &["-q", "-t", file.to_str().unwrap()]);
    }
    for form in [Form::Zstd, Form::Gzip] {
        desk.publish(form, None);
        let _ = fs::remove_dir_all(desk.path("cache"));
        let out = desk.dnf("repo", &[], &["repoquery", "--qf", "%{name}"]);
        let names = String::from_utf8_lossy(&out.stdout).into_owned();
        let expected: String = (0..count).map(|n| format!("pkg{n:04}\n")).collect();
        assert_eq!(
            names,
            expected,
            "{form:?} {}",
            String::from_utf8_lossy(&out.stderr)
        );
    }
    // createrepo_c's own parser, over the gzip form: it makes a database row of each package.
    desk.ok("sqliterepo_c", &["--force", "repo"]);
    let database = fs::read_dir(desk.path("repo/repodata")).unwrap();
    let primary = database
        .map(|e| e.unwrap().path())
        .find(|p| p.to_str().unwrap().ends_with("primary.sqlite.bz2"))
        .unwrap();
    let counted = desk.ok("sh", &["-c", &format!("bzip2 -dc {} > p.sqlite && python3 -c \"import sqlite3;print(sqlite3.connect('p.sqlite').execute('select count(*) from packages').fetchone()[0])\"", primary.display())]);
    assert_eq!(counted.trim(), count.to_string());
}
