//! A check as a check run of GitHub: what to write, given what is there.
//!
//! Callers: `github`. Invariants: pure. A run names the digest of its text (`external_id`) only once all of it is there, so
//! a write that broke off is seen and finished. GitHub adds the annotations of an update to those that a run has
//! and never removes one, and a run that was completed is not taken back; where either would be needed, a new run of
//! the same name takes the place of the old one: people are shown the latest.

use ports::{Annotation, Check, CheckState, Level};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::text::{self, MAX_ANNOTATIONS, PREFIX};

/// Annotations that GitHub takes in one request.
const A_REQUEST: usize = 50;
/// Behind the digest of a text that is not whole yet.
const UNFINISHED: &str = " unfinished";
/// Characters of a title.
const MAX_TITLE: usize = 250;
/// Characters of an annotation: 64 KB at most, whatever alphabet.
const MAX_MESSAGE: usize = 8_000;
/// Buttons, characters of their names and labels, and characters of what they do.
const ACTIONS: (usize, usize, usize) = (3, 20, 40);

/// A check run that is there.
#[derive(Debug, Deserialize)]
pub(super) struct Run {
    pub(super) id: u64,
    status: String,
    conclusion: Option<String>,
    external_id: Option<String>,
    output: Output,
}

#[derive(Debug, Deserialize)]
struct Output {
    annotations_count: usize,
}

/// A page of them.
#[derive(Deserialize)]
pub(super) struct Runs {
    check_runs: Vec<Run>,
}

impl Runs {
    /// The one that people are shown.
    pub(super) fn latest(self) -> Option<Run> {
        self.check_runs.into_iter().max_by_key(|run| run.id)
    }
}

/// What has to be written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// All of it is there.
    Nothing,
    /// A new run.
    New,
    /// This run changes. It has this many of the annotations already.
    Change(u64, usize),
}

pub(super) fn step(found: Option<&Run>, check: &Check) -> Step {
    let Some(run) = found else { return Step::New };
    let there = run.external_id.as_deref().unwrap_or_default();
    let has = run.output.annotations_count;
    let (status, conclusion) = state(check.state);
    let same_state = run.status == status && run.conclusion.as_deref() == conclusion;
    if there == check.digest && same_state {
        return Step::Nothing;
    }
    let completed = run.status == "completed";
    if there == unfinished(check) && !completed && has <= shown(check).len() {
        return Step::Change(run.id, has);
    }
    if has > 0 || (completed && !check.state.is_done()) {
        return Step::New;
    }
    Step::Change(run.id, 0)
}

/// The bodies of the requests that write `check`, in their order, when `sent` of its annotations are there already. The
/// first one makes the run if it is not there.
pub(super) fn bodies(check: &Check, sent: usize) -> Vec<Value> {
    let rest = &shown(check)[sent..];
    let mut pieces: Vec<_> = rest.chunks(A_REQUEST).collect();
    if pieces.is_empty() {
        pieces.push(&[]);
    }
    let last = pieces.len() - 1;
    let body = |(nth, piece): (usize, &&[Annotation])| match nth == last {
        true => whole(check, piece),
        false => unfinished_body(check, piece),
    };
    pieces.iter().enumerate().map(body).collect()
}

/// How many requests write all of `check`.
pub(super) fn requests(check: &Check) -> usize {
    shown(check).len().div_ceil(A_REQUEST).max(1)
}

/// What only a new run is told.
pub(super) fn with_place(mut body: Value, check: &Check) -> Value {
    body["name"] = format!("{PREFIX}{}", check.name).into();
    body["head_sha"] = check.commit.as_str().into();
    body
}

fn shown(check: &Check) -> &[Annotation] {
    &check.annotations[..check.annotations.len().min(MAX_ANNOTATIONS)]
}

fn unfinished(check: &Check) -> String {
    format!("{}{UNFINISHED}", check.digest)
}

fn unfinished_body(check: &Check, piece: &[Annotation]) -> Value {
    json!({
        "external_id": unfinished(check),
        "status": "in_progress",
        "output": output(check, piece),
    })
}

