//! The dry run: what planning a commit would do, without writing a row.

use std::collections::BTreeMap;

use ledger::{Note, Phase, Problem, RequestRow, RequestSpec, TaskRow, Tasks};
use pipeline_spec::{
    Config, Diagnostic, PlatformName, Priority, RepositoryName, RequestKind, RequestPath, Severity,
    Source,
};
use planner::{Plan, RequestView, Resolution, plan_build};
use ports::{ChangeKind, PathChange, Platform, Resolved, StateRepo};
use runner_api::{TaskRef, TaskSpec};
use serde::{Deserialize, Serialize};

use crate::admit::problems;
use crate::files::{Checkout, Files};
use crate::notice::{not_a_file, repository, trust, unread};
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
    /// What there is to say of lines of the files that differ, mistakes of all files included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<Remark>,
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
    /// A host did not answer: another look may say otherwise.
    #[serde(skip)]
    pub is_unsure: bool,
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

    fn add(&mut self, spec: &TaskSpec) {
        match spec {
            TaskSpec::Source(_) => self.sources += 1,
            TaskSpec::Build(_) => self.builds += 1,
            TaskSpec::Test(_) => self.tests += 1,
            TaskSpec::SignPackages(_)
            | TaskSpec::Compose(_)
            | TaskSpec::SignMetadata(_)
            | TaskSpec::Smoke(_) => self.releasing += 1,
        }
    }

    /// Adds builds and tests that are planned only once the platform's last source is made.
    fn follow(
        &mut self,
        sources: &[(PlatformName, TaskRef)],
        platform: &PlatformName,
        archs: &[&str],
        tasks: &Tasks,
    ) {
        let sources = sources.iter().filter(|(of, _)| of == platform);
        let known = sources.map(|(_, source)| (source, tasks.get(&source.id)));
        let known: Vec<_> = known.collect();
        let is_open = |row: &Option<&TaskRow>| row.is_none_or(|row| !row.state.is_closed());
        if !known.iter().any(|(_, row)| is_open(row)) {
            return;
        }
        for (source, row) in known {
            // Nothing follows a source that could not be made.
            if !is_open(&row) && !row.is_some_and(TaskRow::is_done) {
                continue;
            }
            let left = archs.iter().filter(|arch| !is_built(tasks, source, arch));
            let left = left.count();
            self.builds += left;
            self.tests += left;
        }
    }
}

/// Whether a build of that source has ended, or is not wanted on that architecture.
fn is_built(tasks: &Tasks, source: &TaskRef, arch: &str) -> bool {
    tasks.values().any(|row| match &row.spec {
        TaskSpec::Build(build) => {
            build.source == *source && build.arch.as_str() == arch && row.state.is_closed()
        }
        _ => false,
    })
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
                let run = self.dry_run_of(Files::Commit(&commit), Refs::LookUp);
                Ok(Some(run.await?))
            }
            // A name that no branch can have, or a commit that is not there.
            Ok(None) | Err(ports::Error::Corrupt { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Plans files that were not pushed, and writes nothing.
    pub async fn dry_run_files(&self, checkout: &Checkout) -> Result<DryRun> {
        self.dry_run_of(Files::Checkout(checkout), Refs::LookUp)
            .await
    }

    pub(crate) async fn dry_run_of(&self, files: Files<'_>, refs: Refs) -> Result<DryRun> {
        let (head, _) = self.head_row().await?;
        let mut run = DryRun {
            from: head.commit.clone(),
            to: to(files).to_owned(),
            problems: Vec::new(),
            notes: Vec::new(),
            requests: Vec::new(),
            remarks: Vec::new(),
        };
        let (config, warnings) = match self.read_config(files).await? {
            Ok(read) => read,
            Err(diagnostics) => {
                run.problems = problems(&diagnostics);
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
            run.notes.extend(changes.iter().filter_map(trust));
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
        for change in changes {
            let Ok(path) = change.path.parse::<RequestPath>() else {
                continue;
            };
            let mut request = DryRunRequest {
                path: path.clone(),
                change: word(change.kind).to_owned(),
                priority: Priority::Normal,
                problems: Vec::new(),
                is_unsure: false,
                notes: Vec::new(),
                tasks: Vec::new(),
                work: DryRunWork::default(),
                repositories: Vec::new(),
            };
            match self.read_file(files, path.as_str()).await? {
                Some(text) => match self.read_wish(&config, files, &path, &text).await? {
                    Ok((spec, warnings)) => {
                        request.priority = spec.priority();
                        run.remarks.extend(warnings.iter().map(Remark::from));
                        self.dry_wish(&config, (files, refs), &spec, &mut request)
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
                None => self.dry_removal(&config, files, &mut request).await?,
            }
            run.requests.push(request);
        }
        Ok(run)
    }

    async fn dry_wish(
        &self,
        config: &Config,
        (files, refs): (Files<'_>, Refs),
        spec: &RequestSpec,
        request: &mut DryRunRequest,
    ) -> Result<()> {
        match spec {
            RequestSpec::Build(build) => {
                self.dry_build(config, (to(files), refs), build, request)
                    .await
            }
            RequestSpec::Release(release) => {
                self.dry_release(config, files, Some(release), request)
                    .await
            }
        }
    }

    async fn dry_build(
        &self,
        config: &Config,
        (commit, look_up): (&str, Refs),
        build: &pipeline_spec::BuildRequest,
        request: &mut DryRunRequest,
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
            let known = loaded.as_ref().and_then(|loaded| loaded.refs.get(&key));
            let resolution = match known {
                Some(row) => Resolution::Commit(row.commit.clone()),
                // The planner says that it is still to be looked up.
                None if look_up == Refs::Leave => continue,
                None => match self.platform.state_repo().resolve(&key.0, &key.1).await {
                    Ok(Resolved::Commit(commit)) => Resolution::Commit(commit),
                    Ok(Resolved::Missing(message)) => Resolution::Missing(message),
                    Err(error) => {
                        request.is_unsure = true;
                        Resolution::Missing(format!(
                            "{git_ref} of {git} cannot be looked up now: {error}"
                        ))
                    }
                },
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
        fill(request, plan, &tasks);
        for (platform, wanted) in &build.platforms {
            let Some(platform_config) = config.platforms.get(platform) else {
                continue;
            };
            let archs: Vec<&str> = platform_config
                .architectures
                .iter()
                .filter(|arch| wanted.as_ref().is_none_or(|wanted| wanted.contains(arch)))
                .map(|arch| arch.as_str())
                .collect();
            request.work.follow(&sources, platform, &archs, &tasks);
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
        request: &mut DryRunRequest,
    ) -> Result<()> {
        let Some(loaded) = self.load(&request.path).await? else {
            return Ok(());
        };
        if request.path.kind() == RequestKind::Release {
            return self.dry_release(config, files, None, request).await;
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

/// Source tasks, by the platform that they are for.
fn sources(plan: &Plan) -> Vec<(PlatformName, TaskRef)> {
    let specs = plan.tasks.iter().map(|planned| (planned, &planned.spec));
    let sources = specs.filter_map(|(planned, spec)| match spec {
        TaskSpec::Source(source) => Some((source.platform.clone(), planned.task.clone())),
        _ => None,
    });
    sources.collect()
}

fn fill(request: &mut DryRunRequest, plan: Plan, tasks: &Tasks) {
    for planned in &plan.tasks {
        let known = tasks.get(&planned.task.id);
        if known.is_none_or(|row| !row.state.is_closed()) && planned.excluded.is_none() {
            request.work.add(&planned.spec);
        }
    }
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
