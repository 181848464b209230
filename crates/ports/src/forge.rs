//! The forge: where people open pull requests and read what becomes of them.

use std::fmt;

use ledger::{Ceiling, Millis};

use crate::{Commit, Result};

/// Writes that a forge gets of all processes together.
///
/// GitHub's [secondary limits](https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api) allow
/// 80 requests a minute and 500 an hour that make content. Every request that changes something counts here.
pub const FORGE_WRITES: [Ceiling; 2] = [Ceiling::a_minute(80), Ceiling::an_hour(500)];

/// A pull request as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pull {
    /// Unique in the repository.
    pub number: u64,
    /// What people called it: a stranger's text.
    pub title: String,
    /// The login of who opened it.
    pub author: String,
    /// The newest commit of it.
    pub head: Commit,
    /// The branch that it wants to be merged into.
    pub base: String,
    /// Its commits are in the state repository itself. Not so: in a fork, which anybody may have.
    pub is_own: bool,
    /// Whether it is still to be decided.
    pub state: PullState,
}

/// How a pull request stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullState {
    /// People talk about it.
    Open,
    /// It is in its base, as of this commit.
    Merged(Commit),
    /// It was closed without.
    Closed,
}

/// What people read beside a commit, and beside the pull request that it is the head of.
///
/// A commit has one check of each name. Writing it again changes that one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Of the fixed set that Millrace writes, as `plan`. People see it after `millrace / `.
    pub name: String,
    /// Where it stands.
    pub commit: Commit,
    /// The pull request whose head that is, if it is about one.
    pub pull: Option<u64>,
    /// How it is.
    pub state: CheckState,
    /// One line, without markup.
    pub title: String,
    /// Markdown as GitHub and Gitea both read it, [`Check::MAX_SUMMARY`] bytes at most.
    pub summary: String,
    /// Remarks on lines of files.
    pub annotations: Vec<Annotation>,
    /// What a person may ask for by a click, where the forge can show that; three at most.
    pub actions: Vec<Action>,
    /// A page with more.
    pub details: Option<String>,
    /// Says which version of the text this is, annotations included: an identifier of ours that the forge keeps with it
    /// where it can. The same digest in the same state is not written again.
    pub digest: String,
}

impl Check {
    /// The name of the one about scratch builds: what is asked for by its buttons is about those.
    pub const SCRATCH: &str = "scratch build";
    /// Bytes of a summary that both forges take (GitHub: 65,535 characters).
    pub const MAX_SUMMARY: usize = 65_000;
}

/// How a check is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckState {
    /// Nothing has begun.
    Waiting,
    /// Work is under way.
    Running,
    /// All is well.
    Passed,
    /// Something is wrong that a person must mend.
    Failed,
    /// Nothing follows, or somebody has stopped it.
    Neutral,
}

impl CheckState {
    /// Whether nothing more is expected.
    pub fn is_done(self) -> bool {
        !matches!(self, Self::Waiting | Self::Running)
    }
}

/// A remark on a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// From the repository's top.
    pub path: String,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// How bad.
    pub level: Level,
    /// What is wrong.
    pub message: String,
    /// What to write instead; may be empty.
    pub help: String,
}

/// How bad an annotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// It stops the merge's work.
    Error,
    /// People should look twice.
    Warning,
}

/// Something to click on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// What the forge sends back when somebody does: 20 characters at most.
    pub name: &'static str,
    /// On the button: 20 characters at most.
    pub label: &'static str,
    /// What it does: 40 characters at most.
    pub what: &'static str,
}

/// What a person may do to the state repository, by what the forge says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// Nothing that others may not.
    None,
    /// Read.
    Read,
    /// Push to it.
    Write,
    /// All.
    Admin,
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        })
    }
}

/// What is said to whoever wrote a comment below a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The pull request.
    pub pull: u64,
    /// The comment's id: it gets one answer.
    pub comment: u64,
    /// When it was written, in milliseconds since 1970: the answer is younger.
    pub written: ledger::Millis,
    /// Markdown, some lines of it. None of it may be read as a command.
    pub text: String,
}

/// A forge's side of the state repository. *The same check updates, and never doubles.*
///
/// Nothing that is decided hangs on what people wrote there. An error is transient while the forge wants to be left
/// alone, and while something is missing that a person has to mend: its sentence says what, or until when. A request that the
/// forge does not understand is our mistake, and is corrupt.
pub trait Forge: Send + Sync {
    /// Pull requests that are open against `base`, in the order of their numbers.
    fn open_pulls(&self, base: &str) -> impl Future<Output = Result<Vec<Pull>>> + Send;

    /// A pull request, whatever its state.
    fn pull(&self, number: u64) -> impl Future<Output = Result<Option<Pull>>> + Send;

    /// The pull request that was merged as this commit of its base. None: it was pushed without one, or came along with a
    /// later commit of one.
    fn pull_of(&self, commit: &str) -> impl Future<Output = Result<Option<Pull>>> + Send;

    /// Writes a check, or writes it anew. Doing so twice is the same as once, and costs nobody a second mail.
    ///
    /// * After a transient error a part may be there; writing it again finishes it.
    /// * Of a commit that the forge does not have any more nothing is written, and that is no error: it was pushed over,
    ///   and nobody can look at it.
    /// * What people read on a pull request is about its newest commit; a check of an older one does not replace that.
    /// * Forges know no conditions: two processes must not write one check at the same time.
    fn write_check(&self, check: &Check) -> impl Future<Output = Result<()>> + Send;

    /// How many requests [`Self::write_check`] makes at most that change something.
    fn writes(&self, check: &Check) -> usize {
        let _ = check;
        1
    }

    /// Until when it wants to be left alone, if it said so: asking before is in vain.
    fn rests_until(&self) -> Option<Millis> {
        None
    }

    /// What `login` may do.
    fn permission(&self, login: &str) -> impl Future<Output = Result<Permission>> + Send;

    /// Whether `login` is who writes checks and answers here, or another program: what they say is no command.
    fn is_program(&self, login: &str) -> impl Future<Output = Result<bool>> + Send;

    /// Answers a comment where people look. A comment that has an answer gets no other one, whatever it says.
    ///
    /// Of a pull request that is gone, or that nobody may write below, nothing is written, and that is no error.
    fn answer(&self, reply: &Reply) -> impl Future<Output = Result<()>> + Send;
}