fn whole(check: &Check, piece: &[Annotation]) -> Value {
    let (status, conclusion) = state(check.state);
    let mut body = json!({
        "external_id": check.digest,
        "status": status,
        "output": output(check, piece),
        // Also while it runs: what is under way can be stopped. An empty list takes those of an earlier text away.
        "actions": actions(check),
    });
    if let Some(details) = &check.details {
        body["details_url"] = details.as_str().into();
    }
    if let Some(conclusion) = conclusion {
        body["conclusion"] = conclusion.into();
    }
    body
}

/// GitHub's words: a status, and a conclusion once it is completed.
fn state(state: CheckState) -> (&'static str, Option<&'static str>) {
    match state {
        CheckState::Waiting => ("queued", None),
        CheckState::Running => ("in_progress", None),
        CheckState::Passed => ("completed", Some("success")),
        CheckState::Failed => ("completed", Some("failure")),
        CheckState::Neutral => ("completed", Some("neutral")),
    }
}

fn output(check: &Check, piece: &[Annotation]) -> Value {
    json!({
        "title": text::line(&check.title, MAX_TITLE),
        "summary": text::summary(check),
        "annotations": piece.iter().map(annotation).collect::<Vec<_>>(),
    })
}

fn annotation(annotation: &Annotation) -> Value {
    let message = match annotation.help.as_str() {
        "" => annotation.message.clone(),
        help => format!("{}\n{help}", annotation.message),
    };
    let line = annotation.line.max(1);
    let column = annotation.column.max(1);
    json!({
        "path": annotation.path,
        "start_line": line,
        "end_line": line,
        "start_column": column,
        "end_column": column,
        "annotation_level": match annotation.level {
            Level::Error => "failure",
            Level::Warning => "warning",
        },
        "message": message.chars().take(MAX_MESSAGE).collect::<String>(),
    })
}

fn actions(check: &Check) -> Value {
    let (most, name, what) = ACTIONS;
    let actions = check.actions.iter().take(most).map(|action| {
        json!({
            "identifier": text::line(action.name, name),
            "label": text::line(action.label, name),
            "description": text::line(action.what, what),
        })
    });
    actions.collect()
}

#[cfg(test)]
mod tests {
    use ports::Action;

    use super::*;

    fn check(state: CheckState, annotations: usize) -> Check {
        let annotation = |line| Annotation {
            path: "packages/zlib.yaml".to_owned(),
            line,
            column: 3,
            level: Level::Error,
            message: "no such platform".to_owned(),
            help: "write debian-12".to_owned(),
        };
        Check {
            name: "plan".to_owned(),
            commit: "ab".repeat(20),
            pull: Some(7),
            state,
            title: "2 mistakes".to_owned(),
            summary: "See the lines.".to_owned(),
            annotations: (1..=annotations as u32).map(annotation).collect(),
            actions: vec![Action {
                name: "retry",
                label: "Retry",
                what: "Tries failed tasks again",
            }],
            details: Some("https://example.org/plan".to_owned()),
            digest: "d1".to_owned(),
        }
    }

    fn run(
        status: &str,
        conclusion: Option<&str>,
        external_id: &str,
        annotations_count: usize,
    ) -> Run {
        Run {
            id: 1,
            status: status.to_owned(),
            conclusion: conclusion.map(str::to_owned),
            external_id: Some(external_id.to_owned()),
            output: Output { annotations_count },
        }
    }

