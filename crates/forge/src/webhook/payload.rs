//! The JSON of a delivery, as far as it matters.

use std::fmt;

use ports::Commit;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::{FullName, Refusal};
use crate::text::first_bytes;

/// What is kept, as pointers of RFC 6901; `*` is each of a list. The rest of 25 MiB is passed over without memory,
/// however deep it is nested and wherever it is.
const KEPT: [&str; 35] = [
    "/action",
    "/after",
    "/changes/owner/from/organization/login",
    "/changes/owner/from/user/login",
    "/changes/repository/name/from",
    "/check_run/completed_at",
    "/check_run/external_id",
    "/check_run/head_sha",
    "/check_run/id",
    "/check_run/name",
    "/check_run/pull_requests/*/number",
    "/check_suite/external_id",
    "/check_suite/head_sha",
    "/check_suite/id",
    "/check_suite/name",
    "/check_suite/pull_requests/*/number",
    COMMENT,
    "/comment/created_at",
    "/comment/id",
    "/comment/user/login",
    "/comment/user/type",
    "/installation/id",
    "/is_pull",
    "/issue/number",
    "/issue/pull_request",
    "/number",
    "/pull_request/head/sha",
    "/ref",
    "/ref_type",
    "/repositories/*/full_name",
    "/repositories_added/*/full_name",
    "/repositories_removed/*/full_name",
    "/repository/full_name",
    "/requested_action/identifier",
    "/sender/login",
];
/// The one text that is longer than a name.
const COMMENT: &str = "/comment/body";
/// Bytes of a comment that are read. GitHub takes 65,536 characters, which are no more; a Gitea takes any number.
const MAX_COMMENT: usize = 256 * 1024;
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
        let mut parser = serde_json::Deserializer::from_str(body);
        let kept = parser.deserialize_map(Keep(""));
        let kept = kept.and_then(|kept| parser.end().map(|()| kept));
        let kept = kept.map_err(|cause| Refusal::NotJson {
            // It may show what it has found: all of the body.
            cause: cause.to_string().chars().take(MAX_CAUSE).collect(),
        })?;
        Ok(Self { event, kept })
    }

    /// Whatever is there, but null.
    pub(super) fn at(&self, pointer: &str) -> Option<&Value> {
        debug_assert!(
            KEPT.iter().any(|kept| kept.starts_with(pointer)),
            "{pointer} is not kept"
        );
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

    /// The first ones of a list, at most [`MAX_LIST`].
    pub(super) fn list(&self, pointer: &str) -> &[Value] {
        let list = self.at(pointer).and_then(Value::as_array);
        list.map_or(&[], Vec::as_slice)
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

/// Reads what is at this place, and keeps of it what [`KEPT`] names.
#[derive(Clone, Copy)]
struct Keep(&'static str);

impl Keep {
    /// The place below this one, if anything is kept there.
    fn below(self, key: &str) -> Option<Self> {
        KEPT.iter().find_map(|kept| {
            let rest = kept.strip_prefix(self.0)?.strip_prefix('/')?;
            let rest = rest.strip_prefix(key)?;
            let is_whole = rest.is_empty() || rest.starts_with('/');
            is_whole.then(|| Self(&kept[..kept.len() - rest.len()]))
        })
    }
}

impl<'de> DeserializeSeed<'de> for Keep {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Keep {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut kept = Map::new();
        while let Some(key) = entries.next_key_seed(Key(self))? {
            match key {
                Some((key, place)) => {
                    kept.insert(key, entries.next_value_seed(place)?);
                }
                None => {
                    entries.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Value::Object(kept))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut kept = Vec::new();
        if let Some(each) = self.below("*") {
            while kept.len() < MAX_LIST
                && let Some(entry) = entries.next_element_seed(each)?
            {
                kept.push(entry);
            }
        }
        while entries.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Array(kept))
    }

    /// What is too long to be a name is none.
    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(match self.0 {
            COMMENT => whole_lines(text, MAX_COMMENT).into(),
            _ if text.len() <= MAX_TEXT => text.into(),
            _ => Value::Null,
        })
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_bool<E>(self, is_so: bool) -> Result<Value, E> {
        Ok(is_so.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

/// A key of the object at this place: itself and the place below it, if anything is kept there.
struct Key(Keep);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Option<(String, Keep)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Option<(String, Keep)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.below(key).map(|place| (key.to_owned(), place)))
    }
}

/// The beginning of `text` in at most `most` bytes. A line that is cut could ask for more than the whole one: `cancel`
/// without what is to be canceled.
fn whole_lines(text: &str, most: usize) -> &str {
    if text.len() <= most {
        return text;
    }
    let head = first_bytes(text, most);
    // One line alone is cut anyway, where commands are read.
    head.rfind('\n').map_or(head, |end| &head[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_small_whatever_comes() {
        let check = |body: &str, expect: &str| {
            let payload = Payload::parse("push", body).expect("an object");
            assert_eq!(payload.kept.to_string(), expect, "{body}");
        };
        check(
            r#"{"a": 1, "action": "b", "action": "c"}"#,
            r#"{"action":"c"}"#,
        );
        check(
            r#"{"issue": {"a": [], "number": 3, "pull_request": {"b": 1}}}"#,
            r#"{"issue":{"number":3,"pull_request":{}}}"#,
        );
        check(r#"{"action": [[1], {"a": 2}]}"#, r#"{"action":[]}"#);
        check(
            r#"{"repositories": [{"id": 1, "full_name": "a/b"}, 2, [3]]}"#,
            r#"{"repositories":[{"full_name":"a/b"},2,[]]}"#,
        );
        check(
            r#"{"changes/owner": 1, "": 2, "*": 3, "re": 4}"#,
            r#"{"changes/owner":1}"#,
        );
        let long = format!(r#"{{"ref": "{}"}}"#, "a".repeat(MAX_TEXT + 1));
        check(&long, r#"{"ref":null}"#);
        let many = format!(r#"{{"repositories": [{}0]}}"#, "0,".repeat(MAX_LIST));
        let kept = format!(r#"{{"repositories":[{}0]}}"#, "0,".repeat(MAX_LIST - 1));
        check(&many, &kept);
    }

    #[test]
    fn comments_end_with_a_line() {
        let check = |text: &str, most: usize, expect: &str| {
            assert_eq!(whole_lines(text, most), expect);
        };
        check("one\ntwo", 7, "one\ntwo");
        check("one\ntwo", 6, "one");
        check("äöü", 3, "ä");
    }
}
