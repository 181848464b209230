//! Commands without a control plane, or with one that is gone.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::person::{Person, millrace, said};

#[tokio::test]
async fn a_reader_that_goes_away_is_no_error() {
    let person = Person::with_failure().await;
    for args in [
        &["status"][..],
        &["status", "--json"],
        &["why", "builds/2026/11/app.yaml"],
        &["man"],
        &["completions", "bash"],
        &["--help"],
    ] {
        let mut command = person.command(args);
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let child = command.stdout(writer).stderr(Stdio::piped()).spawn();
        let ended = child.expect("it starts").wait_with_output().await;
        let ended = ended.expect("it ends");
        let err = String::from_utf8_lossy(&ended.stderr);
        assert_eq!((ended.status.code(), &*err), (Some(0), ""), "{args:?}");
    }
}

#[tokio::test]
async fn an_error_is_json_when_it_was_asked_for() {
    let person = Person::new().await;
    let check = async |args: &[&str], kind: &str, code: i32| {
        let said = person.says(args).await;
        assert_eq!(said.code, code, "{args:?}: {said:?}");
        assert_eq!(said.out, "", "{args:?}");
        let error: Value = serde_json::from_str(&said.err)
            .unwrap_or_else(|_| panic!("{args:?} says {:?}", said.err));
        let error = &error["error"];
        assert_eq!(
            (&error["kind"], &error["code"]),
            (&kind.into(), &code.into())
        );
        assert!(error["message"].is_string(), "{error}");
    };
    check(
        &["--json", "status", "builds/2026/11/no.yaml"],
        "not-there",
        4,
    )
    .await;
    check(
        &["--json", "watch", "builds/2026/11/no.yaml"],
        "not-there",
        4,
    )
    .await;
    check(&["--json", "why", "abcd"], "not-there", 4).await;
    check(&["--json", "logs", "abcd"], "not-there", 4).await;
    check(&["--json", "plan", "no-branch"], "not-there", 4).await;
    check(&["--json", "verify", "no-such"], "not-there", 4).await;
    check(&["--json", "why", "not hex"], "usage", 2).await;
    check(&["--json", "frobnicate"], "usage", 2).await;
    check(&["--json", "lint", "/proc/self"], "not-there", 4).await;
    check(
        &["--json", "--url", "http://127.0.0.1:1", "status"],
        "usage",
        2,
    )
    .await;
    check(
        &["--json", "status", "--url", "http://127.0.0.1:1"],
        "trouble",
        3,
    )
    .await;
}

