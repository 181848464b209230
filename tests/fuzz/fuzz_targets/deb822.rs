//! Control files of both dialects: what is read, written and read again is the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use repo_deb::deb822::{Dialect, parse};

fuzz_target!(|data: &[u8]| {
    for dialect in [Dialect::Machine, Dialect::Person] {
        let Ok(paragraphs) = parse(data, dialect) else {
            continue;
        };
        let written: Vec<String> = paragraphs.iter().map(ToString::to_string).collect();
        let written = written.join("\n");
        let again = parse(written.as_bytes(), dialect).expect("what was written can be read");
        let fields = |all: &[repo_deb::deb822::Paragraph]| -> Vec<Vec<(String, String)>> {
            let of = |paragraph: &repo_deb::deb822::Paragraph| {
                let fields = paragraph.fields().iter();
                fields
                    .map(|it| (it.name.clone(), it.value.clone()))
                    .collect()
            };
            all.iter().map(of).collect()
        };
        assert_eq!(fields(&paragraphs), fields(&again), "{written}");
    }
});
