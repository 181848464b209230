//! Requests in a line, and which of the open ones only a person can move.

use std::collections::{BTreeMap, BTreeSet};

use control::{RequestSummary, StatusFile};
use pipeline_spec::RequestPath;

/// A request's line, of one that [`control::Status`] does not list.
pub fn summary(file: &StatusFile) -> RequestSummary {
    let mut tasks = BTreeMap::new();
    for task in &file.tasks {
        *tasks.entry(task.state.clone()).or_default() += 1;
    }
    RequestSummary {
        path: file.request.clone(),
        phase: file.phase.clone(),
        priority: file.priority,
        commit: file.commit.clone(),
        at_rest: !matches!(file.phase.as_str(), "open" | "publishing" | "reverting"),
        tasks,
        problems: file.problems.clone(),
        notes: file.notes.clone(),
    }
}

/// Of `requests`, the open ones that have no open task and wait for others alone, none of which will
/// succeed by itself: each failed, or is stuck too. A request that is not among `requests` may still move.
pub fn stuck(requests: &[RequestSummary]) -> BTreeSet<RequestPath> {
    let mut still: BTreeSet<&RequestPath> = requests
        .iter()
        .filter(|r| matches!(&*r.phase, "failed" | "invalid" | "canceled" | "removed"))
        .map(|request| &request.path)
        .collect();
    let mut found = BTreeSet::new();
    // Each round finds one at least, so that it ends.
    loop {
        let new: Vec<&RequestSummary> = requests
            .iter()
            .filter(|r| !r.at_rest && !still.contains(&r.path) && !has_open_task(r))
            .filter(|r| {
                let awaited = awaited(r);
                !awaited.is_empty() && awaited.iter().all(|path| still.contains(path))
            })
            .collect();
        if new.is_empty() {
            return found;
        }
        for request in new {
            still.insert(&request.path);
            found.insert(request.path.clone());
        }
    }
}

/// Requests that a request waits for, as its notes name them.
pub fn awaited(request: &RequestSummary) -> Vec<RequestPath> {
    let subjects = request.notes.iter().map(|note| &note.subject);
    subjects.filter_map(|text| text.parse().ok()).collect()
}

fn has_open_task(request: &RequestSummary) -> bool {
    let open = |state: &str| request.tasks.get(state).is_some_and(|n| *n > 0);
    ["blocked", "ready", "leased"].into_iter().any(open)
}

#[cfg(test)]
mod tests {
    use ledger::Note;

    use super::*;

    #[test]
    fn what_waits_for_failures_alone_is_stuck() {
        let request =
            |(name, phase, task, waits_for): (&str, &str, &str, &[&str])| RequestSummary {
                path: path(name),
                phase: phase.to_owned(),
                priority: pipeline_spec::Priority::Normal,
                commit: String::new(),
                at_rest: phase != "open",
                tasks: BTreeMap::from([(task.to_owned(), 1)]),
                problems: Vec::new(),
                notes: waits_for
                    .iter()
                    .map(|name| Note {
                        subject: path(name).to_string(),
                        why: "it waits".to_owned(),
                    })
                    .collect(),
            };
        let check = |all: &[(&str, &str, &str, &[&str])], expect: &[&str]| {
            let all: Vec<_> = all.iter().copied().map(request).collect();
            let expect = expect.iter().copied().map(path).collect();
            assert_eq!(stuck(&all), expect);
        };
        let bad = ("bad", "failed", "failed", &[][..]);
        check(&[bad, ("r", "open", "succeeded", &["bad"])], &["r"]);
        // One after another.
        let b = ("b", "open", "succeeded", &["bad"][..]);
        check(&[("r", "open", "succeeded", &["b"]), b, bad], &["b", "r"]);
        // Something of it runs, or one of what it waits for does, or nobody knows.
        check(&[bad, ("r", "open", "leased", &["bad"])], &[]);
        let runs = ("runs", "open", "leased", &[][..]);
        check(&[bad, runs, ("r", "open", "", &["bad", "runs"])], &[]);
        check(&[("r", "open", "", &["unknown"])], &[]);
        check(&[("r", "open", "", &[])], &[]);
        // It was mended, and the release is not told yet.
        let good = ("bad", "succeeded", "succeeded", &[][..]);
        check(&[good, ("r", "open", "", &["bad"])], &[]);
    }

    fn path(name: &str) -> RequestPath {
        let path = format!("builds/2026/11/{name}.yaml");
        path.parse().expect("a path")
    }
}