    #[test]
    fn what_is_written_follows_from_what_is_there() {
        use CheckState::{Failed, Passed, Running, Waiting};
        let expect = |run: Option<Run>, state, annotations, step_is| {
            assert_eq!(
                step(run.as_ref(), &check(state, annotations)),
                step_is,
                "{run:?} {state:?}"
            );
        };
        let success = Some("success");
        expect(None, Waiting, 0, Step::New);
        expect(
            Some(run("queued", None, "d1", 0)),
            Waiting,
            0,
            Step::Nothing,
        );
        expect(
            Some(run("queued", None, "d1", 0)),
            Running,
            0,
            Step::Change(1, 0),
        );
        expect(
            Some(run("queued", None, "d0", 0)),
            Waiting,
            0,
            Step::Change(1, 0),
        );
        expect(
            Some(run("completed", success, "d1", 0)),
            Passed,
            0,
            Step::Nothing,
        );
        expect(
            Some(run("completed", success, "d1", 0)),
            Failed,
            0,
            Step::Change(1, 0),
        );
        expect(
            Some(run("completed", success, "d0", 0)),
            Running,
            0,
            Step::New,
        );
        expect(
            Some(run("completed", success, "d1", 120)),
            Passed,
            120,
            Step::Nothing,
        );
        expect(
            Some(run("completed", success, "d0", 120)),
            Passed,
            120,
            Step::New,
        );
        expect(
            Some(run("completed", success, "d0", 1)),
            Passed,
            0,
            Step::New,
        );
        // Broken off: what is there stays, and the rest follows.
        expect(
            Some(run("in_progress", None, "d1 unfinished", 50)),
            Passed,
            120,
            Step::Change(1, 50),
        );
        expect(
            Some(run("in_progress", None, "d1 unfinished", 100)),
            Passed,
            100,
            Step::Change(1, 100),
        );
        expect(
            Some(run("in_progress", None, "d0 unfinished", 50)),
            Passed,
            120,
            Step::New,
        );
        // A person or a clock completed it meanwhile, or two wrote at once.
        expect(
            Some(run("completed", success, "d1 unfinished", 50)),
            Passed,
            120,
            Step::New,
        );
        expect(
            Some(run("in_progress", None, "d1 unfinished", 170)),
            Passed,
            120,
            Step::New,
        );
    }

    #[test]
    fn annotations_go_in_pieces_and_the_last_says_the_state() {
        let bodies = bodies(&check(CheckState::Failed, 120), 0);
        let count = |body: &Value| body["output"]["annotations"].as_array().map_or(0, Vec::len);
        assert_eq!(bodies.iter().map(count).collect::<Vec<_>>(), [50, 50, 20]);
        let ids: Vec<_> = bodies
            .iter()
            .map(|body| body["external_id"].as_str())
            .collect();
        assert_eq!(
            ids,
            [Some("d1 unfinished"), Some("d1 unfinished"), Some("d1")]
        );
        let conclusions: Vec<_> = bodies
            .iter()
            .map(|body| body["conclusion"].as_str())
            .collect();
        assert_eq!(conclusions, [None, None, Some("failure")]);
        for annotations in [0, 1, 50, 51, 120, 1_234] {
            let check = check(CheckState::Failed, annotations);
            assert_eq!(requests(&check), super::bodies(&check, 0).len());
        }
        let rest = super::bodies(&check(CheckState::Failed, 120), 100);
        assert_eq!(rest.iter().map(count).collect::<Vec<_>>(), [20]);
        let done = super::bodies(&check(CheckState::Failed, 100), 100);
        assert_eq!(done.iter().map(count).collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn more_annotations_than_people_read_are_counted() {
        let bodies = bodies(&check(CheckState::Failed, 1_234), 0);
        assert_eq!(bodies.len(), 4);
        let summary = "See the lines.\n\n*1034 more remarks are not shown here.*\n";
        assert_eq!(bodies[3]["output"]["summary"], summary);
    }

    #[test]
    fn the_body_is_what_github_reads() {
        let bodies = bodies(&check(CheckState::Failed, 1), 0);
        let body = with_place(bodies[0].clone(), &check(CheckState::Failed, 1));
        let expect = json!({
            "name": "millrace / plan",
            "head_sha": "ab".repeat(20),
            "external_id": "d1",
            "status": "completed",
            "conclusion": "failure",
            "details_url": "https://example.org/plan",
            "output": {
                "title": "2 mistakes",
                "summary": "See the lines.",
                "annotations": [{
                    "path": "packages/zlib.yaml",
                    "start_line": 1,
                    "end_line": 1,
                    "start_column": 3,
                    "end_column": 3,
                    "annotation_level": "failure",
                    "message": "no such platform\nwrite debian-12",
                }],
            },
            "actions": [{
                "identifier": "retry",
                "label": "Retry",
                "description": "Tries failed tasks again",
            }],
        });
        assert_eq!(body, expect);
        let running = super::bodies(&check(CheckState::Running, 0), 0);
        assert_eq!(running[0]["actions"], body["actions"]);
        assert_eq!(running[0].get("conclusion"), None);
    }
}
