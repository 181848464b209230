//! A GitHub or a Gitea with one repository: what people do there, what its HTTP API answers, and webhooks out.
//!
//! What happens, happens in a real bare repository, served over smart HTTP under the same port. A pull request's
//! commits are there as `refs/pull/N/head`. Nothing is ever done by time alone: [`Forge::later`] moves its clock.

mod api;
mod event;
mod fault;
mod gitea;
mod github;
mod hooks;
mod people;
mod repo;
mod seen;
mod token;
mod world;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

pub use fault::{Fault, Limits};
pub use hooks::{Delivery, Manner, sign};
pub use people::NewPull;
pub use repo::Change;
pub use seen::{Page, SeenAction, SeenCheck, SeenComment, SeenStatus};

use world::World;

/// Which forge it plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// As on github.com, with an App.
    GitHub,
    /// As Gitea 1.27, with a bot's token.
    Gitea,
}

/// What somebody may do to the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Nothing that others may not.
    None,
    /// Look.
    Read,
    /// Sort pull requests (GitHub; reads, to Gitea).
    Triage,
    /// Push.
    Write,
    /// Push, and set some things (GitHub; writes, to Gitea).
    Maintain,
    /// All.
    Admin,
}

/// How much was asked of a forge's API and repository.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All requests to the API, refused ones too.
    pub requests: usize,
    /// Requests that wrote something: a check, a status, a comment. Tokens are not counted.
    pub writes: usize,
    /// Requests that a limit or a fault refused.
    pub refused: usize,
    /// Pushes by smart HTTP that moved something.
    pub pushes: usize,
}

/// A forge, until the process ends.
pub struct Forge {
    kind: Kind,
    port: u16,
    world: Arc<Mutex<World>>,
}

impl Forge {
    /// The owner of the repository.
    pub const OWNER: &'static str = world::OWNER;
    /// The repository's name, before [`Forge::rename`].
    pub const REPOSITORY: &'static str = world::REPOSITORY;
    /// The number of the App on GitHub.
    pub const APP: u64 = token::APP;
    /// What the App may do: names and levels.
    pub const PERMISSIONS: [(&str, &str); 5] = token::PERMISSIONS;
    /// The number of the App's installation in the repository.
    pub const INSTALLATION: u64 = token::INSTALLATION;

    /// Keeps its repositories below `folder`. There is no commit yet.
    pub fn start(kind: Kind, folder: &Path) -> Self {
        let world = Arc::new(Mutex::new(World::new(kind, folder.to_owned())));
        let shared = Arc::clone(&world);
        let port = crate::http::listen(move |request| api::answer(&shared, request));
        let forge = Self { kind, port, world };
        forge.world().site = forge.site();
        forge
    }

    /// For what one call does as a whole.
    fn world(&self) -> MutexGuard<'_, World> {
        // A test's thread that panicked has said so itself.
        self.world
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Which forge it plays.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Where people would go.
    pub fn site(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where the API is, without a slash at its end: on Gitea with `/api/v1`.
    pub fn url(&self) -> String {
        let prefix = match self.kind {
            Kind::GitHub => "",
            Kind::Gitea => api::GITEA,
        };
        format!("{}{prefix}", self.site())
    }

    /// Where git finds the repository. Everybody may read it, and push with [`Forge::git_login`].
    pub fn clone_url(&self) -> String {
        let world = self.world();
        format!("{}/{}/{}.git", self.site(), Self::OWNER, world.name)
    }

    /// The repository on the disk.
    pub fn folder(&self) -> std::path::PathBuf {
        self.world().repo.path.clone()
    }

    /// A token for the API: of the installation, with all that the App may, or of the bot.
    pub fn token(&self) -> String {
        token::give(&mut self.world(), None)
    }

    /// The private key of the App, as GitHub gives it: PEM, PKCS#1. It is in public, and good for this alone.
    pub fn app_key() -> &'static str {
        token::APP_KEY
    }

    /// A whole `Authorization` header for git.
    pub fn git_login(&self) -> String {
        token::basic(&self.token())
    }

    /// The next `times` requests of `method` whose target contains `word` meet `fault`; an empty method or word stands
    /// for any. Requests of git count too.
    pub fn fault(&self, method: &str, word: &str, fault: Fault, times: usize) {
        let mut world = self.world();
        for _ in 0..times {
            world.faults.add(method, word, fault);
        }
    }

    /// No fault is left to happen.
    pub fn no_faults(&self) {
        self.world().faults.clear();
    }

    /// From now on no more than this is let through.
    pub fn limit(&self, limits: Limits) {
        self.world().limits = limits;
    }

    /// Moves its clock, forward or back: tokens end, limits have room again, App tokens look old.
    pub fn later(&self, seconds: i64) {
        self.world().ahead += seconds;
    }

    /// How much was asked so far.
    pub fn counts(&self) -> Counts {
        self.world().spent.counts
    }

    /// Method, target and status of every request so far; status 0 was never answered.
    pub fn requests(&self) -> Vec<String> {
        self.world().spent.lines.clone()
    }

    /// Sends webhooks there from now on, signed with this secret. GitHub says `ping`.
    pub fn webhooks_to(&self, url: &str, secret: &str) {
        let mut world = self.world();
        world.hooks.set(url, secret);
        world.emit(&event::Event::Ping, Self::OWNER);
    }

    /// Signs with another secret from now on.
    pub fn rotate_secret(&self, secret: &str) {
        self.world().hooks.rotate(secret);
    }

    /// Delivers webhooks in this manner from now on.
    pub fn deliver(&self, manner: Manner) {
        self.world().hooks.manner = manner;
    }

    /// Sends what is held ([`Manner::Held`]), in an order that `seed` says.
    pub fn release(&self, seed: u64) {
        self.world().hooks.release(seed);
    }

    /// Sends a delivery again, as it was.
    pub fn deliver_again(&self, id: &str) {
        self.world().hooks.again(id);
    }

    /// Every webhook so far, sent or not.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.world().hooks.deliveries()
    }

    /// Waits until every webhook that was sent is answered, or its receiver is known to be down.
    pub fn settle(&self) {
        // Whoever receives may ask the API before it answers.
        let settled = self.world().hooks.settled();
        settled();
    }
}
