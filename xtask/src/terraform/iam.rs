//! The judge of policies: those of the last apply, as the provider wrote them, against a list of who may do what.

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

use super::Verdict;
use super::older::state_file;
use super::tools::{folder, missing, node, work};
use crate::sh::{cmd, run};

pub(super) fn judge() -> Result<Verdict> {
    if let Some(left_out) = missing("npm", "npm") {
        return Ok(left_out);
    }
    let file = state_file();
    if !file.exists() {
        return Ok(Verdict::LeftOut(
            "the judge `older` has left no policies".to_owned(),
        ));
    }
    let state: Value =
        serde_json::from_slice(&std::fs::read(&file)?).context("read the applied state")?;
    let mut found = Found::default();
    found.module(&state["values"]["root_module"])?;
    let policies = work().join("policies.json");
    std::fs::write(&policies, found.into_json().to_string())?;
    let place = node()?;
    run(cmd("node", &["judge.mjs"])
        .arg(&policies)
        .arg(folder().join("judges/iam.json"))
        .current_dir(place))?;
    Ok(Verdict::Clean)
}

/// Policies by role, and those of resources by ARN; ARNs that nobody can know beforehand by address.
#[derive(Default)]
struct Found {
    roles: Map<String, Value>,
    resources: Map<String, Value>,
    names: Map<String, Value>,
}

impl Found {
    fn module(&mut self, module: &Value) -> Result<()> {
        for resource in module["resources"].as_array().into_iter().flatten() {
            self.resource(resource)?;
        }
        for child in module["child_modules"].as_array().into_iter().flatten() {
            self.module(child)?;
        }
        Ok(())
    }

    fn resource(&mut self, resource: &Value) -> Result<()> {
        let values = &resource["values"];
        let text = |name: &str| values[name].as_str().unwrap_or_default().to_owned();
        let policy = |name: &str| -> Result<Value> {
            serde_json::from_str(&text(name))
                .with_context(|| format!("the policy of {}", resource["address"]))
        };
        match resource["type"].as_str().unwrap_or_default() {
            "aws_iam_role" => {
                let role = self.roles.entry(text("name")).or_insert_with(|| json!({}));
                role["arn"] = json!(text("arn"));
                role["trust"] = policy("assume_role_policy")?;
            }
            "aws_iam_role_policy" => {
                let role = self.roles.entry(text("role")).or_insert_with(|| json!({}));
                role["policy"] = policy("policy")?;
            }
            "aws_kms_key" => {
                self.resources.insert(text("arn"), policy("policy")?);
                self.names.insert("key".to_owned(), json!(text("arn")));
            }
            "aws_dynamodb_table" => {
                self.names.insert("table".to_owned(), json!(text("arn")));
                self.names
                    .insert("stream".to_owned(), json!(text("stream_arn")));
            }
            "aws_s3_bucket" => {
                self.names.insert("bucket".to_owned(), json!(text("arn")));
            }
            _ => {}
        }
        Ok(())
    }

    fn into_json(self) -> Value {
        json!({ "roles": self.roles, "resources": self.resources, "names": self.names })
    }
}
