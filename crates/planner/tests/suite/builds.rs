//! Plans of build requests.

use ledger::Tasks;
use pipeline_spec::Architecture;
use proptest::prelude::*;
use runner_api::TaskSpec;

use crate::world::{World, config, describe, path};

const APP: &str = "builds/2026/11/app.yaml";

fn yaml(platform: &str, packages: &[&str]) -> String {
    let mut text = format!("reason: a test\nplatforms:\n  {platform}\npackages:\n");
    for package in packages {
        let (name, more) = package.split_once(' ').unwrap_or((package, ""));
        text.push_str(&format!(
            "  - {{source: {{git: \"https://example.org/{name}.git\", ref: main}}{more}}}\n"
        ));
    }
    text
}

fn story(world: &mut World, text: &str) -> String {
    let plan = world.build(APP, text);
    describe(&plan, &world.builds[&path(APP)].1)
}

#[test]
fn the_first_plan_has_sources_only_and_says_why() {
    let world = World::new(config(&[]));
    let request = world.request(APP, &yaml("el:", &["app", "lib"]));
    let mut later = World::new(config(&[]));
    later.build(APP, &yaml("el:", &["app", "lib"]));
    let row = &later.builds[&path(APP)].0;
    let none = Tasks::new();
    let plan = world.plan(row, &request, &none);
    insta::assert_snapshot!("first", describe(&plan, &none));
}

#[test]
fn build_requirements_order_packages() {
    let mut world = World::new(config(&[]));
    world.source("app", "1-1", &["gcc", "lib-devel"]);
    insta::assert_snapshot!("ordered", story(&mut world, &yaml("el:", &["app", "lib"])));
    let tasks = &world.builds[&path(APP)].1;
    let arm: Architecture = "aarch64".parse().expect("an architecture");
    for row in tasks.values() {
        if let TaskSpec::Build(task) = &row.spec
            && task.package.as_str() == "app"
        {
            let expected = if task.arch == arm { 2 } else { 1 };
            let archs = "its own architecture and the first, which holds the noarch packages";
            assert_eq!(task.dependencies.len(), expected, "{archs}");
        }
    }
}

#[test]
fn after_orders_packages() {
    let mut world = World::new(config(&[]));
    let text = yaml("el: [x86_64]", &["app , after: [lib]", "lib"]);
    insta::assert_snapshot!("after", story(&mut world, &text));
}

#[test]
fn a_circle_is_named() {
    let mut world = World::new(config(&[]));
    world.source("app", "1-1", &["lib"]);
    world.source("lib", "1-1", &["app"]);
    world.source("tool", "1-1", &["app"]);
    let text = yaml("el: [x86_64]", &["app", "lib", "tool", "other"]);
    insta::assert_snapshot!("circle", story(&mut world, &text));
}

#[test]
fn an_architecture_that_is_excluded_is_no_failure() {
    let mut world = World::new(config(&[]));
    world.exclude("lib", "aarch64");
    world.source("app", "1-1", &["lib"]);
    insta::assert_snapshot!("excluded", story(&mut world, &yaml("el:", &["app", "lib"])));
}

#[test]
fn an_architecture_that_the_build_excludes_holds_up_nobody() {
    let mut world = World::new(config(&[]));
    world.excluding("build lib for el aarch64");
    world.source("app", "1-1", &["lib"]);
    let plan = world.build(APP, &yaml("el:", &["app", "lib"]));
    assert_eq!(
        plan.progress,
        planner::Progress::Succeeded,
        "{}",
        describe(&plan, &Tasks::new())
    );
}

#[test]
fn what_needs_a_failure_waits_in_vain() {
    let mut world = World::new(config(&[]));
    world.source("app", "1-1", &["lib"]);
    world.failing("build lib for el x86_64");
    let text = yaml("el: [x86_64]", &["app", "lib", "other"]);
    insta::assert_snapshot!("in_vain", story(&mut world, &text));
}

#[test]
fn a_failed_test_gates_unless_the_policy_says_otherwise() {
    let text = yaml("el: [x86_64]", &["app"]);
    let mut strict = World::new(config(&[]));
    strict.failing("test app on el x86_64");
    let strict = story(&mut strict, &text);
    let advice = [("policy.yaml", "gates: {tests: advisory}\n")];
    let mut lenient = World::new(config(&advice));
    lenient.failing("test app on el x86_64");
    let lenient = story(&mut lenient, &text);
    insta::assert_snapshot!("tests", format!("required: {strict}\nadvisory: {lenient}"));
}

#[test]
fn linked_builds_are_waited_for() {
    let linked = "builds/2026/11/lib.yaml";
    let text = format!("{}with: [{linked}]\n", yaml("el: [x86_64]", &["app"]));
    let mut said = String::new();
    for fail in [true, false] {
        let mut world = World::new(config(&[]));
        if fail {
            world.failing("build lib for el x86_64");
        }
        world.build(linked, &yaml("el: [x86_64]", &["lib"]));
        said.push_str(&story(&mut world, &text));
        said.push('\n');
    }
    insta::assert_snapshot!("linked", said);
}

#[test]
fn a_missing_ref_is_a_problem_of_its_package_alone() {
    let mut world = World::new(config(&[]));
    let text = yaml("el: [x86_64]", &["app", "lib"]).replacen("ref: main", "ref: gone", 1);
    insta::assert_snapshot!("missing_ref", story(&mut world, &text));
}

#[test]
fn a_platform_gets_what_fits_its_format() {
    let mut world = World::new(config(&[]));
    let text = yaml(
        "el: [x86_64]\n  deb:",
        &["app , on: [deb]", "lib , on: [el]"],
    );
    insta::assert_snapshot!("two_platforms", story(&mut world, &text));
}

proptest! {
    /// Planning what is planned adds nothing, at every stage and whatever fails.
    #[test]
    fn planning_twice_adds_nothing(
        edges in proptest::collection::vec((0..4_usize, 0..4_usize), 0..6),
        failing in proptest::option::of(0..4_usize),
    ) {
        let names = ["a", "b", "c", "d"];
        let mut world = World::new(config(&[]));
        for (i, name) in names.iter().enumerate() {
            let needs: Vec<&str> = edges
                .iter()
                .filter(|(from, _)| *from == i)
                .map(|(_, to)| names[*to])
                .collect();
            world.source(name, "1-1", &needs);
        }
        if let Some(i) = failing {
            world.failing(&format!("build {} for el x86_64", names[i]));
        }
        let text = yaml("el:", &names);
        let plan = world.build(APP, &text);
        let (row, tasks) = &world.builds[&path(APP)];
        let request = world.request(APP, &text);
        let again = world.plan(row, &request, tasks);
        prop_assert_eq!(&again, &plan);
        let mut after = tasks.clone();
        prop_assert!(!world.apply(&again, &mut after));
        prop_assert_eq!(&after, tasks);
        prop_assert!(plan.progress != planner::Progress::Working);
    }
}
