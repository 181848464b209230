//! Dependencies as a header states them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::header::Header;
use crate::tags::header::Triple;

/// `rpmsenseFlags` of rpm 4.18.
mod sense {
    pub(super) const LESS: u32 = 1 << 1;
    pub(super) const GREATER: u32 = 1 << 2;
    pub(super) const EQUAL: u32 = 1 << 3;
    pub(super) const PREREQ: u32 = 1 << 6;
    pub(super) const SCRIPT_PRE: u32 = 1 << 9;
    pub(super) const SCRIPT_POST: u32 = 1 << 10;
}

/// One dependency: a name, and maybe a version that it compares with.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Dependency {
    /// Package name, capability, file path or rich dependency in parentheses.
    pub name: String,
    /// `rpmsenseFlags` as the header holds them.
    pub flags: u32,
    /// `[epoch:]version[-release]`, empty without a version.
    pub version: String,
}

/// How the version of a dependency compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `=`
    Equal,
    /// `>=`
    GreaterEqual,
    /// `>`
    Greater,
}

impl Comparison {
    /// The word that repodata uses.
    pub(crate) fn metadata_word(self) -> &'static str {
        match self {
            Self::Less => "LT",
            Self::LessEqual => "LE",
            Self::Equal => "EQ",
            Self::GreaterEqual => "GE",
            Self::Greater => "GT",
        }
    }

    /// The sign that spec files use.
    #[must_use]
    pub fn sign(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Equal => "=",
            Self::GreaterEqual => ">=",
            Self::Greater => ">",
        }
    }
}

impl Dependency {
    /// `None` if any version will do.
    #[must_use]
    pub fn comparison(&self) -> Option<Comparison> {
        let has = |flag| self.flags & flag != 0;
        match (has(sense::LESS), has(sense::EQUAL), has(sense::GREATER)) {
            (true, true, false) => Some(Comparison::LessEqual),
            (true, false, false) => Some(Comparison::Less),
            (false, true, false) => Some(Comparison::Equal),
            (false, true, true) => Some(Comparison::GreaterEqual),
            (false, false, true) => Some(Comparison::Greater),
            _ => None,
        }
    }

    /// Whether it must be there before the package's scripts run.
    #[must_use]
    pub fn is_pre(&self) -> bool {
        self.flags & (sense::PREREQ | sense::SCRIPT_PRE | sense::SCRIPT_POST) != 0
    }

    /// Whether it asks for a feature of rpm itself (`rpmlib(...)`), which no package provides.
    #[must_use]
    pub fn is_rpmlib(&self) -> bool {
        self.name.starts_with("rpmlib(")
    }

    /// Epoch, version and release as repodata writes them: the epoch is "0" where none is given.
    pub(crate) fn evr(&self) -> (&str, &str, Option<&str>) {
        let (epoch, rest) = self.version.split_once(':').unwrap_or(("0", &self.version));
        let epoch = if epoch.is_empty() { "0" } else { epoch };
        match rest.rsplit_once('-') {
            Some((version, release)) => (epoch, version, Some(release)),
            None => (epoch, rest, None),
        }
    }
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match self.comparison() {
            Some(comparison) => write!(f, " {} {}", comparison.sign(), self.version),
            None => Ok(()),
        }
    }
}

/// Reads the three parallel arrays of one kind of dependency. Where flags or version are missing, any version will do.
pub(crate) fn read(header: &Header<'_>, (names, flags, versions): Triple) -> Vec<Dependency> {
    let flags = header
        .numbers(flags)
        .map(Some)
        .chain(std::iter::repeat(None));
    let versions = header
        .strings(versions)
        .map(Some)
        .chain(std::iter::repeat(None));
    header
        .strings(names)
        .zip(flags)
        .zip(versions)
        .map(|((name, flags), version)| Dependency {
            name: name.into_owned(),
            flags: flags
                .and_then(|flags| u32::try_from(flags).ok())
                .unwrap_or_default(),
            version: version.unwrap_or_default().into_owned(),
        })
        .collect()
}
