//! `keys/<id>.yaml`: a signing key, and where its private half lives. The public half is
//! `keys/<id>.asc`.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{IdError, string_type};

/// A signing key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The algorithm.
    #[serde(default)]
    pub kind: KeyKind,
    /// The fingerprint that the public key must have. Left out: not pinned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
    /// Where the signer finds the private half.
    pub private: Private,
}

/// The algorithm of a signing key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyKind {
    /// Ed25519 in an OpenPGP v4 key: the default.
    #[default]
    Ed25519,
    /// RSA with 4096 bits, for clients that know no other.
    Rsa4096,
}

/// Where the private half of a key lives. Never the key itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Private {
    /// The name of a file in the signer's own key folder, on the signer's machine.
    File(SecretName),
    /// The ARN or alias of an AWS KMS key.
    Kms(String),
    /// A PKCS#11 URI (RFC 7512) without a PIN.
    Pkcs11(String),
}

/// The name of a file in the signer's key folder: a name, not a path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretName(String);

impl FromStr for SecretName {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        const RULE: crate::ids::NameRule = crate::ids::NameRule {
            what: "the name of a private key file",
            min_bytes: 1,
            max_bytes: crate::limits::MAX_NAME_BYTES,
            first: |c| c.is_ascii_alphanumeric(),
            rest: |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'),
            allowed: "it is a file name alone, with letters, digits, `-`, `.` and `_`",
            help: "write the file's name in the signer's key folder, like `main.key`",
        };
        RULE.check(text)?;
        Ok(Self(text.to_owned()))
    }
}

string_type!(
    SecretName,
    "^[A-Za-z0-9][A-Za-z0-9._-]*$",
    crate::limits::MAX_NAME_BYTES,
    "The name of a file in the signer's key folder."
);

/// An OpenPGP fingerprint: 40 (v4) or 64 (v6) hexadecimal digits, upper case. Spaces are dropped.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(String);

impl FromStr for Fingerprint {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let digits: String = text
            .chars()
            .filter(|c| *c != ' ')
            .collect::<String>()
            .to_uppercase();
        let hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
        if !hex || !matches!(digits.len(), 40 | 64) {
            return Err(IdError::new(
                "a fingerprint",
                text,
                "it has not 40 or 64 hexadecimal digits",
                "write what `gpg --show-keys FILE` prints under `pub`",
            ));
        }
        Ok(Self(digits))
    }
}

string_type!(
    Fingerprint,
    "^([0-9A-Fa-f] {0,2}){39,63}[0-9A-Fa-f]$",
    130,
    "An OpenPGP fingerprint: 40 or 64 hexadecimal digits, spaces allowed."
);
