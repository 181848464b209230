//! The calls of the runner API, version 1. All bodies are JSON but for blobs and logs.
//!
//! | call | body | answer |
//! |---|---|---|
//! | `POST /runner/v1/take` | [`TakeRequest`] | [`TakeReply`], held open up to `wait_seconds` |
//! | `POST /runner/v1/lease` | [`Offer`] | [`LeaseReply`]; 403 when the runner may not do such tasks |
//! | `POST /runner/v1/cloud` | [`CloudRequest`] | [`Cloud`]; 404 where runners ask the control plane for work |
//! | `POST /runner/v1/heartbeat` | [`Heartbeat`] | [`HeartbeatReply`] |
//! | `POST /runner/v1/log?request=…&task=…&attempt=…&offset=…` | bytes | 204; 409 with the expected offset |
//! | `GET /runner/v1/blobs/<sha256>` | | bytes; 307 with an address that gives them, to be asked without the header |
//! | `HEAD /runner/v1/blobs/<sha256>` | | 200 or 404 |
//! | `POST /runner/v1/blobs/<sha256>` | [`UploadRequest`] | [`UploadReply`]; 405 from a control plane of before |
//! | `PUT /runner/v1/blobs/<sha256>` | bytes | 204; 422 when the digest differs |
//! | `POST /runner/v1/result` | [`crate::ResultManifest`] | [`ResultReply`] |
//!
//! Every call carries the header of [`crate::auth`]. 401: not enrolled or a bad signature. 4xx is
//! final, 5xx and broken connections are retried with backoff.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;

use pipeline_spec::{Priority, RunnerId, Sha256Digest, Weight};
use serde::{Deserialize, Serialize};

use crate::{Artifact, TaskId, TaskRef, TaskSpec};

/// Longest time a take is held open, in seconds.
pub const MAX_WAIT_SECONDS: u64 = 20;
/// Largest JSON body that either side reads, in bytes.
pub const MAX_JSON_BYTES: usize = 16 * 1024 * 1024;
/// Largest piece of log in one call, in bytes.
pub const MAX_LOG_CHUNK_BYTES: usize = 256 * 1024;

/// "Give me work." What the runner may do is written in the state repository, not in this body.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TakeRequest {
    /// How long to wait for work, at most [`MAX_WAIT_SECONDS`].
    pub wait_seconds: u64,
}

/// The answer to a take.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "take", rename_all = "kebab-case")]
pub enum TakeReply {
    /// A lease.
    Granted(Box<Grant>),
    /// No work in that time: ask again.
    Nothing,
}

/// What a runner has found in a queue that it reads itself: "may I have it?"
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Which task.
    pub task: TaskRef,
    /// Its fencing number.
    pub attempt: u32,
    /// Of the queue that it was in.
    pub priority: Priority,
}

/// The answer to an [`Offer`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "lease", rename_all = "kebab-case")]
pub enum LeaseReply {
    /// A lease: remove the message.
    Granted(Box<Grant>),
    /// Remove the message, and ask for the next.
    Gone,
    /// Leave the message: it is too early.
    Later,
}

/// "Where are the queues that I read myself, and where do I put results?"
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CloudRequest {
    /// Whether credentials are wanted, too: the runner has none of its own.
    pub credentials: bool,
}

/// The answer to a [`CloudRequest`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Cloud {
    /// [`crate::VERSION`].
    pub version: u32,
    /// Such as `eu-central-1`.
    pub region: String,
    /// Another place than AWS: an emulator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The bucket where results are put, each at its place ([`crate::handed`]).
    pub bucket: String,
    /// Names of queues begin with it.
    pub queue_prefix: String,
    /// Names of the queues that the runner may read, as the ledger has them: `build-rpm.x86_64`.
    pub queues: Vec<String>,
    /// If they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
}

/// Credentials that are lent. They reach the runner's own queues and its own results, and nothing else.
#[derive(Clone, Serialize, Deserialize)]
pub struct Credentials {
    /// Not a secret.
    pub id: String,
    /// The secret half.
    pub secret: String,
    /// Goes with them.
    pub session: String,
    /// They end so many seconds after the answer; ask again before.
    pub lasts_seconds: u64,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({})", self.id)
    }
}

/// A lease on one attempt at a task, and all that is needed to work it off.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Grant {
    /// [`crate::VERSION`].
    pub version: u32,
    /// Which task.
    pub task: TaskRef,
    /// The fencing number: results and heartbeats of any other attempt are refused.
    pub attempt: u32,
    /// What to do.
    pub spec: TaskSpec,
    /// Artifacts of the accepted results of `spec.inputs()`.
    pub inputs: BTreeMap<TaskId, Vec<Artifact>>,
    /// Where some of the files can be read that the task names, for a while. What has no link, or one that does
    /// not work, is asked for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<Sha256Digest, Link>,
    /// Of a release that needed approvals, for whoever signs: what shows that it has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Box<Proof>>,
    /// The lease ends this long after the last heartbeat.
    pub lease_seconds: u64,
    /// Send one this often.
    pub heartbeat_seconds: u64,
    /// Jobs that the runner may have at a time, as `runners/<id>.yaml` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<NonZeroU32>,
    /// How many of them this one takes; all of them, if it has fewer.
    #[serde(default, skip_serializing_if = "Weight::is_one")]
    pub weight: Weight,
}

