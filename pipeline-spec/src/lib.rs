//! The language of the state repository: what people write in YAML to say which distribution
//! they want, and what the machine understands by it.
//!
//! Callers: the planner and the control plane (typed configuration and requests), `millrace lint`
//! and the pull request check (diagnostics), the documentation (JSON Schemas).
//!
//! Invariants:
//! * No input or output: texts come in as arguments, values and [`Diagnostic`]s go out.
//! * Bytes of strangers never panic and cost at most what [`limits`] allows.
//! * Every mistake is answered with file, line, column, a caret and what to write instead.
//! * Planning reads configuration files only ([`is_config_path`]); requests are read one by one.
//!
//! `SPEC.md` beside this crate is the normative text; its examples and tables are tests.

mod build;
mod bytesize;
mod check;
mod config;
mod diagnostic;
mod digest;
mod flavor;
mod glob;
mod ids;
mod key;
pub mod limits;
mod lint;
mod load;
mod macros;
mod parse;
mod path;
mod platform;
mod policy;
mod priority;
mod project;
mod read;
mod release;
mod render;
mod repository;
mod runner;
mod schema;
mod source;
mod suggest;
mod url;
pub mod version;
mod visible;

pub use build::{BuildOptions, BuildRequest, PackageRequest};
pub use bytesize::ByteSize;
pub use check::{check_build, check_release};
pub use config::Config;
pub use diagnostic::{Code, Color, Diagnostic, Severity};
pub use digest::Sha256Digest;
pub use flavor::Flavor;
pub use glob::Glob;
pub use ids::{
    Architecture, ComponentName, FlavorName, IdError, KeyId, Label, OptionName, PackageName,
    PersonName, PlatformName, RepoId, RepositoryName, RootPackage, RunnerId, SuiteName,
};
pub use key::{Fingerprint, Key, KeyKind, Private, SecretName};
pub use lint::lint;
pub use macros::{MacroName, MacroValue};
pub use parse::{check_place, parse_build, parse_release};
pub use path::{
    ErratumPath, KeyFilePath, PathKind, RequestKind, RequestPath, classify, is_config_path,
};
pub use platform::{
    Architectures, Archive, ArchiveLocation, Backend, Contents, Format, Keyring, PackageRepo,
    Platform,
};
pub use policy::{Approvals, Gate, Gates, Policy};
pub use priority::{Priority, Weight};
pub use project::{LanguageVersion, Limits, Project};
pub use release::{Placement, ReleaseRequest};
pub use render::{count, render_all};
pub use repository::{Layout, RepoPath, Repository, Retention, Rule};
pub use runner::{Role, Runner, RunnerKey};
pub use schema::{SCHEMA_FOLDER, schema_of, schema_text, schemas};
pub use source::{GitRef, Source, Subdir};
pub use url::{GitUrl, RepoUrl, SourceUrl};
