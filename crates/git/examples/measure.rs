//! Times what the control plane does all day, beside git doing the same. `cargo run -p git --example measure`

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a measurement starts git and reads the clock"
)]

#[allow(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/suite/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use fake_forge::Server;
use git::{CommitId, Credentials, Edit, Repository};
use support::{bare, commit, fast_import};

/// Best of this many runs.
const RUNS: usize = 5;

fn time(what: &str, mut run: impl FnMut(usize)) {
    let best: Duration = (0..RUNS)
        .map(|n| {
            let start = Instant::now();
            run(n);
            start.elapsed()
        })
        .min()
        .unwrap();
    println!("{:>9.1} ms  {what}", best.as_secs_f64() * 1000.0);
}

fn main() {
    let home = tempfile::tempdir().unwrap();
    let path = bare(home.path(), "r.git");
    let files: Vec<(String, String)> = (0..20_000)
        .map(|n| {
            (
                format!("builds/2026/{:02}/request-{n}.yaml", n % 12),
                format!("state: {n}\n"),
            )
        })
        .collect();
    let slices: Vec<(&str, &str)> = files
        .iter()
        .map(|(p, c)| (p.as_str(), c.as_str()))
        .collect();
    let base = fast_import(&path, "main", None, &slices);
    let status: Vec<(String, String)> = (0..500)
        .map(|n| {
            (
                format!("builds/2026/{:02}/request-{n}.yaml", n % 12),
                format!("{{\"task\": {n}}}\n").repeat(100),
            )
        })
        .collect();
    let content = |run: usize| -> Vec<(String, String)> {
        status
            .iter()
            .map(|(p, c)| (p.clone(), format!("run {run}\n{c}")))
            .collect()
    };

    let mut tip = base;
    time("git fast-import: 500 files on 20,000", |n| {
        let files = content(n);
        let slices: Vec<(&str, &str)> = files
            .iter()
            .map(|(p, c)| (p.as_str(), c.as_str()))
            .collect();
        tip = fast_import(&path, "import", Some(tip), &slices);
    });
    let ours = |repo: &Repository, branch: &str, count: usize, tip: &mut CommitId, run: usize| {
        let files = content(run + 100);
        let edits: Vec<Edit<'_>> = files
            .iter()
            .take(count)
            .map(|(p, c)| (p.as_str(), Some(c.as_bytes())))
            .collect();
        *tip = commit(repo, branch, Some(*tip), &edits);
    };
    let local = Repository::open_bare(&path).unwrap();
    for count in [500, 20, 1] {
        let branch = format!("local-{count}");
        support::git(&path, &["branch", &branch, &base.to_string()]);
        let mut tip = base;
        time(&format!("commit here: {count} files"), |n| {
            ours(&local, &branch, count, &mut tip, n)
        });
    }
    let server = Server::start(home.path());
    let remote = Repository::remote(
        support::url(&server, "r.git"),
        home.path().join("c"),
        Credentials::None,
    )
    .unwrap();
    time("first head over HTTP (fetches once)", |_| {
        assert!(remote.head("main").unwrap().is_some());
    });
    for count in [500, 20, 1] {
        let branch = format!("http-{count}");
        support::git(&path, &["branch", &branch, &base.to_string()]);
        let mut tip = base;
        time(&format!("commit and push over HTTP: {count} files"), |n| {
            ours(&remote, &branch, count, &mut tip, n)
        });
    }
    let changed: Vec<(&str, &str)> = slices
        .iter()
        .step_by(1000)
        .map(|(p, _)| (*p, "new"))
        .collect();
    let next = fast_import(&path, "changed", Some(base), &changed);
    time("differences: 20 of 20,000 files", |_| {
        assert_eq!(local.changes(Some(base), next).unwrap().len(), 20);
    });
    time("list 20,000 files", |_| {
        assert_eq!(local.list(base, "").unwrap().len(), 20_000)
    });
    time("read 100 files", |_| {
        for (path, _) in slices.iter().take(100) {
            assert!(local.read(base, path, 1000).unwrap().is_some());
        }
    });
    time("resolve a branch over HTTP", |_| {
        git::ls_remote(
            &support::url(&server, "r.git"),
            "main",
            &Credentials::None,
            Duration::from_secs(9),
        )
        .unwrap();
    });
    time("git ls-remote over HTTP", |_| {
        support::git(
            home.path(),
            &[
                "ls-remote",
                support::url(&server, "r.git").as_str(),
                "refs/heads/main",
            ],
        );
    });
}
