//! A ledger that is lost at any call, and what is made of the status branch and the store.

use std::time::Duration;

use control::Reported;
use ledger::{Key, Row};
use pipeline_spec::Priority;
use ports::{ArtifactStore as _, Platform as _};

use crate::crashes::{BUILD, RELEASED, REVERTED, Scene, TWO, prepared, push};
use crate::faults::When;
use crate::fixture::{APP, RELEASE, build, release};
use crate::world::{Act, World, path};

/// What is not lost with ledger and queues, and the ledger.
const WRITES: [&str; 4] = [
    "ledger.apply",
    "store.put",
    "store.set_pointer",
    "repo.commit",
];

/// Rows that are there when all is at rest. Of tasks and refs their keys alone: numbers of attempts and
/// times tell of the loss.
pub(crate) fn lasting(world: &World) -> Vec<String> {
    let rows = world.rows().into_iter();
    let text = |(key, record): (ledger::Key, ledger::Record)| match record.row {
        // Its counter also counts reverts, which get no place of their own.
        Row::Head(head) => format!("{key} {}", head.commit),
        Row::Task(_) | Row::Ref(_) | Row::StatusBranch(_) => key.to_string(),
        row => format!("{key} {}", serde_json::to_string(&row).expect("a row")),
    };
    rows.map(text).collect()
}

/// The phase that a status file tells.
fn phase_of(text: &str) -> String {
    let mut phases = text.lines().filter_map(|line| line.strip_prefix("phase: "));
    phases.next().expect("every status has one").to_owned()
}

/// Plays `scene` after `before`, loses the ledger at every write, before and after it, and recovers; all
/// must end as the run does that lost nothing.
async fn check(before: &[Scene], scene: Scene) {
    let mut world = prepared(before).await;
    let from = world.faults.calls().len();
    push(&mut world, scene);
    world.quiet().await;
    let calls = world.faults.calls().split_off(from);
    world.heal().await;
    let expect = (world.story().await, lasting(&world));
    let writes = calls.iter().enumerate();
    for (n, call) in writes.filter(|(_, call)| WRITES.contains(call)) {
        for when in [When::Before, When::After] {
            let mut world = prepared(before).await;
            push(&mut world, scene);
            world.faults.arm(n, when);
            let _crashed = world.pump().await;
            world.faults.disarm();
            world.lose_ledger().await;
            world.heal().await;
            assert_eq!(
                (world.story().await, lasting(&world)),
                expect,
                "lost {when:?} call {n} of {}, {call}",
                calls.len()
            );
            for request in [APP, RELEASE] {
                let told = world.written(request).await.as_deref().map(phase_of);
                let known = match world.rows().contains_key(&Key::request(&path(request))) {
                    true => Some(world.phase(request).await),
                    false => None,
                };
                assert_eq!(told, known, "{request}, lost {when:?} call {n}, {call}");
            }
        }
    }
}

#[tokio::test]
async fn a_build() {
    check(&[], TWO).await;
}

#[tokio::test]
async fn a_release_over_two_repositories() {
    check(&[BUILD], RELEASED).await;
}

#[tokio::test]
async fn a_revert() {
    check(&[BUILD, RELEASED], REVERTED).await;
}

#[tokio::test]
async fn what_is_done_is_not_done_again() {
    let mut world = prepared(&[BUILD, RELEASED]).await;
    let before = world.status(APP).await;
    let recovered = world.lose_ledger().await;
    assert_eq!((recovered.requests, recovered.again), (2, 0));
    world.script(|grant| panic!("{} runs again", grant.task));
    world.heal().await;
    assert_eq!(world.status(APP).await, before);
    assert_eq!(world.phase(RELEASE).await, "published");
}

#[tokio::test]
async fn what_a_runner_has_is_given_out_again_with_a_number_of_its_own() {
    let mut world = World::new().await;
    world.script(|_| Act::Hold);
    world.merge(&[(APP, Some(&build(&["app"])))]).await;
    let recovered = world.lose_ledger().await;
    assert_eq!((recovered.tasks, recovered.again), (1, 1));
    let late = world.finish_held().await;
    assert!(
        matches!(late, runner_api::ResultReply::Stale { .. }),
        "{late:?}"
    );
    world.script(|_| Act::Work);
    world.heal().await;
    assert_eq!(world.phase(APP).await, "succeeded");
    let task = world.task(APP, "source app for el-10");
    assert_eq!(task.state.attempt(), 102);
}

