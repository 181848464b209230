//! `flavors/<name>.yaml`: an overlay on platforms, chosen by a build request.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::build::BuildOptions;
use crate::ids::{PlatformName, RootPackage};
use crate::macros::{MacroName, MacroValue};
use crate::platform::{Archive, PackageRepo};

/// What a flavor adds to the platforms it applies to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Flavor {
    /// The platforms it may be used with. Left out: every platform whose format fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platforms: Option<Vec<PlatformName>>,
    /// More packages in the minimal root.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buildroot: Vec<RootPackage>,
    /// More RPM repositories.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repos: Vec<PackageRepo>,
    /// More Debian archives.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub archives: Vec<Archive>,
    /// RPM macros, in the place of the platform's of the same name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub macros: BTreeMap<MacroName, MacroValue>,
    /// Build options for every package of the request.
    #[serde(default, skip_serializing_if = "BuildOptions::is_empty")]
    pub options: BuildOptions,
}
