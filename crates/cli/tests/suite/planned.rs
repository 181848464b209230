//! `millrace plan` against a real state repository: what is pushed, and what nobody has pushed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

use crate::fixture::{APP, CONFIG, RELEASE, release};
use crate::person::{Person, Said, millrace, said};
use crate::served::TOKEN;

/// A control plane without runners, its state repository, and a person's clone of it.
struct Real {
    home: TempDir,
    _up: Child,
}

impl Real {
    async fn new() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let path = |name: &str| home.path().join(name);
        let bare = path("state.git");
        for name in ["secrets", "clone"] {
            std::fs::create_dir(path(name)).expect("a directory");
        }
        std::fs::write(path("secrets/admin.token"), TOKEN).expect("a token");
        let clone = path("clone");
        let bare_text = bare.to_str().expect("text");
        git(
            home.path(),
            &[
                "init",
                "--quiet",
                "--bare",
                "--initial-branch",
                "main",
                bare_text,
            ],
        );
        git(&clone, &["init", "--quiet", "--initial-branch", "main"]);
        git(&clone, &["remote", "add", "origin", bare_text]);
        for (path, text) in CONFIG {
            write(&clone, path, text);
        }
        write(&clone, ".gitignore", "*.orig\n");
        let real = Self {
            _up: start(home.path()).await,
            home,
        };
        real.commit("first");
        real.push("main");
        real
    }

    fn clone(&self) -> PathBuf {
        self.home.path().join("clone")
    }

    fn write(&self, path: &str, text: &str) {
        write(&self.clone(), path, text);
    }

    fn commit(&self, message: &str) {
        git(&self.clone(), &["add", "--all"]);
        git(&self.clone(), &["commit", "--quiet", "--message", message]);
    }

    fn push(&self, branch: &str) {
        git(&self.clone(), &["push", "--quiet", "origin", branch]);
    }

    async fn says(&self, args: &[&str]) -> Said {
        let mut command = millrace(args);
        command
            .current_dir(self.clone())
            .env("MILLRACE_DATA", self.home.path());
        said(command).await
    }

    /// Until the newest commit is planned.
    async fn planned(&self) {
        let said = self.says(&["watch"]).await;
        assert_eq!(said.code, 0, "{said:?}");
    }
}

async fn start(home: &Path) -> Child {
    let mut up = millrace(&["up", "--no-runners", "--listen", "127.0.0.1:0", "--data"])
        .arg(home)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("millrace starts");
    let mut lines = BufReader::new(up.stdout.take().expect("a pipe")).lines();
    let line = lines.next_line().await.expect("text").expect("a line");
    assert!(line.starts_with("millrace is up at http://"), "{line}");
    up
}

fn write(top: &Path, path: &str, text: &str) {
    let file = top.join(path);
    std::fs::create_dir_all(file.parent().expect("a parent")).expect("a directory");
    std::fs::write(file, text).expect("a file");
}

fn git(directory: &Path, args: &[&str]) {
    let status = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@localhost", "-C"])
        .arg(directory)
        .args(args)
        .status();
    assert!(status.expect("git starts").success(), "{args:?}");
}

/// A build whose source needs no look at the network.
fn request() -> String {
    "reason: a test\nplatforms: {debian-12: [amd64]}\npackages:\n  - source:\n      dsc: https://example.org/app_1.0-1.dsc\n      sha256: 75296f5ef618ae2f1849e22b142a2b5ab52c452ebefa4e7b0564c44617db3790\n".to_owned()
}

#[tokio::test]
async fn a_checkout_is_planned_as_it_is() {
    let real = Real::new().await;
    real.planned().await;
    let said = real.says(&["plan"]).await;
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("no request differs"), "{said:?}");
    // Not even added.
    real.write(APP, &request());
    real.write("builds/2026/11/app.yaml.orig", "ignored");
    let said = real.says(&["plan"]).await;
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.err.contains("1 file that differs"), "{said:?}");
    assert!(
        said.out.contains("added builds/2026/11/app.yaml"),
        "{said:?}"
    );
    assert!(said.out.contains("source app for debian-12"), "{said:?}");
    let from_elsewhere = real.says(&["plan", "builds/.."]).await;
    assert_eq!(from_elsewhere.out, said.out);
    // Committed on a branch that was not pushed, and broken.
    git(&real.clone(), &["switch", "--quiet", "--create", "mine"]);
    real.write(APP, "reason: [\n");
    real.commit("broken");
    let said = real.says(&["plan", "mine"]).await;
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("mine of the checkout here"), "{said:?}");
    let status = real.says(&["status", "--json"]).await;
    assert!(
        status.out.contains("\"requests\": []"),
        "nothing was written: {status:?}"
    );
}

