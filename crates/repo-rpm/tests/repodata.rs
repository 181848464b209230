//! Same packages, same bytes: whatever the order, the cache and the number of threads.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    missing_docs,
    reason = "tests read and write files"
)]

mod common;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::num::NonZeroUsize;

use common::{Desk, NOW, options, small_package};
use repo_rpm::cache::{DirCache, MemoryCache};
use repo_rpm::repodata::{self, Form, Member, Options, Repodata};
use repo_rpm::{Error, Fragment, Package, Sha256};

fn packages(count: usize) -> (Vec<Member>, HashMap<Sha256, Fragment>) {
    let mut fragments = HashMap::new();
    let members = (0..count).map(|n| {
        let package =
            Package::read(small_package(&format!("pkg{n:05}"), "1.0").as_slice()).unwrap();
        fragments.insert(package.sha256, Fragment::render(&package));
        Member {
            location: format!("Packages/p/{}", package.file_name()),
            sha256: package.sha256,
        }
    });
    (members.collect(), fragments)
}

fn scratch(members: &[Member], fragments: &HashMap<Sha256, Fragment>) -> Repodata {
    repodata::write(
        members.to_vec(),
        fragments,
        &MemoryCache::default(),
        options(Form::Zstd),
    )
    .unwrap()
}

#[test]
fn order_and_threads_do_not_matter() {
    let (mut members, fragments) = packages(300);
    let expected = scratch(&members, &fragments);
    members.reverse();
    assert!(scratch(&members, &fragments) == expected);
    members.rotate_left(123);
    for threads in [1, 3, 8] {
        let options = Options {
            threads: NonZeroUsize::new(threads).unwrap(),
            ..options(Form::Zstd)
        };
        let made = repodata::write(
            members.clone(),
            &fragments,
            &MemoryCache::default(),
            options,
        )
        .unwrap();
        assert!(made == expected, "{threads} threads");
    }
}

#[test]
fn more_fewer_and_moved_packages_cost_their_blocks_and_give_the_bytes_of_scratch() {
    let (members, fragments) = packages(1000);
    let desk = Desk::new();
    let cache = DirCache::new(desk.path("blocks"));
    let check = |members: &[Member], most: usize| {
        let made =
            repodata::write(members.to_vec(), &fragments, &cache, options(Form::Zstd)).unwrap();
        let from_scratch = scratch(members, &fragments);
        assert!(made.files == from_scratch.files && made.repomd == from_scratch.repomd);
        assert!(made.new_blocks <= most, "{} new blocks", made.new_blocks);
        made
    };
    check(&members[..999], usize::MAX);
    check(&members, 2);
    let mut fewer = members.clone();
    fewer.remove(500);
    check(&fewer, 2);
    let mut moved = members.clone();
    moved[300].location = "AppStream/moved.rpm".into();
    check(&moved, 4);
    let last = check(&members, 0);

    // A cache that lost or tore everything only costs time.
    assert!(cache.prune(&last.blocks.iter().copied().collect()).unwrap() > 0);
    for shard in fs::read_dir(desk.path("blocks")).unwrap() {
        for block in fs::read_dir(shard.unwrap().path()).unwrap() {
            let path = block.unwrap().path();
            let mut bytes = fs::read(&path).unwrap();
            let at = bytes.len() / 2;
            bytes[at] ^= 1;
            fs::write(&path, bytes).unwrap();
        }
    }
    check(&members, usize::MAX);
    assert_eq!(cache.prune(&HashSet::new()).unwrap(), last.blocks.len());
}

#[test]
fn the_index_names_everything_by_digest() {
    let (members, fragments) = packages(2);
    let check = |form, listed: &str| {
        let made = repodata::write(
            members.clone(),
            &fragments,
            &MemoryCache::default(),
            options(form),
        )
        .unwrap();
        let repomd = String::from_utf8(made.repomd).unwrap();
        let types: Vec<&str> = repomd
            .split("<data type=\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap())
            .collect();
        assert_eq!(types.join(" "), listed);
        assert!(repomd.contains(&format!("<revision>{NOW}</revision>")));
        for (path, bytes) in &made.files {
            assert!(
                path.contains(&Sha256::of(bytes).to_string()) && repomd.contains(path),
                "{path}"
            );
        }
        assert!(made.files.len() == 6);
    };
    check(
        Form::Zstd,
        "primary filelists other primary_gz filelists_gz other_gz",
    );
    check(
        Form::Gzip,
        "primary filelists other primary_zst filelists_zst other_zst",
    );
}

#[test]
fn an_empty_repository_is_one() {
    let made = scratch(&[], &HashMap::new());
    assert_eq!((made.files.len(), made.blocks.len()), (6, 0));
}

#[test]
fn refuses_what_clients_would_not_find() {
    let (members, fragments) = packages(2);
    let check = |locations: [&str; 2], says: &str| {
        let mut members = members.clone();
        members
            .iter_mut()
            .zip(locations)
            .for_each(|(member, location)| member.location = location.into());
        let error = repodata::write(
            members,
            &fragments,
            &MemoryCache::default(),
            options(Form::Zstd),
        )
        .unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    };
    check(
        ["a.rpm", "a.rpm"],
        "publish a.rpm and a.rpm: same location; list each package once",
    );
    for bad in [
        "/a.rpm", "../a.rpm", "a//b.rpm", "./a.rpm", "", "a\n.rpm", "a/..",
    ] {
        check(
            [bad, "b.rpm"],
            "a location is relative, without `.`, `..` or empty parts",
        );
    }
    let twice = vec![
        members[0].clone(),
        Member {
            location: "copy.rpm".into(),
            ..members[0].clone()
        },
    ];
    let error = repodata::write(
        twice,
        &fragments,
        &MemoryCache::default(),
        options(Form::Zstd),
    )
    .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Duplicate {
                what: "package",
                ..
            }
        ),
        "{error}"
    );
    let error = repodata::write(
        members,
        &HashMap::new(),
        &MemoryCache::default(),
        options(Form::Zstd),
    )
    .unwrap_err();
    assert!(
        error.to_string().contains("no metadata for package"),
        "{error}"
    );
}

#[test]
fn fragments_survive_being_kept() {
    let package = Package::read(small_package("small", "1.0").as_slice()).unwrap();
    let fragment = Fragment::render(&package);
    let kept = serde_json::to_vec(&fragment).unwrap();
    assert_eq!(serde_json::from_slice::<Fragment>(&kept).unwrap(), fragment);
    let kept = serde_json::to_vec(&package).unwrap();
    assert_eq!(serde_json::from_slice::<Package>(&kept).unwrap(), package);
}
