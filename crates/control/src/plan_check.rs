//! The plan as people read it beside a pull request: in one line, in ten seconds, and in full.
//!
//! Pure: a dry run goes in, a check comes out. All words of strangers are written so that they make no markup and
//! call nobody. A `let _` here is a write into a `String`, which cannot fail.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use approvals::CONFIGURATION;
use ledger::Problem;
use ports::{Annotation, Check, CheckState, Level, Pull};

use crate::dry_run::{DryRun, DryRunPackage, DryRunRepository, DryRunRequest, PackageChange};
use crate::markdown::{code, prose};

/// The check's name.
pub(crate) const NAME: &str = "plan";
/// Lines of a list or a table before it is cut: what is longer is not read, and `millrace plan` has it all.
const MAX_LINES: usize = 50;
/// Columns of builds: platforms and architectures. More are wider than a page, and the list below has them.
const MAX_COLUMNS: usize = 8;
/// Steps of a build order, and packages of one.
const MAX_STAGES: usize = 10;
/// What becomes of packages, in the order in which it is told, and in a word.
const CHANGES: [(PackageChange, &str); 5] = [
    (PackageChange::Removed, "removed"),
    (PackageChange::Downgraded, "older"),
    (PackageChange::Hidden, "hidden"),
    (PackageChange::Upgraded, "newer"),
    (PackageChange::Added, "new"),
];
/// Annotations of one check: the forge shows so many on a page.
const MAX_ANNOTATIONS: usize = 100;

