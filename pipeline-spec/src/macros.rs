//! RPM macros that files set.

use crate::ids::{IdError, NameRule, name_type};
use crate::limits::{MAX_MACRO_VALUE_BYTES, MAX_NAME_BYTES};

name_type!(
    /// The name of an RPM macro, without `%`. rpm refuses names of fewer than three characters.
    MacroName,
    MACRO_RULE,
    "^[A-Za-z_][A-Za-z0-9_]{2,}$",
    "The name of an RPM macro, without %."
);

const MACRO_RULE: NameRule = NameRule {
    what: "the name of an RPM macro",
    min_bytes: 3,
    max_bytes: MAX_NAME_BYTES,
    first: |c| c.is_ascii_alphabetic() || c == '_',
    rest: |c| c.is_ascii_alphanumeric() || c == '_',
    allowed: "it has letters, digits and `_`, and does not begin with a digit",
    help: "write the name without `%`, like `dist`",
};

/// The value of an RPM macro: one line. A bare integer in YAML is taken as its digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacroValue(String);

impl MacroValue {
    /// The text as rpm gets it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for MacroValue {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let error = |reason: &str| {
            let help = "write the value on one line; rpm reads it as the macro's body";
            Err(IdError::new(
                "the value of an RPM macro",
                text,
                reason,
                help,
            ))
        };
        if text.len() > MAX_MACRO_VALUE_BYTES {
            return error("it is too long");
        }
        if text.chars().any(crate::visible::is_hidden) {
            return error("it contains a line break or another control character");
        }
        Ok(Self(text.to_owned()))
    }
}

impl std::fmt::Display for MacroValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::fmt::Debug for MacroValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MacroValue({})", self.0)
    }
}

impl serde::Serialize for MacroValue {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for MacroValue {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(i64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(number) => Ok(Self(number.to_string())),
            Written::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

impl schemars::JsonSchema for MacroValue {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "MacroValue".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": ["string", "integer"],
            "description": "The value of an RPM macro: one line.",
        })
    }
}
