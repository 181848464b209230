//! `millrace watch`: a live table on a terminal, one line per change elsewhere.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::bail;
use control::{RequestSummary, Status, StatusFile};

use crate::Verdict;
use crate::args::WatchArgs;
use crate::client::{Answered, Client};
use crate::render::{Output, clean};

/// How often is looked.
const POLL: Duration = Duration::from_millis(500);

pub(crate) async fn run(args: WatchArgs, output: &Output) -> anyhow::Result<Verdict> {
    let client = Client::new(&args.place)?;
    let started = Instant::now();
    let mut view = View {
        live: std::io::stdout().is_terminal() && !output.json,
        lines: 0,
        seen: BTreeMap::new(),
    };
    loop {
        let Answered::Yes(status) = client.get::<Status>("/api/v1/status").await? else {
            bail!("the control plane does not tell its status");
        };
        let wanted: Vec<&RequestSummary> = status
            .requests
            .iter()
            .filter(|r| {
                args.requests.is_empty() || args.requests.iter().any(|w| w == r.path.as_str())
            })
            .collect();
        let mut files = Vec::new();
        for request in wanted
            .iter()
            .filter(|r| !r.at_rest || args.requests.len() == 1 || !view.live)
        {
            if let Answered::Yes(file) = client
                .get::<StatusFile>(&format!("/api/v1/request/{}", request.path))
                .await?
            {
                files.push(file);
            }
        }
        view.show(&wanted, &files, started.elapsed(), output)?;
        let all_there = args
            .requests
            .iter()
            .all(|path| wanted.iter().any(|r| r.path.as_str() == path));
        if all_there && !wanted.is_empty() && wanted.iter().all(|request| request.at_rest) {
            let bad = wanted
                .iter()
                .any(|r| matches!(r.phase.as_str(), "failed" | "invalid"));
            return Ok(if bad { Verdict::NotWell } else { Verdict::Well });
        }
        if args
            .timeout
            .is_some_and(|limit| started.elapsed().as_secs() >= limit)
        {
            eprintln!(
                "millrace: not at rest after {} s",
                started.elapsed().as_secs()
            );
            return Ok(Verdict::NotWell);
        }
        tokio::time::sleep(POLL).await;
    }
}

struct View {
    live: bool,
    lines: usize,
    /// Subject → last word printed, for the view without a terminal.
    seen: BTreeMap<String, String>,
}

impl View {
    fn show(
        &mut self,
        requests: &[&RequestSummary],
        files: &[StatusFile],
        elapsed: Duration,
        output: &Output,
    ) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        if !self.live {
            for (subject, word, text) in changes(requests, files) {
                if self.seen.insert(subject, word.clone()).as_ref() != Some(&word) {
                    if output.json {
                        let line = serde_json::json!({"seconds": elapsed.as_secs(), "state": word, "what": text});
                        writeln!(out, "{line}")?;
                    } else {
                        writeln!(
                            out,
                            "{:>5} s  {:<10} {text}",
                            elapsed.as_secs(),
                            output.word(&word)
                        )?;
                    }
                }
            }
            return Ok(());
        }
        if self.lines > 0 {
            write!(out, "\u{1b}[{}A\u{1b}[J", self.lines)?;
        }
        let table = table(requests, files, elapsed, output);
        self.lines = table.lines().count();
        write!(out, "{table}")?;
        Ok(out.flush()?)
    }
}

fn changes(requests: &[&RequestSummary], files: &[StatusFile]) -> Vec<(String, String, String)> {
    let mut changes = Vec::new();
    for file in files {
        for task in &file.tasks {
            let reason = task
                .reason
                .as_deref()
                .map(|r| format!(": {}", clean(r)))
                .unwrap_or_default();
            let text = format!("{} {}{reason}", task.id.short(), task.title);
            changes.push((task.id.to_string(), task.state.clone(), text));
        }
    }
    for request in requests {
        let mut text = request.path.to_string();
        for problem in &request.problems {
            text.push_str(&format!(
                "\n          {}: {}",
                problem.subject,
                clean(&problem.message)
            ));
        }
        changes.push((request.path.to_string(), request.phase.clone(), text));
    }
    changes
}

fn table(
    requests: &[&RequestSummary],
    files: &[StatusFile],
    elapsed: Duration,
    output: &Output,
) -> String {
    let mut text = String::new();
    for request in requests {
        let total: usize = request.tasks.values().sum();
        let done: usize = ["succeeded", "excluded"]
            .iter()
            .filter_map(|s| request.tasks.get(*s))
            .sum();
        let filled = (done * 20).checked_div(total).unwrap_or(0);
        text.push_str(&format!(
            "{} {}  [{}{}] {done}/{total}  {} s\n",
            output.word(&request.phase),
            request.path,
            "#".repeat(filled),
            ".".repeat(20 - filled),
            elapsed.as_secs()
        ));
        for problem in &request.problems {
            text.push_str(&format!(
                "  {}\n",
                output.problem(&clean(&format!("{}: {}", problem.subject, problem.message)))
            ));
        }
        let file = files.iter().find(|file| file.request == request.path);
        for task in file.iter().flat_map(|file| &file.tasks) {
            text.push_str(&format!(
                "  {} {} {}\n",
                task.id.short(),
                output.word(&task.state),
                task.title
            ));
        }
    }
    text
}
