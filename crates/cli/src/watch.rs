//! `millrace watch`: a live table on a terminal, one line per change elsewhere, until all is at rest.
//!
//! Nothing is waited for in silence: a request that no planned commit has is told of at once, and so is
//! a broken configuration. What was pushed a moment ago is waited for, since the control plane says how
//! far it has planned.

mod view;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use control::{RequestSummary, Status, StatusFile};
use pipeline_spec::RequestPath;
use server::{Head, awaited, stuck, summary};

use crate::Verdict;
use crate::args::{Place, WatchArgs};
use crate::client::Client;
use crate::failure::{Failure, Kind, kind_of};
use crate::missing::missing;
use crate::names::{invalid, request_path};
use crate::render::{Output, note, short};
use view::{Begin, View};

/// How long a control plane that answered before may be away.
const PATIENCE: Duration = Duration::from_secs(60);
/// Requests of a bad end that are named at most.
const POINTED: usize = 5;
/// How often is looked.
const POLL: Duration = Duration::from_millis(500);
/// How long the control plane may take to plan a commit that is on the branch. A state repository on a
/// server is looked at every 5 seconds.
const PLANNING: Duration = Duration::from_secs(30);

pub(crate) async fn run(args: WatchArgs, output: &Output) -> anyhow::Result<Verdict> {
    let client = Client::new(&args.place)?;
    let mut wanted = Vec::new();
    for text in &args.requests {
        wanted.push(request_path(&client, text).await?);
    }
    let mut watch = Watch {
        client,
        place: args.place,
        started: Instant::now(),
        wanted,
        limit: args.timeout.map(Duration::from_secs),
    };
    watch.until_rest(output).await
}

struct Watch {
    place: Place,
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
    /// No planned commit has this request; `None`: there are no requests at all.
    Missing(Option<RequestPath>),
}

impl Watch {
    async fn until_rest(&mut self, output: &Output) -> anyhow::Result<Verdict> {
        let begin = match self.wanted.is_empty() {
            true => Begin::Open,
            false => Begin::All,
        };
        let mut view = View::new(output, begin);
        let mut behind = Behind::default();
        // One that never answered is not waited for: most likely nobody is there.
        let mut answered = false;
        let mut lost: Option<Instant> = None;
        loop {
            match self.round(&mut view, &mut behind, output).await {
                Ok(Some(verdict)) => return Ok(verdict),
                Ok(None) => (answered, lost) = (true, None),
                Err(error) if answered && kind_of(&error) == Kind::Lost => {
                    let since = lost.get_or_insert_with(|| {
                        note("millrace: lost the control plane, waiting…");
                        Instant::now()
                    });
                    if since.elapsed() > PATIENCE {
                        return Err(error);
                    }
                    view.begin_anew();
                    // The next one may listen elsewhere.
                    if let Ok(client) = Client::new(&self.place) {
                        self.client = client;
                    }
                }
                Err(error) => return Err(error),
            }
            self.check_time()?;
            tokio::time::sleep(POLL).await;
        }
    }

    /// One look; `None`: there is more to come.
    async fn round(
        &self,
        view: &mut View<'_>,
        behind: &mut Behind,
        output: &Output,
    ) -> anyhow::Result<Option<Verdict>> {
        let status: Status = self.client.get("/api/v1/status").await?;
        let (requests, files) = self.of_interest(&status, output).await?;
        let requests: Vec<&RequestSummary> = requests.iter().collect();
        view.show(&status, &requests, &files, self.started.elapsed())?;
        match self.look(&requests) {
            Look::Moving => {
                let stuck = self.stuck(&status, &requests).await?;
                let rests = |r: &&RequestSummary| r.at_rest || stuck.contains(&r.path);
                if requests.iter().all(rests) && !behind.planning(&self.client, &status).await? {
                    say_end(&requests, &stuck, output);
                    return Ok(Some(Verdict::NotWell));
                }
            }
            Look::Rest => {
                if !behind.planning(&self.client, &status).await? {
                    if !view.has_told() && !output.json {
                        let rest = match requests.len() {
                            1 => "1 request is".to_owned(),
                            n => format!("{n} requests are"),
                        };
                        note(&format!(
                            "millrace: nothing is open; {rest} at rest: `millrace status`"
                        ));
                    }
                    say_end(&requests, &BTreeSet::new(), output);
                    return Ok(Some(verdict(&requests)));
                }
            }
            Look::Missing(path) => {
                let planning = behind.planning(&self.client, &status).await?;
                if !status.problems.is_empty() {
                    return Err(broken(path.as_ref()));
                }
                match path {
                    Some(path) if planning => behind.say(&path),
                    Some(path) => return Err(missing(&self.client, &path, &status).await?.into()),
                    None if planning => {}
                    None => {
                        note("millrace: there are no requests: push one to the state repository");
                        return Ok(Some(Verdict::Well));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Of `requests`, those that only a person can move.
    async fn stuck(
        &self,
        status: &Status,
        requests: &[&RequestSummary],
    ) -> anyhow::Result<BTreeSet<RequestPath>> {
        let mut all = status.requests.clone();
        for request in requests.iter().filter(|request| !request.at_rest) {
            for path in awaited(request) {
                if all.iter().any(|known| known.path == path) {
                    continue;
                }
                let url = format!("/api/v1/request/{path}");
                let file = self.client.find::<StatusFile>(&url).await?;
                all.extend(file.map(|file| summary(&file)));
            }
        }
        Ok(stuck(&all))
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
            return Look::Missing(Some(path.clone()));
        }
        if requests.is_empty() {
            return Look::Missing(None);
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

fn verdict(requests: &[&RequestSummary]) -> Verdict {
    let bad = requests
        .iter()
        .find(|request| Verdict::of_phase(&request.phase) == Verdict::NotWell);
    bad.map_or(Verdict::Well, |_| Verdict::NotWell)
}

/// Where to read on about what did not go well.
fn say_end(requests: &[&RequestSummary], stuck: &BTreeSet<RequestPath>, output: &Output) {
    if output.json {
        return;
    }
    let bad = requests.iter().filter(|request| {
        Verdict::of_phase(&request.phase) == Verdict::NotWell || stuck.contains(&request.path)
    });
    for request in bad.take(POINTED) {
        let (path, phase) = (&request.path, &request.phase);
        note(&match phase.as_str() {
            _ if stuck.contains(path) => {
                let awaited: Vec<String> = awaited(request).iter().map(|p| p.to_string()).collect();
                format!(
                    "millrace: {path} waits for {}, which will not succeed by itself: `millrace why {}`",
                    awaited.join(" and "),
                    awaited.first().map_or("", String::as_str)
                )
            }
            "failed" => format!(
                "millrace: {path} failed: `millrace why {path}` says why, `millrace logs {path}` has the log"
            ),
            "invalid" => format!("millrace: {}", invalid(path)),
            phase => format!("millrace: {path} is {phase}: `millrace why {path}`"),
        });
    }
}

fn broken(path: Option<&RequestPath>) -> anyhow::Error {
    let what = match path {
        None => "nothing is".to_owned(),
        Some(path) => format!("{path} is not"),
    };
    let sentence =
        format!("{what} planned: the configuration is broken as said above; mend it and push");
    Failure::new(Kind::NotNow, sentence).into()
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

    fn say(&mut self, path: &RequestPath) {
        if !std::mem::replace(&mut self.said, true) {
            note(&format!(
                "millrace: {path} is not planned yet; the newest commit is being looked at"
            ));
        }
    }
}
