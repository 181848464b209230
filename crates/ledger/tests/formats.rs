//! Rows and messages in the form of the version before: `format-1.jsonl` is what that version's own code
//! wrote of the values below, one document a line. A line is never changed.

use std::collections::BTreeMap;

use ledger::{
    About, Asked, AskedRow, AttemptRecord, Comment, Contribution, DeadLetterRow, Decision, Effect,
    Ending, FailedBy, Flip, HeadRow, LeaseRow, Message, Note, OutboxRow, Phase, Problem, QueueName,
    RefRow, RepositoryRow, RequestRow, RequestSpec, Row, StatusBranchRow, Stop, TaskRow, TaskState,
    Wish,
};
use pipeline_spec::{BuildRequest, PackageRequest, ReleaseRequest, RequestPath, Sha256Digest};
use runner_api::{
    Artifact, ArtifactKind, Facts, Failure, FailureKind, Outcome, Placed, Pointer, ResultManifest,
    SignPackagesTask, Step, TaskId, TaskRef, TaskSpec, TreeFile,
};

fn build() -> RequestPath {
    "builds/2026/11/app.yaml".parse().expect("a path")
}

fn release() -> RequestPath {
    "releases/2026/11/app.yaml".parse().expect("a path")
}

fn digest(digit: char) -> Sha256Digest {
    let text: String = std::iter::repeat_n(digit, 64).collect();
    text.parse().expect("a digest")
}

fn spec() -> TaskSpec {
    TaskSpec::SignPackages(Box::new(SignPackagesTask {
        repository: "main".parse().expect("a name"),
        key: "main".parse().expect("a key"),
        files: None,
        packages: Vec::new(),
        time: 7,
    }))
}

fn task() -> TaskRef {
    TaskRef {
        request: release(),
        id: TaskId::of(&release(), &spec()),
    }
}

fn failure() -> Failure {
    Failure {
        kind: FailureKind::Build,
        message: "make said no".to_owned(),
        excerpt: vec!["error: 1".to_owned()],
    }
}

fn result(outcome: Outcome) -> Box<ResultManifest> {
    Box::new(ResultManifest {
        version: 1,
        task: task(),
        attempt: 2,
        runner: "one".parse().expect("a runner's id"),
        outcome,
        log: None,
        started: 1,
        finished: 2,
    })
}

fn placed() -> Placed {
    Placed {
        artifact: Artifact {
            name: "app-1-1.x86_64.rpm".to_owned(),
            sha256: digest('a'),
            size: 4096,
            kind: ArtifactKind::Rpm,
            package: None,
        },
        component: String::new(),
        built_by: task(),
        files: Vec::new(),
    }
}

fn pointer() -> Pointer {
    let file = TreeFile {
        sha256: digest('b'),
        size: 833,
    };
    Pointer {
        version: 1,
        repository: "main".parse().expect("a name"),
        generation: 3,
        commit: "c".repeat(40),
        tree: digest('c'),
        signatures: BTreeMap::from([("repodata/repomd.xml.asc".to_owned(), file)]),
        publication: digest('d'),
    }
}

fn problem() -> Problem {
    Problem {
        subject: "app".to_owned(),
        message: "there is no such platform".to_owned(),
    }
}

fn task_row(state: TaskState) -> TaskRow {
    TaskRow {
        task: task(),
        spec: spec(),
        state,
        why: "somebody asked".to_owned(),
        planned: 1_000,
        attempts: Vec::new(),
        dropped: None,
        share: ledger::Share::default(),    // since 2
        weight: pipeline_spec::Weight::ONE, // since 2
    }
}

fn states() -> Vec<TaskState> {
    let leased = |stop, step| TaskState::Leased {
        attempt: 2,
        runner: "one".parse().expect("a runner's id"),
        since: 5,
        expires: 6,
        stop,
        step,
    };
    let (reason, by) = (|| "not wanted".to_owned(), || "c2".to_owned());
    let (artifacts, facts) = (Vec::new(), Facts::Nothing);
    vec![
        TaskState::Blocked {
            on: vec![task()],
            next: 2,
        },
        TaskState::Ready {
            attempt: 2,
            not_before: 9,
        },
        leased(None, None),
        leased(
            Some(Stop::Cancel { reason: reason() }),
            Some(Step::Fetching),
        ),
        leased(Some(Stop::Supersede { by: by() }), Some(Step::MakingRoot)),
        TaskState::Succeeded {
            result: result(Outcome::Succeeded { artifacts, facts }),
        },
        TaskState::Failed {
            attempt: 2,
            by: FailedBy::Package(failure()),
            result: None,
        },
        TaskState::Failed {
            attempt: 5,
            by: FailedBy::Infrastructure { message: reason() },
            result: None,
        },
        TaskState::Excluded { reason: reason() },
        TaskState::Canceled {
            attempt: 2,
            reason: reason(),
        },
        TaskState::Superseded {
            attempt: 2,
            by: by(),
        },
    ]
}

