//! What editors check files by: the schemas in the state repository, and in each file of YAML the line that names its own.

use pipeline_spec::{SCHEMA_FOLDER, schema_of, schema_text, schemas};

/// Adds the schemas, and their names to the files. Sorts.
pub(super) fn for_editors(files: &mut Vec<(String, Vec<u8>)>) {
    for (path, bytes) in files.iter_mut() {
        if let Some(schema) = schema_of(&placed(path)) {
            let up = "../".repeat(path.matches('/').count());
            let line = format!("# yaml-language-server: $schema={up}{SCHEMA_FOLDER}{schema}\n");
            bytes.splice(0..0, line.into_bytes());
        }
    }
    files.extend(schema_files());
    files.sort();
}

/// The files of all schemas: path, and what is in it.
pub(crate) fn schema_files() -> impl Iterator<Item = (String, Vec<u8>)> {
    let file = |(name, schema)| {
        let text = schema_text(&schema);
        (format!("{SCHEMA_FOLDER}{name}"), text.into_bytes())
    };
    schemas().into_iter().map(file)
}

/// Where an example is copied to. It lies as deep as there, so that the line is right in both places.
fn placed(path: &str) -> String {
    match path.strip_prefix("examples/") {
        Some(example) => example.replacen('-', "/", 1),
        None => path.to_owned(),
    }
}
