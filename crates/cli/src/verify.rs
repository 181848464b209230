//! `millrace verify`: a published repository against its commit.
//!
//! Three looks, none of which believes the one before: every file against the digest in the published
//! tree; indexes, packages and signatures as a client would, with the key that the commit names; every
//! package against the results recorded on the status branch. It reads the disk, not the control
//! plane, so that it also works when that is down, or lies.

mod recorded;
mod repository;

use std::fmt::Write as _;

use anyhow::Context;
use serde::Serialize;

use crate::Verdict;
use crate::args::VerifyArgs;
use crate::failure::Failure;
use crate::local::Layout;
use crate::render::{Output, clean, short};
use crate::state::StatePlace;
use recorded::Recorded;
use repository::{Opened, Verifier};

/// Largest text file of the state repository that is read, in bytes.
const MAX_TEXT_BYTES: u64 = 64 * 1024 * 1024;

/// What is wrong with one file.
#[derive(Debug, Serialize)]
struct Finding {
    path: String,
    expected: String,
    found: String,
}

/// One repository's result.
#[derive(Debug, Serialize)]
struct Report {
    repository: String,
    commit: String,
    generation: u64,
    files: usize,
    findings: Vec<Finding>,
}

pub(crate) fn run(args: &VerifyArgs, output: &Output) -> anyhow::Result<Verdict> {
    let layout = Layout::new(&args.data)?;
    anyhow::ensure!(layout.is_made(), layout.not_made());
    let published = published(&layout)?;
    if published.is_empty() {
        let sentence = format!("nothing is published below {}", layout.data().display());
        return Err(Failure::not_there(sentence).into());
    }
    let unknown = |name: &&String| !published.contains(name);
    if let Some(name) = args.repository.iter().find(unknown) {
        let sentence = format!(
            "{name} is not published; these are: {}",
            published.join(", ")
        );
        return Err(Failure::not_there(sentence).into());
    }
    let names = if args.repository.is_empty() {
        published
    } else {
        args.repository.clone()
    };
    let place = StatePlace::noted(&layout)?;
    // An App is asked for its login there.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let _inside = runtime.enter();
    let repository = place.open(&layout)?;
    let mut reports = Vec::new();
    for name in &names {
        let report = match Verifier::open(&layout, &repository, name)? {
            Opened::Nothing(report) => report,
            Opened::Tree(verifier) => {
                let recorded = Recorded::read(&repository, verifier.status_branch())?;
                verifier.verify(&recorded)
            }
        };
        if !output.json {
            output.print(&text(&report, output))?;
        }
        reports.push(report);
    }
    if output.json {
        output.print_json(&reports)?;
    }
    let well = reports.iter().all(|report| report.findings.is_empty());
    Ok(if well {
        Verdict::Well
    } else {
        Verdict::NotWell
    })
}

fn text(report: &Report, output: &Output) -> String {
    if report.findings.is_empty() {
        return format!(
            "{}: {} files are as commit {} published them (generation {})\n",
            report.repository,
            report.files,
            short(&report.commit),
            report.generation
        );
    }
    let mut text = String::new();
    for finding in &report.findings {
        let line = clean(&format!(
            "{}: {}: expected {}, found {}",
            report.repository, finding.path, finding.expected, finding.found
        ));
        let _ = writeln!(text, "{}", output.problem(&line));
    }
    text
}

/// Names of all repositories that have a pointer.
fn published(layout: &Layout) -> anyhow::Result<Vec<String>> {
    let directory = layout.data().join("artifacts/pointers");
    let entries = match std::fs::read_dir(&directory) {
        Ok(entries) => entries,
        // Nothing was published yet.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(error).with_context(|| format!("read {}", directory.display()));
        }
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
