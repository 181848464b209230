//! What a forge allows: pushes of status, and checks. However much there is to say, no more is done, and the last of it
//! is said.

use std::num::NonZeroU32;
use std::time::Duration;

use control::{Control, Options, Reported};
use ledger::{Key, Message, QueueName};
use memory::{ManualClock, MemoryForge};
use ports::{
    Check, CheckState, Clock, FORGE_WRITES, Forge, Permission, Platform, Pull, PullState, Reply,
    StateRepo, TaskQueue,
};

use crate::faults::{Faults, FaultyPlatform};
use crate::fixture::{APP, build_on};
use crate::review::pull;
use crate::world::{Act, World};

const A_MINUTE: usize = 6;
const PERSON: &str = "Eve <eve@example.org>";
const RESULTS: &str = "build and release";

fn limited() -> Options {
    Options {
        pushes_a_minute: NonZeroU32::new(A_MINUTE as u32),
        checks: true,
        ..Options::default()
    }
}

/// Another process on the same rows.
fn another(world: &World) -> Control<FaultyPlatform> {
    let platform = FaultyPlatform::new(&world.memory, &Faults::default());
    Control::new(platform, limited())
}

async fn world() -> World {
    let mut world = World::new().await;
    world.control = another(&world);
    world
}

fn one(package: &str) -> String {
    build_on("el-10: [x86_64]", &[package])
}

fn request(number: usize) -> String {
    format!("builds/2026/11/r{number}.yaml")
}

/// One more request, planned, and its report on the way.
async fn wish(world: &mut World, number: usize) {
    world.push(&[(&request(number), Some(&one("app")))]);
    world.offer().await;
}

async fn report(control: &Control<FaultyPlatform>) -> Reported {
    let reported = control.report(Duration::ZERO).await;
    reported.expect("no fault is armed")
}

/// When the machine has committed to the status branch, in seconds; the newest first.
async fn pushed(world: &World) -> Vec<i64> {
    let repo = world.memory.state_repo();
    let mut times = Vec::new();
    let mut next = repo.head("status").await.expect("memory");
    while let Some(commit) = next {
        let info = repo.info(&commit).await.expect("memory");
        if info.author.starts_with("Millrace") {
            times.push(info.time);
        }
        next = info.parents.into_iter().next();
    }
    times
}

/// `times` is in order, newest first.
fn most_in_a_minute(times: &[i64]) -> usize {
    let within = |start: &i64| {
        let span = *start..*start + 60;
        times.iter().filter(|at| span.contains(*at)).count()
    };
    times.iter().map(within).max().unwrap_or(0)
}

fn reports(world: &World) -> usize {
    let messages = world.memory.queue().messages();
    let report = QueueName::report();
    messages
        .iter()
        .filter(|(queue, _)| *queue == report)
        .count()
}

#[tokio::test]
async fn more_than_a_few_pushes_wait_and_nothing_is_lost() {
    let mut world = world().await;
    world.script(|_| Act::Hold);
    // A report each second, by three processes.
    let planes = [another(&world), another(&world), another(&world)];
    for number in 0..100 {
        wish(&mut world, number).await;
        report(&planes[number % 3]).await;
        world.pass(1);
    }
    let times = pushed(&world).await;
    assert_eq!(most_in_a_minute(&times), A_MINUTE, "{times:?}");
    assert!(reports(&world) > 0, "the newest wait");
    world.pass(60);
    assert!(matches!(report(&planes[0]).await, Reported::Commit(..)));
    assert_eq!(reports(&world), 0);
    for number in 0..100 {
        assert!(world.written(&request(number)).await.is_some(), "{number}");
    }
}

