//! Clients of the services, made when they are first needed: a function that writes no artifact pays for no S3.

use std::sync::Arc;

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::Credentials;
use aws_sdk_s3::config::ResponseChecksumValidation;
use tokio::sync::OnceCell;

use crate::installation::{Installation, Patience};

/// Who asks AWS. It has no `Debug`, so that no log gets the secret.
#[derive(Clone, Default)]
pub enum Access {
    /// Whoever the surroundings say: a function's role, an instance's profile, environment, files.
    #[default]
    Surroundings,
    /// These keys.
    Keys {
        /// Not a secret.
        id: String,
        /// The secret half.
        secret: String,
        /// Of keys that are lent: goes with them.
        session: Option<String>,
    },
}

/// One set of clients. Clones share it.
#[derive(Clone)]
pub struct Clients(Arc<Shared>);

struct Shared {
    installation: Installation,
    access: Access,
    config: OnceCell<SdkConfig>,
    dynamodb: OnceCell<aws_sdk_dynamodb::Client>,
    sqs: OnceCell<aws_sdk_sqs::Client>,
    s3: OnceCell<aws_sdk_s3::Client>,
    sts: OnceCell<aws_sdk_sts::Client>,
}

impl std::fmt::Debug for Clients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let installation = &self.0.installation;
        f.debug_tuple("Clients").field(installation).finish()
    }
}

impl Clients {
    /// Does nothing yet.
    pub fn new(installation: Installation, access: Access) -> Self {
        Self(Arc::new(Shared {
            installation,
            access,
            config: OnceCell::new(),
            dynamodb: OnceCell::new(),
            sqs: OnceCell::new(),
            s3: OnceCell::new(),
            sts: OnceCell::new(),
        }))
    }

    pub(crate) fn installation(&self) -> &Installation {
        &self.0.installation
    }

    pub(crate) fn patience(&self) -> Patience {
        self.0.installation.patience
    }

    async fn config(&self) -> &SdkConfig {
        let load = async || {
            let installation = &self.0.installation;
            let attempt = self.patience().attempt();
            let timeouts = TimeoutConfig::builder().operation_attempt_timeout(attempt);
            let mut loader = aws_config::defaults(BehaviorVersion::latest())
                .region(Region::new(installation.region.clone()))
                // See the module `retry`.
                .retry_config(RetryConfig::disabled())
                // A runner's body may pause; the attempt's time bounds it.
                .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
                .timeout_config(timeouts.build());
            if let Some(endpoint) = &installation.endpoint {
                loader = loader.endpoint_url(endpoint);
            }
            if let Access::Keys {
                id,
                secret,
                session,
            } = &self.0.access
            {
                let keys = Credentials::new(id, secret, session.clone(), None, "millrace");
                loader = loader.credentials_provider(keys);
            }
            loader.load().await
        };
        self.0.config.get_or_init(load).await
    }

    pub(crate) async fn dynamodb(&self) -> &aws_sdk_dynamodb::Client {
        let make = async || aws_sdk_dynamodb::Client::new(self.config().await);
        self.0.dynamodb.get_or_init(make).await
    }

    pub(crate) async fn sts(&self) -> &aws_sdk_sts::Client {
        let make = async || aws_sdk_sts::Client::new(self.config().await);
        self.0.sts.get_or_init(make).await
    }

    pub(crate) async fn sqs(&self) -> &aws_sdk_sqs::Client {
        let make = async || aws_sdk_sqs::Client::new(self.config().await);
        self.0.sqs.get_or_init(make).await
    }

    pub(crate) async fn s3(&self) -> &aws_sdk_s3::Client {
        let make = async || {
            let config = aws_sdk_s3::config::Builder::from(self.config().await)
                // An emulator has one host name for all buckets.
                .force_path_style(self.0.installation.endpoint.is_some())
                // Files are checked by their digests.
                .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
            aws_sdk_s3::Client::from_conf(config.build())
        };
        self.0.s3.get_or_init(make).await
    }
}
