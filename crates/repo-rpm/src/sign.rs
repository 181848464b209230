//! Header signatures in packages (rpm 4 format), in place.
//!
//! The signature covers the header, and the header holds the payload's digest. Header and payload stay as they are; only
//! the signature header is written again, into the space that rpmbuild reserves there.

#![allow(
    clippy::disallowed_methods,
    reason = "signing a file in place is half of this module's business"
)]

use std::fs::OpenOptions;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;

use openpgp::SigningKey;
use sha2::Digest as _;

use crate::head::{Head, LEAD_BYTES, padded};
use crate::header::{ENTRY_BYTES, Entry, Header, MAGIC, kind};
use crate::tags::{header as tag, signature as sigtag};
use crate::{Error, Sha256};

/// Everything that is or was a signature: signing replaces them all.
const SIGNATURES: [u32; 6] = [
    sigtag::RSA,
    sigtag::DSA,
    sigtag::PGP,
    sigtag::GPG,
    sigtag::PGP5,
    sigtag::OPENPGP,
];
/// EdDSA and RSA as public key algorithms of a v4 signature packet (RFC 9580, section 9.1).
const ALGORITHM_RSA: u8 = 1;

/// Signs `package` in place; signatures that it had are replaced. `time` is in seconds since 1970.
///
/// The length stays the same where rpmbuild's reserved space suffices (as it does for one signature by any key that
/// is accepted here); else the payload moves.
///
/// # Errors
/// [`Error::Unsignable`] for v6 packages, for packages whose header does not cover the payload and for those whose header is
/// damaged; [`Error::Key`] if the key cannot sign; [`Error::Malformed`] for what is no package.
pub fn sign_package(package: &mut Vec<u8>, key: &SigningKey, time: u64) -> Result<(), Error> {
    let head = Head::read(&mut package.as_slice())?;
    let signature = signed_header(&head, key, time)?;
    let old =
        LEAD_BYTES..usize::try_from(head.header_range().start).expect("it was read into memory");
    package.splice(old, signature);
    Ok(())
}

/// Signs the package at `path` in place. Only the signature header is written, a few KiB; the payload is not read.
///
/// A crash in the middle can leave a torn signature header: sign a copy, and publish it after it is signed.
///
/// # Errors
/// As [`sign_package`], and [`Error::Io`].
pub fn sign_file(path: &Path, key: &SigningKey, time: u64) -> Result<(), Error> {
    let io = |what: &str| {
        let what = format!("{what} {}", path.display());
        move |source| Error::Io { what, source }
    };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(io("open"))?;
    let head = Head::read(&mut file)?;
    let signature = signed_header(&head, key, time)?;
    if (LEAD_BYTES + signature.len()) as u64 == head.header_range().start {
        file.seek(SeekFrom::Start(LEAD_BYTES as u64))
            .map_err(io("seek in"))?;
        return file
            .write_all(&signature)
            .map_err(io("write the signature into"));
    }
    drop(file);
    let mut package = std::fs::read(path).map_err(io("read"))?;
    sign_package(&mut package, key, time)?;
    let unsigned = path.with_extension("signing");
    std::fs::write(&unsigned, &package).map_err(io("write beside"))?;
    std::fs::rename(&unsigned, path).map_err(io("replace"))
}

/// The new signature header with its padding.
fn signed_header(head: &Head, key: &SigningKey, time: u64) -> Result<Vec<u8>, Error> {
    let old = head.signature()?;
    check_signable(head, &old)?;
    let packet = key.sign_detached_binary(head.header_bytes(), time)?;
    // v4 signature packet: header (tag, length), version 4, type, algorithm.
    let tag = if packet_algorithm(&packet) == Some(ALGORITHM_RSA) {
        sigtag::RSA
    } else {
        sigtag::DSA
    };
    let mut entries: Vec<(Entry, Vec<u8>)> = kept(&old)?;
    let count = u32::try_from(packet.len()).expect("a signature packet is a few hundred bytes");
    entries.push((
        Entry {
            tag,
            kind: kind::BIN,
            offset: 0,
            count,
        },
        packet,
    ));
    entries.sort_by_key(|(entry, _)| entry.tag);
    let wanted = head.header_range().start - LEAD_BYTES as u64;
    fit_reserved_space(
        &mut entries,
        usize::try_from(wanted).expect("it was read into memory"),
    );
    Ok(serialize(&entries))
}

