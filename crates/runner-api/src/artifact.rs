//! Files that tasks make, named by digest, and the trees that a compose puts together from them.

use std::collections::BTreeMap;

use pipeline_spec::{RepositoryName, Sha256Digest};
use serde::{Deserialize, Serialize};

use crate::TaskRef;

/// One file in the artifact store, as the task that made it recorded it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// File name, or for repository metadata the path inside the repository. No absolute path, no `..`.
    pub name: String,
    /// SHA-256 over the whole file.
    pub sha256: Sha256Digest,
    /// Size in bytes.
    pub size: u64,
    /// What the file is.
    pub kind: ArtifactKind,
    /// For packages: what the header or control file says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<BuiltPackage>,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArtifactKind {
    /// Source RPM.
    Srpm,
    /// Binary RPM.
    Rpm,
    /// Debian source control file.
    Dsc,
    /// A file that a .dsc lists: upstream tarball, debian tarball, their signatures.
    SourceFile,
    /// Binary Debian package, .udeb and .ddeb included.
    Deb,
    /// Debian .changes.
    Changes,
    /// Debian .buildinfo.
    Buildinfo,
    /// JSON list of every package of the buildroot, with version and digest.
    Buildroot,
    /// Test report in TAP.
    Tap,
    /// The whole log of the attempt.
    Log,
    /// JSON [`Tree`]: a composed repository without its signatures.
    Tree,
    /// Repository metadata that waits for a signature (`repodata/repomd.xml`, `dists/…/Release`).
    Unsigned,
    /// A signature over metadata (`repodata/repomd.xml.asc`, `InRelease`, `Release.gpg`).
    Signature,
}

/// What a package says of itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BuiltPackage {
    /// Binary package name (for SRPM and .dsc the source name).
    pub name: String,
    /// RPM: `[epoch:]version-release`; Debian: the full version.
    pub version: String,
    /// RPM: `x86_64`, `noarch`, `src`; Debian: `amd64`, `all`, `source`.
    pub arch: String,
    /// Name of the source package.
    pub source: String,
}

/// A package in a repository's content list: the document a [`crate::ComposeTask`] names by digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// The signed file (RPM) or the file as built (Debian).
    pub artifact: Artifact,
    /// Debian component; empty for RPM.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub component: String,
    /// The build that made it.
    pub built_by: TaskRef,
    /// Debian sources: the files that the .dsc lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<Artifact>,
}

/// A composed repository: every path a client may ask for, without signatures over the metadata.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// [`crate::VERSION`].
    pub version: u32,
    /// Path inside the repository, `/`-separated, relative → file.
    pub files: BTreeMap<String, TreeFile>,
}

/// One file of a [`Tree`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeFile {
    /// SHA-256 over the file.
    pub sha256: Sha256Digest,
    /// Size in bytes.
    pub size: u64,
}

/// What a published repository is right now. Flipping it is the one act that clients see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointer {
    /// [`crate::VERSION`].
    pub version: u32,
    /// Which repository.
    pub repository: RepositoryName,
    /// Counts up by one with each flip, rollbacks included. Starts at 1.
    pub generation: u64,
    /// State-repository commit whose wish this is, 40 hex digits.
    pub commit: String,
    /// Digest of the [`Tree`] document.
    pub tree: Sha256Digest,
    /// Signatures over the tree's metadata, by path inside the repository.
    pub signatures: BTreeMap<String, TreeFile>,
    /// Digest of the [`crate::Publication`] that set it.
    pub publication: Sha256Digest,
}
