//! The walk through the history of a commit, as far as what is to be approved is the same.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use pipeline_spec::{PersonName, RequestPath};

use crate::commit::Signature;
use crate::object::{Entry, Gap, Id, Kind, Objects};
use crate::people::People;

/// Commits looked at, from the newest back. What is in the history of those behind counts for nothing: whoever
/// approved so long ago approves again.
pub const MAX_COMMITS: usize = 2_000;

/// Signatures told of that count for nothing.
const MAX_IGNORED: usize = 5;

/// How a message names the configuration.
pub const CONFIGURATION: &str = "configuration";

/// What in a commit's message is before the name of what it approves.
pub const APPROVE: &str = "Approve: ";

/// The file that names the distribution: who approves for a trial has not approved for the real one.
const PROJECT: &str = "millrace.yaml";

/// The top entries that the configuration is made of.
const CONFIGURATION_PLACES: [&str; 7] = [
    PROJECT,
    "policy.yaml",
    "platforms",
    "flavors",
    "repositories",
    "keys",
    "runners",
];

/// What is approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A release request with the builds that it is made of, those that these are linked with included; or its
    /// removal.
    Release {
        /// The request.
        path: RequestPath,
        /// Build requests.
        builds: BTreeSet<RequestPath>,
    },
    /// Everything that is no request: who builds, of what, for whom, and by which rules.
    Configuration,
}

impl Subject {
    /// As a message names it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Release { path, .. } => path.as_str(),
            Self::Configuration => CONFIGURATION,
        }
    }

    /// The whole line of a message that approves it.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{APPROVE}{}", self.name())
    }

    fn paths(&self) -> Vec<&str> {
        match self {
            Self::Release { path, builds } => {
                let paths = std::iter::once(path).chain(builds);
                paths.map(RequestPath::as_str).chain([PROJECT]).collect()
            }
            Self::Configuration => CONFIGURATION_PLACES.to_vec(),
        }
    }

    /// The file that is signed by who makes it as it is. Of the configuration there is none: who adds a line to it
    /// has not looked at the rest.
    fn own(&self) -> Option<&str> {
        match self {
            Self::Release { path, .. } => Some(path.as_str()),
            Self::Configuration => None,
        }
    }
}

/// What a commit has at the paths of a subject.
pub type State = BTreeMap<String, Option<Entry>>;

/// A walk. Objects are asked for as they are needed: see [`Walk::needs`].
#[derive(Debug)]
pub struct Walk {
    subject: Subject,
    tip: Id,
    state: Option<State>,
    pending: VecDeque<Id>,
    seen: BTreeSet<Id>,
    inside: Vec<Inside>,
    /// By commit, the one that it was come to from.
    from: BTreeMap<Id, Id>,
    edges: BTreeSet<Id>,
    limit: usize,
    is_cut: bool,
}

/// A commit that has what the tip has.
#[derive(Debug, Clone, Copy)]
struct Inside {
    id: Id,
    /// It made the subject's own file as it is: each parent has another, or none.
    made: bool,
}

/// A signature that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Whose.
    pub person: PersonName,
    /// Where.
    pub commit: Id,
}

/// A commit that says that it approves, and does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    /// Which.
    pub commit: Id,
    /// Why.
    pub why: String,
}

/// What a walk has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Every signature that counts, several of one person included.
    pub approvals: Vec<Approval>,
    /// What looks like an approval and counts for nothing, the newest first.
    pub ignored: Vec<Ignored>,
    /// Parents in which the subject is another, and where the walk was cut. An approval that is in the history of one of these was ended by it: see
    /// [`Found::without`].
    pub edges: Vec<Id>,
    /// Commits beyond [`MAX_COMMITS`] were not looked at.
    pub is_cut: bool,
}

impl Walk {
    /// A walk back from `tip`.
    #[must_use]
    pub fn new(subject: Subject, tip: Id) -> Self {
        Self::with_limit(subject, tip, MAX_COMMITS)
    }

    /// The same, of at most `limit` commits.
    #[must_use]
    pub fn with_limit(subject: Subject, tip: Id, limit: usize) -> Self {
        Self {
            subject,
            tip,
            state: None,
            pending: VecDeque::from([tip]),
            seen: BTreeSet::from([tip]),
            inside: Vec::new(),
            from: BTreeMap::new(),
            edges: BTreeSet::new(),
            limit,
            is_cut: false,
        }
    }

    /// What is walked for.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Walks on as far as `objects` reach. What it then needs to go further; nothing: it is done.
    pub fn needs(&mut self, objects: &Objects) -> Vec<(Id, Kind)> {
        while let Some(id) = self.pending.front().copied() {
            match self.look(id, objects) {
                Ok(()) => _ = self.pending.pop_front(),
                Err(missing) => return missing,
            }
        }
        Vec::new()
    }

    /// What the tip has; `None`: it is not known yet, or cannot be known.
    #[must_use]
    pub fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    /// Where the walk began.
    #[must_use]
    pub fn tip(&self) -> Id {
        self.tip
    }