/// As functions do, which have no say in when they are started.
#[tokio::test]
async fn answers_that_are_put_off_come_again_once_each_and_are_never_given_up() {
    let mut world = world().await;
    world.script(|_| Act::Hold);
    let queues = [QueueName::report()];
    let queue = world.memory.queue().clone();
    let (mut put_off, mut most) = (0, 0);
    for number in 0..200 {
        if number < 100 {
            wish(&mut world, number % 10).await;
            let text = one(["app", "lib"][number / 10 % 2]);
            world.push(&[(&request(number % 10), Some(&text))]);
            world.offer().await;
        }
        let claim = Duration::from_secs(360);
        let received = queue.receive(&queues, 100, claim, Duration::ZERO).await;
        let deliveries = received.expect("memory");
        most = most.max(deliveries.iter().map(|it| it.deliveries).max().unwrap_or(0));
        if !deliveries.is_empty() {
            let control = another(&world);
            let reported = control.report_received(&deliveries).await;
            put_off += usize::from(matches!(reported, Ok(Reported::Later(_))));
        }
        assert!(reports(&world) <= 100, "{}", reports(&world));
        world.pass(1);
    }
    assert!(put_off > 20, "{put_off}");
    assert_eq!(most, 1, "each was a new message");
    assert_eq!(most_in_a_minute(&pushed(&world).await), A_MINUTE);
    assert_eq!(reports(&world), 0);
    let dead = ledger::partition::DEAD;
    assert!(world.rows().keys().all(|key| key.partition != dead));
    for number in 0..10 {
        let written = world.written(&request(number)).await.expect("an answer");
        let status = world.status(&request(number)).await;
        assert!(written.contains(&status.commit), "{number}");
    }
}

#[tokio::test]
async fn what_has_to_be_mended_counts_too() {
    let mut world = world().await;
    world.script(|_| Act::Hold);
    wish(&mut world, 0).await;
    for _ in 0..120 {
        let spoilt = [(&*request(0), Some("mine\n"))];
        let new = world.next_commit(&spoilt);
        world.memory.state_repo().push("status", PERSON, new);
        report(&world.control).await;
        world.pass(1);
    }
    assert_eq!(most_in_a_minute(&pushed(&world).await), A_MINUTE);
    world.pass(60);
    report(&world.control).await;
    let written = world.written(&request(0)).await.expect("an answer");
    assert!(written.contains("phase: open"), "{written}");
}

#[tokio::test]
async fn what_is_there_already_takes_no_push() {
    let mut world = world().await;
    world.merge(&[(APP, Some(&one("app")))]).await;
    world.pass(60);
    report(&world.control).await;
    world.pass(60);
    let rows = world.rows();
    let counted = rows.get(&Key::pushes()).map(|it| it.row.clone());
    let commits = pushed(&world).await.len();
    let message = Message::Configuration;
    let again = Message::Report {
        request: APP.parse().expect("a path"),
    };
    for _ in 0..20 {
        for message in [&message, &again] {
            let place = ports::Place::at(world.memory.clock().now());
            let (queue, report) = (world.memory.queue(), QueueName::report());
            let sent = queue.send(&report, message, &place).await;
            sent.expect("memory");
        }
        assert_eq!(report(&world.control).await, Reported::Nothing);
    }
    assert_eq!(pushed(&world).await.len(), commits);
    let rows = world.rows();
    assert_eq!(rows.get(&Key::pushes()).map(|it| it.row.clone()), counted);
}

#[tokio::test]
async fn a_clock_that_is_set_back_silences_nobody() {
    let mut world = world().await;
    world.script(|_| Act::Hold);
    world.pass(365 * 24 * 3600);
    for number in 0..20 {
        wish(&mut world, number).await;
        report(&world.control).await;
    }
    world.memory.clock().set(ManualClock::START);
    wish(&mut world, 20).await;
    // What waits is due by the other clock. The sweep of another minute brings the new one.
    for _ in 0..90 {
        report(&world.control).await;
        world.pass(1);
    }
    assert!(world.written(&request(20)).await.is_some());
}

/// A forge that says so when it gets more than it bears, and is there for so many pages.
struct Counting {
    inner: MemoryForge,
    clock: ManualClock,
    written: std::sync::Mutex<Vec<i64>>,
}

impl Counting {
    fn new(world: &World) -> Self {
        Self {
            inner: MemoryForge::default(),
            clock: world.memory.clock().clone(),
            written: std::sync::Mutex::default(),
        }
    }

