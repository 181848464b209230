//! A whole machine on a forge: pull requests are planned, merged, watched and reverted, and what webhooks do on their
//! way changes nothing of the end. The forges are doubles (`fake-forge`); all else is real, apt included.

use std::cell::Cell;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use fake_forge::forge::{Change, Fault, Forge, Kind, Manner, NewPull, Page};

use crate::support::package::{DEBIAN, deb, request};
use crate::support::{Machine, git, said};

const BUILD: &str = "builds/2026/11/tiny.yaml";
const RELEASE: &str = "releases/2026/11/tiny.yaml";
const SECRET: &str = "It's a secret of more than sixteen characters";
const PLAN: &str = "millrace / plan";
const SCRATCH: &str = "millrace / scratch build";
const RESULTS: &str = "millrace / build and release";
/// Seconds after which the forge is asked when it tells nothing.
const POLL: &str = "5";

/// What goes wrong in a storm, one after the other, at whatever is asked next, of git too.
const STORM: [Fault; 8] = [
    Fault::Status(500),
    Fault::TooMany(1),
    Fault::LoseAnswer,
    Fault::Secondary(Some(1)),
    Fault::Status(503),
    Fault::RateLimit(1),
    Fault::LoseRequest,
    Fault::CutAnswer(9),
];
/// Requests that each step meets a fault with.
const GUSTS: usize = 5;

/// How the forge is while people wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weather {
    Calm,
    Storm,
}

struct Site {
    kind: Kind,
    forge: Forge,
    machine: Machine,
    weather: Weather,
    /// Faults so far.
    gusts: Cell<usize>,
}

impl Site {
    /// A machine whose state repository is on a forge, with all that tells the one of the other.
    fn new(name: &str, kind: Kind, (manner, weather): (Manner, Weather)) -> Self {
        let machine = Machine::new(name);
        let forge = Forge::start(kind, &machine.path("forge"));
        let header = format!("http.extraHeader=Authorization: {}", forge.git_login());
        let clone = machine.clone_path();
        let main = [
            "-c",
            &header,
            "push",
            "--quiet",
            &forge.clone_url(),
            "HEAD:main",
        ];
        git(&clone, &main);
        forge.deliver(manner);
        let mut site = Self {
            kind,
            forge,
            machine,
            weather,
            gusts: Cell::new(0),
        };
        site.start();
        let door = format!("{}/webhook", site.machine.url());
        site.forge.webhooks_to(&door, SECRET);
        site
    }

    fn start(&mut self) {
        let token = self.private("state.token", &self.forge.token());
        let secret = self.private("webhook.secret", SECRET);
        let (name, key, app) = match self.kind {
            Kind::GitHub => ("github", Forge::app_key().to_owned(), Some(Forge::APP)),
            Kind::Gitea => ("gitea", self.forge.token(), None),
        };
        let key = self.private("forge.token", &key);
        let mut words: Vec<String> = Vec::new();
        let mut add =
            |name: &str, value: &str| words.extend([format!("--{name}"), value.to_owned()]);
        add("state", &self.forge.clone_url());
        add("forge", name);
        add("forge-api", &self.forge.url());
        add("forge-token-file", &key.to_string_lossy());
        add("webhook-secret-file", &secret.to_string_lossy());
        add("forge-poll", POLL);
        add("public-url", &self.machine.url());
        match app {
            // It pushes with its own token.
            Some(app) => add("forge-app", &app.to_string()),
            None => add("state-token-file", &token.to_string_lossy()),
        }
        self.machine.start_with(&words);
    }

