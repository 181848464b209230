//! What is said to whoever wrote a command.
//!
//! Pure: what came of it goes in, Markdown comes out. No line begins with a command.

use ledger::Asked;
use pipeline_spec::RequestPath;

use crate::markdown::code;

/// Characters that are repeated of what is no command.
const MAX_WORDS: usize = 60;
/// Requests that are named.
const MAX_NAMED: usize = 5;

/// What came of one wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Came {
    /// Tasks of these requests go again; none of a request: its refs are looked up again.
    Retried(Vec<RequestPath>, usize),
    /// So many tasks were stopped.
    Canceled(usize),
    /// The pull request was looked at: this is its newest commit.
    Planned(String),
    /// The pull request is not open, or not one into the branch of wishes.
    NotOpen,
    /// Scratch builds are not there yet.
    NoScratch,
    /// It is no command: a stranger's words.
    Unknown(String),
}

/// To whoever may not.
pub(crate) const REFUSAL: &str =
    "Nothing was done: commands are for people who may push to this repository.";

/// The answer to a comment.
pub(crate) fn answer(asked: &Asked, came: &[Came]) -> String {
    let mut lines: Vec<String> = came.iter().map(sentence).collect();
    // Of the same word twice the same is said once.
    lines.dedup();
    let left_out = asked.comment.as_ref().map_or(0, |it| it.left_out);
    if left_out > 0 {
        let read = asked.wishes.len();
        lines.push(format!(
            "Only the first {read} commands of this comment were read."
        ));
    }
    match &lines[..] {
        [line] => line.clone(),
        lines => lines.iter().map(|line| format!("* {line}\n")).collect(),
    }
}

fn sentence(came: &Came) -> String {
    match came {
        Came::Retried(paths, 0) if paths.is_empty() => {
            "Nothing that this pull request has brought is failed now: nothing is left to retry.".to_owned()
        }
        Came::Retried(paths, tasks) => {
            let named: Vec<String> = paths.iter().take(MAX_NAMED).map(|it| code(it.as_str())).collect();
            let more = match paths.len().saturating_sub(MAX_NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let tasks = match tasks {
                0 => "What was missing is looked up again".to_owned(),
                1 => "1 task goes again".to_owned(),
                tasks => format!("{tasks} tasks go again"),
            };
            format!("{tasks}, of {}{more}.", named.join(", "))
        }
        Came::Canceled(0) => {
            "Nothing that this pull request has brought is under way now: nothing is left to cancel.".to_owned()
        }
        Came::Canceled(1) => "1 task was stopped.".to_owned(),
        Came::Canceled(tasks) => format!("{tasks} tasks were stopped."),
        Came::Planned(head) => format!(
            "The plan was made anew, of {}.",
            code(head.get(..12).unwrap_or(head))
        ),
        Came::NotOpen => "There is nothing to plan: this pull request is not open, or it is into another branch than the one that is planned.".to_owned(),
        Came::NoScratch => "Scratch builds are not there yet.".to_owned(),
        Came::Unknown(words) => {
            let said: String = words.chars().take(MAX_WORDS).collect();
            let said = code(format!("/millrace {said}").trim());
            format!(
                "{said} is no command. There are `/millrace retry`, `/millrace cancel` and `/millrace plan`, each alone on a line."
            )
        }
    }
}
