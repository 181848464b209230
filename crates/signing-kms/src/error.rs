//! What goes wrong with a key in KMS, and what to do about it.

use std::fmt;

use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};

use crate::KeyName;

/// Why a key in KMS cannot be used. Reads after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name has no form that KMS knows.
    #[error(
        "use {name:?} as a KMS key: it is neither an ARN nor an alias; write arn:aws:kms:REGION:ACCOUNT:key/ID or alias/NAME"
    )]
    Name {
        /// As it was written.
        name: String,
    },
    /// An alias, and no region to look for it in.
    #[error(
        "find the KMS key {name}: no region is known; write the key's ARN in its place, or start the signer with AWS_REGION"
    )]
    NoRegion {
        /// As it was written.
        name: KeyName,
    },
    /// A key that makes no signatures that clients read.
    #[error(
        "use the KMS key {key}: it is {found}; make one of ECC_NIST_EDWARDS25519 or RSA_4096 for SIGN_VERIFY"
    )]
    Kind {
        /// Its ARN.
        key: String,
        /// Its spec and usage.
        found: String,
    },
    /// KMS answers with half an answer.
    #[error(
        "{doing} the KMS key {key}: the answer lacks {lacks}; try again, and report it to AWS if it stays"
    )]
    Incomplete {
        /// What was tried.
        doing: &'static str,
        /// The name or ARN.
        key: String,
        /// The field.
        lacks: &'static str,
    },
    /// KMS refused, or could not be asked.
    #[error("{doing} the KMS key {key}: {why}. KMS: {said}")]
    Refused {
        /// What was tried.
        doing: &'static str,
        /// The name or ARN.
        key: String,
        /// The cause, and what to do.
        why: Why,
        /// KMS's own words, or the network's.
        said: String,
    },
}

/// The cause of a refusal. Its text has what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// Somebody disabled it.
    Disabled,
    /// It is to be deleted, or was never complete.
    State,
    /// It is not there.
    Missing,
    /// The signer's role may not. With the account of a key that is named by its ARN.
    Denied(Option<String>),
    /// It signs by other algorithms, or not at all.
    Usage,
    /// The credentials are missing, wrong or too old.
    Credentials,
    /// KMS is asked too often.
    Throttled,
    /// KMS, or the way to it, is down.
    Unreachable,
    /// Something else.
    Other,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Disabled => "it is disabled; find out by whom and why, then: aws kms enable-key",
            Self::State => {
                "its state forbids it; look: aws kms describe-key. Of a key that is to be deleted: aws kms \
                 cancel-key-deletion, then enable-key"
            }
            Self::Missing => {
                "there is none in this region and account; correct `private.kms` of its file in keys/, or write its ARN there"
            }
            Self::Denied(account) => {
                f.write_str(
                    "the signer's role may not; grant it kms:GetPublicKey, kms:DescribeKey and kms:Sign in the key's policy",
                )?;
                return match account {
                    Some(account) => write!(
                        f,
                        ". The key is of account {account}: a role of another account needs the same in its own policy too"
                    ),
                    None => Ok(()),
                };
            }
            Self::Usage => {
                "it makes no such signatures; make one of ECC_NIST_EDWARDS25519 or RSA_4096 for SIGN_VERIFY"
            }
            Self::Credentials => {
                "AWS does not know who asks; give the machine the signer's instance profile, or the program credentials \
                 of the signer's role, and a right clock"
            }
            Self::Throttled => {
                "it is asked too often, by whomever in this account; it goes on by itself. If it stays, raise the account's \
                 request quota for KMS"
            }
            Self::Unreachable => {
                "there is no answer; it goes on by itself. If it stays, look at the way to KMS: region, proxy, firewall"
            }
            Self::Other => "it is refused",
        };
        f.write_str(text)
    }
}

/// What the SDK says, in our words. `account`: of a key that is named by its ARN.
pub(crate) fn refused<E>(
    doing: &'static str,
    (key, account): (&str, Option<&str>),
    error: &SdkError<E>,
) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let mut why = why(error);
    if let Why::Denied(of) = &mut why {
        *of = account.map(str::to_owned);
    }
    Error::Refused {
        doing,
        key: key.to_owned(),
        why,
        said: said(error),
    }
}

fn why<E: ProvideErrorMetadata>(error: &SdkError<E>) -> Why {
    let answer = match error {
        // Credentials are looked for before a request is made.
        SdkError::ConstructionFailure(_) => return Why::Credentials,
        SdkError::DispatchFailure(failure) if !failure.is_io() && !failure.is_timeout() => {
            return Why::Credentials;
        }
        SdkError::ServiceError(answer) => answer,
        _ => return Why::Unreachable,
    };
    match answer.err().code().unwrap_or_default() {
        "DisabledException" => Why::Disabled,
        "KMSInvalidStateException" => Why::State,
        "NotFoundException" | "InvalidArnException" => Why::Missing,
        "AccessDeniedException" => Why::Denied(None),
        "InvalidKeyUsageException" | "UnsupportedOperationException" => Why::Usage,
        "ThrottlingException" | "LimitExceededException" => Why::Throttled,
        "ExpiredTokenException"
        | "IncompleteSignature"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "RequestExpired"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException" => Why::Credentials,
        _ if answer.raw().status().is_server_error() => Why::Unreachable,
        _ => Why::Other,
    }
}

/// The service's code and message; of other errors all causes. Never what `Debug` shows of requests and answers.
fn said<E>(error: &SdkError<E>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    if let SdkError::ServiceError(answer) = error {
        let code = answer.err().code().unwrap_or("an error without a name");
        let message = answer.err().message().unwrap_or("no more");
        return format!("{code}: {message}");
    }
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
