//! Both forges as doubles, and the adapters over them.

#![allow(
    clippy::disallowed_methods,
    reason = "tests begin at the double's time, which is the machine's"
)]
#![allow(dead_code, reason = "each test uses a part")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use fake_forge::forge::{Change, Forge as Fake, Kind, NewPull, Role};
use fake_forge::judge::Judge;
use forge::{Address, GitHub, Gitea, Login, Secret};
use memory::ManualClock;
use ports::contract::{ForgeWorld, Home, Shown};
use ports::{CheckState, Commit, Permission};
use tempfile::TempDir;

/// A double, with a clock that begins where its own is.
pub(crate) struct World {
    pub(crate) fake: Fake,
    pub(crate) clock: ManualClock,
    kind: Kind,
    pushes: AtomicU64,
    /// Numbers of all pull requests.
    pulls: Mutex<Vec<u64>>,
    _folder: TempDir,
}

/// Two branches that pull requests may want to get into.
pub(crate) const BASES: [&str; 2] = ["main", "stable"];

impl World {
    pub(crate) fn new(kind: Kind) -> Self {
        let folder = TempDir::new().expect("a folder");
        let fake = Fake::start(kind, folder.path());
        let since = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970");
        let now = i64::try_from(since.as_millis()).expect("before the year 292 million");
        let world = Self {
            fake,
            clock: ManualClock::at(now),
            kind,
            pushes: AtomicU64::new(0),
            pulls: Mutex::default(),
            _folder: folder,
        };
        for base in BASES {
            world.fake.push(base, &world.change());
        }
        world
    }

    /// One behind its judge, or nothing where nobody can judge.
    pub(crate) fn judged(kind: Kind) -> Option<(Self, Judge)> {
        let world = Self::new(kind);
        match Judge::before(&world.fake, kind) {
            Ok(judge) => Some((world, judge)),
            Err(missing) => {
                missing.tell(&format!("what is asked of a {kind:?}"));
                None
            }
        }
    }

    pub(crate) fn address(&self) -> Address {
        Self::address_at(&self.fake.url())
    }

    pub(crate) fn address_at(api: &str) -> Address {
        let repository = format!("{}/{}", Fake::OWNER, Fake::REPOSITORY);
        Address::new(api, &repository).expect("an address")
    }

    pub(crate) fn app(&self) -> Login {
        Login::App {
            id: Fake::APP,
            key: Secret::new(Fake::app_key()),
            installation: None,
        }
    }

    pub(crate) fn github(&self) -> GitHub<ManualClock> {
        self.github_as(self.app())
    }

    pub(crate) fn github_as(&self, login: Login) -> GitHub<ManualClock> {
        GitHub::new(self.address(), login, self.clock.clone()).expect("an adapter")
    }

    pub(crate) fn gitea(&self) -> Gitea<ManualClock> {
        let token = Secret::new(&self.fake.token());
        Gitea::new(self.address(), token, self.clock.clone()).expect("an adapter")
    }

    /// Both clocks move on.
    pub(crate) fn later(&self, seconds: i64) {
        self.fake.later(seconds);
        let seconds = u64::try_from(seconds).expect("forward");
        self.clock.pass(std::time::Duration::from_secs(seconds));
    }

    /// One that no other commit makes.
    fn change(&self) -> Change {
        let nth = self.pushes.fetch_add(1, Ordering::Relaxed);
        Change::new(&format!("Change {nth}")).write(&format!("builds/{nth}.yaml"), "a: b\n")
    }

    fn seen_on_github(&self, commit: &str) -> Vec<Shown> {
        let checks = self.fake.checks(commit).into_iter();
        let shown = checks.map(|check| Shown {
            name: own_name(&check.name),
            state: match (check.status.as_str(), check.conclusion.as_deref()) {
                ("queued", None) => CheckState::Waiting,
                ("in_progress", None) => CheckState::Running,
                ("completed", Some("success")) => CheckState::Passed,
                ("completed", Some("failure")) => CheckState::Failed,
                ("completed", Some("neutral")) => CheckState::Neutral,
                other => panic!("{other:?} is no state of ours"),
            },
            title: check.title,
            text: check.summary,
            annotations: check.annotations.len(),
        });
        shown.collect()
    }

