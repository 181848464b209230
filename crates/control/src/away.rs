//! Hosts that did not answer, so that each package on them does not wait for its own silence.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use ledger::Millis;

/// A host that did not answer is left alone for so long. The sweep comes back.
const REST_MILLIS: Millis = 60_000;

/// What this process remembers of them.
#[derive(Debug, Default)]
pub(crate) struct Away(Mutex<BTreeMap<String, Millis>>);

impl Away {
    /// Whether the host of `url` was silent a moment before `now`.
    pub(crate) fn rests(&self, url: &str, now: Millis) -> bool {
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.retain(|_, until| now < *until);
        hosts.contains_key(host(url))
    }

    /// It did not answer.
    pub(crate) fn note(&self, url: &str, now: Millis) {
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.insert(host(url).to_owned(), now.saturating_add(REST_MILLIS));
    }
}

/// Of an address without a host, all of it.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    match rest.split('/').next() {
        Some(host) if !host.is_empty() => host,
        _ => url,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_host_is_left_alone_for_a_while() {
        let away = Away::default();
        let (one, other) = ("https://a.example.org/x.git", "https://a.example.org/y.git");
        assert!(!away.rests(one, 5));
        away.note(one, 5);
        assert!(away.rests(other, 5), "it is the host that is silent");
        assert!(!away.rests("https://b.example.org/x.git", 5));
        assert!(away.rests(one, 5 + REST_MILLIS - 1));
        assert!(!away.rests(one, 5 + REST_MILLIS));
    }

    #[test]
    fn hosts() {
        assert_eq!(
            host("https://a.example.org:8080/x/y.git"),
            "a.example.org:8080"
        );
        assert_eq!(host("git@a.example.org:x.git"), "git@a.example.org:x.git");
        assert_eq!(host("file:///srv/x.git"), "file:///srv/x.git");
        assert_eq!(host(""), "");
    }
}
