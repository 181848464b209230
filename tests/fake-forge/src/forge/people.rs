//! What people do on a forge.

use super::event::{Act, Event};
use super::repo::{Change, NOTHING};
use super::world::{Comment, Merged, Pull, World};
use super::{Forge, Kind, Role};

/// A pull request that somebody opens.
#[derive(Debug, Clone)]
pub struct NewPull {
    title: String,
    author: String,
    branch: String,
    base: String,
    is_from_fork: bool,
    change: Change,
}

impl NewPull {
    /// From a new branch of the repository itself into `main`, with one commit.
    pub fn new(title: &str, branch: &str, author: &str, change: &Change) -> Self {
        Self {
            title: title.to_owned(),
            author: author.to_owned(),
            branch: branch.to_owned(),
            base: "main".to_owned(),
            is_from_fork: false,
            change: change.clone(),
        }
    }

    /// From the author's fork instead.
    #[must_use]
    pub fn from_fork(mut self) -> Self {
        self.is_from_fork = true;
        self
    }

    /// Into this branch instead.
    #[must_use]
    pub fn into_branch(mut self, base: &str) -> Self {
        base.clone_into(&mut self.base);
        self
    }
}

/// What people do.
impl Forge {
    /// A commit upon a branch, which is made if it is not there.
    pub fn push(&self, branch: &str, change: &Change) -> String {
        let mut world = self.world();
        let parent = world.repo.tip(branch).or_else(|| world.repo.tip("main"));
        world.put(branch, parent.as_deref(), change, Self::OWNER)
    }

    /// A commit in the place of a branch's newest one: a forced push.
    pub fn force_push(&self, branch: &str, change: &Change) -> String {
        let mut world = self.world();
        let parent = world.repo.commit_of(&format!("refs/heads/{branch}~1"));
        world.put(branch, parent.as_deref(), change, Self::OWNER)
    }

    /// Takes a branch away.
    pub fn delete_branch(&self, branch: &str) {
        let mut world = self.world();
        let before = world.repo.refs();
        world.repo.set(&format!("refs/heads/{branch}"), NOTHING);
        world.moved(&before, Self::OWNER);
    }

    /// A pull request has this description from now on. Nobody is told.
    pub fn describe(&self, number: u64, text: &str) {
        let mut world = self.world();
        let pull = world.pulls.get_mut(&number).expect("it was opened");
        text.clone_into(&mut pull.text);
    }

    /// The commit that a branch is at.
    pub fn tip(&self, branch: &str) -> String {
        self.world().at(branch)
    }

    /// Opens a pull request and gives its number.
    pub fn open_pull(&self, new: &NewPull) -> u64 {
        let mut world = self.world();
        world.meet(&new.author);
        let base_sha = world.at(&new.base);
        assert_ne!(base_sha, NOTHING, "{} has no commit yet", new.base);
        let number = world.next_number();
        let owner = if new.is_from_fork {
            &new.author
        } else {
            Self::OWNER
        };
        let now = world.now();
        let pull = Pull {
            number,
            title: new.title.clone(),
            text: String::new(),
            author: new.author.clone(),
            base: new.base.clone(),
            base_sha: base_sha.clone(),
            head_owner: owner.to_owned(),
            branch: new.branch.clone(),
            head: NOTHING.to_owned(),
            is_open: true,
            merged: None,
            created: now,
            updated: now,
            closed: None,
        };
        let head = world.put_head(&pull, Some(&base_sha), &new.change);
        world.pulls.insert(number, Pull { head, ..pull });
        world.keep_head(number);
        let act = Act::Opened;
        world.emit(&Event::Pull { number, act }, &new.author);
        number
    }

    /// Its author adds a commit.
    pub fn push_to_pull(&self, number: u64, change: &Change) -> String {
        self.world().push_to_pull(number, change, "")
    }

