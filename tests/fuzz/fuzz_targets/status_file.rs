//! Answers on the status branch as a recovery reads them: read, written and read again.
#![no_main]

use control::StatusFile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(first) = serde_saphyr::from_str::<StatusFile>(text) else {
        return;
    };
    let written = serde_saphyr::to_string(&first).expect("what was read can be written");
    let second: StatusFile = serde_saphyr::from_str(&written)
        .unwrap_or_else(|error| panic!("what was written cannot be read: {error}\n{written}"));
    assert_eq!(first, second, "{written}");
});
