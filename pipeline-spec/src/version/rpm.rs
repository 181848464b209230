//! RPM's epoch, version and release. The order is that of `rpmvercmp` in rpm's `rpmvercmp.c` and of
//! rpm-version(7): segments of digits or letters, `~` before everything, `^` after the end.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use super::{Error, version_type};
use crate::ids::PackageName;
use crate::limits::MAX_VERSION_BYTES;

/// Epoch, version and release of an RPM package. Two are equal when rpm calls them equal, though
/// their texts may differ (`1.0` and `1_0`).
#[derive(Debug, Clone)]
pub struct Evr {
    /// 0 when the package has none.
    pub epoch: u32,
    /// Version; not empty, without `-`.
    pub version: String,
    /// Release, without `-`; empty when the text had none.
    pub release: String,
}

version_type!(Evr);

impl Ord for Evr {
    fn cmp(&self, other: &Self) -> Ordering {
        self.epoch
            .cmp(&other.epoch)
            .then_with(|| rpmvercmp(&self.version, &other.version))
            .then_with(|| rpmvercmp(&self.release, &other.release))
    }
}

impl FromStr for Evr {
    type Err = Error;

    /// Reads `[epoch:]version[-release]`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let error = |reason| Error::new("epoch:version-release", text, reason);
        if text.len() > MAX_VERSION_BYTES {
            return Err(error("it is too long"));
        }
        let (epoch, rest) = match text.split_once(':') {
            None => (0, text),
            Some((epoch, _)) if !is_number(epoch) => {
                return Err(error("the epoch is not a number"));
            }
            Some((epoch, rest)) => (
                epoch.parse().map_err(|_| error("the epoch is too large"))?,
                rest,
            ),
        };
        let (version, release) = match rest.rsplit_once('-') {
            None => (rest, ""),
            Some((_, "")) => return Err(error("the release is empty")),
            Some(parts) => parts,
        };
        if version.is_empty() {
            return Err(error("the version is empty"));
        }
        let allowed =
            |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '+' | '~' | '^');
        if !version.chars().chain(release.chars()).all(allowed) {
            return Err(error(
                "it has more than letters, digits, `.`, `_`, `+`, `~` and `^`",
            ));
        }
        Ok(Self {
            epoch,
            version: version.to_owned(),
            release: release.to_owned(),
        })
    }
}

impl fmt::Display for Evr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.epoch != 0 {
            write!(f, "{}:", self.epoch)?;
        }
        f.write_str(&self.version)?;
        if !self.release.is_empty() {
            write!(f, "-{}", self.release)?;
        }
        Ok(())
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Name, epoch, version, release and architecture of an RPM package. Ordered by name, then EVR,
/// then architecture.
#[derive(Debug, Clone)]
pub struct Nevra {
    /// Package name.
    pub name: PackageName,
    /// Epoch, version and release; the release is not empty.
    pub evr: Evr,
    /// `x86_64`, `noarch`, `src`…
    pub arch: String,
}

version_type!(Nevra);

impl Ord for Nevra {
    fn cmp(&self, other: &Self) -> Ordering {
        self.name
            .cmp(&other.name)
            .then_with(|| self.evr.cmp(&other.evr))
            .then_with(|| self.arch.cmp(&other.arch))
    }
}

impl FromStr for Nevra {
    type Err = Error;

    /// Reads `name-[epoch:]version-release.arch`, as dnf prints it.
    fn from_str(text: &str) -> Result<Self, Error> {
        let error = |reason| Error::new("name-epoch:version-release.arch", text, reason);
        let (rest, arch) = text
            .rsplit_once('.')
            .ok_or_else(|| error("it has no `.arch`"))?;
        let arch_fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if arch.is_empty() || !arch.chars().all(arch_fits) {
            return Err(error("it has no `.arch` at the end"));
        }
        let mut parts = rest.rsplitn(3, '-');
        let (Some(release), Some(version), Some(name)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(error("it has not the parts name, version and release"));
        };
        let name = name
            .parse()
            .map_err(|_| error("the name is no package name"))?;
        let evr = format!("{version}-{release}").parse()?;
        Ok(Self {
            name,
            evr,
            arch: arch.to_owned(),
        })
    }
}

impl fmt::Display for Nevra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}.{}", self.name, self.evr, self.arch)
    }
}

/// Orders two versions, or two releases, as rpm does. Any text is accepted; what is neither letter,
/// digit, `~` nor `^` (all ASCII) only separates.
pub fn rpmvercmp(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (Tokens(a.as_bytes()), Tokens(b.as_bytes()));
    loop {
        let (left, right) = (a.next(), b.next());
        let order = left.cmp(&right);
        if order.is_ne() || left == Token::End {
            return order;
        }
    }
}

/// A piece of a version. The order of the variants is rpm's: `~` sorts before the end of the
/// version, `^` after the end but before any further segment, letters before digits.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Token<'a> {
    Tilde,
    End,
    Caret,
    Letters(&'a [u8]),
    /// Without leading zeros, so that the longer one is the larger one.
    Digits(usize, &'a [u8]),
}

struct Tokens<'a>(&'a [u8]);

impl<'a> Tokens<'a> {
    fn next(&mut self) -> Token<'a> {
        let separator = |b: &u8| !b.is_ascii_alphanumeric() && !matches!(b, b'~' | b'^');
        self.take(separator);
        match self.0.first() {
            None => Token::End,
            Some(b'~') => {
                self.0 = &self.0[1..];
                Token::Tilde
            }
            Some(b'^') => {
                self.0 = &self.0[1..];
                Token::Caret
            }
            Some(b) if b.is_ascii_digit() => {
                self.take(|b| *b == b'0');
                let digits = self.take(u8::is_ascii_digit);
                Token::Digits(digits.len(), digits)
            }
            Some(_) => Token::Letters(self.take(u8::is_ascii_alphabetic)),
        }
    }

    fn take(&mut self, belongs: impl Fn(&u8) -> bool) -> &'a [u8] {
        let end = self
            .0
            .iter()
            .position(|b| !belongs(b))
            .unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }
}
