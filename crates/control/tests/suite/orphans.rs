//! Artifacts that nobody needs go, all others stay: whatever is cut off, and whatever else goes on.

use std::collections::BTreeSet;

use bytes::Bytes;
use control::{Grace, Pruned, Pruning};
use ledger::{Row, TaskState};
use pipeline_spec::Sha256Digest;
use ports::{ArtifactStore as _, Platform as _};
use runner_api::{ArtifactKind, Failure, FailureKind, Outcome, ResultReply, TaskSpec, Tree};

use crate::crashes::{BUILD, RELEASED, REVERTED, Scene, TWO, prepared, push};
use crate::faults::When;
use crate::fixture::{APP, RELEASE, build, release};
use crate::recover::lasting;
use crate::runners::manifest;
use crate::world::{Act, World};

/// Longer than the grace.
const FOUR_DAYS: u64 = 4 * 24 * 3600;

async fn prune(world: &World) -> Pruned {
    let pruned = world.control.prune(Grace::default(), Pruning::Remove).await;
    pruned.expect("no fault is armed")
}

async fn put(world: &World, text: &str) -> Sha256Digest {
    let store = world.memory.store();
    let put = store.put(Bytes::copy_from_slice(text.as_bytes())).await;
    put.expect("memory")
}

fn held(world: &World) -> BTreeSet<Sha256Digest> {
    world.memory.store().digests().into_iter().collect()
}

/// Every file of every accepted result is there.
fn assert_rows_have_their_files(world: &World, when: &str) {
    for (key, record) in world.rows() {
        let Row::Task(task) = record.row else {
            continue;
        };
        let (TaskState::Succeeded { result }
        | TaskState::Failed {
            result: Some(result),
            ..
        }) = task.state
        else {
            continue;
        };
        let artifacts = match result.outcome {
            Outcome::Succeeded { artifacts, .. } | Outcome::Failed { artifacts, .. } => artifacts,
            _ => Vec::new(),
        };
        for artifact in artifacts.iter().chain(&result.log) {
            let bytes = world.memory.store().bytes(&artifact.sha256);
            assert!(
                bytes.is_some(),
                "{when}: {} of {key} is gone",
                artifact.name
            );
            if artifact.kind != ArtifactKind::Tree {
                continue;
            }
            let tree: Tree = serde_json::from_slice(&bytes.unwrap_or_default()).expect("a tree");
            for (path, file) in tree.files {
                let bytes = world.memory.store().bytes(&file.sha256);
                assert!(bytes.is_some(), "{when}: {path} of {key} is gone");
            }
        }
    }
}

/// What is left is what clients, people and `millrace recover` need.
async fn assert_nothing_is_missing(world: &mut World, when: &str) {
    assert_rows_have_their_files(world, when);
    let before = (world.story().await, lasting(world));
    world.lose_ledger().await;
    world.script(|grant| panic!("{} runs again", grant.task));
    world.heal().await;
    assert_eq!((world.story().await, lasting(world)), before, "{when}");
    for name in ["base", "extra"] {
        let Some(pointer) = world.pointer(name).await else {
            continue;
        };
        let tree = world.control.tree(&pointer).await.expect("it is there");
        for (path, file) in tree.files.iter().chain(&pointer.signatures) {
            let bytes = world.memory.store().bytes(&file.sha256);
            assert!(bytes.is_some(), "{when}: {path} of {name} is gone");
        }
    }
}

#[tokio::test]
async fn what_a_lost_attempt_uploaded_goes_and_all_else_stays() {
    for before in [&[TWO][..], &[BUILD, RELEASED], &[BUILD, RELEASED, REVERTED]] {
        let mut world = prepared(before).await;
        let text = "of an attempt that lost its lease";
        let orphan = put(&world, text).await;
        world.pass(FOUR_DAYS);
        let dry = world.control.prune(Grace::default(), Pruning::DryRun).await;
        let dry = dry.expect("no fault is armed");
        assert!(held(&world).contains(&orphan), "a dry run removes nothing");
        let pruned = prune(&world).await;
        assert_eq!(pruned, dry, "a dry run says what would be removed");
        let first = pruned.first.iter().find(|it| it.sha256 == orphan);
        assert_eq!(first.expect("it is named").size, text.len() as u64);
        assert!(!held(&world).contains(&orphan), "it is gone");
        let sum = pruned.named.files + pruned.young.files + pruned.removed.files;
        assert_eq!(pruned.held.files, sum);
        assert_eq!(pruned.young.files, 0);
        assert_eq!(prune(&world).await.removed.files, 0, "once is enough");
        assert_nothing_is_missing(&mut world, "after pruning").await;
    }
}

