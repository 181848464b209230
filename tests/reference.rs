//! docs/reference/cli.md is what `--help` of the runners' programs prints. `UPDATE=1 cargo test -p whole --test reference`
//! writes it. The sections of `millrace` itself are held by its own tests.

#![allow(
    clippy::disallowed_methods,
    reason = "a test starts programs and reads a page"
)]

use std::path::Path;
use std::process::Command;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/cli.md");
/// The first section that is not of `millrace`; all that follow are here.
const FIRST: &str = "## millrace-runner enroll\n";
const COMMANDS: [(&str, &[&str]); 2] = [
    ("millrace-runner", &["enroll", "run"]),
    (
        "millrace-signer",
        &["enroll", "keygen", "certificate", "run"],
    ),
];

fn help(program: &str, command: &str) -> String {
    let own = std::env::current_exe().expect("this test's file");
    let target = own.ancestors().nth(2).expect("target/debug/deps/test");
    let path = target.join(program);
    assert!(
        Path::new(&path).exists(),
        "{} is missing: run `cargo build --workspace --bins`, or `cargo xtask test`",
        path.display()
    );
    let output = Command::new(path).args([command, "--help"]).output();
    let output = output.expect("it starts");
    assert!(output.status.success(), "{program} {command} --help");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let lines = text.lines().map(|line| format!("{}\n", line.trim_end()));
    lines.collect()
}

#[test]
fn the_reference_is_what_help_prints() {
    let page = std::fs::read_to_string(PAGE).expect("the page");
    let begin = page.find(FIRST).expect("the first section");
    let mut sections = Vec::new();
    for (program, commands) in COMMANDS {
        for command in commands {
            let help = help(program, command);
            sections.push(format!("## {program} {command}\n\n```text\n{help}```\n"));
        }
    }
    let sections = sections.join("\n");
    if std::env::var_os("UPDATE").is_some() {
        let updated = format!("{}{sections}", &page[..begin]);
        return std::fs::write(PAGE, updated).expect("the page can be written");
    }
    assert!(
        page[begin..] == sections,
        "docs/reference/cli.md is not what --help prints: UPDATE=1 cargo test -p whole --test reference"
    );
}
