//! Files of the state repository as people write them: read, checked, and every mistake shown.
//!
//! The first line is the file's path, the rest is its text. Beside it stands a sound configuration, so
//! that checks across files run too.
#![no_main]

use libfuzzer_sys::fuzz_target;

use pipeline_spec::{
    Color, Config, RequestKind, RequestPath, lint, parse_build, parse_release, render_all,
};

/// What stands beside the input.
const BESIDE: [(&str, &str); 5] = [
    (
        "millrace.yaml",
        include_str!("../../../state-repo-template/millrace.yaml"),
    ),
    (
        "platforms/debian-12.yaml",
        include_str!("../../../state-repo-template/platforms/debian-12.yaml"),
    ),
    (
        "repositories/debian-12.yaml",
        include_str!("../../../state-repo-template/repositories/debian-12.yaml"),
    ),
    (
        "keys/main.yaml",
        include_str!("../../../state-repo-template/keys/main.yaml"),
    ),
    (
        "builds/2026/11/other.yaml",
        "reason: x\nplatforms: {debian-12: }\npackages:\n  - source: {git: \"https://example.org/a.git\", ref: main}\n",
    ),
];

fuzz_target!(|data: &[u8]| {
    let end = data
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(data.len());
    let (path, text) = data.split_at(end);
    let path = String::from_utf8_lossy(path);
    let text = text.get(1..).unwrap_or_default();
    let own = (path.as_ref(), text);
    let beside = BESIDE.iter().filter(|(name, _)| *name != path);
    let files: Vec<(&str, &[u8])> = beside
        .map(|(name, text)| (*name, text.as_bytes()))
        .chain([own])
        .collect();
    let found = lint(&files);
    let _shown = render_all(&found, Color::Always);
    let _config = Config::load(files);
    if let Ok(path) = path.parse::<RequestPath>() {
        match path.kind() {
            RequestKind::Build => drop(parse_build(&path, text)),
            RequestKind::Release => drop(parse_release(&path, text)),
        }
    }
});
