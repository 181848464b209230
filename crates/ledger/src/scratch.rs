//! What is known of the scratch builds of a pull request. A ledger that is lost forgets them.

use pipeline_spec::RequestPath;
use serde::{Deserialize, Serialize};

use crate::{Millis, Problem};

/// Scratch builds of one commit of a pull request. It goes, with all that hangs on it, some days after it was asked for.
///
/// The row is there before its requests are and as long as any row of them is: who looks for all that may name a file
/// finds them by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScratchRow {
    /// The pull request.
    pub number: u64,
    /// The commit of it that is built, all its hex digits.
    pub commit: String,
    /// It is of a branch of the repository itself. Of all others only what cannot be changed any more is built.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_own: bool,
    /// The planned commit that it is laid over, whose configuration it is built with.
    pub base: String,
    /// Names what asked for it ([`crate::Asked::id`]).
    pub asked: String,
    /// Who did.
    pub login: String,
    /// When.
    pub at: Millis,
    /// What is built: scratch builds all.
    pub requests: Vec<RequestPath>,
    /// Build requests that cannot be built, each with why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<Problem>,
    /// So many more are not named, so that the row stays small.
    #[serde(default, skip_serializing_if = "is_none")]
    pub more_left_out: usize,
    /// All of its requests were written.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub begun: bool,
    /// Why nothing more of it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// The last word of it was said.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub over: bool,
    /// Of all that people read in its check, hex; empty: nothing was said yet.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub digest: String,
    /// When its work was last looked at; 0: never.
    #[serde(default)]
    pub looked: Millis,
    /// When it was last said; 0: never.
    #[serde(default)]
    pub told: Millis,
    /// Tasks that had failed, as it was last said.
    #[serde(default)]
    pub failed: usize,
    /// A process writes its check until then, at the latest; 0: none does.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub writing: Millis,
    /// When somebody last wanted its check to be made again; 0: never.
    #[serde(default)]
    pub again: Millis,
}

fn is_none(count: &usize) -> bool {
    *count == 0
}

fn is_zero(millis: &Millis) -> bool {
    *millis == 0
}
