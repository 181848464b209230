//! A forge as maps: pull requests, and one check for each commit and name.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use ports::contract::{ForgeWorld, Home, Shown};
use ports::{Check, Commit, Error, Forge, Permission, Pull, PullState, Reply, Result};

use crate::lock;

/// The forge itself, and the people at it. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryForge(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    pulls: BTreeMap<u64, Pull>,
    checks: BTreeMap<(Commit, String), Check>,
    people: BTreeMap<String, Permission>,
    gone: BTreeSet<Commit>,
    /// By pull request and comment.
    answers: BTreeMap<(u64, u64), Reply>,
    /// Comments that people wrote.
    comments: u64,
    /// Checks written: what was there already does not count.
    writes: u64,
    /// Commits that the forge made up.
    commits: u64,
    /// What the next calls are answered with; none: as always.
    errors: VecDeque<Option<Error>>,
    unlisted: BTreeSet<u64>,
}

impl MemoryForge {
    /// Who writes checks and answers here.
    pub const PROGRAM: &str = "millrace-bot";

    /// Somebody opens a pull request. Its number is one more than the last, whatever `pull` says.
    pub fn open_pull(&self, mut pull: Pull) -> u64 {
        let mut state = lock(&self.0);
        pull.number = state.pulls.last_key_value().map_or(1, |(last, _)| last + 1);
        let number = pull.number;
        state.pulls.insert(number, pull);
        number
    }

    /// Somebody changes a pull request, by a push or a decision. One that is not there stays so.
    pub fn change_pull(&self, number: u64, change: impl FnOnce(&mut Pull)) {
        if let Some(pull) = lock(&self.0).pulls.get_mut(&number) {
            change(pull);
        }
    }

    /// The list of open pull requests lacks it from now on, as a list may that changes between its pages.
    pub fn leave_off_the_list(&self, number: u64) {
        lock(&self.0).unlisted.insert(number);
    }

    /// What `login` may do from now on.
    pub fn set_permission(&self, login: &str, permission: Permission) {
        lock(&self.0).people.insert(login.to_owned(), permission);
    }

    /// The commit was pushed over.
    pub fn forget_commit(&self, commit: &str) {
        lock(&self.0).gone.insert(commit.to_owned());
    }

    /// The checks of a commit, in the order of their names.
    pub fn checks(&self, commit: &str) -> Vec<Check> {
        let state = lock(&self.0);
        let checks = state.checks.iter().filter(|((of, _), _)| of == commit);
        checks.map(|(_, check)| check.clone()).collect()
    }

    /// What was said to people, in the order of pull requests and comments.
    pub fn answers(&self) -> Vec<Reply> {
        lock(&self.0).answers.values().cloned().collect()
    }

    /// How often a check was written that was not there already.
    pub fn checks_written(&self) -> u64 {
        lock(&self.0).writes
    }

    /// The next call fails so, and does nothing.
    pub fn fail_next(&self, error: Error) {
        self.fail_after(0, error);
    }

    /// The call after so many fails so, and does nothing.
    pub fn fail_after(&self, calls: usize, error: Error) {
        let mut state = lock(&self.0);
        state.errors = std::iter::repeat_with(|| None).take(calls).collect();
        state.errors.push_back(Some(error));
    }

    /// Somebody takes all checks away.
    pub fn forget_checks(&self) {
        lock(&self.0).checks.clear();
    }

    fn called(&self) -> Result<MutexGuard<'_, State>> {
        let mut state = lock(&self.0);
        match state.errors.pop_front().flatten() {
            Some(error) => Err(error),
            None => Ok(state),
        }
    }

    fn new_commit(&self) -> Commit {
        let mut state = lock(&self.0);
        state.commits += 1;
        format!("{:040x}", state.commits)
    }
}