    fn most_in(&self, milliseconds: i64) -> usize {
        let times = self.written.lock().expect("no panic");
        let until = |start: &i64| times.partition_point(|at| *at < start + milliseconds);
        let counts = times.iter().enumerate();
        counts
            .map(|(nth, start)| until(start) - nth)
            .max()
            .unwrap_or(0)
    }
}

impl Forge for Counting {
    async fn open_pulls(&self, base: &str) -> ports::Result<Vec<Pull>> {
        self.inner.open_pulls(base).await
    }
    async fn pull(&self, number: u64) -> ports::Result<Option<Pull>> {
        self.inner.pull(number).await
    }
    async fn pull_of(&self, commit: &str) -> ports::Result<Option<Pull>> {
        self.inner.pull_of(commit).await
    }
    async fn write_check(&self, check: &Check) -> ports::Result<()> {
        let before = self.inner.checks_written();
        self.inner.write_check(check).await?;
        if self.inner.checks_written() > before {
            self.written
                .lock()
                .expect("no panic")
                .push(self.clock.now());
        }
        Ok(())
    }
    async fn permission(&self, login: &str) -> ports::Result<Permission> {
        self.inner.permission(login).await
    }

    async fn is_program(&self, login: &str) -> ports::Result<bool> {
        self.inner.is_program(login).await
    }

    async fn answer(&self, reply: &Reply) -> ports::Result<()> {
        self.inner.answer(reply).await
    }
}

fn state(forge: &Counting, commit: &str) -> Option<CheckState> {
    let mut checks = forge.inner.checks(commit).into_iter();
    Some(checks.find(|it| it.name == RESULTS)?.state)
}

#[tokio::test]
async fn pages_of_many_commits_thin_out_and_the_last_word_is_said() {
    let mut world = world().await;
    let forge = Counting::new(&world);
    world.script(|_| Act::Hold);
    let text = build_on("el-10: [x86_64]", &["app", "lib", "tool"]);
    let mut commits = Vec::new();
    for number in 0..120 {
        world.push(&[(&request(number), Some(&text))]);
        world.offer().await;
        commits.push(world.tip("main").await);
    }
    let mut ended = 0;
    for round in 0..240 {
        for _ in 0..4 {
            if world.next_grant().await.is_some() {
                world.finish_held().await;
                ended += 1;
            }
        }
        if round % 4 == 0 {
            world.offer().await;
        }
        let told = another(&world).tell(&forge).await.expect("no fault");
        assert_eq!(told.failed, 0);
        world.pass(15);
    }
    assert!(ended > 700, "{ended} times there was more to say");
    assert!(forge.most_in(60_000) <= FORGE_WRITES[0].most);
    let told = forge.most_in(3_600_000);
    assert!(told <= FORGE_WRITES[1].most, "{told}");
    let all = commits.iter().all(|commit| state(&forge, commit).is_some());
    assert!(all, "nobody is left out");
    // The rest is stopped at the same time.
    for number in 0..120 {
        let path = request(number).parse().expect("a path");
        let _some_are_done = world.control.cancel_request(&path, "no").await;
    }
    for _ in 0..60 {
        world.offer().await;
        world.pass(61);
        another(&world).tell(&forge).await.expect("no fault");
    }
    assert!(forge.most_in(60_000) <= FORGE_WRITES[0].most);
    assert!(forge.most_in(3_600_000) <= FORGE_WRITES[1].most);
    let states: Vec<_> = commits.iter().map(|commit| state(&forge, commit)).collect();
    let is_done = |it: &Option<CheckState>| it.is_some_and(CheckState::is_done);
    assert!(states.iter().all(is_done), "{states:?}");
}

