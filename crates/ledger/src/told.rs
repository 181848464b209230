//! Rows about what is said at the forge. All may be lost.

use pipeline_spec::RequestPath;
use serde::{Deserialize, Serialize};

use crate::Millis;

/// What was last said of a pull request. It can be lost: then it is said again, and the forge finds it to be the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRow {
    /// Unique in the state repository.
    pub number: u64,
    /// Its newest commit, 40 hex digits.
    pub head: String,
    /// The planned commit that it was laid over; empty: nothing was planned yet.
    pub base: String,
    /// Of all that people read in its check, hex: it is written anew when this changes; empty: it is looked at again in
    /// any case. Once it is merged, of the check of its results.
    pub digest: String,
    /// Requests that it brings, changes or takes away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<RequestPath>,
    /// It was merged, and this is the planned commit that it came with: people watch its page until all is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged: Option<String>,
}

/// What was last said of a planned commit whose requests people wait for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchRow {
    /// Which, 40 hex digits.
    pub commit: String,
    /// The commit that was planned before it; empty: its first parent.
    pub from: String,
    /// Of all that people read in its check, hex; empty: nothing was said yet.
    pub digest: String,
    /// When its work was last looked at; 0: never.
    pub looked: Millis,
    /// When it was last said; 0: never.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub told: Millis,
    /// Tasks that had failed, as it was last said.
    #[serde(default, skip_serializing_if = "is_none_failed")]
    pub failed: usize,
    /// The forge was asked which pull requests came with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub knows_pulls: bool,
}

fn is_zero(time: &Millis) -> bool {
    *time == 0
}

fn is_none_failed(failed: &usize) -> bool {
    *failed == 0
}

impl WatchRow {
    /// Of a commit that is watched again, or of which nobody knows any more what was planned before it.
    pub fn again(commit: &str) -> Self {
        Self {
            commit: commit.to_owned(),
            from: String::new(),
            digest: String::new(),
            looked: 0,
            told: 0,
            failed: 0,
            knows_pulls: false,
        }
    }
}