    /// A shortest way from a commit that was walked through to the tip, both included.
    pub(crate) fn way_to(&self, commit: Id) -> Vec<Id> {
        std::iter::successors(Some(commit), |id| self.from.get(id).copied()).collect()
    }

    /// A commit with all that its state is read from.
    pub(crate) fn objects_of(&self, commit: Id, objects: &Objects) -> Vec<Id> {
        let mut ids = vec![commit];
        if let Ok(read) = objects.commit(commit) {
            for path in self.subject.paths() {
                ids.extend(objects.folders(read.tree, path));
            }
        }
        ids
    }

    /// Commits that have what the tip has, as far as was walked.
    pub fn inside(&self) -> impl Iterator<Item = Id> + '_ {
        self.inside.iter().map(|inside| inside.id)
    }

    /// See [`Found::edges`].
    pub fn edges(&self) -> impl Iterator<Item = Id> + '_ {
        self.edges.iter().copied()
    }

    fn look(&mut self, id: Id, objects: &Objects) -> Result<(), Vec<(Id, Kind)>> {
        let state = match &self.state {
            Some(state) => state.clone(),
            None => match self.state_of(self.tip, objects) {
                Ok(state) => self.state.insert(state).clone(),
                Err(Gap::Missing(id, kind)) => return Err(vec![(id, kind)]),
                // Nothing can be approved of what cannot be read.
                Err(Gap::Unusable(_)) => return Ok(()),
            },
        };
        let Ok(commit) = objects.commit(id) else {
            return Ok(());
        };
        let own = self.subject.own();
        let (mut same, mut edges, mut missing) = (Vec::new(), Vec::new(), Vec::new());
        let mut made = own.is_some();
        for parent in &commit.parents {
            match self.state_of(*parent, objects) {
                Ok(theirs) => {
                    made &= own.is_some_and(|own| theirs.get(own) != state.get(own));
                    match theirs == state {
                        true => same.push(*parent),
                        false => edges.push(*parent),
                    }
                }
                Err(Gap::Missing(id, kind)) => missing.push((id, kind)),
                Err(Gap::Unusable(_)) => {
                    made = false;
                    edges.push(*parent);
                }
            }
        }
        if !missing.is_empty() {
            missing.dedup();
            return Err(missing);
        }
        // The first commit has made what it has, and removed nothing.
        let is_there = own.is_some_and(|own| state.get(own).is_some_and(Option::is_some));
        made &= !commit.parents.is_empty() || is_there;
        self.inside.push(Inside { id, made });
        self.edges.extend(edges);
        for parent in same {
            if self.seen.contains(&parent) {
                continue;
            }
            if self.seen.len() >= self.limit {
                // Behind it there may be an edge that nobody sees.
                self.is_cut = true;
                self.edges.insert(parent);
                continue;
            }
            self.seen.insert(parent);
            self.from.insert(parent, id);
            self.pending.push_back(parent);
        }
        Ok(())
    }

    fn state_of(&self, commit: Id, objects: &Objects) -> Result<State, Gap> {
        let tree = objects.commit(commit)?.tree;
        let paths = self.subject.paths().into_iter();
        let entry = |path: &str| Ok((path.to_owned(), objects.entry(tree, path)?));
        paths.map(entry).collect()
    }

    /// Whose signatures are on the way, at `now` in seconds since 1970.
    #[must_use]
    pub fn found(&self, objects: &Objects, people: &People, now: u64) -> Found {
        let line = self.subject.line();
        let mut found = Found {
            edges: self.edges.iter().copied().collect(),
            is_cut: self.is_cut,
            ..Found::default()
        };
        for Inside { id, made } in &self.inside {
            let Ok(commit) = objects.commit(*id) else {
                continue;
            };
            let says = commit.has_line(&line);
            // Who only writes a file may leave the signing to others, and is not told of it.
            let counts = says || (*made && commit.signature != Signature::None);
            if !counts {
                continue;
            }
            let (signers, why) = people.signers(commit, now);
            let approval = |person| Approval {
                person,
                commit: *id,
            };
            found.approvals.extend(signers.into_iter().map(approval));
            let room = MAX_IGNORED.saturating_sub(found.ignored.len());
            let ignored = why.into_iter().map(|why| Ignored { commit: *id, why });
            found.ignored.extend(ignored.take(room));
        }
        found
    }
}

impl Found {
    /// Without approvals in these commits, which are in the history of an edge: since they were given, what they
    /// approve was gone.
    #[must_use]
    pub fn without(mut self, ended: &[Id]) -> Self {
        self.approvals
            .retain(|approval| !ended.contains(&approval.commit));
        let why = match self.is_cut {
            false => "what it approves was changed or removed since, and is back",
            true => "what it approves was changed or removed since, or too many commits followed",
        };
        let room = MAX_IGNORED.saturating_sub(self.ignored.len());
        let ignored = ended.iter().map(|commit| Ignored {
            commit: *commit,
            why: why.to_owned(),
        });
        self.ignored.extend(ignored.take(room));
        self
    }

    /// Everybody whose approval counts.
    #[must_use]
    pub fn people(&self) -> BTreeSet<PersonName> {
        let people = self.approvals.iter();
        people.map(|approval| approval.person.clone()).collect()
    }
}
