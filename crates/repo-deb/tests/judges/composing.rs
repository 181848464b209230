//! Suites of many packages: the same bytes whatever the way there, and every reader sees all of them.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use repo_deb::deb822::{Dialect, parse_one};
use repo_deb::package::Package;
use repo_deb::{
    BlockCache, Composition, Content, Digests, DirectoryCache, Entry, Fragment, MemoryCache,
    NoCache, Placed, Suite, compose, sign_release,
};

use crate::common::{DATE, Recipe, Shelf, build_deb, index_text, key, succeed, suite, tool};

/// A package that has a control file but no real payload.
fn fragment(n: u32, control: &str) -> Arc<Fragment> {
    let control = format!(
        "Package: many-{n}\nVersion: 1.{n}-1\nArchitecture: all\nMaintainer: A <a@example.org>\n{control}Description: package {n}\n"
    );
    let package = Package {
        control: parse_one(control.as_bytes(), Dialect::Machine).expect("a control file"),
        digests: Digests::of(control.as_bytes()),
        files: Vec::new(),
    };
    Arc::new(Fragment::from_package(&package).expect("an entry"))
}

fn shelf(count: u32) -> Shelf {
    let mut shelf = Shelf::default();
    for n in 0..count {
        shelf.add(fragment(n, ""), Path::new("nowhere"));
    }
    shelf
}

#[test]
fn order_and_cache_do_not_show_in_the_bytes() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let on_disk = DirectoryCache::open(directory.path()).expect("a cache");
    let in_memory = MemoryCache::default();
    let scratch = [300, 301, 299].map(|count| (count, shelf(count).compose_with(&NoCache)));
    for cache in [&on_disk as &dyn BlockCache, &in_memory] {
        for (count, scratch) in &scratch {
            let mut shelf = shelf(*count);
            shelf.placed.reverse();
            shelf.placed.rotate_left(7);
            let composition = shelf.compose_with(cache);
            assert_eq!(composition.files, scratch.files, "{count} packages");
            assert_eq!(composition.release, scratch.release);
        }
    }
    let [(count, scratch), ..] = scratch;
    on_disk
        .retain(&scratch.blocks.iter().copied().collect())
        .expect("retain");
    assert_eq!(shelf(count).compose_with(&on_disk).files, scratch.files);
}

#[test]
fn one_package_more_reads_few_fragments() {
    let cache = MemoryCache::default();
    let compose_counted = |shelf: &Shelf| {
        let asked = std::cell::Cell::new(0);
        let fragments = |entry: &Entry| {
            asked.set(asked.get() + 1);
            Ok(Arc::clone(&shelf.fragments[entry.digest()]))
        };
        compose(&suite(), &shelf.placed, &fragments, &cache, DATE).expect("a composition");
        asked.get()
    };
    // The indexes of both architectures hold the same packages, and the second finds the first's blocks.
    assert_eq!(compose_counted(&shelf(1_000)), 1_000);
    assert_eq!(compose_counted(&shelf(1_000)), 0);
    let asked = compose_counted(&shelf(1_001));
    assert!((1..=512).contains(&asked), "{asked} fragments read");
}

#[test]
fn the_index_is_whole_for_gzip_xz_and_apt() {
    let mut shelf = shelf(700);
    let directory = tempfile::tempdir().expect("a temporary directory");
    shelf.add_deb(&build_deb(directory.path(), &Recipe::default()));
    let composition = shelf.compose_with(&NoCache);
    assert!(composition.blocks.len() > 8, "several blocks an index");
    let from_gz = index_text(&composition, "main/binary-amd64/Packages.gz");
    assert_eq!(
        from_gz,
        index_text(&composition, "main/binary-amd64/Packages.xz")
    );
    assert_eq!(from_gz.matches("\nFilename: ").count(), 701);
    assert_eq!(
        index_text(&composition, "contrib/binary-arm64/Packages.xz"),
        ""
    );
    assert_eq!(
        index_text(&composition, "contrib/binary-arm64/Packages.gz"),
        ""
    );
    assert_eq!(
        index_text(&composition, "main/binary-arm64/Packages.gz")
            .matches("\nFilename: ")
            .count(),
        700
    );

    for form in ["gz", "xz"] {
        let names = crate::apt::package_names(directory.path(), &composition, form);
        assert_eq!(names.len(), 701, "{form}");
    }
}