#[tokio::test]
async fn what_was_put_within_the_grace_stays() {
    let world = prepared(&[BUILD]).await;
    let [old, renewed, again, young] = [
        put(&world, "old").await,
        put(&world, "renewed").await,
        put(&world, "again").await,
        put(&world, "young").await,
    ];
    world.memory.store().remove(&young);
    world.pass(FOUR_DAYS);
    put(&world, "again").await;
    put(&world, "young").await;
    let size = world.memory.store().renew(&renewed, i64::MAX).await;
    assert_eq!(size.expect("memory"), Some(7));
    assert_eq!(prune(&world).await.young.files, 3);
    let left = held(&world);
    assert!(!left.contains(&old));
    for (digest, what) in [(renewed, "renewed"), (again, "again"), (young, "young")] {
        assert!(left.contains(&digest), "what was {what} is there");
    }
    world.pass(FOUR_DAYS);
    assert_eq!(prune(&world).await.removed.files, 3, "their grace is over");
}

#[test]
fn a_grace_is_an_hour_at_least() {
    let too_short = Grace::new(std::time::Duration::from_secs(3599));
    assert_eq!(
        too_short.expect_err("it is short").to_string(),
        "a grace of 3599 s is too short: files that runners are uploading have no name yet; give an hour (1h) at least"
    );
    assert!(Grace::new(Grace::MIN).is_ok());
}

/// A failed build keeps its log, and a task that the request does not want any more all it made.
#[tokio::test]
async fn a_failure_s_log_and_what_was_put_aside_stay() {
    let mut world = World::new().await;
    world.script(|_| Act::Hold);
    world.merge(&[(APP, Some(&build(&["app"])))]).await;
    let (runner, grant) = world.held.remove(0);
    let log = put(&world, "error: what the compiler said").await;
    let failure = Failure {
        kind: FailureKind::Build,
        message: "it does not compile".to_owned(),
        excerpt: Vec::new(),
    };
    let artifacts = Vec::new();
    let mut result = manifest(&grant, &runner, Outcome::Failed { failure, artifacts });
    result.log = Some(runner_api::Artifact {
        name: "build.log".to_owned(),
        sha256: log,
        size: 29,
        kind: runner_api::ArtifactKind::Log,
        package: None,
    });
    let answer = world.control.finish(&runner, &result).await;
    let answer = answer.expect("no fault is armed");
    assert_eq!(answer, Ok(ResultReply::Accepted));
    world.script(|_| Act::Work);
    world.quiet().await;
    world.pass(FOUR_DAYS);
    prune(&world).await;
    assert!(held(&world).contains(&log), "people read it");
    // Built, then not wanted.
    world.merge(&[(APP, Some(&build(&["lib"])))]).await;
    world.merge(&[(APP, Some(&build(&["tool"])))]).await;
    world.heal().await;
    assert!(
        world.tasks(APP).iter().any(|task| task.is_past()),
        "something is put aside"
    );
    world.pass(FOUR_DAYS);
    prune(&world).await;
    assert_nothing_is_missing(&mut world, "with tasks that are put aside").await;
}

#[tokio::test]
async fn a_crash_at_any_call_is_made_good_by_the_next_run() {
    let make = async || {
        let world = prepared(&[BUILD, RELEASED]).await;
        for text in ["one orphan", "another", "a third"] {
            put(&world, text).await;
        }
        world.pass(FOUR_DAYS);
        world
    };
    let world = make().await;
    let (from, before) = (world.faults.calls().len(), held(&world));
    prune(&world).await;
    let (calls, expect) = (world.faults.calls().split_off(from), held(&world));
    let first = calls
        .iter()
        .position(|call| *call == "store.remove_if_older");
    let first = first.expect("something is removed");
    let removals = &calls[first..];
    assert!(
        removals.iter().all(|call| call.starts_with("store.")),
        "all reading is done before the first removal"
    );
    for (n, call) in calls.iter().enumerate() {
        for when in [When::Before, When::After] {
            let mut world = make().await;
            world.faults.arm(n, when);
            let pruned = world.control.prune(Grace::default(), Pruning::Remove).await;
            world.faults.disarm();
            assert!(pruned.is_err(), "cut {when:?} call {n}, {call}");
            if n < first {
                assert_eq!(held(&world), before, "cut {when:?} call {n}, {call}");
            }
            world.restart();
            prune(&world).await;
            assert_eq!(held(&world), expect, "cut {when:?} call {n}, {call}");
        }
    }
}

