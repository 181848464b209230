//! The published schemas are those of the types.
#![allow(clippy::disallowed_methods, reason = "goldens are files")]

use std::path::Path;

use pipeline_spec::{Code, SCHEMA_FOLDER, Severity, lint, schema_of, schema_text, schemas};

/// Refresh with `MILLRACE_REFRESH=1 cargo test -p pipeline-spec --test schemas`, then read the diff.
#[test]
fn schemas_are_those_of_the_types() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    for (name, schema) in schemas() {
        let path = folder.join(name);
        let made = schema_text(&schema);
        if std::env::var_os("MILLRACE_REFRESH").is_some() {
            std::fs::write(&path, &made).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            golden == made,
            "schemas/{name} is not what the types say; \
             refresh: MILLRACE_REFRESH=1 cargo test -p pipeline-spec --test schemas"
        );
    }
    let files = std::fs::read_dir(&folder).unwrap().count();
    assert_eq!(
        files,
        schemas().len(),
        "schemas/ has a file that no type makes"
    );
}

#[test]
fn each_kind_of_file_has_its_schema() {
    let kinds = [
        "millrace.yaml",
        "policy.yaml",
        "platforms/a.yaml",
        "flavors/a.yaml",
        "repositories/a.yaml",
        "keys/a.yaml",
        "runners/a.yaml",
        "builds/2026/11/a.yaml",
        "releases/2026/11/a.yaml",
    ];
    let mut named = kinds.map(|path| schema_of(path).unwrap());
    let mut all: Vec<_> = schemas().iter().map(|(name, _)| *name).collect();
    named.sort_unstable();
    all.sort_unstable();
    assert_eq!(named[..], all);
    for other in ["keys/a.asc", "README.md", "builds/a.yaml", "tests/a.yaml"] {
        assert_eq!(schema_of(other), None, "{other}");
    }
}

/// Path, contents.
type File = (String, String);

fn at(name: &str) -> String {
    format!("{SCHEMA_FOLDER}{name}")
}

#[test]
fn another_schema_is_a_warning() {
    let project = (
        "millrace.yaml".to_owned(),
        "version: 1\nname: x\n".to_owned(),
    );
    let fresh = schemas()
        .into_iter()
        .map(|(name, schema)| (at(name), schema_text(&schema)));
    let fresh: Vec<File> = fresh.chain([project.clone()]).collect();
    let said = |files: &[File]| {
        let found = lint(files);
        assert!(found.iter().all(|d| d.severity == Severity::Warning));
        assert!(found.iter().all(|d| d.code == Code::OtherSchema));
        let lines = found.iter().map(|d| format!("{}: {}", d.path, d.message));
        lines.collect::<Vec<_>>()
    };
    let none: [&str; 0] = [];
    assert_eq!(said(&fresh), none);
    // Nobody wants any.
    assert_eq!(said(&[project]), none);
    let mut old = fresh;
    old.retain(|(path, _)| *path != at("key.json"));
    for (path, text) in &mut old {
        if *path == at("build.json") {
            *text = "{}".to_owned();
        }
        // As an editor or git may leave it.
        if *path == at("policy.json") {
            *text = text.replace('\n', "\r\n");
        }
        if *path == at("runner.json") {
            text.truncate(100);
        }
    }
    let other = "the schema that editors check files by is not the one of this millrace";
    let missing = "the schema that editors check files by is missing";
    let expect = [("build", other), ("key", missing), ("runner", other)];
    let expect = expect.map(|(name, what)| format!(".millrace/schemas/{name}.json: {what}"));
    assert_eq!(said(&old), expect);
}
