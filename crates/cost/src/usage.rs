//! Requests and units, added up.

use std::collections::BTreeMap;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

/// Who makes requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Actor {
    /// Looks at the state repository, moves requests on.
    Plan,
    /// Hands outbox rows to queues.
    Dispatch,
    /// Runners' calls.
    RunnerApi,
    /// Takes results in that runners put into the store.
    Collect,
    /// Writes the status branch.
    Report,
    /// The timer's.
    Sweep,
    /// What AWS does on our bill to start functions from queues: it receives the messages and deletes them.
    Mappings,
    /// Runners with their queues, and with the store. Not the control plane.
    Runners,
}

impl Actor {
    /// Whether its requests are those of the control plane.
    pub fn is_control_plane(self) -> bool {
        self != Self::Runners
    }

    /// Memory of the function in MiB, as `terraform/modules/control-plane/main.tf` has it; 0: no function.
    pub fn memory_mib(self) -> u32 {
        match self {
            Self::Dispatch => 128,
            Self::Plan | Self::RunnerApi | Self::Collect | Self::Report | Self::Sweep => 256,
            Self::Mappings | Self::Runners => 0,
        }
    }
}

/// Whose request it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// The ledger.
    DynamoDb,
    /// The queues.
    Sqs,
    /// The store, with requests of the dear kind: put, copy, list.
    S3Write,
    /// The store, with the cheap kind: get, head.
    S3Read,
    /// The store, with what is free: delete.
    S3Free,
}

/// A request, by its name in the service's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs, reason = "they are the services' own names")]
pub enum Action {
    GetItem,
    Query,
    TransactWriteItems,
    SendMessage,
    SendMessageBatch,
    ReceiveMessage,
    DeleteMessage,
    DeleteMessageBatch,
    GetQueueAttributes,
    HeadObject,
    GetObject,
    PutObject,
    CopyObject,
    UploadPart,
    CreateMultipartUpload,
    CompleteMultipartUpload,
    ListObjectsV2,
    ListObjectVersions,
    DeleteObject,
}

impl Action {
    /// Who is asked, and for what kind of price.
    pub fn service(self) -> Service {
        match self {
            Self::GetItem | Self::Query | Self::TransactWriteItems => Service::DynamoDb,
            Self::SendMessage
            | Self::SendMessageBatch
            | Self::ReceiveMessage
            | Self::DeleteMessage
            | Self::DeleteMessageBatch
            | Self::GetQueueAttributes => Service::Sqs,
            Self::HeadObject | Self::GetObject => Service::S3Read,
            Self::PutObject
            | Self::CopyObject
            | Self::UploadPart
            | Self::CreateMultipartUpload
            | Self::CompleteMultipartUpload
            | Self::ListObjectsV2
            | Self::ListObjectVersions => Service::S3Write,
            Self::DeleteObject => Service::S3Free,
        }
    }
}

/// How often a function was started, and what it asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Invocations.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub invocations: u64,
    /// Of these, those that came through the HTTP API.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub api_calls: u64,
    /// Seconds that it waited for a message.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub waited_seconds: u64,
    /// Requests to other services.
    #[serde(default)]
    pub requests: BTreeMap<Action, u64>,
}

impl Started {
    /// All of its requests.
    pub fn total(&self) -> u64 {
        self.requests.values().sum()
    }
}

/// What was asked of AWS.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Read request units of DynamoDB: 4 KiB, consistently.
    #[serde(default)]
    pub read_units: u64,
    /// Write request units of DynamoDB: 1 KiB, two of them in a transaction.
    #[serde(default)]
    pub write_units: u64,
    /// By who asked.
    #[serde(default)]
    pub by: BTreeMap<Actor, Started>,
}

impl Usage {
    /// Requests to DynamoDB, SQS and S3 by the control plane. Starts of functions and calls of the HTTP API are
    /// counted beside it.
    pub fn control_plane_requests(&self) -> u64 {
        let own = self.by.iter().filter(|(actor, _)| actor.is_control_plane());
        own.map(|(_, started)| started.total()).sum()
    }

    /// Requests of one kind, whoever made them.
    pub fn requests_to(&self, service: Service) -> u64 {
        let all = self.by.values().flat_map(|started| &started.requests);
        all.filter(|(action, _)| action.service() == service)
            .map(|(_, count)| count)
            .sum()
    }

    /// Starts of functions.
    pub fn invocations(&self) -> u64 {
        self.by.values().map(|started| started.invocations).sum()
    }

    /// Calls of the HTTP API.
    pub fn api_calls(&self) -> u64 {
        self.by.values().map(|started| started.api_calls).sum()
    }

    /// Adds one request.
    pub fn request(&mut self, actor: Actor, action: Action, count: u64) {
        if count > 0 {
            let started = self.by.entry(actor).or_default();
            *started.requests.entry(action).or_default() += count;
        }
    }
}

impl AddAssign<&Self> for Usage {
    fn add_assign(&mut self, other: &Self) {
        self.read_units += other.read_units;
        self.write_units += other.write_units;
        for (actor, more) in &other.by {
            let started = self.by.entry(*actor).or_default();
            started.invocations += more.invocations;
            started.api_calls += more.api_calls;
            started.waited_seconds += more.waited_seconds;
            for (action, count) in &more.requests {
                *started.requests.entry(*action).or_default() += count;
            }
        }
    }
}

impl Add<&Self> for Usage {
    type Output = Self;

    fn add(mut self, other: &Self) -> Self {
        self += other;
        self
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}
