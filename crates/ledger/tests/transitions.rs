//! The transition table, every state against every event, as people would read it.

use ledger::{
    AttemptRecord, Change, Ending, Event, Expect, FailedBy, Key, Millis, Refusal, Row, Share, Stop,
    TaskRow, TaskState, Write, limits, transition,
};
use pipeline_spec::{Priority, RequestPath, RunnerId, Weight};
use runner_api::{
    Facts, Failure, FailureKind, Outcome, ResultManifest, SignMetadataTask, SignPackagesTask, Step,
    TaskId, TaskRef, TaskSpec,
};

const NOW: Millis = 1_000_000;
const LEASE: i64 = 60_000;
const VERSION: u64 = 7;

fn runner() -> RunnerId {
    "one".parse().expect("a runner's id")
}

fn other() -> RunnerId {
    "two".parse().expect("a runner's id")
}

fn request() -> RequestPath {
    "releases/2026/11/fix.yaml".parse().expect("a path")
}

/// A task without inputs.
fn free() -> TaskSpec {
    TaskSpec::SignPackages(Box::new(SignPackagesTask {
        repository: "main".parse().expect("a name"),
        key: "main".parse().expect("a key"),
        files: None,
        packages: Vec::new(),
        time: 0,
    }))
}

/// A task with one input.
fn bound() -> TaskSpec {
    TaskSpec::SignMetadata(Box::new(SignMetadataTask {
        repository: "main".parse().expect("a name"),
        key: "main".parse().expect("a key"),
        files: None,
        compose: reference(&free()),
        time: 0,
    }))
}

fn reference(spec: &TaskSpec) -> TaskRef {
    TaskRef {
        request: request(),
        id: TaskId::of(&request(), spec),
    }
}

fn row(spec: TaskSpec, state: TaskState) -> TaskRow {
    TaskRow {
        task: reference(&spec),
        spec,
        state,
        why: "somebody asked".to_owned(),
        planned: 0,
        attempts: Vec::new(),
        dropped: None,
        share: Share::default(),
        weight: Weight::ONE,
    }
}

fn result(attempt: u32, outcome: Outcome) -> ResultManifest {
    ResultManifest {
        version: runner_api::VERSION,
        task: reference(&free()),
        attempt,
        runner: runner(),
        outcome,
        log: None,
        started: 1,
        finished: 2,
    }
}

fn succeeded() -> Outcome {
    Outcome::Succeeded {
        artifacts: Vec::new(),
        facts: Facts::Nothing,
    }
}

fn failed() -> Outcome {
    Outcome::Failed {
        failure: Failure {
            kind: FailureKind::Build,
            message: "make said no".to_owned(),
            excerpt: Vec::new(),
        },
        artifacts: Vec::new(),
    }
}

fn trouble() -> Outcome {
    Outcome::Infrastructure {
        message: "reach the mirror".to_owned(),
    }
}

fn leased(attempt: u32, stop: Option<Stop>) -> TaskState {
    TaskState::Leased {
        attempt,
        runner: runner(),
        since: NOW - 5_000,
        expires: NOW,
        stop,
        step: None,
    }
}

/// Attempt 2 is the current one wherever there is one.
fn states() -> Vec<(&'static str, TaskState)> {
    let cancel = Stop::Cancel {
        reason: "not wanted".to_owned(),
    };
    let supersede = Stop::Supersede {
        by: "c2".to_owned(),
    };
    vec![
        (
            "blocked",
            TaskState::Blocked {
                on: vec![reference(&free())],
                next: 2,
            },
        ),
        (
            "ready",
            TaskState::Ready {
                attempt: 2,
                not_before: NOW,
            },
        ),
        (
            "ready later",
            TaskState::Ready {
                attempt: 2,
                not_before: NOW + 1,
            },
        ),
        ("leased", leased(2, None)),
        ("leased, to be canceled", leased(2, Some(cancel))),
        ("leased, to be superseded", leased(2, Some(supersede))),
        (
            "succeeded",
            TaskState::Succeeded {
                result: Box::new(result(2, succeeded())),
            },
        ),
        (
            "failed by the package",
            TaskState::Failed {
                attempt: 2,
                by: FailedBy::Package(Failure {
                    kind: FailureKind::Build,
                    message: "make said no".to_owned(),
                    excerpt: Vec::new(),
                }),
                result: Some(Box::new(result(2, failed()))),
            },
        ),
        (
            "failed by the machine",
            TaskState::Failed {
                attempt: 2,
                by: FailedBy::Infrastructure {
                    message: "reach the mirror".to_owned(),
                },
                result: None,
            },
        ),
        (
            "excluded",
            TaskState::Excluded {
                reason: "ExclusiveArch: x86_64".to_owned(),
            },
        ),
        (
            "canceled",
            TaskState::Canceled {
                attempt: 2,
                reason: "not wanted".to_owned(),
            },
        ),
        (
            "superseded",
            TaskState::Superseded {
                attempt: 2,
                by: "c1".to_owned(),
            },
        ),
    ]
}

