//! Tasks: the unit that the planner makes, the ledger keeps and a runner works off.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use pipeline_spec::{
    Architecture, BuildOptions, Format, GitUrl, KeyFilePath, KeyId, Limits, PackageName, Platform,
    PlatformName, Repository, RepositoryName, RequestPath, Role, SecretName, Sha256Digest,
    SourceUrl, Subdir,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Artifact;

/// Names a task by the hash of its request's path and its inputs: 32 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TaskId(String);

impl TaskId {
    /// The id of `spec` asked for by `request`.
    pub fn of(request: &RequestPath, spec: &TaskSpec) -> Self {
        let document = serde_json::to_vec(&(crate::VERSION, request, spec))
            .expect("a task specification has only string keys and finite numbers");
        let digest = Sha256::digest(document);
        Self(hex::encode(&digest[..16]))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 digits: what people read and type.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is not 32 lower-case hex digits.
#[derive(Debug, thiserror::Error)]
#[error("parse task id {0:?}: 32 lower-case hex digits are expected")]
pub struct BadTaskId(String);

impl FromStr for TaskId {
    type Err = BadTaskId;
    fn from_str(text: &str) -> Result<Self, BadTaskId> {
        let ok = text.len() == 32
            && text
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if ok {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadTaskId(text.chars().take(64).collect()))
        }
    }
}

impl TryFrom<String> for TaskId {
    type Error = BadTaskId;
    fn try_from(text: String) -> Result<Self, BadTaskId> {
        text.parse()
    }
}

impl From<TaskId> for String {
    fn from(id: TaskId) -> String {
        id.0
    }
}

/// Where a task is kept: its request and its id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskRef {
    /// The request that wanted it first.
    pub request: RequestPath,
    /// Its id.
    pub id: TaskId,
}

impl fmt::Display for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.id.short(), self.request)
    }
}

/// Armored OpenPGP public keys by their path in the state repository.
pub type PublicKeys = BTreeMap<KeyFilePath, String>;

/// What is to be done. Everything that changes the outcome is in here, nothing else is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum TaskSpec {
    /// Make the SRPM or .dsc once, and read its metadata.
    Source(Box<SourceTask>),
    /// Build binary packages for one architecture.
    Build(Box<BuildTask>),
    /// Install, check and remove the built packages in a clean root.
    Test(Box<TestTask>),
    /// Put the repository key's signature into packages (RPM).
    SignPackages(Box<SignPackagesTask>),
    /// Write the indexes of a repository.
    Compose(Box<ComposeTask>),
    /// Sign `repomd.xml` or `Release`.
    SignMetadata(Box<SignMetadataTask>),
    /// Let the real client install from the staged repository.
    Smoke(Box<SmokeTask>),
}

/// See [`TaskSpec::Source`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceTask {
    /// Name in the request.
    pub package: PackageName,
    /// Name of the platform.
    pub platform: PlatformName,
    /// The platform as of the commit that was planned.
    pub target: Platform,
    /// Public keys of the platform's package sources.
    pub keys: PublicKeys,
    /// Where the source comes from.
    pub origin: Origin,
    /// From the request.
    pub options: BuildOptions,
    /// What the sandbox allows.
    pub limits: Limits,
}

/// A source, pinned: the same origin never yields two things.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// A tree in git at a commit that was resolved once.
    Git {
        /// Clone URL.
        url: GitUrl,
        /// 40 hex digits.
        commit: String,
        /// Directory of the package in the tree; `None`: its top.
        subdir: Option<Subdir>,
    },
    /// A source RPM.
    Srpm {
        /// http(s) or file URL.
        url: SourceUrl,
        /// What the file must have.
        sha256: Sha256Digest,
    },
    /// A Debian source control file; the files it lists lie beside it.
    Dsc {
        /// http(s) or file URL.
        url: SourceUrl,
        /// What the .dsc must have; it carries its files' digests.
        sha256: Sha256Digest,
    },
}

/// See [`TaskSpec::Build`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildTask {
    /// Name in the request.
    pub package: PackageName,
    /// Name of the platform.
    pub platform: PlatformName,
    /// The platform as of the commit that was planned.
    pub target: Platform,
    /// Public keys of the platform's package sources.
    pub keys: PublicKeys,
    /// What to build for.
    pub arch: Architecture,
    /// Whether architecture-independent packages are built here too.
    pub scope: BuildScope,
    /// The task whose SRPM or .dsc is built.
    pub source: TaskRef,
    /// Builds whose packages the buildroot can install: of this request and of linked ones.
    pub dependencies: Vec<TaskRef>,
    /// From the request.
    pub options: BuildOptions,
    /// What the sandbox allows.
    pub limits: Limits,
}

/// Which binary packages one build task makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BuildScope {
    /// All: this is the platform's first architecture.
    All,
    /// Those that depend on the architecture.
    ArchitectureOnly,
}

/// See [`TaskSpec::Test`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestTask {
    /// Name in the request.
    pub package: PackageName,
    /// Name of the platform.
    pub platform: PlatformName,
    /// The platform as of the commit that was planned.
    pub target: Platform,
    /// Public keys of the platform's package sources.
    pub keys: PublicKeys,
    /// What to test on.
    pub arch: Architecture,
    /// The build whose packages are installed.
    pub build: TaskRef,
    /// Builds whose packages may be pulled in.
    pub dependencies: Vec<TaskRef>,
    /// What the sandbox allows.
    pub limits: Limits,
}

/// A package and what the build recorded of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// The file as the build's accepted result lists it.
    pub artifact: Artifact,
    /// That build.
    pub built_by: TaskRef,
}

