//! Scratch builds: who may have them, what is built and with what, that they end, and that nothing of them is released.

use std::collections::BTreeSet;

use control::{Answer, Grace, Pruning, Reported};
use ledger::{About, Key, Message, QueueName, Row, ScratchRow, Wish, partition};
use memory::MemoryForge;
use pipeline_spec::{Priority, RequestPath};
use ports::TaskQueue;
use ports::{
    Applied, Check, CheckState, Clock, Ledger, Permission, Place, Platform, Pull, PullState,
};
use runner_api::{Grant, TaskId};

use crate::commands::{ask, at, pressed, sweep_of_the_hour, told, written};
use crate::fixture::{APP, RELEASE, release};
use crate::review::{OTHER, broken, merge, one, open, push, review, seen, tell, text};
use crate::walls::forge_row;
use crate::world::{Act, World, path};

const DAY: u64 = 24 * 3_600;

pub(crate) async fn stage(files: &[(&str, Option<&str>)]) -> (World, MemoryForge, Pull) {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    forge.set_permission("ada", Permission::Write);
    forge.set_permission("eve", Permission::Read);
    let pull = open(&mut world, &forge, files).await;
    (world, forge, pull)
}

fn wish(commit: Option<&str>) -> Wish {
    Wish::Scratch {
        commit: commit.map(str::to_owned),
    }
}

/// What somebody is answered who asks for it now.
pub(crate) async fn asks(
    world: &World,
    forge: &MemoryForge,
    pull: &Pull,
    commit: Option<&str>,
) -> String {
    let id = next_comment(forge);
    let asked = written(world, id, "ada", pull.number, wish(commit));
    assert_eq!(ask(world, forge, &asked).await, Answer::Done(0));
    let said = told(forge, id).expect("it is answered");
    said.replace(&pull.head[..12], "HEAD")
}

/// Forges count comments upwards.
fn next_comment(forge: &MemoryForge) -> u64 {
    100 + forge.answers().len() as u64
}

pub(crate) fn scratch(pull: &Pull, build: &str) -> RequestPath {
    RequestPath::scratch(pull.number, &pull.head, &path(build)).expect("a build")
}

fn check(forge: &MemoryForge, pull: &Pull) -> Check {
    seen(forge, &pull.head, Check::SCRATCH).expect("it is told")
}

/// As people read it, without what differs from run to run.
fn shown(world_base: &str, pull: &Pull, check: &Check) -> String {
    let text = text(check).replace(&pull.head, "HEAD");
    text.replace(&pull.head[..12], "HEAD")
        .replace(&world_base[..12], "BASE")
}

async fn row(world: &World, pull: &Pull) -> Option<ScratchRow> {
    let key = Key::scratch(pull.number, &pull.head);
    let record = world.memory.ledger().get(&key).await.expect("memory");
    record.map(|record| match record.row {
        Row::Scratch(row) => *row,
        other => panic!("{other:?}"),
    })
}

fn with(link: &str, package: &str) -> String {
    format!("{}with: [{link}]\n", one(package))
}

