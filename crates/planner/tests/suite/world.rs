//! A ledger of one request after another, worked off by runners that always succeed unless told.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use ledger::{Contribution, FailedBy, Phase, RequestRow, RequestSpec, TaskRow, TaskState, Tasks};
use pipeline_spec::{
    BuildRequest, Config, ReleaseRequest, RepositoryName, RequestPath, Severity, Sha256Digest,
    parse_build, parse_release,
};
use planner::{
    HoldsTurn, Plan, Progress, ReleasePlan, ReleaseView, RepositoryView, RequestView, Resolution,
    plan_build, plan_release,
};
use runner_api::{
    ArchVerdict, Artifact, ArtifactKind, BuildFacts, BuildScope, BuiltPackage, Facts, Failure,
    FailureKind, Outcome, Placed, Publication, ResultManifest, SourceFacts, TaskSpec, TestFacts,
};
use sha2::{Digest, Sha256};

const KEY: &str =
    "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\naGVsbG8=\n-----END PGP PUBLIC KEY BLOCK-----\n";

const CONFIG: &[(&str, &str)] = &[
    ("millrace.yaml", "version: 1\nname: Example\n"),
    (
        "platforms/el.yaml",
        "format: rpm\narchitectures: [x86_64, aarch64]\nbuildroot: [bash]\nrepos:\n  - {name: os, url: \"https://example.org/$arch/\", keys: [keys/up/el.asc]}\n",
    ),
    (
        "platforms/deb.yaml",
        "format: deb\narchitectures: [amd64]\narchives:\n  - {url: host, suites: [bookworm], components: [main]}\n",
    ),
    (
        "repositories/base.yaml",
        "format: rpm\nplatform: el\narchitectures: [x86_64, aarch64]\nkey: main\npath: el/base\nrefuses: [{package: \"*-devel\"}]\n",
    ),
    (
        "repositories/devel.yaml",
        "format: rpm\nplatform: el\narchitectures: [x86_64]\nkey: main\npath: el/devel\naccepts: [{package: \"*-devel\"}]\nkeep: 1\n",
    ),
    (
        "repositories/debian.yaml",
        "format: deb\nplatform: deb\narchitectures: [amd64]\nkey: main\npath: debian\nsuite: bookworm\ncomponents: [main, contrib]\n",
    ),
    ("keys/main.yaml", "private: {file: main.key}\n"),
    ("keys/main.asc", KEY),
    ("keys/up/el.asc", KEY),
];

/// The configuration with `more` files in it.
pub(crate) fn config(more: &[(&str, &str)]) -> Config {
    let files: BTreeMap<&str, &str> = CONFIG.iter().chain(more).copied().collect();
    let (config, found) = Config::load(files);
    let errors: Vec<_> = found
        .iter()
        .filter(|d| d.severity == Severity::Error)
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
    config
}

/// What sources say: `name version; requires…; provides…; excluded architectures…`.
pub(crate) struct World {
    pub(crate) config: Config,
    sources: BTreeMap<String, Source>,
    /// Task title → its failure.
    failing: BTreeSet<String>,
    /// Build title → its runner finds that the package does not want the architecture.
    excluding: BTreeSet<String>,
    pub(crate) builds: BTreeMap<RequestPath, (RequestRow, Tasks)>,
    pub(crate) repositories: BTreeMap<RepositoryName, RepositoryView>,
    sequence: u64,
}

#[derive(Default)]
struct Source {
    version: String,
    requires: Vec<String>,
    excluded: Vec<String>,
}

pub(crate) fn path(text: &str) -> RequestPath {
    text.parse().expect("a request's path")
}

fn row(path: &RequestPath, sequence: u64, spec: RequestSpec) -> RequestRow {
    RequestRow {
        path: path.clone(),
        commit: format!("{sequence:040x}"),
        time: 1_000 + sequence as i64,
        author: "Ada <ada@example.org>".to_owned(),
        sequence,
        spec: Some(spec),
        phase: Phase::Open,
        problems: Vec::new(),
        notes: Vec::new(),
    }
}

impl World {
    pub(crate) fn new(config: Config) -> Self {
        let names = config.repositories.keys().cloned();
        Self {
            repositories: names
                .map(|name| (name, RepositoryView::default()))
                .collect(),
            config,
            sources: BTreeMap::new(),
            failing: BTreeSet::new(),
            excluding: BTreeSet::new(),
            builds: BTreeMap::new(),
            sequence: 0,
        }
    }

    pub(crate) fn source(&mut self, name: &str, version: &str, requires: &[&str]) {
        let source = self.sources.entry(name.to_owned()).or_default();
        source.version = version.to_owned();
        source.requires = requires.iter().map(|it| (*it).to_owned()).collect();
    }

