//! What a request says of its place among others, and a package of its size. Neither changes what is built.

use std::fmt;
use std::num::NonZeroU8;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whose work goes first when there are fewer runners than tasks.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Before all others: a security fix.
    Urgent,
    /// As most work.
    #[default]
    Normal,
    /// When nothing else waits: a mass rebuild.
    Background,
}

impl Priority {
    /// As the file says it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Urgent => "urgent",
            Self::Normal => "normal",
            Self::Background => "background",
        }
    }

    /// For formats that leave the usual out.
    pub fn is_normal(&self) -> bool {
        *self == Self::Normal
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Slots of a runner's capacity that a build takes, 1 to [`Weight::MAX`].
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "u8", into = "u8")]
#[schemars(with = "u8", extend("minimum" = 1, "maximum" = 64))]
pub struct Weight(NonZeroU8);

impl Weight {
    /// What a package weighs that says nothing.
    pub const ONE: Self = Self(NonZeroU8::MIN);
    /// The heaviest.
    pub const MAX: u8 = 64;

    /// `None`: 0, or more than [`Weight::MAX`].
    pub fn new(slots: u8) -> Option<Self> {
        let slots = NonZeroU8::new(slots)?;
        (slots.get() <= Self::MAX).then_some(Self(slots))
    }

    /// How many slots.
    pub fn slots(self) -> u8 {
        self.0.get()
    }

    /// For formats that leave the usual out.
    pub fn is_one(&self) -> bool {
        *self == Self::ONE
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self::ONE
    }
}

impl TryFrom<u8> for Weight {
    type Error = String;

    fn try_from(slots: u8) -> Result<Self, String> {
        Self::new(slots).ok_or_else(|| format!("{slots} is no weight from 1 to {}", Self::MAX))
    }
}

impl From<Weight> for u8 {
    fn from(weight: Weight) -> Self {
        weight.slots()
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
