//! JSON Schemas of the language, for editors. They are made from the types; the parser says more.

use std::collections::BTreeMap;

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Value, json};

use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::path::{PathKind, RequestKind, classify};
use crate::read::report::{Finding, whole_file};
use crate::{
    BuildRequest, Flavor, Key, Platform, Policy, Project, ReleaseRequest, Repository, Runner,
};

/// Where a state repository keeps them.
pub const SCHEMA_FOLDER: &str = ".millrace/schemas/";

/// The schema of each kind of file, with the name of the file that it is published in.
pub fn schemas() -> Vec<(&'static str, Value)> {
    vec![
        ("project.json", schema::<Project>("millrace.yaml", &[])),
        (
            "platform.json",
            schema::<Platform>("platforms/<name>.yaml", &["backend"]),
        ),
        ("flavor.json", schema::<Flavor>("flavors/<name>.yaml", &[])),
        (
            "repository.json",
            schema::<Repository>("repositories/<name>.yaml", &["keep"]),
        ),
        ("key.json", schema::<Key>("keys/<id>.yaml", &[])),
        ("runner.json", schema::<Runner>("runners/<id>.yaml", &[])),
        ("policy.json", schema::<Policy>("policy.yaml", &[])),
        (
            "build.json",
            schema::<BuildRequest>("builds/<yyyy>/<mm>/<name>.yaml", &[]),
        ),
        (
            "release.json",
            schema::<ReleaseRequest>("releases/<yyyy>/<mm>/<name>.yaml", &[]),
        ),
    ]
}

/// The schema that the file at `path` is written by, as [`schemas`] names it.
pub fn schema_of(path: &str) -> Option<&'static str> {
    Some(match classify(path) {
        PathKind::Project => "project.json",
        PathKind::Policy => "policy.json",
        PathKind::Platform(_) => "platform.json",
        PathKind::Flavor(_) => "flavor.json",
        PathKind::Repository(_) => "repository.json",
        PathKind::Key(_) => "key.json",
        PathKind::Runner(_) => "runner.json",
        PathKind::Request(path) => match path.kind() {
            RequestKind::Build => "build.json",
            RequestKind::Release => "release.json",
            RequestKind::Scratch => return None,
        },
        PathKind::KeyFile(_)
        | PathKind::Erratum(_)
        | PathKind::Reserved
        | PathKind::Misplaced(_)
        | PathKind::Other => return None,
    })
}

/// What the file of a schema has in it.
pub fn schema_text(schema: &Value) -> String {
    format!("{schema:#}\n")
}

/// Schemas in a state repository that are not those of this program. One that has none wants none.
pub(crate) fn other_schemas(files: &BTreeMap<&str, &[u8]>) -> Vec<Diagnostic> {
    if !files.keys().any(|path| path.starts_with(SCHEMA_FOLDER)) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (name, schema) in schemas() {
        let path = format!("{SCHEMA_FOLDER}{name}");
        let there = files.get(path.as_str()).copied();
        let what = match there.map(serde_json::from_slice::<Value>) {
            Some(Ok(there)) if there == schema => continue,
            Some(_) => "is not the one of this millrace",
            None => "is missing",
        };
        let message = format!("the schema that editors check files by {what}");
        let help = "`millrace lint --write-schemas` writes all of them; commit them";
        let finding = Finding::new(Code::OtherSchema, message, help);
        found.push(whole_file(&path, Severity::Warning, finding));
    }
    found
}

/// The schema of one type. `derived` are fields that the parser fills in from other fields when
/// the file leaves them out; the types always have them.
fn schema<T: JsonSchema>(place: &str, derived: &[&str]) -> Value {
    let generator = SchemaGenerator::new(SchemaSettings::draft2020_12());
    let mut value = generator.into_root_schema_for::<T>().to_value();
    value["title"] = json!(place);
    refuse_null(&mut value);
    make_optional(&mut value, derived);
    if let Some(package) = value.pointer_mut("/$defs/PackageRequest") {
        make_optional(package, &["name"]);
    }
    value
}

fn make_optional(schema: &mut Value, fields: &[&str]) {
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        required.retain(|name| !fields.iter().any(|field| name == field));
    }
}

/// A field that may be left out is a type or null to serde; in the files it has a value or is not
/// there. Values of open mappings (the platforms of a build) keep their null.
fn refuse_null(schema: &mut Value) {
    let not_null = |choice: &Value| choice.get("type") != Some(&json!("null"));
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        for property in properties.values_mut() {
            if let Some(Value::Array(choices)) = property.get_mut("anyOf") {
                choices.retain(not_null);
                if let [Value::Object(only)] = &choices[..] {
                    let only = only.clone();
                    property
                        .as_object_mut()
                        .map(|p| (p.remove("anyOf"), p.extend(only)));
                }
            }
            if let Some(Value::Array(types)) = property.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = &types[..] {
                    property["type"] = only.clone();
                }
            }
        }
    }
    match schema {
        Value::Object(parts) => parts.values_mut().for_each(refuse_null),
        Value::Array(parts) => parts.iter_mut().for_each(refuse_null),
        _ => {}
    }
}
