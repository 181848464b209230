//! Names that files give to things. Each is parsed once, where the text comes in; afterwards the
//! type says what it is and that it is well formed.

use crate::limits::{MAX_NAME_BYTES, MAX_PACKAGE_NAME_BYTES};
use crate::visible::{is_hidden, shorten};

/// Why a text is not the identifier that the place needs. Reads as a whole sentence;
/// `help` says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}: {reason}")]
pub struct IdError {
    /// What was needed, with its article: "a platform name".
    pub what: &'static str,
    /// What was written, shortened and without credentials.
    pub text: String,
    /// What is wrong with it, in plain words.
    pub reason: String,
    /// What to write instead.
    pub help: String,
}

impl IdError {
    pub(crate) fn new(
        what: &'static str,
        text: &str,
        reason: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self {
            what,
            text: shorten(text),
            reason: reason.into(),
            help: help.into(),
        }
    }
}

/// The rule that a kind of name follows.
pub(crate) struct NameRule {
    pub(crate) what: &'static str,
    pub(crate) min_bytes: usize,
    pub(crate) max_bytes: usize,
    pub(crate) first: fn(char) -> bool,
    pub(crate) rest: fn(char) -> bool,
    pub(crate) allowed: &'static str,
    pub(crate) help: &'static str,
}

impl NameRule {
    pub(crate) fn check(&self, text: &str) -> Result<(), IdError> {
        let error = |reason: String| Err(IdError::new(self.what, text, reason, self.help));
        if text.len() < self.min_bytes && !text.is_empty() {
            return error(format!("it is shorter than {} characters", self.min_bytes));
        }
        let Some(first) = text.chars().next() else {
            return error("it is empty".into());
        };
        if text.len() > self.max_bytes {
            return error(format!("it is longer than {} bytes", self.max_bytes));
        }
        if !(self.first)(first) {
            return error(format!("it begins with {}; {}", show(first), self.allowed));
        }
        if let Some(bad) = text.chars().find(|c| !(self.rest)(*c)) {
            return error(format!("it contains {}; {}", show(bad), self.allowed));
        }
        Ok(())
    }
}

fn show(c: char) -> String {
    match c {
        ' ' => "a space".into(),
        c if is_hidden(c) => format!("the hidden character U+{:04X}", u32::from(c)),
        c => format!("`{c}`"),
    }
}

/// Implements what every string newtype of the language has: parsing, display, serde through the
/// parser, and a JSON Schema with the pattern.
macro_rules! string_type {
    ($type:ident, $pattern:literal, $max:expr, $description:literal) => {
        $crate::ids::string_type!($type, $pattern, $max, $description, str::parse::<$type>);
    };
    // `read`: what reads it from rows and messages, where those may say more than people.
    ($type:ident, $pattern:literal, $max:expr, $description:literal, $read:expr) => {
        impl $type {
            /// The text as it is written in files.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({})", stringify!($type), self.0)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                $read(&text).map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "description": $description,
                    "pattern": $pattern,
                    "maxLength": $max,
                })
            }
        }
    };
}
pub(crate) use string_type;

macro_rules! name_type {
    ($(#[$doc:meta])* $type:ident, $rule:expr, $pattern:literal, $description:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(String);

        impl std::str::FromStr for $type {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let rule: $crate::ids::NameRule = $rule;
                rule.check(text)?;
                Ok(Self(text.to_owned()))
            }
        }

        $crate::ids::string_type!($type, $pattern, $rule.max_bytes, $description);
    };
}

pub(crate) use name_type;

const fn file_name(what: &'static str) -> NameRule {
    NameRule {
        what,
        min_bytes: 1,
        max_bytes: MAX_NAME_BYTES,
        first: |c| c.is_ascii_lowercase() || c.is_ascii_digit(),
        rest: |c| {
            c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.' | '_' | '+')
        },
        allowed: "a name has a-z, 0-9, `-`, `.`, `_` and `+`, and begins with a letter or digit",
        help: "write a name like `almalinux-10`; it is also the name of the file",
    }
}

name_type!(
    /// Name of `platforms/<name>.yaml`: what is built for, such as `almalinux-10`.
    PlatformName,
    file_name("a platform name"),
    "^[a-z0-9][a-z0-9._+-]*$",
    "The name of a file in platforms/, without .yaml."
);
name_type!(
    /// Name of `repositories/<name>.yaml`: what is released to, such as `almalinux-10-baseos`.
    RepositoryName,
    file_name("a repository name"),
    "^[a-z0-9][a-z0-9._+-]*$",
    "The name of a file in repositories/, without .yaml."
);
name_type!(
    /// Name of `flavors/<name>.yaml`: an overlay on platforms, such as `epel`.
    FlavorName,
    file_name("a flavor name"),
    "^[a-z0-9][a-z0-9._+-]*$",
    "The name of a file in flavors/, without .yaml."
);
name_type!(
    /// Name of `keys/<id>.yaml` and `keys/<id>.asc`: a signing key.
    KeyId,
    file_name("a key id"),
    "^[a-z0-9][a-z0-9._+-]*$",
    "The name of a file in keys/, without .yaml."
);
name_type!(
    /// Name of `keys/people/<name>.asc`: somebody whose signature counts as an approval.
    PersonName,
    file_name("a person's name"),
    "^[a-z0-9][a-z0-9._+-]*$",
    "The name of a file in keys/people/, without .asc."
);
name_type!(
    /// Name of `runners/<id>.yaml`: an enrolled runner.
    RunnerId,
    file_name("a runner id"),
    "^[a-z0-9][a-z0-9._+-]*$",
    "The name of a file in runners/, without .yaml."
);
name_type!(
    /// A label of a runner, free to choose: `kvm`, `big-memory`.
    Label,
    file_name("a label"),
    "^[a-z0-9][a-z0-9._+-]*$",
    "A word that describes a runner."
);
name_type!(
    /// Name of a source or binary package, as RPM and Debian allow it: `openssl`, `libstdc++`, `SDL2`.
    PackageName,
    PACKAGE_RULE,
    "^[A-Za-z0-9][A-Za-z0-9._+-]*$",
    "A package name as RPM or Debian has it."
);