/// What merging `pull` would do. `both`: paths that its base has changed as well.
pub(crate) fn plan_check(pull: &Pull, run: &DryRun, both: &BTreeSet<String>) -> Check {
    let mistakes = problems(run, Whose::Persons);
    let unsure = problems(run, Whose::Hosts);
    let warnings = warnings(run, both);
    let mut text = String::new();
    let unapproved = unapproved(run);
    if !unapproved.is_empty() {
        text.push_str("**Do not merge this yet.** The configuration would be another one, and lacks approvals: merged without them, nothing of this, or of any later commit, is built or released.\n\n");
        list(&mut text, "Approvals", &unapproved);
    }
    if mistakes.is_empty() && unsure.is_empty() {
        if let Some(forecast) = &run.forecast {
            let phrase = capital(&forecast.phrase());
            let _ = writeln!(
                text,
                "{phrase}. The time until runners are free comes on top.\n"
            );
        }
        text.push_str(&overview(run));
    }
    list(&mut text, "Not known yet", &unsure);
    if !mistakes.is_empty() {
        list(&mut text, "To mend", &mistakes);
        text.push_str(match run.digest.is_empty() {
            true => "**Do not merge this.** The configuration cannot be read: nothing of this, or of any later commit, would be built or released until it is mended. Requests were not looked at; `millrace lint` does.\n\n",
            false => "Nothing of a file with a mistake is built or released.\n\n",
        });
    }
    list(&mut text, "Look twice", &warnings);
    for request in run.requests.iter().take(MAX_LINES) {
        text.push_str(&builds(request));
    }
    for (name, changed) in by_repository(run).iter().take(MAX_LINES) {
        text.push_str(&changes(name, changed));
    }
    for request in run.requests.iter().take(MAX_LINES) {
        text.push_str(&one(request));
    }
    // Not which commit it lies over: every merge would have the checks of all other pull requests written anew.
    if !run.digest.is_empty() && !run.requests.is_empty() {
        let _ = writeln!(text, "Plan {}.", code(&run.digest));
    }
    Check {
        state: match mistakes.is_empty() && unsure.is_empty() && unapproved.is_empty() {
            true => CheckState::Passed,
            false => CheckState::Failed,
        },
        title: title(run, (mistakes.len(), unsure.len()), warnings.len()),
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

fn title(run: &DryRun, (mistakes, unsure): (usize, usize), warnings: usize) -> String {
    if mistakes > 0 {
        return count(mistakes, "mistake");
    }
    if unsure > 0 {
        let sources = count(unsure, "source");
        return format!("Not known yet: {sources} cannot be looked up now");
    }
    if !unapproved(run).is_empty() {
        return "Do not merge this yet: the configuration lacks approvals".to_owned();
    }
    let work = total(run);
    let mut does = Vec::new();
    let built = work.sources + work.builds + work.tests;
    if built > 0 {
        let counted = [
            (work.sources, "source"),
            (work.builds, "build"),
            (work.tests, "test"),
        ];
        let parts = counted.into_iter().filter(|(n, _)| *n > 0);
        let parts: Vec<String> = parts.map(|(n, what)| count(n, what)).collect();
        does.push(parts.join(", "));
    }
    let released = by_repository(run);
    let named: Vec<String> = released
        .iter()
        .map(|(name, changed)| outcome(name, changed))
        .collect();
    if !named.is_empty() {
        does.push(shortened(&named));
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

/// What all requests together do to each repository.
fn by_repository(run: &DryRun) -> BTreeMap<&str, Vec<&DryRunRepository>> {
    let mut changed: BTreeMap<&str, Vec<&DryRunRepository>> = BTreeMap::new();
    for repository in run
        .requests
        .iter()
        .flat_map(|request| &request.repositories)
    {
        changed
            .entry(repository.name.as_str())
            .or_default()
            .push(repository);
    }
    changed
}

/// How many packages of a repository become what, by their names: sources and architectures are no packages more.
fn outcome(name: &str, changed: &[&DryRunRepository]) -> String {
    let mut names: [BTreeSet<&str>; CHANGES.len()] = Default::default();
    for package in changed.iter().flat_map(|it| &it.packages) {
        if let Some(at) = CHANGES
            .iter()
            .position(|(change, _)| *change == package.change)
        {
            names[at].insert(&package.name);
        }
    }
    let counted = CHANGES
        .iter()
        .zip(&names)
        .filter(|(_, names)| !names.is_empty());
    let mut parts: Vec<String> = counted
        .map(|((_, word), names)| format!("{} {word}", names.len()))
        .collect();
    let awaited = changed.iter().map(|it| it.awaited.len()).sum::<usize>();
    if awaited > 0 {
        parts.push(format!("{awaited} once built"));
    }
    match parts.is_empty() {
        true => format!("{name}: nothing changes"),
        false => format!("{name}: {}", parts.join(", ")),
    }
}

/// Three of them, and how many more.
fn shortened(named: &[String]) -> String {
    match named {
        [a, b, c, rest @ ..] if !rest.is_empty() => {
            format!("{a}; {b}; {c}; and {} more", rest.len())
        }
        named => named.join("; "),
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

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(chars).collect()
}

fn count(n: usize, what: &str) -> String {
    match n {
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    }
}

/// What is counted of a request, under which head.
type Column = (&'static str, fn(&DryRunRequest) -> usize);
const COLUMNS: [Column; 5] = [
    ("sources", |request| request.work.sources),
    ("builds", |request| request.work.builds),
    ("tests", |request| request.work.tests),
    ("tasks of the release", |request| request.work.releasing),
    ("reused from before", |request| {
        let tasks = request.tasks.iter();
        tasks.filter(|task| task.state == "succeeded").count()
    }),
];

/// A table of what each request does.
fn overview(run: &DryRun) -> String {
    if run.requests.is_empty() {
        return "No request differs from what is planned: merging this builds and releases nothing.\n\n"
            .to_owned();
    }
    let shown = &run.requests[..run.requests.len().min(MAX_LINES)];
    // A column that has nothing says nothing.
    let columns: Vec<_> = COLUMNS
        .into_iter()
        .filter(|(_, counted)| shown.iter().any(|request| counted(request) > 0))
        .collect();
    let heads: String = columns
        .iter()
        .map(|(head, _)| format!(" {head} |"))
        .collect();
    let mut text = format!(
        "| request | |{heads}\n|---|---|{}\n",
        "--:|".repeat(columns.len())
    );
    for request in shown {
        let cell = |n| match n {
            0 => " |".to_owned(),
            n => format!(" {n} |"),
        };
        let cells: String = columns
            .iter()
            .map(|(_, counted)| cell(counted(request)))
            .collect();
        let path = code(request.path.as_str());
        let _ = writeln!(text, "| {path} | {} |{cells}", request.change);
    }
    more(&mut text, run.requests.len(), "request");
    text.push('\n');
    text
}

/// Who keeps a plan from being made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// A person made a mistake.
    Persons,
    /// A host does not answer.
    Hosts,
}

/// What a person must mend, or what hosts do not answer: once each, by file and line where that is known.
fn problems(run: &DryRun, whose: Whose) -> Vec<String> {
    let of_requests = run.requests.iter().flat_map(|request| {
        let path = request.path.as_str();
        let meant = move |problem: &&Problem| {
            request.unsure.contains(&problem.message) == (whose == Whose::Hosts)
        };
        let problems = request.problems.iter().filter(meant);
        problems.map(move |problem| (path, problem))
    });
    let of_all = run.problems.iter().filter(|_| whose == Whose::Persons);
    let of_all = of_all.map(|problem| ("", problem));
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

/// Approvals of the configuration that are missing.
fn unapproved(run: &DryRun) -> Vec<String> {
    let notes = run.notes.iter();
    let missing = notes.filter(|note| note.subject == CONFIGURATION);
    missing.map(|note| prose(&note.why)).collect()
}

/// What people should look at twice before they merge.
fn warnings(run: &DryRun, both: &BTreeSet<String>) -> Vec<String> {
    let needs = run.needs.iter();
    let mut lines: Vec<String> = needs.map(|need| prose(&need.sentence())).collect();
    let both = both
        .iter()
        .map(|path| {
            let path = code(path);
            format!("{path} was changed on the base branch too since this branch began. The plan shows it as it is here; merge the base branch into this one to see what will be")
        });
    lines.extend(both);
    let notes = run.notes.iter();
    let notes = notes.filter(|note| note.subject != CONFIGURATION);
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

/// Packages by platform and architecture, and the order of their builds.
fn builds(request: &DryRunRequest) -> String {
    let columns: BTreeSet<&String> = request.builds.values().flat_map(BTreeMap::keys).collect();
    if columns.is_empty() || columns.len() > MAX_COLUMNS {
        return String::new();
    }
    let path = code(request.path.as_str());
    let heads: String = columns
        .iter()
        .map(|it| format!(" {} |", prose(it)))
        .collect();
    let mut text = format!(
        "Builds of {path}:\n\n| package |{heads}\n|---|{}\n",
        "---|".repeat(columns.len())
    );
    for (package, states) in request.builds.iter().take(MAX_LINES) {
        let cells = columns.iter().map(|column| states.get(*column));
        let cells: String = cells
            .map(|state| format!(" {} |", state.map_or("", |it| sign(it))))
            .collect();
        let _ = writeln!(text, "| {} |{cells}", code(package));
    }
    more(&mut text, request.builds.len(), "package");
    text.push('\n');
    if request.order.len() > 1 {
        let stages = request.order.iter().take(MAX_STAGES).map(|stage| {
            let names: Vec<String> = stage.iter().take(MAX_STAGES).map(|it| code(it)).collect();
            match stage.len().saturating_sub(MAX_STAGES) {
                0 => names.join(", "),
                more => format!("{} and {more} more", names.join(", ")),
            }
        });
        let stages: Vec<String> = stages.collect();
        let more = match request.order.len().saturating_sub(MAX_STAGES) {
            0 => String::new(),
            more => format!(", and {more} steps more"),
        };
        let _ = writeln!(text, "Build order: {}{more}.\n", stages.join(", then "));
    }
    text
}

fn sign(state: &str) -> &str {
    match state {
        "new" => "🔨 new",
        "succeeded" => "♻ reused",
        "excluded" => "– excluded",
        "failed" => "❌ failed before",
        "canceled" => "✋ canceled before",
        _ => "⏳ under way",
    }
}

/// A request in full, folded away.
fn one(request: &DryRunRequest) -> String {
    let mut text = String::new();
    let mut inner = String::new();
    for (name, commit) in request.plan.refs.iter().take(MAX_LINES) {
        let commit = commit.get(..12).unwrap_or(commit);
        let _ = writeln!(inner, "* {} is {}", code(name), code(commit));
    }
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
        let _ = writeln!(
            text,
            "<details><summary>{path}: what is done first, and why</summary>\n\n{inner}\n</details>\n"
        );
    }
    text
}

/// What clients of a repository would see change, by all requests together.
fn changes(name: &str, changed: &[&DryRunRepository]) -> String {
    let keys: BTreeSet<&str> = changed.iter().map(|it| it.key.as_str()).collect();
    let keys: Vec<String> = keys.into_iter().map(code).collect();
    let mut text = format!(
        "**{}**, signed with the key {}",
        code(name),
        keys.join(", ")
    );
    let smoke: BTreeSet<&str> = changed
        .iter()
        .flat_map(|it| &it.smoke)
        .map(String::as_str)
        .collect();
    if !smoke.is_empty() {
        let smoke: Vec<&str> = smoke.into_iter().collect();
        let _ = write!(
            text,
            ", installed by the real client on {} before it is public",
            smoke.join(", ")
        );
    }
    text.push_str(":\n\n");
    let packages = changed.iter().flat_map(|it| &it.packages);
    let awaited = changed.iter().flat_map(|it| &it.awaited);
    let lines: Vec<String> = packages
        .map(package_line)
        .chain(awaited.map(|it| format!("| ⏳ once it is built | {} | | | |", code(it))))
        .collect();
    if lines.is_empty() {
        text.push_str("Nothing changes for clients.\n\n");
        return text;
    }
    text.push_str("| | package | architecture | before | after |\n|---|---|---|---|---|\n");
    for line in lines.iter().take(MAX_LINES) {
        let _ = writeln!(text, "{line}");
    }
    more(&mut text, lines.len(), "package");
    text.push('\n');
    text
}

fn package_line(package: &DryRunPackage) -> String {
    let word = CHANGES.iter().find(|(change, _)| *change == package.change);
    let word = word.map_or("", |(_, word)| word);
    let sign = match package.change {
        PackageChange::Added => "➕",
        PackageChange::Upgraded => "⬆",
        PackageChange::Downgraded => "⬇",
        PackageChange::Hidden => "◌",
        PackageChange::Removed => "➖",
    };
    let version = |version: &Option<String>| version.as_deref().map(code).unwrap_or_default();
    let (from, to) = (version(&package.from), version(&package.to));
    let to = match package.change {
        PackageChange::Hidden => format!("{from}, beside an older {to}"),
        _ => to,
    };
    let (name, arch) = (code(&package.name), code(&package.arch));
    format!("| {sign} {word} | {name} | {arch} | {from} | {to} |")
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
