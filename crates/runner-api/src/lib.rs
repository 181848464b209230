//! What runners and the control plane say to each other, versioned.
//!
//! Purpose: the shapes of a task ([`TaskSpec`]), of its result ([`ResultManifest`]), of the calls
//! between them ([`protocol`]), of what is handed in through the store ([`handed`]) and of a call's proof of
//! origin ([`auth`]). The planner makes tasks of
//! these shapes, the ledger stores them, runners work them off.
//!
//! Invariants: no IO, no clock; a [`TaskId`] is a function of the task's inputs alone, so that the
//! same wish never makes two tasks; what a runner sends is a stranger's word until the control plane
//! has checked attempt, identity and digests.

pub mod artifact;
pub mod auth;
pub mod handed;
pub mod protocol;
pub mod publication;
pub mod result;
pub mod task;

pub use artifact::{Artifact, ArtifactKind, BuiltPackage, Placed, Pointer, Tree, TreeFile};
pub use handed::HandedIn;
pub use protocol::{
    Grant, Heartbeat, HeartbeatReply, LeaseReply, Link, Offer, Proof, ProofObject, ResultReply,
    Step, TakeReply,
};
pub use publication::{Publication, Published};
pub use result::{
    ArchVerdict, BuildFacts, Facts, Failure, FailureKind, Outcome, ResultManifest, SourceFacts,
    TestCase, TestFacts,
};
pub use task::{
    BuildScope, BuildTask, ComposeTask, KeyFiles, Origin, PrivateHalf, PublicKeys, Recorded,
    SignMetadataTask, SignPackagesTask, SmokeTask, SourceTask, TaskId, TaskRef, TaskSpec, TestTask,
};

/// The version of everything in this crate that is stored or sent. A reader refuses a higher one.
pub const VERSION: u32 = 1;