#[tokio::test]
async fn what_a_plan_would_cost_is_said() {
    let real = Real::new().await;
    real.planned().await;
    let nothing = real.says(&["plan", "--cost"]).await;
    assert_eq!(nothing.code, 0, "{nothing:?}");
    assert!(nothing.out.contains("this plan: $0 ="), "{nothing:?}");
    assert!(nothing.out.contains("an idle month"), "{nothing:?}");
    real.write(APP, &request());
    real.write(RELEASE, &release(&[APP], &["debian"]));
    let said = real.says(&["plan", "--cost"]).await;
    assert_eq!(said.code, 0, "{said:?}");
    for (path, expect) in [
        (APP, "for 3 tasks (1 builds)"),
        // Compose, sign metadata, smoke test.
        (RELEASE, "for 3 tasks:"),
        ("this plan", "for 6 tasks (1 builds)"),
    ] {
        let line = said.out.lines().find(|line| {
            let line = line.trim_start();
            line.starts_with(&format!("{path}: $"))
        });
        let line = line.unwrap_or_else(|| panic!("{path}: {said:?}"));
        assert!(line.contains(expect), "{line}");
    }
    let json = async |args: &[&str]| -> Value {
        let args = [&["--json", "plan"], args].concat();
        let said = real.says(&args).await;
        assert_eq!(said.code, 0, "{said:?}");
        serde_json::from_str(&said.out).expect("JSON")
    };
    let plain = json(&[]).await;
    assert!(plain.get("cost").is_none(), "{plain}");
    let mut priced = json(&["--cost"]).await;
    let cost = priced.as_object_mut().and_then(|it| it.remove("cost"));
    let cost = cost.expect("it was asked for");
    assert_eq!(priced, plain, "the plan is the same");
    assert_eq!(cost["plan"]["tasks"], 6);
    assert_eq!(cost["requests"][0]["path"], APP);
    assert_eq!(cost["requests"][0]["builds"], 1);
    assert_eq!(cost["mass_rebuild"]["builds"], 50_000);
    let longer = json(&["--cost", "--build-minutes", "20"]).await;
    let machines = |cost: &Value| cost["plan"]["machines"].as_f64().expect("a number");
    assert!(machines(&longer["cost"]) > machines(&cost), "{longer}");
    // A plan with a problem still fails.
    real.write(APP, "reason: [\n");
    let said = real.says(&["plan", "--cost"]).await;
    assert_eq!(said.code, 1, "{said:?}");
}

#[tokio::test]
async fn what_no_cost_can_be_is_refused() {
    let person = Person::new().await;
    let check = async |args: &[&str], expect: &str| {
        let said = person.says(&[&["plan"], args].concat()).await;
        assert_eq!(said.code, 2, "{args:?}: {said:?}");
        assert!(said.err.contains(expect), "{args:?}: {said:?}");
    };
    for bad in ["-1", "NaN", "inf", "500001", "ten"] {
        let minutes = format!("--build-minutes={bad}");
        check(&["--cost", &minutes], "write a number from 0 to 500000").await;
    }
    check(&["--cost", "--machine", "laptop"], "arm-spot").await;
    check(&["--build-mib", "5"], "--cost").await;
}

#[tokio::test]
async fn a_checkout_that_is_behind_takes_nothing_away() {
    let real = Real::new().await;
    real.write(APP, &request());
    real.commit("app");
    real.push("main");
    // Nobody works, so it is planned and never at rest.
    let said = real.says(&["watch", "--timeout", "5", APP]).await;
    assert_eq!(said.code, 6, "{said:?}");
    git(&real.clone(), &["reset", "--quiet", "--hard", "HEAD~1"]);
    real.write("builds/2026/11/tool.yaml", &request());
    let said = real.says(&["plan"]).await;
    assert!(
        said.out.contains("added builds/2026/11/tool.yaml"),
        "{said:?}"
    );
    assert!(!said.out.contains(APP), "{said:?}");
}

#[tokio::test]
async fn branches_and_commits_are_planned_by_their_names() {
    let real = Real::new().await;
    real.planned().await;
    git(
        &real.clone(),
        &["switch", "--quiet", "--create", "feature/app"],
    );
    real.write(APP, &request());
    real.commit("app");
    let check = async |name: &str, expect: &str| {
        let said = real.says(&["plan", name]).await;
        let text = format!("{} {}", said.out, said.err);
        assert!(text.contains(expect), "{name}: {said:?}");
    };
    check("HEAD", "added builds/2026/11/app.yaml").await;
    check("feature/app", "of the checkout here").await;
    real.push("feature/app");
    check("feature/app", "added builds/2026/11/app.yaml").await;
    check(
        "no-such",
        "neither the state repository nor the checkout here has a branch or commit no-such",
    )
    .await;
}

#[tokio::test]
async fn another_distributions_checkout_is_refused() {
    let (one, other) = (Real::new().await, Real::new().await);
    one.planned().await;
    other.write(".note", "another history\n");
    other.commit("other");
    other.push("main");
    other.planned().await;
    let mut command = millrace(&["plan"]);
    command
        .current_dir(one.clone())
        .env("MILLRACE_DATA", other.home.path());
    let said = said(command).await;
    assert_eq!(said.code, 5, "{said:?}");
    assert!(said.err.contains("run `git fetch` in it"), "{said:?}");
}

