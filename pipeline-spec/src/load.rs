//! Reads the configuration out of the files of a commit.

use std::collections::BTreeMap;

use crate::check::check_configuration;
use crate::config::Config;
use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::limits::MAX_KEY_FILE_BYTES;
use crate::parse::{check_place, read};
use crate::path::{PathKind, classify};
use crate::project::Project;
use crate::read::decode::Decode;
use crate::read::report::{Finding, Report, whole_file};
use crate::read::text;

impl Config {
    /// Reads the configuration from files, given by path and contents in any order. Files that are
    /// no configuration ([`is_config_path`](crate::is_config_path)) are passed over, so the caller
    /// need not read them. The configuration is whole only if no diagnostic is an error: files
    /// with mistakes are left out of it.
    pub fn load<P, B>(files: impl IntoIterator<Item = (P, B)>) -> (Self, Vec<Diagnostic>)
    where
        P: AsRef<str>,
        B: AsRef<[u8]>,
    {
        // Sorted, so that the same commit gets the same messages in the same order.
        let files: BTreeMap<String, B> = files
            .into_iter()
            .map(|(path, bytes)| (path.as_ref().to_owned(), bytes))
            .collect();
        let mut loader = Loader {
            config: Self::empty(Project::named("unnamed")),
            texts: BTreeMap::new(),
            found: Vec::new(),
        };
        for (path, bytes) in &files {
            loader.file(path, bytes.as_ref());
        }
        if !files.contains_key("millrace.yaml") {
            loader.found.push(whole_file(
                "millrace.yaml",
                Severity::Error,
                Finding::new(
                    Code::MissingFile,
                    "the file millrace.yaml is missing",
                    "add it at the top of the repository, with `version: 1` and `name: …`",
                ),
            ));
        }
        let Loader {
            config,
            texts,
            mut found,
        } = loader;
        // References into a file that could not be read would be reported as unknown names.
        let broken = found.iter().any(|d| d.severity == Severity::Error);
        if !broken {
            found.extend(check_configuration(&config, &|path| {
                texts.get(path).copied().unwrap_or("")
            }));
        }
        (config, found)
    }
}

struct Loader<'f> {
    config: Config,
    texts: BTreeMap<&'f str, &'f str>,
    found: Vec<Diagnostic>,
}

impl<'f> Loader<'f> {
    fn file(&mut self, path: &'f str, bytes: &'f [u8]) {
        match classify(path) {
            PathKind::Project => {
                if let Some(project) = self.read(path, bytes) {
                    self.config.project = project;
                }
            }
            PathKind::Policy => {
                if let Some(policy) = self.read(path, bytes) {
                    self.config.policy = policy;
                }
            }
            PathKind::Platform(name) => {
                let value = self.read(path, bytes);
                self.config
                    .platforms
                    .extend(value.map(|value| (name, value)));
            }
            PathKind::Flavor(name) => {
                let value = self.read(path, bytes);
                self.config.flavors.extend(value.map(|value| (name, value)));
            }
            PathKind::Repository(name) => {
                let value = self.read(path, bytes);
                self.config
                    .repositories
                    .extend(value.map(|value| (name, value)));
            }
            PathKind::Key(id) => {
                let value = self.read(path, bytes);
                self.config.keys.extend(value.map(|value| (id, value)));
            }
            PathKind::Runner(id) => {
                let value = self.read(path, bytes);
                self.config.runners.extend(value.map(|value| (id, value)));
            }
            PathKind::KeyFile(key) => match key_file(path, bytes) {
                Ok(()) => _ = self.config.key_files.insert(key, bytes.to_vec()),
                Err(diagnostic) => self.found.push(diagnostic),
            },
            PathKind::Misplaced(_) if crate::is_config_path(path) => {
                self.found.extend(check_place(path));
            }
            PathKind::Misplaced(_)
            | PathKind::Request(_)
            | PathKind::Erratum(_)
            | PathKind::Reserved
            | PathKind::Other => {}
        }
    }

    fn read<T: Decode>(&mut self, path: &'f str, bytes: &'f [u8]) -> Option<T> {
        let text = match text::check(path, bytes) {
            Ok(text) => text,
            Err(diagnostic) => {
                self.found.push(diagnostic);
                return None;
            }
        };
        self.texts.insert(path, text);
        let mut report = Report::new(path, text);
        let value = read(&mut report).filter(|_| !report.has_errors());
        self.found.extend(report.finish());
        value.map(|(_, value)| value)
    }
}

/// An armored public key, as far as that shows without OpenPGP. A private key here would be public
/// with the next push, so it gets its own words.
fn key_file(path: &str, bytes: &[u8]) -> Result<(), Diagnostic> {
    let error = |code, message: &str, help: &str| {
        Err(whole_file(
            path,
            Severity::Error,
            Finding::new(code, message, help),
        ))
    };
    let has = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    if bytes.len() > MAX_KEY_FILE_BYTES {
        let message = format!(
            "the file has {} bytes; the limit is {MAX_KEY_FILE_BYTES}",
            bytes.len()
        );
        return error(
            Code::TooLarge,
            &message,
            "export the one key that is needed",
        );
    }
    if has(b"PRIVATE KEY BLOCK") {
        return error(
            Code::InvalidValue,
            "this is a private key",
            "remove it, revoke the key and make a new one: whoever read this repository has it",
        );
    }
    if !has(b"-----BEGIN PGP PUBLIC KEY BLOCK-----") {
        return error(
            Code::InvalidValue,
            "this is not an armored OpenPGP public key",
            "write what `gpg --armor --export KEY` prints",
        );
    }
    Ok(())
}
