//! Releases that must not happen, two wishes at once, and a history that is rewritten: what is published
//! is whole at every moment.

use std::process::Command;

use crate::support::package::{DEBIAN, deb, deb_with, request};
use crate::support::{Machine, artifact, git, ok, program, said};

const KEY: &str = "one/secrets/signing/main.key";

fn build(name: &str) -> String {
    format!("builds/2026/11/{name}.yaml")
}

fn release(name: &str) -> String {
    format!("releases/2026/11/{name}.yaml")
}

fn wish(names: &[&str]) -> String {
    let from: Vec<String> = names.iter().map(|name| build(name)).collect();
    format!("from: [{}]\nto: [debian-12]\n", from.join(", "))
}

impl Machine {
    /// What apt would install of each package, and that all that is published is as it was signed.
    #[track_caller]
    fn assert_published(&self, expect: &[(&str, Option<&str>)]) {
        for (package, version) in expect {
            assert_eq!(
                self.apt_candidate(package).as_deref(),
                *version,
                "{package}"
            );
        }
        let verified = self.millrace(&["verify"]);
        assert!(verified.status.success(), "{}", said(&verified));
    }

    /// Waits until the status file and the command line both say all of `words`.
    #[track_caller]
    fn assert_told(&self, request: &str, words: &[&str]) {
        self.wait(&format!("{request} to say {words:?}"), || {
            let (file, told) = (self.status_file(request).to_string(), self.told(request));
            words
                .iter()
                .all(|word| file.contains(word) && told.contains(word))
        });
    }
}

#[test]
fn a_bad_release_publishes_nothing_and_a_good_one_all() {
    let mut machine = Machine::new("bad-release");
    machine.start();
    let mut wishes = Vec::new();
    for name in ["one", "two", "three", "four"] {
        wishes.push((name, deb(name, "true")));
    }
    wishes.push(("broken", deb("broken", "exit 3")));
    wishes.push(("untested", deb_with("untested", "", "libnothing1", "true")));
    for (name, tree) in &wishes {
        let text = request(DEBIAN, name, &machine.source(name, tree));
        machine.write(&[(&build(name), Some(&text))]);
    }
    machine.push_all("six builds", &[]);
    for (name, _) in &wishes {
        machine.settle(&build(name));
    }

    two_releases_at_once(&machine);
    gates(&machine);
    keys(&machine);
    tampered(&machine);
    rewritten(&machine);
}

/// Two requests want the same repository at the same time: both get it.
fn two_releases_at_once(machine: &Machine) {
    machine.write(&[
        (&release("one"), Some(&wish(&["one"]))),
        (&release("two"), Some(&wish(&["two"]))),
    ]);
    machine.push_all("two releases into one repository", &[]);
    machine.expect(&release("one"), "published");
    machine.expect(&release("two"), "published");
    machine.assert_published(&[("one", Some("1.0")), ("two", Some("1.0"))]);
}

/// A release of what was not built, or failed its test, takes nothing of it, the good part included.
fn gates(machine: &Machine) {
    for (name, words) in [
        ("broken", &["builds/2026/11/broken.yaml", "failed"]),
        ("untested", &["builds/2026/11/untested.yaml", "test"]),
    ] {
        machine.push(&release(name), &wish(&["three", name]));
        machine.assert_told(&release(name), words);
        machine.assert_published(&[("one", Some("1.0")), ("three", None), (name, None)]);
        machine.write(&[(&release(name), None)]);
        machine.push_all("not this way", &[]);
    }
}

/// The private key is gone, then another's: nothing is published. With the right one it goes on.
fn keys(machine: &Machine) {
    let (key, aside) = (machine.path(KEY), machine.path("main.key.aside"));
    std::fs::rename(&key, &aside).expect("root may");
    machine.push(&release("three"), &wish(&["three"]));
    machine.assert_told(&release("three"), &["main.key", "find the private key"]);
    machine.assert_published(&[("one", Some("1.0")), ("three", None)]);

    let folder = key.parent().expect("a folder");
    ok(program("millrace-signer")
        .args([
            "keygen",
            "--file",
            "main.key",
            "--user-id",
            "Mallory",
            "--keys",
        ])
        .arg(folder));
    machine.assert_told(&release("three"), &["keys/main.asc"]);
    machine.assert_published(&[("one", Some("1.0")), ("three", None)]);

    std::fs::rename(&aside, &key).expect("root may");
    if machine.settle(&release("three")) == "failed" {
        ok(&mut retry(machine, &release("three")));
    }
    machine.expect(&release("three"), "published");
    machine.assert_published(&[("one", Some("1.0")), ("three", Some("1.0"))]);
}

fn retry(machine: &Machine, subject: &str) -> Command {
    let mut command = program("millrace");
    command
        .args(["retry", "--data"])
        .arg(machine.path("one"))
        .arg(subject);
    command
}

/// A package that was changed between build and release is in no repository.
fn tampered(machine: &Machine) {
    let task = machine.task(&build("four"), "build");
    machine.tamper(artifact(&task, "four_1.0_amd64.deb"));
    machine.push(&release("four"), &wish(&["four"]));
    machine.assert_told(&release("four"), &["four_1.0_amd64.deb"]);
    machine.assert_published(&[("one", Some("1.0")), ("four", None)]);
    machine.write(&[(&release("four"), None)]);
    machine.push_all("not this one", &[]);
}

/// Somebody rewrites `main`: what is not wished for any more is taken back, and comes again with its wish.
fn rewritten(machine: &Machine) {
    let clone = machine.clone_path();
    let whole = git(&clone, &["rev-parse", "HEAD"]);
    let before = git(&clone, &["rev-list", "-1", "HEAD", "--", &release("one")]);
    // A person's push that knows nothing of the other's is refused by git, and changes nothing.
    let other = machine.path("other");
    git(
        &machine.path("."),
        &["clone", "--quiet", "one/state.git", "other"],
    );
    machine.push("README.md", "by the first\n");
    std::fs::write(other.join("README.md"), "by the second\n").expect("a file");
    git(&other, &["commit", "--quiet", "-am", "by the second"]);
    let refused = Command::new("git")
        .arg("-C")
        .arg(&other)
        .args(["push", "--quiet"])
        .output();
    assert!(!refused.expect("git starts").status.success());

    git(
        &clone,
        &["reset", "--quiet", "--hard", &format!("{before}^")],
    );
    git(&clone, &["push", "--quiet", "--force"]);
    machine.expect(&release("two"), "reverted");
    machine.expect(&release("three"), "reverted");
    machine.expect(&release("one"), "reverted");
    machine.assert_published(&[("one", None), ("two", None), ("three", None)]);

    git(&clone, &["reset", "--quiet", "--hard", &whole]);
    git(&clone, &["push", "--quiet", "--force"]);
    for name in ["one", "two", "three"] {
        machine.expect(&release(name), "published");
    }
    machine.assert_published(&[
        ("one", Some("1.0")),
        ("two", Some("1.0")),
        ("three", Some("1.0")),
    ]);
}