/// One task in each state, and one that has been through a lot.
fn tasks() -> Vec<TaskRow> {
    let mut rows: Vec<_> = states().into_iter().map(task_row).collect();
    let mut old = rows[0].clone();
    let endings = [Ending::Result, Ending::Trouble, Ending::HandedBack];
    for (attempt, ending) in (1..).zip(endings) {
        old.attempts.push(AttemptRecord {
            attempt,
            runner: "one".parse().expect("a runner's id"),
            leased: 10,
            ended: 20,
            ending,
            end: "so it ended".to_owned(),
        });
    }
    old.dropped = Some("d".repeat(40));
    rows.push(old);
    rows
}

fn specs() -> [RequestSpec; 2] {
    let source = r#"{"git": "https://git.example.org/app.git", "ref": "v1"}"#;
    let package = PackageRequest {
        name: "app".parse().expect("a name"),
        source: serde_json::from_str(source).expect("a source"),
        on: None,
        after: Vec::new(),
        options: Default::default(),
        weight: pipeline_spec::Weight::ONE, // since 2
    };
    let request = BuildRequest {
        reason: "a fix".to_owned(),
        platforms: BTreeMap::from([("el-10".parse().expect("a platform"), None)]),
        packages: vec![package],
        flavors: Vec::new(),
        with: Vec::new(),
        secure_boot: false,
        priority: pipeline_spec::Priority::Normal, // since 2
    };
    let wish = ReleaseRequest {
        from: vec![build()],
        to: vec!["main".parse().expect("a name")],
        place: Vec::new(),
        errata: Vec::new(),
        priority: pipeline_spec::Priority::Normal, // since 2
    };
    [
        RequestSpec::Build(Box::new(request)),
        RequestSpec::Release(Box::new(wish)),
    ]
}

fn requests() -> Vec<RequestRow> {
    let decision = Decision {
        reverts: false,
        flips: vec![Flip {
            pointer: pointer(),
            packages: vec![placed()],
        }],
    };
    let [asked, released] = specs();
    let row = |path: RequestPath, spec: Option<RequestSpec>, phase| RequestRow {
        path,
        commit: "e".repeat(40),
        time: 7,
        author: "Ada <ada@example.org>".to_owned(),
        sequence: 4,
        spec,
        phase,
        problems: Vec::new(),
        notes: Vec::new(),
    };
    let mut invalid = row(build(), None, Phase::Invalid);
    invalid.problems.push(problem());
    let mut open = row(build(), Some(asked.clone()), Phase::Open);
    open.notes.push(Note {
        subject: "app".to_owned(),
        why: "no runner".to_owned(),
    });
    let mut rows = vec![invalid, open];
    for phase in [
        Phase::Succeeded,
        Phase::Failed,
        Phase::Canceled,
        Phase::Removed,
    ] {
        rows.push(row(build(), Some(asked.clone()), phase));
    }
    for phase in [
        Phase::Publishing(decision),
        Phase::Published,
        Phase::Reverting,
        Phase::Reverted,
    ] {
        rows.push(row(release(), Some(released.clone()), phase));
    }
    rows
}

fn messages() -> Vec<Message> {
    vec![
        Message::Advance { request: build() },
        Message::Report { request: release() },
        Message::Configuration,
        Message::Attempt {
            task: task(),
            attempt: 2,
        },
    ]
}

fn heads() -> [HeadRow; 2] {
    let head = HeadRow {
        commit: "f".repeat(40),
        time: 8,
        sequence: 5,
        ..HeadRow::default()
    };
    let full = HeadRow {
        unfinished: vec!["0".repeat(40)],
        recovered: true,
        problems: vec![problem()],
        notices: vec![problem()],
        warnings: vec![problem()],
        ..head.clone()
    };
    [head, full]
}

fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = heads().into_iter().map(Row::Head).collect();
    rows.extend(
        requests()
            .into_iter()
            .map(|row| Row::Request(Box::new(row))),
    );
    rows.extend(tasks().into_iter().map(|row| Row::Task(Box::new(row))));
    rows.extend(messages().into_iter().map(|message| {
        let effect = Effect {
            queue: QueueName::advance(),
            message,
            not_before: 9,
            share: ledger::Share::default(), // since 2
        };
        Row::Outbox(OutboxRow { effect })
    }));
    rows.extend([
        Row::Ref(RefRow {
            url: "https://git.example.org/app.git".to_owned(),
            git_ref: "v1".to_owned(),
            commit: "1".repeat(40),
            at: 3,
        }),
        Row::Lease(LeaseRow {
            task: task(),
            attempt: 2,
            expires: 6,
        }),
        Row::Index { request: build() },
        Row::StatusBranch(StatusBranchRow {
            commit: "2".repeat(40),
        }),
        Row::Repository(RepositoryRow { pointer: pointer() }),
        Row::Contribution(Contribution {
            release: release(),
            repository: "main".parse().expect("a name"),
            sequence: 4,
            packages: vec![placed()],
        }),
        Row::DeadLetter(DeadLetterRow {
            queue: QueueName::report(),
            message: Message::Configuration,
            deliveries: 10,
            error: "it failed".to_owned(),
            at: 11,
        }),
    ]);
    rows
}

