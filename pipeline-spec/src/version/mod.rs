//! Versions of packages, ordered as `rpm` and `dpkg` order them. Tests hold both orders against
//! the real tools.

mod deb;
mod rpm;

pub use deb::DebVersion;
pub use rpm::{Evr, Nevra, rpmvercmp};

/// Why a text is not a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read `{}` as {what}: {reason}", crate::visible::shorten(text))]
pub struct Error {
    what: &'static str,
    text: String,
    reason: &'static str,
}

impl Error {
    fn new(what: &'static str, text: &str, reason: &'static str) -> Self {
        Self {
            what,
            text: crate::visible::shorten(text),
            reason,
        }
    }
}

/// Display, serde as text and equality by order, for types that implement `FromStr` and `Ord`.
macro_rules! version_type {
    ($type:ident) => {
        impl PartialEq for $type {
            fn eq(&self, other: &Self) -> bool {
                self.cmp(other).is_eq()
            }
        }

        impl Eq for $type {}

        impl PartialOrd for $type {
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
use version_type;
