//! What a delivery says, whichever forge sent it.

use std::fmt;
use std::str::FromStr;

use ports::Commit;
use serde::Deserialize;

use super::Command;

/// A delivery that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Who sent it.
    pub kind: Kind,
    /// Its id: the same when it is delivered again. See [`super::Deliveries`].
    pub delivery: String,
    /// The git repository where it happened, if it says so and the name can be one.
    pub repository: Option<FullName>,
    /// The login of who did it, if it says so and the name can be one.
    pub sender: Option<String>,
    /// What happened.
    pub event: Event,
}

/// Which forge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// GitHub, or GitHub Enterprise Server.
    GitHub,
    /// Gitea, or what speaks as it does.
    Gitea,
}

/// What happened: where to look, and who asked. No more, since the forge is asked for the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A branch was moved.
    Push {
        /// Its name, without `refs/heads/`.
        branch: String,
        /// Where it was then; nowhere if it was deleted.
        after: Option<Commit>,
    },
    /// A pull request is new, or another one than before.
    PullRequest {
        /// Its number.
        number: u64,
        /// In which way.
        action: PullAction,
        /// Its newest commit then.
        head: Commit,
    },
    /// Somebody wants checks to be made again: this one, or all of the commit's. GitHub alone has that, and tells the
    /// App alone that made them.
    Rerequested(Checked),
    /// Somebody pressed a button of a check. GitHub alone has that, and tells the App alone that made it.
    Action {
        /// The button's name ([`ports::Action`]).
        name: String,
        /// Whose button.
        on: Checked,
        /// Who.
        login: String,
    },
    /// Somebody wrote commands below a pull request. A changed comment is none: its commands would run twice.
    Comment {
        /// Unique in the forge, and signed: what was done for it is not done again.
        id: u64,
        /// The pull request's number.
        pull: u64,
        /// Who wrote it. No app: those answer, and an answer may show a command.
        login: String,
        /// When, in milliseconds since 1970 by the forge's clock.
        written: i64,
        /// At least one.
        commands: Vec<Command>,
        /// How many more there were.
        left_out: usize,
    },
    /// A branch came or went.
    Branch {
        /// Its name.
        branch: String,
        /// Which of both.
        change: BranchChange,
    },
    /// The forge tries the webhook.
    Ping,
    /// The App may reach other repositories than before.
    Installation {
        /// The installation's id.
        id: u64,
        /// Whether it reaches these.
        presence: Presence,
        /// Which; if none is named, it may be any.
        repositories: Vec<FullName>,
    },
    /// The git repository has a new name or owner: [`Hook::repository`] is the new one. See [`super::other_name`].
    Renamed {
        /// What it was called.
        from: FullName,
    },
    /// Something that Millrace does nothing for.
    Other {
        /// What the forge calls it, with the action if it has one: `star.created`.
        name: String,
    },
}

/// What happened to a pull request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullAction {
    /// It was opened, or is open again.
    Opened,
    /// It has other commits.
    Pushed,
    /// It has another title, text or base.
    Edited,
    /// It was merged, or closed without.
    Closed,
}

/// What a check is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Where it stands.
    pub commit: Commit,
    /// Which check, by its name in [`ports::Check`]; all of the commit's if none.
    pub check: Option<String>,
    /// Which text of it the person saw: [`ports::Check::digest`]. Another one may be there by now.
    pub digest: Option<String>,
    /// Which writing of that text, as the forge tells them apart.
    pub writing: Option<Writing>,
    /// Pull requests with that commit, as far as the forge names them: none of forks.
    pub pulls: Vec<u64>,
}

/// One of several times that a check said the same, as after a retry that failed in the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Writing {
    /// The number of the check run. Work that goes again after a check was completed has a new one.
    pub run: u64,
    /// When it was completed, in milliseconds since 1970 by the forge's clock, if it is.
    pub completed: Option<i64>,
}

/// What happened to a branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BranchChange {
    /// It is new.
    Created,
    /// It is gone.
    Deleted,
}

/// Whether an App reaches a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It does.
    There,
    /// It was uninstalled, suspended, or taken from the repository.
    Gone,
}

/// The name of a git repository on a forge: `owner/name`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FullName {
    owner: String,
    name: String,
}

impl FullName {
    /// Bytes of an owner and of a name: both forges allow less.
    const MAX_PART: usize = 100;

    /// Both parts, if they can be ones of a forge. They are safe in the path of a URL.
    pub fn new(owner: &str, name: &str) -> Option<Self> {
        let is_part = |part: &str| {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            (1..=Self::MAX_PART).contains(&part.len())
                && part.bytes().all(is_plain)
                && ![".", ".."].contains(&part)
        };
        (is_part(owner) && is_part(name)).then(|| Self {
            owner: owner.to_owned(),
            name: name.to_owned(),
        })
    }

    /// A person or an organization.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// The part behind the slash.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for FullName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

impl FromStr for FullName {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (owner, name) = text.split_once('/').ok_or(())?;
        Self::new(owner, name).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_repositories() {
        for right in ["a/b", "octo-org/Hello.World_2", "a/.github"] {
            let repository: FullName = right.parse().unwrap();
            assert_eq!(repository.to_string(), right);
        }
        let long = format!("a/{}", "b".repeat(101));
        for wrong in [
            "", "a", "/", "a/", "/b", "a/b/c", "a/..", "./b", "a/b?c", "a/ü", &long,
        ] {
            assert!(wrong.parse::<FullName>().is_err(), "{wrong}");
        }
    }
}
