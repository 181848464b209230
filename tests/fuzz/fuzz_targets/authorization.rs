//! The header by which a runner proves who it is: never a panic, and nobody without the key is believed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use runner_api::auth::{Call, parse};

/// The public key of RFC 8032, section 7.1, test 1. Its private half signed none of this.
const KEY: [u8; 32] = [
    0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a,
    0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a,
];

fuzz_target!(|text: &str| {
    if let Ok(claim) = parse(text) {
        let call = Call::new("POST", "/runner/v1/take", b"{}");
        let time = fuzz::NOW as i64;
        assert!(claim.verify(&KEY, time, &call).is_err(), "forged: {text}");
        assert!(claim.verify(&KEY, i64::MIN, &call).is_err());
        assert!(claim.verify(&KEY, i64::MAX, &call).is_err());
    }
});