    pub(crate) fn exclude(&mut self, name: &str, arch: &str) {
        let source = self.sources.entry(name.to_owned()).or_default();
        source.excluded.push(arch.to_owned());
    }

    pub(crate) fn failing(&mut self, title: &str) {
        self.failing.insert(title.to_owned());
    }

    pub(crate) fn excluding(&mut self, title: &str) {
        self.excluding.insert(title.to_owned());
    }

    pub(crate) fn request(&self, at: &str, yaml: &str) -> BuildRequest {
        parse_build(&path(at), yaml.as_bytes()).expect("a build request")
    }

    fn refs(request: &BuildRequest) -> BTreeMap<(String, String), Resolution> {
        let mut refs = BTreeMap::new();
        for package in &request.packages {
            if let pipeline_spec::Source::Git { git, git_ref, .. } = &package.source {
                let found = if git_ref.to_string() == "gone" {
                    Resolution::Missing(format!("{git} has no ref {git_ref}"))
                } else {
                    Resolution::Commit("a".repeat(40))
                };
                refs.insert((git.to_string(), git_ref.to_string()), found);
            }
        }
        refs
    }

    fn views<'a>(&'a self, paths: &[RequestPath]) -> Vec<RequestView<'a>> {
        let rows = paths.iter().map(|path| &self.builds[path]);
        rows.map(|(row, tasks)| RequestView { row, tasks })
            .collect()
    }

    pub(crate) fn plan(&self, row: &RequestRow, request: &BuildRequest, tasks: &Tasks) -> Plan {
        let linked = self.views(&request.with);
        let view = RequestView { row, tasks };
        plan_build(view, request, &self.config, &Self::refs(request), &linked)
    }

    /// Plans and works until nothing changes; the last plan.
    pub(crate) fn build(&mut self, at: &str, yaml: &str) -> Plan {
        self.sequence += 1;
        let request = self.request(at, yaml);
        let spec = RequestSpec::Build(Box::new(request.clone()));
        let mut row = row(&path(at), self.sequence, spec);
        let mut tasks = Tasks::new();
        loop {
            let plan = self.plan(&row, &request, &tasks);
            if !self.apply(&plan, &mut tasks) && !self.work(&mut tasks) {
                row.phase = match plan.progress {
                    Progress::Working => Phase::Open,
                    Progress::Succeeded => Phase::Succeeded,
                    Progress::Failed => Phase::Failed,
                    Progress::Canceled => Phase::Canceled,
                };
                self.builds.insert(path(at), (row, tasks));
                return plan;
            }
        }
    }

    /// Brings the tasks to what the plan wants. Whether anything changed.
    pub(crate) fn apply(&self, plan: &Plan, tasks: &mut Tasks) -> bool {
        let mut changed = false;
        for planned in &plan.tasks {
            if tasks.contains_key(&planned.task.id) {
                continue;
            }
            let (task, spec) = (planned.task.clone(), planned.spec.clone());
            let mut row = TaskRow::planned(task, spec, planned.why.clone(), 0);
            if let Some(reason) = &planned.excluded {
                let reason = reason.clone();
                row.state = TaskState::Excluded { reason };
            }
            tasks.insert(planned.task.id.clone(), row);
            changed = true;
        }
        for id in &plan.unblock {
            if let Some(row) = tasks.get_mut(id) {
                row.state = TaskState::Ready {
                    attempt: 1,
                    not_before: 0,
                };
                changed = true;
            }
        }
        let wanted: BTreeSet<_> = plan.tasks.iter().map(|planned| &planned.task.id).collect();
        for row in tasks.values_mut() {
            if !row.state.is_closed() && !wanted.contains(&row.task.id) {
                let by = "newer".to_owned();
                row.state = TaskState::Superseded { attempt: 0, by };
                changed = true;
            }
        }
        changed
    }

    /// Ends all that is ready.
    fn work(&self, tasks: &mut Tasks) -> bool {
        let mut changed = false;
        for row in tasks.values_mut() {
            if !matches!(row.state, TaskState::Ready { .. }) {
                continue;
            }
            changed = true;
            let title = row.spec.title();
            row.state = if self.failing.contains(&title) {
                TaskState::Failed {
                    attempt: 1,
                    by: FailedBy::Package(Failure {
                        kind: FailureKind::Build,
                        message: "it said no".to_owned(),
                        excerpt: Vec::new(),
                    }),
                    result: None,
                }
            } else if self.excluding.contains(&title) {
                let reason = "ExcludeArch".to_owned();
                TaskState::Excluded { reason }
            } else {
                let (artifacts, facts) = self.made(&row.spec);
                TaskState::Succeeded {
                    result: Box::new(ResultManifest {
                        version: runner_api::VERSION,
                        task: row.task.clone(),
                        attempt: 1,
                        runner: "one".parse().expect("a runner"),
                        outcome: Outcome::Succeeded { artifacts, facts },
                        log: None,
                        started: 0,
                        finished: 0,
                    }),
                }
            };
        }
        changed
    }

    fn version(&self, name: &str) -> String {
        let known = self.sources.get(name).map(|source| source.version.clone());
        known
            .filter(|version| !version.is_empty())
            .unwrap_or_else(|| "1-1".to_owned())
    }

    fn made(&self, spec: &TaskSpec) -> (Vec<Artifact>, Facts) {
        match spec {
            TaskSpec::Source(task) => {
                let name = task.package.as_str();
                let rpm = task.target.format() == pipeline_spec::Format::Rpm;
                let mut artifacts = Vec::new();
                if rpm {
                    artifacts.push(self.package(name, name, "src", ArtifactKind::Srpm));
                } else {
                    artifacts.push(self.package(name, name, "source", ArtifactKind::Dsc));
                    artifacts.push(file(&format!("{name}.tar"), name, ArtifactKind::SourceFile));
                }
                let none = Source::default();
                let source = self.sources.get(name).unwrap_or(&none);
                let verdict = |(i, arch): (usize, &pipeline_spec::Architecture)| ArchVerdict {
                    arch: arch.clone(),
                    verdict: if source.excluded.iter().any(|it| it == arch.as_str()) {
                        Err(format!("ExcludeArch: {arch}"))
                    } else if i == 0 {
                        Ok(BuildScope::All)
                    } else {
                        Ok(BuildScope::ArchitectureOnly)
                    },
                };
                let facts = SourceFacts {
                    name: name.to_owned(),
                    version: self.version(name),
                    build_requires: source.requires.clone(),
                    provides: vec![name.to_owned(), format!("{name}-devel")],
                    architectures: task
                        .target
                        .architectures
                        .iter()
                        .enumerate()
                        .map(verdict)
                        .collect(),
                };
                (artifacts, Facts::Source(facts))
            }
            TaskSpec::Build(task) => {
                let (name, arch) = (task.package.as_str(), task.arch.as_str());
                let kind = match task.target.format() {
                    pipeline_spec::Format::Rpm => ArtifactKind::Rpm,
                    pipeline_spec::Format::Deb => ArtifactKind::Deb,
                };
                let mut artifacts = vec![
                    self.package(name, name, arch, kind),
                    self.package(&format!("{name}-devel"), name, arch, kind),
                ];
                if task.scope == BuildScope::All && kind == ArtifactKind::Rpm {
                    artifacts.push(self.package(&format!("{name}-doc"), name, "noarch", kind));
                }
                let buildroot = digest("root");
                (artifacts, Facts::Build(BuildFacts { buildroot }))
            }
            TaskSpec::Test(_) | TaskSpec::Smoke(_) => {
                let cases = Vec::new();
                (Vec::new(), Facts::Test(TestFacts { cases }))
            }
            TaskSpec::SignPackages(task) => {
                let sign = |recorded: &runner_api::Recorded| Artifact {
                    sha256: digest(&format!("{} {}", recorded.artifact.sha256, task.time)),
                    ..recorded.artifact.clone()
                };
                (task.packages.iter().map(sign).collect(), Facts::Nothing)
            }
            TaskSpec::Compose(task) => {
                let seed = task.content.to_string();
                let tree = file("tree.json", &seed, ArtifactKind::Tree);
                (vec![tree], Facts::Nothing)
            }
            TaskSpec::SignMetadata(task) => {
                let seed = task.compose.id.as_str();
                let signature = file("repomd.xml.asc", seed, ArtifactKind::Signature);
                (vec![signature], Facts::Nothing)
            }
        }
    }

    fn package(&self, name: &str, source: &str, arch: &str, kind: ArtifactKind) -> Artifact {
        let version = self.version(source);
        let mut artifact = file(&format!("{name}-{version}.{arch}"), "", kind);
        artifact.package = Some(BuiltPackage {
            name: name.to_owned(),
            version,
            arch: arch.to_owned(),
            source: source.to_owned(),
        });
        artifact
    }

    /// Plans and works a release until nothing changes, and publishes what was decided.
    pub(crate) fn release(&mut self, at: &str, yaml: &str) -> ReleasePlan {
        self.sequence += 1;
        self.release_as(at, Some(yaml), self.sequence)
    }

    pub(crate) fn revert(&mut self, at: &str) -> ReleasePlan {
        self.sequence += 1;
        self.release_as(at, None, self.sequence)
    }

    /// `sequence`: the release's place in the order of merges.
    pub(crate) fn release_as(
        &mut self,
        at: &str,
        yaml: Option<&str>,
        sequence: u64,
    ) -> ReleasePlan {
        let wish: Option<ReleaseRequest> =
            yaml.map(|yaml| parse_release(&path(at), yaml.as_bytes()).expect("a release"));
        let row = RequestRow {
            spec: wish
                .clone()
                .map(|wish| RequestSpec::Release(Box::new(wish))),
            ..row(&path(at), sequence, RequestSpec::Release(Box::new(never())))
        };
        let mut names: BTreeSet<RepositoryName> = BTreeSet::new();
        if let Some(wish) = &wish {
            names.extend(wish.to.iter().cloned());
            names.extend(wish.place.iter().map(|placement| placement.into.clone()));
        }
        for (name, view) in &self.repositories {
            if view.contributions.iter().any(|it| it.release == row.path) {
                names.insert(name.clone());
            }
        }
        let mut tasks = Tasks::new();
        loop {
            let repositories = names
                .iter()
                .map(|name| (name.clone(), self.repositories[name].clone()))
                .collect();
            let from = wish
                .as_ref()
                .map(|wish| self.views(&wish.from))
                .unwrap_or_default();
            let plan = plan_release(&ReleaseView {
                request: RequestView {
                    row: &row,
                    tasks: &tasks,
                },
                wish: wish.as_ref(),
                config: &self.config,
                from: &from,
                repositories: &repositories,
                holds_turn: HoldsTurn::Yes,
            });
            drop(from);
            if !self.apply(&plan.plan, &mut tasks) && !self.work(&mut tasks) {
                self.publish(&row, &plan);
                return plan;
            }
        }
    }

    fn publish(&mut self, row: &RequestRow, plan: &ReleasePlan) {
        for flip in plan.decision.iter().flat_map(|decision| &decision.flips) {
            let name = &flip.pointer.repository;
            let view = self.repositories.get_mut(name).expect("it is configured");
            view.pointer = Some(flip.pointer.clone());
            view.contributions.retain(|it| it.release != row.path);
            if !flip.packages.is_empty() {
                view.contributions.push(Contribution {
                    release: row.path.clone(),
                    repository: name.clone(),
                    sequence: row.sequence,
                    packages: flip.packages.clone(),
                });
            }
        }
    }
}

