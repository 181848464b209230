//! Names of objects: SHA-1, 20 bytes, written as 40 lower-case hex digits.

use std::fmt;
use std::str::FromStr;

/// An object's name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(pub(crate) gix::ObjectId);

/// A commit's name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitId(pub(crate) gix::ObjectId);

/// A text that is not 40 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read an object name: {found:?} is not 40 hex digits")]
pub struct ParseIdError {
    found: String,
}

fn parse(text: &str) -> Result<gix::ObjectId, ParseIdError> {
    let not_an_id = || ParseIdError {
        found: text.chars().take(80).collect(),
    };
    if text.len() != 40 {
        return Err(not_an_id());
    }
    gix::ObjectId::from_hex(text.as_bytes()).map_err(|_| not_an_id())
}

macro_rules! id {
    ($name:ident) => {
        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                parse(text).map(Self)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}
id!(ObjectId);
id!(CommitId);

impl From<CommitId> for ObjectId {
    fn from(commit: CommitId) -> Self {
        Self(commit.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: bool) {
        let parsed = text.parse::<CommitId>();
        assert_eq!(parsed.is_ok(), expect, "{text:?}");
        if let Ok(id) = parsed {
            assert_eq!(id.to_string(), text.to_lowercase());
        }
    }

    #[test]
    fn forty_hex_digits() {
        check("0123456789abcdef0123456789abcdef01234567", true);
        check("0123456789ABCDEF0123456789abcdef01234567", true);
        check("0123456789abcdef0123456789abcdef0123456", false);
        check("0123456789abcdef0123456789abcdef012345678", false);
        check("z123456789abcdef0123456789abcdef01234567", false);
        check("ééééééééééééééééééé1", false);
        check("", false);
    }
}