#[tokio::test]
async fn a_pull_request_is_built_and_nothing_of_it_is_released() {
    let released = release(&[APP, OTHER], &["base"]);
    let linked = with(APP, "lib");
    let files = [
        (APP, Some(&*one("app"))),
        (OTHER, Some(&*linked)),
        (RELEASE, Some(&*released)),
    ];
    let (mut world, forge, pull) = stage(&files).await;
    let base = world.tip("main").await;
    let mut said = asks(&world, &forge, &pull, None).await;
    tell(&world, &forge).await;
    said.push_str(&format!(
        "\n\n{}",
        shown(&base, &pull, &check(&forge, &pull))
    ));
    let before = forge.checks_written();
    world.quiet().await;
    world.pass(61);
    tell(&world, &forge).await;
    assert_eq!(forge.checks_written(), before + 1);
    let done = check(&forge, &pull);
    assert_eq!(done.state, CheckState::Passed, "{}", text(&done));
    let app = scratch(&pull, APP);
    let ids = world.tasks(app.as_str()).into_iter();
    let mut shown = shown(&base, &pull, &done);
    for id in ids.map(|row| row.task.id) {
        shown = shown.replace(id.as_str(), "TASK");
    }
    for row in world.tasks(scratch(&pull, OTHER).as_str()) {
        shown = shown.replace(row.task.id.as_str(), "TASK");
    }
    said.push_str(&format!("\n\n{shown}"));
    insta::assert_snapshot!("scratch_passes", said);
    // Nothing else knows of it.
    assert!(world.pointer("base").await.is_none());
    assert_eq!(world.written(app.as_str()).await, None);
    let listed = [
        partition::REQUESTS,
        partition::RECENT,
        partition::FAILED,
        partition::OPEN,
    ];
    for (key, record) in world.rows() {
        let is_index = matches!(record.row, Row::Index { .. });
        assert!(!(is_index && listed.contains(&&*key.partition)), "{key}");
    }
    let status = world.control.status().await.expect("no fault is armed");
    assert!(status.requests.is_empty());
    // What was said is not said again.
    world.pass(61);
    assert_eq!(tell(&world, &forge).await, control::Told::default());
    // What is merged is built anew.
    let tasks = |world: &World, path: &str| {
        let rows = world.tasks(path).into_iter();
        rows.map(|row| (row.task.id.clone(), row))
            .collect::<std::collections::BTreeMap<TaskId, _>>()
    };
    let of_scratch = tasks(&world, app.as_str());
    merge(&mut world, &forge, &pull).await;
    world.quiet().await;
    assert!(world.pointer("base").await.is_some());
    let real = tasks(&world, APP);
    assert_eq!(real.len(), of_scratch.len());
    assert!(real.keys().all(|id| !of_scratch.contains_key(id)));
    for row in [APP, OTHER, RELEASE]
        .iter()
        .flat_map(|path| world.tasks(path))
    {
        let inputs = row.spec.inputs();
        assert!(inputs.iter().all(|it| !it.request.is_scratch()), "{row:?}");
    }
}

#[tokio::test]
async fn links_stay_among_scratch_builds_and_others_are_real() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    forge.set_permission("ada", Permission::Write);
    world.merge(&[(OTHER, Some(&one("lib")))]).await;
    let last = "builds/2026/11/tool.yaml";
    let (first, second) = (with(OTHER, "app"), with(APP, "tool"));
    let files = [(APP, Some(&*first)), (last, Some(&*second))];
    let pull = open(&mut world, &forge, &files).await;
    asks(&world, &forge, &pull, None).await;
    world.quiet().await;
    let inputs = |of: &str, title: &str| {
        let row = world.task(scratch(&pull, of).as_str(), title);
        let inputs = row.spec.inputs().into_iter().map(|it| it.request.clone());
        (inputs.collect::<BTreeSet<_>>(), row.share)
    };
    let (first, share) = inputs(APP, "build app for el-10 x86_64");
    assert_eq!(first, [path(OTHER), scratch(&pull, APP)].into());
    assert_eq!(
        (share.tenant.as_str(), share.priority),
        ("ada", Priority::Background)
    );
    let (second, _) = inputs(last, "build tool for el-10 x86_64");
    assert_eq!(second, [scratch(&pull, APP), scratch(&pull, last)].into());
}

#[tokio::test]
async fn it_is_built_with_the_configuration_of_main() {
    let mine = "format: rpm\narchitectures: [x86_64, aarch64]\nbuildroot: [bash, backdoor]\n";
    let files = [
        (APP, Some(&*one("app"))),
        ("platforms/el-10.yaml", Some(mine)),
    ];
    let (mut world, forge, pull) = stage(&files).await;
    asks(&world, &forge, &pull, None).await;
    world.quiet().await;
    let tasks = world.tasks(scratch(&pull, APP).as_str());
    assert!(tasks.len() > 1);
    for row in tasks {
        let json = serde_json::to_string(&row.spec).expect("a task");
        assert!(!json.contains("backdoor"), "{json}");
    }
    // A platform of its own is none.
    let own = one("app").replace("el-10", "el-11");
    let files = [(APP, Some(&*own)), ("platforms/el-11.yaml", Some(mine))];
    let (world, forge, pull) = stage(&files).await;
    let said = asks(&world, &forge, &pull, None).await;
    assert!(
        said.starts_with("There is nothing that can be built. Not built:"),
        "{said}"
    );
    assert_eq!(row(&world, &pull).await, None);
}

