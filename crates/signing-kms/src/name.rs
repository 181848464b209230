//! What `keys/<id>.yaml` calls a key.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// KMS allows 256 bytes after `alias/`; an ARN has some 60 before.
const MAX_BYTES: usize = 512;
/// Digits of an account.
const ACCOUNT_DIGITS: usize = 12;

/// `private: {kms: …}`: the ARN of a key or alias, or an alias of the signer's own account and region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyName {
    text: String,
    home: Option<Home>,
}

/// Where an ARN says that its key is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Home {
    region: String,
    account: String,
}

impl KeyName {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The region that an ARN names.
    pub(crate) fn region(&self) -> Option<&str> {
        self.home.as_ref().map(|home| home.region.as_str())
    }

    /// The account that an ARN names.
    pub(crate) fn account(&self) -> Option<&str> {
        self.home.as_ref().map(|home| home.account.as_str())
    }
}

impl FromStr for KeyName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || Error::Name {
            name: text.chars().take(MAX_BYTES).collect(),
        };
        let parts: Vec<&str> = text.split(':').collect();
        let (resource, home) = match parts.as_slice() {
            ["arn", partition, "kms", region, account, resource]
                if partition.starts_with("aws") && plain(region) && is_account(account) =>
            {
                let (region, account) = ((*region).to_owned(), (*account).to_owned());
                (*resource, Some(Home { region, account }))
            }
            [alias] if alias.starts_with("alias/") => (*alias, None),
            _ => return Err(wrong()),
        };
        let named = match resource.split_once('/') {
            Some(("key", id)) => plain(id),
            Some(("alias", name)) => !name.is_empty() && name.split('/').all(plain),
            _ => false,
        };
        if !named || text.len() > MAX_BYTES {
            return Err(wrong());
        }
        let text = text.to_owned();
        Ok(Self { text, home })
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn plain(text: &str) -> bool {
    let ok = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    !text.is_empty() && text.bytes().all(ok)
}

fn is_account(text: &str) -> bool {
    text.len() == ACCOUNT_DIGITS && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_and_aliases_are_names() {
        let check = |text: &str, region: Option<&str>| {
            let name: KeyName = text.parse().unwrap();
            assert_eq!((name.as_str(), name.region()), (text, region));
            assert_eq!(name.account().is_some(), region.is_some());
        };
        check("alias/millrace-release", None);
        check("alias/team/release_2", None);
        check(
            "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            Some("eu-central-1"),
        );
        check(
            "arn:aws-us-gov:kms:us-gov-west-1:123456789012:alias/a",
            Some("us-gov-west-1"),
        );
        check(
            "arn:aws:kms:eu-central-1:123456789012:key/mrk-1234",
            Some("eu-central-1"),
        );
    }

    #[test]
    fn what_is_no_name_is_refused_with_the_form() {
        let check = |text: &str| {
            let error = text.parse::<KeyName>().unwrap_err().to_string();
            let expect = format!(
                "use {text:?} as a KMS key: it is neither an ARN nor an alias; write \
                 arn:aws:kms:REGION:ACCOUNT:key/ID or alias/NAME"
            );
            assert_eq!(error, expect);
        };
        check("");
        check("main.key");
        check("alias/");
        check("alias/a b");
        check("alias//a");
        check("1234abcd-12ab-34cd-56ef-1234567890ab");
        check("arn:aws:kms:eu-central-1:123456789012:key/");
        check("arn:aws:kms:eu-central-1:123456789012:grant/x");
        check("arn:aws:kms:eu-central-1:1234:key/x");
        check("arn:aws:kms::123456789012:key/x");
        check("arn:aws:s3:eu-central-1:123456789012:key/x");
        check("arn:aws:kms:eu-central-1:123456789012:key/x:y");
        let long = format!("alias/{}", "a".repeat(MAX_BYTES));
        assert!(long.parse::<KeyName>().is_err());
    }
}
