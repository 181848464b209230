//! The plan as people read it beside a pull request: in one line, in ten seconds, and in full.
//!
//! Pure: a dry run goes in, a check comes out. All words of strangers are written so that they make no markup and
//! call nobody. A `let _` here is a write into a `String`, which cannot fail.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use pipeline_spec::Sha256Digest;
use ports::{Annotation, Check, CheckState, Level, Pull};
use sha2::{Digest, Sha256};

use crate::dry_run::{DryRun, DryRunPackage, DryRunRepository, DryRunRequest, PackageChange};
use crate::markdown::{code, prose};

/// The check's name.
const NAME: &str = "plan";
/// Lines of a list or a table before it is cut: what is longer is not read, and `millrace plan` has it all.
const MAX_LINES: usize = 50;
/// Annotations of one check: the forge shows so many on a page.
const MAX_ANNOTATIONS: usize = 100;

/// What merging `pull` would do. `both`: paths that its base has changed as well.
pub(crate) fn plan_check(pull: &Pull, run: &DryRun, both: &BTreeSet<String>) -> Check {
    let mistakes = mistakes(run);
    let warnings = warnings(run, both);
    let mut text = String::new();
    if mistakes.is_empty() {
        text.push_str(&overview(run));
    } else {
        list(&mut text, "To mend", &mistakes);
        text.push_str("Nothing of a file with a mistake is built or released.\n\n");
    }
    list(&mut text, "Look twice", &warnings);
    for request in &run.requests {
        text.push_str(&one(request));
    }
    // Not which commit it lies over: every merge would have the checks of all other pull requests written anew.
    let _ = writeln!(text, "Plan `{}`.", &plan_digest(run)[..16]);
    Check {
        state: match mistakes.is_empty() {
            true => CheckState::Passed,
            false => CheckState::Failed,
        },
        title: title(run, mistakes.len(), warnings.len()),
        summary: text,
        annotations: annotations(run),
        ..empty(pull)
    }
}

/// The check of a pull request that cannot be planned at all.
pub(crate) fn refusal(pull: &Pull, why: &str) -> Check {
    Check {
        state: CheckState::Failed,
        title: "This cannot be planned".to_owned(),
        summary: format!("{}.\n", prose(why)),
        ..empty(pull)
    }
}

fn empty(pull: &Pull) -> Check {
    Check {
        name: NAME.to_owned(),
        commit: pull.head.clone(),
        pull: Some(pull.number),
        state: CheckState::Waiting,
        title: String::new(),
        summary: String::new(),
        annotations: Vec::new(),
        actions: Vec::new(),
        details: None,
        digest: String::new(),
    }
}

/// Names what would be done, whatever commit it lies over: two plans with the same digest do the same.
pub(crate) fn plan_digest(run: &DryRun) -> String {
    let mut hash = Sha256::new();
    for request in &run.requests {
        // Rows of the dry run are plain data, so this cannot fail.
        let document = serde_json::to_vec(request).unwrap_or_default();
        hash.update((document.len() as u64).to_le_bytes());
        hash.update(document);
    }
    Sha256Digest::new(hash.finalize().into()).to_string()
}

fn title(run: &DryRun, mistakes: usize, warnings: usize) -> String {
    if mistakes > 0 {
        return count(mistakes, "mistake");
    }
    let work = total(run);
    let mut does = Vec::new();
    let built = work.sources + work.builds + work.tests;
    if built > 0 {
        let parts = [
            count(work.sources, "source"),
            count(work.builds, "build"),
            count(work.tests, "test"),
        ];
        does.push(parts.join(", "));
    }
    let repositories: BTreeSet<&str> = run
        .requests
        .iter()
        .flat_map(|request| &request.repositories)
        .map(|repository| repository.name.as_str())
        .collect();
    if !repositories.is_empty() {
        let names: Vec<&str> = repositories.into_iter().collect();
        does.push(format!("changes {}", shortened(&names)));
    }
    let mut title = match does.is_empty() {
        true if run.requests.is_empty() => "Nothing to build or release".to_owned(),
        true => "Nothing new to build or release".to_owned(),
        false => does.join("; "),
    };
    if warnings > 0 {
        let _ = write!(title, " ({})", count(warnings, "warning"));
    }
    title
}

