//! A `.deb` from its archive down to its index entry.
#![no_main]

use libfuzzer_sys::fuzz_target;
use repo_deb::Fragment;
use repo_deb::deb822::{Dialect, parse_one};
use repo_deb::package::{Contents, read};

fuzz_target!(|data: &[u8]| {
    let listed = read(data, Contents::List);
    if let Ok(package) = read(data, Contents::Skip) {
        assert_eq!(package.digests.size, data.len() as u64);
        if let Ok(fragment) = Fragment::from_package(&package) {
            let stanza = parse_one(fragment.stanza.as_bytes(), Dialect::Machine);
            let stanza = stanza.expect("an index entry is one paragraph");
            assert_eq!(stanza.get("Package"), Some(fragment.entry.package.as_str()));
            assert_eq!(
                stanza.get("Filename"),
                None,
                "a package names its own place"
            );
        }
    }
    if let Ok(package) = listed {
        for file in &package.files {
            let inside = file
                .path
                .components()
                .all(|part| matches!(part, std::path::Component::Normal(_)));
            assert!(inside, "{:?} leads out of the root", file.path);
        }
    }
});
