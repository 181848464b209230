//! Scratch builds: what a pull request proposes is built because somebody who may push asks for it, and never released.
//!
//! * **What is built** are the build requests that it adds or changes, as it would be merged, with the configuration of the
//!   planned commit that it lies over and never its own. So a pull request reaches no platform, key or runner that `main` has
//!   not.
//! * **A path of its own** ([`pipeline_spec::RequestPath::scratch`]) that no file, command or call can name keeps it apart. The
//!   path is hashed into the ids of its tasks, so none of them is ever taken for one of a real build. Where the
//!   walls are that keep it out of releases and of other builds: `docs/explanation/security.md`.
//! * **One row** ([`ScratchRow`]) says what belongs to it. It is written first and removed last. Requests are written under the
//!   condition that it is as it was read, so nothing is begun of what was stopped meanwhile.
//! * It has no file on the status branch and is in no list. A lost ledger forgets it.

mod check;
mod end;
mod tell;

pub(crate) use end::ENDED;

use std::collections::BTreeMap;

use ledger::{
    About, Asked, Change, Condition, Expect, Key, Message, Phase, Problem, QueueName, RequestRow,
    RequestSpec, Row, ScratchRow, partition,
};
use pipeline_spec::{BuildRequest, Priority, RequestKind, RequestPath, Source};
use ports::{Applied, Forge, Ledger, Platform, Pull, PullState, StateRepo};

use crate::admit::{MAX_LINKS_INDEXED, problems};
use crate::files::Files;
use crate::load::unexpected;
use crate::notice::not_a_file;
use crate::reply::{Came, Scratch};
use crate::results_check::shown;
use crate::{Control, Error, MAX_TRIES, Result, contended};

/// Build requests of one pull request. More are a rebuild of a distribution: that is merged.
const MAX_REQUESTS: usize = 50;

/// Problems of what cannot be built that its row keeps, and characters of each: a row has an end.
const MAX_LEFT_OUT: usize = 50;
const MAX_PROBLEM_CHARS: usize = 500;

/// What a pull request would have built.
struct Proposed {
    /// By the path that a scratch build of it has.
    builds: BTreeMap<RequestPath, BuildRequest>,
    /// What cannot be built, and why.
    left_out: Vec<Problem>,
}

impl<P: Platform> Control<P> {
    /// Begins scratch builds of a pull request. Whoever comes again with the same wish begins nothing new, and is
    /// answered the same.
    pub(crate) async fn start_scratch<F: Forge>(
        &self,
        forge: &F,
        asked: &Asked,
        named: Option<&str>,
    ) -> Result<Came> {
        let came = |scratch| Ok(Came::Scratch(scratch));
        let About::Pull { number } = asked.about else {
            return came(Scratch::NotOpen);
        };
        let pull = forge.pull(number).await?;
        let Some(pull) = pull.filter(|pull| self.is_open(pull)) else {
            return came(Scratch::NotOpen);
        };
        match named {
            // Else what was read is not what is built: its author can push until the forge is asked.
            None if !pull.is_own => return came(Scratch::OfAFork),
            Some(named) if named != pull.head => return came(Scratch::NotTheNewest),
            _ => {}
        }
        let key = Key::scratch(number, &pull.head);
        for _ in 0..MAX_TRIES {
            let known = self.scratch_row(&key).await?;
            let version = known.as_ref().map(|(_, version)| *version);
            let row = match known {
                Some((row, _)) if row.stopped.is_none() => row,
                Some((row, _)) => again(row, asked, self.now()),
                None => match self.new_scratch(&pull, asked).await? {
                    Ok(row) => row,
                    Err(why) => return came(why),
                },
            };
            let mut change = Change::default();
            change.replace(
                key.clone(),
                Expect::as_read(version),
                Row::Scratch(Box::new(row.clone())),
            );
            if self.apply(change).await? == Applied::Done {
                self.begin_scratch(&key).await?;
                self.stop_older(&row).await?;
                return came(match row.asked == asked.id {
                    true => Scratch::Begun(Box::new(row)),
                    false => Scratch::Before(row.commit),
                });
            }
        }
        Err(contended(&key))
    }

    /// Whether it may still be merged into the branch of wishes.
    fn is_open(&self, pull: &Pull) -> bool {
        pull.state == PullState::Open && pull.base == self.options.branch
    }

