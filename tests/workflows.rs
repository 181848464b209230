//! The workflows of the template: who may do what in them, what actionlint says, and their steps as a forge runs them, on
//! what `millrace init` makes.

#![allow(
    clippy::disallowed_methods,
    reason = "a test starts programs and writes files"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fake_forge::judge::workflow_mistakes;
use serde_json::{Value, json};
use tempfile::TempDir;

/// GitHub's and Gitea's.
const FOLDERS: [&str; 2] = [".github", ".gitea"];
const TOKEN: &str = "ghs_of_this_run_alone";
const MISTAKE: &str = "reason: x\nplatforms: {debian-21: [amd64]}\npackages: [{source: {git: \"https://x.example.org/y.git\", ref: main}}]\n";

fn path(folder: &str) -> PathBuf {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../state-repo-template");
    top.join(folder).join("workflows/lint.yaml")
}

fn workflow(folder: &str) -> Value {
    let text = std::fs::read_to_string(path(folder)).expect("the workflow");
    serde_saphyr::from_str(&text).expect("it is YAML")
}

#[test]
fn strangers_get_no_secret_and_may_only_read() {
    for folder in FOLDERS {
        let workflow = workflow(folder);
        let triggers = json!({"pull_request": null, "push": {"branches": ["main"]}});
        assert_eq!(workflow["on"], triggers, "{folder}");
        assert_eq!(workflow["permissions"], json!({"contents": "read"}));
        let text = workflow.to_string();
        for word in ["secrets.", "\"uses\"", "vars."] {
            assert!(!text.contains(word), "{folder}: {word}");
        }
        // The step that runs a program of the pull request's choice has no token.
        let steps = workflow["jobs"]["lint"]["steps"].as_array().expect("steps");
        let tokens = steps
            .iter()
            .map(|step| step.to_string().contains("github.token"));
        assert_eq!(tokens.collect::<Vec<_>>(), [true, false], "{folder}");
    }
    assert_eq!(workflow(FOLDERS[0]), workflow(FOLDERS[1]));
}

#[test]
fn actionlint_finds_nothing() {
    let read = std::fs::read_to_string(path(FOLDERS[0])).expect("the workflow");
    let folder = tempfile::tempdir().expect("a folder");
    let broken = folder.path().join("broken.yaml");
    std::fs::write(&broken, read.replace("github.sha", "github.shaa")).expect("a file");
    match workflow_mistakes(&broken) {
        Ok(found) => assert!(found.contains("\"shaa\" is not defined"), "{found}"),
        Err(missing) => return missing.tell("the template's workflows"),
    }
    for folder in FOLDERS {
        assert_eq!(workflow_mistakes(&path(folder)).expect("as before"), "");
    }
}

/// What the job has of its run.
struct Job {
    folder: TempDir,
}

impl Job {
    /// What `millrace init` makes, as a forge has it.
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let job = Self { folder };
        let mut init = Command::new(program("millrace"));
        succeeds(init.arg("init").arg(job.at("data")));
        std::fs::create_dir(job.at("acme")).expect("a folder");
        std::fs::rename(job.at("data/state.git"), job.at("acme/state")).expect("it was made");
        succeeds(
            Command::new("git")
                .args(["clone", "--quiet"])
                .args([job.at("acme/state"), job.at("clone")]),
        );
        std::fs::create_dir(job.at("work")).expect("a folder");
        job
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// A package whose program is the one that was built here.
    fn package(&self) -> String {
        let program_file = self.at("package/usr/bin/millrace");
        std::fs::create_dir_all(self.at("package/DEBIAN")).expect("a folder");
        std::fs::create_dir_all(self.at("package/usr/bin")).expect("a folder");
        let script = format!(
            "#!/bin/sh\n[ -z \"$TOKEN\" ] || exit 99\nexec {} \"$@\"\n",
            program("millrace").display()
        );
        std::fs::write(&program_file, script).expect("a file");
        succeeds(Command::new("chmod").arg("755").arg(program_file));
        let control = "Package: millrace\nVersion: 1\nArchitecture: all\nMaintainer: x <x@localhost>\nDescription: x\n";
        std::fs::write(self.at("package/DEBIAN/control"), control).expect("a file");
        succeeds(
            Command::new("dpkg-deb")
                .args(["--root-owner-group", "--build"])
                .args([self.at("package"), self.at("m.deb")]),
        );
        let sum = succeeds(Command::new("sha256sum").arg(self.at("m.deb")));
        let digest = sum.split(' ').next().expect("a digest").to_owned();
        format!("{digest}  file://{}\n", self.at("m.deb").display())
    }

