//! What a forge answered, as bytes with headers: a stranger's until it is parsed.
//!
//! Callers: `line` and the adapters. Invariants: an answer has an end ([`MAX_BYTES`]); what it says reaches people as
//! one short line, without the token that it answers to.

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use ports::{Error, Result};
use reqwest::StatusCode;
use reqwest::header::{DATE, HeaderMap, LINK, LOCATION};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::address::Secret;

/// Bytes of an answer. A page of 50 pull requests with the longest texts that GitHub takes is below. Of a larger answer
/// the head alone is kept.
const MAX_BYTES: usize = 32 << 20;
/// Characters of a forge's own words that are passed on.
const MAX_MESSAGE: usize = 300;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// None: it has more than [`MAX_BYTES`].
    body: Option<Vec<u8>>,
    /// What it was asked with. The forge, or a proxy before it, may repeat that.
    token: Option<Secret>,
}

impl Answer {
    /// Reads it to its end, or until it is too large.
    pub(crate) async fn read<B>(
        status: StatusCode,
        headers: HeaderMap,
        body: B,
    ) -> std::result::Result<Self, String>
    where
        B: BodyExt<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let body = match body.size_hint().lower() > MAX_BYTES as u64 {
            true => None,
            false => match Limited::new(body, MAX_BYTES).collect().await {
                Ok(body) => Some(body.to_bytes().to_vec()),
                Err(error) if error.is::<LengthLimitError>() => None,
                Err(error) => return Err(chain(error.as_ref())),
            },
        };
        Ok(Self {
            status,
            headers,
            body,
            token: None,
        })
    }

    /// The same, which will not repeat `token`.
    pub(crate) fn to(mut self, token: &Secret) -> Self {
        self.token = Some(token.clone());
        self
    }

    /// Its JSON. What cannot be read is most often a proxy's page in the place of the forge's.
    pub(crate) fn json<T: DeserializeOwned>(&self, operation: &str, forge: &str) -> Result<T> {
        let Some(body) = &self.body else {
            let cause = format!("the answer has more than {} MiB", MAX_BYTES >> 20);
            return Err(Error::transient(operation, cause));
        };
        serde_json::from_slice(body).map_err(|error| {
            let error = without_values(&error);
            let cause = format!("the answer is not what {forge} answers there: {error}");
            Error::transient(operation, cause)
        })
    }

    /// Its JSON as a list, each entry by itself: one that cannot be read hides no other. With those that can, why the
    /// others cannot.
    pub(crate) fn list<T: DeserializeOwned>(
        &self,
        operation: &str,
        forge: &str,
    ) -> Result<(Vec<T>, Vec<String>)> {
        let entries: Vec<serde_json::Value> = self.json(operation, forge)?;
        let (mut read, mut odd) = (Vec::new(), Vec::new());
        for (place, entry) in entries.into_iter().enumerate() {
            match serde_json::from_value(entry) {
                Ok(entry) => read.push(entry),
                Err(error) => odd.push(format!("entry {}: {}", place + 1, without_values(&error))),
            }
        }
        Ok((read, odd))
    }

    /// Whether nothing but its head was kept.
    pub(crate) fn is_too_large(&self) -> bool {
        self.body.is_none()
    }

    /// What the forge says, on one line.
    pub(crate) fn message(&self) -> String {
        #[derive(Deserialize)]
        struct Said {
            message: String,
        }
        let body = self.body.as_deref().unwrap_or_default();
        let said = serde_json::from_slice(body);
        let said = said.map_or_else(|_| String::new(), |said: Said| said.message);
        let one_line = said.split_whitespace().collect::<Vec<_>>().join(" ");
        // Before anything of it is hidden: a character that is left out may stand in the middle of a token.
        let shown: String = one_line.chars().filter(|&c| is_shown(c)).collect();
        let shown = match &self.token {
            Some(token) => token.hidden_in(&shown),
            None => shown,
        };
        shown.chars().take(MAX_MESSAGE).collect()
    }

    /// The forge has another page of this list.
    pub(crate) fn has_next(&self) -> bool {
        let mut links = self.headers.get_all(LINK).iter();
        links.any(|link| {
            link.to_str()
                .is_ok_and(|link| link.contains("rel=\"next\""))
        })
    }

    /// Where the forge sends us.
    pub(crate) fn location(&self) -> Option<&str> {
        self.status.is_redirection().then_some(())?;
        self.headers.get(LOCATION)?.to_str().ok()
    }

    /// When it was given, by the forge's clock, in milliseconds since 1970.
    pub(crate) fn date(&self) -> Option<i64> {
        let date = self.headers.get(DATE)?.to_str().ok()?;
        let date: Timestamp = DateTimeParser::new().parse_timestamp(date).ok()?;
        Some(date.as_millisecond())
    }

    /// A header that is a number.
    pub(crate) fn number(&self, header: &str) -> Option<i64> {
        self.headers.get(header)?.to_str().ok()?.trim().parse().ok()
    }
}