    async fn new_scratch(
        &self,
        pull: &Pull,
        asked: &Asked,
    ) -> Result<std::result::Result<ScratchRow, Scratch>> {
        let (head, _) = self.head_row().await?;
        if head.commit.is_empty() {
            return Ok(Err(Scratch::NothingPlanned));
        }
        let row = ScratchRow {
            number: pull.number,
            commit: pull.head.clone(),
            is_own: pull.is_own,
            base: head.commit,
            asked: asked.id.clone(),
            login: asked.login.clone(),
            at: self.now(),
            requests: Vec::new(),
            left_out: Vec::new(),
            more_left_out: 0,
            begun: false,
            stopped: None,
            over: false,
            digest: String::new(),
            looked: 0,
            told: 0,
            failed: 0,
            writing: 0,
            again: 0,
        };
        let Proposed {
            builds,
            mut left_out,
        } = match self.scratch_wishes(&row).await? {
            Ok(proposed) => proposed,
            Err(why) => return Ok(Err(Scratch::Unread(why))),
        };
        let more_left_out = left_out.len().saturating_sub(MAX_LEFT_OUT);
        left_out.truncate(MAX_LEFT_OUT);
        left_out.iter_mut().for_each(cut);
        Ok(match builds.len() {
            0 => Err(Scratch::Nothing(left_out, more_left_out)),
            1..=MAX_REQUESTS => Ok(ScratchRow {
                requests: builds.into_keys().collect(),
                left_out,
                more_left_out,
                ..row
            }),
            many => Err(Scratch::TooMany(many, MAX_REQUESTS)),
        })
    }

    /// The build requests that its commit brings or changes, as it would be merged into its base, read by the
    /// configuration of the base. The inner error: why it cannot be looked at.
    async fn scratch_wishes(
        &self,
        row: &ScratchRow,
    ) -> Result<std::result::Result<Proposed, String>> {
        let (commit, base) = (&*row.commit, &*row.base);
        let proposal = match self.proposal(commit, base).await? {
            Ok(proposal) => proposal,
            Err(why) => return Ok(Err(why)),
        };
        let snapshot = self.snapshot(base).await?;
        let files = Files::Checkout(&proposal.files);
        let (mut builds, mut broken) = (BTreeMap::new(), BTreeMap::new());
        for (path, text) in &proposal.files.files {
            let (Some(path), Some(text)) = (build_path(path), text) else {
                continue;
            };
            let is_there = self.platform.state_repo().read(base, path.as_str()).await?;
            if is_there.as_ref() == Some(text) {
                continue;
            }
            match self.read_wish(&snapshot.config, files, &path, text).await? {
                Ok((RequestSpec::Build(build), _)) => match moving(&path, &build) {
                    Some(problem) if !row.is_own => _ = broken.insert(path, vec![problem]),
                    _ => _ = builds.insert(path, *build),
                },
                Ok((RequestSpec::Release(_), _)) => return Err(not_a_build(&path)),
                Err(found) => _ = broken.insert(path, problems(&found)),
            }
        }
        let links = proposal.files.not_files.iter();
        for path in links.filter_map(|path| build_path(path)) {
            broken.insert(path.clone(), vec![not_a_file(path.as_str())]);
        }
        leave_out(&mut builds, &mut broken);
        Ok(Ok(Proposed {
            builds: apart(builds, (row.number, commit)),
            left_out: broken.into_values().flatten().collect(),
        }))
    }

    /// Writes those requests of it that are not there yet, unless it was stopped.
    async fn begin_scratch(&self, key: &Key) -> Result<()> {
        for _ in 0..MAX_TRIES {
            let Some((row, version)) = self.scratch_row(key).await? else {
                return Ok(());
            };
            if row.begun || row.stopped.is_some() || self.write_scratch(key, row, version).await? {
                return Ok(());
            }
        }
        Err(contended(key))
    }

    /// `false`: something was written meanwhile.
    async fn write_scratch(&self, key: &Key, row: ScratchRow, version: u64) -> Result<bool> {
        let unchanged = || Condition {
            key: key.clone(),
            expect: Expect::Version(version),
        };
        let proposed = self.scratch_wishes(&row).await?;
        let mut builds = match proposed {
            Ok(proposed) => proposed.builds,
            Err(why) => return self.stop_unwritten(&row, &why).await,
        };
        let time = self.platform.state_repo().info(&row.base).await?.time;
        for path in &row.requests {
            let known = self.load(path).await?;
            if matches!(&known, Some(it) if it.row.phase != Phase::Removed) {
                continue;
            }
            let Some(build) = builds.remove(path) else {
                let why = format!("{} cannot be built any more", shown(path));
                return self.stop_unwritten(&row, &why).await;
            };
            let request = RequestRow {
                path: path.clone(),
                commit: row.base.clone(),
                time,
                author: row.login.clone(),
                sequence: 0,
                spec: Some(RequestSpec::Build(Box::new(build))),
                phase: Phase::Open,
                problems: Vec::new(),
                notes: Vec::new(),
            };
            let mut change = self.write_request_of_scratch(request, known.map(|it| it.version));
            change.conditions.push(unchanged());
            if self.apply(change).await? != Applied::Done {
                return Ok(false);
            }
        }
        let begun = ScratchRow { begun: true, ..row };
        let mut change = Change::default();
        let row = Row::Scratch(Box::new(begun));
        change.replace(key.clone(), Expect::Version(version), row);
        Ok(self.apply(change).await? == Applied::Done)
    }

    /// What it was begun with does not come out again. Whoever reads the check is told why nothing follows.
    async fn stop_unwritten(&self, row: &ScratchRow, why: &str) -> Result<bool> {
        self.stop_scratch(row, why).await?;
        Ok(true)
    }

