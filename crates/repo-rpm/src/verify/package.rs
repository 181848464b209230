//! One published package, read once.

use std::io::Read;

use sha2::Digest as _;

use crate::digest::each_chunk;
use crate::head::Head;
use crate::tags::{header as tag, signature as sigtag};
use crate::{Package, Sha256};

/// `PGPHASHALGO_SHA256`: the only payload digest that rpm 4.14 to 4.20 write.
const ALGORITHM_SHA256: u64 = 8;

/// What a package file is, beside what it should be.
pub(super) struct Found {
    pub(super) size: u64,
    pub(super) sha256: Sha256,
    pub(super) nevra: String,
    /// What a signature covers.
    pub(super) header: Vec<u8>,
    pub(super) signature: Option<Vec<u8>>,
    /// Name, stated value and actual value of each digest inside the package.
    pub(super) digests: Vec<(&'static str, String, String)>,
}

pub(super) fn read(mut reader: impl Read) -> Result<Found, String> {
    let head = Head::read(&mut reader).map_err(chain)?;
    let mut file = sha2::Sha256::new();
    file.update(head.bytes());
    let mut payload = sha2::Sha256::new();
    let payload_len = each_chunk(reader, |chunk| {
        file.update(chunk);
        payload.update(chunk);
    })
    .map_err(chain)?;

    let (header, signature) = (
        head.header().map_err(chain)?,
        head.signature().map_err(chain)?,
    );
    let mut digests = Vec::new();
    if let Some(stated) = signature.string(sigtag::SHA256) {
        digests.push((
            "header sha256",
            stated.into_owned(),
            Sha256::of(head.header_bytes()).to_string(),
        ));
    }
    // Without it the header's signature says nothing about the payload.
    let stated = match header.number(tag::PAYLOAD_DIGEST_ALGO) {
        Some(ALGORITHM_SHA256) => header
            .string(tag::PAYLOAD_DIGEST)
            .unwrap_or_default()
            .into_owned(),
        Some(other) => format!("a digest by algorithm {other}"),
        None => "none in its header".to_owned(),
    };
    digests.push(("payload sha256", stated, hex::encode(payload.finalize())));
    let packet = signature
        .binary(sigtag::RSA)
        .or_else(|| signature.binary(sigtag::DSA));
    Ok(Found {
        size: head.header_range().end + payload_len,
        sha256: Sha256(file.finalize().into()),
        nevra: Package::from_head(&head).map_err(chain)?.nevra(),
        signature: packet.map(<[u8]>::to_vec),
        header: head.header_bytes().to_vec(),
        digests,
    })
}

fn chain(error: crate::Error) -> String {
    match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