fn never() -> ReleaseRequest {
    let text = b"from: [builds/2026/11/x.yaml]\nto: [base]\n";
    parse_release(&path("releases/2026/11/x.yaml"), text).expect("a release")
}

fn digest(text: &str) -> Sha256Digest {
    Sha256Digest::new(Sha256::digest(text).into())
}

fn file(name: &str, seed: &str, kind: ArtifactKind) -> Artifact {
    Artifact {
        name: name.to_owned(),
        sha256: digest(&format!("{name} {seed}")),
        size: 1,
        kind,
        package: None,
    }
}

/// A plan as people would read it. `tasks`: what is there already.
pub(crate) fn describe(plan: &Plan, tasks: &Tasks) -> String {
    let mut text = format!("{:?}\n", plan.progress).to_lowercase();
    for planned in &plan.tasks {
        let state = tasks
            .get(&planned.task.id)
            .map_or("new", |row| row.state.word());
        let _ = writeln!(
            text,
            "{state} {} because {}",
            planned.spec.title(),
            planned.why
        );
    }
    for problem in &plan.problems {
        let _ = writeln!(text, "problem: {}: {}", problem.subject, problem.message);
    }
    for note in &plan.notes {
        let _ = writeln!(text, "note: {}: {}", note.subject, note.why);
    }
    text
}

/// Without the publication, which is there once it is decided, and tells of those before it.
pub(crate) fn content_documents(plan: &ReleasePlan) -> Vec<Vec<u8>> {
    let is_content = |it: &Vec<u8>| serde_json::from_slice::<Publication>(it).is_err();
    plan.documents
        .iter()
        .map(|document| document.bytes.clone())
        .filter(is_content)
        .collect()
}

/// The content documents of a release, repository by repository, as lists of files.
pub(crate) fn contents(plan: &ReleasePlan) -> String {
    let mut text = String::new();
    for document in content_documents(plan) {
        let placed: Vec<Placed> = serde_json::from_slice(&document).expect("a content document");
        let names: Vec<String> = placed
            .iter()
            .map(|placed| {
                let mut name = placed.artifact.name.clone();
                if !placed.component.is_empty() {
                    name = format!("{}/{name}", placed.component);
                }
                for file in &placed.files {
                    name.push_str(&format!("+{}", file.name));
                }
                name
            })
            .collect();
        let _ = writeln!(text, "[{}]", names.join(" "));
    }
    text
}
