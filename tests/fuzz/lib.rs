//! What several targets need: a signing key, and inputs in parts.

use std::sync::OnceLock;

use openpgp::{KeyKind, SigningKey};

/// When the key was made, and a time to sign at. Seconds since 1970.
const BORN: u64 = 1_700_000_000;
pub const NOW: u64 = 1_793_491_200;

/// A key of this process.
pub fn key() -> &'static SigningKey {
    static KEY: OnceLock<SigningKey> = OnceLock::new();
    KEY.get_or_init(|| {
        SigningKey::generate(KeyKind::Ed25519, "Fuzz <fuzz@localhost>", BORN).expect("a key")
    })
}

/// Separates the parts of an input that is several files. In no UTF-8 text.
const SEPARATOR: u8 = 0xff;

/// The parts of an input, empty ones where there are no more.
pub fn parts<const N: usize>(data: &[u8]) -> [&[u8]; N] {
    let mut parts = data.splitn(N, |byte| *byte == SEPARATOR);
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

/// What serde reads, writes and reads again is the same. Answers whether it could be read.
pub fn json_round_trip<T>(data: &[u8]) -> bool
where
    T: serde::Serialize + serde::de::DeserializeOwned,
{
    let Ok(first) = serde_json::from_slice::<T>(data) else {
        return false;
    };
    let written = serde_json::to_vec(&first).expect("what was read can be written");
    let second: T = serde_json::from_slice(&written).expect("what was written can be read");
    let again = serde_json::to_vec(&second).expect("what was read can be written");
    assert_eq!(written, again, "written twice, and differs");
    true
}