fn describe(state: &TaskState) -> String {
    match state {
        TaskState::Blocked { on, next } => format!("blocked on {} as attempt {next}", on.len()),
        TaskState::Ready {
            attempt,
            not_before,
        } => format!("ready as attempt {attempt} in {} ms", not_before - NOW),
        TaskState::Leased {
            attempt,
            expires,
            stop,
            ..
        } => {
            let stop = match stop {
                None => "",
                Some(Stop::Cancel { .. }) => ", to be canceled",
                Some(Stop::Supersede { .. }) => ", to be superseded",
            };
            format!("leased as attempt {attempt} for {} ms{stop}", expires - NOW)
        }
        TaskState::Failed { attempt, by, .. } => match by {
            FailedBy::Package(failure) => format!("failed at {attempt}: {}", failure.message),
            FailedBy::Infrastructure { message } => {
                format!("failed at {attempt} by the machine: {message}")
            }
        },
        TaskState::Canceled { attempt, reason } => format!("canceled at {attempt}: {reason}"),
        TaskState::Superseded { attempt, by } => format!("superseded at {attempt} by {by}"),
        TaskState::Succeeded { result } => format!("succeeded at {}", result.attempt),
        TaskState::Excluded { reason } => format!("excluded: {reason}"),
    }
}

fn next(change: &Change) -> &TaskRow {
    change
        .writes
        .iter()
        .find_map(|write| match write {
            Write::Put(_, row) => match &**row {
                Row::Task(row) => Some(&**row),
                _ => None,
            },
            Write::Delete(_) => None,
        })
        .expect("every change writes the task")
}

/// What the change does besides the task's own row.
fn besides(change: &Change) -> String {
    let mut parts = Vec::new();
    for write in &change.writes {
        match write {
            Write::Put(key, _) if key.partition == "leases" => parts.push("+lease".to_owned()),
            Write::Delete(key) if key.partition == "leases" => parts.push("-lease".to_owned()),
            Write::Put(key, _) if key.partition == "tasks" => parts.push("+id".to_owned()),
            Write::Put(_, row) => assert!(matches!(**row, Row::Task(_)), "{row:?}"),
            Write::Delete(key) => panic!("deletes {key}"),
        }
    }
    for effect in &change.effects {
        let message = effect.message.name();
        let word = message.split(' ').next().unwrap_or_default();
        let late = effect.not_before - NOW;
        let late = if late == 0 {
            String::new()
        } else {
            format!(" in {late} ms")
        };
        parts.push(format!("{word}→{}{late}", effect.queue));
    }
    parts.join(" ")
}

fn line(row: &TaskRow, event: &Event<'_>) -> String {
    match transition(row, VERSION, event, NOW) {
        Ok(change) => {
            assert_eq!(change.conditions.len(), 1, "{change:?}");
            assert_eq!(change.conditions[0].key, Key::task(&row.task));
            assert_eq!(change.conditions[0].expect, Expect::Version(VERSION));
            let next = next(&change);
            let aside = next.dropped.as_deref();
            let aside = aside.map_or(String::new(), |by| format!(", put aside by {by}"));
            format!("{}{aside} | {}", describe(&next.state), besides(&change))
        }
        Err(refusal) => format!("refused: {refusal}"),
    }
}