/// Says of which pull requests nothing can be said.
pub(crate) fn passed_over(odd: &[String]) {
    if !odd.is_empty() {
        tracing::warn!(
            odd = odd.join("; "),
            "the forge lists pull requests that cannot be read: they are passed over"
        );
    }
}

/// A terminal obeys control characters, and a reader is misled by those that turn the direction of a line.
fn is_shown(c: char) -> bool {
    let turns =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !c.is_control() && !turns
}

/// What serde says without what it has read: that may be a token, or megabytes.
fn without_values(error: &serde_json::Error) -> String {
    let said = error.to_string();
    match (error.is_data(), error.line()) {
        _ if said.starts_with("missing field") => said,
        (false, _) => said,
        // Of one entry of a list.
        (true, 0) => "something else than expected".to_owned(),
        (true, line) => format!(
            "something else than expected at line {line} column {}",
            error.column()
        ),
    }
}

/// An error with all its causes. Those of HTTP say at the top only that something went wrong.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
impl Answer {
    /// One that a test makes up.
    pub(crate) fn made(status: u16, headers: &[(&'static str, &str)], body: &str) -> Self {
        let headers = headers.iter().map(|(name, value)| {
            let value = value.parse().expect("a header's value");
            (reqwest::header::HeaderName::from_static(name), value)
        });
        Self {
            status: StatusCode::from_u16(status).expect("a status"),
            headers: headers.collect(),
            body: Some(body.as_bytes().to_vec()),
            token: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_forge_says_is_one_short_line() {
        let check = |body: &str, expect: &str| {
            assert_eq!(Answer::made(403, &[], body).message(), expect);
        };
        check(r#"{"message": "Not\n  Found"}"#, "Not Found");
        check("<html>", "");
        check(r#"{"message": 3}"#, "");
        let long = format!(r#"{{"message": "{}"}}"#, "ä".repeat(9_999));
        check(&long, &"ä".repeat(300));
        check(r#"{"message": "no \u001b[2J\u009b\u202eway"}"#, "no [2Jway");
    }

    #[test]
    fn what_cannot_be_read_is_not_repeated_and_hides_nothing_else() {
        #[derive(Debug, PartialEq, Deserialize)]
        struct Entry {
            number: u64,
        }
        let token = Answer::made(200, &[], r#""ghs_SECRET""#).json::<Entry>("log in", "GitHub");
        let said = token.expect_err("no entry").to_string();
        assert!(
            !said.contains("SECRET") && said.contains("line 1"),
            "{said}"
        );
        let body = r#"[{"number": 1}, {"number": "SECRET"}, {}, {"number": 2}]"#;
        let (read, odd) = Answer::made(200, &[], body)
            .list::<Entry>("list", "GitHub")
            .expect("a list");
        assert_eq!(read, [Entry { number: 1 }, Entry { number: 2 }]);
        assert_eq!(odd.len(), 2);
        assert!(odd[1].contains("missing field `number`"), "{odd:?}");
        assert_eq!(odd[0], "entry 2: something else than expected");
    }

    #[test]
    fn dates_links_and_numbers() {
        let answer = Answer::made(
            301,
            &[
                ("date", "Wed, 01 Jul 2026 00:00:00 GMT"),
                (
                    "link",
                    "<https://x/y?page=2>; rel=\"next\", <https://x/y?page=9>; rel=\"last\"",
                ),
                ("location", "/repositories/1"),
                ("retry-after", " 7 "),
            ],
            "",
        );
        assert_eq!(answer.date(), Some(1_782_864_000_000));
        assert!(answer.has_next());
        assert_eq!(answer.location(), Some("/repositories/1"));
        assert_eq!(answer.number("retry-after"), Some(7));
        let empty = Answer::made(200, &[("location", "/x"), ("retry-after", "soon")], "");
        assert_eq!((empty.date(), empty.has_next()), (None, false));
        assert_eq!(
            (empty.location(), empty.number("retry-after")),
            (None, None)
        );
    }
}
