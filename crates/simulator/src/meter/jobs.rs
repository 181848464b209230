//! The jobs that are counted.

use cost::{Job, Measured, Usage};
use ledger::{Phase, Row};
use memory::CONFIG;
use pipeline_spec::RunnerId;
use ports::{Ledger as _, Platform as _};
use runner_api::TaskSpec;
use runner_api::auth::SigningKey;

use super::cloud::Cloud;
use crate::run::block;
use crate::upstream::{commit, git_ref, url};

const BUILD: &str = "builds/2026/11/job.yaml";
const RELEASE: &str = "releases/2026/11/job.yaml";

/// Runners as fleets are, one kind of processor each: name, what its file says, and the queues that follow from it.
const RUNNERS: [(&str, &str, &[&str]); 4] = [
    (
        "intel",
        "roles: [build-rpm, test]\narchitectures: [x86_64]\n",
        &["build-rpm.x86_64", "test.x86_64"],
    ),
    (
        "arm",
        "roles: [build-rpm, test]\narchitectures: [aarch64]\n",
        &["build-rpm.aarch64", "test.aarch64"],
    ),
    (
        "composer",
        "roles: [compose]\narchitectures: [x86_64]\n",
        &["compose.any"],
    ),
    ("signer", "roles: [sign]\n", &["sign.any"]),
];
/// Of them, in their order: the test vectors of RFC 8032, section 7.1.
const KEYS: [&str; 4] = [
    "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    "PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=",
    "/FHNjmIYoaONpH7QAjDwWAgW7RO6MwOsXeuRFUiQgCU=",
    "J4EX/BRMcjQPZ9DyMW6Dhs7/vyskKMnFH+98WX8dQm4=",
];

/// The secret halves of the first three. The signer hands nothing in.
const SECRETS: [[u8; 32]; 3] = [
    memory::BUILDER_SECRET,
    memory::SIGNER_SECRET,
    [
        0xc5, 0xaa, 0x8d, 0xf4, 0x3f, 0x9f, 0x83, 0x7b, 0xed, 0xb7, 0x44, 0x2f, 0x31, 0xdc, 0xb7,
        0xb1, 0x66, 0xd3, 0x85, 0x35, 0x07, 0x6f, 0x09, 0x4b, 0x85, 0xce, 0x3a, 0x2e, 0x0b, 0x44,
        0x58, 0xf7,
    ],
];

/// Packages and architectures of the build requests, one task at a time.
const SIZES: [(u64, u64); 3] = [(1, 1), (10, 2), (50, 2)];
/// Of a piece of a mass rebuild.
const MASS: (u64, u64) = (50, 2);
/// Its tasks that end at the same moment.
const MASS_AT_ONCE: u64 = 20;
/// Of the request that is released.
const RELEASED: (u64, u64) = (10, 2);

/// The queues of a runner.
pub(super) fn queues(id: &RunnerId) -> &'static [&'static str] {
    let found = RUNNERS.iter().find(|(name, ..)| *name == id.as_str());
    found.expect("one of them").2
}

/// Of a runner that reads its queues itself.
pub(super) fn key(id: &RunnerId) -> Option<SigningKey> {
    let own = RUNNERS.iter().position(|(name, ..)| *name == id.as_str());
    SECRETS.get(own?).map(SigningKey::from_bytes)
}

/// Counts all of them.
pub fn measure() -> Measured {
    let builds = SIZES.map(|size| build(size, 1).0).into();
    let (mass, _) = build(MASS, MASS_AT_ONCE);
    let (_, mut cloud) = build(RELEASED, 1);
    let release = release(&mut cloud);
    let (heartbeat, log_piece) = beats();
    Measured {
        builds,
        mass,
        release,
        sweep: one(&cloud, Cloud::sweep),
        open_request: open(),
        poll: one(&cloud, |cloud| {
            let runner = "intel".parse().expect("an id");
            cloud.take(&runner);
        }),
        heartbeat,
        log_piece,
    }
}

/// What one thing takes, after it was done once.
fn one(cloud: &Cloud, act: impl Fn(&Cloud)) -> Usage {
    act(cloud);
    cloud.usage();
    act(cloud);
    cloud.usage()
}