const PACKAGE_RULE: NameRule = NameRule {
    what: "a package name",
    min_bytes: 1,
    max_bytes: MAX_PACKAGE_NAME_BYTES,
    first: |c| c.is_ascii_alphanumeric(),
    rest: |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '+'),
    allowed: "a package name has letters, digits, `+`, `-`, `.` and `_`",
    help: "write the name of the source package alone, like `openssl`",
};

/// An architecture that packages are built on, in its packaging system's own spelling: `x86_64`,
/// `aarch64`, `ppc64le` for RPM; `amd64`, `arm64`, `ppc64el` for Debian. `noarch`, `all`, `src`,
/// `source` and `any` are properties of packages, not machines, and are refused.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Architecture(String);

const ARCHITECTURE_RULE: NameRule = NameRule {
    what: "an architecture",
    min_bytes: 1,
    max_bytes: MAX_NAME_BYTES,
    first: |c| c.is_ascii_lowercase(),
    rest: |c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-'),
    allowed: "an architecture has a-z, 0-9, `_` and `-`, and begins with a letter",
    help: "write it as rpm or dpkg does: `x86_64`, `aarch64`, `amd64`, `arm64`",
};

impl std::str::FromStr for Architecture {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        ARCHITECTURE_RULE.check(text)?;
        if matches!(text, "noarch" | "all" | "any" | "src" | "source" | "nosrc") {
            return Err(IdError::new(
                "an architecture",
                text,
                "no machine has it",
                "leave it out: the platform's first architecture also builds the source package \
                 and the packages for all architectures",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

string_type!(
    Architecture,
    "^[a-z][a-z0-9_-]*$",
    MAX_NAME_BYTES,
    "An architecture as rpm or dpkg spells it: x86_64, aarch64, ppc64le; amd64, arm64, ppc64el."
);

const fn word(what: &'static str, help: &'static str) -> NameRule {
    NameRule {
        what,
        min_bytes: 1,
        max_bytes: MAX_NAME_BYTES,
        first: |c| c.is_ascii_alphanumeric() || c == '_',
        rest: |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '+'),
        allowed: "it has letters, digits, `-`, `.`, `_` and `+`",
        help,
    }
}

name_type!(
    /// The id of an RPM repository for dnf: `baseos`.
    RepoId,
    word("a repository id", "write a word like `baseos`"),
    "^[A-Za-z0-9_][A-Za-z0-9._+-]*$",
    "The id of an RPM repository for dnf."
);
name_type!(
    /// A suite or codename of a Debian archive: `bookworm-updates`.
    SuiteName,
    word("a suite", "write a suite or codename like `bookworm`"),
    "^[A-Za-z0-9_][A-Za-z0-9._+-]*$",
    "A suite or codename of a Debian archive."
);
name_type!(
    /// A component of a Debian archive: `main`, `non-free-firmware`.
    ComponentName,
    word("a component", "write a component like `main`"),
    "^[A-Za-z0-9_][A-Za-z0-9._+-]*$",
    "A component of a Debian archive."
);
name_type!(
    /// An RPM build conditional (`tests`) or a Debian build profile (`nocheck`).
    OptionName,
    word("a build option", "write the option's name alone, like `tests` or `nocheck`"),
    "^[A-Za-z0-9_][A-Za-z0-9._+-]*$",
    "An RPM build conditional or a Debian build profile."
);
name_type!(
    /// A package, or a group with `@`, that is installed in every buildroot.
    RootPackage,
    NameRule {
        what: "a package of the buildroot",
        min_bytes: 1,
        max_bytes: MAX_PACKAGE_NAME_BYTES,
        first: |c| c.is_ascii_alphanumeric() || c == '@',
        rest: |c| c.is_ascii_alphanumeric() || matches!(c, '@' | '-' | '.' | '_' | '+'),
        allowed: "a package name has letters, digits, `+`, `-`, `.` and `_`; a group begins with `@`",
        help: "write a package name like `gcc`, or a group like `@buildsys-build`",
    },
    "^[A-Za-z0-9@][A-Za-z0-9@._+-]*$",
    "A package, or a group with @, that is installed in every buildroot."
);
