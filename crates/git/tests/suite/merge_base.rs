//! Where histories part: `git merge-base` is the judge.

use std::path::{Path, PathBuf};

use git::{CommitId, MergeBase, Repository};

use crate::support::{TIME, bare, git, try_git};

/// A commit: which earlier ones it is upon, and its time.
type Made = (Vec<usize>, i64);

/// A bare repository with these commits, which no branch needs to have.
fn repository(home: &Path, name: &str, commits: &[Made]) -> (PathBuf, Vec<CommitId>) {
    let path = bare(home, name);
    let mut stream = String::new();
    for (n, (parents, time)) in commits.iter().enumerate() {
        let mark = n + 1;
        if parents.is_empty() {
            stream.push_str("reset refs/heads/main\n\n");
        }
        stream.push_str(&format!(
            "commit refs/heads/main\nmark :{mark}\ncommitter Ann <ann@example.org> {time} +0000\ndata {}\n{n}\n",
            n.to_string().len()
        ));
        for (parent, word) in parents.iter().zip(["from", "merge", "merge"]) {
            stream.push_str(&format!("{word} :{}\n", parent + 1));
        }
    }
    let words = ["fast-import", "--quiet", "--force", "--export-marks=marks"];
    let (ok, said) = try_git(&path, &words, stream.as_bytes());
    assert!(ok, "{said}");
    let mut ids: Vec<(usize, CommitId)> = std::fs::read_to_string(path.join("marks"))
        .unwrap()
        .lines()
        .map(|line| line[1..].split_once(' ').unwrap())
        .map(|(mark, id)| (mark.parse().unwrap(), id.parse().unwrap()))
        .collect();
    ids.sort_unstable();
    (path, ids.into_iter().map(|(_, id)| id).collect())
}

/// One after another, a minute each.
fn line(commits: usize) -> Vec<Made> {
    let upon = |n: usize| n.checked_sub(1).into_iter().collect();
    let made = |n| (upon(n), TIME + 60 * n as i64);
    (0..commits).map(made).collect()
}

/// The same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

/// Branches and merges of all shapes, by people whose clocks are off now and then.
fn tangle(dice: &mut Dice, commits: usize) -> Vec<Made> {
    let made = |n: usize| {
        let near = n.min(6);
        let parents = match dice.below(12) {
            _ if n == 0 => 0,
            0 => 0,
            1..6 => 1,
            6..11 => 2,
            _ => 3,
        };
        let mut parents: Vec<usize> = (0..parents).map(|_| n - 1 - dice.below(near)).collect();
        parents.sort_unstable();
        parents.dedup();
        let time = match dice.below(4) {
            0 => dice.below(commits) as i64 * 120,
            _ => n as i64 * 60,
        };
        (parents, TIME + time)
    };
    (0..commits).map(made).collect()
}

#[test]
fn as_git_finds_it() {
    let home = tempfile::tempdir().unwrap();
    let (mut several, mut none) = (0, 0);
    for seed in 1..=15_u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let commits = tangle(&mut dice, 40);
        let (path, ids) = repository(home.path(), &format!("{seed}.git"), &commits);
        let repo = Repository::open_bare(&path).unwrap();
        for _ in 0..12 {
            let (one, other) = (ids[dice.below(ids.len())], ids[dice.below(ids.len())]);
            let words = ["merge-base", "--all", &one.to_string(), &other.to_string()];
            let (_, judge) = try_git(&path, &words, b"");
            let judge: Vec<CommitId> = judge.lines().map(|id| id.parse().unwrap()).collect();
            several += usize::from(judge.len() > 1);
            none += usize::from(judge.is_empty());
            let found = repo.merge_base(one, other, commits.len()).unwrap();
            let is_right = match found {
                MergeBase::At(commit) => judge.contains(&commit),
                MergeBase::Nowhere => judge.is_empty(),
                MergeBase::TooFar => false,
            };
            assert!(is_right, "{seed}: {one} {other}: {found:?}, not {judge:?}");
        }
    }
    assert!(several > 5 && none > 5, "{several} and {none}: it is easy");
}

/// What is read is counted: a limit that is enough says how little.
#[test]
fn long_histories_are_not_read() {
    let home = tempfile::tempdir().unwrap();
    let mut commits = line(3_000);
    let tip = commits.len() - 1;
    let at = |n: usize| TIME + 60 * n as i64;
    // Proposed by someone whose clock is right, and by someone whose clock begins in 1970.
    commits.push((vec![tip], at(tip) + 30));
    commits.push((vec![tip], 0));
    commits.push((vec![tip + 2], 1));
    // Begun long ago, and merged.
    commits.push((vec![50], at(50) + 30));
    commits.push((vec![tip, tip + 4], at(tip + 1)));
    // Somebody's own history, however long.
    commits.push((Vec::new(), 0));
    let (path, ids) = repository(home.path(), "r.git", &commits);
    let repo = Repository::open_bare(&path).unwrap();
    for (one, other, limit, expect) in [
        (tip + 1, tip, 4, MergeBase::At(ids[tip])),
        (tip + 3, tip, 12, MergeBase::At(ids[tip])),
        (tip + 3, tip + 1, 12, MergeBase::At(ids[tip])),
        (tip, tip - 100, 210, MergeBase::At(ids[tip - 100])),
        (tip + 1, tip + 5, 3_100, MergeBase::At(ids[tip])),
        (tip + 6, tip, 3_100, MergeBase::Nowhere),
        (tip + 6, tip, 100, MergeBase::TooFar),
        (0, tip, 100, MergeBase::TooFar),
    ] {
        for (one, other) in [(one, other), (other, one)] {
            let found = repo.merge_base(ids[one], ids[other], limit).unwrap();
            assert_eq!(found, expect, "{one} and {other}, {limit}");
        }
    }
}

#[test]
fn what_is_not_here_is_as_if_it_were_not() {
    let home = tempfile::tempdir().unwrap();
    let mut commits = line(6);
    commits.push((vec![4], TIME + 1_000));
    commits.push((vec![1], TIME + 2_000));
    let (path, ids) = repository(home.path(), "r.git", &commits);
    for (n, name) in [(5, "main"), (6, "near"), (7, "far")] {
        git(
            &path,
            &[
                "update-ref",
                &format!("refs/heads/{name}"),
                &ids[n].to_string(),
            ],
        );
    }
    let url = format!("file://{}", path.display());
    let words = [
        "clone",
        "-q",
        "--bare",
        "--depth=3",
        "--no-single-branch",
        &url,
        "shallow.git",
    ];
    git(home.path(), &words);
    let repo = Repository::open_bare(home.path().join("shallow.git")).unwrap();
    for (one, other, expect) in [(5, 6, MergeBase::At(ids[4])), (5, 7, MergeBase::Nowhere)] {
        let found = repo.merge_base(ids[one], ids[other], 100).unwrap();
        assert_eq!(found, expect, "{one} and {other}");
    }
    let gone = repo.merge_base(ids[5], ids[2], 100).unwrap_err();
    assert!(matches!(gone, git::Error::ObjectMissing { .. }), "{gone}");
}
