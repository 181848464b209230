//! Debian versions: deb-version(7), and the order of `dpkg --compare-versions`.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use super::{Error, version_type};
use crate::limits::MAX_VERSION_BYTES;

/// A Debian version: `[epoch:]upstream[-revision]`. Two are equal when dpkg calls them equal, though
/// their texts may differ (`1.0` and `1.0-0`).
#[derive(Debug, Clone)]
pub struct DebVersion {
    /// 0 when there is none. dpkg takes up to 2^31 - 1.
    pub epoch: u32,
    /// The upstream version; not empty.
    pub upstream: String,
    /// What follows the last `-`; `None` for a native package.
    pub revision: Option<String>,
}

version_type!(DebVersion);

impl Ord for DebVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = (self.revision.as_deref(), other.revision.as_deref());
        self.epoch
            .cmp(&other.epoch)
            .then_with(|| compare_part(&self.upstream, &other.upstream))
            .then_with(|| compare_part(a.unwrap_or_default(), b.unwrap_or_default()))
    }
}

impl FromStr for DebVersion {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let error = |reason| Error::new("a Debian version", text, reason);
        if text.len() > MAX_VERSION_BYTES {
            return Err(error("it is too long"));
        }
        let (epoch, rest) = match text.split_once(':') {
            None => (0, text),
            Some((epoch, rest)) => {
                let number = !epoch.is_empty() && epoch.bytes().all(|b| b.is_ascii_digit());
                let value: Option<i32> = number.then(|| epoch.parse().ok()).flatten();
                (
                    value.ok_or_else(|| error("the epoch is no number of dpkg's range"))?,
                    rest,
                )
            }
        };
        let (upstream, revision) = match rest.rsplit_once('-') {
            None => (rest, None),
            Some((_, "")) => return Err(error("the revision is empty")),
            Some((upstream, revision)) => (upstream, Some(revision)),
        };
        if !upstream.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(error("the upstream version does not begin with a digit"));
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '~');
        if !upstream.chars().all(|c| fits(c) || matches!(c, '-' | ':')) {
            return Err(error(
                "it has more than letters, digits, `.`, `+`, `-`, `~` and `:`",
            ));
        }
        if !revision.unwrap_or_default().chars().all(fits) {
            return Err(error(
                "the revision has more than letters, digits, `.`, `+` and `~`",
            ));
        }
        Ok(Self {
            epoch: epoch.unsigned_abs(),
            upstream: upstream.to_owned(),
            revision: revision.map(str::to_owned),
        })
    }
}

impl fmt::Display for DebVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An upstream version with a colon needs its epoch, or the colon would end one.
        if self.epoch != 0 || self.upstream.contains(':') {
            write!(f, "{}:", self.epoch)?;
        }
        f.write_str(&self.upstream)?;
        match &self.revision {
            Some(revision) => write!(f, "-{revision}"),
            None => Ok(()),
        }
    }
}

/// Orders two upstream versions or two revisions: runs of non-digits and of digits by turns.
fn compare_part(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while !a.is_empty() || !b.is_empty() {
        let words = compare_words(take(&mut a, is_word), take(&mut b, is_word));
        let order = words.then_with(|| {
            let (x, y) = (number(&mut a), number(&mut b));
            x.len().cmp(&y.len()).then_with(|| x.cmp(y))
        });
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

fn compare_words(a: &[u8], b: &[u8]) -> Ordering {
    // `~` sorts before the end of the part, letters before everything else.
    let weight = |byte: Option<&u8>| match byte {
        Some(b'~') => -1,
        None => 0,
        Some(b) if b.is_ascii_alphabetic() => i32::from(*b),
        Some(b) => i32::from(*b) + 256,
    };
    (0..a.len().max(b.len()))
        .map(|i| weight(a.get(i)).cmp(&weight(b.get(i))))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

fn is_word(byte: &u8) -> bool {
    !byte.is_ascii_digit()
}

/// The digits at the front, without leading zeros, so that the longer number is the larger.
fn number<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let digits = take(text, u8::is_ascii_digit);
    let zeros = digits.iter().take_while(|b| **b == b'0').count();
    &digits[zeros..]
}

fn take<'a>(text: &mut &'a [u8], belongs: impl Fn(&u8) -> bool) -> &'a [u8] {
    let end = text.iter().position(|b| !belongs(b)).unwrap_or(text.len());
    let (taken, rest) = text.split_at(end);
    *text = rest;
    taken
}