/// Both halves of a signing key, as the state repository describes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyFiles {
    /// `private` of `keys/<id>.yaml`.
    pub private: PrivateHalf,
    /// `keys/<id>.asc`, armored: the signer uses no private key but this one's.
    pub public: String,
}

/// Where the signer finds the private half of a key. Never the key itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PrivateHalf {
    /// `{file: …}`: a name in the signer's folder, never a path. In JSON it is the name alone.
    File(SecretName),
    /// `{kms: …}`: the ARN or alias of a key that never leaves AWS KMS.
    Kms {
        /// As it is written there.
        kms: String,
    },
}

/// See [`TaskSpec::SignPackages`]. The outputs carry the inputs' names, in the same order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignPackagesTask {
    /// Which repository asks.
    pub repository: RepositoryName,
    /// With which key.
    pub key: KeyId,
    /// Its halves; `None`: the private one is a file that is named by the key's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<KeyFiles>,
    /// What to sign.
    pub packages: Vec<Recorded>,
    /// Signature time: seconds since 1970, the commit's, so that the same wish gives the same bytes.
    pub time: i64,
}

/// See [`TaskSpec::Compose`]. Outputs: one [`crate::ArtifactKind::Tree`], the metadata files it names
/// (uploaded), and each file that needs a signature again as [`crate::ArtifactKind::Unsigned`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComposeTask {
    /// Which repository.
    pub repository: RepositoryName,
    /// Its layout as of the commit that was planned.
    pub layout: Repository,
    /// Digest of a JSON `Vec<Placed>`: the whole content, sorted.
    pub content: Sha256Digest,
    /// Time that metadata carries: seconds since 1970, the commit's.
    pub time: i64,
}

/// See [`TaskSpec::SignMetadata`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignMetadataTask {
    /// Which repository.
    pub repository: RepositoryName,
    /// With which key.
    pub key: KeyId,
    /// Its halves; `None`: the private one is a file that is named by the key's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<KeyFiles>,
    /// The compose whose `Unsigned` outputs are signed.
    pub compose: TaskRef,
    /// Signature time: seconds since 1970, the commit's.
    pub time: i64,
}

/// See [`TaskSpec::Smoke`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmokeTask {
    /// Which repository.
    pub repository: RepositoryName,
    /// Its layout.
    pub layout: Repository,
    /// Armored public half of the repository's key.
    pub public_key: String,
    /// The platform whose client judges.
    pub platform: PlatformName,
    /// That platform.
    pub target: Platform,
    /// Public keys of the platform's package sources.
    pub keys: PublicKeys,
    /// What to test on.
    pub arch: Architecture,
    /// The staged tree.
    pub compose: TaskRef,
    /// Its signatures.
    pub signatures: TaskRef,
    /// Binary packages that this release adds and the client must be able to install.
    pub install: Vec<String>,
    /// What the sandbox allows.
    pub limits: Limits,
}

impl TaskSpec {
    /// Tasks whose accepted results this one needs, in a fixed order, without repeats.
    pub fn inputs(&self) -> Vec<&TaskRef> {
        let mut inputs: Vec<&TaskRef> = match self {
            Self::Source(_) | Self::SignPackages(_) | Self::Compose(_) => Vec::new(),
            Self::Build(t) => std::iter::once(&t.source).chain(&t.dependencies).collect(),
            Self::Test(t) => std::iter::once(&t.build).chain(&t.dependencies).collect(),
            Self::SignMetadata(t) => vec![&t.compose],
            Self::Smoke(t) => vec![&t.compose, &t.signatures],
        };
        let mut seen = std::collections::BTreeSet::new();
        inputs.retain(|input| seen.insert((*input).clone()));
        inputs
    }

    /// The role a runner needs for it.
    pub fn role(&self) -> Role {
        let build_role = |platform: &Platform| match platform.format() {
            Format::Rpm => Role::BuildRpm,
            Format::Deb => Role::BuildDeb,
        };
        match self {
            Self::Source(t) => build_role(&t.target),
            Self::Build(t) => build_role(&t.target),
            Self::Test(_) | Self::Smoke(_) => Role::Test,
            Self::SignPackages(_) | Self::SignMetadata(_) => Role::Sign,
            Self::Compose(_) => Role::Compose,
        }
    }

    /// The architecture a runner needs; `None`: any.
    pub fn arch(&self) -> Option<&Architecture> {
        match self {
            Self::Source(t) => Some(t.target.architectures.primary()),
            Self::Build(t) => Some(&t.arch),
            Self::Test(t) => Some(&t.arch),
            Self::Smoke(t) => Some(&t.arch),
            Self::SignPackages(_) | Self::SignMetadata(_) | Self::Compose(_) => None,
        }
    }

    /// What people read: `build tree for debian-12 amd64`.
    pub fn title(&self) -> String {
        match self {
            Self::Source(t) => format!("source {} for {}", t.package, t.platform),
            Self::Build(t) => format!("build {} for {} {}", t.package, t.platform, t.arch),
            Self::Test(t) => format!("test {} on {} {}", t.package, t.platform, t.arch),
            Self::SignPackages(t) => {
                format!(
                    "sign {} packages for {} with {}",
                    t.packages.len(),
                    t.repository,
                    t.key
                )
            }
            Self::Compose(t) => format!("compose {}", t.repository),
            Self::SignMetadata(t) => format!("sign metadata of {} with {}", t.repository, t.key),
            Self::Smoke(t) => format!("smoke-test {} on {} {}", t.repository, t.platform, t.arch),
        }
    }
}
