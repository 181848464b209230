//! Where a package's source comes from, and the digests and addresses that name it.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{IdError, PackageName, string_type};
use crate::limits::MAX_URL_BYTES;
use crate::platform::Format;

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

/// Address of a git repository: `https://`, `http://`, `ssh://`, `git://` or `file://`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GitUrl(String);

impl GitUrl {
    fn last_part(&self) -> &str {
        last_part(&self.0)
    }
}

const GIT_SCHEMES: &[&str] = &["https", "http", "ssh", "git", "file"];

impl FromStr for GitUrl {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let help =
            "write the address of the repository, like `https://git.example.org/rpms/openssl.git`";
        check_url("a git address", text, GIT_SCHEMES, help)?;
        Ok(Self(text.to_owned()))
    }
}

string_type!(
    GitUrl,
    "^(https|http|ssh|git|file)://[^ ?#]+$",
    MAX_URL_BYTES,
    "Address of a git repository, without user name and password."
);

/// Address of a file: `https://`, `http://` or `file://`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceUrl(String);

impl SourceUrl {
    /// The file name at the end of the address.
    pub fn last_part(&self) -> &str {
        last_part(&self.0)
    }
}

const FILE_SCHEMES: &[&str] = &["https", "http", "file"];

impl FromStr for SourceUrl {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let help = "write the address of the file, like `https://example.org/nss-3.101-1.src.rpm`";
        check_url("an address", text, FILE_SCHEMES, help)?;
        Ok(Self(text.to_owned()))
    }
}

string_type!(
    SourceUrl,
    "^(https|http|file)://[^ ?#]+$",
    MAX_URL_BYTES,
    "Address of a file, without user name and password."
);

/// Shape of an address that is safe to hand to a client: a known scheme, visible ASCII, no
/// credentials (this repository is read by many), no query or fragment.
pub(crate) fn check_url(
    what: &'static str,
    text: &str,
    schemes: &[&str],
    help: &str,
) -> Result<(), IdError> {
    let error = |reason: String| Err(IdError::new(what, text, reason, help));
    if text.len() > MAX_URL_BYTES {
        return error(format!("it is longer than {MAX_URL_BYTES} bytes"));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return error("it has no scheme such as `https://`".into());
    };
    if !schemes.contains(&scheme) {
        return error(format!(
            "`{scheme}://` is not one of {}",
            schemes.join("://, ") + "://"
        ));
    }
    if let Some(bad) = text.chars().find(|c| !c.is_ascii_graphic()) {
        return error(format!(
            "it contains U+{:04X}; spaces are written `%20`",
            u32::from(bad)
        ));
    }
    if text.contains(['?', '#', '"', '\'', '\\', '`', '<', '>', '{', '}', '|', '^']) {
        return error("it contains a character that has no place in such an address".into());
    }
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    if let Some((user, _)) = host.rsplit_once('@')
        && (scheme != "ssh" || user.contains(':'))
    {
        return error("it contains a user name or password, which everyone could read".into());
    }
    if host.starts_with('-') || (host.is_empty() && scheme != "file") {
        return error("it has no host".into());
    }
    if path.trim_end_matches('/').is_empty() {
        return error("it has no path after the host".into());
    }
    if path.split('/').any(|part| part == "..") {
        return error("it contains `..`".into());
    }
    Ok(())
}

fn last_part(url: &str) -> &str {
    url.trim_end_matches('/').rsplit('/').next().unwrap_or(url)
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

/// A SHA-256 digest: 32 bytes, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256Digest([u8; 32]);

impl Sha256Digest {
    /// From the 32 bytes that a hash function returns.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for Sha256Digest {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|cause| {
            let reason = match cause {
                hex::FromHexError::InvalidHexCharacter { c, .. } => {
                    format!("`{}` is no hexadecimal digit", c.escape_default())
                }
                _ => format!(
                    "it has {} characters in the place of 64",
                    text.chars().count()
                ),
            };
            let help = "write the 64 hexadecimal digits that `sha256sum FILE` prints";
            IdError::new("a SHA-256 digest", text, reason, help)
        })?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha256Digest({self})")
    }
}

impl Serialize for Sha256Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Sha256Digest {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Sha256Digest".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "SHA-256 digest: 64 hexadecimal digits.",
            "pattern": "^[0-9a-fA-F]{64}$",
        })
    }
}
