//! `runners/<id>.yaml`: an enrolled runner.

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{Architecture, IdError, Label};

/// A machine that may work, and what it may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Runner {
    /// The public half of the key that its requests are signed with.
    pub key: RunnerKey,
    /// What it may do; at least one.
    #[schemars(length(min = 1))]
    pub roles: BTreeSet<Role>,
    /// The architectures that its processor runs itself, in the spelling of the platforms it
    /// serves: a machine for both kinds says `[x86_64, amd64]`. Needed to build and test.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub architectures: Vec<Architecture>,
    /// The architectures that it runs through qemu-user.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub emulated: Vec<Architecture>,
    /// Words that describe it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub labels: BTreeSet<Label>,
    /// How many tasks it works on at a time.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1024))]
    pub capacity: NonZeroU32,
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

impl Runner {
    /// Whether it can do this kind of work for this architecture, itself or emulated. Signing and
    /// composing do not depend on the architecture.
    pub fn serves(&self, role: Role, architecture: &Architecture) -> bool {
        self.roles.contains(&role)
            && (!role.needs_architecture()
                || self.architectures.contains(architecture)
                || self.emulated.contains(architecture))
    }
}

/// A kind of work.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Makes SRPMs and builds RPM packages.
    BuildRpm,
    /// Makes .dsc source packages and builds Debian packages.
    BuildDeb,
    /// Tests built packages.
    Test,
    /// Signs. The only role that can open private keys.
    Sign,
    /// Makes repositories.
    Compose,
}

impl Role {
    /// Every role, in the order of the work.
    pub const ALL: [Self; 5] = [
        Self::BuildRpm,
        Self::BuildDeb,
        Self::Test,
        Self::Sign,
        Self::Compose,
    ];

    /// Whether the work runs the programs of a platform, so that the processor matters. Signing and
    /// composing only handle files.
    pub fn needs_architecture(self) -> bool {
        matches!(self, Self::BuildRpm | Self::BuildDeb | Self::Test)
    }

    /// As it is written in files: `build-rpm`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BuildRpm => "build-rpm",
            Self::BuildDeb => "build-deb",
            Self::Test => "test",
            Self::Sign => "sign",
            Self::Compose => "compose",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An Ed25519 public key: 32 bytes, written as 44 characters of base64 (RFC 4648, padded).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunnerKey([u8; 32]);

impl RunnerKey {
    /// From the 32 bytes of the public key.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for RunnerKey {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let error = |reason: &str| {
            let help = "write the line that the runner prints when it is enrolled (44 characters)";
            IdError::new("an Ed25519 public key", text, reason, help)
        };
        let bytes = STANDARD
            .decode(text)
            .map_err(|_| error("it is not base64"))?;
        bytes
            .try_into()
            .map(Self)
            .map_err(|_| error("it has not 32 bytes"))
    }
}

impl fmt::Display for RunnerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for RunnerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunnerKey({self})")
    }
}

impl Serialize for RunnerKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RunnerKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for RunnerKey {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RunnerKey".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "An Ed25519 public key: 32 bytes in base64.",
            "pattern": "^[A-Za-z0-9+/]{43}=$",
        })
    }
}
