//! Where an installation lives: one typed document in the place of dozens of environment variables.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The version of the document that this program reads and writes.
const VERSION: u32 = 1;
/// What SQS allows in a name, less the longest that is put behind the prefix.
const MAX_PREFIX_BYTES: usize = 40;

/// What an adapter has to know of the cloud it is in. The Terraform writes it, as JSON, into one parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Installation {
    /// Of this document: 1.
    pub version: u32,
    /// Such as `eu-central-1`.
    pub region: String,
    /// Name of the DynamoDB table that is the ledger.
    pub table: String,
    /// Name of the S3 bucket that holds artifacts and pointers. Its versioning must be on.
    pub bucket: String,
    /// Names of SQS queues start with it and a hyphen.
    pub queue_prefix: String,
    /// Another place than AWS, for all services: an emulator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// How long a call is tried.
    #[serde(default)]
    pub patience: Patience,
}

/// How long one call of an adapter is tried before it is an error that the caller sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Patience {
    /// Requests per call, the first included; at least 1.
    pub attempts: u32,
    /// Milliseconds for one request, the long wait of a poll not included. A part of an upload, 8 MiB, has to
    /// fit in, and what the store copies by itself, up to 1 GiB.
    pub attempt_millis: u64,
    /// Milliseconds before the second request, at most. Doubles each time, up to [`Patience::MOST_WAIT`].
    pub first_wait_millis: u64,
}

impl Patience {
    /// Longest wait between two requests of one call.
    pub const MOST_WAIT: Duration = Duration::from_secs(2);

    /// For one request.
    pub(crate) fn attempt(self) -> Duration {
        Duration::from_millis(self.attempt_millis)
    }

    /// Longest wait before request `number`, counted from 1. The wait is a random part of it ("full jitter", Brooker,
    /// *Exponential Backoff and Jitter*, 2015), so that those who collided do not collide again.
    pub(crate) fn wait_before(self, number: u32) -> Duration {
        let doubled = 1_u64.checked_shl(number.saturating_sub(2)).unwrap_or(1);
        Duration::from_millis(self.first_wait_millis.saturating_mul(doubled)).min(Self::MOST_WAIT)
    }
}

impl Default for Patience {
    /// About 7 seconds of waiting at most, beside the time that the requests take.
    fn default() -> Self {
        Self {
            attempts: 8,
            attempt_millis: 60_000,
            first_wait_millis: 50,
        }
    }
}

/// Why a document is no installation.
#[derive(Debug, thiserror::Error)]
pub enum Invalid {
    /// It is not of this form.
    #[error("read the installation's document: {0}")]
    Form(#[from] serde_json::Error),
    /// A field cannot be.
    #[error(
        "read the installation's document: {field} is {value:?}, but it must be {must}. Write it anew with Terraform, or mend the parameter"
    )]
    Field {
        /// Which.
        field: &'static str,
        /// As it is.
        value: String,
        /// What it must be.
        must: &'static str,
    },
}

impl Installation {
    /// Reads and checks a document.
    ///
    /// # Errors
    /// With the field that is wrong.
    pub fn parse(json: &str) -> Result<Self, Invalid> {
        let document: Self = serde_json::from_str(json)?;
        document.check()?;
        Ok(document)
    }

    /// The rules of AWS for names, so that a wrong one is told here and not by every call.
    ///
    /// # Errors
    /// With the field that is wrong.
    pub fn check(&self) -> Result<(), Invalid> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        let bucket = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
        let version = self.version.to_string();
        let attempts = self.patience.attempts.to_string();
        let endpoint = self.endpoint.as_deref().unwrap_or("https://");
        let rules: [(_, &str, _, _); 7] = [
            ("version", &version, self.version == VERSION, "1"),
            (
                "region",
                &self.region,
                !self.region.is_empty() && self.region.chars().all(plain),
                "the name of a region",
            ),
            (
                "table",
                &self.table,
                (3..=255).contains(&self.table.len())
                    && self.table.chars().all(|c| plain(c) || c == '.'),
                "3 to 255 letters, digits, '-', '_' and '.'",
            ),
            (
                "bucket",
                &self.bucket,
                (3..=63).contains(&self.bucket.len()) && self.bucket.chars().all(bucket),
                "3 to 63 small letters, digits, '-' and '.'",
            ),
            (
                "queue_prefix",
                &self.queue_prefix,
                (1..=MAX_PREFIX_BYTES).contains(&self.queue_prefix.len())
                    && self.queue_prefix.chars().all(plain),
                "1 to 40 letters, digits, '-' and '_'",
            ),
            (
                "endpoint",
                endpoint,
                endpoint.starts_with("https://") || endpoint.starts_with("http://"),
                "a URL, or left out",
            ),
            (
                "patience.attempts",
                &attempts,
                self.patience.attempts > 0,
                "1 or more",
            ),
        ];
        for (field, value, holds, must) in rules {
            if !holds {
                let value = value.to_owned();
                return Err(Invalid::Field { field, value, must });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"{"version": 1, "region": "eu-central-1", "table": "millrace",
        "bucket": "millrace-artifacts", "queue_prefix": "millrace"}"#;

    #[test]
    fn a_document_is_read_or_its_mistake_is_named() {
        let read = Installation::parse(WHOLE).unwrap();
        assert_eq!(read.patience, Patience::default());
        let again = serde_json::to_string(&read).unwrap();
        assert_eq!(Installation::parse(&again).unwrap(), read);
        let check = |from: &str, to: &str, expect: &str| {
            let error = Installation::parse(&WHOLE.replace(from, to)).unwrap_err();
            let error = error.to_string();
            assert!(error.contains(expect), "{error}");
        };
        check("\"version\": 1", "\"version\": 2", "version is \"2\"");
        check("eu-central-1", "", "region is \"\"");
        check("millrace-artifacts", "Artifacts", "bucket is");
        check("\"table\": \"millrace\"", "\"table\": \"m/x\"", "table is");
        check("\"millrace\"}", "\"a.b\"}", "queue_prefix is");
        check("\"bucket\"", "\"buckets\"", "unknown field `buckets`");
        check(
            "\"version\": 1",
            "\"version\": 1, \"endpoint\": \"localhost\"",
            "endpoint is",
        );
        check(
            "\"version\": 1",
            "\"version\": 1, \"patience\": {\"attempts\": 0}",
            "patience.attempts is",
        );
    }

    #[test]
    fn waits_double_up_to_a_bound() {
        let waits = (2..=10).map(|number| Patience::default().wait_before(number).as_millis());
        let expect = [50, 100, 200, 400, 800, 1_600, 2_000, 2_000, 2_000];
        assert_eq!(waits.collect::<Vec<_>>(), expect);
    }
}
