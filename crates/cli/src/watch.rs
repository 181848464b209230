//! `millrace watch`: a live table on a terminal, one line per change elsewhere, until all is at rest.
//!
//! Nothing is waited for in silence: a request that no planned commit has is told of at once, and so is
//! a broken configuration. What was pushed a moment ago is waited for, since the control plane says how
//! far it has planned.

mod view;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use control::{RequestSummary, Status, StatusFile};
use pipeline_spec::RequestPath;
use server::Head;

use crate::Verdict;
use crate::args::WatchArgs;
use crate::client::Client;
use crate::failure::{Failure, Kind};
use crate::names::{request_path, unknown};
use crate::render::{Output, note, short};
use view::View;

/// How often is looked.
const POLL: Duration = Duration::from_millis(500);
/// How long the control plane may take to plan a commit that is on the branch. A state repository on a
/// server is looked at every 5 seconds.
const PLANNING: Duration = Duration::from_secs(30);

pub(crate) async fn run(args: WatchArgs, output: &Output) -> anyhow::Result<Verdict> {
    let wanted = args
        .requests
        .iter()
        .map(|text| request_path(text))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let watch = Watch {
        client: Client::new(&args.place)?,
        started: Instant::now(),
        wanted,
        limit: args.timeout.map(Duration::from_secs),
    };
    watch.until_rest(output).await
}

struct Watch {
    client: Client,
    started: Instant,
    wanted: Vec<RequestPath>,
    limit: Option<Duration>,
}

/// How things are, as far as watching goes.
enum Look {
    /// Something moves.
    Moving,
    /// Everything that is wanted is there and at rest.
    Rest,
    /// No planned commit has this request; empty: there are no requests at all.
    Missing(String),
}

impl Watch {
    async fn until_rest(&self, output: &Output) -> anyhow::Result<Verdict> {
        let mut view = View::new(output);
        let mut behind = Behind::default();
        loop {
            let status: Status = self.client.get("/api/v1/status").await?;
            let (requests, files) = self.of_interest(&status, output).await?;
            let requests: Vec<&RequestSummary> = requests.iter().collect();
            view.show(&status, &requests, &files, self.started.elapsed())?;
            match self.look(&requests) {
                Look::Moving => {}
                Look::Rest => {
                    if !behind.planning(&self.client, &status).await? {
                        return Ok(verdict(&requests));
                    }
                }
                Look::Missing(path) => {
                    let planning = behind.planning(&self.client, &status).await?;
                    if !status.problems.is_empty() {
                        return Err(broken(&path));
                    }
                    if !planning {
                        return missing(&path, &status);
                    }
                    behind.say(&path);
                }
            }
            self.check_time()?;
            tokio::time::sleep(POLL).await;
        }
    }

    /// What is watched, and the tasks of what is shown with its tasks. A request that was asked for by
    /// name is looked up by it: the list of all leaves out what was removed and what is old.
    async fn of_interest(
        &self,
        status: &Status,
        output: &Output,
    ) -> anyhow::Result<(Vec<RequestSummary>, Vec<StatusFile>)> {
        let listed = status.requests.iter().map(|request| &request.path);
        let paths: Vec<&RequestPath> = match self.wanted.as_slice() {
            [] => listed.collect(),
            wanted => wanted.iter().collect(),
        };
        let (mut requests, mut files) = (Vec::new(), Vec::new());
        for path in paths {
            let known = status.requests.iter().find(|r| r.path == *path);
            let quiet = known.is_some_and(|r| r.at_rest) && self.wanted.len() != 1 && output.live;
            if let Some(known) = known.filter(|_| quiet) {
                requests.push(known.clone());
                continue;
            }
            let url = format!("/api/v1/request/{path}");
            let Some(file) = self.client.find::<StatusFile>(&url).await? else {
                continue;
            };
            requests.push(known.cloned().unwrap_or_else(|| summary(&file)));
            files.push(file);
        }
        Ok((requests, files))
    }

    fn look(&self, requests: &[&RequestSummary]) -> Look {
        let there = |path: &&RequestPath| !requests.iter().any(|r| r.path == **path);
        if let Some(path) = self.wanted.iter().find(there) {
            return Look::Missing(path.to_string());
        }
        if requests.is_empty() {
            return Look::Missing(String::new());
        }
        match requests.iter().all(|request| request.at_rest) {
            true => Look::Rest,
            false => Look::Moving,
        }
    }

    fn check_time(&self) -> anyhow::Result<()> {
        let elapsed = self.started.elapsed();
        if self.limit.is_some_and(|limit| elapsed >= limit) {
            let sentence = format!("not at rest after {} s", elapsed.as_secs());
            return Err(Failure::new(Kind::TimeOut, sentence).into());
        }
        Ok(())
    }
}

/// A request that is not in the list.
fn summary(file: &StatusFile) -> RequestSummary {
    let mut tasks = BTreeMap::new();
    for task in &file.tasks {
        *tasks.entry(task.state.clone()).or_default() += 1;
    }
    RequestSummary {
        path: file.request.clone(),
        phase: file.phase.clone(),
        commit: file.commit.clone(),
        at_rest: !matches!(file.phase.as_str(), "open" | "publishing" | "reverting"),
        tasks,
        problems: file.problems.clone(),
        notes: file.notes.clone(),
    }
}

fn verdict(requests: &[&RequestSummary]) -> Verdict {
    let bad = requests
        .iter()
        .find(|request| Verdict::of_phase(&request.phase) == Verdict::NotWell);
    bad.map_or(Verdict::Well, |_| Verdict::NotWell)
}

fn broken(path: &str) -> anyhow::Error {
    let what = match path {
        "" => "nothing".to_owned(),
        path => format!("{path} is not"),
    };
    let sentence =
        format!("{what} planned: the configuration is broken as said above; mend it and push");
    Failure::new(Kind::NotNow, sentence).into()
}

fn missing(path: &str, status: &Status) -> anyhow::Result<Verdict> {
    if path.is_empty() {
        note("millrace: there are no requests: push one to the state repository");
        return Ok(Verdict::Well);
    }
    Err(Failure::not_there(unknown(path, status)).into())
}

/// Whether planning is behind the branch, and since when.
#[derive(Default)]
struct Behind {
    since: Option<Instant>,
    said: bool,
}

impl Behind {
    /// Whether a newer commit is still to be planned, and may be soon.
    async fn planning(&mut self, client: &Client, status: &Status) -> anyhow::Result<bool> {
        let head: Head = client.get("/api/v1/head").await?;
        // What could not be planned will not be planned by waiting.
        if head.tip == status.commit || !status.problems.is_empty() {
            self.since = None;
            return Ok(false);
        }
        let since = self.since.get_or_insert_with(Instant::now);
        if since.elapsed() > PLANNING {
            note(&format!(
                "millrace: commit {} of {} has not been planned for {} s; `millrace status` may say why",
                short(&head.tip),
                head.branch,
                PLANNING.as_secs()
            ));
            return Ok(false);
        }
        Ok(true)
    }

    fn say(&mut self, path: &str) {
        if !std::mem::replace(&mut self.said, true) && !path.is_empty() {
            note(&format!(
                "millrace: {path} is not planned yet; the newest commit is being looked at"
            ));
        }
    }
}
