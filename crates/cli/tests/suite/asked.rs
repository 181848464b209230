//! `status`, `why`, `retry` and `cancel`.

use runner_api::FailureKind;

use crate::fixture::{APP, build};
use crate::person::Person;
use crate::runners::failure;
use crate::world::Act;

#[tokio::test]
async fn a_slip_in_a_name_is_answered_with_the_right_one() {
    let person = Person::with_failure().await;
    let check = async |args: &[&str]| {
        let said = person.refused(args).await;
        assert!(
            said.starts_with("4 millrace: builds/2026/11/ap.yaml"),
            "{said}"
        );
        assert!(
            said.ends_with("; did you mean builds/2026/11/app.yaml?"),
            "{said}"
        );
    };
    check(&["status", "builds/2026/11/ap.yaml"]).await;
    check(&["why", "builds/2026/11/ap.yaml"]).await;
    check(&["logs", "builds/2026/11/ap.yaml"]).await;
    check(&["watch", "builds/2026/11/ap.yaml"]).await;
}

#[tokio::test]
async fn why_takes_a_request() {
    let person = Person::with_failure().await;
    for name in [APP, "./builds/2026/11/app.yaml", "builds/2026/11/app"] {
        let said = person.says(&["why", name]).await;
        assert_eq!(said.code, 1, "{said:?}");
        assert!(
            said.out.contains("[package: build] no spec file"),
            "{said:?}"
        );
        assert!(said.out.contains("its log: millrace logs "), "{said:?}");
    }
}

#[tokio::test]
async fn a_request_that_runs_says_what_it_does() {
    let mut person = Person::new().await;
    person.world.script(|_| Act::Hold);
    person.merge(&["app"]).await;
    let said = person.says(&["status", APP]).await;
    assert_eq!(said.code, 0);
    assert!(
        said.out.contains("running    source app for el-10"),
        "{said:?}"
    );
    let said = person.says(&["why", APP]).await;
    assert!(
        said.out.contains("because runner builder is at"),
        "{said:?}"
    );
}

#[tokio::test]
async fn an_id_may_be_in_capitals() {
    let person = Person::with_failure().await;
    let id = person.task().to_string().to_uppercase();
    let said = person.says(&["why", &id[..12]]).await;
    assert_eq!(said.code, 0, "{said:?}");
}

#[tokio::test]
async fn retry_says_what_goes_again() {
    let mut person = Person::with_failure().await;
    let said = person.says(&["retry", APP]).await;
    assert_eq!((said.code, &*said.out), (0, "1 task goes again\n"));
    // A ref that is missing is no task that failed.
    let text = build(&["nowhere"]);
    person
        .world
        .script(|_| Act::Say(failure(FailureKind::Build, "never asked")));
    person
        .world
        .merge(&[("builds/2026/11/lost.yaml", Some(&text))])
        .await;
    let said = person.says(&["retry", "builds/2026/11/lost.yaml"]).await;
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("is planned anew"), "{said:?}");
    assert!(!said.out.contains("0 task"), "{said:?}");
}

#[tokio::test]
async fn what_its_state_forbids_has_its_own_code() {
    let person = Person::with_failure().await;
    let said = person.refused(&["cancel", APP]).await;
    assert_eq!(
        said,
        "5 millrace: nothing of builds/2026/11/app.yaml is open"
    );
}

#[tokio::test]
async fn remarks_on_files_are_counted_and_other_warnings_shown() {
    let mut person = Person::new().await;
    // A key without its public half: `lint` has the place and the words.
    person.world.merge(&[("keys/main.asc", None)]).await;
    let said = person.says(&["status"]).await;
    assert!(said.out.contains("1 remark on files"), "{said:?}");
    assert!(!said.out.contains("main.asc"), "{said:?}");
    let page = person.served.text("/").await;
    assert!(
        page.contains("<summary>1 remark on a file</summary>"),
        "{page}"
    );
}

#[tokio::test]
async fn a_list_says_in_a_line_what_failed() {
    let person = Person::with_failure().await;
    let said = person.says(&["status"]).await;
    let line = "    source app for el-10: [package: build] no spec file\n    see `millrace why builds/2026/11/app.yaml`\n";
    assert!(said.out.contains(line), "{said:?}");
}

#[tokio::test]
async fn a_broken_configuration_is_the_answer_and_no_guess() {
    let mut person = Person::with_failure().await;
    let broken = ("platforms/el-10.yaml", Some("format: rpmm\n"));
    let text = build(&["app"]);
    let new = "builds/2026/11/apq.yaml";
    person.world.merge(&[broken, (new, Some(&text))]).await;
    for command in ["status", "why", "logs"] {
        let said = person.refused(&[command, new]).await;
        assert!(said.starts_with("5 millrace: "), "{said}");
        assert!(said.contains("the configuration is broken"), "{said}");
        assert!(said.contains("platforms/el-10.yaml"), "{said}");
        assert!(!said.contains(APP), "no guess: {said}");
    }
}

#[tokio::test]
async fn a_second_cancel_says_that_it_stops_already() {
    let mut person = Person::new().await;
    person.world.script(|_| Act::Hold);
    person.merge(&["app"]).await;
    let said = person.says(&["cancel", APP]).await;
    assert_eq!((said.code, &*said.out), (0, "1 task stops\n"), "{said:?}");
    let said = person.refused(&["cancel", APP]).await;
    assert_eq!(
        said,
        "5 millrace: builds/2026/11/app.yaml is stopping already: 1 task ends when its runner hears of it"
    );
}

#[tokio::test]
async fn a_request_without_tasks_says_the_truth() {
    let mut person = Person::new().await;
    person.world.merge(&[(APP, Some("reason: [\n"))]).await;
    let said = person.says(&["why", APP]).await;
    assert!(said.out.contains("its file has mistakes"), "{said:?}");
    for command in ["retry", "logs"] {
        let said = person.refused(&[command, APP]).await;
        assert!(said.starts_with("5 millrace: "), "{said}");
        assert!(said.contains("edit the file and push it"), "{said}");
    }
    person.merge(&["app"]).await;
    let said = person.says(&["why", APP]).await;
    assert!(said.out.contains("tasks are done"), "{said:?}");
    person.world.merge(&[(APP, None)]).await;
    let said = person.says(&["why", APP]).await;
    assert!(said.out.contains("its file was removed"), "{said:?}");
}
