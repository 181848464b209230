//! What is read from packages, against rpm's own view of the same files.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    missing_docs,
    reason = "the judges are programs"
)]

mod common;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use common::{Desk, RICH_SPEC, small_package};
use repo_rpm::{FileKind, Package, SignedBy};

const QUERY: &str = "\
    %{NAME} %{EPOCHNUM} %{VERSION} %{RELEASE} %{ARCH} %|SOURCEPACKAGE?{src}:{%{SOURCERPM}}|\n\
    %{SUMMARY}\n%{DESCRIPTION}\n%{LICENSE}|%{URL}|%{VENDOR}|%{GROUP}|%{PACKAGER}|%{BUILDHOST}|%{BUILDTIME}\n\
    %{LONGSIZE} %{LONGARCHIVESIZE}\n\
    [P %{PROVIDENAME} %{PROVIDEFLAGS} %{PROVIDEVERSION}\n]\
    [R %{REQUIRENAME} %{REQUIREFLAGS} %{REQUIREVERSION}\n]\
    [C %{CONFLICTNAME} %{CONFLICTFLAGS} %{CONFLICTVERSION}\n]\
    [O %{OBSOLETENAME} %{OBSOLETEFLAGS} %{OBSOLETEVERSION}\n]\
    [+ %{RECOMMENDNAME} %{RECOMMENDFLAGS} %{RECOMMENDVERSION}\n]\
    [? %{SUGGESTNAME} %{SUGGESTFLAGS} %{SUGGESTVERSION}\n]\
    [S %{SUPPLEMENTNAME} %{SUPPLEMENTFLAGS} %{SUPPLEMENTVERSION}\n]\
    [E %{ENHANCENAME} %{ENHANCEFLAGS} %{ENHANCEVERSION}\n]\
    [F %{FILENAMES} %{FILEMODES} %{LONGFILESIZES} %{FILELINKTOS}\n]\
    [L %{CHANGELOGTIME} %{CHANGELOGNAME}\n%{CHANGELOGTEXT}\n]\
    [only %{EXCLUSIVEARCH}\n][not %{EXCLUDEARCH}\n][for %{BUILDARCHS}\n]";

/// The same text from what was read here.
fn described(package: &Package) -> String {
    let p = package;
    let mut out = String::new();
    let source = p.source_rpm.as_deref().unwrap_or("src");
    // rpm states a source package's architecture as that of its builder.
    let arch = if p.is_source() { "noarch" } else { &p.arch };
    writeln!(
        out,
        "{} {} {} {} {arch} {source}",
        p.name, p.epoch, p.version, p.release
    )
    .unwrap();
    writeln!(out, "{}\n{}", p.summary, p.description).unwrap();
    let parts = [
        &p.license,
        &p.url,
        &p.vendor,
        &p.group,
        &p.packager,
        &p.build_host,
    ];
    writeln!(
        out,
        "{}|{}",
        parts.map(|part| part.as_str()).join("|"),
        p.build_time
    )
    .unwrap();
    writeln!(out, "{} {}", p.sizes.installed, p.sizes.archive).unwrap();
    let lists = [
        ('P', &p.provides),
        ('R', &p.requires),
        ('C', &p.conflicts),
        ('O', &p.obsoletes),
        ('+', &p.recommends),
        ('?', &p.suggests),
        ('S', &p.supplements),
        ('E', &p.enhances),
    ];
    for (letter, list) in lists {
        for d in list {
            writeln!(out, "{letter} {} {} {}", d.name, d.flags, d.version).unwrap();
        }
    }
    for f in &p.files {
        writeln!(out, "F {} {} {} {}", f.path, f.mode, f.size, f.link_to).unwrap();
    }
    for l in &p.changelogs {
        writeln!(out, "L {} {}\n{}", l.time, l.author, l.text).unwrap();
    }
    for (word, list) in [
        ("only", &p.exclusive_arch),
        ("not", &p.exclude_arch),
        ("for", &p.build_archs),
    ] {
        list.iter()
            .for_each(|arch| writeln!(out, "{word} {arch}").unwrap());
    }
    out
}

fn check(desk: &Desk, path: &Path) -> Package {
    let package = Package::read(fs::File::open(path).unwrap()).unwrap();
    let rpm = desk.ok(
        "rpm",
        &[
            "--dbpath",
            desk.path("db").to_str().unwrap(),
            "-qp",
            "--qf",
            QUERY,
            path.to_str().unwrap(),
        ],
    );
    assert_eq!(described(&package), rpm);
    assert_eq!(package.sizes.package, fs::metadata(path).unwrap().len());
    let sum = desk.ok("sha256sum", &[path.to_str().unwrap()]);
    assert!(sum.starts_with(&package.sha256.to_string()));
    package
}

