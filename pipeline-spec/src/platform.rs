//! `platforms/<name>.yaml`: what is built for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{Architecture, ComponentName, IdError, RepoId, RootPackage, SuiteName};
use crate::macros::{MacroName, MacroValue};
use crate::path::KeyFilePath;
use crate::url::RepoUrl;

/// The packaging system.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// RPM: spec files, SRPMs, dnf.
    Rpm,
    /// Debian: `debian/`, .dsc, apt.
    Deb,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rpm => "rpm",
            Self::Deb => "deb",
        })
    }
}

/// How a buildroot is made.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// `dnf --installroot` (default for rpm).
    Dnf,
    /// `mock`, on runners that have it.
    Mock,
    /// `mmdebstrap` (default for deb).
    Mmdebstrap,
}

impl Backend {
    /// The backend that a platform has when its file names none.
    pub fn default_for(format: Format) -> Self {
        match format {
            Format::Rpm => Self::Dnf,
            Format::Deb => Self::Mmdebstrap,
        }
    }

    /// The packaging system whose roots it makes.
    pub fn format(self) -> Format {
        match self {
            Self::Dnf | Self::Mock => Format::Rpm,
            Self::Mmdebstrap => Format::Deb,
        }
    }
}

/// The architectures of a platform: at least one, no duplicates, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<Architecture>", into = "Vec<Architecture>")]
pub struct Architectures(Vec<Architecture>);

impl Architectures {
    /// The first architecture. It also makes the source package and builds what is `noarch` (RPM)
    /// or `Architecture: all` (Debian).
    pub fn primary(&self) -> &Architecture {
        self.0.first().expect("checked when made: at least one")
    }

    /// All of them, the primary one first.
    pub fn iter(&self) -> std::slice::Iter<'_, Architecture> {
        self.0.iter()
    }

    /// Whether `architecture` is one of them.
    pub fn contains(&self, architecture: &Architecture) -> bool {
        self.0.contains(architecture)
    }

    /// All of them, as a slice that is never empty.
    pub fn as_slice(&self) -> &[Architecture] {
        &self.0
    }
}

impl TryFrom<Vec<Architecture>> for Architectures {
    type Error = IdError;

    fn try_from(list: Vec<Architecture>) -> Result<Self, IdError> {
        let error = |text: &str, reason: &str| {
            let help = "list each architecture once, the one that builds `noarch` or `all` first";
            Err(IdError::new("a list of architectures", text, reason, help))
        };
        if list.is_empty() {
            return error("[]", "it is empty");
        }
        for (i, architecture) in list.iter().enumerate() {
            if list[..i].contains(architecture) {
                return error(architecture.as_str(), "it is there twice");
            }
        }
        Ok(Self(list))
    }
}

impl From<Architectures> for Vec<Architecture> {
    fn from(list: Architectures) -> Self {
        list.0
    }
}

impl<'a> IntoIterator for &'a Architectures {
    type Item = &'a Architecture;
    type IntoIter = std::slice::Iter<'a, Architecture>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl JsonSchema for Architectures {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Architectures".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "array",
            "description": "At least one architecture. The first also makes the source package and the packages for all architectures.",
            "items": generator.subschema_for::<Architecture>(),
            "minItems": 1,
            "uniqueItems": true,
        })
    }
}

/// `platforms/<name>.yaml`: what is built for, and where its buildroot comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Platform {
    /// The architectures to build for; the first also builds noarch/all and the source package.
    pub architectures: Architectures,
    /// How the buildroot is made.
    pub backend: Backend,
    /// RPM: packages installed in a transaction of their own before the others, such as the one that
    /// makes the links of the file system. Most distributions need none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first: Vec<RootPackage>,
    /// The packages of the minimal root, before build requirements are added. Backends that know
    /// their own minimal root (`mock`, `mmdebstrap`) need none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buildroot: Vec<RootPackage>,
    /// What differs between the packaging systems, under `format: rpm` or `format: deb`.
    #[serde(flatten)]
    pub contents: Contents,
}

impl Platform {
    /// The packaging system.
    pub fn format(&self) -> Format {
        match self.contents {
            Contents::Rpm { .. } => Format::Rpm,
            Contents::Deb { .. } => Format::Deb,
        }
    }

