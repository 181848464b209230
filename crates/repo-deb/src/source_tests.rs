use proptest::prelude::*;

use super::*;

const DSC: &str = "\
Format: 3.0 (quilt)
Source: hello
Binary: hello, hello-doc,
 libhello
Architecture: any all
Version: 1:2.10-3
Checksums-Sha1:
 f7bebf6f9c62a2295e889f66e05ce9bfaed9ace3 725946 hello_2.10.orig.tar.gz
Checksums-Sha256:
 31e066137a962676e89f69d1b65382de95a7ef7d914b8cb956f41ea72e0f516b 725946 hello_2.10.orig.tar.gz
Files:
 6cd0ffea3884a4e79330338dcc2987d6 725946 hello_2.10.orig.tar.gz
";

#[test]
fn a_dsc() {
    let dsc = Dsc::parse(DSC.as_bytes()).expect("a .dsc");
    assert_eq!(
        dsc.file_name().expect("a name").as_str(),
        "hello_2.10-3.dsc"
    );
    assert_eq!(dsc.binaries, ["hello", "hello-doc", "libhello"]);
    assert_eq!(dsc.architectures, ["any", "all"]);
    let [file] = dsc.files.as_slice() else {
        panic!("{:?}", dsc.files);
    };
    assert_eq!(
        (file.name.as_str(), file.size),
        ("hello_2.10.orig.tar.gz", 725_946)
    );
    assert!(file.md5.is_some() && file.sha1.is_some());
}

#[test]
fn changes() {
    let changes = "\
Source: hello (2.10-3)
Architecture: source amd64
Version: 2.10-3+b1
Distribution: bookworm
Checksums-Sha256:
 31e066137a962676e89f69d1b65382de95a7ef7d914b8cb956f41ea72e0f516b 5 hello_2.10-3+b1_amd64.deb
Files:
 6cd0ffea3884a4e79330338dcc2987d6 5 devel optional hello_2.10-3+b1_amd64.deb
";
    let changes = Changes::parse(changes.as_bytes()).expect("a .changes");
    assert_eq!(
        (changes.source.as_str(), changes.version.as_str()),
        ("hello", "2.10-3+b1")
    );
    assert_eq!(changes.architectures, ["source", "amd64"]);
    assert_eq!(changes.distribution, "bookworm");
    assert_eq!(changes.files.len(), 1);
}

#[test]
fn buildinfo() {
    let buildinfo = "\
Source: hello
Version: 2.10-3
Build-Architecture: amd64
Checksums-Sha256:
 31e066137a962676e89f69d1b65382de95a7ef7d914b8cb956f41ea72e0f516b 5 hello_2.10-3_amd64.deb
Installed-Build-Depends:
 libc6 (= 2.36-9+deb12u4),
 libc6:i386 (= 2.36-9+deb12u4)
Environment:
 LANG=\"C.UTF-8\"
";
    let buildinfo = Buildinfo::parse(buildinfo.as_bytes()).expect("a .buildinfo");
    let installed: Vec<String> = buildinfo
        .installed
        .iter()
        .map(|one| {
            format!(
                "{}/{:?}/{}",
                one.package,
                one.architecture.as_ref().map(Architecture::as_str),
                one.version
            )
        })
        .collect();
    assert_eq!(
        installed,
        [
            "libc6/None/2.36-9+deb12u4",
            "libc6/Some(\"i386\")/2.36-9+deb12u4"
        ]
    );
}

#[test]
fn mistakes() {
    let check = |from: &str, to: &str, expect: &str| {
        let text = DSC.replacen(from, to, 1);
        assert_ne!(text, DSC, "{from}");
        let error = Dsc::parse(text.as_bytes()).expect_err("a mistake");
        let cause = std::error::Error::source(&error).map_or_else(String::new, ToString::to_string);
        assert_eq!(cause, expect, "{error}");
    };
    check("Source: hello\n", "", "line 1: field `Source` is missing");
    check(
        "hello\n",
        "Hello\n",
        "line 2: field `Source`: `Hello` is not a package name: use at least two of a-z, 0-9, + - and . and start with a letter or digit",
    );
    check(
        "Checksums-Sha256:",
        "X-Sha256:",
        "line 1: field `Checksums-Sha256` is missing",
    );
    check(
        "Files:",
        "X-Files:",
        "line 1: field `Files`: it lists other files or sizes than Checksums-Sha256",
    );
    check(
        "6cd0ffea",
        "6cd0ffe",
        "line 11: field `Files`: expected 32 hexadecimal digits",
    );
}

proptest! {
    #[test]
    fn any_edit_of_a_dsc_is_read_or_refused(at in 0..DSC.len(), bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
        let mut text = DSC.as_bytes().to_vec();
        text.splice(at..(at + bytes.len()).min(DSC.len()), bytes);
        let _ = (Dsc::parse(&text), Changes::parse(&text), Buildinfo::parse(&text));
    }

    #[test]
    fn any_bytes_after_the_armour_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let text = [b"-----BEGIN PGP SIGNED MESSAGE-----\n\n".as_slice(), &bytes].concat();
        let _ = Dsc::parse(&text);
    }
}

/// Found by fuzzing (`dsc`): the entry was one that its own check refuses, so that no suite could have it.
#[test]
fn a_source_field_with_a_version_is_one_entry() {
    let text = DSC.replacen("Source: hello\n", "Source: hello (2.9-1)\n", 1);
    assert_ne!(text, DSC);
    let dsc = Dsc::parse(text.as_bytes()).expect("a .dsc");
    let digests = crate::Digests::of(text.as_bytes());
    let fragment = crate::Fragment::from_dsc(&dsc, &digests).expect("an entry");
    fragment.check(&fragment.entry).expect("its own entry");
}
