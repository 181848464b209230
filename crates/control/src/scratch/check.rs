//! How scratch builds go, as people read it on the page of their pull request.
//!
//! Pure: what the rows say goes in, a check comes out. What failed is first. A `let _` here is a write into a `String`,
//! which cannot fail.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ledger::ScratchRow;
use pipeline_spec::RequestPath;
use ports::{Check, CheckState};
use runner_api::{Artifact, ArtifactKind};

use super::end::KEPT_DAYS;
use crate::markdown::{code, prose};
use crate::results_check::{self, Brought, CANCEL, RETRY};

/// Requests that are named because they were left out.
const MAX_LEFT_OUT: usize = 10;
/// Packages that are named; the pages of the tasks have all of them.
const MAX_PACKAGES: usize = 30;

pub(super) fn scratch_check(
    row: &ScratchRow,
    brought: &BTreeMap<RequestPath, Brought>,
    public_url: Option<&str>,
) -> Check {
    let all = results_check::in_order(brought.iter());
    let state = state(row, &all);
    let mut text = String::new();
    what(&mut text, row, state);
    text.push_str(&results_check::failures(&all, public_url));
    if !all.is_empty() {
        results_check::table(&mut text, &all, public_url);
    }
    left_out(&mut text, row);
    packages(&mut text, &all, public_url);
    results_check::waiting(&mut text, &all);
    let mut actions = Vec::new();
    if row.stopped.is_none() {
        let bad = all.iter().any(|(_, it)| it.is_bad());
        actions.extend(bad.then_some(RETRY));
        actions.extend((state == CheckState::Running).then_some(CANCEL));
    }
    Check {
        name: Check::SCRATCH.to_owned(),
        commit: row.commit.clone(),
        pull: Some(row.number),
        state,
        title: title(row, &all, state),
        summary: text,
        annotations: Vec::new(),
        actions,
        details: details(&all, public_url),
        digest: String::new(),
    }
}

fn state(row: &ScratchRow, all: &[(&RequestPath, &Brought)]) -> CheckState {
    let state = results_check::state(all);
    let is_passed = state == CheckState::Passed;
    // What is not there has not passed.
    let is_short = is_passed && missing(row, all) > 0;
    match (row.begun, &row.stopped) {
        (false, None) => CheckState::Running,
        (_, Some(_)) if is_short => CheckState::Neutral,
        (true, None) if is_short => CheckState::Failed,
        // Green would be read as "all of it can be built".
        (true, _) if is_passed && row.left_out.len() + row.more_left_out > 0 => CheckState::Neutral,
        _ => state,
    }
}

/// The page of the request that is to be looked at first. The front page knows nothing of scratch builds.
fn details(all: &[(&RequestPath, &Brought)], public_url: Option<&str>) -> Option<String> {
    let (path, _) = all.first()?;
    Some(format!("{}/request/{path}", public_url?))
}

/// Requests of it that are not there.
fn missing(row: &ScratchRow, all: &[(&RequestPath, &Brought)]) -> usize {
    row.requests.len().saturating_sub(all.len())
}

fn title(row: &ScratchRow, all: &[(&RequestPath, &Brought)], state: CheckState) -> String {
    let mut title = match (missing(row, all), &row.stopped) {
        (missing, Some(_)) if missing > 0 => {
            format!(
                "Stopped: {missing} of {} requests were not begun",
                row.requests.len()
            )
        }
        (missing, None) if missing > 0 && state.is_done() => {
            format!("{missing} of {} requests are missing", row.requests.len())
        }
        _ if all.is_empty() && state.is_done() => "Nothing was built".to_owned(),
        _ if all.is_empty() => "Under way".to_owned(),
        // What was left out follows.
        _ if state == CheckState::Neutral => results_check::title(all, results_check::state(all)),
        _ => results_check::title(all, state),
    };
    match row.left_out.len() + row.more_left_out {
        0 => {}
        1 => title.push_str(", 1 request left out"),
        n => _ = write!(title, ", {n} requests left out"),
    }
    title
}

/// What this is, and what it is not.
fn what(text: &mut String, row: &ScratchRow, state: CheckState) {
    let short = |commit: &str| code(&commit[..commit.len().min(12)]);
    let _ = writeln!(
        text,
        "Builds of what this pull request adds and changes, as {0} would be merged into {1}, with the configuration of {1}. {2} asked for them.\n",
        short(&row.commit),
        short(&row.base),
        prose(&row.login)
    );
    let _ = writeln!(
        text,
        "**Nothing of them is ever released.** They are for trying out, and are removed {KEPT_DAYS} days after they were asked for. What is merged is built anew.\n"
    );
    // Of what was done before nothing was stopped.
    if let Some(why) = &row.stopped
        && state != CheckState::Passed
    {
        let _ = writeln!(text, "They were stopped: {}.\n", prose(why));
    }
}

fn left_out(text: &mut String, row: &ScratchRow) {
    if row.left_out.is_empty() {
        return;
    }
    text.push_str("\n#### Not built\n\n");
    for problem in row.left_out.iter().take(MAX_LEFT_OUT) {
        let (subject, why) = (code(&problem.subject), prose(&problem.message));
        let _ = writeln!(text, "* ❌ {subject}: {why}");
    }
    let more = row.left_out.len().saturating_sub(MAX_LEFT_OUT) + row.more_left_out;
    if more > 0 {
        let _ = writeln!(text, "* and {more} more");
    }
}

/// Binary packages that are there, with where to get them.
fn packages(text: &mut String, all: &[(&RequestPath, &Brought)], public_url: Option<&str>) {
    let tasks = all.iter().flat_map(|(_, it)| &it.status.tasks);
    let done = tasks.filter(|task| task.state == "succeeded");
    let made = done.flat_map(|task| task.artifacts.iter().map(move |file| (task, file)));
    let made: Vec<_> = made.filter(|(_, file)| is_package(file)).collect();
    if made.is_empty() {
        return;
    }
    text.push_str("\n#### Packages\n\n");
    for (task, file) in made.iter().take(MAX_PACKAGES) {
        let name = code(&file.name);
        let _ = match public_url {
            Some(url) => {
                let file = percent_encoded(&file.name);
                writeln!(text, "* [{name}]({url}/scratch/{}/{file})", task.id)
            }
            None => writeln!(text, "* {name}, SHA-256 {}", code(&file.sha256.to_string())),
        };
    }
    if made.len() > MAX_PACKAGES {
        let _ = writeln!(text, "* and {} more", made.len() - MAX_PACKAGES);
    }
}

fn is_package(file: &Artifact) -> bool {
    matches!(file.kind, ArtifactKind::Rpm | ArtifactKind::Deb)
}

/// As one part of an address's path: a stranger's name ends no link.
fn percent_encoded(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => _ = write!(out, "%{byte:02X}"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_a_file_ends_no_link() {
        let name = percent_encoded("a-1.0~rc1_2+b.rpm) [x](é/?#%");
        assert_eq!(
            name,
            "a-1.0~rc1_2%2Bb.rpm%29%20%5Bx%5D%28%C3%A9%2F%3F%23%25"
        );
    }
}