#[test]
fn every_state_meets_every_event() {
    let (one, two) = (runner(), other());
    let results = [
        ("succeeded", result(2, succeeded())),
        ("failed", result(2, failed())),
        (
            "excluded",
            result(
                2,
                Outcome::Excluded {
                    reason: "ExcludeArch: ppc64le".to_owned(),
                },
            ),
        ),
        ("trouble", result(2, trouble())),
        (
            "handed back",
            result(
                2,
                Outcome::HandedBack {
                    reason: "drained".to_owned(),
                },
            ),
        ),
        ("succeeded, an old attempt", result(1, succeeded())),
        ("succeeded, of another runner", {
            let mut result = result(2, succeeded());
            result.runner = other();
            result
        }),
    ];
    let share = Share {
        priority: Priority::Urgent,
        ..Share::default()
    };
    let mut events = vec![
        ("unblock".to_owned(), Event::Unblock),
        (
            "lease".to_owned(),
            Event::Lease {
                attempt: 2,
                runner: &one,
                lease_millis: LEASE,
            },
        ),
        (
            "lease of an old attempt".to_owned(),
            Event::Lease {
                attempt: 1,
                runner: &one,
                lease_millis: LEASE,
            },
        ),
        (
            "heartbeat".to_owned(),
            Event::Heartbeat {
                attempt: 2,
                runner: &one,
                lease_millis: LEASE,
                step: None,
            },
        ),
        (
            "heartbeat of an old attempt".to_owned(),
            Event::Heartbeat {
                attempt: 1,
                runner: &one,
                lease_millis: LEASE,
                step: None,
            },
        ),
        (
            "heartbeat of another runner".to_owned(),
            Event::Heartbeat {
                attempt: 2,
                runner: &two,
                lease_millis: LEASE,
                step: None,
            },
        ),
        ("expire".to_owned(), Event::Expire { attempt: 2 }),
        (
            "expire of an old attempt".to_owned(),
            Event::Expire { attempt: 1 },
        ),
        (
            "cancel".to_owned(),
            Event::Cancel {
                reason: "not wanted",
            },
        ),
        ("supersede".to_owned(), Event::Supersede { by: "c3" }),
        ("retry".to_owned(), Event::Retry),
        ("revive".to_owned(), Event::Revive),
        ("offer".to_owned(), Event::Offer),
        (
            "share".to_owned(),
            Event::Share {
                share: &share,
                weight: Weight::ONE,
            },
        ),
    ];
    for (name, result) in &results {
        events.push((format!("finish: {name}"), Event::Finish(result)));
    }
    let mut table = String::new();
    for (name, state) in states() {
        table.push_str(&format!("{name}\n"));
        for (event_name, event) in &events {
            let said = line(&row(bound(), state.clone()), event);
            table.push_str(&format!("  {event_name:<36} {said}\n"));
        }
    }
    insta::assert_snapshot!("table", table);
}

#[test]
fn a_task_without_inputs_is_ready_at_once_after_a_retry() {
    let canceled = TaskState::Canceled {
        attempt: 0,
        reason: "not wanted".to_owned(),
    };
    let check = |spec, expect: &str| {
        assert_eq!(line(&row(spec, canceled.clone()), &Event::Retry), expect);
    };
    check(
        free(),
        "ready as attempt 1 in 0 ms | attempt→sign.any report→report",
    );
    check(bound(), "blocked on 1 as attempt 1 | report→report");
}

#[test]
fn a_lease_that_has_not_ended_does_not_expire() {
    let state = TaskState::Leased {
        attempt: 2,
        runner: runner(),
        since: 0,
        expires: NOW + 1,
        stop: None,
        step: None,
    };
    let refusal = transition(
        &row(free(), state),
        VERSION,
        &Event::Expire { attempt: 2 },
        NOW,
    );
    assert_eq!(refusal, Err(Refusal::NotDue { due: NOW + 1 }));
}