    /// The public key files that must be in the state repository for this platform to be built,
    /// each once.
    pub fn key_files(&self) -> impl Iterator<Item = &KeyFilePath> {
        let (repos, archives) = match &self.contents {
            Contents::Rpm { repos, .. } => (&repos[..], &[][..]),
            Contents::Deb { archives } => (&[][..], &archives[..]),
        };
        let from_repos = repos.iter().flat_map(|repo| &repo.keys);
        let from_archives = archives.iter().filter_map(Archive::key_file);
        let all: BTreeSet<&KeyFilePath> = from_repos.chain(from_archives).collect();
        all.into_iter()
    }
}

/// The part of a platform that its packaging system decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "format", rename_all = "lowercase")]
pub enum Contents {
    /// An RPM distribution.
    Rpm {
        /// The repositories that the buildroot and build requirements are installed from.
        #[schemars(length(min = 1))]
        repos: Vec<PackageRepo>,
        /// RPM macros set for every build: `dist: .el10`.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        macros: BTreeMap<MacroName, MacroValue>,
    },
    /// A Debian distribution.
    Deb {
        /// The archives that the buildroot and build dependencies are installed from.
        #[schemars(length(min = 1))]
        archives: Vec<Archive>,
    },
}

/// One RPM repository that a buildroot is made from. Signatures of its packages are always checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PackageRepo {
    /// Its id for dnf, unique in the platform.
    pub name: RepoId,
    /// The folder that holds `repodata/`; `$arch` stands for the architecture.
    pub url: RepoUrl,
    /// The public keys that its packages may be signed with; at least one.
    #[schemars(length(min = 1))]
    pub keys: Vec<KeyFilePath>,
}

/// One Debian archive that a buildroot is made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Archive {
    /// The folder that holds `dists/`, or `host`: the mirror and keys that the runner's own apt is
    /// configured with.
    pub url: ArchiveLocation,
    /// Suites or codenames: `[bookworm, bookworm-updates]`; at least one.
    #[schemars(length(min = 1))]
    pub suites: Vec<SuiteName>,
    /// Components: `[main]`; at least one.
    #[schemars(length(min = 1))]
    pub components: Vec<ComponentName>,
    /// The keys that may sign the archive. Needed unless `url` is `host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyring: Option<Keyring>,
}

impl Archive {
    /// The key file in the state repository that signs it, if its keyring is one.
    pub fn key_file(&self) -> Option<&KeyFilePath> {
        match &self.keyring {
            Some(Keyring::File(path)) => Some(path),
            Some(Keyring::Host(_)) | None => None,
        }
    }
}

/// Where a Debian archive is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ArchiveLocation {
    /// Written `host`: the mirror and keys that the runner's own apt is configured with.
    Host,
    /// A fixed address.
    Url(RepoUrl),
}

impl FromStr for ArchiveLocation {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if text == "host" {
            Ok(Self::Host)
        } else {
            text.parse().map(Self::Url)
        }
    }
}

impl fmt::Display for ArchiveLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("host"),
            Self::Url(url) => url.fmt(f),
        }
    }
}

/// Who may sign a Debian archive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Keyring {
    /// A key file in the state repository.
    File(KeyFilePath),
    /// A keyring that a package installed on the runner: an absolute path under
    /// `/usr/share/keyrings/` or `/etc/apt/keyrings/`.
    Host(String),
}

const KEYRING_FOLDERS: [&str; 2] = ["/usr/share/keyrings/", "/etc/apt/keyrings/"];

impl FromStr for Keyring {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if !text.starts_with('/') {
            return text.parse().map(Self::File);
        }
        let name = KEYRING_FOLDERS
            .iter()
            .find_map(|folder| text.strip_prefix(folder));
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '+');
        match name {
            Some(name) if !name.is_empty() && name.len() < 128 && name.chars().all(plain) => {
                Ok(Self::Host(text.to_owned()))
            }
            _ => Err(IdError::new(
                "a keyring",
                text,
                "it is not a file in /usr/share/keyrings or /etc/apt/keyrings",
                "write `/usr/share/keyrings/debian-archive-keyring.gpg`, or put the key under \
                 `keys/` and write its path",
            )),
        }
    }
}

impl fmt::Display for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.fmt(f),
            Self::Host(path) => f.write_str(path),
        }
    }
}

/// serde and schema of the two enums above, which are written as plain strings.
macro_rules! as_text {
    ($type:ident, $description:literal) => {
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "description": $description })
            }
        }
    };
}

as_text!(
    ArchiveLocation,
    "Address of a Debian archive, or `host`: what the runner's own apt is configured with."
);
as_text!(
    Keyring,
    "Path of a key file under keys/, or of a keyring in /usr/share/keyrings or /etc/apt/keyrings on the runner."
);
