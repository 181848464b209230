//! What Terraform says of an installation on AWS: `terraform output -json installation`.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use clap::ValueEnum as _;
use serde::Deserialize;

use crate::args::ForgeKind;

/// Most bytes of the document: it has some thousand.
const MAX_BYTES: u64 = 1 << 20;
/// The version of the document that this program reads.
const VERSION: u32 = 1;

/// Of the document, what a state repository and its people have to know. Other programs read the rest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Installation {
    version: u32,
    /// What runners, people and clients call.
    pub(super) api_url: String,
    /// ARNs of the signing keys, by the names that the Terraform gave them.
    key_arns: BTreeMap<String, String>,
    pub(super) state_repository: StateRepository,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct StateRepository {
    /// Where the functions look for it.
    pub(super) url: String,
    /// `github`, `gitea` or `none`.
    #[serde(default)]
    forge: String,
}

impl Installation {
    /// Reads the document; `-`: from standard input.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let name = path.display();
        let mut text = String::new();
        let read = if path == Path::new("-") {
            std::io::stdin().take(MAX_BYTES).read_to_string(&mut text)
        } else {
            let file = std::fs::File::open(path).with_context(|| format!("read {name}"))?;
            file.take(MAX_BYTES).read_to_string(&mut text)
        };
        read.with_context(|| format!("read {name}"))?;
        ensure!(
            text.len() < MAX_BYTES as usize,
            "read {name}: it has more than {} KiB, and `terraform output -json installation` prints a few",
            MAX_BYTES >> 10
        );
        Self::parse(&text).with_context(|| format!("read {name}"))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let found: Self = serde_json::from_str(text)
            .context("it is not what `terraform output -json installation` prints (with the name of that output: without it there is more around it)")?;
        ensure!(
            found.version == VERSION,
            "it is of version {}, and this program knows {VERSION}: use the millrace of the version that was deployed",
            found.version
        );
        ensure!(
            !found.key_arns.is_empty(),
            "it names no signing key: give the module `signing` one, and apply"
        );
        for (name, arn) in &found.key_arns {
            let is_name = name.parse::<pipeline_spec::KeyId>().is_ok();
            if !is_name || !is_arn_of_key(arn) {
                bail!("the key {name:?} has the ARN {arn:?}: one of them is none");
            }
        }
        let is_plain = |url: &str| !url.chars().any(|c| c.is_control() || c.is_whitespace());
        let api = found.api_url.parse::<reqwest::Url>();
        ensure!(
            is_plain(&found.api_url)
                && api.is_ok_and(|url| matches!(url.scheme(), "http" | "https")),
            "its api_url is no http(s) address"
        );
        // A login in it is not repeated.
        let state = found.state_repository.url.parse::<git::RemoteUrl>();
        ensure!(
            is_plain(&found.state_repository.url) && state.is_ok(),
            "its state_repository.url is no http(s) address without a login"
        );
        Ok(found)
    }

    /// The forge that the state repository is on.
    pub(super) fn forge(&self) -> Option<ForgeKind> {
        ForgeKind::from_str(&self.state_repository.forge, false).ok()
    }

    /// The files of its keys, but for their certificates, which the signer makes.
    pub(super) fn keys(&self) -> impl Iterator<Item = (String, String)> {
        self.key_arns.iter().map(|(name, arn)| {
            let text = format!(
                "# A key in AWS KMS that never leaves it. Its certificate is keys/{name}.asc, made by\n\
                 # millrace-signer certificate --kms {arn} --user-id 'NAME <MAIL>' --public {name}.asc\n\
                 # For a key of the kind RSA_4096: kind: rsa4096\n\
                 private: {{kms: \"{arn}\"}}\n"
            );
            (format!("keys/{name}.yaml"), text)
        })
    }

    /// The key that a repository of `format` (`rpm` or `deb`) signs with: the one of that name, `main`, or the first.
    pub(super) fn key_of(&self, format: &str) -> &str {
        let named = |name: &str| self.key_arns.get_key_value(name).map(|(name, _)| name);
        let first = self.key_arns.keys().next();
        named(format)
            .or_else(|| named("main"))
            .or(first)
            .map_or("main", String::as_str)
    }

    /// Names of the keys whose certificates are to be made.
    pub(super) fn names(&self) -> Vec<&str> {
        self.key_arns.keys().map(String::as_str).collect()
    }
}

/// `arn:PARTITION:kms:REGION:ACCOUNT:key/ID`, of plain characters: it goes into files and command lines.
fn is_arn_of_key(arn: &str) -> bool {
    let parts: Vec<&str> = arn.split(':').collect();
    let is_plain = |part: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_/".contains(&b);
        !part.is_empty() && part.bytes().all(plain)
    };
    match parts[..] {
        ["arn", partition, "kms", region, account, key] => {
            let id = key.strip_prefix("key/");
            [partition, region, account].into_iter().all(is_plain) && id.is_some_and(is_plain)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = r#"{"version": 1, "region": "eu-central-1", "api_url": "https://x.example.org",
        "key_arns": {"deb": "arn:aws:kms:eu-central-1:1:key/d", "old": "arn:aws:kms:eu-central-1:1:key/o"},
        "state_repository": {"url": "https://git.example.org/state.git", "forge": "gitea"}}"#;

    #[test]
    fn a_document_is_read_or_its_mistake_is_named() {
        let read = Installation::parse(DOCUMENT).expect("a document");
        assert_eq!(read.key_of("deb"), "deb");
        assert_eq!(read.key_of("rpm"), "deb", "the first");
        let main = DOCUMENT.replace("\"old\"", "\"main\"");
        let main = Installation::parse(&main).expect("a document");
        assert_eq!(main.key_of("rpm"), "main");
        let check = |from: &str, to: &str, expect: &str| {
            let error = Installation::parse(&DOCUMENT.replace(from, to)).expect_err("wrong");
            let error = format!("{error:#}");
            assert!(error.contains(expect), "{error}");
        };
        check("\"version\": 1", "\"version\": 2", "version 2");
        check("\"api_url\"", "\"url_of_api\"", "missing field `api_url`");
        check("{\"version\"", "[\"version\"", "terraform output -json");
        check("arn:aws:kms:eu-central-1:1:key/o", "alias/o", "\"alias/o\"");
        check("\"old\":", "\"../old\":", "one of them is none");
        let key = "arn:aws:kms:eu-central-1:1:key/o";
        for wrong in [
            "arn:",
            "arn:aws:s3:::bucket",
            "arn:aws:kms:r:1:key/",
            "arn:aws:kms:r:1:key/x\\\" y",
        ] {
            check(key, wrong, "one of them is none");
        }
        check("https://x.example.org", "", "api_url");
        check(
            "https://x.example.org",
            "https://x.example.org\\u001b[31m",
            "api_url",
        );
        let state = "https://git.example.org/state.git";
        check(state, "git@example.org:x/y.git", "without a login");
        let error =
            Installation::parse(&DOCUMENT.replace(state, "https://u:s3cret@x.example.org/y"));
        let error = format!("{:#}", error.expect_err("a login"));
        assert!(!error.contains("s3cret"), "{error}");
    }
}