/// A runner that works through `ends`, one attempt each.
fn history(ends: &[&str]) -> Vec<String> {
    let mut row = row(
        free(),
        TaskState::Ready {
            attempt: 1,
            not_before: NOW,
        },
    );
    let mut said = Vec::new();
    for end in ends {
        let attempt = row.state.attempt() + 1;
        if *end == "retry" {
            let change = transition(&row, 1, &Event::Retry, NOW).expect("it is failed");
            row = next(&change).clone();
            continue;
        }
        row.state = leased(attempt, None);
        let result = |outcome| result(attempt, outcome);
        let change = match *end {
            "trouble" => transition(&row, 1, &Event::Finish(&result(trouble())), NOW),
            "silence" => transition(&row, 1, &Event::Expire { attempt }, NOW),
            "back" => {
                let reason = "drained".to_owned();
                let result = result(Outcome::HandedBack { reason });
                transition(&row, 1, &Event::Finish(&result), NOW)
            }
            "failed" => transition(&row, 1, &Event::Finish(&result(failed())), NOW),
            end => panic!("{end}"),
        };
        row = next(&change.expect("the runner holds it")).clone();
        said.push(describe(&row.state));
    }
    said
}

#[test]
fn trouble_is_waited_out_with_growing_patience_and_has_an_end() {
    // 5, 10, 20 and 40 s, and up to a quarter more: what failed together does not come back together.
    assert_eq!(
        history(&["trouble", "silence", "trouble", "trouble", "trouble"]),
        [
            "ready as attempt 2 in 5702 ms",
            "ready as attempt 3 in 12231 ms",
            "ready as attempt 4 in 23458 ms",
            "ready as attempt 5 in 48379 ms",
            "failed at 5 by the machine: reach the mirror",
        ]
    );
}

#[test]
fn what_was_handed_back_costs_no_patience() {
    let said = history(&["back", "back", "back", "back", "back", "back", "trouble"]);
    assert_eq!(said[5], "ready as attempt 7 in 0 ms");
    assert_eq!(said[6], "ready as attempt 8 in 6028 ms");
}

#[test]
fn a_retry_gives_new_patience() {
    let mut ends = vec!["trouble"; 5];
    ends.push("retry");
    ends.extend(["trouble"; 5]);
    let said = history(&ends);
    assert_eq!(said[4], "failed at 5 by the machine: reach the mirror");
    assert_eq!(said[5], "ready as attempt 7 in 5106 ms");
    assert_eq!(said[9], "failed at 10 by the machine: reach the mirror");
    let said = history(&["trouble", "trouble", "failed", "retry", "trouble"]);
    assert_eq!(said[3], "ready as attempt 5 in 5830 ms");
}

/// Also when more attempts were made than a row keeps.
#[test]
fn each_retry_gives_as_much_patience_as_the_first() {
    let mut ends = Vec::new();
    for _ in 0..8 {
        ends.extend(["trouble"; 5]);
        ends.push("retry");
    }
    let said = history(&ends);
    let failed = said.iter().enumerate();
    let failed = failed.filter(|(_, state)| state.starts_with("failed"));
    let failed: Vec<usize> = failed.map(|(n, _)| n + 1).collect();
    assert_eq!(failed, [5, 10, 15, 20, 25, 30, 35, 40]);
}

#[test]
fn history_is_bounded_and_says_how_each_attempt_ended() {
    let mut row = row(free(), leased(30, None));
    let record = |attempt| AttemptRecord {
        attempt,
        runner: runner(),
        leased: 0,
        ended: 1,
        ending: Ending::HandedBack,
        end: "handed back: drained".to_owned(),
    };
    row.attempts = (1..30).map(record).collect();
    let result = result(30, succeeded());
    let change = transition(&row, 1, &Event::Finish(&result), NOW).expect("the runner holds it");
    let attempts = &next(&change).attempts;
    assert_eq!(attempts.len(), limits::ATTEMPTS_KEPT);
    let last = attempts.last().expect("20 are kept");
    assert_eq!(
        (last.attempt, last.end.as_str(), last.ending),
        (30, "succeeded", Ending::Result)
    );
}

#[test]
fn a_new_task_brings_its_own_message() {
    let check = |spec, expect: &str| {
        let row = TaskRow::planned(reference(&spec), spec, "why".to_owned(), NOW);
        let change = row.insert();
        assert_eq!(change.conditions[0].expect, Expect::Absent);
        assert_eq!(
            format!("{} | {}", describe(&row.state), besides(&change)),
            expect
        );
    };
    check(free(), "ready as attempt 1 in 0 ms | +id attempt→sign.any");
    check(bound(), "blocked on 1 as attempt 1 | +id");
}