    /// Its author replaces the newest commit.
    pub fn force_push_to_pull(&self, number: u64, change: &Change) -> String {
        self.world().push_to_pull(number, change, "~1")
    }

    /// The newest commit of a pull request.
    pub fn head_of(&self, number: u64) -> String {
        self.world().pulls[&number].head.clone()
    }

    /// Its owner merges it by a merge commit, which this gives.
    pub fn merge(&self, number: u64) -> String {
        self.world().merge(number, Joined::Merge)
    }

    /// Its owner merges it as one commit, which this gives.
    pub fn squash(&self, number: u64) -> String {
        self.world().merge(number, Joined::Squash)
    }

    /// Its owner closes it without merging.
    pub fn close(&self, number: u64) {
        self.world().end(number, None, Self::OWNER);
    }

    /// Its owner opens it again.
    pub fn reopen(&self, number: u64) {
        let mut world = self.world();
        let pull = world.pulls.get_mut(&number).unwrap();
        pull.is_open = true;
        pull.closed = None;
        let act = Act::Reopened;
        world.emit(&Event::Pull { number, act }, Self::OWNER);
    }

    /// Somebody says something there, and this gives the comment's number.
    pub fn comment(&self, number: u64, login: &str, text: &str) -> u64 {
        let mut world = self.world();
        world.meet(login);
        world.say(number, login, text)
    }

    /// Somebody clicks on a button of a check (GitHub).
    pub fn click(&self, sha: &str, check: &str, action: &str, login: &str) {
        let mut world = self.world();
        world.meet(login);
        let run = world.run_called(sha, check);
        let there = run.actions.iter().any(|a| a["identifier"] == action);
        assert!(there, "{check} has no button {action}");
        let event = Event::Run {
            id: run.id,
            action: "requested_action",
            asked: Some(action.to_owned()),
        };
        world.emit(&event, login);
    }

    /// Somebody asks for a check to be made again (GitHub).
    pub fn rerequest(&self, sha: &str, check: &str, login: &str) {
        let mut world = self.world();
        world.meet(login);
        let event = Event::Run {
            id: world.run_called(sha, check).id,
            action: "rerequested",
            asked: None,
        };
        world.emit(&event, login);
    }

    /// Somebody asks for all checks of a commit to be made again (GitHub).
    pub fn rerequest_all(&self, sha: &str, login: &str) {
        let mut world = self.world();
        world.meet(login);
        let event = Event::Suite {
            sha: sha.to_owned(),
            before: NOTHING.to_owned(),
            action: "rerequested",
        };
        world.emit(&event, login);
    }

    /// Somebody takes their fork away. Its pull requests stay, with commits and without a repository of their head.
    pub fn delete_fork(&self, login: &str) {
        let mut world = self.world();
        std::fs::remove_dir_all(world.fork(login).path).unwrap();
        world.lost_forks.insert(login.to_owned());
    }

    /// Says what somebody may do.
    pub fn permit(&self, login: &str, role: Role) {
        self.world().roles.insert(login.to_owned(), role);
    }

    /// Gives the repository another name. The old one leads there.
    pub fn rename(&self, name: &str) {
        let mut world = self.world();
        let from = std::mem::replace(&mut world.name, name.to_owned());
        let path = world.root.join(Self::OWNER).join(format!("{name}.git"));
        std::fs::rename(&world.repo.path, &path).unwrap();
        world.repo.path = path;
        world.old_names.insert(from.clone());
        world.emit(&Event::Renamed { from }, Self::OWNER);
    }

    /// Takes the App, or the bot's token, away: nothing is let in any more.
    pub fn uninstall(&self) {
        let mut world = self.world();
        world.is_installed = false;
        world.tokens.clear();
        world.emit(&Event::Uninstalled, Self::OWNER);
    }

    /// Lets the App in again (GitHub). Tokens from before stay dead.
    pub fn install(&self) {
        self.world().is_installed = true;
    }
}

