//! `builds/<yyyy>/<mm>/<name>.yaml`: a build request.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{Architecture, FlavorName, OptionName, PackageName, PlatformName};
use crate::macros::{MacroName, MacroValue};
use crate::path::RequestPath;
use crate::platform::Format;
use crate::priority::{Priority, Weight};
use crate::source::Source;

/// What to build, for what, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BuildRequest {
    /// Why, in a sentence: people and advisories quote it.
    #[schemars(length(min = 1, max = 2000))]
    pub reason: String,
    /// The platforms to build for, each with the architectures wanted. `None` (in the file: no
    /// value after the colon): all architectures of the platform.
    pub platforms: BTreeMap<PlatformName, Option<Vec<Architecture>>>,
    /// The packages; at least one.
    #[schemars(length(min = 1, max = 2000))]
    pub packages: Vec<PackageRequest>,
    /// Overlays on the platforms.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flavors: Vec<FlavorName>,
    /// Linked builds: their results are visible in the buildroots of this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub with: Vec<RequestPath>,
    /// Whether boot loaders and kernels are to be signed for Secure Boot.
    #[serde(default)]
    pub secure_boot: bool,
    /// Before and after which others its work is done.
    #[serde(default, skip_serializing_if = "Priority::is_normal")]
    pub priority: Priority,
}

impl BuildRequest {
    /// The packages that this request builds on one of its platforms.
    pub fn packages_on<'a>(
        &'a self,
        platform: &'a PlatformName,
        format: Format,
    ) -> impl Iterator<Item = &'a PackageRequest> {
        self.packages
            .iter()
            .filter(move |package| package.is_for(platform, format))
    }
}

/// One package of a build request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PackageRequest {
    /// The source package's name. In the file it may be left out when the last part of the
    /// source's address says it.
    #[schemars(extend("x-derived" = "from the last part of the source's address"))]
    pub name: PackageName,
    /// Where the source comes from.
    pub source: Source,
    /// The platforms to build it on. `None`: every platform of the request whose format fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<Vec<PlatformName>>,
    /// Packages of this request that must be built before it, beyond what build requirements say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<PackageName>,
    /// How to build it differently.
    #[serde(default, skip_serializing_if = "BuildOptions::is_empty")]
    pub options: BuildOptions,
    /// Slots of a runner's capacity that each of its builds takes.
    #[serde(default, skip_serializing_if = "Weight::is_one")]
    pub weight: Weight,
}

impl PackageRequest {
    /// Whether it is to be built on this platform of the request.
    pub fn is_for(&self, platform: &PlatformName, format: Format) -> bool {
        self.source.fits(format) && self.on.as_ref().is_none_or(|on| on.contains(platform))
    }
}

/// How a package is built differently from its source's own defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BuildOptions {
    /// RPM conditionals to turn on: `rpmbuild --with`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub with: BTreeSet<OptionName>,
    /// RPM conditionals to turn off: `rpmbuild --without`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub without: BTreeSet<OptionName>,
    /// RPM macros to set: `rpmbuild --define`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub define: BTreeMap<MacroName, MacroValue>,
    /// Debian build profiles: `nocheck`, `stage1`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub profiles: BTreeSet<OptionName>,
}

impl BuildOptions {
    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