#[test]
fn xz_itself_finds_one_stream_and_sound_sums() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let composition = shelf(700).compose_with(&NoCache);
    let path = "dists/bookworm/main/binary-amd64/Packages";
    for (suffix, mut check) in [
        (".xz", tool("xz", "xz-utils")),
        (".gz", tool("gzip", "gzip")),
    ] {
        let file = composition
            .files
            .iter()
            .find(|file| file.path == format!("{path}{suffix}"));
        let Some(Content::Bytes(bytes)) = file.map(|file| &file.content) else {
            panic!("no {path}{suffix}");
        };
        let copy = directory.path().join(format!("Packages{suffix}"));
        fs::write(&copy, bytes).expect("a copy");
        succeed(check.arg("--test").arg(&copy));
    }
    let list = succeed(
        tool("xz", "xz-utils")
            .args(["--robot", "--list"])
            .arg(directory.path().join("Packages.xz")),
    );
    let totals: Vec<&str> = list
        .lines()
        .last()
        .unwrap_or_default()
        .split('\t')
        .collect();
    assert_eq!(totals[..2], ["totals", "1"], "{list}");
}

#[test]
fn release_as_people_see_it() {
    let mut suite = suite();
    suite.upgrades = repo_deb::Upgrades::OnceInstalled;
    suite.components.truncate(1);
    suite.architectures.truncate(1);
    let composition = compose_list(&suite, &[]).expect("an empty suite");
    let release = String::from_utf8(composition.release.clone()).expect("text");
    let (head, list) = release.split_once("SHA256:\n").expect("the list");
    assert_eq!(
        head,
        "Origin: Example Linux\nLabel: Example\nSuite: stable\nVersion: 12.5\nCodename: bookworm\n\
         Date: Sat, 09 Mar 2024 16:00:00 UTC\nNotAutomatic: yes\nButAutomaticUpgrades: yes\nAcquire-By-Hash: yes\n\
         Architectures: amd64\nComponents: main\nDescription: Packages of the example\n"
    );
    let paths: Vec<&str> = list
        .lines()
        .filter_map(|line| line.split(' ').nth(3))
        .collect();
    assert_eq!(
        paths,
        [
            "main/binary-amd64/Packages",
            "main/binary-amd64/Packages.gz",
            "main/binary-amd64/Packages.xz",
            "main/source/Sources",
            "main/source/Sources.gz",
            "main/source/Sources.xz",
        ]
    );
    let empty =
        " e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 0 main/source/Sources\n";
    assert!(list.contains(empty), "{list}");
}

fn compose_list(suite: &Suite, list: &[(&str, Arc<Fragment>)]) -> Result<Composition, String> {
    let placed: Vec<Placed> = list
        .iter()
        .map(|(component, fragment)| Placed {
            component: component.parse().expect("a component"),
            entry: fragment.entry.clone(),
        })
        .collect();
    let fragments = |entry: &Entry| {
        let found = list.iter().find(|(_, fragment)| fragment.entry == *entry);
        found
            .map(|(_, fragment)| Arc::clone(fragment))
            .ok_or_else(|| "no such fragment".into())
    };
    compose(suite, &placed, &fragments, &NoCache, DATE).map_err(|error| error.to_string())
}

#[test]
fn refusals_say_what_to_mend() {
    let check = |list: &[(&str, Arc<Fragment>)], expect: &str| {
        let message = compose_list(&suite(), list).expect_err("a refusal");
        // Digests differ from case to case only in their digits.
        let words: Vec<&str> = message
            .split(' ')
            .map(|word| if word.len() >= 64 { "DIGEST" } else { word })
            .collect();
        assert_eq!(words.join(" "), expect);
    };
    let of = |n, control: &str| fragment(n, control);
    let edited = |change: fn(&mut Fragment)| {
        let mut fragment = (*of(1, "")).clone();
        change(&mut fragment);
        Arc::new(fragment)
    };
    check(
        &[("non-free", of(1, ""))],
        "place many-1 in the index: suite bookworm has no component `non-free`; add it to the repository's components",
    );
    check(
        &[(
            "main",
            edited(|fragment| {
                fragment.entry.architecture = "riscv64".parse().expect("an architecture")
            }),
        )],
        "place many-1 in the index: suite bookworm has no architecture `riscv64`; add it to the repository's architectures",
    );
    check(
        &[("main", of(1, "")), ("main", of(1, "Section: misc\n"))],
        "place pool/main/m/many-1/many-1_1.1-1_all.deb: two different files have this path, DIGEST and DIGEST keep one",
    );
    check(
        &[("main", of(1, "")), ("main", of(1, "Source: other\n"))],
        "place many-1 1.1-1 in the index: two different builds of it are listed, DIGEST and DIGEST keep one",
    );
    for change in [
        (|fragment| fragment.stanza.push_str("Filename: /etc/shadow\n")) as fn(&mut Fragment),
        |fragment| fragment.stanza = fragment.stanza.replace("SHA256: ", "SHA256: 00"),
    ] {
        check(
            &[("main", edited(change))],
            "use the stored index entry of many-1: its files, sizes or digests differ; make it again from the package",
        );
    }
    check(
        &[(
            "main",
            edited(|fragment| fragment.stanza.push_str("\nPackage: another\n")),
        )],
        "make the package's index entry",
    );
    check(
        &[(
            "main",
            edited(|fragment| fragment.stanza = fragment.stanza.replace("many-1\n", "bash\n")),
        )],
        "use the stored index entry of many-1: its name or version differs; make it again from the package",
    );
}