#[tokio::test]
async fn a_plan_is_shown_while_progress_waits() {
    let mut world = world().await;
    let forge = Counting::new(&world);
    world.script(|_| Act::Hold);
    for number in 0..60 {
        wish(&mut world, number).await;
    }
    let told = another(&world).tell(&forge).await.expect("no fault");
    assert_eq!((told.written, told.waiting), (40, 20));
    let base = world.tip("main").await;
    let head = proposed(&mut world, &base, &[(APP, Some(&one("lib")))]);
    forge.inner.open_pull(pull(head.clone()));
    let reviewed = another(&world).review(&forge).await.expect("no fault");
    assert_eq!((reviewed.written, reviewed.waiting), (1, 0));
    assert_eq!(forge.inner.checks(&head).len(), 1);
    // A minute later the others are told.
    world.pass(61);
    let told = another(&world).tell(&forge).await.expect("no fault");
    assert_eq!((told.written, told.waiting), (20, 0));
}

/// However many pull requests strangers open, those of the repository are planned, and first.
#[tokio::test]
async fn strangers_leave_room_for_others() {
    let mut world = world().await;
    let forge = Counting::new(&world);
    let base = world.tip("main").await;
    let mut heads = Vec::new();
    for number in 0..60 {
        let head = proposed(&mut world, &base, &[("docs/a.md", Some("text"))]);
        forge.inner.open_pull(Pull {
            is_own: number == 59,
            ..pull(head.clone())
        });
        heads.push(head);
    }
    let reviewed = another(&world).review(&forge).await.expect("no fault");
    assert_eq!((reviewed.written, reviewed.waiting), (30, 30));
    assert_eq!(forge.inner.checks(&heads[59]).len(), 1);
    // An hour of strangers.
    for _ in 0..20 {
        world.pass(61);
        for number in 1..60 {
            let head = proposed(&mut world, &base, &[("docs/a.md", Some("another"))]);
            forge
                .inner
                .change_pull(number, |it| it.head.clone_from(&head));
        }
        another(&world).review(&forge).await.expect("no fault");
    }
    assert!(forge.most_in(3_600_000) <= 250);
    let head = proposed(&mut world, &base, &[("docs/a.md", Some("another"))]);
    forge.inner.change_pull(60, |it| it.head.clone_from(&head));
    let reviewed = another(&world).review(&forge).await.expect("no fault");
    assert_eq!(reviewed.written, 1);
    assert_eq!(forge.inner.checks(&head).len(), 1);
}

/// The newest commit of somebody's branch, with one commit on top of `base`.
fn proposed(world: &mut World, base: &str, files: &[(&str, Option<&str>)]) -> String {
    let repo = world.memory.state_repo().clone();
    repo.reset("topic", base);
    let new = world.next_commit(files);
    repo.push("topic", "Ada <ada@example.org>", new)
}

/// Pages of pull requests that were merged together are told in several rounds, each once.
#[tokio::test]
async fn a_merge_of_very_many_is_told_on_all_their_pages() {
    let mut world = world().await;
    let forge = Counting::new(&world);
    let base = world.tip("main").await;
    let (mut heads, mut pulls) = (Vec::new(), Vec::new());
    let app = one("app");
    for number in 0..100 {
        let own = format!("docs/{number}.md");
        let files = [(APP, Some(&*app)), (&own, Some("text"))];
        let head = proposed(&mut world, &base, &files);
        pulls.push(forge.inner.open_pull(pull(head.clone())));
        heads.push(head);
    }
    let planned = async |world: &World| {
        let reviewed = another(world).review(&forge).await.expect("no fault");
        reviewed.waiting
    };
    assert_eq!(planned(&world).await, 20);
    world.pass(61);
    assert_eq!(planned(&world).await, 0);
    let merged = world.push(&[(APP, Some(&one("app")))]);
    for number in pulls {
        forge
            .inner
            .change_pull(number, |it| it.state = PullState::Merged(merged.clone()));
    }
    world.quiet().await;
    for _ in 0..10 {
        world.pass(61);
        let control = another(&world);
        control.review(&forge).await.expect("no fault");
        control.tell(&forge).await.expect("no fault");
    }
    assert!(forge.most_in(60_000) <= FORGE_WRITES[0].most);
    for head in heads {
        assert_eq!(state(&forge, &head), Some(CheckState::Passed));
    }
    let left = [ledger::partition::PULLS, ledger::partition::WATCHED];
    assert!(
        world
            .rows()
            .keys()
            .all(|key| !left.contains(&&*key.partition))
    );
}
