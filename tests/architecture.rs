//! Who may know whom: the table of ARCHITECTURE.md, held over `cargo metadata`.
//!
//! A crate that is not in the table fails the test, and so does an arrow that is not. To add one, change
//! the table in a commit of its own and say why.

#![allow(clippy::disallowed_methods, reason = "a test asks cargo")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Crate → the crates of this workspace that it may use. Tests of a crate may use `memory` and the doubles too.
const TABLE: &[(&str, &str)] = &[
    ("pipeline-spec", ""),
    ("runner-api", "pipeline-spec"),
    ("ledger", "pipeline-spec runner-api"),
    ("planner", "pipeline-spec runner-api ledger"),
    ("ports", "pipeline-spec runner-api ledger"),
    ("approvals", "pipeline-spec runner-api openpgp"),
    (
        "control",
        "pipeline-spec runner-api ledger planner ports approvals",
    ),
    ("memory", "pipeline-spec runner-api ledger ports"),
    (
        "simulator",
        "pipeline-spec runner-api ledger ports control memory cost",
    ),
    ("cost", ""),
    ("git", ""),
    ("openpgp", ""),
    ("signing-kms", "openpgp"),
    ("repo-rpm", "pipeline-spec openpgp"),
    ("repo-deb", "pipeline-spec openpgp"),
    ("bridge", "openpgp"),
    ("sandbox", ""),
    ("state-repo", "pipeline-spec ports git"),
    ("forge", "ledger ports"),
    ("platform-local", "pipeline-spec runner-api ledger ports"),
    ("platform-aws", "pipeline-spec ledger ports"),
    ("emulator", ""),
    ("fake-forge", ""),
    ("server", "pipeline-spec runner-api ledger ports control"),
    (
        "functions",
        "pipeline-spec runner-api ledger ports control forge server platform-aws state-repo git",
    ),
    (
        "millrace",
        "pipeline-spec runner-api ledger ports approvals control cost server forge platform-local state-repo git openpgp repo-rpm repo-deb",
    ),
    ("runner-agent", "pipeline-spec runner-api sandbox"),
    (
        "runner-build",
        "pipeline-spec runner-api runner-agent sandbox git",
    ),
    (
        "runner-build-deb",
        "pipeline-spec runner-api runner-agent runner-build sandbox repo-deb",
    ),
    (
        "runner-build-rpm",
        "pipeline-spec runner-api runner-agent runner-build sandbox repo-rpm git",
    ),
    (
        "runner-test",
        "pipeline-spec runner-api runner-agent runner-build runner-build-deb runner-build-rpm sandbox repo-rpm repo-deb",
    ),
    // The adapters of SQS and S3 are in one room with that of the ledger. What a runner reaches is not said by what it
    // links, but by its credentials.
    (
        "runner-cloud",
        "pipeline-spec runner-api runner-agent ledger ports platform-aws",
    ),
    (
        "runner-compose",
        "pipeline-spec runner-api runner-agent repo-rpm repo-deb",
    ),
    (
        "runner-sign",
        "pipeline-spec runner-api runner-agent approvals openpgp signing-kms repo-rpm repo-deb",
    ),
    (
        "millrace-runner",
        "pipeline-spec runner-api runner-agent runner-build runner-build-deb runner-build-rpm runner-test runner-cloud runner-compose sandbox",
    ),
    (
        "testkit",
        "pipeline-spec runner-api runner-agent sandbox bridge",
    ),
    (
        "bench",
        "pipeline-spec runner-api ledger ports control cost platform-local platform-aws state-repo git emulator fake-forge",
    ),
    (
        "chaos",
        "pipeline-spec runner-api ledger runner-agent runner-compose",
    ),
    ("whole", "fake-forge"),
    ("xtask", "emulator fake-forge"),
];