#[derive(Clone, Copy)]
enum Joined {
    Merge,
    Squash,
}

impl World {
    fn put(&mut self, branch: &str, parent: Option<&str>, change: &Change, by: &str) -> String {
        let before = self.repo.refs();
        let sha = self.repo.commit(parent, change, &self.author(by));
        self.repo.set(&format!("refs/heads/{branch}"), &sha);
        self.moved(&before, by);
        sha
    }

    /// A commit on a pull request's branch. A fork's commits come along.
    fn put_head(&mut self, pull: &Pull, parent: Option<&str>, change: &Change) -> String {
        if !pull.is_from_fork() {
            return self.put(&pull.branch, parent, change, &pull.author);
        }
        let fork = self.fork(&pull.author);
        let origin = self.repo.path.to_string_lossy().into_owned();
        fork.git(&["fetch", "--quiet", &origin, &pull.base_sha]);
        let sha = fork.commit(parent, change, &self.author(&pull.author));
        fork.set(&format!("refs/heads/{}", pull.branch), &sha);
        self.bring(&fork.path, &sha);
        sha
    }

    /// Has the repository know a fork's commit.
    pub(crate) fn bring(&self, fork: &std::path::Path, sha: &str) {
        self.repo
            .git(&["fetch", "--quiet", &fork.to_string_lossy(), sha]);
    }

    fn push_to_pull(&mut self, number: u64, change: &Change, back: &str) -> String {
        let pull = self.pulls[&number].clone();
        assert!(pull.is_open, "pull request {number} is closed");
        let parent = self.repo.commit_of(&format!("{}{back}", pull.head));
        let sha = self.put_head(&pull, parent.as_deref(), change);
        // A branch of the repository itself has told already.
        self.heads_follow(&pull.head_owner, &pull.branch, &sha, &pull.author);
        sha
    }

    fn merge(&mut self, number: u64, joined: Joined) -> String {
        let by = super::world::OWNER;
        let pull = &self.pulls[&number];
        assert!(pull.is_open, "pull request {number} is closed");
        let base = self.at(&pull.base);
        let tree = self.repo.merged_tree(&base, &pull.head);
        let tree = tree.unwrap_or_else(|why| panic!("pull request {number} conflicts: {why}"));
        let (head, title) = (pull.head.clone(), pull.title.clone());
        let message = match joined {
            Joined::Squash => format!("{title} (#{number})"),
            Joined::Merge => format!(
                "Merge pull request #{number} from {}/{}\n\n{title}",
                pull.head_owner, pull.branch
            ),
        };
        let parents: &[&str] = match joined {
            Joined::Squash => &[&base],
            Joined::Merge => &[&base, &head],
        };
        let name = format!("refs/heads/{}", pull.base);
        let before = self.repo.refs();
        let author = self.author(by);
        let sha = self.repo.commit_tree(&tree, parents, &message, &author);
        self.repo.set(&name, &sha);
        let merged = Merged {
            sha: sha.clone(),
            by: by.to_owned(),
        };
        self.end(number, Some(merged), by);
        self.moved(&before, by);
        sha
    }

    pub(crate) fn say(&mut self, pull: u64, login: &str, text: &str) -> u64 {
        assert!(self.pulls.contains_key(&pull), "no pull request {pull}");
        let (id, now) = (self.id(), self.now());
        self.comments.push(Comment {
            id,
            pull,
            author: login.to_owned(),
            body: text.to_owned(),
            created: now,
            updated: now,
        });
        let action = "created";
        self.emit(&Event::Comment { id, action }, login);
        id
    }

    fn run_called(&self, sha: &str, name: &str) -> &super::world::Run {
        assert_eq!(self.kind, Kind::GitHub, "Gitea has no checks");
        let runs = self.latest_runs(sha);
        runs.into_iter()
            .find(|run| run.name == name)
            .unwrap_or_else(|| panic!("there is no check {name} at {sha}"))
    }
}