/// The world that `scene` will make, with all that it will put lying there as old orphans.
async fn with_old_copies(before: &[Scene], copies: &[Bytes]) -> World {
    let mut world = prepared(before).await;
    for bytes in copies {
        world
            .memory
            .store()
            .put(bytes.clone())
            .await
            .expect("memory");
    }
    world.pass(FOUR_DAYS);
    world.restart();
    world
}

/// Pruning runs before each call of `scene`, and everything that the scene puts is there already and old.
async fn check(before: &[Scene], scene: Scene) {
    let mut world = prepared(before).await;
    push(&mut world, scene);
    world.heal().await;
    let store = world.memory.store();
    let copies: Vec<Bytes> = held(&world)
        .iter()
        .filter_map(|it| store.bytes(it))
        .collect();
    let mut world = with_old_copies(before, &copies).await;
    let from = world.faults.calls().len();
    push(&mut world, scene);
    world.quiet().await;
    let count = world.faults.calls().len() - from;
    world.heal().await;
    let expect = world.story().await;
    for n in 0..count {
        let mut world = with_old_copies(before, &copies).await;
        let other = world.another();
        let rival = async move {
            let pruned = other.prune(Grace::default(), Pruning::Remove).await;
            pruned.expect("nothing fails");
        };
        push(&mut world, scene);
        world.faults.interleave(n, Box::pin(rival));
        world.heal().await;
        assert_eq!(world.story().await, expect, "pruned before call {n}");
        assert_nothing_is_missing(&mut world, &format!("pruned before call {n}")).await;
    }
}

#[tokio::test]
async fn pruning_in_the_middle_of_a_build_takes_nothing_of_it() {
    check(&[], TWO).await;
}

#[tokio::test]
async fn pruning_in_the_middle_of_a_release_takes_nothing_of_it() {
    check(&[BUILD], RELEASED).await;
}

#[tokio::test]
async fn pruning_in_the_middle_of_a_revert_takes_nothing_of_it() {
    check(&[BUILD, RELEASED], REVERTED).await;
}

/// It is reported once, so that no later report puts its record again.
#[tokio::test]
async fn pruning_in_the_middle_of_a_report_takes_nothing_of_it() {
    check(&[], &[(APP, Some(|| "no request".to_owned()))]).await;
}

/// Files of a result were uploaded longer ago than the grace: it is accepted with all of them, or not at
/// all, at whatever call the store is pruned.
async fn check_late(holds: fn(&TaskSpec) -> bool, before: &[Scene], files: &[(&str, &str)]) {
    let mut seen = BTreeSet::new();
    for n in 0..24 {
        let mut world = prepared(before).await;
        world.script(move |grant| {
            if holds(&grant.spec) {
                Act::Hold
            } else {
                Act::Work
            }
        });
        let wishes: Vec<_> = files
            .iter()
            .map(|(path, text)| (*path, Some(*text)))
            .collect();
        world.merge(&wishes).await;
        let (runner, grant) = world.held.remove(0);
        let outcome = world.workshop().work(&grant).await;
        let result = manifest(&grant, &runner, outcome);
        world.pass(FOUR_DAYS);
        let other = world.another();
        let rival = async move {
            let pruned = other.prune(Grace::default(), Pruning::Remove).await;
            pruned.expect("nothing fails");
        };
        world.faults.interleave(n, Box::pin(rival));
        let answer = world.control.finish(&runner, &result).await;
        seen.insert(answer.expect("nothing fails").is_ok());
        assert_rows_have_their_files(&world, &format!("pruned before call {n}"));
    }
    assert_eq!(seen, BTreeSet::from([true, false]), "both are tried");
}

#[tokio::test]
async fn a_late_result_is_accepted_whole_or_refused() {
    let wish = build(&["app"]);
    check_late(|_| true, &[], &[(APP, &wish)]).await;
}

/// Most of what a compose makes is named by its tree alone.
#[tokio::test]
async fn a_late_compose_is_accepted_whole_or_refused() {
    let wish = release(&[APP], &["base"]);
    let holds = |spec: &TaskSpec| matches!(spec, TaskSpec::Compose(_));
    check_late(holds, &[BUILD], &[(RELEASE, &wish)]).await;
}

async fn refused(world: &World, why: &str) {
    let before = held(world);
    let pruned = world.control.prune(Grace::default(), Pruning::Remove).await;
    let error = pruned.expect_err("not all can be read").to_string();
    assert_eq!(
        error,
        format!("prune the artifact store: {why}; nothing was removed")
    );
    assert_eq!(held(world), before);
}