#[tokio::test]
async fn of_a_fork_the_commit_that_was_read_is_named() {
    let (mut world, forge, mut pull) = stage(&[(APP, Some(&one("app")))]).await;
    forge.change_pull(pull.number, |it| it.is_own = false);
    let read = pull.head.clone();
    let mut said = asks(&world, &forge, &pull, None).await;
    push(&mut world, &forge, &mut pull, &[(APP, Some(&one("tool")))]).await;
    said.push_str(&format!(
        "\n{}",
        asks(&world, &forge, &pull, Some(&read)).await
    ));
    assert!(
        world
            .rows()
            .keys()
            .all(|key| key.partition != partition::SCRATCH)
    );
    let fixed = "c".repeat(40);
    world.source("tool", &fixed, 'c');
    // Of the second a branch may have the name.
    let long = one("tool").replace("main", &"c".repeat(64));
    for files in [
        [(APP, one("tool")), (OTHER, one("lib"))],
        [(APP, one("tool").replace("main", &fixed)), (OTHER, long)],
    ] {
        let files = files.each_ref().map(|(path, text)| (*path, Some(&**text)));
        push(&mut world, &forge, &mut pull, &files).await;
        let head = pull.head.clone();
        said.push_str(&format!(
            "\n{}",
            asks(&world, &forge, &pull, Some(&head)).await
        ));
    }
    insta::assert_snapshot!("scratch_of_a_fork", said);
    world.quiet().await;
    let begun = row(&world, &pull).await.expect("it was begun");
    assert_eq!(begun.requests, [scratch(&pull, APP)]);
    assert!(!world.tasks(scratch(&pull, APP).as_str()).is_empty());
}

#[tokio::test]
async fn who_may_not_push_and_what_is_not_open_gets_none() {
    let (mut world, forge, pull) = stage(&[(APP, Some(&one("app")))]).await;
    let eves = written(&world, 1, "eve", pull.number, wish(None));
    let refused = Answer::Refused(Permission::Read);
    assert_eq!(ask(&world, &forge, &eves).await, refused);
    let robots = written(&world, 2, MemoryForge::PROGRAM, pull.number, wish(None));
    assert_eq!(ask(&world, &forge, &robots).await, Answer::Program);
    let begun = |world: &World| {
        world
            .rows()
            .keys()
            .any(|it| it.partition == partition::SCRATCH)
    };
    assert!(!begun(&world));
    merge(&mut world, &forge, &pull).await;
    let said = asks(&world, &forge, &pull, None).await;
    assert!(said.contains("is not open"), "{said}");
    assert!(!begun(&world));
}

#[tokio::test]
async fn what_cannot_be_built_is_named() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    forge.set_permission("ada", Permission::Write);
    let pull = open(&mut world, &forge, &[("README.md", Some("hello\n"))]).await;
    let mut said = asks(&world, &forge, &pull, None).await;
    let many: Vec<String> = (0..51)
        .map(|n| format!("builds/2026/11/a{n}.yaml"))
        .collect();
    let app = one("app");
    let files: Vec<(&str, Option<&str>)> = many.iter().map(|it| (&**it, Some(&*app))).collect();
    let pull = open(&mut world, &forge, &files).await;
    said.push_str(&format!("\n\n{}", asks(&world, &forge, &pull, None).await));
    let (wrong, behind) = (one("lib").replace("el-10", "el-11"), with(OTHER, "tool"));
    let files = [
        (APP, Some(&*app)),
        (OTHER, Some(&*wrong)),
        ("builds/2026/11/behind.yaml", Some(&*behind)),
    ];
    let pull = open(&mut world, &forge, &files).await;
    said.push_str(&format!("\n\n{}", asks(&world, &forge, &pull, None).await));
    said.push_str(&format!("\n\n{}", asks(&world, &forge, &pull, None).await));
    world.quiet().await;
    tell(&world, &forge).await;
    let done = check(&forge, &pull);
    said.push_str(&format!("\n\n{:?}: {}", done.state, done.title));
    let left = done
        .summary
        .split("#### Not built")
        .nth(1)
        .unwrap_or_default();
    let left = left.split("####").next().unwrap_or_default();
    insta::assert_snapshot!("scratch_left_out", format!("{said}\n{left}"));
    let built = row(&world, &pull).await.expect("it was begun").requests;
    assert_eq!(built, [scratch(&pull, APP)]);
}