fn check_signable(head: &Head, signature: &Header<'_>) -> Result<(), Error> {
    let refuse = |reason: &str| {
        Err(Error::Unsignable {
            reason: reason.to_owned(),
        })
    };
    let header = head.header()?;
    let is_v6 = header
        .number(tag::RPM_FORMAT)
        .is_some_and(|format| format > 4)
        || signature.has(sigtag::V6_RESERVED)
        || signature.has(sigtag::SHA3_256);
    if is_v6 {
        return refuse(
            "it is in the v6 format, which rpm before 6 takes for unsigned; build it with `%_rpmformat 4`",
        );
    }
    if !header.has(tag::PAYLOAD_DIGEST) {
        return refuse(
            "its header has no payload digest, so a signature would not cover the payload; rebuild it with rpm 4.14 or newer",
        );
    }
    let bytes = head.header_bytes();
    let differs =
        |tag, actual: String| signature.string(tag).is_some_and(|stated| stated != actual);
    if differs(sigtag::SHA256, Sha256::of(bytes).to_string()) {
        return refuse("its header does not match its SHA-256; it was changed after it was built");
    }
    if differs(sigtag::SHA1, hex::encode(sha1::Sha1::digest(bytes))) {
        return refuse("its header does not match its SHA-1; it was changed after it was built");
    }
    Ok(())
}

/// The public key algorithm that a v4 signature packet names.
fn packet_algorithm(packet: &[u8]) -> Option<u8> {
    let first = *packet.first()?;
    let body = if first & 0x40 != 0 {
        // New format: length of one, two or five bytes.
        match packet.get(1)? {
            ..192 => 2,
            192..224 => 3,
            _ => 6,
        }
    } else {
        1 + (1 << (first & 3))
    };
    packet.get(body + 2).copied()
}

/// What stays: everything but old signatures and the region tag, which is made anew.
fn kept(old: &Header<'_>) -> Result<Vec<(Entry, Vec<u8>)>, Error> {
    let short = || Error::malformed("a tag of its signature header runs into the next one");
    old.slots()
        .filter(|slot| !SIGNATURES.contains(&slot.entry.tag))
        .map(|slot| Ok((slot.entry, slot.raw().ok_or_else(short)?.to_vec())))
        .collect()
}

/// Gives the reserved space the length that makes the whole `wanted` bytes long, if that is possible.
fn fit_reserved_space(entries: &mut Vec<(Entry, Vec<u8>)>, wanted: usize) {
    let Some(at) = entries
        .iter()
        .position(|(entry, _)| entry.tag == sigtag::RESERVED_SPACE)
    else {
        return;
    };
    let set = |entries: &mut Vec<(Entry, Vec<u8>)>, len: usize| {
        entries[at].0.count = u32::try_from(len).expect("a signature header is below 64 MiB");
        entries[at].1 = vec![0; len];
    };
    set(entries, 0);
    // Padding hides up to seven bytes; alignment of the tags in front does not depend on the space, which comes last.
    let bare = serialized_len(entries);
    match wanted.checked_sub(bare) {
        Some(len) if len > 0 => set(entries, len),
        _ => {
            entries.remove(at);
        }
    }
}

fn serialized_len(entries: &[(Entry, Vec<u8>)]) -> usize {
    let data = entries
        .iter()
        .fold(0, |end, (entry, raw)| align(end, entry.kind) + raw.len());
    16 + (entries.len() + 1) * ENTRY_BYTES + data + ENTRY_BYTES
}

fn align(end: usize, kind: u32) -> usize {
    match kind {
        kind::INT16 => end.next_multiple_of(2),
        kind::INT32 => end.next_multiple_of(4),
        kind::INT64 => end.next_multiple_of(8),
        _ => end,
    }
}

/// A header whose region tag covers all entries, as rpm writes it, padded to a multiple of eight.
fn serialize(entries: &[(Entry, Vec<u8>)]) -> Vec<u8> {
    let count = entries.len() + 1;
    let mut index = Vec::with_capacity(count * ENTRY_BYTES);
    let mut data = Vec::new();
    for (entry, raw) in entries {
        data.resize(align(data.len(), entry.kind), 0);
        let offset = u32::try_from(data.len()).expect("a signature header is below 64 MiB");
        line(&mut index, Entry { offset, ..*entry });
        data.extend_from_slice(raw);
    }
    // The region's data is one more index line, whose offset points back over the index.
    let region = Entry {
        tag: sigtag::REGION,
        kind: kind::BIN,
        offset: 0,
        count: 16,
    };
    let region_at = u32::try_from(data.len()).expect("a signature header is below 64 MiB");
    let back = u32::try_from(count * ENTRY_BYTES).expect("a signature header has few tags");
    line(
        &mut data,
        Entry {
            offset: back.wrapping_neg(),
            ..region
        },
    );

    let mut out = Vec::with_capacity(16 + count * ENTRY_BYTES + data.len() + 8);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&(count as u32).to_be_bytes());
    out.extend_from_slice(&(data.len() as u32).to_be_bytes());
    line(
        &mut out,
        Entry {
            offset: region_at,
            ..region
        },
    );
    out.extend_from_slice(&index);
    out.extend_from_slice(&data);
    out.resize(padded(LEAD_BYTES + out.len()) - LEAD_BYTES, 0);
    out
}

fn line(
    out: &mut Vec<u8>,
    Entry {
        tag,
        kind,
        offset,
        count,
    }: Entry,
) {
    for field in [tag, kind, offset, count] {
        out.extend_from_slice(&field.to_be_bytes());
    }
}