impl Forge for MemoryForge {
    async fn open_pulls(&self, base: &str) -> Result<Vec<Pull>> {
        let state = self.called()?;
        let open = |pull: &&Pull| pull.base == base && pull.state == PullState::Open;
        let listed = |pull: &&Pull| !state.unlisted.contains(&pull.number);
        let pulls = state.pulls.values().filter(open).filter(listed);
        Ok(pulls.cloned().collect())
    }

    async fn pull(&self, number: u64) -> Result<Option<Pull>> {
        Ok(self.called()?.pulls.get(&number).cloned())
    }

    async fn pull_of(&self, commit: &str) -> Result<Option<Pull>> {
        let state = lock(&self.0);
        let is_it =
            |pull: &&Pull| matches!(&pull.state, PullState::Merged(merged) if merged == commit);
        Ok(state.pulls.values().find(is_it).cloned())
    }

    async fn write_check(&self, check: &Check) -> Result<()> {
        let mut state = self.called()?;
        let at = (check.commit.clone(), check.name.clone());
        let same = |there: &Check| (&there.digest, there.state) == (&check.digest, check.state);
        if state.gone.contains(&check.commit) || state.checks.get(&at).is_some_and(same) {
            return Ok(());
        }
        state.checks.insert(at, check.clone());
        state.writes += 1;
        Ok(())
    }

    async fn permission(&self, login: &str) -> Result<Permission> {
        let permission = self.called()?.people.get(login).copied();
        Ok(permission.unwrap_or(Permission::None))
    }

    async fn is_program(&self, login: &str) -> Result<bool> {
        let _state = self.called()?;
        Ok(login == Self::PROGRAM)
    }

    async fn answer(&self, reply: &Reply) -> Result<()> {
        let mut state = self.called()?;
        let at = (reply.pull, reply.comment);
        if state.pulls.contains_key(&reply.pull) && !state.answers.contains_key(&at) {
            state.answers.insert(at, reply.clone());
            state.writes += 1;
        }
        Ok(())
    }
}

impl ForgeWorld for MemoryForge {
    async fn open(&self, somebody: &str, title: &str, base: &str, home: Home) -> u64 {
        self.open_pull(Pull {
            number: 0,
            title: title.to_owned(),
            author: somebody.to_owned(),
            head: self.new_commit(),
            base: base.to_owned(),
            is_own: home == Home::Own,
            state: PullState::Open,
        })
    }

    async fn push(&self, number: u64) {
        let head = self.new_commit();
        self.change_pull(number, |pull| pull.head = head);
    }

    async fn close(&self, number: u64) {
        self.change_pull(number, |pull| pull.state = PullState::Closed);
    }

    async fn merge(&self, number: u64) -> Commit {
        let commit = self.new_commit();
        let merged = PullState::Merged(commit.clone());
        self.change_pull(number, |pull| pull.state = merged);
        commit
    }

    /// There are no comments here.
    async fn imitate(&self, _somebody: &str, _number: u64) {}

    fn program(&self) -> String {
        Self::PROGRAM.to_owned()
    }

    async fn comment(&self, _somebody: &str, _number: u64, _text: &str) -> u64 {
        let mut state = lock(&self.0);
        state.comments += 1;
        state.comments
    }

    async fn answers(&self, number: u64) -> Vec<String> {
        let answers = MemoryForge::answers(self).into_iter();
        let here = answers.filter(|reply| reply.pull == number);
        here.map(|reply| reply.text).collect()
    }

    async fn grant(&self, somebody: &str, permission: Permission) {
        self.set_permission(somebody, permission);
    }

    async fn gone(&self) -> Commit {
        let commit = self.new_commit();
        self.forget_commit(&commit);
        commit
    }

    async fn shown(&self, commit: &str) -> Vec<Shown> {
        let shown = |check: Check| Shown {
            name: check.name,
            state: check.state,
            title: check.title,
            text: check.summary,
            annotations: check.annotations.len(),
        };
        self.checks(commit).into_iter().map(shown).collect()
    }

    async fn writes(&self) -> u64 {
        self.checks_written()
    }
}
