//! Parameters of SSM: one document for all that is no secret, and a parameter for each secret.

use aws_config::BehaviorVersion;
use ports::{Error, Result};

use crate::installation::Patience;
use crate::retry::answer;

/// Parameters, as this function's role may read them.
#[derive(Debug, Clone)]
pub struct Parameters(aws_sdk_ssm::Client);

impl Parameters {
    /// Region, keys and another endpoint than AWS come from the surroundings: nothing else is known yet.
    pub async fn new() -> Self {
        let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
        Self(aws_sdk_ssm::Client::new(&config))
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
}
