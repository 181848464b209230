//! Keys and signatures: never a panic, and nothing that the key did not sign is believed.
//!
//! The input has two parts: an armored key, and a signature in any form.
#![no_main]

use libfuzzer_sys::fuzz_target;
use openpgp::{PublicKey, SignatureInfo};

/// What no key ever signed.
const DATA: &[u8] = b"nobody signed this";

fuzz_target!(|data: &[u8]| {
    let [armored, signature] = fuzz::parts::<2>(data);
    let text = String::from_utf8_lossy(signature);
    if let Ok(keys) = PublicKey::all_from_armored(&String::from_utf8_lossy(armored)) {
        for key in keys {
            let again =
                PublicKey::from_armored(&key.to_armored()).expect("a key can be read again");
            assert_eq!(again.fingerprint(), key.fingerprint());
            let _identity = (key.user_id(), key.key_id(), key.to_binary());
        }
    }
    let key = fuzz::key().public();
    assert!(key.verify_detached_binary(DATA, signature).is_err());
    assert!(key.verify_detached_armored(DATA, &text).is_err());
    assert!(key.verify_cleartext(&text).is_err());
    let _claim = SignatureInfo::claimed(signature);
});
