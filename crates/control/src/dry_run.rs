//! The dry run: what planning a commit would do, without writing a row.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{Leans, Note, Phase, Problem, RequestPlan, RequestRow, RequestSpec, Tasks};
use pipeline_spec::{
    Architecture, BuildRequest, Config, Diagnostic, PackageName, PackageRequest, PlatformName,
    Priority, RepositoryName, RequestKind, RequestPath, Severity, Source, is_config_path,
};
use planner::{Plan, RequestView, Resolution, plan_build};
use ports::{ChangeKind, PathChange, Platform, Resolved, StateRepo};
use runner_api::{Facts, TaskRef, TaskSpec};
use serde::{Deserialize, Serialize};

use crate::admit::problems;
use crate::away::cannot_be_looked_up;
use crate::compared::{plan_digest, plan_of_build};
use crate::files::{Checkout, Files};
use crate::forecast::{Forecast, forecast};
use crate::jobs::{Following, Jobs};
use crate::needs::{DryRunNeed, needs};
use crate::notice::{configured, not_a_file, repository, unread};
use crate::report::is_request;
use crate::{Control, Result};

/// What merging a tree would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DryRun {
    /// The commit that is planned now; empty: nothing.
    pub from: String,
    /// The commit looked at; [`CHECKOUT`]: files that were not pushed.
    pub to: String,
    /// Why it cannot be planned at all.
    pub problems: Vec<Problem>,
    /// What follows from changed configuration, and what people should look at twice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
    /// Requests that it brings, changes or takes away.
    pub requests: Vec<DryRunRequest>,
    /// Names what would be done, whatever commit it lies over and whatever of it is done.
    #[serde(default)]
    pub digest: String,
    /// What there is to say of lines of the files that differ, mistakes of all files included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<Remark>,
    /// Work that would wait for runners that are not there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<DryRunNeed>,
    /// How long the work is expected to take; `None`: nothing like it was done before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast: Option<Forecast>,
}

/// Something to say of a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remark {
    /// The file, from the repository's top.
    pub path: String,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// Whether nothing can be planned before it is mended.
    pub is_error: bool,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

impl From<&Diagnostic> for Remark {
    fn from(found: &Diagnostic) -> Self {
        Self {
            path: found.path.clone(),
            line: found.line,
            column: found.column,
            is_error: found.severity == Severity::Error,
            message: found.message.clone(),
            help: found.help.clone(),
        }
    }
}

/// Whether refs of packages' sources are looked up that the ledger does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refs {
    /// Their hosts are asked.
    LookUp,
    /// Nobody is asked: who wrote the addresses may have the control plane call no one.
    Leave,
}

/// [`DryRun::to`] of a [`Checkout`].
pub const CHECKOUT: &str = "checkout";

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DryRunRequest {
    /// Its path.
    pub path: RequestPath,
    /// `added`, `modified`, `removed`.
    pub change: String,
    /// How much its tasks hurry.
    #[serde(default, skip_serializing_if = "Priority::is_normal")]
    pub priority: Priority,
    /// What a person must mend.
    pub problems: Vec<Problem>,
    /// Those of its problems that are a host's that did not answer, by their messages: another look may say otherwise.
    #[serde(skip)]
    pub unsure: BTreeSet<String>,
    /// A release or its revert: what beside files its plan is made of.
    #[serde(skip)]
    pub leans: Leans,
    /// What follows later and why.
    pub notes: Vec<Note>,
    /// First tasks, and those that follow once the sources are known.
    pub tasks: Vec<DryRunTask>,
    /// How many tasks are to be done.
    #[serde(default, skip_serializing_if = "DryRunWork::is_nothing")]
    pub work: DryRunWork,
    /// A release or its revert: what changes for clients, in name order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<DryRunRepository>,
    /// How each package's builds stand, by `platform architecture`: `new`, `succeeded`, …
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub builds: BTreeMap<String, BTreeMap<String, String>>,
    /// Packages in the order of their builds, as far as it is known: those of a step wait for the step before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub order: Vec<Vec<String>>,
    /// What the work after the merge is held against.
    #[serde(default)]
    pub plan: RequestPlan,
}