#[tokio::test]
async fn a_directory_that_is_no_checkout_is_told() {
    let real = Real::new().await;
    let said = real.says(&["plan", "/proc/self"]).await;
    assert_eq!(said.code, 4, "{said:?}");
    let mut command = millrace(&["plan"]);
    command
        .current_dir(real.home.path())
        .env("MILLRACE_DATA", real.home.path());
    let said = crate::person::said(command).await;
    assert_eq!(said.code, 4, "{said:?}");
    assert!(
        said.err.contains("is no checkout of a state repository"),
        "{said:?}"
    );
}

#[tokio::test]
async fn a_checkout_knows_how_far_a_request_came() {
    let real = Real::new().await;
    real.planned().await;
    let check = async |expect: &str| {
        for command in ["status", "watch", "why", "logs"] {
            let said = real.says(&[command, APP]).await;
            assert_eq!(said.code, 4, "{said:?}");
            assert!(said.err.contains("is not on branch `main`"), "{said:?}");
            assert!(said.err.contains(expect), "{expect}: {said:?}");
        }
    };
    check(": commit it and push it").await;
    real.write(APP, &request());
    check("it is not committed; `git add builds/2026/11/app.yaml`").await;
    git(&real.clone(), &["switch", "--quiet", "--create", "topic"]);
    real.commit("app");
    real.push("topic");
    check("has it on branch `topic`; merge that into `main`").await;
    git(&real.clone(), &["switch", "--quiet", "main"]);
    check("has it on branch `topic`; merge that into `main`").await;
    git(&real.clone(), &["merge", "--quiet", "topic"]);
    check("it is not pushed; `git push`").await;
}

#[tokio::test]
async fn a_control_plane_that_comes_back_is_waited_for() {
    let mut real = Real::new().await;
    real.write(APP, &request());
    real.commit("app");
    real.push("main");
    // Nobody works, so it is never at rest.
    let mut watch = millrace(&["watch", "--timeout", "20", APP])
        .env("MILLRACE_DATA", real.home.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("millrace starts");
    let mut out = BufReader::new(watch.stdout.take().expect("a pipe")).lines();
    let line = out.next_line().await.expect("text").expect("a line");
    assert!(line.contains("app"), "{line}");
    real._up.kill().await.expect("it ran");
    let mut err = BufReader::new(watch.stderr.take().expect("a pipe")).lines();
    loop {
        let line = err.next_line().await.expect("text").expect("a line");
        if line == "millrace: lost the control plane, waiting…" {
            break;
        }
    }
    // At another address, since the port is a free one.
    real._up = start(real.home.path()).await;
    git(&real.clone(), &["rm", "--quiet", APP]);
    real.commit("gone");
    real.push("main");
    loop {
        let line = out.next_line().await.expect("text").expect("it goes on");
        if line.contains("removed    builds/2026/11/app.yaml") {
            break;
        }
    }
    let ended = watch.wait().await.expect("it ends");
    assert_eq!(ended.code(), Some(0));
}

/// The disk of the artifact store is not mounted, and the ledger is good.
#[tokio::test]
async fn an_empty_store_is_no_place_to_go_on() {
    let mut real = Real::new().await;
    real.write(APP, &request());
    real.commit("app");
    real.push("main");
    let state = real.home.path().join("state.git");
    let is_told = || {
        let mut show = Command::new("git");
        show.arg("-C").arg(&state);
        let shown = show.args(["cat-file", "-e", &format!("status:{APP}")]);
        let shown = shown.stderr(Stdio::null()).status();
        shown.expect("git starts").success()
    };
    let begun = std::time::Instant::now();
    while !is_told() {
        assert!(begun.elapsed() < std::time::Duration::from_secs(60));
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    real._up.kill().await.expect("it ran");
    let data = real.home.path().join("data");
    let (store, away) = (data.join("artifacts"), data.join("away"));
    std::fs::rename(&store, &away).expect("it is there");
    let up = ["up", "--no-runners", "--listen", "127.0.0.1:0"];
    let said = real.says(&up).await;
    assert_eq!(said.code, 3, "{said:?}");
    for expect in [
        format!("the artifact store {}", store.display()),
        "the artifact store: it is empty".to_owned(),
        "nothing was started and nothing was changed".to_owned(),
    ] {
        assert!(said.err.contains(&expect), "{expect}: {said:?}");
    }
    assert!(!store.exists(), "it was made");
    std::fs::rename(&away, &store).expect("it is there");
    real._up = start(real.home.path()).await;
}

#[tokio::test]
async fn lint_finds_its_checkout_from_below() {
    let real = Real::new().await;
    let whole = real.says(&["lint"]).await;
    let below = real.says(&["lint", "platforms"]).await;
    assert_eq!((below.code, &below.out), (whole.code, &whole.out));
    let said = real.says(&["lint", "/nowhere"]).await;
    assert_eq!(said.code, 4, "{said:?}");
    assert!(said.err.contains("/nowhere does not exist"), "{said:?}");
}
