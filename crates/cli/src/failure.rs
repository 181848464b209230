//! Why a command ends without having done what was asked, and the exit codes of all commands.
//!
//! | code | [`Kind`] | |
//! |---|---|---|
//! | 0 | | done, and what was asked about is well |
//! | 1 | | done, and what was asked about is not well: see `Verdict::NotWell` |
//! | 2 | `usage` | the words of the command are wrong |
//! | 3 | `trouble` | the control plane or a file of this machine |
//! | 4 | `not-there` | nothing has that name |
//! | 5 | `not-now` | its present state does not allow it |
//! | 6 | `time-out` | it did not happen in time |

use crate::render::clean;

/// What kind of failure: one exit code each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Usage,
    Trouble,
    /// Trouble of the control plane's: it may be over in a moment.
    Lost,
    NotThere,
    NotNow,
    TimeOut,
}

impl Kind {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Usage => 2,
            Self::Trouble | Self::Lost => 3,
            Self::NotThere => 4,
            Self::NotNow => 5,
            Self::TimeOut => 6,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::Trouble | Self::Lost => "trouble",
            Self::NotThere => "not-there",
            Self::NotNow => "not-now",
            Self::TimeOut => "time-out",
        }
    }
}

/// A failure of a known kind. Every other error is [`Kind::Trouble`].
#[derive(Debug)]
pub(crate) struct Failure {
    kind: Kind,
    sentence: String,
}

impl Failure {
    pub(crate) fn new(kind: Kind, sentence: impl Into<String>) -> Self {
        Self {
            kind,
            sentence: sentence.into(),
        }
    }

    pub(crate) fn not_there(sentence: impl Into<String>) -> Self {
        Self::new(Kind::NotThere, sentence)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for Failure {}

/// Standard output was closed by its reader, as `head` does: nobody is left to be told anything.
#[derive(Debug)]
pub(crate) struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("standard output was closed")
    }
}

impl std::error::Error for Closed {}

pub(crate) fn kind_of(error: &anyhow::Error) -> Kind {
    error
        .downcast_ref::<Failure>()
        .map_or(Kind::Trouble, |failure| failure.kind)
}

/// What a login or a token of GitHub begins with: <https://github.blog/engineering/behind-githubs-new-authentication-token-formats/>.
const TOKENS: [&str; 6] = ["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"];

/// Errors repeat words of the command, and somebody has put a login or a token where none belongs.
pub(crate) fn without_secrets(text: &str) -> String {
    let ends = |c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '`' | '=');
    let hidden = |word: &str| match word.find('@') {
        Some(at) if word[..at].contains(':') => forge::shown(word),
        _ if TOKENS.iter().any(|token| word.contains(token)) => "…".to_owned(),
        _ => word.to_owned(),
    };
    // Each piece is a word and what ends it.
    let pieces = text.split_inclusive(ends);
    let shown = pieces.map(|piece| {
        let word = piece.trim_end_matches(ends);
        hidden(word) + &piece[word.len()..]
    });
    shown.collect()
}

/// The error as it goes to standard error: a line for people, or a line of JSON.
pub(crate) fn report(kind: Kind, message: &str, json: bool) -> String {
    let message = without_secrets(&clean(message));
    if json {
        let error = serde_json::json!({
            "error": {"kind": kind.word(), "code": kind.code(), "message": message},
        });
        format!("{error}\n")
    } else {
        format!("millrace: {message}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_secret_is_not_repeated() {
        let check = |text: &str, expect: &str| assert_eq!(without_secrets(text), expect);
        check("open 'https//ada:hunter2@h/x': no", "open '…@h/x': no");
        check("https://ada:hun@ter2@h/x\nno", "…@h/x\nno");
        check("read /a/ghp_abc: no", "read … no");
        check("--token=github_pat_abc", "--token=…");
        for same in ["Ada <ada@h>, a: b", "git@h:x.git", "  a  \n", ""] {
            check(same, same);
        }
    }

    #[test]
    fn errors_for_people_and_for_programs() {
        let check = |json: bool, expect: &str| {
            let error = anyhow::Error::new(Failure::not_there("no \u{1b}[31mx")).context("look");
            let said = report(kind_of(&error), &format!("{error:#}"), json);
            assert_eq!(said, expect);
        };
        check(false, "millrace: look: no [31mx\n");
        check(
            true,
            "{\"error\":{\"code\":4,\"kind\":\"not-there\",\"message\":\"look: no [31mx\"}}\n",
        );
    }
}