#[test]
fn a_package_cannot_publish_fields_that_are_not_its_own() {
    let bait = "Filename: pool/evil.deb\nStatus: install ok installed\nSHA256: 00\nsize: 1\nConffiles:\n /etc/x 00\nEssential:\n";
    let composition =
        compose_list(&suite(), &[("main", fragment(1, bait))]).expect("a composition");
    let digest = fragment(1, bait).entry.file.clone();
    let text = index_text(&composition, "main/binary-amd64/Packages.gz");
    let fields: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("MD5") && !line.starts_with("SHA1"))
        .collect();
    assert_eq!(
        fields.join("\n"),
        format!(
            "Package: many-1\nVersion: 1.1-1\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: package 1\n\
             Size: {}\nSHA256: {}\nFilename: pool/main/m/many-1/many-1_1.1-1_all.deb\n",
            digest.size, digest.sha256
        )
    );
}

#[test]
fn gpg_agrees_with_both_signatures() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let key = key();
    let release = compose_list(&suite(), &[]).expect("a suite").release;
    let signed = sign_release(&release, &key, DATE).expect("signatures");
    let write = |name: &str, bytes: &[u8]| {
        let path = directory.path().join(name);
        fs::write(&path, bytes).expect("a file");
        path
    };
    let keyring = write("key.gpg", &key.public().to_binary());
    let in_release = write("InRelease", &signed.in_release);
    let gpg = write("Release.gpg", &signed.release_gpg);
    let plain = write("Release", &release);
    let gpgv = || {
        let mut command = tool("gpgv", "gpgv");
        command.arg("--keyring").arg(&keyring);
        command
    };
    let text = succeed(gpgv().args(["--output", "-"]).arg(in_release));
    assert_eq!(text.as_bytes(), release);
    succeed(gpgv().args([gpg, plain]));
    assert_eq!(
        sign_release(&release, &key, DATE).expect("signatures"),
        signed,
        "signing twice gives the same bytes"
    );
}

#[test]
fn pool_paths() {
    let check = |control: &str, component: &str, expect: &str| {
        let entry = fragment(1, control).entry.clone();
        let component = component.parse().expect("a component");
        let paths: Vec<String> = entry.pool_files(&component).map(|(path, _)| path).collect();
        assert_eq!(paths, [expect]);
    };
    check("", "main", "pool/main/m/many-1/many-1_1.1-1_all.deb");
    check(
        "Source: libxml2 (1:2-1)\n",
        "contrib",
        "pool/contrib/libx/libxml2/many-1_1.1-1_all.deb",
    );
    check(
        "Source: lib\n",
        "main",
        "pool/main/lib/lib/many-1_1.1-1_all.deb",
    );
    check(
        "Package-Type: udeb\n",
        "main",
        "pool/main/m/many-1/many-1_1.1-1_all.udeb",
    );
}

#[test]
fn installer_packages_have_an_index_of_their_own() {
    let udeb = ("main", fragment(1, "Package-Type: udeb\n"));
    let composition =
        compose_list(&suite(), &[udeb, ("main", fragment(2, ""))]).expect("a composition");
    let names = |path: &str| {
        let text = index_text(&composition, path);
        text.lines()
            .filter(|line| line.starts_with("Package: "))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names("main/debian-installer/binary-arm64/Packages.gz"),
        ["Package: many-1"]
    );
    assert_eq!(names("main/binary-arm64/Packages.gz"), ["Package: many-2"]);
}
