//! A long life: thousands of commits, and the number of packs stays small.

use git::{CommitId, Repository};

use crate::support::{commit, fsck, git};

fn packs(repo: &Repository) -> usize {
    repo.path()
        .join("objects/pack")
        .read_dir()
        .unwrap()
        .filter(|entry| {
            entry
                .as_ref()
                .unwrap()
                .path()
                .extension()
                .is_some_and(|e| e == "pack")
        })
        .count()
}

#[test]
fn packs_are_merged_while_others_read() {
    const COMMITS: usize = 100;
    let home = tempfile::tempdir().unwrap();
    let repo = Repository::init_bare(home.path().join("r.git")).unwrap();
    let mut tip: Option<CommitId> = None;
    let mut all = Vec::new();
    std::thread::scope(|scope| {
        let (to_reader, commits) = std::sync::mpsc::channel::<CommitId>();
        let path = repo.path().to_owned();
        let reader = scope.spawn(move || {
            let repo = Repository::open_bare(path).unwrap();
            let mut first = None;
            for commit in commits {
                let first = *first.get_or_insert(commit);
                for commit in [first, commit] {
                    assert!(repo.read(commit, "n", 100).unwrap().is_some());
                }
            }
        });
        for n in 0..COMMITS {
            let content = format!("{n}");
            let made = commit(
                &repo,
                "status",
                tip,
                &[("n", Some(content.as_bytes())), (&content, Some(b"x"))],
            );
            tip = Some(made);
            all.push(made);
            assert!(packs(&repo) <= 34, "{}", packs(&repo));
            to_reader.send(made).unwrap();
        }
        drop(to_reader);
        reader.join().unwrap();
    });
    fsck(repo.path());
    assert_eq!(
        git(repo.path(), &["rev-list", "--count", "status"]),
        COMMITS.to_string()
    );
    for (n, commit) in all.iter().enumerate() {
        let content = repo.read(*commit, "n", 100).unwrap().unwrap();
        assert_eq!(content, n.to_string().as_bytes());
    }
}

#[test]
fn packs_that_git_has_plans_for_are_left_alone() {
    let home = tempfile::tempdir().unwrap();
    let repo = Repository::init_bare(home.path().join("r.git")).unwrap();
    let first = commit(&repo, "status", None, &[("n", Some(b"0"))]);
    let kept = repo
        .path()
        .join("objects/pack")
        .read_dir()
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    std::fs::write(kept.with_extension("keep"), "").unwrap();
    let mut tip = first;
    for n in 0..40 {
        tip = commit(
            &repo,
            "status",
            Some(tip),
            &[("n", Some(format!("{n} more").as_bytes()))],
        );
    }
    assert!(kept.with_extension("pack").exists());
    assert!(packs(&repo) < 30);
    git(repo.path(), &["multi-pack-index", "write"]);
    let before = packs(&repo);
    for n in 0..20 {
        tip = commit(
            &repo,
            "status",
            Some(tip),
            &[("n", Some(format!("{n} again").as_bytes()))],
        );
    }
    assert_eq!(packs(&repo), before + 20);
    fsck(repo.path());
}
