//! `millrace watch` waits for what comes, and for nothing else.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::fixture::{APP, RELEASE, build, release};
use crate::person::Person;

#[tokio::test]
async fn a_request_that_no_commit_has_ends_it() {
    let person = Person::new().await;
    let said = person
        .refused(&["watch", "builds/2026/11/hello.yaml"])
        .await;
    assert!(said.starts_with("4 millrace: "), "{said}");
    assert!(
        said.contains("is not on branch `main` (planned commit "),
        "{said}"
    );
    assert!(said.ends_with(": commit it and push it"), "{said}");
    let said = person.refused(&["watch", "hello"]).await;
    assert_eq!(
        said,
        "4 millrace: hello is no request: a request's path looks like builds/2026/11/hello.yaml"
    );
}

#[tokio::test]
async fn nothing_to_watch_is_said() {
    let person = Person::new().await;
    let said = person.says(&["watch"]).await;
    assert_eq!(said.code, 0);
    assert!(said.err.contains("there are no requests"), "{said:?}");
}

#[tokio::test]
async fn a_broken_configuration_is_shown_and_ends_it() {
    let mut person = Person::new().await;
    let broken = ("platforms/el-10.yaml", Some("format: rpmm\n"));
    let text = build(&["app"]);
    person.world.merge(&[broken, (APP, Some(&text))]).await;
    let said = person.says(&["watch", APP]).await;
    assert_eq!(said.code, 5, "{said:?}");
    assert!(said.out.contains("the configuration is broken"), "{said:?}");
    assert!(said.out.contains("platforms/el-10.yaml"), "{said:?}");
    let said = person.says(&["status"]).await;
    assert!(said.out.contains("the configuration is broken"), "{said:?}");
}

#[tokio::test]
async fn what_was_pushed_a_moment_ago_is_waited_for() {
    let mut person = Person::new().await;
    let text = build(&["app"]);
    person.world.push(&[(APP, Some(&text))]);
    let mut watch = person.starts(&["watch", APP]);
    // It says at once that it waits; only then is the commit planned.
    let mut lines = BufReader::new(watch.stderr.take().expect("a pipe")).lines();
    let line = lines.next_line().await.expect("text").expect("a line");
    assert!(line.contains("is not planned yet"), "{line}");
    person.world.quiet().await;
    let ended = tokio::time::timeout(Duration::from_secs(60), watch.wait_with_output()).await;
    let ended = ended.expect("it ends").expect("it ends");
    assert_eq!(ended.status.code(), Some(0));
    let out = String::from_utf8_lossy(&ended.stdout);
    assert!(out.contains("succeeded  builds/2026/11/app.yaml"), "{out}");
}

#[tokio::test]
async fn time_is_limited_when_it_was_said() {
    let mut person = Person::new().await;
    person.world.script(|_| crate::world::Act::Hold);
    person.merge(&["app"]).await;
    let said = person.refused(&["watch", "--timeout", "1", APP]).await;
    assert!(said.starts_with("6 millrace: not at rest after "), "{said}");
}

#[tokio::test]
async fn work_that_no_runner_serves_is_told() {
    let mut person = Person::new().await;
    let without = ("runners/builder.yaml", None);
    let text = build(&["app"]);
    person.world.merge(&[without, (APP, Some(&text))]).await;
    let said = person.says(&["watch", "--timeout", "1", APP]).await;
    assert_eq!(said.code, 6, "{said:?}");
    assert!(
        said.out.contains("no enrolled runner has the role"),
        "{said:?}"
    );
}

#[tokio::test]
async fn a_release_of_a_failed_build_ends_it_and_is_explained() {
    let mut person = Person::with_failure().await;
    let text = release(&[APP], &["base"]);
    person.world.merge(&[(RELEASE, Some(&text))]).await;
    let said = person.says(&["watch", RELEASE]).await;
    assert_eq!(said.code, 1, "{said:?}");
    let why = "builds/2026/11/app.yaml: it is failed; the release waits until it has succeeded";
    assert_eq!(said.out.matches(why).count(), 1, "{said:?}");
    assert!(
        said.err.contains("`millrace why builds/2026/11/app.yaml`"),
        "{said:?}"
    );
    let all = person.says(&["watch"]).await;
    assert_eq!(all.code, 1, "{all:?}");
    let why = person.says(&["why", RELEASE]).await;
    assert!(why.out.contains("it has no task yet; it waits"), "{why:?}");
}

#[tokio::test]
async fn a_bad_end_points_on() {
    let person = Person::with_failure().await;
    let said = person.says(&["watch", APP]).await;
    assert_eq!(said.code, 1, "{said:?}");
    for expect in ["millrace why ", "millrace logs "] {
        let expect = format!("`{expect}{APP}`");
        assert!(said.err.contains(&expect), "{said:?}");
    }
}

#[tokio::test]
async fn a_name_without_its_folders_is_answered_with_the_path() {
    let person = Person::with_failure().await;
    for args in [
        ["watch", "app"],
        ["status", "app.yaml"],
        ["why", "app.yaml"],
    ] {
        let said = person.refused(&args).await;
        assert!(said.starts_with("4 millrace: app"), "{said}");
        assert!(
            said.ends_with("; did you mean builds/2026/11/app.yaml?"),
            "{said}"
        );
    }
    let id = person.task().to_string();
    let said = person.refused(&["status", &id]).await;
    assert!(said.starts_with("2 millrace: "), "{said}");
    assert!(said.contains(&format!("`millrace why {id}`")), "{said}");
}

/// What ended long ago is of no interest to who watches all.
#[tokio::test]
async fn it_begins_with_what_is_open() {
    const TOOL: &str = "builds/2026/11/tool.yaml";
    let mut person = Person::new().await;
    person.merge(&["app"]).await;
    let rest = person.says(&["watch"]).await;
    assert_eq!((rest.code, &*rest.out), (0, ""), "{rest:?}");
    let expect = "millrace: nothing is open; 1 request is at rest: `millrace status`";
    assert_eq!(rest.err.trim_end(), expect);

    let mut first = true;
    person
        .world
        .script(move |_| match std::mem::take(&mut first) {
            true => crate::world::Act::Work,
            false => crate::world::Act::Hold,
        });
    let text = build(&["tool"]);
    person.world.merge(&[(TOOL, Some(&text))]).await;
    let all = person.says(&["watch", "--timeout", "1"]).await;
    assert_eq!(all.code, 6, "{all:?}");
    assert!(!all.out.contains("app"), "{all:?}");
    assert!(!all.out.contains("source tool"), "it is done: {all:?}");
    assert!(all.out.contains("build tool for el-10"), "{all:?}");
    // By name, all of it.
    let one = person.says(&["watch", APP]).await;
    assert!(one.out.contains("source app for el-10"), "{one:?}");
}
