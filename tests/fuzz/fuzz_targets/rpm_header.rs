//! An RPM package: its header, its index entry, and a signature that leaves its content alone.
#![no_main]

use libfuzzer_sys::fuzz_target;
use repo_rpm::{Fragment, Package, sign_package, unsigned_digest};

fuzz_target!(|data: &[u8]| {
    let digest = unsigned_digest(data);
    let Ok(package) = Package::read(data) else {
        return;
    };
    assert_eq!(package.sizes.package, data.len() as u64);
    let _entry = Fragment::render(&package);
    let mut signed = data.to_vec();
    if sign_package(&mut signed, fuzz::key(), fuzz::NOW).is_ok() {
        let again = Package::read(&signed[..]).expect("what was signed can be read");
        assert_eq!(again.nevra(), package.nevra());
        let before = digest.expect("a package has a content");
        let after = unsigned_digest(&signed[..]).expect("a package has a content");
        assert_eq!(before, after, "signing changed the content");
    }
});
