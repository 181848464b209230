//! Planning a release or its revert: sign, compose, sign the metadata, let the real client judge, flip.
//!
//! A repository's content is the sum of what releases added to it ([`Contribution`]), cut to the
//! versions it keeps. The sum does not depend on the order of the releases, so that a revert is the
//! same sum without one of them, and the same wish gives the same repository.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{Contribution, Decision, Flip, Phase, TaskRow, TaskState};
use pipeline_spec::{
    Architecture, Config, Format, KeyFilePath, PackageName, ReleaseRequest, Repository,
    RepositoryName, RequestPath, Retention, Sha256Digest, version,
};
use runner_api::{
    Artifact, ArtifactKind, ComposeTask, Placed, Pointer, Recorded, SignMetadataTask,
    SignPackagesTask, SmokeTask, TaskRef, TaskSpec, TreeFile,
};
use sha2::{Digest, Sha256};

use crate::view::{Known, Waiting, conclude, is_built};
use crate::{Plan, RepositoryView, RequestView, effective_platform};

/// Repositories that one release may change: all of them settle in one change of the ledger.
const MAX_REPOSITORIES: usize = 25;

/// The planner's answer for a release.
#[derive(Debug, Clone)]
pub struct ReleasePlan {
    /// Tasks, notes, progress. [`crate::Progress::Succeeded`] comes together with a decision.
    pub plan: Plan,
    /// Documents that the tasks name by digest: to be stored before the tasks are written.
    pub documents: Vec<Vec<u8>>,
    /// Repositories whose turn is needed before the rest can be planned.
    pub wants_turn: Vec<RepositoryName>,
    /// All that is to be flipped, once everything before it has succeeded.
    pub decision: Option<Decision>,
}

/// What the planner knows about a release.
pub struct ReleaseView<'a> {
    /// The release.
    pub request: RequestView<'a>,
    /// `None`: the file is gone, so that nothing of it is wanted.
    pub wish: Option<&'a ReleaseRequest>,
    /// The configuration at the release's commit.
    pub config: &'a Config,
    /// The builds that `from` names.
    pub from: &'a [RequestView<'a>],
    /// Every repository that the release wants or is in.
    pub repositories: &'a BTreeMap<RepositoryName, RepositoryView>,
    /// Whether the release holds the turns of all these repositories.
    pub holds_turn: HoldsTurn,
}

/// Whether a release may change its repositories now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldsTurn {
    /// It has the turn of each.
    Yes,
    /// Not yet.
    No,
}

/// Plans a release, or its revert.
pub fn plan_release(view: &ReleaseView<'_>) -> ReleasePlan {
    let mut planning = Planning {
        view,
        known: Known::new(view.request.tasks, &[]),
        plan: Plan::empty(),
        documents: Vec::new(),
        wants_turn: Vec::new(),
        decision: None,
    };
    let waiting = planning.run();
    let Planning {
        known,
        mut plan,
        documents,
        wants_turn,
        decision,
        ..
    } = planning;
    conclude(&mut plan, &known, waiting, |_| false);
    ReleasePlan {
        plan,
        documents,
        wants_turn,
        decision,
    }
}

struct Planning<'a> {
    view: &'a ReleaseView<'a>,
    known: Known<'a>,
    plan: Plan,
    documents: Vec<Vec<u8>>,
    wants_turn: Vec<RepositoryName>,
    decision: Option<Decision>,
}

