//! Addresses that could not be asked, and hosts that were silent, so that each package on them does not wait for its own
//! silence.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use ledger::Millis;
use ports::{Platform, Resolved, StateRepo};

use crate::Control;

/// What did not answer is left alone for so long. The sweep comes back.
const REST_MILLIS: Millis = 60_000;
/// Who is silent for so long would be silent for other addresses of his, too. Before that it may be one alone that fails.
const SILENT_MILLIS: Millis = 5_000;

/// What this process remembers of them.
#[derive(Debug, Default)]
pub(crate) struct Away(Mutex<BTreeMap<String, Resting>>);

#[derive(Debug)]
struct Resting {
    until: Millis,
    /// Why it failed.
    why: String,
}

impl Away {
    /// Why `url` failed, or its host was silent, a moment before `now`. `None`: it may be asked.
    pub(crate) fn rests(&self, url: &str, now: Millis) -> Option<String> {
        let mut resting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        resting.retain(|_, it| now < it.until);
        let found = resting.get(url).or_else(|| resting.get(host(url)));
        found.map(|it| it.why.clone())
    }

    /// It was asked at `asked` and had failed at `now`.
    pub(crate) fn note(&self, url: &str, why: &impl ToString, (asked, now): (Millis, Millis)) {
        let who = match now.saturating_sub(asked) < SILENT_MILLIS {
            true => url,
            false => host(url),
        };
        let mut resting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rests = Resting {
            until: now.saturating_add(REST_MILLIS),
            why: why.to_string(),
        };
        resting.insert(who.to_owned(), rests);
    }
}

impl<P: Platform> Control<P> {
    /// What a branch or tag of a source is. A host that is silent is asked once, and not for each package on it. The
    /// error: why it cannot be known now.
    pub(crate) async fn ask_host(
        &self,
        (url, git_ref): &(String, String),
    ) -> Result<Resolved, String> {
        let asked = self.now();
        if let Some(why) = self.away.rests(url, asked) {
            return Err(why);
        }
        let found = self.platform.state_repo().resolve(url, git_ref).await;
        found.map_err(|error| {
            // Not which port was asked: that is ours, and the host is another's.
            let cause = match &error {
                ports::Error::Transient { cause, .. } | ports::Error::Corrupt { cause, .. } => {
                    cause
                }
            };
            tracing::warn!(url, error = %cause, "a branch or tag of a package's source could not be looked up");
            self.away.note(url, cause, (asked, self.now()));
            cause.clone()
        })
    }
}

/// What people are told of a branch or tag that is not known for now.
pub(crate) fn cannot_be_looked_up((url, git_ref): &(String, String), why: &str) -> String {
    format!(
        "`{git_ref}` of {url} cannot be looked up now, and is asked for again each minute; if the address is wrong, mend it. What came of it: {why}"
    )
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
        let now = SILENT_MILLIS;
        assert_eq!(away.rests(one, now), None);
        away.note(one, &"it took too long", (0, now));
        let why = Some("it took too long".to_owned());
        assert_eq!(away.rests(other, now), why, "it is the host that is silent");
        assert_eq!(away.rests("https://b.example.org/x.git", now), None);
        assert_eq!(away.rests(one, now + REST_MILLIS - 1), why);
        assert_eq!(away.rests(one, now + REST_MILLIS), None);
    }

    #[test]
    fn an_address_that_fails_at_once_is_left_alone_by_itself() {
        let away = Away::default();
        let (one, other) = ("https://a.example.org/x.git", "https://a.example.org/y.git");
        away.note(one, &"refused", (0, SILENT_MILLIS - 1));
        assert!(away.rests(one, SILENT_MILLIS).is_some());
        assert_eq!(away.rests(other, SILENT_MILLIS), None);
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
