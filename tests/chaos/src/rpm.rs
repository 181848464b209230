//! RPM packages without files: real enough for the signer, the composer and `millrace verify`.
//!
//! Format: rpm's `docs/manual/format_v4.md`. rpmbuild would take a hundred times longer.

use sha2::{Digest as _, Sha256};

const LEAD_BYTES: usize = 96;
const HEADER_MAGIC: [u8; 8] = [0x8e, 0xad, 0xe8, 0x01, 0, 0, 0, 0];
/// `RPMTAG_HEADERSIGNATURES` and `RPMTAG_HEADERIMMUTABLE`: each covers the header it stands in.
const SIGNATURES: u32 = 62;
const IMMUTABLE: u32 = 63;
/// Room for one signature, as rpmbuild leaves it.
const RESERVED_BYTES: usize = 512;
/// `PGPHASHALGO_SHA256`.
const SHA256: u32 = 8;
/// `RPMSENSE_EQUAL`.
const EQUAL: u32 = 8;

/// What the header says.
pub(crate) struct Spec<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
    pub(crate) release: &'a str,
    pub(crate) arch: &'a str,
    /// `None`: it is one.
    pub(crate) source_rpm: Option<&'a str>,
}

enum Value<'a> {
    Text(&'a str),
    Texts(&'a [&'a str]),
    Int(u32),
    Bytes(&'a [u8]),
}

/// The bytes of the package file.
pub(crate) fn package(spec: &Spec<'_>) -> Vec<u8> {
    let evr = format!("{}-{}", spec.version, spec.release);
    // An empty cpio archive is its trailer alone; nobody here unpacks it.
    let payload = format!("{} {evr} {}", spec.name, spec.arch).into_bytes();
    let digest = hex::encode(Sha256::digest(&payload));
    let mut tags = vec![
        (1000, Value::Text(spec.name)),
        (1001, Value::Text(spec.version)),
        (1002, Value::Text(spec.release)),
        (1004, Value::Text("pretended")),
        (1005, Value::Text("It has no files.")),
        (1006, Value::Int(1_793_491_200)),
        (1009, Value::Int(0)),
        (1014, Value::Text("MIT")),
        (1021, Value::Text("linux")),
        (1022, Value::Text(spec.arch)),
    ];
    if let Some(source) = spec.source_rpm {
        tags.push((1044, Value::Text(source)));
    }
    tags.push((1047, Value::Texts(std::slice::from_ref(&spec.name))));
    if spec.source_rpm.is_none() {
        tags.push((1106, Value::Int(1)));
    }
    let evrs = [evr.as_str()];
    let digests = [digest.as_str()];
    tags.push((1112, Value::Int(EQUAL)));
    tags.push((1113, Value::Texts(&evrs)));
    tags.push((5092, Value::Texts(&digests)));
    tags.push((5093, Value::Int(SHA256)));
    let header = header(IMMUTABLE, &tags);
    let header_digest = hex::encode(Sha256::digest(&header));
    let signature = self::header(
        SIGNATURES,
        &[
            (273, Value::Text(&header_digest)),
            (1008, Value::Bytes(&[0; RESERVED_BYTES])),
        ],
    );
    let mut file = lead(spec);
    file.extend_from_slice(&signature);
    file.resize(file.len().next_multiple_of(8), 0);
    file.extend_from_slice(&header);
    file.extend_from_slice(&payload);
    file
}

fn lead(spec: &Spec<'_>) -> Vec<u8> {
    let mut lead = vec![0xed, 0xab, 0xee, 0xdb, 3, 0];
    lead.extend_from_slice(&u16::from(spec.source_rpm.is_none()).to_be_bytes());
    lead.extend_from_slice(&1_u16.to_be_bytes());
    let name = format!("{}-{}-{}", spec.name, spec.version, spec.release);
    lead.extend(name.bytes().take(65));
    lead.resize(76, 0);
    lead.extend_from_slice(&1_u16.to_be_bytes());
    lead.extend_from_slice(&5_u16.to_be_bytes());
    lead.resize(LEAD_BYTES, 0);
    lead
}

fn header(region: u32, tags: &[(u32, Value<'_>)]) -> Vec<u8> {
    let (mut index, mut data) = (Vec::new(), Vec::new());
    for (tag, value) in tags {
        let (kind, count): (u32, usize) = match value {
            Value::Text(_) => (6, 1),
            Value::Texts(texts) => (8, texts.len()),
            Value::Int(_) => (4, 1),
            Value::Bytes(bytes) => (7, bytes.len()),
        };
        if matches!(value, Value::Int(_)) {
            data.resize(data.len().next_multiple_of(4), 0);
        }
        line(&mut index, [*tag, kind, size(data.len()), size(count)]);
        match value {
            Value::Text(text) => terminated(&mut data, text),
            Value::Texts(texts) => texts.iter().for_each(|text| terminated(&mut data, text)),
            Value::Int(number) => data.extend_from_slice(&number.to_be_bytes()),
            Value::Bytes(bytes) => data.extend_from_slice(bytes),
        }
    }
    let count = size(tags.len() + 1);
    let at = size(data.len());
    // The region's data is an index line that points back over the index.
    line(&mut data, [region, 7, (count * 16).wrapping_neg(), 16]);
    let mut out = HEADER_MAGIC.to_vec();
    out.extend_from_slice(&count.to_be_bytes());
    out.extend_from_slice(&size(data.len()).to_be_bytes());
    line(&mut out, [region, 7, at, 16]);
    out.extend_from_slice(&index);
    out.extend_from_slice(&data);
    out
}

fn terminated(data: &mut Vec<u8>, text: &str) {
    data.extend_from_slice(text.as_bytes());
    data.push(0);
}

fn line(out: &mut Vec<u8>, fields: [u32; 4]) {
    for field in fields {
        out.extend_from_slice(&field.to_be_bytes());
    }
}

fn size(count: usize) -> u32 {
    u32::try_from(count).expect("a header of some hundred bytes")
}
