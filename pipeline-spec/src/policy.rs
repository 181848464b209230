//! `policy.yaml`: what must hold before a release. Only gates, for now.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The rules of the house.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// What stands between a build and its release.
    #[serde(default)]
    pub gates: Gates,
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
