//! The `Release` file of a suite: what it is, and size and SHA-256 of each of its indexes.
//!
//! SHA-256 alone, without the MD5 and SHA-1 lists of old: apt has read it since 2010, and trusts nothing less.
//! `Valid-Until` is absent: the same commit gives the same file, however late it is composed again.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::deb822::{self, Dialect};
use crate::digest::Sha256Digest;
use crate::names::{Architecture, Component, OneLine, SuiteName};

/// Whether clients upgrade to this suite's packages by themselves (apt_preferences(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Upgrades {
    /// As with any suite: priority 500.
    #[default]
    Automatic,
    /// Packages are installed on request and upgraded from then on, as with backports: priority 100.
    OnceInstalled,
    /// Packages are installed and upgraded on request only, as with experimental: priority 1.
    OnRequest,
}

/// What a suite is, apart from the packages in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suite {
    /// Who publishes it; apt pins by it.
    pub origin: OneLine,
    /// The repository's name for people; apt pins by it.
    pub label: OneLine,
    /// Directory under `dists/` and the `Codename`.
    pub codename: SuiteName,
    /// A role that moves from codename to codename (`stable`); the codename again if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suite: Option<SuiteName>,
    /// The distribution's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<OneLine>,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<OneLine>,
    /// In the order clients should see them.
    pub components: Vec<Component>,
    /// Without `all` and `source`, whose packages are part of every suite.
    pub architectures: Vec<Architecture>,
    /// How eager clients are.
    #[serde(default)]
    pub upgrades: Upgrades,
}

impl Suite {
    /// `dists/bookworm`.
    pub fn directory(&self) -> String {
        format!("dists/{}", self.codename)
    }
}

/// Size and digest of a file that `Release` lists, by path below the suite's directory.
pub(crate) type Indexes = BTreeMap<String, (u64, Sha256Digest)>;

/// Writes a `Release` file. `date` is in seconds since 1970; dates after 9999 do not exist.
pub(crate) fn write(suite: &Suite, indexes: &Indexes, date: u64) -> Result<String, DateOutOfRange> {
    let date = i64::try_from(date)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .ok_or(DateOutOfRange)?;
    let mut text = String::new();
    let mut field = |name: &str, value: &str| {
        writeln!(text, "{name}: {value}").expect("writing to a string cannot fail");
    };
    field("Origin", suite.origin.as_str());
    field("Label", suite.label.as_str());
    field(
        "Suite",
        suite.suite.as_ref().unwrap_or(&suite.codename).as_str(),
    );
    if let Some(version) = &suite.version {
        field("Version", version.as_str());
    }
    field("Codename", suite.codename.as_str());
    field(
        "Date",
        &date.strftime("%a, %d %b %Y %H:%M:%S UTC").to_string(),
    );
    if suite.upgrades != Upgrades::Automatic {
        field("NotAutomatic", "yes");
    }
    if suite.upgrades == Upgrades::OnceInstalled {
        field("ButAutomaticUpgrades", "yes");
    }
    field("Acquire-By-Hash", "yes");
    field("Architectures", &words(&suite.architectures));
    field("Components", &words(&suite.components));
    if let Some(description) = &suite.description {
        field("Description", description.as_str());
    }
    text.push_str("SHA256:\n");
    for (path, (size, sha256)) in indexes {
        writeln!(text, " {sha256} {size} {path}").expect("writing to a string cannot fail");
    }
    Ok(text)
}

/// The date does not fit the calendar.
#[derive(Debug)]
pub(crate) struct DateOutOfRange;

fn words<T: ToString>(list: &[T]) -> String {
    let words: Vec<String> = list.iter().map(ToString::to_string).collect();
    words.join(" ")
}

/// Reads the list of indexes out of a `Release` file.
///
/// # Errors
/// A mistake in the file with its line; a path that leads out of the suite's directory is one.
pub(crate) fn parse_indexes(release: &[u8]) -> Result<Indexes, deb822::Error> {
    const FIELD: &str = "SHA256";
    let release = deb822::parse_one(release, Dialect::Machine)?;
    let mut indexes = Indexes::new();
    for line in release
        .require(FIELD)?
        .lines()
        .filter(|line| !line.is_empty())
    {
        let mut words = line.split_ascii_whitespace();
        let (Some(digest), Some(size), Some(path), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(release.value_error(FIELD, "expected lines of digest, size and path"));
        };
        let digest = digest
            .parse()
            .map_err(|error| release.value_error(FIELD, error))?;
        let size = size
            .parse()
            .map_err(|_| release.value_error(FIELD, format!("`{size}` is not a size")))?;
        if !stays_below(path) {
            return Err(release.value_error(FIELD, format!("path `{path}` leads out of the suite")));
        }
        if indexes.insert(path.to_owned(), (size, digest)).is_some() {
            return Err(release.value_error(FIELD, format!("`{path}` is listed twice")));
        }
    }
    Ok(indexes)
}

/// Whether a path from a stranger's file is relative and without `..` and empty parts.
pub(crate) fn stays_below(path: &str) -> bool {
    path.split('/')
        .all(|part| !part.is_empty() && part != "." && part != "..")
        && !path.contains(['\\', '\0'])
}