impl Planning<'_> {
    fn run(&mut self) -> Waiting {
        let count = self.view.repositories.len();
        if count > MAX_REPOSITORIES {
            self.plan.problem(&self.view.request.row.path, format!("it changes {count} repositories; {MAX_REPOSITORIES} are allowed: make several releases of it"));
            return Waiting::No;
        }
        let Some(placed) = self.placed() else {
            return Waiting::Yes;
        };
        if !self.plan.problems.is_empty() {
            return Waiting::No;
        }
        let Some(signed) = self.signed(placed) else {
            return Waiting::No;
        };
        if self.view.holds_turn == HoldsTurn::No {
            self.wants_turn = signed.keys().cloned().collect();
            return Waiting::Yes;
        }
        self.refuse_changed_packages(&signed);
        if !self.plan.problems.is_empty() {
            return Waiting::No;
        }
        let mut flips = Vec::new();
        for (name, packages) in signed {
            if let Some(pointer) = self.staged(&name, &packages) {
                flips.push(Flip { pointer, packages });
            }
        }
        if flips.len() == self.view.repositories.len() {
            self.decision = Some(Decision {
                reverts: self.view.wish.is_none(),
                flips,
            });
        }
        Waiting::No
    }

    /// Which built file goes into which repository; `None`: builds are not done.
    fn placed(&mut self) -> Option<BTreeMap<RepositoryName, Vec<Placed>>> {
        let mut placed: BTreeMap<RepositoryName, Vec<Placed>> = self
            .view
            .repositories
            .keys()
            .map(|name| (name.clone(), Vec::new()))
            .collect();
        let Some(wish) = self.view.wish else {
            return Some(placed);
        };
        let mut ready = true;
        for build in self.view.from {
            let phase = &build.row.phase;
            if is_built(build) {
                continue;
            }
            let why = if phase.is_at_rest() {
                format!(
                    "it is {}; the release waits until it has succeeded",
                    phase.word()
                )
            } else {
                "the release waits for it".to_owned()
            };
            if matches!(phase, Phase::Removed | Phase::Invalid) {
                self.plan.problem(
                    &build.row.path,
                    format!("the build is {}, so it cannot be released", phase.word()),
                );
            } else {
                ready = false;
                self.plan.note(&build.row.path, why);
            }
        }
        if !ready {
            return None;
        }
        for build in self.view.from {
            for row in build.tasks.values() {
                self.place_task(wish, build, row, &mut placed);
            }
        }
        for (name, packages) in &mut placed {
            packages.sort_by(|a, b| {
                (&a.artifact.name, &a.artifact.sha256).cmp(&(&b.artifact.name, &b.artifact.sha256))
            });
            packages.dedup_by(|a, b| {
                a.artifact.name == b.artifact.name && a.artifact.sha256 == b.artifact.sha256
            });
            if packages.is_empty() && wish.to.contains(name) {
                self.plan.problem(name, "no package of the builds is placed here: check the repository's platform, `accepts` and `refuses`");
            }
        }
        Some(placed)
    }

    fn place_task(
        &mut self,
        wish: &ReleaseRequest,
        build: &RequestView<'_>,
        row: &TaskRow,
        placed: &mut BTreeMap<RepositoryName, Vec<Placed>>,
    ) {
        if !matches!(row.state, TaskState::Succeeded { .. }) {
            return;
        }
        let (platform, source) = match &row.spec {
            TaskSpec::Build(task) => (&task.platform, &task.package),
            TaskSpec::Source(task) if is_used(build, &row.task) => (&task.platform, &task.package),
            _ => return,
        };
        let files: Vec<Artifact> = row
            .artifacts()
            .iter()
            .filter(|file| file.kind == ArtifactKind::SourceFile)
            .cloned()
            .collect();
        for artifact in row
            .artifacts()
            .iter()
            .filter(|artifact| is_released(artifact.kind))
        {
            let Some(package) = &artifact.package else {
                continue;
            };
            let source: PackageName = package.source.parse().unwrap_or_else(|_| source.clone());
            for name in self.destinations(wish, platform, &source, package) {
                let repository = &self.view.config.repositories[&name];
                placed.entry(name).or_default().push(Placed {
                    artifact: artifact.clone(),
                    component: first_component(repository),
                    built_by: row.task.clone(),
                    files: if artifact.kind == ArtifactKind::Dsc {
                        files.clone()
                    } else {
                        Vec::new()
                    },
                });
            }
        }
    }

    /// By the first of `place` that matches, else by the rules of the repositories in `to`.
    fn destinations(
        &self,
        wish: &ReleaseRequest,
        platform: &pipeline_spec::PlatformName,
        source: &PackageName,
        package: &runner_api::BuiltPackage,
    ) -> Vec<RepositoryName> {
        let fits = |name: &&RepositoryName| {
            self.view
                .config
                .repositories
                .get(*name)
                .is_some_and(|repository| {
                    let arch = package.arch.parse::<Architecture>().ok();
                    repository.platform == *platform
                        && arch.is_none_or(|arch| repository.architectures.contains(&arch))
                })
        };
        let exception = wish
            .place
            .iter()
            .filter(|placement| placement.package.matches(&package.name))
            .map(|placement| &placement.into)
            .find(fits);
        if let Some(name) = exception {
            return vec![name.clone()];
        }
        wish.to
            .iter()
            .filter(fits)
            .filter(|name| self.view.config.repositories[*name].takes(source, &package.name))
            .cloned()
            .collect()
    }

    /// RPMs carry their signature inside, so they are signed before they are composed. `None`: under way.
    fn signed(
        &mut self,
        placed: BTreeMap<RepositoryName, Vec<Placed>>,
    ) -> Option<BTreeMap<RepositoryName, Vec<Placed>>> {
        let mut signed = BTreeMap::new();
        let mut complete = true;
        for (name, mut packages) in placed {
            let format = self
                .view
                .config
                .repositories
                .get(&name)
                .map(Repository::format);
            if format == Some(Format::Rpm) && !packages.is_empty() {
                let repository = &self.view.config.repositories[&name];
                let spec = TaskSpec::SignPackages(Box::new(SignPackagesTask {
                    repository: name.clone(),
                    key: repository.key.clone(),
                    packages: packages
                        .iter()
                        .map(|placed| Recorded {
                            artifact: placed.artifact.clone(),
                            built_by: placed.built_by.clone(),
                        })
                        .collect(),
                    time: self.view.request.row.time,
                }));
                let why = format!(
                    "packages of {name} carry the signature of {}",
                    repository.key
                );
                let task = self.plan.want(&self.view.request.row.path, spec, why);
                match self.done(&task).map(TaskRow::artifacts) {
                    Some(outputs) if are_same_packages(&packages, outputs) => {
                        for (placed, output) in packages.iter_mut().zip(outputs) {
                            placed.artifact = output.clone();
                        }
                    }
                    Some(_) => {
                        complete = false;
                        self.plan.problem(&name, "the signer answered with other packages than it was given: nothing is published; look at the signer");
                    }
                    None => complete = false,
                }
            }
            signed.insert(name, packages);
        }
        complete.then_some(signed)
    }

    /// The same name, version and architecture never means two files: not among what other releases
    /// added, not in what this one published before, not in this one.
    fn refuse_changed_packages(&mut self, signed: &BTreeMap<RepositoryName, Vec<Placed>>) {
        let mut problems = Vec::new();
        for (name, packages) in signed {
            let mut first: BTreeMap<Identity<'_>, &Placed> = BTreeMap::new();
            let present = &self.view.repositories[name].contributions;
            let present = present.iter().flat_map(|released| &released.packages);
            for placed in present {
                first.entry(identity(placed)).or_insert(placed);
            }
            for placed in packages {
                let other = *first.entry(identity(placed)).or_insert(placed);
                if other.built_by != placed.built_by
                    && other.artifact.sha256 != placed.artifact.sha256
                {
                    let message = format!(
                        "{} is in {name} already with other content (built by {}): raise its release number",
                        placed.artifact.name, other.built_by
                    );
                    problems.push((placed.artifact.name.clone(), message));
                }
            }
        }
        for (subject, message) in problems {
            self.plan.problem(subject, message);
        }
    }

    /// What the repository is to hold: what the other releases added, and `own`. Releases are merged
    /// in their own order, whichever of them is published first.
    fn content(&self, name: &RepositoryName, own: &[Placed]) -> Vec<Placed> {
        let row = self.view.request.row;
        let mut released: Vec<(u64, &RequestPath, &[Placed])> = self.view.repositories[name]
            .contributions
            .iter()
            .filter(|contribution: &&Contribution| contribution.release != row.path)
            .map(|other| (other.sequence, &other.release, &other.packages[..]))
            .chain([(row.sequence, &row.path, own)])
            .collect();
        released.sort_by_key(|(sequence, release, _)| (*sequence, *release));
        let packages = released.into_iter().flat_map(|(_, _, packages)| packages);
        packages.cloned().collect()
    }

    /// Compose, sign, smoke. The new pointer once all three are done.
    fn staged(&mut self, name: &RepositoryName, packages: &[Placed]) -> Option<Pointer> {
        let Some(repository) = self.view.config.repositories.get(name).cloned() else {
            self.plan.problem(name, format!("repositories/{name}.yaml is gone while packages of this release are in it: bring it back until the release is out"));
            return None;
        };
        let row = self.view.request.row;
        let content = self.content(name, packages);
        let content = serde_json::to_vec(&kept(&repository, content))
            .expect("placed packages have only string keys");
        let digest = Sha256Digest::new(Sha256::digest(&content).into());
        self.documents.push(content);
        let what = if self.view.wish.is_some() {
            "adds to"
        } else {
            "leaves"
        };
        let compose = self.plan.want(
            &row.path,
            TaskSpec::Compose(Box::new(ComposeTask {
                repository: name.clone(),
                layout: repository.clone(),
                content: digest,
                time: row.time,
            })),
            format!("{} {what} {name}", row.path),
        );
        let signatures = self.plan.want(
            &row.path,
            TaskSpec::SignMetadata(Box::new(SignMetadataTask {
                repository: name.clone(),
                key: repository.key.clone(),
                compose: compose.clone(),
                time: row.time,
            })),
            format!("clients believe the indexes of {name} by their signature"),
        );
        let smoked = self.smoked(name, &repository, packages, (&compose, &signatures))?;
        let compose = self.done(&compose)?;
        let signatures = self.done(&signatures)?;
        let tree = compose
            .artifacts()
            .iter()
            .find(|artifact| artifact.kind == ArtifactKind::Tree);
        let Some(tree) = tree else {
            self.plan.problem(
                name,
                "the compose answered without a tree: look at the composer",
            );
            return None;
        };
        smoked.then(|| self.pointer(name, tree, signatures))
    }

    /// One smoke test per architecture that the release touches. `None`: it cannot be planned.
    fn smoked(
        &mut self,
        name: &RepositoryName,
        repository: &Repository,
        packages: &[Placed],
        (compose, signatures): (&TaskRef, &TaskRef),
    ) -> Option<bool> {
        let config = self.view.config;
        let (target, _, keys) = match effective_platform(config, &repository.platform, &[]) {
            Ok(found) => found,
            Err(message) => {
                self.plan.problem(name, message);
                return None;
            }
        };
        let key_file = KeyFilePath::of_key(&repository.key);
        let public_key = config
            .key_files
            .get(&key_file)
            .and_then(|bytes| String::from_utf8(bytes.clone()).ok());
        let Some(public_key) = public_key else {
            self.plan.problem(
                name,
                format!("{key_file} is missing: add the public half of the key there"),
            );
            return None;
        };
        let mut passed = true;
        for arch in touched(repository, packages) {
            let install = binaries(packages, &arch);
            let spec = TaskSpec::Smoke(Box::new(SmokeTask {
                repository: name.clone(),
                layout: repository.clone(),
                public_key: public_key.clone(),
                platform: repository.platform.clone(),
                target: target.clone(),
                keys: keys.clone(),
                arch: arch.clone(),
                compose: compose.clone(),
                signatures: signatures.clone(),
                install,
                limits: config.project.limits.clone(),
            }));
            let why = format!("the real client judges {name} before it is public");
            let task = self.plan.want(&self.view.request.row.path, spec, why);
            passed &= self.done(&task).is_some();
        }
        Some(passed)
    }

    fn pointer(&self, name: &RepositoryName, tree: &Artifact, signatures: &TaskRow) -> Pointer {
        let present = self.view.repositories[name].pointer.as_ref();
        Pointer {
            version: runner_api::VERSION,
            repository: name.clone(),
            generation: present.map_or(1, |pointer| pointer.generation + 1),
            commit: self.view.request.row.commit.clone(),
            tree: tree.sha256,
            signatures: signatures
                .artifacts()
                .iter()
                .filter(|artifact| artifact.kind == ArtifactKind::Signature)
                .map(|file| {
                    (
                        file.name.clone(),
                        TreeFile {
                            sha256: file.sha256,
                            size: file.size,
                        },
                    )
                })
                .collect(),
        }
    }

    fn done(&self, task: &TaskRef) -> Option<&'_ TaskRow> {
        self.known
            .get(task)
            .filter(|row| matches!(row.state, TaskState::Succeeded { .. }))
    }
}