#[tokio::test]
async fn what_was_never_written_has_not_passed() {
    let (mut world, forge, pull) = stage(&[(APP, Some(&one("app")))]).await;
    asks(&world, &forge, &pull, None).await;
    world.quiet().await;
    let known = row(&world, &pull).await.expect("it was begun");
    let mut said = Vec::new();
    for (begun, stopped) in [
        (false, Some("ada asked for it")),
        (true, None),
        (false, None),
    ] {
        // The last of them is begun now, and its pull request has another file.
        let next = ScratchRow {
            requests: vec![scratch(&pull, OTHER)],
            begun,
            stopped: stopped.map(str::to_owned),
            ..known.clone()
        };
        put_row(&world, &next).await;
        tell(&world, &forge).await;
        let check = check(&forge, &pull);
        let why = check.summary.lines().find(|it| it.contains("stopped"));
        let (state, title, why) = (check.state, check.title.clone(), why.unwrap_or_default());
        said.push(format!("{state:?}: {title}. {why}"));
    }
    let expected = [
        "Neutral: Stopped: 1 of 1 requests were not begun. They were stopped: ada asked for it.",
        "Failed: 1 of 1 requests are missing. ",
        "Neutral: Stopped: 1 of 1 requests were not begun. They were stopped: `builds/2026/11/other.yaml` cannot be built any more.",
    ];
    assert_eq!(said, expected);
}

#[tokio::test]
async fn a_row_names_only_so_many_that_cannot_be_built() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    forge.set_permission("ada", Permission::Write);
    let many: Vec<String> = (0..55)
        .map(|n| format!("builds/2026/11/a{n}.yaml"))
        .collect();
    let (app, wrong) = (one("app"), one("lib").replace("el-10", &"l".repeat(600)));
    let mut files: Vec<(&str, Option<&str>)> =
        many.iter().map(|it| (&**it, Some(&*wrong))).collect();
    files.push((APP, Some(&*app)));
    let pull = open(&mut world, &forge, &files).await;
    let said = asks(&world, &forge, &pull, None).await;
    assert!(said.ends_with("; and 50 more."), "{said}");
    let row = row(&world, &pull).await.expect("it was begun");
    assert_eq!((row.left_out.len(), row.more_left_out), (50, 5));
    let longest = row.left_out.iter().map(|it| it.message.chars().count());
    assert!(longest.max() <= Some(501));
    tell(&world, &forge).await;
    let check = check(&forge, &pull);
    assert!(
        check.title.ends_with(", 55 requests left out"),
        "{}",
        check.title
    );
    assert!(check.summary.contains("* and 45 more"));
}

/// All builds fail.
fn failing(grant: &Grant) -> Act {
    match grant.spec.title().starts_with("build") {
        true => Act::Say(broken("no rule to make target")),
        false => Act::Work,
    }
}

#[tokio::test]
async fn what_failed_is_tried_again_and_stays_apart() {
    let (mut world, forge, pull) = stage(&[(APP, Some(&one("app")))]).await;
    let base = world.tip("main").await;
    world.script(failing);
    asks(&world, &forge, &pull, None).await;
    world.quiet().await;
    tell(&world, &forge).await;
    let failed = check(&forge, &pull);
    assert_eq!(failed.state, CheckState::Failed);
    let names: Vec<&str> = failed.actions.iter().map(|it| it.name).collect();
    assert_eq!(names, ["retry"]);
    let id = world.task(scratch(&pull, APP).as_str(), "build app for el-10 x86_64");
    let id = id.task.id.to_string();
    insta::assert_snapshot!(
        "scratch_fails",
        shown(&base, &pull, &failed).replace(&id, "TASK")
    );
    // The button of the check, and then a comment.
    let on = About::Scratch {
        commit: pull.head.clone(),
    };
    let button = pressed("button 1", "ada", on.clone(), Wish::Retry);
    assert_eq!(ask(&world, &forge, &button).await, Answer::Done(1));
    tell(&world, &forge).await;
    assert_eq!(check(&forge, &pull).state, CheckState::Running);
    world.quiet().await;
    world.pass(61);
    tell(&world, &forge).await;
    // The button of a text is pressed once.
    assert_eq!(check(&forge, &pull).summary, failed.summary);
    assert_ne!(check(&forge, &pull).digest, failed.digest);
    let id = next_comment(&forge);
    let asked = written(&world, id, "ada", pull.number, Wish::Retry);
    assert_eq!(ask(&world, &forge, &asked).await, Answer::Done(1));
    let said = told(&forge, id).expect("it is answered");
    assert_eq!(said, "1 task is tried again, of `builds/2026/11/app.yaml`.");
    world.script(|_| Act::Work);
    world.quiet().await;
    world.pass(61);
    tell(&world, &forge).await;
    assert_eq!(check(&forge, &pull).state, CheckState::Passed);
    assert!(world.tasks(APP).is_empty());
    // It is told again when somebody wants that.
    let writes = forge.checks_written();
    let again = world.control.anew(&pull.head, Some(Check::SCRATCH)).await;
    assert_eq!(again.expect("no fault is armed"), 1);
    tell(&world, &forge).await;
    assert_eq!(forge.checks_written(), writes + 1);
    // A button of the other check is about something else.
    let other = pressed("button 2", "ada", at(&pull.head), Wish::Cancel);
    assert_eq!(ask(&world, &forge, &other).await, Answer::Done(0));
}