/// Three names, and how many more.
fn shortened(names: &[&str]) -> String {
    match names {
        [a, b, c, rest @ ..] if !rest.is_empty() => {
            format!("{a}, {b}, {c} and {} more", rest.len())
        }
        names => names.join(", "),
    }
}

fn total(run: &DryRun) -> crate::DryRunWork {
    let mut sum = crate::DryRunWork::default();
    for request in &run.requests {
        sum.sources += request.work.sources;
        sum.builds += request.work.builds;
        sum.tests += request.work.tests;
        sum.releasing += request.work.releasing;
    }
    sum
}

fn count(n: usize, what: &str) -> String {
    match n {
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    }
}

/// A table of what each request does.
fn overview(run: &DryRun) -> String {
    if run.requests.is_empty() {
        return "No request differs from what is planned: merging this builds and releases nothing.\n\n"
            .to_owned();
    }
    let mut text = String::from(
        "| request | | sources | builds | tests | releasing | reused |\n|---|---|--:|--:|--:|--:|--:|\n",
    );
    for request in run.requests.iter().take(MAX_LINES) {
        let work = &request.work;
        let reused = request
            .tasks
            .iter()
            .filter(|task| task.state == "succeeded");
        let cells = [
            work.sources,
            work.builds,
            work.tests,
            work.releasing,
            reused.count(),
        ];
        let cells = cells.map(|n| match n {
            0 => String::new(),
            n => n.to_string(),
        });
        let path = code(request.path.as_str());
        let _ = writeln!(
            text,
            "| {path} | {} | {} |",
            request.change,
            cells.join(" | ")
        );
    }
    more(&mut text, run.requests.len(), "request");
    text.push('\n');
    text
}

/// What a person must mend: once each, by file and line where that is known.
fn mistakes(run: &DryRun) -> Vec<String> {
    let of_requests = run.requests.iter().flat_map(|request| {
        let path = request.path.as_str();
        request.problems.iter().map(move |problem| (path, problem))
    });
    let of_all = run.problems.iter().map(|problem| ("", problem));
    let mut lines: Vec<String> = of_all
        .chain(of_requests)
        .map(|(path, problem)| {
            let subject = match problem.subject.starts_with(path) {
                true => code(&problem.subject),
                false => format!("{} {}", code(path), code(&problem.subject)),
            };
            format!("{subject}: {}", prose(&problem.message))
        })
        .collect();
    lines.dedup();
    lines
}

/// What people should look at twice before they merge.
fn warnings(run: &DryRun, both: &BTreeSet<String>) -> Vec<String> {
    let mut lines: Vec<String> = both
        .iter()
        .map(|path| {
            let path = code(path);
            format!("{path} was changed on the base branch too since this branch began. The plan shows it as it is here; merge the base branch into this one to see what will be")
        })
        .collect();
    let notes = run.notes.iter();
    lines.extend(notes.map(|note| format!("{}: {}", code(&note.subject), prose(&note.why))));
    let remarks = run.remarks.iter().filter(|remark| !remark.is_error);
    lines.extend(remarks.map(|remark| {
        let place = format!("{}:{}:{}", remark.path, remark.line, remark.column);
        format!(
            "{}: {}; {}",
            code(&place),
            prose(&remark.message),
            prose(&remark.help)
        )
    }));
    for request in &run.requests {
        for repository in &request.repositories {
            let packages = repository.packages.iter();
            lines.extend(packages.filter_map(|package| surprise(repository, package)));
        }
    }
    lines
}

fn surprise(repository: &DryRunRepository, package: &DryRunPackage) -> Option<String> {
    let name = code(&format!("{} {}", package.name, package.arch));
    let version = |version: &Option<String>| code(version.as_deref().unwrap_or_default());
    let (from, to, place) = (
        version(&package.from),
        version(&package.to),
        code(repository.name.as_str()),
    );
    Some(match package.change {
        PackageChange::Added | PackageChange::Upgraded => return None,
        PackageChange::Downgraded => {
            format!(
                "{name} goes down from {from} to {to} in {place}: clients that have {from} keep it"
            )
        }
        PackageChange::Hidden => {
            format!(
                "{name} {to} is older than {from} in {place}, which stays: clients do not see it"
            )
        }
        PackageChange::Removed => format!("{name} {from} is removed from {place}"),
    })
}

