//! docs/reference/cli.md is what `--help` prints. `UPDATE=1 cargo test -p millrace reference` writes it.

use crate::person::{millrace, said};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/cli.md");
/// The first heading that is another program's: what follows is not looked at.
const OTHERS: &str = "## millrace-runner ";
const COMMANDS: [&str; 15] = [
    "init",
    "up",
    "lint",
    "plan",
    "status",
    "watch",
    "logs",
    "why",
    "cancel",
    "retry",
    "verify",
    "recover",
    "prune",
    "completions",
    "man",
];

async fn help(args: &[&str]) -> String {
    let mut words = args.to_vec();
    words.push("--help");
    let said = said(millrace(&words)).await;
    assert_eq!(said.code, 0, "{said:?}");
    // A default that depends on the machine.
    let text = said.out.replace(
        &format!("[default: {}]", std::env::consts::ARCH),
        "[default: this machine's]",
    );
    text.lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}

#[tokio::test]
async fn the_reference_is_what_help_prints() {
    let page = std::fs::read_to_string(PAGE).expect("the page");
    let begin = page.find("## millrace\n").expect("the first section");
    let end = page.find(OTHERS).expect("the other programs");
    let mut sections = format!("## millrace\n\n```text\n{}```\n\n", help(&[]).await);
    for command in COMMANDS {
        let help = help(&[command]).await;
        sections.push_str(&format!("## millrace {command}\n\n```text\n{help}```\n\n"));
    }
    if std::env::var_os("UPDATE").is_some() {
        let updated = format!("{}{sections}{}", &page[..begin], &page[end..]);
        return std::fs::write(PAGE, updated).expect("the page can be written");
    }
    assert!(
        page[begin..end] == sections,
        "docs/reference/cli.md is not what --help prints: UPDATE=1 cargo test -p millrace reference"
    );
}
