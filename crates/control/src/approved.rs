//! Approvals: a release, or another configuration, goes on once those have signed it whom the policy names.
//!
//! The rules are those of the configuration that is in force: the last one that was planned. Who has signed is read
//! from git's objects, which are hashed here; the forge is not asked. So it is the same from an empty ledger.

mod history;

use std::collections::BTreeSet;

use approvals::{
    Found, Id, Kind, Lack, MAX_COMMIT_BYTES, MAX_TREE_BYTES, Objects, Subject, Walk, lacking,
    lacking_for_configuration, prove, rules_for,
};
use bytes::Bytes;
use futures_util::future::try_join_all;
use ledger::{HeadRow, Note, Phase, Problem, RequestSpec, TaskRow};
use pipeline_spec::{
    ReleaseRequest, RepositoryName, RequestKind, RequestPath, is_config_path, parse_build,
    parse_release,
};
use ports::{ObjectKind, Platform, StateRepo};
use runner_api::{Proof, TaskSpec};

use crate::config::Snapshot;
use crate::files::Files;
use crate::load::Loaded;
use crate::{Control, DryRun, Error, Result};

/// Builds that a release may stand on, for its approvals to be looked at.
const MAX_BUILDS: usize = 1_000;

/// What was found, and for what.
struct Judged {
    found: Found,
    walk: Walk,
    objects: Objects,
}

impl<P: Platform> Control<P> {
    /// Why a release does nothing yet: what it lacks of approvals. Empty: it goes on. `wish`: `None` for a revert.
    pub(crate) async fn waits_for_approvals(
        &self,
        loaded: &Loaded,
        wish: Option<&ReleaseRequest>,
        (from, names): (&[Loaded], &BTreeSet<RepositoryName>),
    ) -> Result<Vec<Note>> {
        let (head, _) = self.head_row().await?;
        let row = &loaded.row;
        // A newer commit may bring the first rules along with its releases.
        let own = self.snapshot(&row.commit).await?;
        let force = match head.commit.as_str() {
            "" => own.clone(),
            commit => self.snapshot(commit).await?,
        };
        let is_free =
            |rules: &Snapshot| rules_for(&rules.config.policy.approvals, names).is_empty();
        if is_free(&own) && is_free(&force) {
            return Ok(Vec::new());
        }
        let note = |why: String| Note {
            subject: row.path.to_string(),
            why,
        };
        if !self.is_as_planned(&head, loaded, wish, from).await? {
            let why = "its approvals are looked at once the newest commit is planned whole";
            return Ok(vec![note(why.to_owned())]);
        }
        let at = (Files::Commit(&head.commit), Some(&*head.commit));
        let lacks = self
            .release_lacks(&force, at, (&row.path, wish, names))
            .await?;
        Ok(lacks.into_iter().map(note).collect())
    }