#[tokio::test]
async fn a_person_stops_it_and_has_it_go_on() {
    let (mut world, forge, pull) = stage(&[(APP, Some(&one("app")))]).await;
    world.script(|_| Act::Hold);
    for tasks in [0, 1] {
        let said = asks(&world, &forge, &pull, None).await;
        assert!(said.contains("were begun, of"), "{said}");
        // The first time nobody has planned it yet.
        if tasks > 0 {
            world.quiet().await;
        }
        let id = next_comment(&forge);
        let asked = written(&world, id, "ada", pull.number, Wish::Cancel);
        assert_eq!(ask(&world, &forge, &asked).await, Answer::Done(tasks));
        let said = told(&forge, id).expect("it is answered");
        assert!(said.starts_with("Scratch builds are stopped"), "{said}");
        world.quiet().await;
        world.pass(121);
        world.heal().await;
        tell(&world, &forge).await;
        let stopped = check(&forge, &pull);
        assert_eq!(stopped.state, CheckState::Neutral, "{}", text(&stopped));
        assert!(
            stopped
                .summary
                .contains("They were stopped: ada asked for it.")
        );
        assert!(stopped.actions.is_empty());
    }
    let id = next_comment(&forge);
    let asked = written(&world, id, "ada", pull.number, Wish::Cancel);
    assert_eq!(ask(&world, &forge, &asked).await, Answer::Done(0));
    let said = told(&forge, id).expect("it is answered");
    assert!(said.contains("nothing is left to cancel"), "{said}");
    world.script(|_| Act::Work);
    asks(&world, &forge, &pull, None).await;
    world.quiet().await;
    tell(&world, &forge).await;
    let done = check(&forge, &pull);
    assert_eq!(done.state, CheckState::Passed, "{}", text(&done));
}

#[tokio::test]
async fn what_was_stopped_after_it_had_failed_has_no_button() {
    let (mut world, forge, old) = stage(&[(APP, Some(&one("app")))]).await;
    world.script(failing);
    asks(&world, &forge, &old, None).await;
    world.quiet().await;
    tell(&world, &forge).await;
    assert_eq!(row(&world, &old).await.map(|row| row.over), Some(true));
    assert_eq!(check(&forge, &old).actions.len(), 1);
    let mut pull = old.clone();
    push(&mut world, &forge, &mut pull, &[(APP, Some(&one("tool")))]).await;
    asks(&world, &forge, &pull, None).await;
    world.pass(61);
    tell(&world, &forge).await;
    let check = check(&forge, &old);
    assert_eq!(check.state, CheckState::Failed);
    assert!(check.actions.is_empty());
    assert!(check.summary.contains("a newer commit was asked for"));
}

/// Begun, and at work.
async fn at_work() -> (World, MemoryForge, Pull) {
    let (mut world, forge, pull) = stage(&[(APP, Some(&one("app")))]).await;
    world.script(|_| Act::Hold);
    asks(&world, &forge, &pull, None).await;
    world.quiet().await;
    tell(&world, &forge).await;
    assert_eq!(world.held.len(), 1);
    (world, forge, pull)
}

/// What was held is let go, and all timers have run.
async fn ended(world: &mut World, forge: &MemoryForge, pull: &Pull) -> Check {
    world.heal().await;
    world.pass(61);
    tell(world, forge).await;
    assert_eq!(row(world, pull).await.map(|row| row.over), Some(true));
    let open: Vec<_> = world.rows().into_keys().collect();
    assert!(
        open.iter()
            .all(|key| key != &Key::open(&scratch(pull, APP)))
    );
    check(forge, pull)
}

