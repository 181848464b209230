//! The dry run: what planning a commit would do, without writing a row.

use std::collections::BTreeMap;

use ledger::{Note, Phase, Problem, RequestRow, RequestSpec, Tasks};
use pipeline_spec::{RepositoryName, RequestPath, Source};
use planner::{Plan, RequestView, Resolution, plan_build};
use ports::{ChangeKind, Platform, Resolved, StateRepo};
use serde::{Deserialize, Serialize};

use crate::admit::problems;
use crate::files::{Checkout, Files};
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
    /// What a person must mend.
    pub problems: Vec<Problem>,
    /// What follows later and why.
    pub notes: Vec<Note>,
    /// First tasks, and those that follow once the sources are known.
    pub tasks: Vec<DryRunTask>,
    /// A release or its revert: what changes for clients, in name order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<DryRunRepository>,
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
    /// Newest version that they would see.
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
            Ok(Some(commit)) => Ok(Some(self.dry_run_of(Files::Commit(&commit)).await?)),
            // A name that no branch can have, or a commit that is not there.
            Ok(None) | Err(ports::Error::Corrupt { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Plans files that were not pushed, and writes nothing.
    pub async fn dry_run_files(&self, checkout: &Checkout) -> Result<DryRun> {
        self.dry_run_of(Files::Checkout(checkout)).await
    }

    async fn dry_run_of(&self, files: Files<'_>) -> Result<DryRun> {
        let (head, _) = self.head_row().await?;
        let mut run = DryRun {
            from: head.commit.clone(),
            to: to(files).to_owned(),
            problems: Vec::new(),
            notes: Vec::new(),
            requests: Vec::new(),
        };
        let config = match self.read_config(files).await? {
            Ok((config, _)) => config,
            Err(diagnostics) => {
                run.problems = problems(&diagnostics);
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
        for change in self.file_changes(from, files).await? {
            let Ok(path) = change.path.parse::<RequestPath>() else {
                continue;
            };
            let mut request = DryRunRequest {
                path: path.clone(),
                change: word(change.kind).to_owned(),
                problems: Vec::new(),
                notes: Vec::new(),
                tasks: Vec::new(),
                repositories: Vec::new(),
            };
            match self.read_file(files, path.as_str()).await? {
                Some(text) => match self.read_wish(&config, files, &path, &text).await? {
                    Ok(RequestSpec::Build(build)) => {
                        self.dry_build(&config, to(files), &build, &mut request)
                            .await?;
                    }
                    Ok(RequestSpec::Release(release)) => dry_release(&release, &mut request),
                    Err(diagnostics) => request.problems = problems(&diagnostics),
                },
                None => self.dry_removal(&mut request).await?,
            }
            run.requests.push(request);
        }
        Ok(run)
    }

    async fn dry_build(
        &self,
        config: &pipeline_spec::Config,
        commit: &str,
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
                None => match self.platform.state_repo().resolve(&key.0, &key.1).await {
                    Ok(Resolved::Commit(commit)) => Resolution::Commit(commit),
                    Ok(Resolved::Missing(message)) => Resolution::Missing(message),
                    Err(error) => Resolution::Missing(format!(
                        "{git_ref} of {git} cannot be looked up now: {error}"
                    )),
                },
            };
            refs.insert(key, resolution);
        }
        let row = row_for(&request.path, commit, build);
        let view = RequestView {
            row: &row,
            tasks: &tasks,
        };
        let plan = plan_build(view, build, config, &refs, &[]);
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
            for package in build.packages_on(platform, platform_config.format()) {
                request.notes.push(Note {
                    subject: package.name.to_string(),
                    why: format!("then built and tested for {platform} on {}, unless its source says otherwise", archs.join(", ")),
                });
            }
        }
        Ok(())
    }

    async fn dry_removal(&self, request: &mut DryRunRequest) -> Result<()> {
        let Some(loaded) = self.load(&request.path).await? else {
            return Ok(());
        };
        let open = loaded
            .tasks
            .values()
            .filter(|row| !row.state.is_closed())
            .count();
        let why = match &loaded.row.spec {
            Some(RequestSpec::Release(release)) if loaded.row.phase == Phase::Published => format!(
                "its packages leave {}; what they replaced comes back",
                release
                    .to
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
            _ => format!("{open} open task(s) are canceled"),
        };
        request.notes.push(Note {
            subject: request.path.to_string(),
            why,
        });
        Ok(())
    }
}

fn dry_release(release: &pipeline_spec::ReleaseRequest, request: &mut DryRunRequest) {
    for build in &release.from {
        request.notes.push(Note {
            subject: build.to_string(),
            why: "its packages are released once all of it is built and tested".to_owned(),
        });
    }
    for name in &release.to {
        for step in [
            "sign packages for",
            "compose",
            "sign metadata of",
            "smoke-test",
            "publish",
        ] {
            request.tasks.push(DryRunTask {
                title: format!("{step} {name}"),
                why: format!("{} releases to {name}", request.path),
                state: "new".to_owned(),
            });
        }
    }
}

fn row_for(path: &RequestPath, commit: &str, build: &pipeline_spec::BuildRequest) -> RequestRow {
    RequestRow {
        path: path.clone(),
        commit: commit.to_owned(),
        time: 0,
        author: String::new(),
        sequence: 0,
        spec: Some(RequestSpec::Build(Box::new(build.clone()))),
        phase: Phase::Open,
        problems: Vec::new(),
        notes: Vec::new(),
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

fn to<'a>(files: Files<'a>) -> &'a str {
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