#[tokio::test]
async fn without_a_control_plane_it_says_how_to_start_one() {
    let person = Person::new().await;
    let home = person.home().display().to_string();
    let check = async |args: &[&str], expect: &str| {
        let mut command = person.command(args);
        command.env_remove("MILLRACE_URL");
        let said = said(command).await;
        assert_eq!(said.code, 3, "{said:?}");
        let expect = expect.replace("HOME", &home);
        assert_eq!(said.err.trim_end(), format!("millrace: {expect}"));
    };
    check(
        &["status"],
        "no control plane runs on HOME: start it with `millrace up --data HOME`",
    )
    .await;
    check(
        &["status", "--data", "/proc"],
        "/proc is no data directory of millrace: give --data DIR or set MILLRACE_DATA to the one that `millrace init` made, or give --url",
    )
    .await;
    // As kill -9 leaves it: the number is above what a process can have.
    let note = r#"{"url":"http://127.0.0.1:1","pid":2147483646}"#;
    std::fs::write(person.path("running.json"), note).expect("a note");
    check(
        &["watch"],
        "the control plane on HOME is gone without having stopped (process 2147483646): start it again with `millrace up --data HOME --listen 127.0.0.1:1`, and it goes on where it was",
    )
    .await;
    // Killed, and nobody has asked for its end yet.
    let mut child = tokio::process::Command::new("true")
        .spawn()
        .expect("it starts");
    let pid = child.id().expect("it was not waited for");
    let ended = || std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.is_empty());
    while !ended() {
        tokio::task::yield_now().await;
    }
    let note = format!(r#"{{"url":"http://127.0.0.1:1","pid":{pid}}}"#);
    std::fs::write(person.path("running.json"), note).expect("a note");
    check(
        &["status"],
        &format!("the control plane on HOME is gone without having stopped (process {pid}): start it again with `millrace up --data HOME --listen 127.0.0.1:1`, and it goes on where it was"),
    )
    .await;
    child.wait().await.expect("it ended");
    // The number was given to another program since.
    let note = format!(
        r#"{{"url":"http://{}","pid":{}}}"#,
        person.served.address,
        std::process::id()
    );
    std::fs::write(person.path("running.json"), note).expect("a note");
    let mut command = person.command(&["status"]);
    command.env_remove("MILLRACE_URL");
    let said = said(command).await;
    assert_eq!(said.code, 3, "{said:?}");
    assert!(said.err.contains("is gone without"), "{said:?}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_with_the_way_out() {
    let person = Person::new().await;
    let git = tokio::process::Command::new("git")
        .args(["init", "--quiet", "--bare"])
        .arg(person.path("state.git"))
        .status()
        .await;
    assert!(git.expect("git starts").success());
    let taken = person.served.address.to_string();
    let said = person
        .says(&["up", "--no-runners", "--listen", &taken])
        .await;
    assert_eq!(said.code, 3, "{said:?}");
    let expect =
        format!("millrace: listen on {taken}: choose another port with --listen 127.0.0.1:PORT");
    assert!(said.err.contains(&expect), "{said:?}");
}

#[tokio::test]
async fn the_login_of_a_state_repository_is_nobody_elses() {
    let person = Person::new().await;
    let login = person.path("login");
    std::fs::write(&login, "very-secret\n").expect("a login");
    let up = [
        "up",
        "--no-runners",
        "--state",
        "https://git.example.org/x.git",
        "--state-token-file",
        login.to_str().expect("text"),
    ];
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(&login, std::fs::Permissions::from_mode(0o644)).expect("a mode");
    let said = person.says(&up).await;
    assert_eq!(said.code, 3);
    assert!(said.err.contains("can be read by others"), "{said:?}");
    assert!(!said.err.contains("very-secret"), "{said:?}");
}

#[tokio::test]
async fn wrong_and_missing_tokens_are_told_apart() {
    let person = Person::with_failure().await;
    let file = person.path("secrets/admin.token");
    let retry = ["retry", "builds/2026/11/app.yaml"];
    std::fs::write(&file, "0000000000000000").expect("a token");
    let said = person.refused(&retry).await;
    assert!(said.starts_with("3 millrace: the token is wrong"), "{said}");
    std::fs::remove_file(&file).expect("it was there");
    let said = person.refused(&retry).await;
    let expect = format!(
        "3 millrace: this command needs the token in {}, which is not there",
        file.display()
    );
    assert!(said.starts_with(&expect), "{said}");
}

#[tokio::test]
async fn every_command_teaches_by_example() {
    let help = said(millrace(&["--help"])).await.out;
    assert!(help.contains("Exit codes of every command"), "{help}");
    for command in [
        "init", "up", "lint", "plan", "status", "watch", "logs", "why", "cancel", "retry", "verify",
    ] {
        let help = said(millrace(&[command, "--help"])).await.out;
        assert!(help.contains("Examples:\n  millrace "), "{command}: {help}");
        let man = said(millrace(&["man"])).await.out;
        let title = format!("MILLRACE {}", command.to_uppercase());
        assert!(man.contains(&title), "{command}");
    }
}

/// `millrace` in a folder of its own, with these programs beside it. Each writes its words to `said`.
pub(crate) fn installed(programs: &[&str]) -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    // Beside the real one, so that it can be a link: a copy would be large.
    let real = std::path::Path::new(env!("CARGO_BIN_EXE_millrace"));
    let folder = tempfile::tempdir_in(real.parent().expect("a folder")).expect("a directory");
    std::fs::hard_link(real, folder.path().join("millrace")).expect("a link");
    for program in programs {
        let file = folder.path().join(program);
        let text =
            "#!/bin/sh\necho \"${0##*/} $*\" >> \"${0%/*}/said\"\necho \"text of ${0##*/}\"\n";
        std::fs::write(&file, text).expect("a program");
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&file, mode).expect("a mode");
    }
    folder
}