#[tokio::test]
async fn a_newer_commit_a_merge_and_a_closed_page_stop_it() {
    let mut said = String::new();
    let (mut world, forge, old) = at_work().await;
    let base = world.tip("main").await;
    let mut pull = old.clone();
    push(&mut world, &forge, &mut pull, &[(APP, Some(&one("tool")))]).await;
    review(&world, &forge).await;
    assert_eq!(row(&world, &old).await.and_then(|row| row.stopped), None);
    asks(&world, &forge, &pull, None).await;
    said.push_str(&shown(&base, &old, &ended(&mut world, &forge, &old).await));
    let newer = row(&world, &pull).await.expect("it was begun");
    assert_eq!(newer.stopped, None);
    for merges in [true, false] {
        let (mut world, forge, pull) = at_work().await;
        match merges {
            true => merge(&mut world, &forge, &pull).await,
            false => forge.change_pull(pull.number, |it| it.state = PullState::Closed),
        }
        review(&world, &forge).await;
        let check = ended(&mut world, &forge, &pull).await;
        assert_eq!(check.state, CheckState::Neutral);
        assert!(
            check.summary.contains("is not open any more"),
            "{}",
            check.summary
        );
        if !merges {
            // Opened again: who asks anew gets it.
            forge.change_pull(pull.number, |it| it.state = PullState::Open);
            let again = asks(&world, &forge, &pull, None).await;
            assert!(
                again.starts_with("Scratch builds of 1 request were begun"),
                "{again}"
            );
            world.script(|_| Act::Work);
            let check = ended(&mut world, &forge, &pull).await;
            assert_eq!(check.state, CheckState::Passed, "{}", text(&check));
        }
    }
    insta::assert_snapshot!("scratch_stopped", said);
}

#[tokio::test]
async fn a_list_that_lacks_its_pull_request_does_not_stop_it() {
    let (world, forge, pull) = at_work().await;
    forge.leave_off_the_list(pull.number);
    let reviewed = review(&world, &forge).await;
    assert_eq!((reviewed.open, reviewed.failed), (0, 0));
    let stopped = async || row(&world, &pull).await.and_then(|row| row.stopped);
    assert_eq!(stopped().await, None);
    // Nor does a forge that does not answer, and it is said that it did not.
    let error = ports::Error::transient("read a pull request", "a test");
    forge.fail_after(1, error);
    assert_eq!(review(&world, &forge).await.failed, 1);
    assert_eq!(stopped().await, None);
    forge.change_pull(pull.number, |it| it.state = PullState::Closed);
    review(&world, &forge).await;
    assert!(stopped().await.is_some());
}

#[tokio::test]
async fn it_is_removed_after_some_days_and_its_files_with_it() {
    let (mut world, forge, pull) =
        stage(&[(APP, Some(&with(OTHER, "app"))), (OTHER, Some(&one("lib")))]).await;
    let before: BTreeSet<Key> = world.rows().into_keys().collect();
    let files = world.memory.store().digests().len();
    asks(&world, &forge, &pull, None).await;
    world.quiet().await;
    tell(&world, &forge).await;
    let held = world.memory.store().digests().len();
    assert!(held > files);
    let prune = async |world: &World| {
        let pruned = world.control.prune(Grace::default(), Pruning::Remove).await;
        pruned.expect("no fault is armed")
    };
    world.pass(6 * DAY);
    sweep_of_the_hour(&world).await;
    prune(&world).await;
    assert_eq!(world.memory.store().digests().len(), held);
    world.pass(DAY);
    sweep_of_the_hour(&world).await;
    // Until it is seen as stopped nothing goes: who asks now gets all of it.
    let stopped = row(&world, &pull).await.and_then(|row| row.stopped);
    assert_eq!(stopped.as_deref(), Some("they are too old"));
    prune(&world).await;
    assert_eq!(world.memory.store().digests().len(), held);
    tell(&world, &forge).await;
    sweep_of_the_hour(&world).await;
    let left: BTreeSet<Key> = world.rows().into_keys().collect();
    let new: Vec<&Key> = left.difference(&before).collect();
    let remembered = [partition::ASKED, partition::BUDGETS, partition::PULLS];
    assert!(
        new.iter().all(|key| remembered.contains(&&*key.partition)),
        "{new:?}"
    );
    prune(&world).await;
    assert_eq!(world.memory.store().digests().len(), files);
}

