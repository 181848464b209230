//! A published suite of a stranger's: `Release` and `Packages`, properly signed; and an `InRelease` that is not.
//!
//! The input has three parts: the text of `Release`, the index that all its paths lead to, and `InRelease`
//! as it is.
#![no_main]

use std::io;

use libfuzzer_sys::fuzz_target;
use repo_deb::{sign_release, signed_text, verify};

fuzz_target!(|data: &[u8]| {
    let [release, index, inrelease] = fuzz::parts::<3>(data);
    let key = fuzz::key();
    let keys = [key.public().clone()];
    if let Ok(signed) = sign_release(release, key, fuzz::NOW) {
        let mut read = |path: &str| match path {
            "dists/s/InRelease" => Ok(signed.in_release.clone().into()),
            "dists/s/Release" => Ok(release.to_vec()),
            "dists/s/Release.gpg" => Ok(signed.release_gpg.clone().into()),
            _ => Ok(index.to_vec()),
        };
        let report = verify(&mut read, "s", &keys);
        assert!(report.signed_by.is_some(), "{:?}", report.findings);
    }
    let _text = signed_text(inrelease);
    let mut read = |path: &str| match path {
        "dists/s/InRelease" => Ok(inrelease.to_vec()),
        _ => Err(io::ErrorKind::NotFound.into()),
    };
    let report = verify(&mut read, "s", &keys);
    assert_eq!(report.signed_by, None, "forged");
});