#[tokio::test]
async fn what_cannot_be_read_stops_it_and_nothing_is_removed() {
    let make = async || {
        let world = prepared(&[BUILD, RELEASED]).await;
        put(&world, "an orphan").await;
        world.pass(FOUR_DAYS);
        world
    };
    let world = make().await;
    let pointer = world.pointer("base").await.expect("it is published");
    world.memory.store().remove(&pointer.tree);
    let bring = "is not in the artifact store; bring it back from a copy of the store";
    refused(
        &world,
        &format!(
            "the tree that clients of base see ({}) {bring}",
            pointer.tree
        ),
    )
    .await;

    let world = make().await;
    world.memory.store().remove(&pointer.publication);
    refused(
        &world,
        &format!("a publication of base ({}) {bring}", pointer.publication),
    )
    .await;

    let mut world = make().await;
    world.lose();
    refused(
        &world,
        "the ledger is empty, so nobody knows what is wanted",
    )
    .await;

    let mut world = make().await;
    let new = world.next_commit(&[(RELEASE, Some("no status"))]);
    world
        .memory
        .state_repo()
        .push("status", "Eve <eve@example.org>", new);
    refused(
        &world,
        &format!(
            "{RELEASE} on the status branch is no status file; the next report writes it again"
        ),
    )
    .await;
    world.quiet().await;
    assert!(
        prune(&world).await.removed.files > 0,
        "it was written again"
    );
}

/// The configuration forgot a repository; clients have not.
#[tokio::test]
async fn a_published_repository_without_a_file_stays() {
    let mut world = prepared(&[BUILD]).await;
    world
        .merge(&[(RELEASE, Some(&release(&[APP], &["extra"])))])
        .await;
    let clients = world.repository("extra").await;
    world.merge(&[("repositories/extra.yaml", None)]).await;
    world.pass(FOUR_DAYS);
    prune(&world).await;
    assert_eq!(world.repository("extra").await, clients);
    assert_nothing_is_missing(&mut world, "without repositories/extra.yaml").await;
}

/// Status branch and ledger are lost. What is published stays whatever is pruned; the results behind it
/// stay as long as the branch may come back, which then has them.
#[tokio::test]
async fn results_behind_what_is_published_wait_for_their_branch_or_a_persons_word() {
    let lost = async || {
        let mut world = prepared(&[BUILD, RELEASED]).await;
        let clients = world.repository("base").await;
        let tip = world.tip("status").await;
        let before = held(&world);
        world.memory.state_repo().delete("status");
        world.lose();
        let recovered = world.control.recover(|_, _| {}).await;
        recovered.expect("no fault is armed");
        // What is made anew is another file each time, as logs are.
        world.script(|_| {
            Act::Say(crate::runners::failure(
                FailureKind::Build,
                "it is another day",
            ))
        });
        world.heal().await;
        world.pass(FOUR_DAYS);
        (world, clients, tip, before)
    };

    let (mut world, clients, tip, before) = lost().await;
    let dry = world.control.prune(Grace::default(), Pruning::DryRun).await;
    assert!(dry.expect("it only looks").removed.files > 0);
    refused(&world, "the ledger was recovered without the branch `status`, which named the results behind what was published before: stop `millrace up`, bring the branch back (`git push --force origin COMMIT:refs/heads/status`) and run `millrace recover --replace`; or, if it is lost for good, `millrace prune --give-up`").await;
    // Restarts and later commits change nothing of that.
    world.merge(&[("policy.yaml", None)]).await;
    let still = world.control.prune(Grace::default(), Pruning::Remove).await;
    still.expect_err("nobody gave it up");
    world.memory.state_repo().reset("status", &tip);
    world.lose_ledger().await;
    world.script(|_| Act::Work);
    world.heal().await;
    world.pass(FOUR_DAYS);
    prune(&world).await;
    assert_rows_have_their_files(&world, "with the branch back");
    assert_eq!(world.phase(APP).await, "succeeded");
    assert_eq!(world.repository("base").await, clients);

    let (mut world, clients, ..) = lost().await;
    let given_up = world.control.prune(Grace::default(), Pruning::GiveUp).await;
    assert!(given_up.expect("a person said so").removed.files > 0);
    assert!(!before.is_subset(&held(&world)), "results are gone");
    assert_eq!(world.repository("base").await, clients);
    prune(&world).await;
    assert_nothing_is_missing(&mut world, "given up").await;
}