    fn private(&self, name: &str, text: &str) -> PathBuf {
        let path = self.machine.path(name);
        std::fs::write(&path, text).expect("a file");
        let owner = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&path, owner).expect("root may");
        path
    }

    /// Waits until people see the check so.
    fn wait(&self, pull: u64, check: &str, what: &str, is_so: impl Fn(&Page) -> bool) -> Page {
        self.gusts();
        self.wait_in_calm(pull, check, what, is_so)
    }

    fn wait_in_calm(
        &self,
        pull: u64,
        check: &str,
        what: &str,
        is_so: impl Fn(&Page) -> bool,
    ) -> Page {
        let wanted = format!("{check} of #{pull}, {what}");
        // What is held back comes late, and in another order.
        let seen = || {
            self.forge.release(pull);
            self.forge.page(pull, check)
        };
        self.machine
            .wait(&wanted, || seen().is_some_and(|it| is_so(&it)));
        let seen = self.forge.page(pull, check).expect("it was just there");
        println!("   #{pull} {check}: {}", seen.title);
        seen
    }

    /// The next requests go wrong, each in another way.
    fn gusts(&self) {
        if self.weather == Weather::Calm {
            return;
        }
        for _ in 0..GUSTS {
            let fault = STORM[self.gusts.get() % STORM.len()];
            self.forge.fault("", "", fault, 1);
            self.gusts.set(self.gusts.get() + 1);
        }
    }

    /// While the App is away nothing can be said, and nothing of it is lost.
    fn is_locked_out(&self, pull: u64, change: &Change) {
        self.forge.uninstall();
        self.forge.push_to_pull(pull, change);
        self.machine.wait("the log names the App", || {
            let log = std::fs::read_to_string(self.machine.path("up.log"));
            log.is_ok_and(|log| log.contains("is not installed on"))
        });
        assert_eq!(self.forge.page(pull, PLAN), None);
        self.forge.install();
    }

    /// What is said already is said once more when somebody asks for it.
    fn says_it_again(&self, pull: u64, before: &Page) {
        let written = || {
            let requests = self.forge.requests();
            let writes = requests.iter().filter(|line| !line.starts_with("GET"));
            writes.filter(|line| line.contains("/check-runs")).count()
        };
        let so_far = written();
        let head = self.forge.head_of(pull);
        self.forge.rerequest(&head, RESULTS, Forge::OWNER);
        self.forge.release(pull);
        self.machine
            .wait("the check is written again", || written() > so_far);
        let again = self.forge.page(pull, RESULTS);
        assert_eq!(again.as_ref(), Some(before));
    }

    /// Its packages are built before the merge, for whoever wants to try them, and no client sees them.
    fn try_out(&self, pull: u64) {
        let machine = &self.machine;
        self.forge.comment(pull, Forge::OWNER, "/millrace scratch");
        if self.weather == Weather::Storm && self.kind == Kind::GitHub {
            let is_begun = |it: &Page| !it.is_good && it.title.contains("tasks done");
            self.wait(pull, SCRATCH, "begun", is_begun);
            // What fails is done a minute later, and by then nothing is left to cancel.
            self.forge.no_faults();
            let head = self.forge.head_of(pull);
            self.forge.click(&head, SCRATCH, "cancel", Forge::OWNER);
            self.wait_in_calm(pull, SCRATCH, "stopped by its button", |it| {
                it.text.contains("They were stopped")
            });
            self.forge.comment(pull, Forge::OWNER, "/millrace scratch");
        }
        // At a Gitea the comment comes after the status, and in a storm much later.
        let is_done = |it: &Page| it.is_good && it.text.contains(".deb)");
        let seen = self.wait(pull, SCRATCH, "done", is_done);
        assert_eq!(seen.title, "Done: 3 of 3 tasks done");
        let site = format!("({}", machine.url());
        let links = seen.text.split(&site).skip(1);
        let paths = links.filter_map(|it| it.split_once(')').map(|(path, _)| path));
        let mut packages = paths.filter(|path| path.ends_with(".deb"));
        let package = packages.next().expect("a link to a package");
        let file = machine.path("tried.deb");
        let bytes = machine.get_bytes(package).expect("it can be fetched");
        std::fs::write(&file, bytes).expect("a file");
        let field = Command::new("dpkg-deb")
            .arg("-f")
            .arg(&file)
            .arg("Package")
            .output();
        assert_eq!(said(&field.expect("dpkg is there")).trim(), "tiny");
        assert_eq!(machine.apt_candidate("tiny"), None);
        assert!(!said(&machine.millrace(&["status"])).contains("scratch"));
    }

    fn merge(&self, pull: u64, request: &str, phase: &str) -> Page {
        self.forge.merge(pull);
        self.machine.expect(request, phase);
        self.wait(pull, RESULTS, "done", |it| it.is_good)
    }
}