/// All values as this version writes them.
fn written() -> String {
    let json = |value: serde_json::Result<String>| value.expect("a document") + "\n";
    let rows = rows()
        .into_iter()
        .map(|row| json(serde_json::to_string(&row)));
    let messages = messages().into_iter();
    let messages = messages.map(|message| json(serde_json::to_string(&message)));
    rows.chain(messages).collect()
}

#[test]
fn what_uses_nothing_new_is_written_as_before() {
    let old = include_str!("format-1.jsonl");
    for (new, old) in written().lines().zip(old.lines()) {
        assert_eq!(new, old);
    }
    assert_eq!(written(), old);
}

#[test]
fn what_the_version_before_wrote_is_read() {
    let mut lines = include_str!("format-1.jsonl").lines();
    for expect in rows() {
        let line = lines.next().expect("a line for each value");
        let row: Row = serde_json::from_str(line).expect(line);
        assert_eq!(row, expect);
    }
    for expect in messages() {
        let line = lines.next().expect("a line for each value");
        let message: Message = serde_json::from_str(line).expect(line);
        assert_eq!(message, expect);
    }
    assert_eq!(lines.next(), None);
}

/// What is said at the forge: messages and rows as they lie in queues and ledgers.
#[test]
fn what_was_asked_for_is_written_as_it_was() {
    let asked = Asked {
        id: "comment 00000000000000000007".to_owned(),
        login: "ada".to_owned(),
        about: About::Pull { number: 3 },
        wishes: vec![
            Wish::Retry,
            Wish::Scratch { commit: None },
            Wish::Unknown {
                words: "merge".to_owned(),
            },
        ],
        comment: Some(Comment {
            id: 7,
            written: 9,
            left_out: 0,
        }),
    };
    let button = Asked {
        id: "button retry c".to_owned(),
        about: About::Commit {
            commit: "c".to_owned(),
        },
        wishes: vec![Wish::Cancel],
        comment: None,
        ..asked.clone()
    };
    let check = |message: Message, text: &str| {
        assert_eq!(serde_json::to_string(&message).expect("a document"), text);
        let read: Message = serde_json::from_str(text).expect("a message");
        assert_eq!(read, message);
    };
    check(Message::Look, r#"{"message":"look"}"#);
    let again = |check: Option<&str>| Message::Again {
        commit: "c".to_owned(),
        check: check.map(str::to_owned),
    };
    check(again(None), r#"{"message":"again","commit":"c"}"#);
    check(
        again(Some("plan")),
        r#"{"message":"again","commit":"c","check":"plan"}"#,
    );
    check(
        Message::Asked(Box::new(asked)),
        r#"{"message":"asked","id":"comment 00000000000000000007","login":"ada","about":{"about":"pull","number":3},"wishes":[{"wish":"retry"},{"wish":"scratch"},{"wish":"unknown","words":"merge"}],"comment":{"id":7,"written":9}}"#,
    );
    check(
        Message::Asked(Box::new(button)),
        r#"{"message":"asked","id":"button retry c","login":"ada","about":{"about":"commit","commit":"c"},"wishes":[{"wish":"cancel"}]}"#,
    );
    let pressed = Asked {
        id: "button cancel c".to_owned(),
        login: "ada".to_owned(),
        about: About::Scratch {
            commit: "c".to_owned(),
        },
        wishes: vec![Wish::Cancel],
        comment: None,
    };
    check(
        Message::Asked(Box::new(pressed)),
        r#"{"message":"asked","id":"button cancel c","login":"ada","about":{"about":"scratch","commit":"c"},"wishes":[{"wish":"cancel"}]}"#,
    );
    let row: Row = serde_json::from_str(r#"{"row":"asked","login":"ada","at":5}"#).expect("a row");
    let done = AskedRow {
        login: "ada".to_owned(),
        at: 5,
        under_way: false,
        answer: None,
        comment: 0,
    };
    assert_eq!(row, Row::Asked(done));
}

#[test]
fn scratch_builds_are_written_as_they_were() {
    let commit = "ab".repeat(20);
    let path = format!("scratch/7/{commit}/2026/11/app.yaml");
    let text = format!(
        r#"{{"row":"scratch","number":7,"commit":"{commit}","base":"b","asked":"comment 1","login":"ada","at":5,"requests":["{path}"],"looked":0,"told":0,"failed":0,"again":0}}"#
    );
    let row: Row = serde_json::from_str(&text).expect("a row");
    assert_eq!(serde_json::to_string(&row).expect("a row"), text);
    // What is optional may be missing.
    let short = text.replace(r#","looked":0,"told":0,"failed":0,"again":0"#, "");
    assert_eq!(serde_json::from_str::<Row>(&short).expect("a row"), row);
    let message = format!(r#"{{"message":"advance","request":"{path}"}}"#);
    let read: Message = serde_json::from_str(&message).expect("a message");
    assert_eq!(serde_json::to_string(&read).expect("a message"), message);
}
