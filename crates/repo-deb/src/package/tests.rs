use std::error::Error as _;

use proptest::prelude::*;

use super::*;

const CONTROL_FILE: &[u8] = b"Package: a1\nVersion: 1\nArchitecture: all\n";

fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, body) in members {
        bytes.extend_from_slice(
            format!(
                "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
                0,
                0,
                0,
                "100644",
                body.len()
            )
            .as_bytes(),
        );
        bytes.extend_from_slice(body);
        bytes.resize(bytes.len().next_multiple_of(2), b'\n');
    }
    bytes
}

fn tar(entries: &[(&str, tar::EntryType, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, entry_type, body) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*entry_type);
        header.set_size(body.len() as u64);
        header.set_mode(0o644);
        // Written past the crate's own check, which refuses what a stranger would send.
        let name = &mut header.as_gnu_mut().expect("a GNU header").name;
        name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        builder.append(&header, *body).expect("memory");
    }
    builder.into_inner().expect("memory")
}

const FILE: tar::EntryType = tar::EntryType::Regular;

fn control_tar() -> Vec<u8> {
    tar(&[("./control", FILE, CONTROL_FILE)])
}

fn deb(control: (&str, &[u8]), data: (&str, &[u8])) -> Vec<u8> {
    ar(&[("debian-binary", b"2.0\n"), control, data])
}