/// A source package is released with its binaries, never alone.
fn is_used(build: &RequestView<'_>, source: &TaskRef) -> bool {
    build.tasks.values().any(|row| {
        matches!(&row.spec, TaskSpec::Build(task) if task.source == *source)
            && matches!(row.state, TaskState::Succeeded { .. })
    })
}

fn is_released(kind: ArtifactKind) -> bool {
    matches!(
        kind,
        ArtifactKind::Rpm | ArtifactKind::Srpm | ArtifactKind::Deb | ArtifactKind::Dsc
    )
}

fn first_component(repository: &Repository) -> String {
    match &repository.layout {
        pipeline_spec::Layout::Rpm { .. } => String::new(),
        pipeline_spec::Layout::Deb { components, .. } => components
            .first()
            .map(ToString::to_string)
            .unwrap_or_default(),
    }
}

/// Architectures that have new packages; the first one when nothing depends on the architecture.
fn touched(repository: &Repository, packages: &[Placed]) -> Vec<Architecture> {
    let archs: BTreeSet<Architecture> = packages
        .iter()
        .filter_map(|placed| placed.artifact.package.as_ref()?.arch.parse().ok())
        .filter(|arch| repository.architectures.contains(arch))
        .collect();
    if archs.is_empty() {
        vec![repository.architectures.primary().clone()]
    } else {
        archs.into_iter().collect()
    }
}

