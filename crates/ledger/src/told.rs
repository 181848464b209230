//! Rows about what is said at the forge. All may be lost.

use std::collections::BTreeMap;

use pipeline_spec::{RepositoryName, RequestPath};
use serde::{Deserialize, Serialize};

use crate::{Millis, Problem};

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
    /// The plan that people were shown last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<ReviewedPlan>,
    /// What its plan was made of beside files. Once it is merged: nothing.
    #[serde(default, skip_serializing_if = "Leans::is_nothing")]
    pub leans: Leans,
    /// When somebody last wanted its check to be made again; 0: never.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub again: Millis,
    /// Until then one process alone writes its check; 0: nobody does. If it is over, nobody knows what was written.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub writing: Millis,
    /// Since when the branch was seen without its merge; 0: it was not.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub missed: Millis,
}

fn is_zero(millis: &Millis) -> bool {
    *millis == 0
}

/// What the plan of a release is made of beside files, as it stood then.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leans {
    /// The phase of the release itself and of each build that it names, in a word; empty: the ledger did not know it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub requests: BTreeMap<RequestPath, String>,
    /// The generation of each repository that it changes; 0: nothing was published there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub repositories: BTreeMap<RepositoryName, u64>,
}

impl Leans {
    /// Whether it is made of files alone.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// How many requests and repositories there are.
    pub fn count(&self) -> usize {
        self.requests.len() + self.repositories.len()
    }

    /// What `other` is made of, too. What both are made of stays as it stood at first.
    pub fn add(&mut self, other: &Self) {
        for (path, phase) in &other.requests {
            let known = self.requests.entry(path.clone());
            known.or_insert_with(|| phase.clone());
        }
        for (name, generation) in &other.repositories {
            let known = self.repositories.entry(name.clone());
            known.or_insert(*generation);
        }
    }
}

/// What a plan said that people looked at, as far as what runs after the merge is held against it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewedPlan {
    /// As it stands in the check.
    pub digest: String,
    /// The commit of the pull request that it is about.
    pub head: String,
    /// What it said of each request, by path.
    pub requests: BTreeMap<RequestPath, RequestPlan>,
    /// How many requests are left out, since a row has an end.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub left_out: usize,
}

fn is_nothing(n: &usize) -> bool {
    *n == 0
}

/// What a plan says of a request, whatever of it is done. Digests are 16 hex digits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestPlan {
    /// Digest of the request as it was read; empty: it is taken away, or could not be read.
    #[serde(default)]
    pub wish: String,
    /// A build: the commit of each branch or tag that its sources name, as far as they were looked up. By
    /// `ref of URL`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refs: BTreeMap<String, String>,
    /// A build: the architectures by platform.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub architectures: BTreeMap<String, Vec<String>>,
    /// A build: its source tasks, by package and platform. They differ when anything differs that goes into them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sources: BTreeMap<String, String>,
    /// A release: what it changes for clients, as `app x86_64: 1.0-1 → 2.0-1`, by repository. `None`: not known before
    /// its builds are made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packages: Option<BTreeMap<String, Vec<String>>>,
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
    /// What is to be said of its configuration; `None`: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<Configuration>,
    /// Of the checks of single architectures: digests of what was last said, by architecture.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub archs: BTreeMap<String, String>,
    /// When somebody last wanted its check to be made again; 0: never.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub again: Millis,
    /// When it was last said; 0: never.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub told: Millis,
    /// Tasks that had failed, as it was last said.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub failed: usize,
    /// The forge was asked which pull requests came with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub knows_pulls: bool,
    /// Until then one process alone writes its checks; 0: nobody does. If it is over, nobody knows what was written.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub writing: Millis,
}

/// What was planned before a commit: kept when its work is done, since it may go on, as by a retry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedRow {
    /// The commit that was planned before it, 40 hex digits; empty: none was.
    pub from: String,
    /// When it was planned.
    pub at: Millis,
    /// What is said of its configuration; `None`: nothing. Of one that cannot be planned nothing else is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<Configuration>,
}

impl PlannedRow {
    /// Its requests are planned.
    pub fn is_planned(&self) -> bool {
        matches!(self.configuration, None | Some(Configuration::Mended))
    }
}

/// Whether a commit's configuration can be planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Configuration {
    /// It cannot, and nothing of the commit is planned.
    Broken {
        /// Why.
        problems: Vec<Problem>,
    },
    /// It can, and that of the commit before could not.
    Mended,
    /// It lacked approvals, and what is on the branch by now does not.
    Settled {
        /// The commit with which all was planned.
        with: String,
    },
}

impl WatchRow {
    /// Of a commit of which nothing was said.
    pub fn new(commit: &str) -> Self {
        Self {
            commit: commit.to_owned(),
            from: String::new(),
            digest: String::new(),
            looked: 0,
            configuration: None,
            archs: BTreeMap::new(),
            again: 0,
            told: 0,
            failed: 0,
            knows_pulls: false,
            writing: 0,
        }
    }

    /// As if nothing had been said of single architectures: those that have a check keep it.
    #[must_use]
    pub fn without_archs_told(mut self) -> Self {
        self.archs.values_mut().for_each(String::clear);
        self
    }
}

#[cfg(test)]
mod tests {
    use crate::Row;

    #[test]
    fn rows_of_before_are_read_and_written_as_before() {
        for text in [
            r#"{"row":"pull","number":7,"head":"a","base":"b","digest":"c"}"#,
            r#"{"row":"pull","number":7,"head":"a","base":"b","digest":"c","requests":["builds/2026/11/app.yaml"],"merged":"d"}"#,
            r#"{"row":"watch","commit":"a","from":"b","digest":"c","looked":1}"#,
            r#"{"row":"planned","from":"b","at":1}"#,
        ] {
            let row: Row = serde_json::from_str(text).expect(text);
            assert_eq!(serde_json::to_string(&row).expect("a row"), text);
        }
    }
}