/// A runner still has what an edit made needless, all else has ended, and the ledger is lost.
#[tokio::test]
async fn what_was_to_stop_for_an_edit_is_no_part_of_the_answer_afterwards() {
    let mut world = World::new().await;
    world.script(|grant| match grant.spec.title().as_str() {
        "source lib for el-10" => Act::Hold,
        _ => Act::Work,
    });
    let both = build(&["app", "lib"]);
    world.merge(&[(APP, Some(&both))]).await;
    world.merge(&[(APP, Some(&build(&["app"])))]).await;
    assert_eq!(world.phase(APP).await, "succeeded");
    let recovered = world.lose_ledger().await;
    assert_eq!(recovered.again, 0, "nobody wants it");
    world.script(|grant| panic!("{} runs again", grant.task));
    world.heal().await;
    assert_eq!(world.phase(APP).await, "succeeded");
    let task = world.task(APP, "source lib for el-10");
    assert!(task.is_past(), "{:?}", task.state);
    let late = world.finish_held().await;
    assert!(
        matches!(late, runner_api::ResultReply::Stale { .. }),
        "{late:?}"
    );
    // Wanted once more, it is made once more.
    world.script(|_| Act::Work);
    world.merge(&[(APP, Some(&both))]).await;
    assert_eq!(world.phase(APP).await, "succeeded");
    assert!(world.task(APP, "source lib for el-10").is_done());
}

#[tokio::test]
async fn a_ledger_that_is_there_is_not_written_over() {
    let world = World::new().await;
    let refused = world.control.recover(|_, _| {}).await;
    let why = refused.expect_err("it is there").to_string();
    assert_eq!(
        why,
        "recover the ledger: it is there, and only an empty one is rebuilt"
    );
}

#[tokio::test]
async fn a_publication_that_is_gone_is_refused_and_never_guessed() {
    let mut world = prepared(&[BUILD, RELEASED]).await;
    let pointer = world.pointer("base").await.expect("it is published");
    world.memory.store().remove(&pointer.publication);
    world.lose();
    let refused = world.control.recover(|_, _| {}).await;
    let why = refused.expect_err("nobody knows what is in it").to_string();
    let publication = pointer.publication;
    assert_eq!(
        why,
        format!(
            "read how base came to be: publication {publication} is not in the artifact store; bring it back from a copy of the store"
        )
    );
    let is_planned = world.control.is_planned().await;
    assert!(
        !is_planned.expect("no fault is armed"),
        "it is left as lost"
    );
}

/// Status branch, ledger and queues are gone: two published repositories are known all the same.
async fn lose_all_but_the_store(world: &mut World) {
    world.memory.state_repo().delete("status");
    world.lose();
    let recovered = world.control.recover(|_, _| {}).await;
    let recovered = recovered.expect("no fault is armed");
    assert_eq!(recovered.problems[0].subject, "branch status");
    assert_eq!(recovered.repositories, 2);
}

/// Somebody deletes the status branch while the configuration is broken, and the ledger is lost: which
/// repositories there are, the artifact store says.
#[tokio::test]
async fn repositories_are_known_while_the_configuration_is_broken() {
    let mut world = prepared(&[BUILD, RELEASED]).await;
    world.merge(&[("policy.yaml", Some("tests: ["))]).await;
    lose_all_but_the_store(&mut world).await;
    world.merge(&[("policy.yaml", None)]).await;
    world.heal().await;
    assert_eq!(world.phase(RELEASE).await, "published");
}

/// The commit that people wrote is no answer, and the one before them is read; the branch has to tell it again.
#[tokio::test]
async fn what_people_wrote_to_the_status_branch_before_the_loss_is_mended_after_it() {
    let mut world = prepared(&[BUILD, RELEASED]).await;
    let expect = (world.written(APP).await, world.written(RELEASE).await);
    let junk = world.next_commit(&[(APP, Some("by hand")), ("millrace.yaml", Some("by hand"))]);
    let repo = world.memory.state_repo();
    repo.push("status", "Ada <ada@example.org>", junk);
    world.lose_ledger().await;
    world.heal().await;
    assert_eq!(
        (world.written(APP).await, world.written(RELEASE).await),
        expect
    );
    assert_eq!(
        world.written("millrace.yaml").await,
        None,
        "a file that nobody wants"
    );
}