fn outcome(bytes: &[u8]) -> String {
    match read(bytes, Contents::List) {
        Ok(package) => {
            let paths: Vec<_> = package
                .files
                .iter()
                .map(|file| file.path.display().to_string())
                .collect();
            format!(
                "{} [{}]",
                package.control.get("Package").unwrap_or_default(),
                paths.join(" ")
            )
        }
        Err(error) => match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}

fn check(bytes: &[u8], expect: &str) {
    assert_eq!(outcome(bytes), expect);
}

#[test]
fn layouts() {
    let (control, data) = (
        control_tar(),
        tar(&[("./usr/x", FILE, b"x"), ("/abs", FILE, b"")]),
    );
    let parts = |parts: &[(&str, &[u8])]| ar(parts);
    check(
        &deb(("control.tar", &control), ("data.tar", &data)),
        "a1 [usr/x abs]",
    );
    check(
        &deb(("control.tar/", &control), ("data.tar/", &data)),
        "a1 [usr/x abs]",
    );
    let with_extra = [
        ("debian-binary", b"2.0\n".as_slice()),
        ("_gpgorigin", b"x"),
        ("control.tar", &control),
        ("data.tar", &data),
        ("later", b"y"),
    ];
    check(&parts(&with_extra), "a1 [usr/x abs]");
    check(b"", "read the outer archive: failed to fill whole buffer");
    check(
        b"!<arch>x",
        "read the package: it does not start as a package does",
    );
    check(
        &parts(&[("debian-binary", b"3.0\n")]),
        r#"read the package: format version "3.0", only 2.x is known"#,
    );
    check(
        &parts(&[("control.tar", &control)]),
        "read the package: expected member `debian-binary`, found `control.tar`",
    );
    check(
        &parts(&[("debian-binary", b"2.0\n"), ("data.tar", &data)]),
        "read the package: expected member `control.tar`, found `data.tar`",
    );
    check(
        &parts(&[("debian-binary", b"2.0\n"), ("control.tarx", &data)]),
        "read the package: expected member `control.tar`, found `control.tarx`",
    );
    check(
        &parts(&[("_x", b"".as_slice()); 20]),
        "read the package: no member `debian-binary`",
    );
    let bz2 = "read data.tar: compression `.bz2` is not supported; use none, .gz, .xz or .zst";
    check(
        &deb(("control.tar", &control), ("data.tar.bz2", &data)),
        bz2,
    );
    let whole = deb(("control.tar", &control), ("data.tar", &data));
    check(
        &whole[..whole.len() - 600],
        "read data.tar: unexpected end of file",
    );
}

#[test]
fn control_archives() {
    let with = |entries: &[(&str, tar::EntryType, &[u8])]| {
        deb(("control.tar", &tar(entries)), ("data.tar", &tar(&[])))
    };
    let long = vec![b'x'; 5_000];
    let entry = ("./control", FILE, CONTROL_FILE);
    check(
        &with(&[
            ("./", tar::EntryType::Directory, b""),
            ("control", FILE, CONTROL_FILE),
        ]),
        "a1 []",
    );
    check(
        &with(&[]),
        "read control.tar: there is no file `control` in it",
    );
    check(
        &with(&[entry, entry]),
        "read control.tar: `control` is in it twice",
    );
    check(
        &with(&[("./control", tar::EntryType::Symlink, b"")]),
        "read control.tar: `control` is not a regular file",
    );
    check(
        &with(&[("../control", FILE, b"")]),
        r#"read control.tar: path "../control" leads out of the package"#,
    );
    check(
        &with(&[("x", tar::EntryType::XHeader, b"")]),
        "read control.tar: it has an entry of type 'x'",
    );
    check(
        &with(&[("././@LongLink", tar::EntryType::GNULongName, &long), entry]),
        "read control.tar: it holds more than 4096 bytes in one name or control file, which no sound package does",
    );
    check(
        &with(&[
            ("././@LongLink", tar::EntryType::GNULongName, b"a\0b"),
            entry,
        ]),
        r#"read control.tar: path "a\0b" has a NUL byte in it"#,
    );
    check(
        &with(&[("./control", FILE, b"Package a\n")]),
        "read the package's control file: line 1: expected `Field: value`, found no colon",
    );
    let huge = vec![b'x'; MAX_CONTROL_BYTES as usize + 1];
    check(
        &with(&[("./control", FILE, &huge)]),
        "read control.tar: it holds more than 4194304 bytes in one name or control file, which no sound package does",
    );
}

#[test]
fn bombs() {
    // Zeros beyond the limit, packed to a few kilobytes.
    let bomb = std::io::repeat(0).take(MAX_CONTROL_TAR_BYTES + (1 << 20));
    let entry = tar(&[("./control", FILE, CONTROL_FILE)]);
    // The entry without the archive's end, then a file that claims all the zeros.
    let mut header = tar::Header::new_gnu();
    header.set_path("./zeros").expect("a path");
    header.set_mode(0o644);
    header.set_size(MAX_CONTROL_TAR_BYTES + (1 << 20));
    header.set_cksum();
    let archive = (&entry[..1024])
        .chain(header.as_bytes().as_slice())
        .chain(bomb);
    let packed = zstd::encode_all(archive, 3).expect("memory");
    assert!(packed.len() < 100_000);
    let expect = "read control.tar: it holds more than the bytes allowed for it when unpacked, which no sound package does";
    check(
        &deb(("control.tar.zst", &packed), ("data.tar", &tar(&[]))),
        expect,
    );

    let listed: Vec<u8> = zstd::encode_all(std::io::repeat(0).take(1 << 20), 22).expect("memory");
    check(
        &deb(("control.tar", &control_tar()), ("data.tar.zst", &listed)),
        "a1 []",
    );
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        outcome(&bytes);
        outcome(&[b"!<arch>\n".as_slice(), &bytes].concat());
        outcome(&deb(("control.tar", &bytes), ("data.tar", &bytes)));
        for suffix in ["gz", "xz", "zst"] {
            outcome(&deb((&format!("control.tar.{suffix}"), &bytes), ("data.tar", &[])));
        }
    }

    #[test]
    fn any_edit_of_a_package_is_read_or_refused(edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let packed = zstd::encode_all(control_tar().as_slice(), 1).expect("memory");
        let data = tar(&[("./usr/x", FILE, b"x"), ("././@LongLink", tar::EntryType::GNULongName, b"y"), ("./z", FILE, b"")]);
        let mut bytes = deb(("control.tar.zst", &packed), ("data.tar", &data));
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        outcome(&bytes);
    }
}
