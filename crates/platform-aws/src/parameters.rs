//! Parameters of SSM: one document for all that is no secret, and a parameter for each secret.

use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_ssm::types::ParameterType;
use ports::{Error, Result};

use crate::installation::Patience;
use crate::retry::answer;

/// Longest wait for one answer: a function's start has to wait for it, so that it is less than any function's time.
const ANSWER: Duration = Duration::from_secs(5);

/// Parameters, as this function's role may read them.
#[derive(Debug, Clone)]
pub struct Parameters(aws_sdk_ssm::Client);

impl Parameters {
    /// Region, keys and another endpoint than AWS come from the surroundings: nothing else is known yet.
    pub async fn new() -> Self {
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ANSWER);
        let loader = aws_config::defaults(BehaviorVersion::latest())
            // See the module `retry`.
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts.build());
        Self(aws_sdk_ssm::Client::new(&loader.load().await))
    }

    /// A parameter's value, decrypted. No error has it.
    ///
    /// # Errors
    /// When it is not there, or may not be read.
    pub async fn get(&self, name: &str) -> Result<String> {
        let operation = format!("read the parameter {name}");
        let get = self.0.get_parameter().name(name).with_decryption(true);
        let found = answer(Patience::default(), &operation, || get.clone().send()).await?;
        let value = found.parameter.and_then(|parameter| parameter.value);
        value.ok_or_else(|| Error::corrupt(operation, "it has no value"))
    }

    /// Writes a secret, whatever was there. `key` is the ARN of the key in KMS that encrypts it; none: the account's own.
    /// No error has it.
    ///
    /// # Errors
    /// When it may not be written.
    pub async fn put_secret(&self, name: &str, value: &str, key: Option<&str>) -> Result<()> {
        let operation = format!("write the parameter {name}");
        let put = self.0.put_parameter().name(name).value(value);
        let put = put.set_key_id(key.map(str::to_owned));
        let put = put.r#type(ParameterType::SecureString).overwrite(true);
        let done = answer(Patience::default(), &operation, || put.clone().send()).await;
        done.map(drop)
    }
}
