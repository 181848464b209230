//! `repositories/<name>.yaml`: what is released to.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::glob::Glob;
use crate::ids::{ComponentName, KeyId, PackageName, PlatformName, SuiteName};
use crate::platform::{Architectures, Format};

/// `repositories/<name>.yaml`: a package repository that clients install from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Repository {
    /// The platform whose builds it takes.
    pub platform: PlatformName,
    /// The architectures that it serves: some or all of the platform's.
    pub architectures: Architectures,
    /// The key that signs packages and metadata.
    pub key: KeyId,
    /// Which packages are placed here when a release names this repository. Empty: all that were
    /// built for its platform.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepts: Vec<Rule>,
    /// Which packages are never placed here, whatever `accepts` says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refuses: Vec<Rule>,
    /// How many versions of a package stay: 1 for deb and `all` for rpm unless written.
    pub keep: Retention,
    /// What differs between the packaging systems, under `format: rpm` or `format: deb`.
    #[serde(flatten)]
    pub layout: Layout,
}

impl Repository {
    /// The packaging system.
    pub fn format(&self) -> Format {
        match self.layout {
            Layout::Rpm { .. } => Format::Rpm,
            Layout::Deb { .. } => Format::Deb,
        }
    }

    /// Whether the rules place the binary package `package`, made from the source package
    /// `source`, here. The platform is not looked at.
    pub fn takes(&self, source: &PackageName, package: &str) -> bool {
        let hit = |rules: &[Rule]| rules.iter().any(|rule| rule.matches(source, package));
        (self.accepts.is_empty() || hit(&self.accepts)) && !hit(&self.refuses)
    }
}

/// One placement rule: both patterns must match; one that is left out matches everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Pattern over the name of the source package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Glob>,
    /// Pattern over the name of the binary package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<Glob>,
}

impl Rule {
    /// Whether the rule speaks about this package.
    pub fn matches(&self, source: &PackageName, package: &str) -> bool {
        self.source
            .as_ref()
            .is_none_or(|glob| glob.matches(source.as_str()))
            && self
                .package
                .as_ref()
                .is_none_or(|glob| glob.matches(package))
    }
}

/// How many versions of one package and architecture a repository keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retention {
    /// Every version ever released, written `all`.
    All,
    /// The newest ones, written as their number.
    Newest(NonZeroU32),
}

impl Retention {
    /// What a repository keeps when its file does not say: clients of dnf want old versions to
    /// downgrade to; apt archives carry one.
    pub fn default_for(format: Format) -> Self {
        match format {
            Format::Rpm => Self::All,
            Format::Deb => Self::Newest(NonZeroU32::MIN),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum WrittenRetention {
    Number(NonZeroU32),
    Word(All),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum All {
    All,
}

impl Serialize for Retention {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => WrittenRetention::Word(All::All),
            Self::Newest(count) => WrittenRetention::Number(*count),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Retention {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match WrittenRetention::deserialize(deserializer)? {
            WrittenRetention::Word(All::All) => Self::All,
            WrittenRetention::Number(count) => Self::Newest(count),
        })
    }
}

impl JsonSchema for Retention {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Retention".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "How many versions of a package stay: a number, or `all`.",
            "oneOf": [
                { "type": "integer", "minimum": 1, "maximum": 1000 },
                { "const": "all" },
            ],
        })
    }
}

/// Where the files lie and what the metadata says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "format", rename_all = "lowercase")]
pub enum Layout {
    /// RPM repositories: `<path>/<arch>/` with `repodata/`, and `<path>/source/`.
    Rpm {
        /// Folder below the public root, such as `almalinux/10/BaseOS`. No other repository is
        /// there, inside it or above it.
        path: RepoPath,
    },
    /// A Debian archive of one suite: `<path>/dists/<suite>` and `<path>/pool`.
    Deb {
        /// Folder below the public root that holds `dists/` and `pool/`, such as `debian/12`. No
        /// other repository is there, inside it or above it.
        path: RepoPath,
        /// `Suite` of the Release file, and the folder in `dists/`.
        suite: SuiteName,
        /// `Codename` of the Release file. Left out: the suite.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        codename: Option<SuiteName>,
        /// Components; the first takes packages whose section names none.
        #[schemars(length(min = 1))]
        components: Vec<ComponentName>,
        /// `Origin` of the Release file. Left out: the project's name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        origin: Option<String>,
        /// `Label` of the Release file. Left out: the project's name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        label: Option<String>,
        /// `Description` of the Release file.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
    },
}

impl Layout {
    /// Folder below the public root.
    pub fn path(&self) -> &RepoPath {
        match self {
            Self::Rpm { path } | Self::Deb { path, .. } => path,
        }
    }
}

/// A folder below the public root of published repositories: relative, plain characters, no `..`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepoPath(String);

impl RepoPath {
    /// Whether one of the two folders is the other or lies in it.
    pub fn overlaps(&self, other: &Self) -> bool {
        let mut parts = self.0.split('/').zip(other.0.split('/'));
        parts.all(|(a, b)| a == b)
    }
}

impl std::str::FromStr for RepoPath {
    type Err = crate::IdError;

    fn from_str(text: &str) -> Result<Self, crate::IdError> {
        let error = |reason: &str| {
            let help = "write a folder below the public root, like `almalinux/10/BaseOS`";
            Err(crate::IdError::new("a repository path", text, reason, help))
        };
        if text.len() > crate::limits::MAX_PATH_BYTES {
            return error("it is too long");
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '+');
        for part in text.split('/') {
            if part.is_empty() {
                return error("it begins or ends with `/`, or has an empty part");
            }
            if part.starts_with('.') || !part.chars().all(plain) {
                return error("a part begins with `.` or has more than letters, digits, `-._+`");
            }
        }
        Ok(Self(text.to_owned()))
    }
}

crate::ids::string_type!(
    RepoPath,
    "^[A-Za-z0-9_+-][A-Za-z0-9._+-]*(/[A-Za-z0-9_+-][A-Za-z0-9._+-]*)*$",
    crate::limits::MAX_PATH_BYTES,
    "A folder below the public root of the published repositories."
);
