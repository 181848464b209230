//! The document that says where everything is.

use std::collections::BTreeMap;

use platform_aws::{Installation, Patience};
use serde::Deserialize;

/// For one request to AWS. The shortest time limit of a function that has much to ask is half a minute.
const ATTEMPT_MILLIS: u64 = 8_000;

/// What Terraform writes into one parameter, as JSON. Fields that only other programs read are passed over, so that
/// the document may be newer than the function.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Settings {
    version: u32,
    region: String,
    table: String,
    bucket: String,
    queue_prefix: String,
    #[serde(default)]
    endpoint: Option<String>,
    /// The state repository.
    pub state_repository: StateRepository,
    /// The forge that it is on. Left out: none is told anything.
    #[serde(default)]
    pub forge: Option<forge::Site>,
    /// Where people reach pages and logs. Left out: nothing links there.
    #[serde(default)]
    pub api_url: Option<String>,
    /// Names of the parameters that hold secrets.
    #[serde(default)]
    secrets: BTreeMap<Secret, String>,
    /// ARN of the key in KMS that encrypts secrets. Left out: the account's own.
    #[serde(default)]
    pub secrets_key_arn: Option<String>,
    /// Where clients find files by their digests. Left out: in the bucket.
    #[serde(default)]
    pub publishing_url: Option<String>,
    /// ARN of the role whose sessions runners are lent. Left out: none are.
    #[serde(default)]
    pub runner_role_arn: Option<String>,
    /// How long such a session lasts.
    #[serde(default = "credentials_seconds")]
    pub credentials_seconds: u64,
    /// How long a lease lasts after the last heartbeat, in seconds.
    #[serde(default = "lease_seconds")]
    pub runner_lease_seconds: u64,
}

/// Where wishes are read and answers are written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StateRepository {
    /// An http(s) address without a login.
    pub url: String,
    /// The branch of wishes.
    #[serde(default = "branch")]
    pub branch: String,
    /// The branch of answers.
    #[serde(default = "status_branch")]
    pub status_branch: String,
    /// Whether the forge's App logs in: then `state_token` is written by the function `forge`, and ends after an hour.
    #[serde(default)]
    pub app_logs_in: bool,
}

/// A secret, each a parameter of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Secret {
    /// The login for the state repository: a token, or `user:password`. `none`: none.
    StateToken,
    /// Who may cancel and retry.
    AdminToken,
    /// What the forge signs its deliveries with: one line for each that is valid.
    WebhookSecret,
    /// For checks: the private key of a GitHub App, or a token.
    ForgeToken,
}

fn lease_seconds() -> u64 {
    60
}

fn credentials_seconds() -> u64 {
    3_600
}

fn branch() -> String {
    "main".to_owned()
}

fn status_branch() -> String {
    "status".to_owned()
}

impl Settings {
    /// Reads and checks a document.
    ///
    /// # Errors
    /// With the field that is missing or wrong.
    pub fn parse(json: &str) -> anyhow::Result<Self> {
        let settings: Self = serde_json::from_str(json)?;
        settings.installation().check()?;
        let state = &settings.state_repository;
        anyhow::ensure!(
            state.branch != state.status_branch,
            "branch and status_branch of the state repository are both {}: answers need a branch of their own",
            state.branch
        );
        Ok(settings)
    }

    /// What the adapters have to know.
    pub fn installation(&self) -> Installation {
        Installation {
            version: self.version,
            region: self.region.clone(),
            table: self.table.clone(),
            bucket: self.bucket.clone(),
            queue_prefix: self.queue_prefix.clone(),
            endpoint: self.endpoint.clone(),
            // A request that is not answered is to be asked again before the function's time ends.
            patience: Patience {
                attempt_millis: ATTEMPT_MILLIS,
                ..Patience::default()
            },
        }
    }

    /// The parameter that has a secret.
    ///
    /// # Errors
    /// When the document names none.
    pub fn secret(&self, secret: Secret) -> anyhow::Result<&str> {
        let name = self.secrets.get(&secret).map(String::as_str);
        name.ok_or_else(|| anyhow::anyhow!("the document names no parameter for {secret:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = r#"{"version": 1, "region": "eu-central-1", "table": "millrace",
        "bucket": "millrace-artifacts", "queue_prefix": "millrace", "unknown": [1], "publishing_url": null,
        "state_repository": {"url": "https://example.org/state.git", "forge": "none"},
        "secrets": {"admin_token": "/millrace/admin-token"}}"#;

    #[test]
    fn a_document_is_read_or_its_mistake_is_named() {
        let settings = Settings::parse(DOCUMENT).expect("a document");
        assert_eq!(settings.state_repository.branch, "main");
        assert_eq!(settings.publishing_url, None, "Terraform writes null");
        let of_before = !settings.state_repository.app_logs_in;
        assert!(of_before, "people write the token down");
        assert_eq!(settings.forge, None, "a document of before has none");
        let name = settings.secret(Secret::AdminToken).expect("named");
        assert_eq!(name, "/millrace/admin-token");
        let error = settings.secret(Secret::StateToken).expect_err("not named");
        assert_eq!(
            error.to_string(),
            "the document names no parameter for StateToken"
        );
        let check = |from: &str, to: &str, expect: &str| {
            let error = Settings::parse(&DOCUMENT.replace(from, to)).expect_err("wrong");
            let error = error.to_string();
            assert!(error.contains(expect), "{error}");
        };
        check("\"version\": 1", "\"version\": 2", "version is \"2\"");
        check("\"unknown\": [1]", "\"forge\": {}", "missing field `kind`");
        let other = "\"forge\": {\"kind\": \"svn\"}";
        check("\"unknown\": [1]", other, "unknown variant `svn`");
        check("\"url\"", "\"address\"", "missing field `url`");
        let same = "\"branch\": \"status\", \"url\"";
        check("\"url\"", same, "are both status");
        check("\"admin_token\"", "\"admin\"", "unknown variant `admin`");
    }

    #[test]
    fn a_forge_is_told_as_terraform_writes_it() {
        let read = |forge: &str| {
            let document = DOCUMENT.replace("\"unknown\": [1]", &format!("\"forge\": {forge}"));
            Settings::parse(&document).expect("a document").forge
        };
        assert_eq!(read("null"), None);
        let github = r#"{"kind": "github", "api": null, "repository": null, "app": 7}"#;
        let site = read(github).expect("a forge");
        assert_eq!((site.kind, site.app), (forge::Kind::GitHub, Some(7)));
        let gitea = r#"{"kind": "gitea", "api": "https://git.example.org/api/v1", "repository": "a/b", "app": null}"#;
        let site = read(gitea).expect("a forge");
        assert_eq!(site.repository.as_deref(), Some("a/b"));
    }
}