fn binaries(packages: &[Placed], arch: &Architecture) -> Vec<String> {
    let names: BTreeSet<String> = packages
        .iter()
        .filter(|placed| matches!(placed.artifact.kind, ArtifactKind::Rpm | ArtifactKind::Deb))
        .filter_map(|placed| placed.artifact.package.as_ref())
        .filter(|package| {
            package.arch == arch.as_str() || matches!(package.arch.as_str(), "noarch" | "all")
        })
        .map(|package| package.name.clone())
        .collect();
    names.into_iter().collect()
}

/// What makes two files the same package for clients: file name, package name, version, architecture.
type Identity<'a> = (&'a str, Option<(&'a str, &'a str, &'a str)>);

fn identity(placed: &Placed) -> Identity<'_> {
    let package = placed.artifact.package.as_ref();
    let package = package.map(|it| (it.name.as_str(), it.version.as_str(), it.arch.as_str()));
    (&placed.artifact.name, package)
}

/// Whether a signer's outputs are the packages that it was given, in their order.
fn are_same_packages(given: &[Placed], outputs: &[Artifact]) -> bool {
    given.len() == outputs.len()
        && given.iter().zip(outputs).all(|(placed, output)| {
            let given = &placed.artifact;
            given.name == output.name && given.package == output.package
        })
}

