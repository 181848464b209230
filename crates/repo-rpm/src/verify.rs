//! Checks a published repository the way a client would, and then all of it: signature of the index, digests of the
//! metadata, digest and signature of every package.

mod index;
mod package;

use std::fmt;
use std::io::{self, Read};

use crate::Sha256;
use crate::repodata::{REPOMD, REPOMD_SIGNATURE, is_publishable};
use openpgp::PublicKey;
use serde::Serialize;

/// Larger indexes and signatures are not read: `repomd.xml` is a few KiB.
const MAX_REPOMD_BYTES: u64 = 4 << 20;
/// Larger metadata files are not read. The largest distributions' filelists are below 100 MiB.
const MAX_METADATA_BYTES: u64 = 1 << 30;

/// A published repository: a directory, a web server, a store.
///
/// A closure from path to reader will do.
pub trait RepoFiles {
    /// Opens the file at `path` below the repository's root.
    ///
    /// # Errors
    /// `NotFound` if it is not there, else whatever went wrong.
    fn open(&self, path: &str) -> io::Result<Box<dyn Read + '_>>;
}

impl<F, R> RepoFiles for F
where
    F: Fn(&str) -> io::Result<R>,
    R: Read + 'static,
{
    fn open(&self, path: &str) -> io::Result<Box<dyn Read + '_>> {
        self(path).map(|reader| Box::new(reader) as Box<dyn Read>)
    }
}

/// What was looked at, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Revision that `repomd.xml` states, if it could be read.
    pub revision: Option<String>,
    /// How many packages were checked.
    pub packages: usize,
    /// Empty if all is well.
    pub findings: Vec<Finding>,
}

/// One thing that is not as published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// File below the repository's root.
    pub path: String,
    /// What was compared: "sha256", "size", "signature", …
    pub what: &'static str,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            what,
            expected,
            found,
        } = self;
        write!(f, "{path}: {what}: expected {expected}, found {found}")
    }
}

/// Checks everything that `repomd.xml` leads to. Index and packages must be signed by one of `keys`.
///
/// Reads every package once. Findings come in the order of the index, then of the packages.
#[must_use]
pub fn verify(files: &dyn RepoFiles, keys: &[PublicKey]) -> Report {
    let mut check = Check {
        files,
        keys,
        findings: Vec::new(),
    };
    let mut report = Report {
        revision: None,
        packages: 0,
        findings: Vec::new(),
    };
    if let Some(repomd) = check.index() {
        report.packages = check.everything_in(&repomd);
        report.revision = Some(repomd.revision);
    }
    report.findings = check.findings;
    report
}

struct Check<'a> {
    files: &'a dyn RepoFiles,
    keys: &'a [PublicKey],
    findings: Vec<Finding>,
}

