//! What people ask for at the forge, as a message carries it, and what is remembered of it.

use serde::{Deserialize, Serialize};

use crate::Millis;

/// Something that somebody asks for: by a command in a comment, or by a button of a check.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Asked {
    /// Names it among all that was ever asked, and is part of what the forge has signed: it is done once, however often
    /// the forge says it.
    pub id: String,
    /// Who, by the forge's word.
    pub login: String,
    /// About what.
    pub about: About,
    /// What, in this order; at least one.
    pub wishes: Vec<Wish>,
    /// Where it stands; none: it was a button.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<Comment>,
}

/// What it is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "about", rename_all = "kebab-case")]
pub enum About {
    /// A pull request, or what it has brought.
    Pull {
        /// Which.
        number: u64,
    },
    /// What a commit has brought: a planned one, or the head of a merged pull request.
    Commit {
        /// Which, in hex digits.
        commit: String,
    },
    /// Scratch builds of a commit, and nothing else that it has brought.
    Scratch {
        /// Which, in hex digits.
        commit: String,
    },
}

/// A comment below a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Comment {
    /// Unique in the forge.
    pub id: u64,
    /// When it was written, by the forge's clock.
    pub written: Millis,
    /// Commands of it that nobody reads, for there are too many.
    #[serde(default, skip_serializing_if = "is_none")]
    pub left_out: usize,
}

fn is_none(count: &usize) -> bool {
    *count == 0
}

/// What people may ask for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "wish", rename_all = "kebab-case")]
pub enum Wish {
    /// Another attempt at what failed.
    Retry,
    /// Nothing more of what is open.
    Cancel,
    /// To look at the pull request anew.
    Plan,
    /// To build what is proposed, for nobody to install.
    Scratch {
        /// The commit that they have looked at, all its hex digits.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        commit: Option<String>,
    },
    /// Something that is no command.
    Unknown {
        /// The line behind `/millrace`: a stranger's words.
        words: String,
    },
}

impl Wish {
    /// As it is written behind `/millrace`, without words of a stranger's.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Cancel => "cancel",
            Self::Plan => "plan",
            Self::Scratch { .. } => "scratch",
            Self::Unknown { .. } => "no command",
        }
    }
}

/// How far something is that was asked for at the forge, so that it is done once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedRow {
    /// Who asked.
    pub login: String,
    /// When it was taken up.
    pub at: Millis,
    /// It was begun, and perhaps not done: a process that died in between left it to the next.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub under_way: bool,
    /// It is done, and whoever asked is not told yet what came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// Of the row of a pull request's newest comment: its number at the forge. 0: it is another row.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub comment: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}