/// The newest versions that the repository keeps, sorted. A package that several releases add is there
/// once, as the first of them signed it: a signature's time is its release's.
fn kept(repository: &Repository, mut content: Vec<Placed>) -> Vec<Placed> {
    let sort = |a: &Placed, b: &Placed| {
        (&a.artifact.package, &a.artifact.name).cmp(&(&b.artifact.package, &b.artifact.name))
    };
    content.sort_by(sort);
    content.dedup_by(|a, b| identity(a) == identity(b));
    let Retention::Newest(keep) = repository.keep else {
        return content;
    };
    let keep = keep.get() as usize;
    let mut versions: BTreeMap<(String, String), Vec<Version>> = BTreeMap::new();
    for placed in &content {
        if let Some(package) = &placed.artifact.package {
            let of = versions
                .entry((package.name.clone(), package.arch.clone()))
                .or_default();
            of.push(Version::parse(repository.format(), &package.version));
        }
    }
    for of in versions.values_mut() {
        of.sort();
        of.dedup();
        of.drain(..of.len().saturating_sub(keep));
    }
    content.retain(|placed| {
        placed.artifact.package.as_ref().is_none_or(|package| {
            let version = Version::parse(repository.format(), &package.version);
            versions[&(package.name.clone(), package.arch.clone())].contains(&version)
        })
    });
    content
}

/// A version in its system's order; one that does not parse sorts before all that do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Version {
    Unreadable(String),
    Rpm(version::Evr),
    Deb(version::DebVersion),
}

impl Version {
    fn parse(format: Format, text: &str) -> Self {
        let parsed = match format {
            Format::Rpm => text.parse().ok().map(Self::Rpm),
            Format::Deb => text.parse().ok().map(Self::Deb),
        };
        parsed.unwrap_or_else(|| Self::Unreadable(text.to_owned()))
    }
}