/// Tasks that are not done, by kind, those included that only follow: each package on each architecture that
/// its platform has, unless its source is known and says otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DryRunWork {
    /// Sources.
    pub sources: usize,
    /// Builds.
    pub builds: usize,
    /// Tests of packages.
    pub tests: usize,
    /// Of releases: packages and metadata signed, repositories composed, smoke tests.
    pub releasing: usize,
}

impl DryRunWork {
    /// Whether nothing is to be done.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// What a release does to one repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DryRunRepository {
    /// Which.
    pub name: RepositoryName,
    /// The key that signs it.
    pub key: String,
    /// Architectures on which the real client installs from it before it is public.
    pub smoke: Vec<String>,
    /// Packages that are added, replaced or removed, by name and architecture.
    pub packages: Vec<DryRunPackage>,
    /// Packages that are not built yet: source packages, or binary ones where the source is known.
    /// Where they go and with which version is known only after the build.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub awaited: Vec<String>,
}

/// One package as clients see it change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DryRunPackage {
    /// Its name.
    pub name: String,
    /// Its architecture as the package says it: `noarch`, `amd64`, `src`, …
    pub arch: String,
    /// Newest version that clients see now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Newest version that they would see; of a package that stays hidden, its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// What that is.
    pub change: PackageChange,
}

/// How a package changes for clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PackageChange {
    /// It was not there.
    Added,
    /// By a newer version.
    Upgraded,
    /// By an older version: clients that have the newer one keep it.
    Downgraded,
    /// The release brings an older version than the repository has, which clients will not see.
    Hidden,
    /// It is not there any more.
    Removed,
}

/// A task that would be planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DryRunTask {
    /// What.
    pub title: String,
    /// Why.
    pub why: String,
    /// `new`, or the state of the task that exists already.
    pub state: String,
}

