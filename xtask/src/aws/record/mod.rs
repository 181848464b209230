//! What each component asks of AWS, seen at its own door.
//!
//! A door is an address for one component alone: so it is known who asks, whatever credentials it has. A link that a
//! function signed leads to the function's door, since it carries the function's rights. Invariant: a request that
//! [`name`] cannot put into words fails the run; no call goes unseen that a door saw.

mod file;
mod name;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::relay::{Relay, Request};
pub(crate) use file::{accept, committed, compare, last, save};
use name::Right;

/// Environment variables of the SDK that lead to a door, one for each service that components use. The one for all
/// services is the emulator's own to set.
const SERVICES: [&str; 6] = ["DYNAMODB", "KMS", "S3", "SQS", "SSM", "STS"];

/// A right that a component used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Call {
    component: String,
    right: Right,
}

/// What the doors have seen so far.
#[derive(Default)]
struct Seen {
    calls: BTreeSet<Call>,
    /// Requests that nobody can name, with the reason.
    nameless: BTreeSet<String>,
}

/// Opens doors, and keeps what they see.
pub(super) struct Recorder {
    /// Of the emulator.
    port: u16,
    places: Arc<Places>,
    seen: Arc<Mutex<Seen>>,
}

impl Recorder {
    pub(super) fn new(port: u16, places: Places) -> Self {
        Self {
            port,
            places: Arc::new(places),
            seen: Arc::default(),
        }
    }

    /// Environment variables for `component`, with which it finds AWS at a door of its own.
    pub(super) fn door(&self, component: &str) -> Result<Vec<(String, String)>> {
        let (component, places) = (component.to_owned(), self.places.clone());
        let seen = self.seen.clone();
        let watch = move |request: &Request, status| {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            match name::rights(request, status, &places) {
                Ok(rights) => seen.calls.extend(rights.into_iter().map(|right| Call {
                    component: component.clone(),
                    right,
                })),
                Err(error) => {
                    let line = format!(
                        "{component}: {} {}: {error:#}",
                        request.method, request.target
                    );
                    seen.nameless.insert(line);
                }
            }
        };
        let relay = Relay {
            port: self.port,
            host: None,
            watch: Some(Arc::new(watch)),
        };
        let address = relay.open()?;
        let variables =
            SERVICES.map(|service| (format!("AWS_ENDPOINT_URL_{service}"), address.clone()));
        Ok(variables.into())
    }

    /// All that was seen.
    pub(super) fn calls(&self) -> Result<BTreeSet<Call>> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let nameless: Vec<&str> = seen.nameless.iter().map(String::as_str).collect();
        ensure!(
            nameless.is_empty(),
            "xtask/src/aws/record/name.rs has no words for these requests:\n{}",
            nameless.join("\n")
        );
        ensure!(!seen.calls.is_empty(), "no component came to its door");
        Ok(seen.calls.clone())
    }
}

/// Names of this installation, for which a record has short ones: those of `denied.json`.
#[derive(Debug)]
pub(super) struct Places {
    prefix: String,
    table: String,
    bucket: String,
    /// Names of keys by ARN.
    keys: BTreeMap<String, String>,
}

impl Places {
    /// `installation`: the output of this name.
    pub(super) fn read(installation: &Value) -> Result<Self> {
        let text = |name: &str| {
            let text = installation[name].as_str().map(str::to_owned);
            text.with_context(|| format!("the installation has no {name}"))
        };
        let keys = installation["key_arns"].as_object().context("no keys")?;
        let keys = keys
            .iter()
            .filter_map(|(name, arn)| Some((arn.as_str()?.to_owned(), name.clone())));
        Ok(Self {
            prefix: text("queue_prefix")?,
            table: text("table")?,
            bucket: text("bucket")?,
            keys: keys.collect(),
        })
    }

    fn own<'a>(&self, name: &'a str) -> &'a str {
        let rest = name.strip_prefix(&self.prefix);
        rest.and_then(|rest| rest.strip_prefix('-')).unwrap_or(name)
    }

    fn table(&self, name: &str) -> String {
        known(name, &self.table, "{table}")
    }

    fn bucket(&self, name: &str) -> String {
        known(name, &self.bucket, "{bucket}")
    }

    fn queue(&self, name: &str) -> String {
        format!("{{queue:{}}}", self.own(name))
    }

    fn role(&self, arn: &str) -> String {
        let name = arn.rsplit('/').next().unwrap_or(arn);
        format!("{{role:{}}}", self.own(name))
    }

    /// `id`: as KMS takes it: an ARN, the end of one, or an alias.
    fn key(&self, id: &str) -> String {
        let is_it = |arn: &str, name: &str| {
            let alias = id.rsplit("alias/").next().filter(|_| id.contains("alias/"));
            arn == id
                || arn.rsplit('/').next() == Some(id)
                || alias.is_some_and(|alias| self.own(alias) == name)
        };
        let found = self.keys.iter().find(|(arn, name)| is_it(arn, name));
        found.map_or_else(|| id.to_owned(), |(_, name)| format!("{{key:{name}}}"))
    }
}

/// What belongs to another installation keeps its name, and the judge does not know it.
fn known(name: &str, own: &str, short: &str) -> String {
    if name == own {
        short.to_owned()
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::SERVICES;

    #[test]
    fn each_service_that_we_use_has_a_door() {
        let manifest = std::fs::read_to_string(crate::sh::top().join("Cargo.toml")).unwrap();
        let used = manifest
            .lines()
            .filter_map(|line| line.strip_prefix("aws-sdk-"));
        let used = used.map(|line| line.split(' ').next().unwrap_or_default().to_uppercase());
        let missing: Vec<String> = used
            .filter(|name| !SERVICES.contains(&name.as_str()))
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
