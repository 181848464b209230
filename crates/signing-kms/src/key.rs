//! One key.

use aws_sdk_kms::Client;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kms::operation::get_public_key::GetPublicKeyOutput;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{KeySpec, KeyUsageType, MessageType, SigningAlgorithmSpec};
use openpgp::{BareKey, Cause, DigestSigner, KeyKind};
use tokio::runtime::Handle;

use crate::error::refused;
use crate::{Error, KeyName};

/// A signing key in KMS. As a [`DigestSigner`] it blocks its thread for a request, and works on the runtime that it was
/// made on.
#[derive(Clone)]
pub struct Key {
    client: Client,
    arn: String,
    account: Option<String>,
    public: BareKey,
    runtime: Handle,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Key").field(&self.arn).finish()
    }
}

impl Key {
    pub(crate) async fn open(client: Client, name: &KeyName) -> Result<Self, Error> {
        const DOING: &str = "read the public half of";
        let account = name.account().map(str::to_owned);
        let get = client.get_public_key().key_id(name.as_str());
        let answer = get.send().await;
        let answer =
            answer.map_err(|error| refused(DOING, (name.as_str(), account.as_deref()), &error))?;
        let lacks = |lacks| Error::Incomplete {
            doing: DOING,
            key: name.to_string(),
            lacks,
        };
        let arn = answer
            .key_id
            .clone()
            .ok_or_else(|| lacks("the key's ARN"))?;
        let der = answer.public_key.as_ref();
        let der = der.ok_or_else(|| lacks("the public key"))?;
        let public = match BareKey::from_spki(der.as_ref()) {
            Ok(public) if answer.key_usage == Some(KeyUsageType::SignVerify) => public,
            _ => return Err(of_other_kind(arn, &answer)),
        };
        let runtime = Handle::current();
        Ok(Self {
            client,
            arn,
            account,
            public,
            runtime,
        })
    }

    /// Its ARN, which stays, wherever an alias is pointed to.
    #[must_use]
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> &BareKey {
        &self.public
    }

    /// When it was made, in seconds since 1970. One request.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn created(&self) -> Result<u64, Error> {
        const DOING: &str = "read the birth of";
        let answer = self.client.describe_key().key_id(&self.arn).send().await;
        let answer = answer.map_err(|error| self.refused(DOING, &error))?;
        let date = answer.key_metadata.and_then(|about| about.creation_date);
        let seconds = date.and_then(|date| u64::try_from(date.secs()).ok());
        seconds.ok_or_else(|| Error::Incomplete {
            doing: DOING,
            key: self.arn.clone(),
            lacks: "the date of creation",
        })
    }

    /// The bare signature over a SHA-256 digest, as [`DigestSigner::sign_digest`] says. One request.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn sign(&self, digest: &[u8; 32]) -> Result<Vec<u8>, Error> {
        const DOING: &str = "sign with";
        // OpenPGP has Ed25519 sign the digest as its message: what KMS calls a digest there is Ed25519ph, which is
        // another algorithm.
        let (algorithm, form) = match self.public.kind() {
            KeyKind::Ed25519 => (SigningAlgorithmSpec::Ed25519Sha512, MessageType::Raw),
            KeyKind::Rsa4096 => (
                SigningAlgorithmSpec::RsassaPkcs1V15Sha256,
                MessageType::Digest,
            ),
        };
        let sign = self
            .client
            .sign()
            .key_id(&self.arn)
            .message(Blob::new(digest))
            .message_type(form)
            .signing_algorithm(algorithm);
        let answer = sign.send().await;
        let answer = answer.map_err(|error| self.refused(DOING, &error))?;
        let signature = answer.signature.ok_or_else(|| Error::Incomplete {
            doing: DOING,
            key: self.arn.clone(),
            lacks: "the signature",
        })?;
        Ok(signature.into_inner())
    }

    fn refused<E>(&self, doing: &'static str, error: &SdkError<E>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        refused(doing, (&self.arn, self.account.as_deref()), error)
    }
}

impl DigestSigner for Key {
    fn sign_digest(&self, digest: &[u8; 32]) -> Result<Vec<u8>, Cause> {
        Ok(self.runtime.block_on(self.sign(digest))?)
    }
}

fn of_other_kind(key: String, answer: &GetPublicKeyOutput) -> Error {
    let word = |word: Option<&str>| word.unwrap_or("unknown").to_owned();
    let spec = word(answer.key_spec.as_ref().map(KeySpec::as_str));
    let usage = word(answer.key_usage.as_ref().map(KeyUsageType::as_str));
    Error::Kind {
        key,
        found: format!("{spec} for {usage}"),
    }
}
