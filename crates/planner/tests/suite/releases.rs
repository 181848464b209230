//! Plans of releases: where packages go, what stays, what is refused.

use ledger::Tasks;
use planner::Progress;
use proptest::prelude::*;
use runner_api::TaskSpec;

use crate::world::{World, config, content_documents, contents, describe};

const ONE: &str = "releases/2026/11/one.yaml";
const TWO: &str = "releases/2026/11/two.yaml";

fn build(world: &mut World, name: &str, platform: &str) -> String {
    let at = format!("builds/2026/11/{name}-{platform}.yaml");
    let text = format!(
        "reason: a test\nplatforms:\n  {platform}:\npackages:\n  - source: {{git: \"https://example.org/{name}.git\", ref: main}}\n"
    );
    let plan = world.build(&at, &text);
    assert_eq!(plan.progress, Progress::Succeeded);
    at
}

/// `app` at a version, built by a request of its own.
fn version(world: &mut World, version: &str) -> String {
    world.source("app", version, &[]);
    let at = format!("builds/2026/11/app-{version}.yaml");
    let text = "reason: a test\nplatforms:\n  el: [x86_64]\npackages:\n  - source: {git: \"https://example.org/app.git\", ref: main}\n";
    world.build(&at, text);
    at
}

fn release(from: &[&str], to: &str) -> String {
    format!("from: [{}]\nto: [{to}]\n", from.join(", "))
}

#[test]
fn repositories_take_what_their_rules_accept() {
    let mut world = World::new(config(&[]));
    let at = build(&mut world, "app", "el");
    let plan = world.release(ONE, &release(&[&at], "base, devel"));
    let said = describe(&plan.plan, &Tasks::new());
    insta::assert_snapshot!("placed", format!("{said}{}", contents(&plan)));
}

#[test]
fn the_first_placement_that_matches_decides() {
    let mut world = World::new(config(&[]));
    let at = build(&mut world, "app", "el");
    let text = format!(
        "{}place:\n  - {{package: app-devel, into: base}}\n  - {{package: \"app*\", into: devel}}\n",
        release(&[&at], "base")
    );
    let plan = world.release(ONE, &text);
    insta::assert_snapshot!("exceptions", contents(&plan));
}

#[test]
fn a_debian_source_brings_its_files() {
    let mut world = World::new(config(&[]));
    let at = build(&mut world, "app", "deb");
    let plan = world.release(ONE, &release(&[&at], "debian"));
    assert_eq!(
        contents(&plan),
        "[main/app-1-1.amd64 main/app-1-1.source+app.tar main/app-devel-1-1.amd64]\n"
    );
}

#[test]
fn a_repository_that_gets_nothing_is_a_problem() {
    let mut world = World::new(config(&[]));
    let at = build(&mut world, "app", "el");
    let plan = world.release(ONE, &release(&[&at], "base, debian"));
    assert!(plan.decision.is_none());
    insta::assert_snapshot!("nothing_placed", describe(&plan.plan, &Tasks::new()));
}

#[test]
fn only_the_newest_versions_stay() {
    let mut world = World::new(config(&[]));
    let old = version(&mut world, "9-1");
    world.release(ONE, &release(&[&old], "base, devel"));
    let new = version(&mut world, "10-1");
    let plan = world.release(TWO, &release(&[&new], "base, devel"));
    // base keeps all, devel one; 10 is newer than 9.
    insta::assert_snapshot!("retention", contents(&plan));
    let plan = world.revert(TWO);
    insta::assert_snapshot!("reverted", contents(&plan));
}

#[test]
fn the_same_version_with_other_content_is_refused() {
    let mut world = World::new(config(&[]));
    let first = version(&mut world, "1-1");
    world.release(ONE, &release(&[&first], "base"));
    let again = build(&mut world, "app", "el");
    let plan = world.release(TWO, &release(&[&again], "base"));
    assert!(plan.decision.is_none());
    insta::assert_snapshot!("changed", describe(&plan.plan, &Tasks::new()));
    // Nor may the release that published it exchange it.
    let plan = world.release(ONE, &release(&[&again], "base"));
    assert!(plan.decision.is_none());
}

