//! The JSON of a delivery, as far as it matters.

use std::borrow::Cow;
use std::fmt;

use ports::Commit;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::{FullName, Refusal};

/// What is kept of the top. The rest of 25 MiB is passed over without memory, however deep it is nested.
const KEPT: [&str; 19] = [
    "action",
    "after",
    "changes",
    "check_run",
    "check_suite",
    "comment",
    "installation",
    "is_pull",
    "issue",
    "number",
    "pull_request",
    "ref",
    "ref_type",
    "repositories",
    "repositories_added",
    "repositories_removed",
    "repository",
    "requested_action",
    "sender",
];
/// Bytes of a name: of a branch, an action, a check. Git and the forges allow less.
const MAX_TEXT: usize = 1_024;
/// Bytes of a login. GitHub allows 39, and `[bot]` behind those.
const MAX_LOGIN: usize = 100;
/// Characters of the parser's words that are answered.
const MAX_CAUSE: usize = 200;
/// Pull requests and repositories of one delivery that are kept.
pub(super) const MAX_LIST: usize = 100;

/// An event's name, and an object of what is kept. Pointers are those of RFC 6901.
pub(super) struct Payload<'a> {
    /// What the forge calls it.
    pub(super) event: &'a str,
    kept: Value,
}

impl<'a> Payload<'a> {
    pub(super) fn parse(event: &'a str, body: &str) -> Result<Self, Refusal> {
        let kept: Kept = serde_json::from_str(body).map_err(|cause| Refusal::NotJson {
            // It may show what it has found: all of the body.
            cause: cause.to_string().chars().take(MAX_CAUSE).collect(),
        })?;
        Ok(Self {
            event,
            kept: Value::Object(kept.0),
        })
    }

    /// Whatever is there, but null.
    pub(super) fn at(&self, pointer: &str) -> Option<&Value> {
        self.kept.pointer(pointer).filter(|value| !value.is_null())
    }

    /// A name that is not empty.
    pub(super) fn text(&self, pointer: &str) -> Result<&str, Refusal> {
        self.find_text(pointer)
            .ok_or_else(|| self.lacks(pointer, "a name"))
    }

    pub(super) fn number(&self, pointer: &str) -> Result<u64, Refusal> {
        let number = self.at(pointer).and_then(Value::as_u64);
        number.ok_or_else(|| self.lacks(pointer, "a number"))
    }

    /// None is what only zeros stand for.
    pub(super) fn commit_or_none(&self, pointer: &str) -> Result<Option<Commit>, Refusal> {
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        // SHA-1, and SHA-256, which Gitea has too.
        let is_one = |text: &&str| [40, 64].contains(&text.len()) && text.bytes().all(is_hex);
        let text = self.find_text(pointer).filter(is_one);
        let text = text.ok_or_else(|| self.lacks(pointer, "a commit"))?;
        let is_none = text.bytes().all(|byte| byte == b'0');
        Ok((!is_none).then(|| text.to_owned()))
    }

    pub(super) fn commit(&self, pointer: &str) -> Result<Commit, Refusal> {
        self.commit_or_none(pointer)?
            .ok_or_else(|| self.lacks(pointer, "a commit"))
    }

    /// A name that is safe in the path of a URL.
    pub(super) fn login(&self, pointer: &str) -> Result<String, Refusal> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.[]".contains(&byte);
        let is_one = |login: &&str| {
            login.len() <= MAX_LOGIN && login.bytes().all(is_plain) && ![".", ".."].contains(login)
        };
        let login = self.find_text(pointer).filter(is_one);
        let login = login.ok_or_else(|| self.lacks(pointer, "a login"))?;
        Ok(login.to_owned())
    }

    /// Milliseconds since 1970.
    pub(super) fn time(&self, pointer: &str) -> Result<i64, Refusal> {
        let time = self.find_text(pointer).and_then(|text| text.parse().ok());
        let time: jiff::Timestamp = time.ok_or_else(|| self.lacks(pointer, "a time"))?;
        Ok(time.as_millisecond())
    }

    /// Where it happened.
    pub(super) fn repository(&self) -> Result<FullName, Refusal> {
        let pointer = "/repository/full_name";
        let name = self.text(pointer)?.parse().ok();
        name.ok_or_else(|| self.lacks(pointer, "owner/name"))
    }

    /// The first ones of a list.
    pub(super) fn list(&self, pointer: &str) -> impl Iterator<Item = &Value> + use<'_> {
        let list = self.at(pointer).and_then(Value::as_array);
        list.into_iter().flatten().take(MAX_LIST)
    }

    /// The event with its action, if it has one.
    pub(super) fn name(&self) -> String {
        match self.find_text("/action") {
            Some(action) => format!("{}.{action}", self.event),
            None => self.event.to_owned(),
        }
    }

    /// Why it is refused: at `pointer` is not what the event needs.
    pub(super) fn lacks(&self, pointer: &str, needs: &'static str) -> Refusal {
        Refusal::Lacks {
            event: self.name(),
            field: pointer.trim_start_matches('/').replace('/', "."),
            needs,
        }
    }

    fn find_text(&self, pointer: &str) -> Option<&str> {
        let text = self.at(pointer)?.as_str()?;
        (1..=MAX_TEXT).contains(&text.len()).then_some(text)
    }
}

/// An object without what is not [`KEPT`].
struct Kept(Map<String, Value>);

impl<'de> Deserialize<'de> for Kept {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Keep)
    }
}

struct Keep;

impl<'de> Visitor<'de> for Keep {
    type Value = Kept;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Kept, A::Error> {
        let mut kept = Map::new();
        while let Some(key) = entries.next_key::<Cow<'de, str>>()? {
            if KEPT.contains(&key.as_ref()) {
                kept.insert(key.into_owned(), entries.next_value()?);
            } else {
                entries.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Kept(kept))
    }
}
