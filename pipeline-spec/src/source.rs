//! Where a package's source comes from.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::digest::Sha256Digest;
use crate::ids::{IdError, PackageName, string_type};
use crate::platform::Format;
use crate::url::{GitUrl, SourceUrl};

/// The source of one package of a build request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Source {
    /// A git tree: dist-git (spec file and sources) or a tree with `debian/`.
    #[serde(rename_all = "snake_case")]
    Git {
        /// The repository to clone.
        git: GitUrl,
        /// Branch, tag or commit. Resolved once, when planned; the commit is recorded.
        #[serde(rename = "ref")]
        git_ref: GitRef,
        /// The folder inside the tree that holds the package. Left out: the top.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subdir: Option<Subdir>,
    },
    /// A ready source RPM.
    Srpm {
        /// Where to fetch the `.src.rpm`.
        srpm: SourceUrl,
        /// SHA-256 of that file.
        sha256: Sha256Digest,
    },
    /// A ready Debian source package; the files that the `.dsc` lists are fetched from beside it.
    Dsc {
        /// Where to fetch the `.dsc`.
        dsc: SourceUrl,
        /// SHA-256 of the `.dsc`.
        sha256: Sha256Digest,
    },
}

impl Source {
    /// The one packaging system that can build this source; `None` when both may.
    pub fn format(&self) -> Option<Format> {
        match self {
            Self::Git { .. } => None,
            Self::Srpm { .. } => Some(Format::Rpm),
            Self::Dsc { .. } => Some(Format::Deb),
        }
    }

    /// Whether a platform of this format can build it, as far as the request tells.
    pub fn fits(&self, format: Format) -> bool {
        self.format().is_none_or(|own| own == format)
    }

    /// The package name in the last part of the URL: `openssl` of `…/openssl.git`, `nss` of
    /// `…/nss-3.101-1.src.rpm`, `hello` of `…/hello_2.10-3.dsc`.
    pub fn derived_name(&self) -> Option<PackageName> {
        match self {
            Self::Git { git, .. } => {
                let last = git.last_part();
                last.strip_suffix(".git").unwrap_or(last).parse().ok()
            }
            Self::Srpm { srpm, .. } => {
                let stem = srpm.last_part().strip_suffix(".src.rpm")?;
                stem.rsplitn(3, '-').nth(2)?.parse().ok()
            }
            Self::Dsc { dsc, .. } => dsc
                .last_part()
                .strip_suffix(".dsc")?
                .split('_')
                .next()?
                .parse()
                .ok(),
        }
    }
}

/// A branch, tag or commit, as `git check-ref-format --allow-onelevel` accepts it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GitRef(String);

impl GitRef {
    /// The full commit id, when the ref is one (40 or 64 hexadecimal digits).
    pub fn as_commit(&self) -> Option<&str> {
        let hex = self.0.bytes().all(|b| b.is_ascii_hexdigit());
        (hex && matches!(self.0.len(), 40 | 64)).then_some(self.as_str())
    }
}

impl FromStr for GitRef {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let error = |reason: &str| {
            let help = "write a branch, a tag or a full commit id, like `refs/tags/v1.2`";
            Err(IdError::new("a git ref", text, reason, help))
        };
        if text.is_empty() {
            return error("it is empty");
        }
        if text.len() > 255 {
            return error("it is longer than 255 bytes");
        }
        if text.starts_with('-') || text == "@" {
            return error("git refuses such a name");
        }
        if text
            .chars()
            .any(|c| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c))
        {
            return error("it contains a character that git refuses (space, `~^:?*[\\`)");
        }
        if text.contains("..") || text.contains("@{") || text.contains("//") {
            return error("it contains `..`, `@{` or `//`, which git refuses");
        }
        let part_fits =
            |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
        if !text.split('/').all(part_fits) || text.ends_with('.') {
            return error("a part is empty, begins or ends with `.`, or ends with `.lock`");
        }
        Ok(Self(text.to_owned()))
    }
}

string_type!(
    GitRef,
    "^[^ ~^:?*\\[\\\\]+$",
    255,
    "A branch, tag or commit: debian/3.0.15-1, refs/tags/v1.2, or 40 hexadecimal digits."
);

/// A folder inside a git tree: relative, without `..`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subdir(String);

impl FromStr for Subdir {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let error = |reason: &str| {
            let help = "write a folder inside the tree, like `packages/openssl`";
            Err(IdError::new("a folder", text, reason, help))
        };
        if text.len() > crate::limits::MAX_PATH_BYTES {
            return error("it is too long");
        }
        if text.chars().any(|c| c.is_control() || c == '\\') {
            return error("it contains a control character or `\\`");
        }
        if text
            .split('/')
            .any(|part| matches!(part, "" | "." | ".." | ".git"))
        {
            return error("it is absolute or contains `.`, `..`, `.git` or an empty part");
        }
        Ok(Self(text.to_owned()))
    }
}

string_type!(
    Subdir,
    "^[^/\\\\]+(/[^/\\\\]+)*$",
    crate::limits::MAX_PATH_BYTES,
    "A folder inside a git tree."
);