#[test]
fn reads_what_rpm_reads() {
    let desk = Desk::new();
    let packages: Vec<Package> = desk
        .rpmbuild(RICH_SPEC)
        .iter()
        .map(|path| check(&desk, path))
        .collect();
    let names: Vec<String> = packages.iter().map(Package::nevra).collect();
    assert_eq!(
        names,
        [
            "hello-1:1.2-3.el9.noarch",
            "hello-data-1:1.2-3.el9.noarch",
            "hello-1:1.2-3.el9.src"
        ]
    );
    let [hello, _, source] = packages.as_slice() else {
        panic!("three packages")
    };
    assert_eq!(hello.file_name(), "hello-1.2-3.el9.noarch.rpm");
    assert_eq!(source.exclusive_arch, ["x86_64", "aarch64", "noarch"]);
    assert_eq!(source.exclude_arch, ["s390x"]);
    assert_eq!(source.build_archs, ["noarch"]);
    assert_eq!(
        source
            .requires
            .iter()
            .filter(|r| !r.is_rpmlib())
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        ["gcc", "make >= 3"]
    );
    let kind = |path: &str| hello.files.iter().find(|f| f.path == path).unwrap().kind;
    assert_eq!(kind("/usr/bin/hello"), FileKind::Regular);
    assert_eq!(kind("/usr/bin/hi"), FileKind::Symlink);
    assert_eq!(kind("/var/lib/hello"), FileKind::Directory);
    assert_eq!(kind("/var/lib/hello/state"), FileKind::Ghost);
    assert_eq!(hello.signed_by, SignedBy::Nobody);
}

#[test]
fn reads_what_another_maker_wrote() {
    let package = Package::read(small_package("small", "1.0").as_slice()).unwrap();
    assert_eq!(package.nevra(), "small-1.0-1.noarch");
    assert_eq!(package.requires[0].to_string(), "/bin/sh");
    assert_eq!(package.build_time, 1_699_999_999);
    assert_eq!(package.vendor, "");
}

#[test]
fn says_what_is_wrong_with_it() {
    let good = small_package("small", "1.0");
    let check = |bytes: &[u8], says: &str| {
        let error = Package::read(bytes).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    };
    check(b"", "the file ends inside its header");
    check(&[0; 200], "it is not an RPM package (bad lead magic)");
    check(&good[..500], "the file ends inside its header");
    let mut bad = good.clone();
    bad[96] = 0;
    check(&bad, "bad header magic");
    let mut large = good.clone();
    large[108..112].copy_from_slice(&u32::MAX.to_be_bytes());
    check(
        &large,
        "size of the header is 4294967295, the limit is 67108864",
    );
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(2000))]

    /// Bit flips and truncations of real packages give packages or errors, never panics.
    #[test]
    fn broken_packages_do_not_panic(flips in proptest::collection::vec((0usize..8192, 0u8..8), 1..8), cut in 0usize..8192) {
        let mut bytes = CORPUS.with(Clone::clone);
        let length = bytes.len();
        for (at, bit) in flips {
            bytes[at % length] ^= 1 << bit;
        }
        everything(&bytes);
        bytes.truncate(cut);
        everything(&bytes);
    }

    /// A header of random index lines: offsets, counts and kinds that no rpm writes.
    #[test]
    fn random_headers_do_not_panic(lines in proptest::collection::vec((0u32..1200, 0u32..12, 0u32..80, 0u32..64), 0..40), data in proptest::collection::vec(0u8..4, 0..80)) {
        let header = |out: &mut Vec<u8>| {
            out.extend_from_slice(&[0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0]);
            out.extend_from_slice(&(lines.len() as u32).to_be_bytes());
            out.extend_from_slice(&(data.len() as u32).to_be_bytes());
            for (tag, kind, offset, count) in &lines {
                let tag = if *tag < 200 { 62 + tag * 2 } else { 800 + tag };
                for field in [tag, *kind, *offset, *count] {
                    out.extend_from_slice(&field.to_be_bytes());
                }
            }
            out.extend_from_slice(&data);
        };
        let mut bytes = small_package("small", "1.0")[..96].to_vec();
        header(&mut bytes);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        header(&mut bytes);
        everything(&bytes);
    }
}

thread_local! {
    static CORPUS: Vec<u8> = {
        let mut package = small_package("small", "1.0");
        repo_rpm::sign_package(&mut package, &common::key(), common::NOW).unwrap();
        package
    };
}

fn everything(bytes: &[u8]) {
    if let Ok(package) = Package::read(bytes) {
        let _ = repo_rpm::Fragment::render(&package);
    }
    let _ = repo_rpm::unsigned_digest(bytes);
    let _ = repo_rpm::sign_package(&mut bytes.to_vec(), &common::key(), common::NOW);
}
