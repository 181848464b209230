//! A message as it lies in SQS.

use ledger::{Message, Millis, Share, format};
use ports::{Error, Place, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The version of this form. A program refuses what has a higher one.
const VERSION: u32 = 1;
/// Of a group's name: enough that two tenants never share one.
const GROUP_BYTES: usize = 16;

/// JSON. Messages follow the rule of [`ledger::format`]: one of a later format is read if its kind is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Envelope {
    envelope: u32,
    /// [`ledger::format::CURRENT`] of the program that sent it.
    format: u32,
    message: Message,
    #[serde(default, skip_serializing_if = "Share::is_default")]
    share: Share,
    #[serde(default)]
    not_before: Millis,
}

/// What is looked at before the rest.
#[derive(Deserialize)]
struct Versions {
    envelope: u32,
    format: u32,
}

impl Envelope {
    pub(super) fn new(message: Message, place: Place) -> Self {
        Self {
            envelope: VERSION,
            format: format::CURRENT,
            message,
            share: place.share,
            not_before: place.not_before,
        }
    }

    pub(super) fn write(&self, operation: &str) -> Result<String> {
        serde_json::to_string(self).map_err(|cause| Error::corrupt(operation, cause))
    }

    /// # Errors
    /// A sentence: why it cannot be read.
    pub(super) fn read(body: &str) -> std::result::Result<Self, String> {
        let versions: Versions = serde_json::from_str(body).map_err(|cause| cause.to_string())?;
        if versions.envelope > VERSION {
            let newer = versions.envelope;
            return Err(format!(
                "it is in an envelope of version {newer}; this program knows {VERSION}"
            ));
        }
        serde_json::from_str(body).map_err(|cause| {
            let (newer, own) = (versions.format, format::CURRENT);
            if newer > own {
                format!("it was sent in format {newer}, and this program knows {own}: {cause}")
            } else {
                cause.to_string()
            }
        })
    }

    pub(super) fn not_before(&self) -> Millis {
        self.not_before
    }

    /// By what SQS shares out turns. A hash, since a tenant is a mail address: longer than a group's name may be, and
    /// no business of those who look at queues.
    pub(super) fn group(&self) -> String {
        let digest = Sha256::digest(self.share.tenant.as_str());
        let hex = |byte: &u8| format!("{byte:02x}");
        digest[..GROUP_BYTES].iter().map(hex).collect()
    }

    pub(super) fn into_parts(self) -> (Message, Share) {
        (self.message, self.share)
    }
}

#[cfg(test)]
mod tests {
    use ledger::Tenant;
    use pipeline_spec::Priority;

    use super::*;

    #[test]
    fn an_envelope_comes_back() {
        let plain = Envelope::new(Message::Configuration, Place::at(0));
        let json = plain.write("send").unwrap();
        assert_eq!(
            json,
            r#"{"envelope":1,"format":2,"message":{"message":"configuration"},"not_before":0}"#
        );
        assert_eq!(Envelope::read(&json).unwrap(), plain);
        let share = Share {
            tenant: Tenant::of_author("Ann <ann@example.org>"),
            priority: Priority::Urgent,
        };
        let not_before = 7;
        let place = Place { not_before, share };
        let full = Envelope::new(Message::Configuration, place);
        assert_eq!(Envelope::read(&full.write("send").unwrap()).unwrap(), full);
        assert_ne!(full.group(), plain.group());
        assert_eq!(full.group().len(), 32);
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let check = |body: &str, expect: &str| {
            let error = Envelope::read(body).unwrap_err();
            assert!(error.contains(expect), "{error}");
        };
        check("", "EOF");
        check("{}", "missing field `envelope`");
        check(r#"{"envelope":2,"format":9,"letter":{}}"#, "version 2");
        check(
            r#"{"envelope":1,"format":9,"message":{"message":"sing"}}"#,
            "sent in format 9, and this program knows 2: unknown variant `sing`",
        );
        check(
            r#"{"envelope":1,"format":2,"message":{"message":"sing"}}"#,
            "unknown variant `sing`",
        );
        // A later format of a known kind is read, as rows are.
        let later = r#"{"envelope":1,"format":9,"message":{"message":"configuration"},"x":1}"#;
        assert!(Envelope::read(later).is_ok());
    }
}
