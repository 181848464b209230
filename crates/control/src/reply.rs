//! What is said to whoever wrote a command.
//!
//! Pure: what came of it goes in, Markdown comes out. No line begins with a command.

use ledger::{Asked, Problem, ScratchRow};
use pipeline_spec::RequestPath;

use crate::markdown::{code, prose};
use crate::results_check::shown;

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
    /// Scratch builds were stopped, and so many tasks of them.
    Stopped(usize),
    /// The pull request was looked at: this is its newest commit.
    Planned(String),
    /// The pull request is not open, or not one into the branch of wishes.
    NotOpen,
    /// Of scratch builds.
    Scratch(Scratch),
    /// A newer comment was done before: nothing of it is undone.
    Overtaken,
    /// It is no command: a stranger's words.
    Unknown(String),
}

/// What came of a wish for scratch builds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scratch {
    /// These were begun.
    Begun(Box<ScratchRow>),
    /// Those of this commit were begun before.
    Before(String),
    /// It has no build request that can be built; those that cannot be, and how many more.
    Nothing(Vec<Problem>, usize),
    /// It has so many, and so many are built at most.
    TooMany(usize, usize),
    /// The pull request is not open, or not one into the branch of wishes.
    NotOpen,
    /// It is from a fork, and the commit was not named.
    OfAFork,
    /// Another commit was named than its newest.
    NotTheNewest,
    /// No commit was planned yet: there is no configuration.
    NothingPlanned,
    /// It cannot be looked at, and why.
    Unread(String),
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
            "Nothing that this pull request has brought has failed: nothing is left to retry.".to_owned()
        }
        Came::Retried(paths, tasks) => {
            let named: Vec<String> = paths.iter().take(MAX_NAMED).map(shown).collect();
            let more = match paths.len().saturating_sub(MAX_NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let tasks = match tasks {
                0 => "What was missing is looked up again".to_owned(),
                1 => "1 task is tried again".to_owned(),
                tasks => format!("{tasks} tasks are tried again"),
            };
            format!("{tasks}, of {}{more}.", named.join(", "))
        }
        Came::Canceled(0) => {
            "No task of what this pull request has brought is under way: nothing is left to cancel. What waits for something else is stopped by a revert of its file.".to_owned()
        }
        Came::Canceled(1) => "1 task is canceled.".to_owned(),
        Came::Canceled(tasks) => format!("{tasks} tasks are canceled."),
        Came::Stopped(tasks) => {
            let tasks = match tasks {
                0 => String::new(),
                1 => ": 1 task was canceled".to_owned(),
                tasks => format!(": {tasks} tasks were canceled"),
            };
            format!("Scratch builds are stopped{tasks}. `/millrace scratch` lets them go on, for a fork with the id of the commit behind it.")
        }
        Came::Planned(head) => format!(
            "The plan was made anew, of {}.",
            code(head.get(..12).unwrap_or(head))
        ),
        Came::NotOpen => "There is nothing to plan: this pull request is not open, or does not target the branch that Millrace plans.".to_owned(),
        Came::Scratch(scratch) => of_scratch(scratch),
        Came::Overtaken => {
            "Nothing was done: a newer command on this pull request came before this one. If you still want it, write it again.".to_owned()
        }
        Came::Unknown(words) => no_command(words),
    }
}

fn no_command(words: &str) -> String {
    let said: String = words.chars().take(MAX_WORDS).collect();
    let said = code(format!("/millrace {said}").trim());
    let (word, rest) = words.split_once(' ').unwrap_or((words, ""));
    match word {
        "scratch" => format!(
            "{said} was not understood, so nothing was built. `/millrace scratch` may be followed by one commit, all digits of its id."
        ),
        "retry" | "cancel" | "plan" if !rest.is_empty() => format!(
            "{said} was not understood, so nothing was done. `/millrace {word}` stands alone on its line, and means all that this pull request has brought."
        ),
        _ => format!(
            "{said} is no command. There are `/millrace retry`, `/millrace cancel`, `/millrace plan` and `/millrace scratch`, each alone on a line. `/millrace scratch` may be followed by a commit, all digits of its id."
        ),
    }
}

fn of_scratch(scratch: &Scratch) -> String {
    let short = |commit: &str| code(commit.get(..12).unwrap_or(commit));
    match scratch {
        Scratch::Begun(row) => {
            let builds = match row.requests.len() {
                1 => "Scratch builds of 1 request were begun".to_owned(),
                n => format!("Scratch builds of {n} requests were begun"),
            };
            let commit = short(&row.commit);
            let left_out = left_out("Not built", &row.left_out, row.more_left_out);
            format!(
                "{builds}, of {commit}. The check **millrace / scratch build** follows them, and nothing of them is ever released.{left_out}"
            )
        }
        Scratch::Before(commit) => format!(
            "Scratch builds of {} were begun before: the check **millrace / scratch build** says how they go. `/millrace retry` tries again what failed.",
            short(commit)
        ),
        Scratch::Nothing(broken, _) if broken.is_empty() => {
            "There is nothing to build: this pull request adds or changes no build request.".to_owned()
        }
        Scratch::Nothing(broken, more) => {
            format!("There is nothing that can be built.{}", left_out("Not built", broken, *more))
        }
        Scratch::TooMany(many, most) => format!(
            "It adds or changes {many} build requests, and scratch builds are made of {most} at most: split it."
        ),
        Scratch::NotOpen => "There is nothing to build: this pull request is not open, or does not target the branch that Millrace plans.".to_owned(),
        Scratch::OfAFork => "Nothing was begun: this pull request is from a fork, so name the commit that you have read, all digits of its id, as in `/millrace scratch COMMIT`. Its author can push at any time, and what is built has to be what was read.".to_owned(),
        Scratch::NotTheNewest => "Nothing was begun: the commit that you name is not the newest of this pull request. Read what was pushed since, and name that.".to_owned(),
        Scratch::NothingPlanned => "Nothing was begun: no commit of the branch was planned yet, so there is no configuration to build with.".to_owned(),
        Scratch::Unread(why) => format!("Nothing was begun: {}.", prose(why)),
    }
}

/// Behind a sentence.
fn left_out(words: &str, problems: &[Problem], more: usize) -> String {
    if problems.is_empty() {
        return String::new();
    }
    let named = problems.iter().take(MAX_NAMED);
    let named: Vec<String> = named
        .map(|it| format!("{}: {}", code(&it.subject), prose(&it.message)))
        .collect();
    let more = match problems.len().saturating_sub(MAX_NAMED) + more {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    format!(" {words}: {}{more}.", named.join("; "))
}