#[test]
fn one_release_does_not_bring_two_files_of_one_name() {
    let mut world = World::new(config(&[]));
    let first = version(&mut world, "1-1");
    let again = build(&mut world, "app", "el");
    let request = release(&[&first, &again], "base");
    let plan = world.release(ONE, &request);
    // Their bytes are the same here, so that one of them stands for both.
    let listed = contents(&plan);
    assert_eq!(listed.matches("app-1-1.x86_64").count(), 1, "{listed}");
}

#[test]
fn too_many_repositories_for_one_change_are_refused() {
    let many: Vec<(String, String)> = (0..26)
        .map(|i| {
            let text = format!(
                "format: rpm\nplatform: el\narchitectures: [x86_64]\nkey: main\npath: many/{i}\n"
            );
            (format!("repositories/many-{i}.yaml"), text)
        })
        .collect();
    let files: Vec<(&str, &str)> = many.iter().map(|(path, text)| (&**path, &**text)).collect();
    let mut world = World::new(config(&files));
    let at = build(&mut world, "app", "el");
    let names: Vec<String> = (0..26).map(|i| format!("many-{i}")).collect();
    let plan = world.release(ONE, &release(&[&at], &names.join(", ")));
    assert_eq!(plan.plan.progress, Progress::Failed);
    assert!(
        plan.plan.problems[0].message.contains("25 are allowed"),
        "{:?}",
        plan.plan.problems
    );
}

#[test]
fn without_the_public_key_nothing_is_planned_to_be_public() {
    let mut world = World::new(config(&[]));
    world
        .config
        .key_files
        .remove(&"keys/main.asc".parse().expect("a path"));
    let at = build(&mut world, "app", "el");
    let plan = world.release(ONE, &release(&[&at], "base"));
    assert!(plan.decision.is_none());
    assert!(
        plan.plan.problems[0]
            .message
            .contains("keys/main.asc is missing")
    );
}

/// Where the private half is, as the signer reads it in the tasks of a release.
#[test]
fn the_signer_is_told_where_a_key_is() {
    let check = |private: &str, expect: &str| {
        let key = format!("private: {private}\n");
        let mut world = World::new(config(&[("keys/main.yaml", &key)]));
        let at = build(&mut world, "app", "el");
        let plan = world.release(ONE, &release(&[&at], "base")).plan;
        let told = plan.tasks.iter().filter_map(|planned| match &planned.spec {
            TaskSpec::SignPackages(task) => Some(&task.files),
            TaskSpec::SignMetadata(task) => Some(&task.files),
            _ => None,
        });
        let told: Vec<String> = told
            .map(|files| {
                let private = files.as_ref().map(|files| &files.private);
                serde_json::to_string(&private).expect("JSON")
            })
            .collect();
        assert_eq!(told, [expect, expect], "packages, and the index");
    };
    check("{file: main.key}", r#""main.key""#);
    check("{kms: alias/main}", r#"{"kms":"alias/main"}"#);
    check("{pkcs11: \"pkcs11:token=a;object=b\"}", "null");
}

proptest! {
    /// What a repository holds depends on which releases are in it, not on when each was published.
    #[test]
    fn the_order_of_publishing_changes_no_content(order in Just(vec![0_usize, 1, 2, 3]).prop_shuffle(), gone in 0..4_usize) {
        let run = |order: &[usize]| {
            let mut world = World::new(config(&[]));
            let versions = ["1-1", "2-1", "10-1"];
            let mut from: Vec<String> = versions.iter().map(|it| version(&mut world, it)).collect();
            // The last one releases the first build again.
            from.push(from[0].clone());
            for i in order {
                let at = format!("releases/2026/11/r{i}.yaml");
                let text = release(&[&from[*i]], "base, devel");
                world.release_as(&at, Some(&text), 100 + *i as u64);
            }
            let plan = world.release_as(&format!("releases/2026/11/r{gone}.yaml"), None, 200);
            let listed = contents(&plan);
            (content_documents(&plan), listed)
        };
        prop_assert_eq!(run(&order), run(&[0, 1, 2, 3]));
    }
}