    /// Whether the files of the last planned commit say what the ledger is about to do.
    async fn is_as_planned(
        &self,
        head: &HeadRow,
        loaded: &Loaded,
        wish: Option<&ReleaseRequest>,
        from: &[Loaded],
    ) -> Result<bool> {
        if head.commit.is_empty() || head.recovered || !head.unfinished.is_empty() {
            return Ok(false);
        }
        let repo = self.platform.state_repo();
        let path = &loaded.row.path;
        let file = repo.read(&head.commit, path.as_str()).await?;
        let says = file.and_then(|bytes| parse_release(path, &bytes).ok());
        if says.as_ref() != wish {
            return Ok(false);
        }
        for build in from {
            let path = &build.row.path;
            let file = repo.read(&head.commit, path.as_str()).await?;
            let says = file.and_then(|bytes| parse_build(path, &bytes).ok());
            let says = says.map(|build| RequestSpec::Build(Box::new(build)));
            let is_gone = says.is_none() && build.row.phase == Phase::Removed;
            if !is_gone && says != build.row.spec {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Sentences on what a release lacks by `rules`. `at`: where its approvals are looked for; `None`: nowhere.
    async fn release_lacks(
        &self,
        rules: &Snapshot,
        (files, at): (Files<'_>, Option<&str>),
        (path, wish, names): (
            &RequestPath,
            Option<&ReleaseRequest>,
            &BTreeSet<RepositoryName>,
        ),
    ) -> Result<Vec<String>> {
        let policy = &rules.config.policy.approvals;
        if rules_for(policy, names).is_empty() {
            return Ok(Vec::new());
        }
        let Some(builds) = self.stands_on(files, wish).await? else {
            return Ok(vec![format!(
                "it stands on more than {MAX_BUILDS} builds, so that nobody can approve it: release them in parts"
            )]);
        };
        let subject = Subject::Release {
            path: path.clone(),
            builds,
        };
        let mut found = Found::default();
        if let Some(at) = at {
            let judged = self.judge(subject.clone(), at, rules).await?;
            if self.is_of(files, &judged.walk).await? {
                found = judged.found;
            }
        }
        let lacks = lacking(policy, names, &found.people());
        Ok(sentences(&subject, &lacks, &found))
    }

    /// The builds of a release with all that these are linked with; `None`: too many.
    async fn stands_on(
        &self,
        files: Files<'_>,
        wish: Option<&ReleaseRequest>,
    ) -> Result<Option<BTreeSet<RequestPath>>> {
        let mut builds = BTreeSet::new();
        let mut left: Vec<RequestPath> = wish.map(|wish| wish.from.clone()).unwrap_or_default();
        while let Some(path) = left.pop() {
            if !builds.insert(path.clone()) {
                continue;
            }
            if builds.len() > MAX_BUILDS {
                return Ok(None);
            }
            if let Some(bytes) = self.read_file(files, path.as_str()).await?
                && let Ok(build) = parse_build(&path, &bytes)
            {
                left.extend(build.with);
            }
        }
        Ok(Some(builds))
    }

    /// Whether the bytes that are planned are those that were walked for: a pull request may be behind.
    async fn is_of(&self, files: Files<'_>, walk: &Walk) -> Result<bool> {
        let Some(state) = walk.state() else {
            return Ok(false);
        };
        for (path, entry) in state {
            let bytes = self.read_file(files, path).await?;
            let is = bytes.map(|bytes| Kind::Blob.name(&bytes));
            if is != entry.map(|entry| Some(entry.id)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Walks back from `at`, and finds whose signatures count by `rules`.
    async fn judge(&self, subject: Subject, at: &str, rules: &Snapshot) -> Result<Judged> {
        let mut walk = Walk::new(subject, id(at)?);
        let objects = self.walk(&mut walk).await?;
        let now = u64::try_from(self.now() / 1000).unwrap_or_default();
        let found = walk.found(&objects, &rules.people, now);
        let found = self.not_ended(found).await?;
        Ok(Judged {
            found,
            walk,
            objects,
        })
    }

    /// What shows a signer that the release of a task has the approvals that it needs. `None`: it needs none, or they
    /// cannot be shown; a signer that knows better refuses.
    pub(crate) async fn proof(&self, row: &TaskRow) -> Result<Option<Box<Proof>>> {
        let repository = match &row.spec {
            TaskSpec::SignPackages(task) => &task.repository,
            TaskSpec::SignMetadata(task) => &task.repository,
            _ => return Ok(None),
        };
        let (head, _) = self.head_row().await?;
        if head.commit.is_empty() || !head.guarded {
            return Ok(None);
        }
        let rules = self.snapshot(&head.commit).await?;
        let names = BTreeSet::from([repository.clone()]);
        if rules_for(&rules.config.policy.approvals, &names).is_empty() {
            return Ok(None);
        }
        let path = &row.task.request;
        let files = Files::Commit(&head.commit);
        let wish = self.read_file(files, path.as_str()).await?;
        let wish = wish.and_then(|bytes| parse_release(path, &bytes).ok());
        let Some(builds) = self.stands_on(files, wish.as_ref()).await? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        for file in std::iter::once(path).chain(&builds) {
            let read = self.read_file(files, file.as_str()).await?;
            bytes.extend(read.map(|read| read.to_vec()));
        }
        let subject = Subject::Release {
            path: path.clone(),
            builds,
        };
        let judged = self.judge(subject, &head.commit, &rules).await?;
        let proof = prove(&judged.walk, &judged.objects, &judged.found, &bytes);
        Ok(proof.map(Box::new))
    }

    async fn walk(&self, walk: &mut Walk) -> Result<Objects> {
        let mut objects = Objects::default();
        loop {
            let needs = walk.needs(&objects);
            if needs.is_empty() {
                return Ok(objects);
            }
            let reads = needs.iter().map(|(id, kind)| self.object(*id, *kind));
            let read = try_join_all(reads).await?;
            for ((id, kind), bytes) in needs.into_iter().zip(read) {
                match bytes {
                    Some(bytes) => objects.give(id, kind, &bytes).map_err(|error| {
                        ports::Error::corrupt("read the state repository", error)
                    })?,
                    None => objects.withhold(id, "it is not there, or too large"),
                }
            }
        }
    }

    async fn object(&self, id: Id, kind: Kind) -> Result<Option<Bytes>> {
        let (kind, limit) = match kind {
            Kind::Commit => (ObjectKind::Commit, MAX_COMMIT_BYTES),
            Kind::Tree => (ObjectKind::Tree, MAX_TREE_BYTES),
            // Files are compared by name.
            Kind::Blob => return Ok(None),
        };
        let repo = self.platform.state_repo();
        Ok(repo.object(kind, &id.to_string(), limit).await?)
    }

    /// Leaves out approvals that something has ended since.
    async fn not_ended(&self, found: Found) -> Result<Found> {
        let repo = self.platform.state_repo();
        let commits: BTreeSet<Id> = found.approvals.iter().map(|it| it.commit).collect();
        let mut ended = Vec::new();
        for commit in commits {
            for edge in &found.edges {
                let (old, new) = (commit.to_string(), edge.to_string());
                if repo.is_ancestor(&old, &new).await? {
                    ended.push(commit);
                    break;
                }
            }
        }
        Ok(found.without(&ended))
    }

    /// Why the configuration of `tip` is not in force. `None`: it is.
    pub(crate) async fn unapproved_configuration(
        &self,
        head: &HeadRow,
        tip: &str,
    ) -> Result<Option<Problem>> {
        if head.recovered {
            return self.unapproved_by_history(tip).await;
        }
        if head.commit.is_empty() || !head.guarded {
            return Ok(None);
        }
        let problem = |message| Problem {
            subject: approvals::CONFIGURATION.to_owned(),
            message,
        };
        let old = &head.commit;
        let rules = match self.snapshot(old).await {
            Ok(rules) => rules,
            Err(error @ Error::Port(ports::Error::Transient { .. })) => return Err(error),
            Err(error) => {
                return Ok(Some(problem(format!(
                    "what was planned last, {old}, cannot be read, so that nobody knows whose approvals it demands ({error}); bring it back: `git push origin {old}:refs/heads/planned`"
                ))));
            }
        };
        if self.configuration_at(old).await? == self.configuration_at(tip).await? {
            return Ok(None);
        }
        let judged = self.judge(Subject::Configuration, tip, &rules).await?;
        let lacks =
            lacking_for_configuration(&rules.config.policy.approvals, &judged.found.people());
        let mut says = sentences(&Subject::Configuration, &lacks, &judged.found);
        if says.is_empty() {
            return Ok(None);
        }
        says.push(format!(
            "to see what is to be approved: `git diff {old} {tip} -- millrace.yaml policy.yaml platforms flavors repositories keys runners`; until then nothing new is planned"
        ));
        Ok(Some(problem(says.join("; "))))
    }

    /// The entries that the configuration of a commit is made of; `None`: it cannot be read.
    async fn configuration_at(&self, commit: &str) -> Result<Option<approvals::State>> {
        let mut walk = Walk::with_limit(Subject::Configuration, id(commit)?, 1);
        self.walk(&mut walk).await?;
        Ok(walk.state().cloned())
    }

    /// Releases that wait for approvals look again: a commit that changes no file may have brought them.
    pub(crate) async fn wake_releases(&self) -> Result<()> {
        let open = self.indexed(ledger::partition::OPEN, "releases/").await?;
        for release in &open {
            self.wake(release).await?;
        }
        Ok(())
    }

    /// Adds to a dry run what its releases and its configuration lack of approvals. `at`: the commit that would be
    /// merged; `None`: there is none yet.
    pub(crate) async fn dry_approvals(
        &self,
        run: &mut DryRun,
        files: Files<'_>,
        at: Option<&str>,
    ) -> Result<()> {
        let (head, _) = self.head_row().await?;
        if head.commit.is_empty() || !head.guarded {
            return Ok(());
        }
        let rules = self.snapshot(&head.commit).await?;
        let mut notes = Vec::new();
        for request in &run.requests {
            if request.path.kind() != RequestKind::Release || !request.problems.is_empty() {
                continue;
            }
            let wish = self.read_file(files, request.path.as_str()).await?;
            let wish = wish.and_then(|bytes| parse_release(&request.path, &bytes).ok());
            let names = request.repositories.iter().map(|it| it.name.clone());
            let names: BTreeSet<RepositoryName> = names.collect();
            let asked = (&request.path, wish.as_ref(), &names);
            for why in self.release_lacks(&rules, (files, at), asked).await? {
                let subject = request.path.to_string();
                notes.push(Note { subject, why });
            }
        }
        if self.changes_configuration(files, &head.commit).await? {
            let found = match at {
                Some(at) => self.judge(Subject::Configuration, at, &rules).await?.found,
                None => Found::default(),
            };
            let policy = &rules.config.policy.approvals;
            let lacks = lacking_for_configuration(policy, &found.people());
            let says = sentences(&Subject::Configuration, &lacks, &found).into_iter();
            notes.extend(says.map(|why| Note {
                subject: approvals::CONFIGURATION.to_owned(),
                why,
            }));
        }
        run.notes.extend(notes);
        Ok(())
    }

    async fn changes_configuration(&self, files: Files<'_>, old: &str) -> Result<bool> {
        Ok(match files {
            Files::Commit(new) => {
                self.configuration_at(old).await? != self.configuration_at(new).await?
            }
            Files::Checkout(checkout) => {
                let mut changed = false;
                for (path, file) in &checkout.files {
                    changed |= is_config_path(path)
                        && self.platform.state_repo().read(old, path).await? != *file;
                }
                changed
            }
        })
    }
}

fn id(commit: &str) -> Result<Id> {
    let id = commit.parse();
    id.map_err(|error| Error::Inconsistent(format!("look for approvals of {commit:?}: {error}")))
}

/// What is lacking, how it is given, and what was given in vain. Empty: nothing is lacking.
fn sentences(subject: &Subject, lacks: &[Lack], found: &Found) -> Vec<String> {
    let given = found.people().len();
    let how = format!(
        "to approve, look at it and push `git commit -S --allow-empty -m \"{}\"`",
        subject.line()
    );
    let mut says: Vec<String> = lacks
        .iter()
        .map(|lack| format!("{}; {how}", lack.words(given)))
        .collect();
    if says.is_empty() {
        return says;
    }
    says.extend(found.ignored.iter().map(|ignored| {
        let commit = ignored.commit.to_string();
        format!("commit {} approves nothing: {}", &commit[..12], ignored.why)
    }));
    if found.is_cut {
        let most = approvals::MAX_COMMITS;
        says.push(format!("the newest {most} commits were looked at"));
    }
    says
}
