//! `policy.yaml`: what must hold before a release.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{PersonName, RepositoryName};

/// The rules of the house.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// What stands between a build and its release.
    #[serde(default)]
    pub gates: Gates,
    /// What releases to these repositories need: every rule that names one of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<Approvals>,
}

/// So many of these people have signed what a release asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Approvals {
    /// Where it holds; a change of the configuration needs it too.
    #[schemars(length(min = 1))]
    pub repositories: Vec<RepositoryName>,
    /// How many of them, each counted once.
    pub count: NonZeroU32,
    /// Whose signatures count: names of files in keys/people/, without .asc.
    #[schemars(length(min = 1))]
    pub by: Vec<PersonName>,
}

/// The gates, each with its strictness.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gates {
    /// Tests of built packages.
    #[serde(default)]
    pub tests: Gate,
}

/// How strict a gate is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Gate {
    /// A failure stops signing and release: the default.
    #[default]
    Required,
    /// A failure is reported and nothing waits for it.
    Advisory,
}
