//! Making the bridge: signatures, repeated and interrupted runs, damage.
#![allow(
    clippy::disallowed_methods,
    reason = "tests run real tools on real files"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::lab::{bridge, request, run};
use bridge::{Outcome, Request, Resolve, make};

/// File name to content of the repository in `out`.
fn content(out: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for directory in ["x86_64", "x86_64/repodata"] {
        for item in std::fs::read_dir(out.join(directory)).unwrap() {
            let path = item.unwrap().path();
            if path.is_file() {
                all.insert(
                    path.strip_prefix(out).unwrap().display().to_string(),
                    std::fs::read(&path).unwrap(),
                );
            }
        }
    }
    all
}

#[test]
fn every_package_and_the_index_are_signed() {
    let out = bridge();
    let home = tempfile::tempdir().unwrap();
    let database = format!("--dbpath={}", home.path().display());
    let key = out.join("keys/bridge-12.asc");
    run(
        "rpm",
        Command::new("rpmkeys")
            .arg(&database)
            .arg("--import")
            .arg(&key),
    )
    .good();
    let names: Vec<_> = content(&out)
        .into_keys()
        .filter(|name| name.ends_with(".rpm"))
        .collect();
    let checked = run(
        "rpm",
        Command::new("rpmkeys")
            .arg(&database)
            .arg("-Kv")
            .args(&names)
            .current_dir(&out),
    )
    .good();
    let signatures = checked
        .matches("Header V4 EdDSA/SHA256 Signature, key ID")
        .count();
    assert_eq!(signatures, names.len(), "{checked}");
    assert!(
        !checked.contains("NOT OK") && !checked.contains("NOKEY") && !checked.contains("BAD"),
        "{checked}"
    );

    let gpg = |arguments: &[&str]| {
        let mut command = Command::new("gpg");
        run(
            "gnupg",
            command
                .args(["--batch", "--homedir"])
                .arg(home.path())
                .args(arguments)
                .current_dir(&out),
        )
    };
    gpg(&["--import", "keys/bridge-12.asc"]).good();
    let verified = gpg(&[
        "--verify",
        "x86_64/repodata/repomd.xml.asc",
        "x86_64/repodata/repomd.xml",
    ])
    .good();
    assert!(verified.contains("Good signature"), "{verified}");
}

/// A copy, so that other tests keep theirs. Hard links: what is replaced here is not replaced there.
fn copy(out: &Path) -> tempfile::TempDir {
    let there = tempfile::tempdir_in(out.parent().unwrap()).unwrap();
    run(
        "coreutils",
        Command::new("cp")
            .args(["-al", "--"])
            .arg(out.join("."))
            .arg(there.path()),
    )
    .good();
    there
}

#[test]
fn a_second_run_does_nothing_and_needs_no_network() {
    let out = bridge();
    let before = content(&out);
    // Without PATH no apt would be found.
    let status = Command::new(env!("CARGO_BIN_EXE_millrace-bridge"))
        .env("PATH", "/nonexistent")
        .args(["make", "--out"])
        .arg(&out)
        .status()
        .unwrap();
    assert!(status.success());
    assert!(content(&out) == before, "the second run changed a file");
}

#[test]
fn an_interrupted_run_goes_on_and_gives_the_same_bytes() {
    let copy = copy(&bridge());
    let out = copy.path();
    let before = content(out);
    let lost: Vec<&String> = before
        .keys()
        .filter(|name| {
            ["/bash-5", "/gzip-", "/libc6-2", "/bridge-base-"]
                .iter()
                .any(|part| name.contains(part))
        })
        .collect();
    assert_eq!(lost.len(), 4, "{lost:?}");
    for name in &lost {
        std::fs::remove_file(out.join(name)).unwrap();
    }
    std::fs::remove_file(out.join(".state/done")).unwrap();
    let damaged = find(&out.join("apt/debs"), "gzip_");
    std::fs::remove_file(&damaged).unwrap();
    std::fs::write(&damaged, "damaged").unwrap();

    let error = make(&request(out.to_owned()), &|_| ()).unwrap_err().told();
    assert!(
        error.starts_with("failed to convert gzip: read ")
            && error.contains("the signed index says"),
        "{error}"
    );
    let outcome =
        make(&request(out.to_owned()), &|_| ()).unwrap_or_else(|error| panic!("{}", error.told()));
    let Outcome::Made { bridge, .. } = outcome else {
        panic!("{outcome:?}")
    };

    // Only what the mirror has replaced since may differ.
    let after = content(out);
    assert_eq!(
        bridge.packages,
        after.keys().filter(|name| name.ends_with(".rpm")).count()
    );
    let same_set = before.keys().eq(after.keys());
    for (name, bytes) in &after {
        let index = name.contains("/repodata/");
        if let Some(old) = before.get(name).filter(|_| same_set || !index) {
            assert!(old == bytes, "{name} has other bytes");
        }
    }
    assert!(
        lost.iter().any(|name| after.contains_key(*name)),
        "the mirror replaced all of {lost:?}"
    );
}

#[test]
fn mistakes_are_told() {
    let copy = copy(&bridge());
    let check = |change: &dyn Fn(&mut Request), expect: &str| {
        let mut request = request(copy.path().to_owned());
        change(&mut request);
        let told = make(&request, &|_| ()).unwrap_err().told();
        assert!(told.starts_with(expect), "{told}");
    };
    let unknown = |request: &mut Request| request.include = vec!["nosuchpackage".to_owned()];
    check(
        &unknown,
        "failed to find nosuchpackage: the mirror has no such package; leave it out of --include",
    );
    let no_key = |request: &mut Request| request.key = Some("/nonexistent/key.asc".into());
    check(
        &no_key,
        "failed to read the signing key /nonexistent/key.asc: No such file",
    );
    let public = |request: &mut Request| request.key = Some(copy.path().join("keys/bridge-12.asc"));
    check(&public, "failed to sign with ");
    let nowhere = |request: &mut Request| {
        request.out = "/proc/nowhere".into();
        request.resolve = Resolve::Again;
    };
    check(&nowhere, "failed to create /proc/nowhere: ");
}

fn find(directory: &Path, start: &str) -> std::path::PathBuf {
    let names = std::fs::read_dir(directory)
        .unwrap()
        .map(|item| item.unwrap().path());
    let mut found = names.filter(|path| {
        path.file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with(start)
    });
    found
        .next()
        .unwrap_or_else(|| panic!("no {start} in {}", directory.display()))
}
