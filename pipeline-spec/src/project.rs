//! `millrace.yaml`: the project as a whole.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bytesize::ByteSize;

/// `millrace.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Project {
    /// Version of this language. There is one: 1.
    pub version: LanguageVersion,
    /// The distribution's name, as people read it: `Example Linux`.
    #[schemars(length(min = 1, max = 2000))]
    pub name: String,
    /// The branch that holds what is wanted.
    #[serde(default = "main_branch")]
    pub default_branch: crate::GitRef,
    /// The branch that holds what happened. Only the machine writes to it.
    #[serde(default = "status_branch")]
    pub status_branch: crate::GitRef,
    /// What one task may use.
    #[serde(default)]
    pub limits: Limits,
}

fn main_branch() -> crate::GitRef {
    "main".parse().expect("a valid branch name")
}

fn status_branch() -> crate::GitRef {
    "status".parse().expect("a valid branch name")
}

impl Project {
    /// A project with this name and the default of everything else.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            version: LanguageVersion::V1,
            name: name.into(),
            default_branch: main_branch(),
            status_branch: status_branch(),
            limits: Limits::default(),
        }
    }
}

/// Version of the language of the state repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LanguageVersion {
    /// Written `1`.
    V1,
}

impl Serialize for LanguageVersion {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(1)
    }
}

impl<'de> Deserialize<'de> for LanguageVersion {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            1 => Ok(Self::V1),
            other => Err(serde::de::Error::custom(format!(
                "language version {other} is unknown"
            ))),
        }
    }
}

impl JsonSchema for LanguageVersion {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "LanguageVersion".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "const": 1 })
    }
}

/// What one task may use. Beyond it the task is stopped and fails with the limit's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Memory, swap included.
    pub memory: ByteSize,
    /// Disk below the buildroot.
    pub disk: ByteSize,
    /// Processes and threads at a time.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub processes: u32,
    /// Wall clock time, in hours; 0 when `minutes` alone is written.
    #[schemars(range(min = 1, max = 720))]
    pub hours: u32,
    /// Minutes beside the hours.
    #[schemars(range(min = 1, max = 59))]
    #[serde(skip_serializing_if = "is_zero")]
    pub minutes: u32,
    /// Bytes of build log.
    pub log: ByteSize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: ByteSize::gib(8),
            disk: ByteSize::gib(40),
            processes: 4096,
            hours: 24,
            minutes: 0,
            log: ByteSize::mib(256),
        }
    }
}

impl Limits {
    /// Longest wall clock time of a task.
    pub fn wall(&self) -> std::time::Duration {
        let minutes = u64::from(self.hours) * 60 + u64::from(self.minutes);
        std::time::Duration::from_secs(minutes * 60)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(minutes: &u32) -> bool {
    *minutes == 0
}
