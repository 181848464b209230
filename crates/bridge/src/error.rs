//! What can go wrong while the bridge is made. Each message reads after "failed to".

use std::io;
use std::path::{Path, PathBuf};
use std::process::Output;

/// Why there is no bridge. What was finished stays and is used by the next run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A program of the host is not there.
    #[error("run {program}: it is not installed; install it with: apt-get install {package}")]
    Missing {
        /// The program.
        program: &'static str,
        /// The Debian package that carries it.
        package: &'static str,
    },

    /// A program of the host said no.
    #[error("{doing}: {program} answers {status}:\n{output}")]
    Command {
        /// What the program was to do, for a reader who does not know it.
        doing: String,
        /// The program.
        program: &'static str,
        /// Its exit status.
        status: String,
        /// The end of what it printed.
        output: String,
    },

    /// The mirror does not answer.
    #[error(
        "{doing}: the mirror that apt is configured with does not answer. Check the network and `apt-get update`, \
         then run this again: it goes on where it stopped. apt says:\n{output}"
    )]
    Network {
        /// What was to be fetched.
        doing: String,
        /// What apt printed.
        output: String,
    },

    /// apt knows no Debian 12.
    #[error(
        "find Debian 12: no source in {} has suite `bookworm` and component `main`; \
         add one to a file in that directory, for example the line `deb MIRROR bookworm main`",
        .directory.display()
    )]
    NoSource {
        /// Where apt's configuration was read.
        directory: PathBuf,
    },

    /// Packages that were asked for do not exist.
    #[error("find {}: the mirror has no such package; leave it out of --include", .names.join(", "))]
    NoPackage {
        /// Their names.
        names: Vec<String>,
    },

    /// A .deb, control file or index that cannot be understood.
    #[error("read {what}: {reason}")]
    Malformed {
        /// Which object.
        what: String,
        /// What is wrong with it.
        reason: String,
    },

    /// A package that cannot be said in RPM.
    #[error("convert {package}")]
    Convert {
        /// The Debian package.
        package: String,
        /// Why.
        #[source]
        source: Box<Error>,
    },

    /// The RPM writer said no.
    #[error("write the RPM")]
    Rpm(#[from] rpm::Error),

    /// The signing key is unusable, or signing failed.
    #[error("sign with {key}")]
    Key {
        /// The key file, or the key's fingerprint.
        key: String,
        /// Why.
        #[source]
        source: Box<openpgp::Error>,
    },

    /// There is no room.
    #[error(
        "{doing}: the disk is full. The bridge needs about 700 MB in all; \
         free some space and run this again: it goes on where it stopped"
    )]
    DiskFull {
        /// What was to be written.
        doing: String,
    },

    /// The file system said no.
    #[error("{doing} {}", .path.display())]
    Io {
        /// The operation.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Lines of a program's output that an error shows.
const SHOWN_LINES: usize = 6;

impl Error {
    /// For `map_err`: an I/O error with its operation and object.
    pub(crate) fn io(
        doing: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull {
                doing: format!("{doing} {}", path.display()),
            },
            _ => Self::Io {
                doing,
                path,
                source,
            },
        }
    }

    pub(crate) fn malformed(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Malformed {
            what: what.into(),
            reason: reason.into(),
        }
    }

    /// A program that ended with `output`, and not well.
    pub(crate) fn command(
        program: &'static str,
        doing: impl Into<String>,
        output: &Output,
    ) -> Self {
        let (doing, status) = (doing.into(), output.status.to_string());
        let text = [output.stdout.as_slice(), b"\n", output.stderr.as_slice()].concat();
        let text = String::from_utf8_lossy(&text);
        if text.contains("No space left on device") {
            return Self::DiskFull { doing };
        }
        Self::Command {
            doing,
            program,
            status,
            output: reasons(&text),
        }
    }

    /// The error and its causes in one line, as a person reads it.
    #[must_use]
    pub fn told(&self) -> String {
        let mut text = format!("failed to {self}");
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        text
    }
}

/// Lines that apt marks as errors; without such, the last lines.
fn reasons(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .collect();
    let marked: Vec<&str> = lines
        .iter()
        .copied()
        .filter(|line| line.starts_with("E: "))
        .collect();
    match marked.len() {
        0 => lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n"),
        count if count > SHOWN_LINES => {
            format!(
                "{}\nand {} more",
                marked[..SHOWN_LINES].join("\n"),
                count - SHOWN_LINES
            )
        }
        _ => marked.join("\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn told_with_causes() {
        let check = |error: Error, expect: &str| assert_eq!(error.told(), expect);
        let io = |kind: io::ErrorKind| Error::io("write", "/x")(io::Error::from(kind));
        check(
            io(io::ErrorKind::NotFound),
            "failed to write /x: entity not found",
        );
        check(
            Error::Convert {
                package: "bash".to_owned(),
                source: Box::new(io(io::ErrorKind::StorageFull)),
            },
            "failed to convert bash: write /x: the disk is full. The bridge needs about 700 MB in all; \
             free some space and run this again: it goes on where it stopped",
        );
    }

    #[test]
    fn the_reasons_of_apt() {
        let check = |text: &str, expect: &str| assert_eq!(reasons(text), expect);
        check("Get:1\nE: broken\n\nReading\n", "E: broken");
        check("one\ntwo\n", "one\ntwo");
        check("", "");
        check(
            &"E: x\n".repeat(9),
            "E: x\nE: x\nE: x\nE: x\nE: x\nE: x\nand 3 more",
        );
    }
}
