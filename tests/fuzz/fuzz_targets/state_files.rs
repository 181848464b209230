//! Files of the state repository as people write them: read, checked, and every mistake shown.
//!
//! The first line is the file's path, the rest is its text. Beside it stands a sound configuration, short
//! because it is read each time, so that checks across files run too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pipeline_spec::{Color, lint, render_all};

/// What stands beside the input.
const BESIDE: [(&str, &str); 5] = [
    ("millrace.yaml", "version: 1\nname: Example\n"),
    (
        "platforms/debian-12.yaml",
        "format: deb\narchitectures: [amd64]\narchives: [{url: host, suites: [bookworm], components: [main]}]\n",
    ),
    (
        "repositories/debian-12.yaml",
        "format: deb\nplatform: debian-12\narchitectures: [amd64]\nkey: main\npath: d\nsuite: s\ncomponents: [main]\n",
    ),
    ("keys/main.yaml", "private: {file: main.key}\n"),
    (
        "builds/2026/11/other.yaml",
        "reason: x\nplatforms: {debian-12: }\npackages: [{source: {git: \"https://example.org/a.git\", ref: main}}]\n",
    ),
];

fuzz_target!(|data: &[u8]| {
    let end = data.iter().position(|byte| *byte == b'\n');
    let (path, text) = data.split_at(end.unwrap_or(data.len()));
    let path = String::from_utf8_lossy(path);
    let own = (path.as_ref(), text.get(1..).unwrap_or_default());
    let beside = BESIDE.iter().filter(|(name, _)| *name != path);
    let files: Vec<(&str, &[u8])> = beside
        .map(|(name, text)| (*name, text.as_bytes()))
        .chain([own])
        .collect();
    let found = lint(&files);
    let _shown = render_all(&found, Color::Always);
});