/// Libraries that only one room may know, and which.
const KEPT_IN: &[(&str, &[&str])] = &[
    ("gix", &["git"]),
    // The judge of chaos reads the file itself, and believes no program of ours.
    ("rusqlite", &["platform-local", "chaos"]),
    ("pgp", &["openpgp", "bridge", "repo-rpm"]),
    // The one reads what a key service exports; the double of a forge checks what an App signs.
    ("rsa", &["openpgp", "fake-forge"]),
    // Two rooms: whoever signs must not know the ledger, and whoever knows the ledger must not sign.
    ("aws-config", &["platform-aws", "signing-kms"]),
    ("aws-sdk-kms", &["signing-kms"]),
    ("aws-sdk-dynamodb", &["platform-aws"]),
    ("aws-sdk-s3", &["platform-aws"]),
    ("aws-sdk-sqs", &["platform-aws"]),
    ("aws-sdk-sts", &["platform-aws"]),
    ("aws-sdk-ssm", &["platform-aws"]),
    ("octocrab", &["forge"]),
    ("lambda_runtime", &["functions"]),
    ("lambda_http", &["functions"]),
];

/// Rooms that decide and never act.
const PURE: &[&str] = &[
    "pipeline-spec",
    "runner-api",
    "ledger",
    "planner",
    "cost",
    "approvals",
];
/// What a pure room must not have.
const IMPURE: &[&str] = &["tokio", "reqwest", "rusqlite", "gix", "axum", "rand", "nix"];

#[derive(Debug)]
struct Crate {
    name: String,
    uses: BTreeSet<String>,
}

fn crates() -> Vec<Crate> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo metadata runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .map(|package| Crate {
            name: package["name"].as_str().expect("a name").to_owned(),
            uses: package["dependencies"]
                .as_array()
                .expect("dependencies")
                .iter()
                // Only what ships: tests may look further.
                .filter(|dependency| dependency["kind"].is_null())
                .map(|dependency| dependency["name"].as_str().expect("a name").to_owned())
                .collect(),
        })
        .collect()
}

#[test]
fn arrows_are_in_the_table() {
    let table: BTreeMap<&str, BTreeSet<&str>> = TABLE
        .iter()
        .map(|(name, uses)| (*name, uses.split_whitespace().collect()))
        .collect();
    let crates = crates();
    let own: BTreeSet<&str> = crates.iter().map(|c| c.name.as_str()).collect();
    let mut wrong = Vec::new();
    for c in &crates {
        let Some(allowed) = table.get(c.name.as_str()) else {
            wrong.push(format!("{} is not in the table", c.name));
            continue;
        };
        let arrows = c.uses.iter().filter(|used| own.contains(used.as_str()));
        wrong.extend(
            arrows
                .filter(|used| !allowed.contains(used.as_str()))
                .map(|used| format!("{} must not know {used}", c.name)),
        );
    }
    wrong.extend(
        table
            .keys()
            .filter(|name| !own.contains(*name))
            .map(|name| format!("{name} is in the table but not in the workspace")),
    );
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_simulator_is_in_no_program() {
    let tools = ["simulator", "bench", "xtask"];
    for c in crates()
        .iter()
        .filter(|c| !tools.contains(&c.name.as_str()))
    {
        for dev_only in ["simulator", "memory", "emulator", "fake-forge"] {
            assert!(!c.uses.contains(dev_only), "{} ships {dev_only}", c.name);
        }
    }
}

#[test]
fn some_libraries_have_one_room() {
    for c in crates() {
        for (library, rooms) in KEPT_IN {
            assert!(
                !c.uses.contains(*library) || rooms.contains(&c.name.as_str()),
                "{} must not know {library}: that is the business of {rooms:?}",
                c.name
            );
        }
    }
}

#[test]
fn pure_rooms_do_not_act() {
    for c in crates().iter().filter(|c| PURE.contains(&c.name.as_str())) {
        for library in IMPURE {
            assert!(
                !c.uses.contains(*library),
                "{} is pure and must not know {library}",
                c.name
            );
        }
    }
}

/// Only the signer's program can open a private key that signs packages, or have KMS sign.
#[test]
fn runners_but_the_signer_have_no_signing_keys() {
    for c in crates() {
        let runner = c.name.starts_with("runner-") || c.name == "millrace-runner";
        if runner && c.name != "runner-sign" {
            for keys in ["openpgp", "signing-kms"] {
                assert!(!c.uses.contains(keys), "{} must not know {keys}", c.name);
            }
        }
    }
}
