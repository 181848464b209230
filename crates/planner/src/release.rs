//! Planning a release or its revert: sign, compose, sign the metadata, let the real client judge, flip.
//!
//! A repository's content is the sum of what releases added to it ([`Contribution`]), cut to the
//! versions it keeps. The sum does not depend on the order of the releases, so that a revert is the
//! same sum without one of them, and the same wish gives the same repository.

mod content;
mod place;
mod preview;
mod stage;

pub use preview::{
    Difference, PackageDifference, ReleasePreview, RepositoryPreview, preview_release,
};

use std::collections::BTreeMap;

use ledger::{Decision, TaskRow, TaskState};
use pipeline_spec::{Config, Format, ReleaseRequest, Repository, RepositoryName, RequestPath};
use runner_api::{Placed, Publication, Recorded, SignPackagesTask, TaskId, TaskRef, TaskSpec};

use crate::view::{Known, Waiting, conclude};
use crate::{Plan, RepositoryView, RequestView};
use content::{Identity, are_same_packages, identity};

/// Repositories that one release may change: all of them settle in one change of the ledger.
const MAX_REPOSITORIES: usize = 25;

/// The planner's answer for a release.
#[derive(Debug, Clone)]
pub struct ReleasePlan {
    /// Tasks, notes, progress. [`crate::Progress::Succeeded`] comes together with a decision.
    pub plan: Plan,
    /// Documents that tasks and the decision name by digest: to be stored before these are written.
    pub documents: Vec<Document>,
    /// Repositories whose turn is needed before the rest can be planned.
    pub wants_turn: Vec<RepositoryName>,
    /// All that is to be flipped, once everything before it has succeeded.
    pub decision: Option<Decision>,
}

/// A JSON document of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The task that names it: once its row is written, the document is stored. `None`: the decision names it.
    pub named_by: Option<TaskId>,
    /// Its content, which the name is the SHA-256 of.
    pub bytes: Vec<u8>,
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
    let mut planning = Planning::new(view);
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
    documents: Vec<Document>,
    wants_turn: Vec<RepositoryName>,
    decision: Option<Decision>,
}

impl<'a> Planning<'a> {
    fn new(view: &'a ReleaseView<'a>) -> Self {
        Self {
            view,
            known: Known::new(view.request.tasks, &[]),
            plan: Plan::empty(),
            documents: Vec::new(),
            wants_turn: Vec::new(),
            decision: None,
        }
    }

    fn run(&mut self) -> Waiting {
        let count = self.view.repositories.len();
        if count > MAX_REPOSITORIES {
            self.plan.problem(&self.view.request.row.path, format!("it changes {count} repositories; {MAX_REPOSITORIES} are allowed: make several releases of it"));
            return Waiting::No;
        }
        if self.refuse_scratch(self.view.from.iter().map(|view| &view.row.path)) {
            return Waiting::No;
        }
        let Some(placed) = self.placed() else {
            return Waiting::Yes;
        };
        let built = placed.values().flatten();
        if self.refuse_scratch(built.map(|placed| &placed.built_by.request)) {
            return Waiting::No;
        }
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
        let mut repositories = BTreeMap::new();
        for (name, packages) in signed {
            if let Some(published) = self.staged(&name, &packages) {
                repositories.insert(name, published);
            }
        }
        if repositories.len() == self.view.repositories.len() {
            let row = self.view.request.row;
            let publication = Publication {
                version: runner_api::VERSION,
                release: row.path.clone(),
                commit: row.commit.clone(),
                time: row.time,
                sequence: row.sequence,
                reverts: self.view.wish.is_none(),
                repositories,
            };
            let (digest, document) = publication.document();
            self.decision = Some(Decision::of(&publication, digest));
            self.documents.push(Document {
                named_by: None,
                bytes: document,
            });
        }
        Waiting::No
    }

    /// No file can ask for the release of a scratch build. If a row does, nothing follows. Whether one is among `built`,
    /// or is what would be released.
    fn refuse_scratch<'b>(&mut self, mut built: impl Iterator<Item = &'b RequestPath>) -> bool {
        let own = &self.view.request.row.path;
        let scratch = match own.is_scratch() {
            true => Some(own.clone()),
            false => built.find(|path| path.is_scratch()).cloned(),
        };
        let Some(scratch) = scratch else {
            return false;
        };
        let why = "it is a scratch build, and nothing of one is ever released";
        self.plan.problem(scratch, why);
        true
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
                    files: self.key_files(&repository.key),
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

    fn done(&self, task: &TaskRef) -> Option<&'_ TaskRow> {
        self.known
            .get(task)
            .filter(|row| matches!(row.state, TaskState::Succeeded { .. }))
    }
}
