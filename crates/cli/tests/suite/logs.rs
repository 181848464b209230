//! `millrace logs`.

use crate::fixture::APP;
use crate::person::Person;
use crate::world::Act;

#[tokio::test]
async fn a_requests_log_is_that_of_what_failed() {
    let person = Person::with_failure().await;
    person
        .served
        .write_log(&person.task(), 1, b"\x1b[31mboom\x1b[0m\n");
    let said = person.says(&["logs", APP]).await;
    // To a file or a pipe it goes byte for byte.
    assert_eq!((said.code, &*said.out), (0, "\u{1b}[31mboom\u{1b}[0m\n"));
    assert!(said.err.contains("the log of"), "{said:?}");
    assert!(
        said.err.contains("source app for el-10 (failed)"),
        "{said:?}"
    );
}

#[tokio::test]
async fn a_terminal_gets_text_alone() {
    let person = Person::with_failure().await;
    person
        .served
        .write_log(&person.task(), 1, b"\x1b]0;owned\x07\x1b[31mboom\x1b[0m\n");
    // script(1) gives the program a terminal.
    let check = async |flag: &str, expect: &str| {
        let words = format!("{} logs {flag} {APP}", env!("CARGO_BIN_EXE_millrace"));
        let mut script = tokio::process::Command::new("script");
        script
            .args(["--quiet", "--return", "--command", &words, "/dev/null"])
            .env("MILLRACE_DATA", person.home())
            .env("MILLRACE_URL", format!("http://{}", person.served.address))
            .stdin(std::process::Stdio::null());
        let output = script.output().await;
        let output = output.expect("script(1) is there: Debian's package bsdutils");
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        let last = shown.lines().last().unwrap_or_default();
        assert_eq!(last.trim_end(), expect, "{shown:?}");
    };
    check("", "boom").await;
    check("--raw", "\u{1b}]0;owned\u{7}\u{1b}[31mboom\u{1b}[0m").await;
}

#[tokio::test]
async fn a_log_that_is_not_there_says_why() {
    let mut person = Person::with_failure().await;
    let id = person.task().to_string();
    let said = person.refused(&["logs", &id, "--attempt", "99"]).await;
    assert!(said.starts_with("4 millrace: "), "{said}");
    assert!(
        said.ends_with("has no attempt 99: the last one is 1"),
        "{said}"
    );
    let said = person.refused(&["logs", "abcd"]).await;
    assert_eq!(
        said,
        "4 millrace: no task or request is called abcd; `millrace status` lists them"
    );
    person.world.script(|_| Act::Hold);
    let said = person.says(&["retry", APP]).await;
    assert_eq!(said.code, 0, "{said:?}");
    person.world.quiet().await;
    let said = person.refused(&["logs", APP]).await;
    assert!(said.starts_with("5 millrace: "), "{said}");
    assert!(
        said.ends_with("attempt 2 has written nothing yet"),
        "{said}"
    );
}
