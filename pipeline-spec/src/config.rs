//! All configuration of a state repository at one commit.

use std::collections::BTreeMap;

use crate::flavor::Flavor;
use crate::ids::{FlavorName, KeyId, PlatformName, RepositoryName, RunnerId};
use crate::key::Key;
use crate::path::KeyFilePath;
use crate::platform::Platform;
use crate::policy::Policy;
use crate::project::Project;
use crate::repository::Repository;
use crate::runner::Runner;

/// Everything that is not a request. Small: it is read whole each time a commit is planned.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `millrace.yaml`.
    pub project: Project,
    /// `platforms/*.yaml`.
    pub platforms: BTreeMap<PlatformName, Platform>,
    /// `flavors/*.yaml`.
    pub flavors: BTreeMap<FlavorName, Flavor>,
    /// `repositories/*.yaml`.
    pub repositories: BTreeMap<RepositoryName, Repository>,
    /// `keys/*.yaml`.
    pub keys: BTreeMap<KeyId, Key>,
    /// `keys/**/*.asc`: the bytes of every public key file.
    pub key_files: BTreeMap<KeyFilePath, Vec<u8>>,
    /// `runners/*.yaml`.
    pub runners: BTreeMap<RunnerId, Runner>,
    /// `policy.yaml`; the defaults when there is none.
    pub policy: Policy,
}

impl Config {
    /// A configuration with a project and nothing else.
    pub fn empty(project: Project) -> Self {
        Self {
            project,
            platforms: BTreeMap::new(),
            flavors: BTreeMap::new(),
            repositories: BTreeMap::new(),
            keys: BTreeMap::new(),
            key_files: BTreeMap::new(),
            runners: BTreeMap::new(),
            policy: Policy::default(),
        }
    }
}