    /// Commits the file, and pushes.
    fn push(&self, path: &str, text: &str) {
        let file = self.at("clone").join(path);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        std::fs::write(file, text).expect("a file");
        let words: [&[&str]; 3] = [
            &["add", "--all"],
            &[
                "-c",
                "user.name=x",
                "-c",
                "user.email=x@localhost",
                "commit",
                "--quiet",
                "-m",
                "x",
            ],
            &["push", "--quiet", "origin", "HEAD:main"],
        ];
        for words in words {
            succeeds(
                Command::new("git")
                    .arg("-C")
                    .arg(self.at("clone"))
                    .args(words),
            );
        }
    }

    /// The steps, until one fails: whether none did, and what they said.
    fn run(&self, folder: &str) -> (bool, String) {
        let commit = succeeds(
            Command::new("git")
                .arg("-C")
                .arg(self.at("clone"))
                .args(["rev-parse", "HEAD"]),
        );
        let context = [
            (
                "${{ github.server_url }}",
                format!("file://{}", self.folder.path().display()),
            ),
            ("${{ github.repository }}", "acme/state".to_owned()),
            ("${{ github.sha }}", commit.trim().to_owned()),
            ("${{ github.token }}", TOKEN.to_owned()),
        ];
        let workflow = workflow(folder);
        let steps = workflow["jobs"]["lint"]["steps"].as_array().expect("steps");
        let mut all = String::new();
        for step in steps {
            let mut bash = Command::new("bash");
            bash.args(["-e", "-c", step["run"].as_str().expect("a script")]);
            bash.current_dir(self.at("work"));
            for (name, value) in step["env"].as_object().into_iter().flatten() {
                let value = value.as_str().expect("a text");
                let known = context.iter().find(|(word, _)| *word == value);
                bash.env(name, &known.expect("a word of the context").1);
            }
            let output = bash.output().expect("bash starts");
            all.push_str(&said(&output));
            assert!(!all.contains(TOKEN), "{all}");
            if !output.status.success() {
                return (false, all);
            }
        }
        (true, all)
    }
}

fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("this test's file");
    let path = own
        .ancestors()
        .nth(2)
        .expect("target/debug/deps/test")
        .join(name);
    assert!(
        path.exists(),
        "{} is missing: run `cargo build --workspace --bins`",
        path.display()
    );
    path
}

fn said(output: &Output) -> String {
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    format!("{out}{err}")
}

/// What it prints.
fn succeeds(command: &mut Command) -> String {
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_steps_lint_what_init_made_and_what_is_proposed() {
    let job = Job::new();
    let ran = |expect: bool, word: &str| {
        for folder in FOLDERS {
            let (is_well, said) = job.run(folder);
            assert_eq!(is_well, expect, "{folder}: {said}");
            assert!(said.contains(word), "{folder}: {said}");
        }
    };
    ran(false, "::error file=.millrace/package::No package is named");
    let package = job.package();
    let named = std::fs::read_to_string(job.at("clone/.millrace/package")).expect("the file");
    let another = package.replacen(|digit: char| digit.is_ascii_hexdigit(), "x", 1);
    job.push(".millrace/package", &format!("{named}{another}"));
    ran(
        false,
        "is not the package of .millrace/package: its SHA-256 is",
    );
    job.push(".millrace/package", &format!("{named}{package}"));
    ran(true, "files read: nothing to mend");
    // The examples, where the template's page says that they go.
    for (from, to) in [
        (
            "examples/builds/2026-11/hello.yaml",
            "builds/2026/11/hello.yaml",
        ),
        (
            "examples/releases/2026-11/hello.yaml",
            "releases/2026/11/hello.yaml",
        ),
    ] {
        let text = std::fs::read_to_string(job.at("clone").join(from)).expect("the example");
        job.push(to, &text);
    }
    ran(true, "files read: nothing to mend");
    job.push("builds/2026/11/wrong.yaml", MISTAKE);
    ran(false, "debian-21");
    std::fs::remove_file(job.at("clone/.millrace/package")).expect("it was there");
    job.push("README.md", "x\n");
    ran(false, "No package is named");
}
