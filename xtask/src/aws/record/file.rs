//! The record as a file: one call a line, sorted, so that a change is read in a diff.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::{Call, Right};
use crate::sh::{target, top, write};

/// The copy that is part of the checkout.
pub(crate) fn committed() -> PathBuf {
    top().join("terraform/judges/iam/recorded.json")
}

/// What the last run of this checkout has seen.
pub(crate) fn last() -> PathBuf {
    target().join("aws-calls.json")
}

/// Leaves `calls` as those of the last run.
pub(crate) fn save(calls: &BTreeSet<Call>) -> Result<()> {
    write(&last(), &text(calls))
}

/// Makes the calls of the last run the copy, less those that other runs may not make.
pub(crate) fn accept() -> Result<()> {
    let last = last();
    if !last.exists() {
        bail!(
            "{} is not there: `cargo xtask aws` makes it",
            last.display()
        );
    }
    let mut calls = read(&last)?;
    let rare = rare(&calls)?;
    calls.retain(|call| !rare.contains(call));
    let before = read(&committed())?;
    write(&committed(), &text(&calls))?;
    println!(
        "{}: {} calls, {} new and {} gone",
        committed().display(),
        calls.len(),
        calls.difference(&before).count(),
        before.difference(&calls).count()
    );
    Ok(())
}

/// Holds the calls of a run against the copy, and says what differs. Those that are new are an error.
pub(crate) fn compare(calls: &BTreeSet<Call>) -> Result<()> {
    let known = read(&committed())?;
    let rare = rare(&known)?;
    let lines = |some: Vec<&Call>| some.into_iter().map(line).collect::<Vec<_>>().join("\n");
    let gone: Vec<&Call> = known.difference(calls).collect();
    println!(
        "{} calls; {} are recorded, and {} are rare",
        calls.len(),
        known.len(),
        calls.difference(&known).count()
    );
    if !gone.is_empty() {
        println!("recorded, and not made in this run:\n{}", lines(gone));
    }
    let new = calls.difference(&known).filter(|call| !rare.contains(call));
    let new: Vec<&Call> = new.collect();
    if new.is_empty() {
        return Ok(());
    }
    bail!(
        "these calls are new. If they should be made, `cargo xtask aws --accept` puts them into {}, or into rare.json \
         beside it by hand if not every run makes them:\n{}",
        committed().display(),
        lines(new)
    )
}

/// Calls that a run may make or not, beside those that are `known`: terraform/judges/iam/rare.json.
fn rare(known: &BTreeSet<Call>) -> Result<BTreeSet<Call>> {
    let path = committed().with_file_name("rare.json");
    let bytes = std::fs::read(&path).context("read rare.json")?;
    let entries: Vec<Value> = serde_json::from_slice(&bytes).context("read rare.json")?;
    let mut rare = BTreeSet::new();
    for entry in &entries {
        let texts = |name: &str| {
            entry[name]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
        };
        let component = entry["who"]
            .as_str()
            .context("rare.json: an entry without who")?;
        for other in known {
            let service = other.right.action.split(':').next();
            let is_like = texts("like").any(|name| name == other.component);
            if is_like && texts("services").any(|name| Some(name) == service) {
                let (component, right) = (component.to_owned(), other.right.clone());
                rare.insert(Call { component, right });
            }
        }
        let mut contexts: Vec<Value> = texts("partitions")
            .map(|partition| json!({"dynamodb:LeadingKeys": partition}))
            .collect();
        if contexts.is_empty() {
            contexts.push(Value::Null);
        }
        for action in texts("actions") {
            for resource in texts("on") {
                for context in &contexts {
                    let entry = json!({"component": component, "action": action, "resource": resource, "context": context});
                    rare.insert(call(&entry)?);
                }
            }
        }
    }
    Ok(rare)
}

fn text(calls: &BTreeSet<Call>) -> String {
    let lines: Vec<String> = calls.iter().map(line).collect();
    format!("[\n  {}\n]\n", lines.join(",\n  "))
}

fn line(call: &Call) -> String {
    let mut line = format!(
        r#"{{"component": {}, "action": {}, "resource": {}"#,
        json!(call.component),
        json!(call.right.action),
        json!(call.right.resource)
    );
    if !call.right.context.is_empty() {
        line.push_str(&format!(r#", "context": {}"#, json!(call.right.context)));
    }
    line.push('}');
    line
}

/// No file is a record without calls.
fn read(path: &Path) -> Result<BTreeSet<Call>> {
    if !path.exists() {
        return Ok(BTreeSet::new());
    }
    let name = path.display();
    let bytes = std::fs::read(path).with_context(|| format!("read {name}"))?;
    let list: Vec<Value> =
        serde_json::from_slice(&bytes).with_context(|| format!("read {name}"))?;
    let calls = list.iter().map(call).collect::<Result<_>>();
    calls.with_context(|| format!("read {name}"))
}

fn call(entry: &Value) -> Result<Call> {
    let text = |name: &str| {
        let text = entry[name].as_str().map(str::to_owned);
        text.with_context(|| format!("{entry} has no {name}"))
    };
    let mut context = BTreeMap::new();
    for (key, value) in entry["context"].as_object().into_iter().flatten() {
        let value = value
            .as_str()
            .with_context(|| format!("{entry}: {key} is no text"))?;
        context.insert(key.clone(), value.to_owned());
    }
    Ok(Call {
        component: text("component")?,
        right: Right {
            action: text("action")?,
            resource: text("resource")?,
            context,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let entry = |context: Value| json!({"component": "a", "action": "s3:GetObject", "resource": "{bucket}/x", "context": context});
        let calls = [json!({}), json!({"s3:prefix": "x"})];
        let calls: BTreeSet<Call> = calls.map(|context| call(&entry(context)).unwrap()).into();
        let again: Vec<Value> = serde_json::from_str(&text(&calls)).unwrap();
        let again: BTreeSet<Call> = again.iter().map(|entry| call(entry).unwrap()).collect();
        assert_eq!(again, calls);
    }
}
