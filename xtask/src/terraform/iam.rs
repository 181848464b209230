//! The judge of policies, as the provider wrote them: what components were seen to do is allowed, what nobody may do is
//! denied, and what is granted is used, or has its reason.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Map, Value, json};

use super::Verdict;
use super::older::state_file;
use super::tools::{folder, missing, node, work};
use crate::aws::committed;
use crate::sh::{cmd, run};

/// Those of the last apply, and the calls that are committed.
pub(super) fn judge() -> Result<Verdict> {
    let file = state_file();
    if !file.exists() {
        return Ok(Verdict::LeftOut(
            "the judge `older` has left no policies".to_owned(),
        ));
    }
    let state: Value =
        serde_json::from_slice(&std::fs::read(&file)?).context("read the applied state")?;
    judge_calls(&state, &[committed()])
}

/// Asks about all calls in the files `records`, and all rights in `state`, which is Terraform's.
pub(crate) fn judge_calls(state: &Value, records: &[PathBuf]) -> Result<Verdict> {
    if let Some(left_out) = missing("npm", "npm") {
        return Ok(left_out);
    }
    let mut found = Found::default();
    found.module(&state["values"]["root_module"])?;
    let policies = work().join("policies.json");
    std::fs::create_dir_all(work())?;
    std::fs::write(&policies, found.into_json()?.to_string())?;
    let place = node()?;
    run(cmd("node", &["judge.mjs"])
        .arg(&policies)
        .arg(folder().join("judges/iam"))
        .args(records)
        .current_dir(place))?;
    Ok(Verdict::Clean)
}

/// Policies by role, and those of resources by ARN: of keys, of the bucket, of queues, and who may take a role. Tags of
/// queues; ARNs that nobody can know beforehand by name.
#[derive(Default)]
struct Found {
    roles: Map<String, Value>,
    resources: Map<String, Value>,
    tags: Map<String, Value>,
    names: Map<String, Value>,
    /// ARNs of queues by their addresses, and policies by the same: a policy does not say the ARN.
    queues: Map<String, Value>,
    of_queues: Vec<(String, Value)>,
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
                self.resources
                    .insert(text("arn"), policy("assume_role_policy")?);
            }
            "aws_iam_role_policy" => {
                let role = self.roles.entry(text("role")).or_insert_with(|| json!({}));
                role["policy"] = policy("policy")?;
            }
            "aws_kms_key" => {
                self.resources.insert(text("arn"), policy("policy")?);
                let name = values["tags"]["millrace-key"].as_str();
                let name = name.context("a key has no tag millrace-key")?;
                self.names.insert(format!("key:{name}"), json!(text("arn")));
            }
            "aws_dynamodb_table" => {
                self.names.insert("table".to_owned(), json!(text("arn")));
                self.names
                    .insert("stream".to_owned(), json!(text("stream_arn")));
            }
            "aws_sqs_queue" => {
                self.tags.insert(text("arn"), values["tags"].clone());
                self.queues.insert(text("id"), json!(text("arn")));
            }
            "aws_sqs_queue_policy" => {
                self.of_queues.push((text("queue_url"), policy("policy")?));
            }
            "aws_s3_bucket" => {
                self.names.insert("bucket".to_owned(), json!(text("arn")));
            }
            "aws_s3_bucket_policy" => {
                let arn = format!("arn:aws:s3:::{}", text("bucket"));
                self.resources.insert(arn, policy("policy")?);
            }
            _ => {}
        }
        Ok(())
    }

    fn into_json(mut self) -> Result<Value> {
        for (url, policy) in self.of_queues {
            let arn = self.queues.get(&url).and_then(Value::as_str);
            let arn = arn.with_context(|| format!("a policy of {url}, which is no queue"))?;
            self.resources.insert(arn.to_owned(), policy);
        }
        // A right on what has no policy where it should have one is not judged by half.
        let bare: Vec<&String> = (self.tags.keys())
            .filter(|arn| !self.resources.contains_key(*arn))
            .collect();
        ensure!(bare.is_empty(), "queues without a policy: {bare:?}");
        Ok(
            json!({ "roles": self.roles, "resources": self.resources, "tags": self.tags, "names": self.names }),
        )
    }
}
