//! From one environment variable to a control plane.

use std::fs::{File, TryLockError};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use control::{Control, Options};
use forge::AnyForge;
use git::{Credentials, Login, Repository};
use platform_aws::{Access, AwsPlatform, Parameters, WallClock};
use state_repo::GitStateRepo;
use tokio::sync::Mutex;

use crate::login::{self, Lending};
use crate::settings::{Secret, Settings};

/// The environment variable that names the parameter with the document.
const CONFIGURATION: &str = "MILLRACE_CONFIGURATION";
/// Below the folder for temporary files, which is all that a function may write to. It lasts as long as the environment
/// that AWS keeps warm.
const SCRATCH: &str = "millrace";
/// Environments that share a disk: on AWS one, on an emulator all.
const MOST_ENVIRONMENTS: u32 = 1_000;
/// Pushes to the status branch that a forge bears (`millrace up --pushes-a-minute`).
const PUSHES_A_MINUTE: Option<NonZeroU32> = NonZeroU32::new(6);

/// The control plane of a function.
pub type Plane = Control<AwsPlatform<GitStateRepo>>;

/// What every function begins with.
pub struct Boot {
    /// The document.
    pub settings: Settings,
    parameters: Parameters,
    scratch: Scratch,
}

/// A folder of this process alone. The next process of an environment finds what the one before it had fetched.
struct Scratch {
    folder: PathBuf,
    /// Locked until the process ends.
    _lock: File,
}

impl Scratch {
    fn new() -> anyhow::Result<Self> {
        let all = std::env::temp_dir().join(SCRATCH);
        for number in 0..MOST_ENVIRONMENTS {
            let folder = all.join(number.to_string());
            let name = folder.display();
            std::fs::create_dir_all(&folder).with_context(|| format!("create {name}"))?;
            let lock = File::create(folder.join("lock"));
            let lock = lock.with_context(|| format!("create {name}/lock"))?;
            match lock.try_lock() {
                Ok(()) => {
                    return Ok(Self {
                        folder,
                        _lock: lock,
                    });
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(cause)) => {
                    return Err(cause).with_context(|| format!("lock {name}/lock"));
                }
            }
        }
        let all = all.display();
        anyhow::bail!("all {MOST_ENVIRONMENTS} folders in {all} are taken")
    }
}

impl Boot {
    /// Starts logging, and reads the document.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub async fn new() -> anyhow::Result<Self> {
        tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_max_level(tracing::Level::INFO)
            .with_target(false)
            .init();
        let name = std::env::var(CONFIGURATION)
            .with_context(|| format!("read the environment variable {CONFIGURATION}"))?;
        let parameters = Parameters::new().await;
        let document = parameters.get(&name).await?;
        let settings = Settings::parse(&document)
            .with_context(|| format!("read the document in the parameter {name}"))?;
        Ok(Self {
            settings,
            parameters,
            scratch: Scratch::new()?,
        })
    }

    /// A secret's value, without white space around it: a file ends with the end of a line.
    ///
    /// # Errors
    /// When it is not there, or this function may not read it.
    pub async fn secret(&self, secret: Secret) -> anyhow::Result<String> {
        let value = self.parameters.get(self.settings.secret(secret)?).await?;
        Ok(value.trim().to_owned())
    }

    /// The adapters of AWS, with clients that are made when they are needed, and a state repository whose
    /// copy is fetched when it is needed.
    ///
    /// # Errors
    /// When the login cannot be read.
    pub async fn control(&self) -> anyhow::Result<Arc<Plane>> {
        if self.settings.state_repository.app_logs_in {
            let name = self.settings.secret(Secret::StateToken)?.to_owned();
            return self.control_as(login::read(self.parameters.clone(), name));
        }
        let login = self.secret(Secret::StateToken).await?;
        let repository = self.state(login::written(&login))?;
        Ok(self.over_state(repository))
    }

    /// The same, with another login than the one that is written down.
    ///
    /// # Errors
    /// When the document names no state repository.
    pub fn control_as(&self, login: Arc<dyn Login>) -> anyhow::Result<Arc<Plane>> {
        let repository = self.state(Credentials::None)?;
        Ok(self.over_state(repository.logging_in(login)))
    }

    /// Where a token for git is written down, if the forge's App logs in.
    ///
    /// # Errors
    /// When the document names no parameter for it.
    pub fn lending(&self) -> anyhow::Result<Option<Lending>> {
        if !self.settings.state_repository.app_logs_in {
            return Ok(None);
        }
        Ok(Some(Lending {
            parameters: self.parameters.clone(),
            name: self.settings.secret(Secret::StateToken)?.to_owned(),
            key: self.settings.secrets_key_arn.clone(),
            last: Mutex::default(),
        }))
    }

    fn state(&self, credentials: Credentials) -> anyhow::Result<Repository> {
        let url = &self.settings.state_repository.url;
        let copy = self.scratch.folder.join("state.git");
        let repository = Repository::remote(url.parse()?, copy, credentials)
            .with_context(|| format!("open the state repository {url}"))?;
        // An environment begins without a copy, and reads few of the files.
        Ok(repository.blobless())
    }

    fn over_state(&self, repository: Repository) -> Arc<Plane> {
        let branch = &self.settings.state_repository.branch;
        Arc::new(self.over(GitStateRepo::new(repository).holding(branch)))
    }

    /// The same for a use case that asks nothing of the state repository: no secret is read.
    ///
    /// # Errors
    /// When the document names no state repository.
    pub fn without_state(&self) -> anyhow::Result<Arc<Plane>> {
        let state = &self.settings.state_repository;
        let copy = self.scratch.folder.join("state.git");
        let repository = Repository::remote(state.url.parse()?, copy, Credentials::None)?;
        Ok(Arc::new(self.over(GitStateRepo::new(repository))))
    }

    /// The forge, if there is one. It is asked for nothing yet.
    ///
    /// # Errors
    /// When its login cannot be read, or something of it has to be mended.
    pub async fn forge(&self) -> anyhow::Result<Option<AnyForge<WallClock>>> {
        let Some(site) = &self.settings.forge else {
            return Ok(None);
        };
        let secret = forge::Secret::new(&self.secret(Secret::ForgeToken).await?);
        let state = &self.settings.state_repository.url;
        let forge = AnyForge::open(site, state, secret, WallClock).context("open the forge")?;
        Ok(Some(forge))
    }

    fn over(&self, state_repo: GitStateRepo) -> Plane {
        let state = &self.settings.state_repository;
        let installation = self.settings.installation();
        let platform = AwsPlatform::new(installation, Access::Surroundings, state_repo);
        let lease_seconds = self.settings.runner_lease_seconds;
        let options = Options {
            branch: state.branch.clone(),
            status_branch: state.status_branch.clone(),
            lease_seconds,
            heartbeat_seconds: (lease_seconds / 4).max(1),
            checks: self.settings.forge.is_some(),
            pushes_a_minute: PUSHES_A_MINUTE.filter(|_| self.settings.forge.is_some()),
            public_url: self.settings.api_url.clone(),
            ..Options::default()
        };
        Control::new(platform, options)
    }
}
