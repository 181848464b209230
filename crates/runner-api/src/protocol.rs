//! The calls of the runner API, version 1. All bodies are JSON but for blobs and logs.
//!
//! | call | body | answer |
//! |---|---|---|
//! | `POST /runner/v1/take` | [`TakeRequest`] | [`TakeReply`], held open up to `wait_seconds` |
//! | `POST /runner/v1/heartbeat` | [`Attempt`] | [`HeartbeatReply`] |
//! | `POST /runner/v1/log?request=…&task=…&attempt=…&offset=…` | bytes | 204; 409 with the expected offset |
//! | `GET /runner/v1/blobs/<sha256>` | | bytes |
//! | `HEAD /runner/v1/blobs/<sha256>` | | 200 or 404 |
//! | `PUT /runner/v1/blobs/<sha256>` | bytes | 204; 422 when the digest differs |
//! | `POST /runner/v1/result` | [`crate::ResultManifest`] | [`ResultReply`] |
//!
//! Every call carries the header of [`crate::auth`]. 401: not enrolled or a bad signature. 4xx is
//! final, 5xx and broken connections are retried with backoff.

use std::collections::BTreeMap;

use pipeline_spec::RunnerId;
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
    /// The lease ends this long after the last heartbeat.
    pub lease_seconds: u64,
    /// Send one this often.
    pub heartbeat_seconds: u64,
}

/// Names an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Which task.
    pub task: TaskRef,
    /// Its fencing number.
    pub attempt: u32,
}

/// The answer to a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "heartbeat", rename_all = "kebab-case")]
pub enum HeartbeatReply {
    /// Go on.
    Continue,
    /// Stop; no result is wanted.
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

/// An error body: `{"error": "…"}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ErrorBody {
    /// A sentence.
    pub error: String,
}

/// Who called, after the check of [`crate::auth`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller(pub RunnerId);