/// Pull requests as a packager opens them. Answers what people see at the end.
fn way(name: &str, kind: Kind, (manner, weather): (Manner, Weather)) -> Vec<Page> {
    println!("== {name}: {kind:?}, webhooks {manner:?}, {weather:?}");
    let site = Site::new(name, kind, (manner, weather));
    let (forge, machine) = (&site.forge, &site.machine);
    let source = machine.source("tiny", &deb("tiny", "true"));
    let good = request(DEBIAN, "tiny", &source);
    let wrong = good.replace("debian-12", "debian-21");

    let change = Change::new("Build tiny").write(BUILD, &wrong);
    let build = forge.open_pull(&NewPull::new("Build tiny", "tiny", "ada", &change));
    let is_wrong = |it: &Page| it.is_bad && it.text.contains("debian-21");
    let seen = site.wait(build, PLAN, "with a mistake", is_wrong);
    assert!(seen.text.contains(BUILD), "{}", seen.text);
    assert!(seen.text.contains("debian-21"), "{}", seen.text);

    let mended = Change::new("Mend").write(BUILD, &good);
    match (kind, weather) {
        (Kind::GitHub, Weather::Storm) => site.is_locked_out(build, &mended),
        _ => _ = forge.push_to_pull(build, &mended),
    }
    let planned = site.wait(build, PLAN, "mended", |it| it.is_good);
    assert!(planned.title.starts_with("1 source"), "{}", planned.title);
    if manner != Manner::Never {
        site.try_out(build);
    }
    let built = site.merge(build, BUILD, "succeeded");
    if kind == Kind::GitHub && manner != Manner::Never {
        site.says_it_again(build, &built);
    }

    let wish = format!("from: [{BUILD}]\nto: [debian-12]\n");
    let change = Change::new("Release tiny").write(RELEASE, &wish);
    let release = forge.open_pull(&NewPull::new("Release tiny", "release", "ada", &change));
    let is_planned = |it: &Page| it.is_good && it.text.contains("tiny");
    let adds = site.wait(release, PLAN, "planned", is_planned);
    assert!(adds.text.contains("tiny"), "{}", adds.text);
    assert_eq!(machine.apt_candidate("tiny"), None);
    let released = site.merge(release, RELEASE, "published");
    assert_eq!(machine.apt_candidate("tiny").as_deref(), Some("1.0"));

    let change = Change::new("Revert \"Release tiny\"").delete(RELEASE);
    let revert = forge.open_pull(&NewPull::new("Revert", "revert", "ada", &change));
    let is_planned = |it: &Page| it.is_good && it.text.contains("removed");
    let removes = site.wait(revert, PLAN, "planned", is_planned);
    assert!(removes.text.contains("removed"), "{}", removes.text);
    let reverted = site.merge(revert, RELEASE, "reverted");
    assert_eq!(machine.apt_candidate("tiny"), None);

    // The last word on the status branch may have to wait for its push.
    machine.wait("the status branch says all", || {
        let verified = machine.millrace(&["verify"]);
        println!("   {}", said(&verified));
        verified.status.success()
    });
    let titles = [planned, built, adds, released, removes, reverted];
    titles.into_iter().collect()
}

/// The same ways side by side: each mostly waits for its builds. Answers what people see at the end.
fn ways(ways: [(&str, Kind, Manner); 2], weather: Weather) -> Vec<String> {
    let ends = std::thread::scope(|scope| {
        let running = ways
            .map(|(name, kind, manner)| scope.spawn(move || way(name, kind, (manner, weather))));
        running.map(|it| it.join().expect("it ends well"))
    });
    let [one, other] = ends.map(|end| end.into_iter().map(|it| it.title).collect::<Vec<_>>());
    assert_eq!(one, other);
    one
}

#[test]
fn on_both_forges_with_webhooks_and_without() {
    let github = ("forge-github", Kind::GitHub, Manner::Once);
    let gitea = ("forge-gitea", Kind::Gitea, Manner::Never);
    assert_eq!(ways([github, gitea], Weather::Calm), END);
}

/// What people see when all is well.
const END: [&str; 6] = [
    "1 source, 1 build, 1 test",
    "Done: 3 of 3 tasks done",
    "debian-12: 1 new",
    "Done: 3 of 3 tasks done",
    "debian-12: 1 removed (2 warnings)",
    "Done: 3 of 3 tasks done",
];

/// Held back, doubled, dropped: the same end as above.
#[test]
#[ignore = "minutes more; `cargo xtask forge` runs it"]
fn whatever_webhooks_do() {
    let github = ("forge-github-late", Kind::GitHub, Manner::Held);
    let gitea = ("forge-gitea-late", Kind::Gitea, Manner::Held);
    assert_eq!(ways([github, gitea], Weather::Calm), END);
    let github = ("forge-github-silent", Kind::GitHub, Manner::Never);
    let gitea = ("forge-gitea-twice", Kind::Gitea, Manner::Twice);
    assert_eq!(ways([github, gitea], Weather::Calm), END);
}

/// Answers that fail, that ask to wait, that are lost; an App that is taken away and comes back: the same end.
#[test]
#[ignore = "minutes more; `cargo xtask forge` runs it"]
fn whatever_the_forge_answers() {
    let github = ("forge-github-storm", Kind::GitHub, Manner::Twice);
    let gitea = ("forge-gitea-storm", Kind::Gitea, Manner::Once);
    assert_eq!(ways([github, gitea], Weather::Storm), END);
}
