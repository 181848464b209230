//! Amounts of memory, disk and log.

use std::fmt;
use std::str::FromStr;

use crate::ids::IdError;

/// A number of bytes, written with a binary unit: `512MiB`, `8GiB`, `1TiB`, `64KiB`.
/// At least one byte; displays in the largest unit that loses nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];

impl ByteSize {
    /// A whole number of MiB.
    pub const fn mib(count: u32) -> Self {
        Self((count as u64) << 20)
    }

    /// A whole number of GiB.
    pub const fn gib(count: u32) -> Self {
        Self((count as u64) << 30)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let error = |reason: &str| {
            let help = "write a whole number and KiB, MiB, GiB or TiB, like `8GiB`";
            IdError::new("a size", text, reason, help)
        };
        let unit = UNITS.iter().find_map(|(unit, shift)| {
            text.strip_suffix(unit)
                .map(|number| (number.trim_end(), *shift))
        });
        let Some((number, shift)) = unit else {
            return Err(error("it has no unit"));
        };
        if !number.bytes().all(|b| b.is_ascii_digit()) || number.starts_with('0') {
            return Err(error("it does not begin with a whole number"));
        }
        let number: u64 = number
            .parse()
            .map_err(|_| error("it does not begin with a whole number"))?;
        number
            .checked_mul(1 << shift)
            .filter(|bytes| i64::try_from(*bytes).is_ok())
            .map(Self)
            .ok_or_else(|| error("it is too large"))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, shift) in UNITS {
            if self.0.is_multiple_of(1 << shift) {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        // Sizes are only made of whole KiB, see the constructors.
        write!(f, "{}KiB", self.0 >> 10)
    }
}

impl serde::Serialize for ByteSize {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for ByteSize {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for ByteSize {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A size with a binary unit: 512MiB, 8GiB.",
            "pattern": "^[1-9][0-9]* ?(KiB|MiB|GiB|TiB)$",
        })
    }
}