fn cloud(packages: u64) -> Cloud {
    let own = CONFIG
        .iter()
        .filter(|(path, _)| !path.starts_with("runners/"));
    let mut files: Vec<(String, String)> = own
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
        .collect();
    for ((name, text, _), key) in RUNNERS.into_iter().zip(KEYS) {
        let text = format!("key: {key}\n{text}");
        files.push((format!("runners/{name}.yaml"), text));
    }
    let names = RUNNERS.map(|(name, ..)| name);
    let cloud = Cloud::new(&files, &names);
    for number in 0..packages {
        let repo = cloud.memory().state_repo();
        repo.set_ref(&url(&package(number)), &git_ref(1), &commit(1, 0));
    }
    cloud
}

fn package(number: u64) -> String {
    format!("package{number:03}")
}

/// A build request, as a file.
fn wish(packages: u64, architectures: u64) -> (String, String) {
    let archs = ["x86_64", "aarch64"][..architectures as usize].join(", ");
    let mut text = format!("reason: to count\nplatforms:\n  el-10: [{archs}]\npackages:\n");
    for number in 0..packages {
        let (url, git_ref) = (url(&package(number)), git_ref(1));
        text.push_str(&format!("  - source: {{git: \"{url}\", ref: {git_ref}}}\n"));
    }
    (BUILD.to_owned(), text)
}

fn build((packages, architectures): (u64, u64), at_once: u64) -> (Job, Cloud) {
    let mut cloud = cloud(packages);
    cloud.push(&[wish(packages, architectures)]);
    cloud.work(at_once as usize);
    let usage = cloud.usage();
    let (tasks, builds) = done(&cloud, BUILD, &Phase::Succeeded);
    assert_eq!(builds, packages * architectures, "each is built");
    assert_eq!(tasks, packages + 2 * builds, "with a source, and tests");
    let job = Job {
        packages,
        architectures,
        at_once,
        tasks,
        builds,
        usage,
    };
    (job, cloud)
}

/// Into two repositories, where nothing was.
fn release(cloud: &mut Cloud) -> Job {
    let text = format!("from: [{BUILD}]\nto: [base, extra]\n");
    cloud.push(&[(RELEASE.to_owned(), text)]);
    cloud.work(1);
    let usage = cloud.usage();
    let (tasks, builds) = done(cloud, RELEASE, &Phase::Published);
    Job {
        packages: RELEASED.0,
        architectures: RELEASED.1,
        at_once: 1,
        tasks,
        builds,
        usage,
    }
}

/// Of a task that a runner has.
fn beats() -> (Usage, Usage) {
    let mut cloud = cloud(1);
    cloud.push(&[wish(1, 1)]);
    cloud.settle();
    let (id, grant) = cloud.take_one();
    let beat = one(&cloud, |cloud| cloud.heartbeat(&id, &grant));
    let piece = one(&cloud, |cloud| cloud.log_piece(&id));
    (beat, piece)
}

/// Of a sweep while a request of a mass rebuild is half done.
fn open() -> Usage {
    let mut cloud = cloud(MASS.0);
    cloud.push(&[wish(MASS.0, MASS.1)]);
    cloud.settle();
    // All sources, and half of the builds.
    for _ in 0..MASS.0 + MASS.0 * MASS.1 / 2 {
        let (id, grant) = cloud.take_one();
        cloud.do_task(&id, &grant);
        cloud.collect();
        cloud.settle();
    }
    one(&cloud, Cloud::sweep)
}

/// Tasks of a request that is where it should be, and how many of them are builds.
fn done(cloud: &Cloud, path: &str, phase: &Phase) -> (u64, u64) {
    let path = path.parse().expect("a path");
    let partition = ledger::Key::request_partition(&path);
    let rows = cloud
        .memory()
        .ledger()
        .list(&partition, "", None, usize::MAX);
    let (mut tasks, mut builds) = (0, 0);
    for (_, record) in block(rows).expect("memory") {
        match record.row {
            Row::Request(row) => assert_eq!(row.phase, *phase, "{:?}", row.problems),
            Row::Task(row) => {
                assert!(
                    row.is_done(),
                    "{} is {}",
                    row.spec.title(),
                    row.state.word()
                );
                tasks += 1;
                builds += u64::from(matches!(row.spec, TaskSpec::Build(_)));
            }
            _ => {}
        }
    }
    (tasks, builds)
}