/// The row of a published release keeps the commit that it was published from, and takes its place from later ones.
#[tokio::test]
async fn a_priority_that_was_taken_back_is_taken_back_after_the_loss() {
    let calm = release(&[APP], &["base", "extra"]);
    let urgent = format!("{calm}priority: urgent\n");
    let mut world = prepared(&[BUILD, RELEASED]).await;
    world.merge(&[(RELEASE, Some(&urgent))]).await;
    assert_eq!(world.status(RELEASE).await.priority, Priority::Urgent);
    world.push(&[(RELEASE, Some(&calm))]);
    let generation = world.pointer("base").await.expect("published").generation;
    world.lose_ledger().await;
    world.heal().await;
    let status = world.status(RELEASE).await;
    assert_eq!(
        (&*status.phase, status.priority),
        ("published", Priority::Normal)
    );
    let stays = world.pointer("base").await.expect("published").generation;
    assert_eq!(stays, generation, "nothing is published again");
}

/// Planning may take its time, or wait until somebody mends the configuration.
#[tokio::test]
async fn an_answer_that_cannot_be_read_stays_until_its_request_is_planned_anew() {
    let mut world = prepared(&[BUILD]).await;
    let junk = world.next_commit(&[(APP, Some("by hand"))]);
    let repo = world.memory.state_repo();
    repo.force_push("status", "Ada <ada@example.org>", junk);
    world.lose();
    let recovered = world.control.recover(|_, _| {}).await;
    let problems = recovered.expect("no fault is armed").problems;
    assert_eq!(problems.len(), 1, "{problems:?}");
    let reported = world.control.report(Duration::ZERO).await;
    assert_eq!(reported.expect("no fault is armed"), Reported::Nothing);
    assert_eq!(world.written(APP).await.as_deref(), Some("by hand"));
    world.heal().await;
    assert_eq!(
        world.written(APP).await.as_deref().map(phase_of),
        Some("succeeded".to_owned())
    );
}

/// As after a repository was dropped from the distribution, and wanted again.
#[tokio::test]
async fn a_repository_that_the_configuration_forgot_is_known_when_it_comes_back() {
    let mut world = prepared(&[BUILD, RELEASED]).await;
    let file = "repositories/extra.yaml";
    let (_, text) = memory::CONFIG
        .iter()
        .find(|(path, _)| *path == file)
        .expect("it is there");
    world
        .merge(&[(file, None), (RELEASE, Some(&release(&[APP], &["base"])))])
        .await;
    lose_all_but_the_store(&mut world).await;
    world
        .merge(&[
            (file, Some(text)),
            (RELEASE, Some(&release(&[APP], &["base", "extra"]))),
        ])
        .await;
    world.heal().await;
    assert_eq!(world.phase(RELEASE).await, "published");
}

#[tokio::test]
async fn a_repository_whose_pointer_is_gone_is_refused_and_never_made_anew() {
    let mut world = prepared(&[BUILD, RELEASED]).await;
    for name in ["base", "extra"] {
        world.memory.store().remove_pointer(name);
    }
    world.lose();
    let refused = world.control.recover(|_, _| {}).await;
    let why = refused.expect_err("nobody knows what is in it").to_string();
    assert_eq!(
        why,
        format!(
            "find what {} has published: no repository's pointer in the artifact store leads to it; bring the pointers back from a copy of the store",
            crate::fixture::RELEASE
        )
    );
}

/// As a disk that is not mounted.
#[tokio::test]
async fn an_empty_store_beside_answers_is_refused() {
    let world = prepared(&[BUILD]).await;
    for digest in world.memory.store().digests() {
        let far = ledger::Millis::MAX;
        let removed = world.memory.store().remove_if_older(&digest, far).await;
        assert!(removed.expect("memory"));
    }
    world.memory.ledger().lose();
    let refused = world.control.recover(|_, _| {}).await;
    let why = refused.expect_err("nothing can be read").to_string();
    assert!(
        why.contains("the artifact store is empty; is its disk mounted?"),
        "{why}"
    );
}

/// By hand, or by a disk.
#[tokio::test]
async fn a_pointer_that_its_publication_does_not_know_is_refused() {
    let mut world = prepared(&[BUILD, RELEASED]).await;
    let store = world.memory.store();
    let good = store
        .pointer("base")
        .await
        .expect("memory")
        .expect("published");
    let text = String::from_utf8(good.to_vec()).expect("JSON");
    let bad = text.replace("\"generation\":1", "\"generation\":99");
    assert_ne!(bad, text);
    let set = store.set_pointer("base", Some(&good), bad.into()).await;
    assert!(set.expect("memory"));
    world.lose();
    let refused = world.control.recover(|_, _| {}).await;
    let why = refused
        .expect_err("it is not what was published")
        .to_string();
    assert!(
        why.starts_with("read the pointer of base: it says otherwise than publication"),
        "{why}"
    );
}