impl<P: Platform> Control<P> {
    /// Plans a commit (40 hex digits) or the tip of a branch of the state repository against the
    /// ledger, and writes nothing. `None`: the state repository has neither.
    pub async fn dry_run(&self, revision: &str) -> Result<Option<DryRun>> {
        let repo = self.platform.state_repo();
        let hex = revision.len() == 40 && revision.bytes().all(|b| b.is_ascii_hexdigit());
        let found = if hex {
            repo.info(revision).await.map(|_| Some(revision.to_owned()))
        } else {
            repo.head(revision).await
        };
        match found {
            Ok(Some(commit)) => {
                let files = Files::Commit(&commit);
                let mut run = self.dry_run_of(files, Refs::LookUp).await?;
                self.dry_approvals(&mut run, files, Some(&commit)).await?;
                Ok(Some(run))
            }
            // A name that no branch can have, or a commit that is not there.
            Ok(None) | Err(ports::Error::Corrupt { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Plans files that were not pushed, and writes nothing.
    pub async fn dry_run_files(&self, checkout: &Checkout) -> Result<DryRun> {
        let files = Files::Checkout(checkout);
        let mut run = self.dry_run_of(files, Refs::LookUp).await?;
        self.dry_approvals(&mut run, files, None).await?;
        Ok(run)
    }

    pub(crate) async fn dry_run_of(&self, files: Files<'_>, refs: Refs) -> Result<DryRun> {
        let (head, _) = self.head_row().await?;
        let mut run = DryRun {
            from: head.commit.clone(),
            to: to(files).to_owned(),
            problems: Vec::new(),
            notes: Vec::new(),
            requests: Vec::new(),
            digest: String::new(),
            remarks: Vec::new(),
            needs: Vec::new(),
            forecast: None,
        };
        let (config, warnings) = match self.read_config(files).await? {
            Ok(read) => read,
            Err(diagnostics) => {
                // A file that is none may be what all else is said to lack.
                let links = not_files(files).filter(|path| is_config_path(path));
                run.problems = links.map(|path| not_a_file(path)).collect();
                run.problems.extend(problems(&diagnostics));
                run.remarks = diagnostics.iter().map(Remark::from).collect();
                return Ok(run);
            }
        };
        let linear = match files {
            Files::Commit(commit) => {
                let repo = self.platform.state_repo();
                !head.commit.is_empty() && repo.is_ancestor(&head.commit, commit).await?
            }
            Files::Checkout(_) => !head.commit.is_empty(),
        };
        let from = linear.then_some(head.commit.as_str());
        let changes = self.file_changes(from, files).await?;
        run.notes = self.dry_notes(&changes).await?;
        if from.is_some() {
            // A link is told of as one.
            let files = changes.iter().filter(|it| it.kind != ChangeKind::NotAFile);
            run.notes.extend(files.filter_map(configured));
        }
        // What was there before is not of who reads this.
        let differs = |path: &str| changes.iter().any(|change| change.path == path);
        let of_changes = warnings.iter().filter(|found| differs(&found.path));
        run.remarks = of_changes.map(Remark::from).collect();
        if !head.commit.is_empty()
            && let Ok(planned) = self.snapshot(&head.commit).await
        {
            let moved = self.moved_repositories(&planned.config, &config).await?;
            run.notes.extend(moved.into_iter().map(|found| Note {
                subject: found.subject,
                why: found.message,
            }));
        }
        let paths = changes.iter().map(|change| change.path.clone());
        let paths: Vec<String> = paths.filter(|path| is_request(path)).collect();
        self.prefetch_files(files, &paths).await?;
        let mut jobs = Jobs::default();
        for change in changes {
            let Ok(path) = change.path.parse::<RequestPath>() else {
                continue;
            };
            let mut request = DryRunRequest {
                path: path.clone(),
                change: word(change.kind).to_owned(),
                priority: Priority::Normal,
                problems: Vec::new(),
                unsure: BTreeSet::new(),
                leans: Leans::default(),
                notes: Vec::new(),
                tasks: Vec::new(),
                work: DryRunWork::default(),
                repositories: Vec::new(),
                builds: BTreeMap::new(),
                order: Vec::new(),
                plan: RequestPlan::default(),
            };
            match self.read_file(files, path.as_str()).await? {
                Some(text) => match self.read_wish(&config, files, &path, &text).await? {
                    Ok((spec, warnings)) => {
                        request.priority = spec.priority();
                        run.remarks.extend(warnings.iter().map(Remark::from));
                        self.dry_wish(&config, (files, refs), &spec, (&mut request, &mut jobs))
                            .await?;
                    }
                    Err(diagnostics) => {
                        request.problems = problems(&diagnostics);
                        run.remarks.extend(diagnostics.iter().map(Remark::from));
                    }
                },
                None if change.kind == ChangeKind::NotAFile => {
                    request.problems = vec![not_a_file(path.as_str())];
                }
                None => {
                    self.dry_removal(&config, files, (&mut request, &mut jobs))
                        .await?;
                }
            }
            request.work = jobs.work(&path);
            run.requests.push(request);
        }
        let now = self.now();
        run.needs = needs(&jobs.all, &config.runners, |id| {
            self.heard.silent_for(id, now)
        });
        run.digest = plan_digest(&run);
        run.forecast = forecast(&jobs.all, &self.durations_of(&jobs).await?, &config.runners);
        Ok(run)
    }

    async fn dry_wish(
        &self,
        config: &Config,
        (files, refs): (Files<'_>, Refs),
        spec: &RequestSpec,
        into: (&mut DryRunRequest, &mut Jobs),
    ) -> Result<()> {
        match spec {
            RequestSpec::Build(build) => {
                self.dry_build(config, (to(files), refs), build, into).await
            }
            RequestSpec::Release(release) => {
                self.dry_release(config, files, Some(release), into).await
            }
        }
    }

    async fn dry_build(
        &self,
        config: &Config,
        (commit, look_up): (&str, Refs),
        build: &BuildRequest,
        (request, jobs): (&mut DryRunRequest, &mut Jobs),
    ) -> Result<()> {
        let loaded = self.load(&request.path).await?;
        let tasks = loaded
            .as_ref()
            .map(|loaded| loaded.tasks.clone())
            .unwrap_or_default();
        let mut refs = BTreeMap::new();
        for package in &build.packages {
            let Source::Git { git, git_ref, .. } = &package.source else {
                continue;
            };
            let key = (git.to_string(), git_ref.to_string());
            if refs.contains_key(&key) {
                continue;
            }
            let known = loaded.as_ref().and_then(|loaded| loaded.refs.get(&key));
            let resolution = match known {
                Some(row) => Resolution::Commit(row.commit.clone()),
                // The planner says that it is still to be looked up.
                None if look_up == Refs::Leave => continue,
                None => self.look_up(&key, request).await,
            };
            refs.insert(key, resolution);
        }
        let spec = RequestSpec::Build(Box::new(build.clone()));
        let row = row_for(&request.path, commit, spec);
        let view = RequestView {
            row: &row,
            tasks: &tasks,
        };
        let plan = plan_build(view, build, config, &refs, &[]);
        let sources = sources(&plan);
        request.plan = plan_of_build(build, config, &refs, &sources);
        let places = jobs.add_plan(&request.path, &plan, &tasks);
        request.builds = builds(&plan, &tasks);
        request.order = build_order(build, &tasks);
        fill(request, plan, &tasks);
        for (platform, wanted) in &build.platforms {
            let Some(platform_config) = config.platforms.get(platform) else {
                continue;
            };
            let archs: Vec<&Architecture> = platform_config
                .architectures
                .iter()
                .filter(|arch| wanted.as_ref().is_none_or(|wanted| wanted.contains(arch)))
                .collect();
            let following = Following {
                build,
                platform: (platform, platform_config),
                archs: &archs,
                sources: &sources,
                tasks: &tasks,
                places: &places,
            };
            for (package, arch) in jobs.add_following(&request.path, &following) {
                let states = request.builds.entry(package.to_string()).or_default();
                states.insert(format!("{platform} {arch}"), "new".to_owned());
            }
            let archs: Vec<&str> = archs.iter().map(|arch| arch.as_str()).collect();
            for package in build.packages_on(platform, platform_config.format()) {
                let name = package.name.as_str();
                if request.problems.iter().any(|found| found.subject == name) {
                    continue;
                }
                request.notes.push(Note {
                    subject: package.name.to_string(),
                    why: format!("then built and tested for {platform} on {}, unless its source says otherwise", archs.join(", ")),
                });
            }
        }
        Ok(())
    }

    async fn look_up(&self, key: &(String, String), request: &mut DryRunRequest) -> Resolution {
        match self.ask_host(key).await {
            Ok(Resolved::Commit(commit)) => Resolution::Commit(commit),
            Ok(Resolved::Missing(message)) => Resolution::Missing(message),
            Err(why) => {
                let message = cannot_be_looked_up(key, &why);
                request.unsure.insert(message.clone());
                Resolution::Missing(message)
            }
        }
    }

    /// What no request says: files that nobody reads, repositories that go off the air.
    async fn dry_notes(&self, changes: &[PathChange]) -> Result<Vec<Note>> {
        let mut found: Vec<Problem> = changes.iter().filter_map(unread).collect();
        for change in changes {
            let gone = matches!(change.kind, ChangeKind::Removed | ChangeKind::NotAFile);
            if let Some(name) = repository(&change.path).filter(|_| gone) {
                found.extend(self.off_air(&name, "this change").await?);
            }
        }
        let notes = found.into_iter().map(|found| Note {
            subject: found.subject,
            why: found.message,
        });
        Ok(notes.collect())
    }

    async fn dry_removal(
        &self,
        config: &Config,
        files: Files<'_>,
        (request, jobs): (&mut DryRunRequest, &mut Jobs),
    ) -> Result<()> {
        let Some(loaded) = self.load(&request.path).await? else {
            return Ok(());
        };
        if request.path.kind() == RequestKind::Release {
            let into = (request, jobs);
            return self.dry_release(config, files, None, into).await;
        }
        let open = loaded
            .tasks
            .values()
            .filter(|row| !row.state.is_closed())
            .count();
        let stopped = match open {
            0 => "nothing of it is open".to_owned(),
            1 => "1 open task is canceled".to_owned(),
            open => format!("{open} open tasks are canceled"),
        };
        request.notes.push(Note {
            subject: request.path.to_string(),
            why: format!("{stopped}; what was released of it stays"),
        });
        Ok(())
    }
}

fn not_files(files: Files<'_>) -> impl Iterator<Item = &String> {
    let checkout = match files {
        Files::Commit(_) => None,
        Files::Checkout(checkout) => Some(checkout),
    };
    checkout.into_iter().flat_map(|it| &it.not_files)
}

/// A request as it would be admitted.
pub(crate) fn row_for(path: &RequestPath, commit: &str, spec: RequestSpec) -> RequestRow {
    RequestRow {
        path: path.clone(),
        commit: commit.to_owned(),
        time: 0,
        author: String::new(),
        sequence: 0,
        spec: Some(spec),
        phase: Phase::Open,
        problems: Vec::new(),
        notes: Vec::new(),
    }
}

/// Source tasks, with platform and package.
pub(crate) fn sources(plan: &Plan) -> Vec<(PlatformName, PackageName, TaskRef)> {
    let sources = plan.tasks.iter().filter_map(|planned| match &planned.spec {
        TaskSpec::Source(it) => Some((
            it.platform.clone(),
            it.package.clone(),
            planned.task.clone(),
        )),
        _ => None,
    });
    sources.collect()
}

/// Builds that are planned, by package and by platform and architecture.
fn builds(plan: &Plan, tasks: &Tasks) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut builds: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for planned in &plan.tasks {
        let TaskSpec::Build(build) = &planned.spec else {
            continue;
        };
        let known = tasks.get(&planned.task.id);
        let state = match planned.excluded {
            Some(_) => "excluded",
            None => known.map_or("new", |row| row.state.word()),
        };
        let states = builds.entry(build.package.to_string()).or_default();
        let column = format!("{} {}", build.platform, build.arch);
        states.insert(column, state.to_owned());
    }
    builds
}

/// Packages by the step of their builds, by what the request says and sources that are made.
fn build_order(build: &BuildRequest, tasks: &Tasks) -> Vec<Vec<String>> {
    let mut facts = BTreeMap::new();
    for row in tasks.values().filter(|row| row.is_done()) {
        if let (TaskSpec::Source(task), Some(Facts::Source(found))) = (&row.spec, row.facts()) {
            facts.insert(task.package.clone(), found);
        }
    }
    let packages: Vec<&PackageRequest> = build.packages.iter().collect();
    let order = planner::order(&packages, &facts);
    let mut packages: Vec<(&PackageName, &BTreeSet<PackageName>)> = order.before.iter().collect();
    // Who waits for more comes later: a package has a superset of what those before it need.
    packages.sort_by_key(|(_, before)| before.len());
    let mut steps: BTreeMap<&PackageName, usize> = BTreeMap::new();
    let mut stages: Vec<Vec<String>> = Vec::new();
    for (name, before) in packages {
        let last = before.iter().filter_map(|name| steps.get(name)).max();
        let step = last.map_or(0, |last| last + 1);
        steps.insert(name, step);
        if stages.len() <= step {
            stages.resize_with(step + 1, Vec::new);
        }
        stages[step].push(name.to_string());
    }
    match stages.len() {
        0 | 1 => Vec::new(),
        _ => stages,
    }
}

fn fill(request: &mut DryRunRequest, plan: Plan, tasks: &Tasks) {
    request.problems = plan.problems;
    request.notes = plan.notes;
    request.tasks = plan
        .tasks
        .iter()
        .map(|planned| DryRunTask {
            title: planned.spec.title(),
            why: planned.why.clone(),
            state: tasks
                .get(&planned.task.id)
                .map_or("new", |row| row.state.word())
                .to_owned(),
        })
        .collect();
}

pub(crate) fn to<'a>(files: Files<'a>) -> &'a str {
    match files {
        Files::Commit(commit) => commit,
        Files::Checkout(_) => CHECKOUT,
    }
}

fn word(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Added => "added",
        ChangeKind::Modified => "modified",
        ChangeKind::Removed | ChangeKind::NotAFile => "removed",
    }
}
