//! Results: what a runner says of an attempt. One manifest per attempt, written last.

use pipeline_spec::{Architecture, RunnerId, Sha256Digest};
use serde::{Deserialize, Serialize};

use crate::{Artifact, BuildScope, TaskRef};

/// The end of one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultManifest {
    /// [`crate::VERSION`].
    pub version: u32,
    /// Which task.
    pub task: TaskRef,
    /// Which attempt: the fencing number of the lease it was made under.
    pub attempt: u32,
    /// Who says so.
    pub runner: RunnerId,
    /// How it ended.
    pub outcome: Outcome,
    /// The whole log, uploaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Artifact>,
    /// Seconds since 1970 by the runner's clock.
    pub started: i64,
    /// Seconds since 1970 by the runner's clock.
    pub finished: i64,
}

/// How an attempt ended. A package's failure and a machine's never share a variant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// Done; every artifact is in the store.
    Succeeded {
        /// What was made.
        artifacts: Vec<Artifact>,
        /// What was learnt.
        facts: Facts,
    },
    /// The package's, its source's or its test's fault: never retried by the machine.
    Failed {
        /// Why.
        failure: Failure,
        /// What is worth keeping all the same (a test report).
        artifacts: Vec<Artifact>,
    },
    /// The package does not want this architecture.
    Excluded {
        /// Which line of the package says so.
        reason: String,
    },
    /// Our fault or the network's: retried with backoff.
    Infrastructure {
        /// Reads after "failed to".
        message: String,
    },
    /// The runner stopped on request and gives the attempt back: retried at once.
    HandedBack {
        /// Why.
        reason: String,
    },
}

/// Why a package failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The class, stable for machines.
    pub kind: FailureKind,
    /// One sentence for people: what failed and what to do.
    pub message: String,
    /// The last lines of the log that show it, at most [`Failure::MAX_EXCERPT`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excerpt: Vec<String>,
}

impl Failure {
    /// Lines of log kept with a failure; status files stay readable.
    pub const MAX_EXCERPT: usize = 20;
}

/// Classes of package failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The URL, the ref or a file of the source does not exist.
    SourceMissing,
    /// A digest differs from the one written down.
    ChecksumMismatch,
    /// The source package cannot be made (spec or debian/ does not parse, a listed file is missing).
    SourcePackage,
    /// A build requirement cannot be installed.
    BuildDependencies,
    /// The build itself.
    Build,
    /// It ran longer than the limit.
    TimedOut,
    /// It wanted more memory than the limit.
    OutOfMemory,
    /// It wrote more than the limit.
    DiskFull,
    /// It printed more than the limit.
    LogLimit,
    /// A test failed.
    Test,
    /// The real client refused the staged repository.
    Smoke,
    /// The signer refused: a digest differs from the recorded one, or a key is not to be used so.
    SigningRefused,
    /// The content of a repository cannot be composed.
    Compose,
}

/// What a succeeded attempt learnt, by kind of task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "facts", rename_all = "kebab-case")]
pub enum Facts {
    /// Of a source task.
    Source(SourceFacts),
    /// Of a build task.
    Build(BuildFacts),
    /// Of a test or smoke task.
    Test(TestFacts),
    /// Of the others.
    Nothing,
}

/// What the source package says, read in the sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFacts {
    /// Source package name.
    pub name: String,
    /// RPM: `[epoch:]version-release`; Debian: the full version.
    pub version: String,
    /// Capabilities or package names that the build requires, without versions, sorted.
    pub build_requires: Vec<String>,
    /// Names and capabilities that its binary packages will provide, sorted.
    pub provides: Vec<String>,
    /// For every architecture of the platform: build there or not.
    pub architectures: Vec<ArchVerdict>,
}

/// What a source says of one architecture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchVerdict {
    /// Which.
    pub arch: Architecture,
    /// `Err` carries the line that excludes it (`ExclusiveArch: x86_64`).
    pub verdict: Result<BuildScope, String>,
}

/// What a build learnt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildFacts {
    /// Digest of the buildroot list (an [`crate::ArtifactKind::Buildroot`] artifact): same digest, same root.
    pub buildroot: Sha256Digest,
}

/// What a test found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestFacts {
    /// Each case, in the order it ran.
    pub cases: Vec<TestCase>,
}

/// One case of a TAP report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestCase {
    /// `install tree`.
    pub name: String,
    /// `None`: passed; else what was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}
