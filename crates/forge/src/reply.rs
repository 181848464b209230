//! Answers to comments, as both forges have them.
//!
//! Callers: the adapters. Invariants: pure. The first line names the comment that is answered, and is hidden from people;
//! with its author it says whether a comment is an answer of ours.

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

/// Whether `body` is an answer to the same comment.
pub(crate) fn is_answer(body: &str, reply: &Reply) -> bool {
    body.lines().next() == Some(&mark(reply))
}