impl Check<'_> {
    fn find(
        &mut self,
        path: &str,
        what: &'static str,
        expected: impl fmt::Display,
        found: impl fmt::Display,
    ) {
        let (path, expected, found) = (path.to_owned(), expected.to_string(), found.to_string());
        self.findings.push(Finding {
            path,
            what,
            expected,
            found,
        });
    }

    fn compare<T: fmt::Display + PartialEq>(
        &mut self,
        path: &str,
        what: &'static str,
        expected: T,
        found: T,
    ) -> bool {
        let same = expected == found;
        if !same {
            self.find(path, what, expected, found);
        }
        same
    }

    /// Like [`Check::compare`], for what the index must state and might not.
    fn compare_stated<T>(
        &mut self,
        path: &str,
        what: &'static str,
        expected: Option<T>,
        found: T,
    ) -> bool
    where
        T: fmt::Display + PartialEq,
    {
        match expected {
            Some(expected) => self.compare(path, what, expected, found),
            None => {
                self.find(path, what, "the index to state it", "nothing");
                false
            }
        }
    }

    /// The whole of a small file.
    fn read(&mut self, path: &str, limit: u64) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = self
            .files
            .open(path)
            .and_then(|reader| reader.take(limit + 1).read_to_end(&mut bytes));
        match read {
            Err(error) => self.find(path, "file", "a readable file", error),
            Ok(_) if bytes.len() as u64 > limit => {
                self.find(path, "size", format!("at most {limit} bytes"), "more");
            }
            Ok(_) => return Some(bytes),
        }
        None
    }

    /// `repomd.xml` and its signature. A bad signature is a finding, and the rest is checked all the same.
    fn index(&mut self) -> Option<index::Repomd> {
        let repomd = self.read(REPOMD, MAX_REPOMD_BYTES)?;
        if let Some(signature) = self.read(REPOMD_SIGNATURE, MAX_REPOMD_BYTES) {
            let armored = String::from_utf8_lossy(&signature).into_owned();
            let tried = self
                .keys
                .iter()
                .map(|key| key.verify_detached_armored(&repomd, &armored));
            if let Err(found) = any_good(tried) {
                self.find(REPOMD_SIGNATURE, "signature", by_one_of(self.keys), found);
            }
        }
        match index::Repomd::parse(&repomd) {
            Ok(repomd) => Some(repomd),
            Err(found) => {
                self.find(REPOMD, "content", "an index of metadata files", found);
                None
            }
        }
    }

    /// All metadata files, then the packages that primary lists; how many those are.
    fn everything_in(&mut self, repomd: &index::Repomd) -> usize {
        let mut primary = None;
        for record in &repomd.records {
            let open = self.metadata(record);
            if record.kind == "primary" {
                primary = open;
            }
        }
        self.same_content(repomd);
        let Some(record) = repomd.record("primary") else {
            self.find(REPOMD, "content", "a record of type primary", "none");
            return 0;
        };
        let listed = primary.map(|primary| index::packages(&primary));
        match listed {
            Some(Ok(packages)) => {
                packages.iter().for_each(|package| self.package(package));
                packages.len()
            }
            Some(Err(found)) => {
                self.find(&record.href, "content", "a list of packages", found);
                0
            }
            // Why it cannot be trusted is among the findings already.
            None => 0,
        }
    }

    /// Checks size and digests of a metadata file; what it holds, uncompressed, if that is as promised.
    fn metadata(&mut self, record: &index::Record) -> Option<Vec<u8>> {
        let path = record.href.as_str();
        if !is_publishable(path) {
            self.find(
                REPOMD,
                "location",
                "a path below the repository",
                format!("{path:?}"),
            );
            return None;
        }
        let bytes = self.read(
            path,
            record
                .size
                .unwrap_or(MAX_METADATA_BYTES)
                .min(MAX_METADATA_BYTES),
        )?;
        let mut good = self.compare_stated(path, "size", record.size, bytes.len() as u64);
        good &= self.compare_stated(path, "sha256", record.sha256, Sha256::of(&bytes));
        let open_size = record
            .open_size
            .unwrap_or(MAX_METADATA_BYTES)
            .min(MAX_METADATA_BYTES);
        let open = match index::open(path, &bytes, open_size) {
            Ok(open) => open,
            Err(found) => {
                self.find(path, "content", "a compressed file", found);
                return None;
            }
        };
        good &= self.compare_stated(path, "open size", record.open_size, open.len() as u64);
        good &= self.compare_stated(path, "open sha256", record.open_sha256, Sha256::of(&open));
        good.then_some(open)
    }

    /// `primary` and `primary_gz` must hold the same, or clients of different age see different repositories.
    fn same_content(&mut self, repomd: &index::Repomd) {
        for other in &repomd.records {
            let Some((kind, _)) = other.kind.rsplit_once('_') else {
                continue;
            };
            let Some(first) = repomd.record(kind) else {
                continue;
            };
            if let (Some(expected), Some(found)) = (first.open_sha256, other.open_sha256) {
                self.compare(&other.href, "open sha256", expected, found);
            }
        }
    }

    fn package(&mut self, listed: &index::Listed) {
        let path = listed.location.as_str();
        if !is_publishable(path) {
            return self.find(
                path,
                "location",
                "a path below the repository",
                format!("{path:?}"),
            );
        }
        let read = self
            .files
            .open(path)
            .map_err(|error| error.to_string())
            .and_then(package::read);
        let found = match read {
            Ok(found) => found,
            Err(found) => return self.find(path, "file", "a readable package", found),
        };
        self.compare_stated(path, "size", listed.size, found.size);
        self.compare_stated(path, "sha256", listed.sha256, found.sha256);
        self.compare(path, "package", listed.nevra(), found.nevra);
        for (what, expected, actual) in &found.digests {
            self.compare(path, what, expected.as_str(), actual.as_str());
        }
        let Some(packet) = &found.signature else {
            return self.find(path, "signature", by_one_of(self.keys), "no signature");
        };
        let tried = self
            .keys
            .iter()
            .map(|key| key.verify_detached_binary(&found.header, packet));
        if let Err(found) = any_good(tried) {
            self.find(path, "signature", by_one_of(self.keys), found);
        }
    }
}

/// The first success; else the failure that says most: a mismatch rather than "another key".
fn any_good<T>(tried: impl Iterator<Item = Result<T, openpgp::Error>>) -> Result<(), String> {
    let mut said: Option<openpgp::Error> = None;
    for result in tried {
        match result {
            Ok(_) => return Ok(()),
            Err(error) if said.is_none() || !matches!(error, openpgp::Error::OtherKey { .. }) => {
                said = Some(error)
            }
            Err(_) => {}
        }
    }
    Err(said.map_or_else(
        || "a signature, but no key was given to check it".to_owned(),
        |error| error.to_string(),
    ))
}

fn by_one_of(keys: &[PublicKey]) -> String {
    let names: Vec<String> = keys.iter().map(PublicKey::fingerprint).collect();
    format!("a good one by key {}", names.join(" or "))
}