#[test]
fn an_attempt_that_was_stopped_says_so_whatever_its_runner_said() {
    let cancel = Stop::Cancel {
        reason: "not wanted".to_owned(),
    };
    let supersede = Stop::Supersede {
        by: "c3".to_owned(),
    };
    let back = Outcome::HandedBack {
        reason: "told to stop".to_owned(),
    };
    let check = |stop: &Stop, event: &Event<'_>, expect: &str| {
        let row = row(free(), leased(2, Some(stop.clone())));
        let change = transition(&row, 1, event, NOW).expect("the runner holds it");
        let last = next(&change).attempts.last().expect("it ended").clone();
        assert_eq!((&*last.end, last.ending), (expect, Ending::HandedBack));
        assert!(besides(&change).starts_with("-lease"), "{change:?}");
    };
    let (back, done) = (result(2, back), result(2, succeeded()));
    let finish = Event::Finish(&back);
    let end = "canceled: not wanted (handed back: told to stop)";
    check(&cancel, &finish, end);
    let end = "superseded by c3 (handed back: told to stop)";
    check(&supersede, &finish, end);
    let end = "canceled: not wanted (succeeded)";
    check(&cancel, &Event::Finish(&done), end);
    let end = "canceled: not wanted (runner one sent no heartbeat; its lease ended)";
    check(&cancel, &Event::Expire { attempt: 2 }, end);
}

#[test]
fn what_is_put_aside_comes_back_as_it_ended() {
    let state = TaskState::Succeeded {
        result: Box::new(result(2, succeeded())),
    };
    let by = "c3";
    let change = transition(&row(free(), state), 1, &Event::Supersede { by }, NOW);
    let aside = next(&change.expect("it is closed")).clone();
    assert!(aside.is_past() && !aside.is_done());
    for event in [Event::Supersede { by }, Event::Retry] {
        assert!(transition(&aside, 2, &event, NOW).is_err(), "{event:?}");
    }
    let change = transition(&aside, 2, &Event::Revive, NOW).expect("it is put aside");
    assert!(next(&change).is_done());
}

#[test]
fn merged_changes_say_the_same_once() {
    let two = [free(), bound()].map(|spec| {
        let row = row(
            spec,
            TaskState::Ready {
                attempt: 1,
                not_before: NOW,
            },
        );
        transition(&row, 1, &Event::Cancel { reason: "gone" }, NOW).expect("it is open")
    });
    let mut merged = Change::default();
    for change in two {
        merged.merge(change);
    }
    assert_eq!(besides(&merged), "advance→advance report→report");
    assert_eq!(merged.size(), 4);
    let (conditions, writes) = merged.into_rows(NOW);
    assert_eq!((conditions.len(), writes.len()), (2, 4));
}

#[test]
fn a_heartbeat_says_what_is_done_and_tells_nobody() {
    let runner = runner();
    let event = Event::Heartbeat {
        attempt: 2,
        runner: &runner,
        lease_millis: LEASE,
        step: Some(Step::Building),
    };
    let change = transition(&row(free(), leased(2, None)), VERSION, &event, NOW)
        .expect("the attempt holds the lease");
    let TaskState::Leased { step, .. } = &next(&change).state else {
        panic!("{change:?}");
    };
    assert_eq!(*step, Some(Step::Building));
    // A step is no news for the status branch: it would get a commit for each.
    assert_eq!(change.effects, []);
}

/// Who deletes an outbox row by its version must not meet another change's: a row that is written anew
/// has the version that the deleted one had.
#[test]
fn changes_of_one_millisecond_have_outbox_rows_of_their_own() {
    let key = |version: u64| {
        let row = row(free(), leased(1, None));
        let event = Event::Cancel { reason: "x" };
        let change = transition(&row, version, &event, NOW).unwrap();
        let (_, writes) = change.into_rows(NOW);
        let report = |write: &Write| match write {
            Write::Put(key, row) if matches!(**row, Row::Outbox(_)) => Some(key.clone()),
            _ => None,
        };
        writes.iter().find_map(report).unwrap()
    };
    assert_ne!(key(1), key(2));
    assert_eq!(key(1), key(1));
}
