//! The published schemas are those of the types.
#![allow(clippy::disallowed_methods, reason = "goldens are files")]

use std::path::Path;

use pipeline_spec::schemas;

/// Refresh with `MILLRACE_REFRESH=1 cargo test -p pipeline-spec --test schemas`, then read the diff.
#[test]
fn schemas_are_those_of_the_types() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    for (name, schema) in schemas() {
        let path = folder.join(name);
        let made = serde_json::to_string_pretty(&schema).unwrap() + "\n";
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
