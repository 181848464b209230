//! Keys that never leave their place.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use openpgp::{BareKey, Cause, DigestSigner};
use signing_kms::Kms;

/// A key in a vault: its public half, and who signs for it.
#[derive(Debug, Clone)]
pub struct RemoteKey {
    /// The numbers alone. The certificate is `keys/<id>.asc`.
    pub public: BareKey,
    /// Asked for each signature, from threads that may block.
    pub signer: Arc<dyn DigestSigner>,
}

/// An answer of a vault that comes later.
pub type Opening<'a> = Pin<Box<dyn Future<Output = Result<RemoteKey, Cause>> + Send + 'a>>;

/// Where such keys are.
pub trait Vault: fmt::Debug + Send + Sync {
    /// The key that is called `name`, as `private` of `keys/<id>.yaml` has it.
    ///
    /// # Errors
    /// Whatever keeps it from being used; reads after "failed to", and holds no secret.
    fn open<'a>(&'a self, name: &'a str) -> Opening<'a>;
}

impl Vault for Kms {
    fn open<'a>(&'a self, name: &'a str) -> Opening<'a> {
        Box::pin(async move {
            let key = self.key(&name.parse()?).await?;
            Ok(RemoteKey {
                public: key.public().clone(),
                signer: Arc::new(key),
            })
        })
    }
}
