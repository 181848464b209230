//! Planning: from a request, the configuration and what the ledger knows to the tasks that should exist.
//!
//! Callers: `control` (for real, and dry for `millrace plan`). The planner is level-triggered: it is
//! called after every event and answers with the *whole* set of tasks that should exist now, so that a
//! lost or doubled event changes nothing. What is not there yet is answered with a reason.
//!
//! Invariants: pure and sync; the same input gives the same plan; every planned task carries its
//! why, everything not planned a note or a problem.

mod build;
mod order;
mod platform;
mod release;
mod view;

pub use build::plan_build;
pub use order::{Order, order};
pub use platform::effective_platform;
pub use release::{
    Difference, Document, HoldsTurn, PackageDifference, ReleasePlan, ReleasePreview, ReleaseView,
    RepositoryPreview, plan_release, preview_release,
};
pub use view::{Plan, Planned, Progress, RepositoryView, RequestView, Resolution, is_built};