/// A request in full, folded away.
fn one(request: &DryRunRequest) -> String {
    let mut text = String::new();
    for repository in &request.repositories {
        text.push_str(&changes(repository));
    }
    let mut inner = String::new();
    for task in request.tasks.iter().take(MAX_LINES) {
        let (state, title) = (code(&task.state), prose(&task.title));
        let _ = writeln!(inner, "* {state} {title}: {}", prose(&task.why));
    }
    more(&mut inner, request.tasks.len(), "task");
    for note in request.notes.iter().take(MAX_LINES) {
        let _ = writeln!(inner, "* {}: {}", code(&note.subject), prose(&note.why));
    }
    more(&mut inner, request.notes.len(), "note");
    if !inner.is_empty() {
        let path = request.path.as_str();
        let tasks = count(request.tasks.len(), "task");
        let _ = writeln!(
            text,
            "<details><summary>{path}: {tasks} to begin with, and why</summary>\n\n{inner}\n</details>\n"
        );
    }
    text
}

/// What clients of a repository would see change.
fn changes(repository: &DryRunRepository) -> String {
    let name = code(repository.name.as_str());
    let mut text = format!("**{name}**, signed with {}", code(&repository.key));
    if !repository.smoke.is_empty() {
        let smoke = repository.smoke.join(", ");
        let _ = write!(text, ", tried with the real client on {smoke}");
    }
    text.push_str(":\n\n");
    if repository.packages.is_empty() && repository.awaited.is_empty() {
        text.push_str("Nothing changes for clients.\n\n");
        return text;
    }
    text.push_str("| | package | architecture | now | then |\n|---|---|---|---|---|\n");
    for package in repository.packages.iter().take(MAX_LINES) {
        let sign = match package.change {
            PackageChange::Added => "➕ new",
            PackageChange::Upgraded => "⬆ newer",
            PackageChange::Downgraded => "⬇ older",
            PackageChange::Hidden => "◌ hidden",
            PackageChange::Removed => "➖ removed",
        };
        let version = |version: &Option<String>| version.as_deref().map(code).unwrap_or_default();
        let (from, to) = (version(&package.from), version(&package.to));
        let (package, arch) = (code(&package.name), code(&package.arch));
        let _ = writeln!(text, "| {sign} | {package} | {arch} | {from} | {to} |");
    }
    let left = MAX_LINES.saturating_sub(repository.packages.len());
    for awaited in repository.awaited.iter().take(left) {
        let _ = writeln!(text, "| ➕ once it is built | {} | | | |", code(awaited));
    }
    let all = repository.packages.len() + repository.awaited.len();
    more(&mut text, all, "package");
    text.push('\n');
    text
}

fn list(text: &mut String, heading: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(text, "#### {heading}\n");
    for line in lines.iter().take(MAX_LINES) {
        let _ = writeln!(text, "* {line}");
    }
    more(text, lines.len(), "line");
    text.push('\n');
}

/// Says what was cut of `all`.
fn more(text: &mut String, all: usize, what: &str) {
    if all > MAX_LINES {
        let left = count(all - MAX_LINES, what);
        let _ = writeln!(text, "\nand {left} more: `millrace plan` shows all of them");
    }
}

fn annotations(run: &DryRun) -> Vec<Annotation> {
    let remarks = run.remarks.iter().take(MAX_ANNOTATIONS);
    let annotation = |remark: &crate::Remark| Annotation {
        path: remark.path.clone(),
        line: remark.line,
        column: remark.column,
        level: match remark.is_error {
            true => Level::Error,
            false => Level::Warning,
        },
        message: remark.message.clone(),
        help: remark.help.clone(),
    };
    remarks.map(annotation).collect()
}
