//! The nouns of a Debian repository, checked once when they come in.
//!
//! All of them end up in paths and URLs, so none can hold a slash, a blank, a control character or a leading dot.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text::FromText;

/// Longest name, version or file name in bytes: what a directory entry can hold.
pub const MAX_NAME_BYTES: usize = 255;

/// A word that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {noun}: {rule}")]
pub struct Error {
    text: String,
    noun: &'static str,
    rule: &'static str,
}

macro_rules! noun {
    ($(#[$doc:meta])* $name:ident, $noun:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// The word itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                let check: fn(&str) -> bool = $check;
                if !text.is_empty() && text.len() <= MAX_NAME_BYTES && check(text) {
                    return Ok(Self(text.into()));
                }
                Err(Error {
                    text: text.chars().take(80).collect(),
                    noun: $noun,
                    rule: $rule,
                })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(FromText::new())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

noun!(
    /// A source or binary package's name (Policy 5.6.1), `libssl3`.
    PackageName,
    "a package name",
    "use at least two of a-z, 0-9, + - and . and start with a letter or digit",
    |text| text.len() >= 2
        && text.starts_with(lower_alphanumeric)
        && text.chars().all(|c| lower_alphanumeric(c) || "+-.".contains(c))
);

noun!(
    /// A version as written (Policy 5.6.12), `1:3.0.15-1~deb12u1`. Ordered as text here; which of two is
    /// newer is `pipeline_spec`'s to say.
    PackageVersion,
    "a version",
    "use letters, digits and . + - ~, with an epoch like `1:` in front if need be, and start with a digit",
    |text| {
        let upstream = match text.split_once(':') {
            Some((epoch, upstream)) if epoch.chars().all(|c| c.is_ascii_digit()) && !epoch.is_empty() => upstream,
            Some(_) => return false,
            None => text,
        };
        upstream.starts_with(|c: char| c.is_ascii_digit()) && upstream.chars().all(plain)
    }
);

impl PackageVersion {
    /// The version without its epoch, which is how file names spell it.
    pub fn without_epoch(&self) -> &str {
        self.0.split_once(':').map_or(&self.0, |(_, rest)| rest)
    }
}

noun!(
    /// A Debian architecture, `amd64`, or `all`.
    Architecture,
    "an architecture",
    "use a-z, 0-9 and -",
    |text| text.starts_with(lower_alphanumeric) && text.chars().all(|c| lower_alphanumeric(c) || c == '-')
);

impl Architecture {
    /// Whether packages of it belong into every architecture's index.
    pub fn is_all(&self) -> bool {
        self.as_str() == "all"
    }
}

noun!(
    /// A part of a suite, `main`.
    Component,
    "a component",
    "use letters, digits and . _ -, starting with a letter or digit",
    word
);

noun!(
    /// A suite or codename, `bookworm`. It names the directory under `dists/`.
    SuiteName,
    "a suite name",
    "use letters, digits and . _ -, starting with a letter or digit",
    word
);

noun!(
    /// Words for people on one line, `Example Linux 12`.
    OneLine,
    "a line of text",
    "write it on one line without blanks around it",
    |text| text.trim() == text && !text.chars().any(char::is_control)
);

noun!(
    /// A file's name without directories, `hello_2.10-3_amd64.deb`.
    FileName,
    "a file name",
    "use letters, digits and . + - ~ _ : and do not start with a dot",
    |text| !text.starts_with('.') && text.chars().all(|c| plain(c) || c == '_' || c == ':')
);

fn lower_alphanumeric(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

fn plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || ".+-~".contains(c)
}

fn word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: FromStr>(good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(text.parse::<T>().is_ok(), "{text}");
        }
        for text in bad {
            assert!(text.parse::<T>().is_err(), "{text}");
        }
    }

    #[test]
    fn words() {
        check::<PackageName>(
            &["libssl3", "g++", "0ad", "python3.11"],
            &["", "a", "A", "a/b", "../x", ".ab", "a b", "é1"],
        );
        check::<PackageVersion>(
            &["1", "1:2.0-1~deb12u1", "2.0+dfsg-1", "0:0"],
            &["", "a", ":1", "x:1", "1:", "1/2", "1:2:3", "1 2", "1_2"],
        );
        check::<Architecture>(
            &["amd64", "all", "kfreebsd-i386"],
            &["", "AMD64", "-a", "a/b", "any "],
        );
        check::<Component>(
            &["main", "non-free"],
            &["", "../main", "main/debian-installer", "-x"],
        );
        check::<FileName>(
            &["a_1.0-1_all.deb", "x_1.orig.tar.gz"],
            &["", ".", "..", ".x", "a/b", "a b", "a\n"],
        );
        let long = "a".repeat(MAX_NAME_BYTES + 1);
        check::<PackageName>(&[&long[1..]], &[&long]);
    }

    #[test]
    fn a_refusal_says_what_is_allowed() {
        let error = "Foo".parse::<PackageName>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "`Foo` is not a package name: use at least two of a-z, 0-9, + - and . and start with a letter or digit"
        );
    }
}
