//! The way to KMS.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_kms::Client;
use aws_sdk_kms::config::{Builder, Credentials};

use crate::{Error, Key, KeyName};

/// Who asks AWS. It has no `Debug`, so that no log gets the secret.
#[derive(Clone, Default)]
pub enum Access {
    /// Whoever the surroundings say: an instance's profile, environment, files.
    #[default]
    Surroundings,
    /// These keys.
    Keys {
        /// Not a secret.
        id: String,
        /// The secret half.
        secret: String,
    },
}

/// Where KMS is. What is left out, the surroundings say: `AWS_REGION`, `AWS_ENDPOINT_URL_KMS`, files.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// Such as `eu-central-1`: where an alias is looked for. An ARN names its own.
    pub region: Option<String>,
    /// Another place than AWS: an emulator.
    pub endpoint: Option<String>,
}

/// How long one call is tried before it is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Requests per call, the first included; at least 1.
    pub attempts: u32,
    /// For one request. KMS answers within 0.1 s; a token of the instance's profile may have to be fetched first.
    pub attempt: Duration,
    /// Before the second request, at most. Doubles each time, up to [`Patience::MOST_WAIT`], and is a random part of it.
    pub first_wait: Duration,
}

impl Patience {
    /// Longest wait between two requests of one call.
    pub const MOST_WAIT: Duration = Duration::from_secs(2);
}

impl Default for Patience {
    /// About 7 seconds of waiting at most, beside the time that the requests take.
    fn default() -> Self {
        Self {
            attempts: 8,
            attempt: Duration::from_secs(10),
            first_wait: Duration::from_millis(50),
        }
    }
}

/// KMS, as one who asks sees it. Clones share connections.
#[derive(Clone)]
pub struct Kms(SdkConfig);

impl std::fmt::Debug for Kms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Kms").field(&self.0.region()).finish()
    }
}

impl Kms {
    /// Looks at the surroundings, and asks KMS for nothing yet.
    pub async fn new(place: Place, access: Access, patience: Patience) -> Self {
        let retries = RetryConfig::standard()
            .with_max_attempts(patience.attempts)
            .with_initial_backoff(patience.first_wait)
            .with_max_backoff(Patience::MOST_WAIT);
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(patience.attempt);
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .retry_config(retries)
            .timeout_config(timeouts.build());
        if let Some(region) = place.region {
            loader = loader.region(Region::new(region));
        }
        if let Some(endpoint) = place.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        if let Access::Keys { id, secret } = access {
            let keys = Credentials::new(id, secret, None, None, "millrace");
            loader = loader.credentials_provider(keys);
        }
        Self(loader.load().await)
    }

    /// The key `name`, with its public half. One request.
    ///
    /// # Errors
    /// [`Error::NoRegion`], [`Error::Kind`], [`Error::Refused`].
    pub async fn key(&self, name: &KeyName) -> Result<Key, Error> {
        Key::open(self.client(name)?, name).await
    }

    /// KMS finds a key in its own region alone, whatever its ARN says.
    fn client(&self, name: &KeyName) -> Result<Client, Error> {
        let named = name.region().map(|region| Region::new(region.to_owned()));
        let region = named.or_else(|| self.0.region().cloned());
        // A variable that is set to nothing is none.
        let region = region.filter(|region| !region.as_ref().is_empty());
        let region = region.ok_or_else(|| Error::NoRegion { name: name.clone() })?;
        let config = Builder::from(&self.0).region(region);
        Ok(Client::from_conf(config.build()))
    }
}