async fn init(folder: &std::path::Path) -> crate::person::Said {
    let mut init = tokio::process::Command::new(folder.join("millrace"));
    init.args(["init", "--name", "Example", "--jobs", "3"])
        .arg(folder.join("new"));
    said(init).await
}

#[tokio::test]
async fn init_names_a_missing_program_before_it_makes_anything() {
    let folder = installed(&["millrace-runner"]);
    let said = init(folder.path()).await;
    assert_eq!(said.code, 3, "{said:?}");
    assert!(said.err.contains("millrace-signer is missing"), "{said:?}");
    assert!(!folder.path().join("new").exists());
}

#[tokio::test]
async fn the_signer_makes_the_signing_key_and_nobody_else() {
    let folder = installed(&["millrace-runner", "millrace-signer"]);
    let ended = init(folder.path()).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let words = std::fs::read_to_string(folder.path().join("said")).expect("they were started");
    let keys = folder.path().join("new/secrets/signing");
    let keygen = format!(
        "millrace-signer keygen --keys {} --file main.key --user-id Example packages\n",
        keys.display()
    );
    assert!(words.contains(&keygen), "{words}");
    assert!(words.contains("--capacity 3"), "{words}");
    let made = std::fs::read_dir(&keys).expect("the folder").count();
    assert_eq!(made, 0, "millrace itself writes no key");
    let show = |path: &str| {
        let repo = folder.path().join("new/state.git");
        let mut git = std::process::Command::new("git");
        git.arg("-C")
            .arg(repo)
            .args(["show", &format!("main:{path}")]);
        String::from_utf8(git.output().expect("git starts").stdout).expect("text")
    };
    assert_eq!(show("keys/main.asc"), "text of millrace-signer\n");
    assert!(show("keys/main.yaml").contains("private: {file: main.key}"));
}

#[tokio::test]
async fn a_recovery_that_cannot_be_done_puts_the_old_ledger_back() {
    let folder = installed(&["millrace-runner", "millrace-signer"]);
    assert_eq!(init(folder.path()).await.code, 0);
    let data = folder.path().join("new/data");
    std::fs::create_dir_all(&data).expect("a directory");
    std::fs::write(data.join("millrace.db"), "a ledger").expect("a file");
    std::fs::write(data.join("artifacts"), "not a directory").expect("a file");
    let mut command = millrace(&["recover", "--replace"]);
    command.arg("--data").arg(folder.path().join("new"));
    let said = said(command).await;
    assert_eq!(said.code, 3, "{said:?}");
    let expect = "millrace: the old ledger is in its place again: open the data directory: ";
    assert!(said.err.starts_with(expect), "{said:?}");
    let ledger = std::fs::read_to_string(data.join("millrace.db"));
    assert_eq!(ledger.expect("it is there"), "a ledger");
    assert!(!data.join("set-aside-1").exists());
}

/// Names of what is in `folder` and below it.
fn names(folder: &Path) -> BTreeSet<PathBuf> {
    let mut names = BTreeSet::new();
    let mut left = vec![folder.to_owned()];
    while let Some(folder) = left.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                left.push(path.clone());
            }
            names.insert(path);
        }
    }
    names
}

