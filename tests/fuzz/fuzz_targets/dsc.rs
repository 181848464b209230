//! `.dsc`, `.changes` and `.buildinfo`, signed or not; a `.dsc` as far as its index entry.
#![no_main]

use libfuzzer_sys::fuzz_target;
use repo_deb::source::{Buildinfo, Changes, Dsc};
use repo_deb::{Digests, Fragment};

fuzz_target!(|data: &[u8]| {
    let _changes = Changes::parse(data);
    let _buildinfo = Buildinfo::parse(data);
    let Ok(dsc) = Dsc::parse(data) else {
        return;
    };
    if let Ok(fragment) = Fragment::from_dsc(&dsc, &Digests::of(data)) {
        let stanza = repo_deb::deb822::parse_one(
            fragment.stanza.as_bytes(),
            repo_deb::deb822::Dialect::Machine,
        );
        let stanza = stanza.expect("an index entry is one paragraph");
        assert_eq!(stanza.get("Package"), Some(fragment.entry.package.as_str()));
        assert_eq!(
            stanza.get("Directory"),
            None,
            "a package names its own place"
        );
    }
});
