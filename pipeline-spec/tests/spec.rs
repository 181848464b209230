//! SPEC.md says what the parser does: its examples are valid together, its tables are complete.
#![allow(clippy::disallowed_methods, reason = "the specification is a file")]

mod common;

use std::collections::BTreeSet;

use common::Tree;
use pipeline_spec::{
    BuildRequest, Code, ReleaseRequest, limits, parse_build, parse_release, schemas,
};
use serde_json::Value;

fn spec() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/SPEC.md");
    std::fs::read_to_string(path).expect("SPEC.md is there")
}

/// The files of the `yaml` blocks, by the path in their first line.
fn examples() -> Tree {
    let text = spec();
    let blocks = text.split("```yaml\n").skip(1);
    let mut tree = Tree::new();
    for block in blocks {
        let (file, _) = block.split_once("```").expect("a block ends");
        let (first, _) = file.split_once('\n').expect("a block has lines");
        let path = first
            .strip_prefix("# ")
            .expect("a block begins with its path");
        assert!(
            tree.insert(path.to_owned(), file.into()).is_none(),
            "{path} is there twice"
        );
    }
    tree
}

/// The rows of the table under a heading, as the texts of their first cell.
fn first_cells(heading: &str) -> Vec<String> {
    let text = spec();
    let (_, section) = text
        .split_once(heading)
        .unwrap_or_else(|| panic!("no section {heading}"));
    let ends = ["\n## ", "\n### "].map(|next| section.find(next).unwrap_or(section.len()));
    let end = ends[0].min(ends[1]);
    let rows = section[..end]
        .lines()
        .filter(|line| line.starts_with("| `"));
    rows.filter_map(|row| row.split('`').nth(1))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_examples_are_one_repository_without_errors() {
    let mut tree = examples();
    let key = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n";
    for name in [
        "main",
        "vault",
        "token",
        "people/alice",
        "people/bob",
        "people/carol",
        "upstream/almalinux-10",
        "upstream/epel-10",
    ] {
        tree.insert(format!("keys/{name}.asc"), key.to_vec());
    }
    assert_eq!(common::said(&tree), "");
}

/// Serde's own reading of the types agrees with the parser's: what is written as JSON for a runner
/// or a status file is what was read.
#[test]
fn requests_survive_json() {
    for (path, bytes) in examples() {
        let Ok(path) = path.parse::<pipeline_spec::RequestPath>() else {
            continue;
        };
        if path.as_str().starts_with("builds/") {
            let read = parse_build(&path, &bytes).expect("valid");
            let json = serde_json::to_string(&read).unwrap();
            assert_eq!(serde_json::from_str::<BuildRequest>(&json).unwrap(), read);
        } else {
            let read = parse_release(&path, &bytes).expect("valid");
            let json = serde_json::to_string(&read).unwrap();
            assert_eq!(serde_json::from_str::<ReleaseRequest>(&json).unwrap(), read);
        }
    }
}

#[test]
fn every_code_is_in_the_table() {
    let listed = first_cells("## 7. Diagnostics");
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(listed, codes);
}

#[test]
fn every_limit_is_in_the_table() {
    let text = spec();
    let (_, section) = text.split_once("## 6. Limits").expect("the section");
    let section = section.split("\n## ").next().expect("its text");
    for limit in [
        limits::MAX_FILE_BYTES,
        limits::MAX_KEY_FILE_BYTES,
        limits::MAX_DEPTH,
        limits::MAX_NODES,
        limits::MAX_ENTRIES,
        limits::MAX_PATH_BYTES,
        limits::MAX_NAME_BYTES,
        limits::MAX_PACKAGE_NAME_BYTES,
        limits::MAX_URL_BYTES,
        limits::MAX_MACRO_VALUE_BYTES,
        limits::MAX_TEXT_CHARS,
        limits::MAX_DIAGNOSTICS_PER_FILE,
    ] {
        assert!(
            section.contains(&format!("| {limit}")),
            "no limit of {limit} in SPEC.md"
        );
    }
}

/// Every field that a schema knows is described in a table and used in an example, which the parser
/// accepts; so schema, parser and text know the same fields.
#[test]
fn every_field_is_described_and_used() {
    let kinds = [
        ("project.json", "### 3.1"),
        ("policy.json", "### 3.2"),
        ("platform.json", "### 3.3"),
        ("flavor.json", "### 3.4"),
        ("repository.json", "### 3.5"),
        ("key.json", "### 3.6"),
        ("runner.json", "### 3.7"),
        ("build.json", "## 4."),
        ("release.json", "## 5."),
    ];
    let all: String = examples()
        .values()
        .map(|b| String::from_utf8_lossy(b).into_owned())
        .collect();
    for (name, schema) in schemas() {
        let (_, heading) = kinds
            .iter()
            .find(|(n, _)| *n == name)
            .expect("a section for each kind");
        let described: BTreeSet<String> = described_from(heading);
        for field in fields(&schema) {
            assert!(
                described.contains(&field),
                "{heading} does not describe `{field}`"
            );
            let used = all.lines().any(|line| uses(line, &field));
            assert!(used, "no example uses `{field}` of {name}");
        }
    }
}

/// The last parts of the fields in a section's table; those of platforms and options count for
/// flavors too, which refer to them.
fn described_from(heading: &str) -> BTreeSet<String> {
    let mut cells = first_cells(heading);
    if heading == "### 3.4" {
        cells.extend(first_cells("### 3.3"));
        cells.extend(first_cells("## 4."));
    }
    cells
        .iter()
        .filter_map(|cell| cell.rsplit(['.', ']']).next())
        .map(str::to_owned)
        .collect()
}

fn uses(line: &str, field: &str) -> bool {
    let key = format!("{field}:");
    let starts = |i: usize| line[..i].ends_with([' ', '{']) || i == 0;
    line.match_indices(&key).any(|(i, _)| starts(i))
}

/// All names under `properties`, at any depth.
fn fields(schema: &Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    match schema {
        Value::Object(parts) => {
            if let Some(Value::Object(properties)) = parts.get("properties") {
                names.extend(properties.keys().cloned());
            }
            names.extend(parts.values().flat_map(fields));
        }
        Value::Array(parts) => names.extend(parts.iter().flat_map(fields)),
        _ => {}
    }
    names
}