/// The disk with the data is not mounted, and the status branch has answers.
#[tokio::test]
async fn who_refuses_makes_nothing_and_deletes_nothing() {
    let folder = installed(&["millrace-runner", "millrace-signer"]);
    assert_eq!(init(folder.path()).await.code, 0);
    let root = folder.path().join("new");
    let repository = git::Repository::open_bare(root.join("state.git")).expect("it is there");
    let meta = git::CommitMeta {
        name: "Millrace".to_owned(),
        email: "millrace@localhost".to_owned(),
        time: 0,
        message: "status\n".to_owned(),
    };
    let answer: [(&str, Option<&[u8]>); 1] = [("builds/2026/11/app.yaml", Some(b"an answer"))];
    let made = repository.commit_files("status", None, &answer, &meta);
    let _made = made.expect("committed");
    let place = json!({"repository": root.join("state.git"), "branch": "main"});
    std::fs::write(root.join("state.json"), place.to_string()).expect("a file");
    let data = root.join("data");
    std::fs::create_dir_all(&data).expect("a folder");
    std::fs::write(data.join("lock"), "").expect("a file");
    let refuses = async |args: &[&str], expect: &str| {
        let before = names(&data);
        let mut command = millrace(args);
        command.arg("--data").arg(&root);
        let said = said(command).await;
        assert_eq!(said.code, 3, "{args:?}: {said:?}");
        assert!(said.err.contains(expect), "{args:?}: {said:?}");
        assert_eq!(names(&data), before, "{args:?}");
    };
    let up = ["up", "--no-runners", "--listen", "127.0.0.1:0"];
    refuses(&up, "`millrace recover` rebuilds it from them").await;
    let store = format!("the artifact store {}/artifacts", data.display());
    refuses(&up, &store).await;
    refuses(&up, "the artifact store: it is empty").await;
    refuses(&["recover"], "the artifact store is empty").await;
    // Somebody deleted the database and left its journal.
    let journal = data.join("millrace.db-wal");
    std::fs::write(&journal, "the last changes").expect("a file");
    let expect = format!("its last changes are, in {}", journal.display());
    refuses(&up, &expect).await;
    refuses(&["recover"], &expect).await;
    refuses(&["recover", "--replace"], "the artifact store is empty").await;
    let left = std::fs::read_to_string(&journal).expect("it is there");
    assert_eq!(left, "the last changes");
}

/// What is wrong with what is published is a finding, and no trouble of the command's.
#[tokio::test]
async fn a_tree_that_is_gone_and_a_pointer_of_another_are_findings() {
    let folder = installed(&["millrace-runner", "millrace-signer"]);
    assert_eq!(init(folder.path()).await.code, 0);
    let pointers = folder.path().join("new/data/artifacts/pointers");
    std::fs::create_dir_all(&pointers).expect("a folder");
    let digest = "0".repeat(64);
    let pointer = json!({
        "version": runner_api::VERSION, "repository": "base", "generation": 3,
        "commit": "0".repeat(40), "tree": digest, "signatures": {}, "publication": digest,
    });
    let verify = async |name: &str, expect: &str| {
        let path = pointers.join(name);
        std::fs::write(&path, pointer.to_string()).expect("a file");
        let mut command = millrace(&["verify", name]);
        command.arg("--data").arg(folder.path().join("new"));
        let said = said(command).await;
        assert_eq!((said.code, said.out.trim_end()), (1, expect), "{said:?}");
    };
    verify(
        "base",
        &format!("base: the list of all its files: expected sha256 {digest}, found No such file or directory (os error 2)"),
    )
    .await;
    verify(
        "extra",
        "extra: pointers/extra: expected the pointer of extra, found the one of base",
    )
    .await;
}

#[tokio::test]
async fn a_directory_of_something_else_is_told_by_all() {
    for args in [&["verify"][..], &["up", "--no-runners"], &["status"]] {
        let mut command = millrace(args);
        command.args(["--data", "/proc"]);
        let said = said(command).await;
        assert_eq!(said.code, 3, "{args:?}: {said:?}");
        assert!(
            said.err.contains("/proc is no data directory of millrace"),
            "{args:?}: {said:?}"
        );
    }
}

#[tokio::test]
async fn init_leaves_what_is_there_alone() {
    let folder = installed(&["millrace-runner", "millrace-signer"]);
    let new = folder.path().join("new");
    std::fs::create_dir(&new).expect("a directory");
    std::fs::write(new.join("thesis.tex"), "years of work").expect("a file");
    let ended = init(folder.path()).await;
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(
        ended.err.contains("thesis.tex would be in the way"),
        "{ended:?}"
    );
    std::fs::remove_file(new.join("thesis.tex")).expect("it was there");
    let ended = init(folder.path()).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    use std::os::unix::fs::PermissionsExt as _;
    let secrets = std::fs::metadata(new.join("secrets")).expect("it is there");
    assert_eq!(secrets.permissions().mode() & 0o777, 0o700);
}

