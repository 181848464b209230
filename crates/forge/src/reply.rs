//! Answers to comments, as both forges have them.
//!
//! Callers: the adapters. Invariants: pure. The first line names the comment that is answered, and is hidden from people;
//! with its author it says whether a comment is an answer of ours.

use jiff::Timestamp;
use ports::Reply;

use crate::text::HIDDEN;

/// The first line.
pub(crate) fn mark(reply: &Reply) -> String {
    format!("{HIDDEN} answers {} -->", reply.comment)
}

/// The whole comment.
pub(crate) fn body(reply: &Reply) -> String {
    let text = reply.text.replace(HIDDEN, "&lt;!-- millrace");
    format!("{}\n{}", mark(reply), text.trim_end())
}

/// When the comment was written that is answered, in RFC 3339: no answer is older.
pub(crate) fn since(reply: &Reply) -> String {
    let since = Timestamp::from_millisecond(reply.written).unwrap_or(Timestamp::UNIX_EPOCH);
    since.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Whether `body` is an answer to the same comment.
pub(crate) fn is_answer(body: &str, reply: &Reply) -> bool {
    body.lines().next() == Some(&mark(reply))
}