    fn write_request_of_scratch(&self, row: RequestRow, version: Option<u64>) -> Change {
        let path = row.path.clone();
        let index = || Row::Index {
            request: path.clone(),
        };
        let mut change = Change::default();
        for link in links_of(&row) {
            change.put(Key::waiter(&link, &path), index());
        }
        change.put(Key::open(&path), index());
        let (key, row) = (Key::request(&path), Row::Request(Box::new(row)));
        change.replace(key, Expect::as_read(version), row);
        let request = path.clone();
        let message = Message::Advance { request };
        change.effect(QueueName::advance(), message, self.now());
        change
    }

    pub(crate) async fn scratch_row(&self, key: &Key) -> Result<Option<(ScratchRow, u64)>> {
        match self.platform.ledger().get(key).await? {
            None => Ok(None),
            Some(record) => match record.row {
                Row::Scratch(row) => Ok(Some((*row, record.version))),
                _ => Err(unexpected(key)),
            },
        }
    }

    pub(crate) async fn scratch_rows(&self) -> Result<Vec<ScratchRow>> {
        let mut rows = Vec::new();
        for (key, record) in self.all_rows(partition::SCRATCH, "").await? {
            let Row::Scratch(row) = record.row else {
                return Err(unexpected(&key));
            };
            rows.push(*row);
        }
        Ok(rows)
    }
}

/// What was stopped is wanted again.
fn again(row: ScratchRow, asked: &Asked, now: ledger::Millis) -> ScratchRow {
    ScratchRow {
        asked: asked.id.clone(),
        login: asked.login.clone(),
        at: now,
        begun: false,
        stopped: None,
        over: false,
        looked: 0,
        ..row
    }
}

fn cut(problem: &mut Problem) {
    let end = problem.message.char_indices().nth(MAX_PROBLEM_CHARS);
    if let Some((end, _)) = end {
        problem.message.truncate(end);
        problem.message.push('…');
    }
}

fn build_path(path: &str) -> Option<RequestPath> {
    let path: RequestPath = path.parse().ok()?;
    (path.kind() == RequestKind::Build).then_some(path)
}

fn not_a_build(path: &RequestPath) -> Error {
    Error::Inconsistent(format!("read {path}: it is no build request"))
}

/// Requests that it builds on, as far as they wake it.
fn links_of(row: &RequestRow) -> Vec<RequestPath> {
    let links = row.spec.iter().flat_map(crate::admit::links);
    links.take(MAX_LINKS_INDEXED).collect()
}

/// What of it whoever owns the source can change after somebody has read it: a branch or a tag. Of a name that is no
/// commit to git ([`pipeline_spec::GitRef::as_commit`] takes longer ones too) there may be a branch.
fn moving(path: &RequestPath, build: &BuildRequest) -> Option<Problem> {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    build.packages.iter().find_map(|package| {
        let Source::Git { git, git_ref, .. } = &package.source else {
            return None;
        };
        let name = git_ref.as_str();
        let is_fixed = name.len() == 40 && name.bytes().all(is_hex);
        (!is_fixed).then(|| Problem {
            subject: path.to_string(),
            message: format!(
                "the ref `{name}` of {git} can be moved after you have read it, and this pull request is from a fork: write the commit as `ref`, all 40 digits of its id"
            ),
        })
    })
}

/// Whatever builds on something broken of the same pull request cannot be built either.
fn leave_out(
    builds: &mut BTreeMap<RequestPath, BuildRequest>,
    broken: &mut BTreeMap<RequestPath, Vec<Problem>>,
) {
    loop {
        let next = builds.iter().find_map(|(path, build)| {
            let mut links = build.with.iter();
            let link = links.find(|link| broken.contains_key(*link))?;
            Some((path.clone(), link.clone()))
        });
        let Some((path, link)) = next else {
            return;
        };
        builds.remove(&path);
        let problem = Problem {
            subject: path.to_string(),
            message: format!("it builds on {link}, which cannot be built"),
        };
        broken.insert(path, vec![problem]);
    }
}

/// The same builds under paths of their own: links among them stay among them, and all else goes first.
fn apart(
    builds: BTreeMap<RequestPath, BuildRequest>,
    (number, commit): (u64, &str),
) -> BTreeMap<RequestPath, BuildRequest> {
    let scratch = |path: &RequestPath| RequestPath::scratch(number, commit, path);
    let own: BTreeMap<RequestPath, RequestPath> = builds
        .keys()
        .filter_map(|path| Some((path.clone(), scratch(path)?)))
        .collect();
    let build = |(path, mut build): (RequestPath, BuildRequest)| {
        for link in &mut build.with {
            if let Some(own) = own.get(link) {
                *link = own.clone();
            }
        }
        build.priority = Priority::Background;
        Some((own.get(&path)?.clone(), build))
    };
    builds.into_iter().filter_map(build).collect()
}