/// What the Terraform of `examples/` says, in short.
const INSTALLATION: &str = r#"{"version": 1, "region": "eu-central-1", "api_url": "https://x.example.org",
    "key_arns": {"deb": "arn:aws:kms:eu-central-1:123456789012:key/d", "rpm": "arn:aws:kms:eu-central-1:123456789012:key/r"},
    "state_repository": {"url": "https://git.example.org/state.git", "forge": "gitea"}}"#;

#[tokio::test]
async fn a_state_repository_for_an_installation_on_aws_names_its_keys() {
    let folder = tempfile::tempdir().expect("a directory");
    let (document, new) = (
        folder.path().join("installation.json"),
        folder.path().join("new"),
    );
    let init = async |text: &str| {
        std::fs::write(&document, text).expect("a file");
        let mut init = millrace(&["init", "--name", "Example", "--installation"]);
        init.arg(&document).arg(&new);
        said(init).await
    };
    let ended = init("{}").await;
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.err.contains("installation.json"), "{ended:?}");
    assert!(
        !new.exists(),
        "nothing is made of a document that cannot be read"
    );
    let ended = init(INSTALLATION).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    for word in [
        "keys/deb.asc",
        "https://git.example.org/state.git",
        "https://x.example.org",
    ] {
        assert!(ended.out.contains(word), "{word}: {ended:?}");
    }
    assert!(!new.join("secrets").exists(), "no key is made");
    let clone = folder.path().join("clone");
    let mut git = tokio::process::Command::new("git");
    git.args(["clone", "--quiet"])
        .arg(new.join("state.git"))
        .arg(&clone);
    assert_eq!(said(git).await.code, 0);
    let read = |path: &str| std::fs::read_to_string(clone.join(path)).expect(path);
    assert!(read("keys/rpm.yaml").contains("key/r\"}"));
    assert!(read("repositories/debian-12.yaml").contains("\nkey: deb\n"));
    assert!(read("repositories/almalinux-10.yaml").contains("\nkey: rpm\n"));
    assert!(!clone.join("keys/main.yaml").exists());
    // All that is wrong is what the signer has to make.
    let mut lint = millrace(&["lint"]);
    lint.arg(&clone);
    let found = said(lint).await;
    assert_eq!(found.out.matches("warning[").count(), 2, "{found:?}");
    assert_eq!(
        found.out.matches("missing-key-file").count(),
        2,
        "{found:?}"
    );
    for name in ["deb", "rpm"] {
        let certificate = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\naGVsbG8=\n-----END PGP PUBLIC KEY BLOCK-----\n";
        std::fs::write(clone.join(format!("keys/{name}.asc")), certificate).expect("a file");
    }
    let mut lint = millrace(&["lint"]);
    lint.arg(&clone);
    let found = said(lint).await;
    assert_eq!(found.code, 0, "{found:?}");
    assert!(!found.out.contains("missing-key-file"), "{found:?}");
}

#[tokio::test]
async fn wrong_words_say_what_is_allowed() {
    let check = async |args: &[&str], expect: &str| {
        let said = said(millrace(args)).await;
        assert_eq!(said.code, 2, "{args:?}: {said:?}");
        assert!(said.err.contains(expect), "{args:?}: {said:?}");
    };
    check(&["init", "/nowhere/x", "--emulated", "arm99"], "arm64").await;
    check(&["init", "/nowhere/x", "--name", ""], "1 to 100 characters").await;
    check(&["up", "--listen", "127.0.0.1"], "127.0.0.1:7981").await;
    check(
        &["status", "--url", "127.0.0.1:7878"],
        "write http://127.0.0.1:7878",
    )
    .await;
}

#[tokio::test]
async fn a_strange_address_is_not_called_a_taken_port() {
    let person = Person::new().await;
    let git = tokio::process::Command::new("git")
        .args(["init", "--quiet", "--bare"])
        .arg(person.path("state.git"))
        .status()
        .await;
    assert!(git.expect("git starts").success());
    // An address for documentation: no machine has it.
    let up = ["up", "--no-runners", "--listen", "192.0.2.1:7981"];
    let said = person.says(&up).await;
    assert_eq!(said.code, 3, "{said:?}");
    assert!(
        said.err.contains("192.0.2.1 is no address of this machine"),
        "{said:?}"
    );
    assert!(!said.err.contains("choose another port"), "{said:?}");
}