    fn seen_on_gitea(&self, commit: &str) -> Vec<Shown> {
        let comment = self.our_comment_at(commit);
        let statuses = self.fake.statuses(commit).into_iter();
        let shown = statuses.map(|status| {
            let name = own_name(&status.context);
            let text = comment
                .as_ref()
                .map_or("", |comment| section(comment, &name));
            Shown {
                state: match status.state.as_str() {
                    "pending" => CheckState::Running,
                    "success" => CheckState::Passed,
                    "failure" => CheckState::Failed,
                    "warning" => CheckState::Neutral,
                    other => panic!("{other:?} is no state of ours"),
                },
                title: status.description,
                annotations: text.lines().filter(|line| is_remark(line)).count(),
                text: text.to_owned(),
                name,
            }
        });
        shown.collect()
    }

    /// The comment where people read of `commit`. There is one at most.
    fn our_comment_at(&self, commit: &str) -> Option<String> {
        let pulls = self.pulls.lock().expect("no test has panicked").clone();
        let mut numbers = pulls.into_iter();
        let number = numbers.find(|number| self.fake.head_of(*number) == commit)?;
        let comments = self.fake.comments(number).into_iter();
        let mut ours: Vec<_> = comments
            .filter(|comment| comment.author == "millrace-bot")
            .filter(|comment| comment.body.starts_with("<!-- millrace -->"))
            .collect();
        assert!(ours.len() < 2, "one comment is kept up to date: {ours:#?}");
        ours.pop().map(|comment| comment.body)
    }
}

fn is_remark(line: &str) -> bool {
    line.starts_with("- error `") || line.starts_with("- warning `")
}

fn own_name(shown: &str) -> String {
    let name = shown.strip_prefix("millrace / ");
    name.expect("our checks say whose they are").to_owned()
}

/// The part of a comment under a check's heading.
fn section<'a>(comment: &'a str, name: &str) -> &'a str {
    let begin = format!("\n### {name}: ");
    let from = comment
        .find(&begin)
        .map_or(comment.len(), |at| at + begin.len());
    let rest = &comment[from..];
    rest.find("\n<!-- millrace: ")
        .map_or(rest, |end| &rest[..end])
}

impl ForgeWorld for World {
    async fn open(&self, somebody: &str, title: &str, base: &str, home: Home) -> u64 {
        let change = self.change();
        let branch = format!("wish-{}", self.pushes.load(Ordering::Relaxed));
        let new = NewPull::new(title, &branch, somebody, &change).into_branch(base);
        let new = match home {
            Home::Own => new,
            Home::Fork => new.from_fork(),
        };
        let number = self.fake.open_pull(&new);
        self.pulls
            .lock()
            .expect("no test has panicked")
            .push(number);
        number
    }

    async fn push(&self, number: u64) {
        self.fake.push_to_pull(number, &self.change());
    }

    async fn close(&self, number: u64) {
        self.fake.close(number);
    }

    async fn merge(&self, number: u64) -> Commit {
        self.fake.merge(number)
    }

    async fn imitate(&self, somebody: &str, number: u64) {
        let text = "<!-- millrace -->\n### plan: all is well\n";
        self.fake.comment(number, somebody, text);
    }

    async fn comment(&self, somebody: &str, number: u64, text: &str) -> u64 {
        self.fake.comment(number, somebody, text)
    }

    async fn answers(&self, number: u64) -> Vec<String> {
        let comments = self.fake.comments(number).into_iter();
        let ours = comments.filter(|comment| comment.author == self.program());
        let answers = ours.filter_map(|comment| {
            let (mark, text) = comment.body.split_once('\n')?;
            let is_answer = mark.starts_with("<!-- millrace answers ");
            is_answer.then(|| text.to_owned())
        });
        answers.collect()
    }

    fn program(&self) -> String {
        let program = match self.kind {
            Kind::GitHub => "millrace[bot]",
            Kind::Gitea => "millrace-bot",
        };
        program.to_owned()
    }

    async fn grant(&self, somebody: &str, permission: Permission) {
        let role = match permission {
            Permission::None => Role::None,
            Permission::Read => Role::Read,
            Permission::Write => Role::Write,
            Permission::Admin => Role::Admin,
        };
        self.fake.permit(somebody, role);
    }

    async fn gone(&self) -> Commit {
        "ab".repeat(20)
    }

    async fn shown(&self, commit: &str) -> Vec<Shown> {
        let mut shown = match self.kind {
            Kind::GitHub => self.seen_on_github(commit),
            Kind::Gitea => self.seen_on_gitea(commit),
        };
        shown.sort_by(|one, other| one.name.cmp(&other.name));
        shown
    }

    async fn writes(&self) -> u64 {
        self.fake.counts().writes as u64
    }
}
