//! `releases/<yyyy>/<mm>/<name>.yaml`: a release request.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::glob::Glob;
use crate::ids::RepositoryName;
use crate::path::{ErratumPath, RequestPath};
use crate::priority::Priority;

/// What to publish, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseRequest {
    /// The build requests whose results are published; at least one.
    #[schemars(length(min = 1))]
    pub from: Vec<RequestPath>,
    /// The repositories; at least one. Their own rules decide which package goes where.
    #[schemars(length(min = 1))]
    pub to: Vec<RepositoryName>,
    /// Exceptions from those rules. The first that matches a package decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub place: Vec<Placement>,
    /// Advisories that go with it. Their shape is checked; they are not published yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errata: Vec<ErratumPath>,
    /// Before and after which others its work is done.
    #[serde(default, skip_serializing_if = "Priority::is_normal")]
    pub priority: Priority,
}

/// An exception from the repositories' own rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Placement {
    /// Pattern over the name of the binary package.
    pub package: Glob,
    /// The repository that takes it, though its rules may not. It need not be in `to`.
    pub into: RepositoryName,
}