#[tokio::test]
async fn what_is_asked_for_again_is_not_removed() {
    let (mut world, forge, pull) = stage(&[(APP, Some(&one("app")))]).await;
    asks(&world, &forge, &pull, None).await;
    world.quiet().await;
    world.pass(7 * DAY);
    sweep_of_the_hour(&world).await;
    tell(&world, &forge).await;
    let again = asks(&world, &forge, &pull, None).await;
    assert!(again.starts_with("Scratch builds of 1 request were begun"));
    let other = RequestPath::scratch(pull.number, &pull.head, &path(OTHER)).expect("a build");
    let lost = Row::Index {
        request: other.clone(),
    };
    let known = row(&world, &pull).await.expect("it is there");
    sweep_of_the_hour(&world).await;
    assert_eq!(row(&world, &pull).await, Some(known.clone()));
    assert!(!world.tasks(scratch(&pull, APP).as_str()).is_empty());
    // What is left of a request whose own row is gone goes as well.
    forge_row(&world, Key::open(&other), lost).await;
    let old = ScratchRow {
        requests: vec![scratch(&pull, APP), other],
        ..known
    };
    put_row(&world, &old).await;
    world.pass(14 * DAY);
    sweep_of_the_hour(&world).await;
    sweep_of_the_hour(&world).await;
    assert_eq!(row(&world, &pull).await, None);
    let left = world.rows();
    assert!(left.keys().all(|key| key.partition != partition::OPEN));
}

#[tokio::test]
async fn what_is_never_done_is_stopped_before_it_is_removed() {
    let (mut world, forge, pull) = stage(&[(APP, Some(&one("app")))]).await;
    world.script(|_| Act::Hold);
    asks(&world, &forge, &pull, None).await;
    world.quiet().await;
    world.pass(7 * DAY);
    // The lease is over long ago, and another runner has it now.
    sweep_of_the_hour(&world).await;
    assert!(
        row(&world, &pull)
            .await
            .is_some_and(|row| row.stopped.is_some())
    );
    world.heal().await;
    sweep_of_the_hour(&world).await;
    assert!(row(&world, &pull).await.is_some());
    // Nobody can be told its end.
    world.pass(7 * DAY);
    sweep_of_the_hour(&world).await;
    assert_eq!(row(&world, &pull).await, None);
    world.quiet().await;
    assert!(world.tasks(scratch(&pull, APP).as_str()).is_empty());
    assert!(
        world
            .rows()
            .keys()
            .all(|key| key.partition != partition::LEASES)
    );
}

#[tokio::test]
async fn force_pushes_and_lost_ledgers_do_not_mistake_it() {
    let (mut world, forge, pull) = at_work().await;
    let before = world.tip("main").await;
    world.push(&[("README.md", Some("hello\n"))]);
    let planned = async |world: &World| {
        let planned = world.control.plan_head().await;
        planned.expect("no fault is armed");
    };
    planned(&world).await;
    world.memory.state_repo().reset("main", &before);
    world.push(&[(OTHER, Some(&one("lib")))]);
    planned(&world).await;
    let kept = world.control.request_status(&scratch(&pull, APP)).await;
    assert_eq!(kept.expect("no fault").expect("it is there").phase, "open");
    world.script(|_| Act::Work);
    world.heal().await;
    world.lose_ledger().await;
    world = world.telling();
    world.heal().await;
    assert!(
        world
            .rows()
            .keys()
            .all(|key| !key.partition.contains("scratch"))
    );
    assert_eq!(world.phase(OTHER).await, "succeeded");
    tell(&world, &forge).await;
}

#[tokio::test]
async fn a_report_of_it_writes_nothing() {
    let (mut world, _, pull) = at_work().await;
    let request = scratch(&pull, APP);
    let place = Place::at(world.memory.clock().now());
    let message = Message::Report { request };
    let queue = world.memory.queue();
    queue
        .send(&QueueName::report(), &message, &place)
        .await
        .expect("memory");
    let reported = world.control.report(std::time::Duration::ZERO).await;
    assert_eq!(reported.expect("no fault is armed"), Reported::Nothing);
    assert_eq!(queue.depth(&QueueName::report()).await.expect("memory"), 0);
    world.quiet().await;
}

async fn put_row(world: &World, row: &ScratchRow) {
    let mut change = ledger::Change::default();
    let key = Key::scratch(row.number, &row.commit);
    change.put(key, Row::Scratch(Box::new(row.clone())));
    let now = world.memory.clock().now();
    let applied = world.memory.ledger().apply(change, now).await;
    assert_eq!(applied.expect("memory"), Applied::Done);
}
