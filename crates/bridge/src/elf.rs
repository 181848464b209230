//! What an ELF file provides, in the words of rpm's `elfdeps`: `libz.so.1()(64bit)`, `libz.so.1(ZLIB_1.2.9)(64bit)`.

use object::elf::{FileHeader64, VER_FLG_BASE};
use object::read::elf::{Dyn as _, FileHeader};
use object::{Endianness, elf};

/// Names that the shared library in `bytes` provides. Empty for everything that is not a 64-bit library with a soname;
/// a file that only looks like one provides nothing, as with rpm.
pub(crate) fn provides(bytes: &[u8]) -> Vec<String> {
    if !bytes.starts_with(&elf::ELFMAG) {
        return Vec::new();
    }
    read(bytes).unwrap_or_default()
}

fn read(bytes: &[u8]) -> Result<Vec<String>, object::read::Error> {
    let header = FileHeader64::<Endianness>::parse(bytes)?;
    let endian = header.endian()?;
    if header.e_type(endian) != elf::ET_DYN {
        return Ok(Vec::new());
    }
    let sections = header.sections(endian, bytes)?;
    let Some((entries, link)) = sections.dynamic(endian, bytes)? else {
        return Ok(Vec::new());
    };
    let strings = sections.strings(endian, bytes, link)?;
    let mut soname = None;
    for entry in entries {
        if entry.tag32(endian) == Some(elf::DT_SONAME) {
            soname = Some(text(entry.string(endian, strings)?));
        }
    }
    let Some(soname) = soname.filter(|name| !name.is_empty()) else {
        return Ok(Vec::new());
    };

    let mut names = vec![format!("{soname}()(64bit)")];
    if let Some((mut definitions, link)) = sections.gnu_verdef(endian, bytes)? {
        let strings = sections.strings(endian, bytes, link)?;
        while let Some((definition, mut names_of_it)) = definitions.next()? {
            if definition.vd_flags.get(endian) & VER_FLG_BASE != 0 {
                continue;
            }
            if let Some(first) = names_of_it.next()? {
                names.push(format!(
                    "{soname}({})(64bit)",
                    text(first.name(endian, strings)?)
                ));
            }
        }
    }
    Ok(names)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Debian's rpm keeps `elfdeps` here; package rpm.
    const ELFDEPS: &str = "/usr/lib/rpm/elfdeps";

    #[test]
    fn agrees_with_elfdeps() {
        for library in ["libc.so.6", "libz.so.1", "libm.so.6", "libstdc++.so.6"] {
            let path = format!("/usr/lib/x86_64-linux-gnu/{library}");
            let path = if std::path::Path::new(&path).exists() {
                path
            } else {
                format!("/lib/x86_64-linux-gnu/{library}")
            };
            let judge = Command::new(ELFDEPS)
                .args(["--provides", &path])
                .output()
                .expect("elfdeps: install Debian package rpm");
            let mut expect: Vec<String> = String::from_utf8_lossy(&judge.stdout)
                .lines()
                .map(str::to_owned)
                .collect();
            let mut found = provides(&std::fs::read(&path).unwrap());
            // It names a version once more for each version that this one follows.
            expect.sort();
            expect.dedup();
            found.sort();
            assert!(found.len() > 1, "{library}");
            assert_eq!(found, expect, "{library}");
        }
    }

    #[test]
    fn what_is_no_library_provides_nothing() {
        let library = std::fs::read("/usr/lib/x86_64-linux-gnu/libz.so.1").unwrap();
        let check = |bytes: &[u8]| assert_eq!(provides(bytes), Vec::<String>::new());
        check(b"");
        check(b"#!/bin/sh\n");
        check(b"\x7fELF");
        check(&library[..600]);
        let mut broken = library.clone();
        broken[40..48].fill(0xff);
        check(&broken);
    }
}