/// Objects of git from which people's approvals of a request can be seen. Nothing in it is believed: each object is
/// what its hash says, and signatures are checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The commit that the approvals are in the history of, 40 hex digits.
    pub commit: String,
    /// In any order.
    pub objects: Vec<ProofObject>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofObject {
    /// git's word: `commit`, `tree` or `blob`.
    pub kind: String,
    /// Its bytes, in base64.
    pub bytes: String,
}

/// Where a file can be read, or put, without the control plane in between. Whoever has it may do that: it is as
/// secret as the file, and no log has it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Of HTTP.
    pub url: String,
    /// What a request must carry, as it stands here, and nothing else of ours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link(…)")
    }
}

/// Names an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Which task.
    pub task: TaskRef,
    /// Its fencing number.
    pub attempt: u32,
}

/// "The attempt is at work." Without a step it is what runners of before steps sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Which attempt.
    #[serde(flatten)]
    pub attempt: Attempt,
    /// What it does right now, for people who wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Step>,
}

impl From<&Attempt> for Heartbeat {
    fn from(attempt: &Attempt) -> Self {
        Self {
            attempt: attempt.clone(),
            step: None,
        }
    }
}

/// What an attempt does: one word that travels, one phrase that people read. Nothing is decided by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Nothing yet: it takes more of the runner than is free.
    Waiting,
    /// Sources or inputs are being fetched.
    Fetching,
    /// A clean root is being made, or waited for while another job makes it.
    MakingRoot,
    /// Build dependencies are being installed.
    Dependencies,
    /// The source package is being made and read.
    Source,
    /// The package's own build runs.
    Building,
    /// Packages are being installed, checked and removed.
    Testing,
    /// Indexes of a repository are being written.
    Composing,
    /// Signatures are being made.
    Signing,
    /// Results are on their way to the store.
    Uploading,
    /// A step that this reader does not know: the runner is newer.
    #[serde(other)]
    Working,
}

impl Step {
    /// As people read it after "the runner is": `making a clean root`.
    pub fn phrase(self) -> &'static str {
        match self {
            Self::Waiting => "waiting for other jobs to end",
            Self::Fetching => "fetching sources",
            Self::MakingRoot => "making a clean root",
            Self::Dependencies => "installing build dependencies",
            Self::Source => "making the source package",
            Self::Building => "building",
            Self::Testing => "testing",
            Self::Composing => "composing",
            Self::Signing => "signing",
            Self::Uploading => "uploading",
            Self::Working => "working",
        }
    }
}

/// The answer to a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "heartbeat", rename_all = "kebab-case")]
pub enum HeartbeatReply {
    /// Go on.
    Continue,
    /// Stop, and hand the attempt back at once: what it made is not wanted.
    Cancel {
        /// Why.
        reason: String,
    },
    /// The lease is another's, or over: stop, upload nothing.
    Lost,
}

/// The answer to a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum ResultReply {
    /// It stands. Also the answer to the same result sent again.
    Accepted,
    /// It is of another attempt, or the task is closed: dropped.
    Stale {
        /// Why.
        reason: String,
    },
}

/// "Where may I put this blob?" Its digest is in the path.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UploadRequest {
    /// In bytes.
    pub size: u64,
}

/// The answer to an [`UploadRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "upload", rename_all = "kebab-case")]
pub enum UploadReply {
    /// Nowhere: it is in the store, and stays there for the time being.
    Stored,
    /// `PUT` it to the same path.
    Here,
    /// `PUT` it to this address, with these headers and no others of ours. It takes nothing but this blob, and
    /// not for long.
    At {
        /// Of HTTP.
        url: String,
        /// Names and values.
        headers: Vec<(String, String)>,
    },
}

/// An error body: `{"error": "…"}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ErrorBody {
    /// A sentence.
    pub error: String,
}

/// Who called, after the check of [`crate::auth`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller(pub RunnerId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heartbeats_of_older_and_newer_runners_are_read() {
        let attempt = r#""task":{"request":"builds/2026/11/a.yaml","id":"0123456789abcdef0123456789abcdef"},"attempt":2"#;
        let check = |rest: &str, expect: Option<Step>| {
            let read: Heartbeat = serde_json::from_str(&format!("{{{attempt}{rest}}}")).unwrap();
            assert_eq!((read.attempt.attempt, read.step), (2, expect), "{rest}");
        };
        check("", None);
        check(r#","step":"making-root""#, Some(Step::MakingRoot));
        check(r#","step":"polishing""#, Some(Step::Working));
    }
}
