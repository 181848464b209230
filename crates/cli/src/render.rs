//! Output: text for people, JSON for programs, colours on terminals only.

use std::io::{ErrorKind, IsTerminal, Write};

use pipeline_spec::Priority;

use crate::args::ColorWhen;
use crate::failure::Closed;

/// How to print.
pub(crate) struct Output {
    pub(crate) json: bool,
    pub(crate) color: bool,
    /// A terminal that can move its cursor.
    pub(crate) live: bool,
}

impl Output {
    pub(crate) fn new(json: bool, when: ColorWhen) -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let dumb = set("TERM").is_some_and(|term| term == "dumb");
        let terminal = std::io::stdout().is_terminal();
        let color = match when {
            ColorWhen::Always => true,
            ColorWhen::Never => false,
            ColorWhen::Auto => terminal && !dumb && set("NO_COLOR").is_none(),
        };
        Self {
            json,
            color,
            live: terminal && !dumb && !json,
        }
    }

    /// Writes to standard output. A reader that has gone away is [`Closed`].
    pub(crate) fn print(&self, text: &str) -> anyhow::Result<()> {
        self.print_bytes(text.as_bytes())
    }

    pub(crate) fn print_bytes(&self, bytes: &[u8]) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        match out.write_all(bytes).and_then(|()| out.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Closed.into()),
            Err(error) => Err(anyhow::Error::new(error).context("write to standard output")),
            Ok(()) => Ok(()),
        }
    }

    pub(crate) fn print_json(&self, value: &impl serde::Serialize) -> anyhow::Result<()> {
        self.print(&format!("{}\n", serde_json::to_string_pretty(value)?))
    }

    /// A state or phase word in its colour, padded to `width`: colours have no width.
    pub(crate) fn word(&self, word: &str, width: usize) -> String {
        let code = match word {
            "succeeded" | "published" => "32",
            "failed" | "invalid" => "31",
            "leased" | "running" | "open" | "publishing" => "36",
            "ready" | "blocked" | "reverting" => "33",
            _ => "2",
        };
        let space = " ".repeat(width.saturating_sub(word.chars().count()));
        format!("{}{space}", self.paint(word, code))
    }

    pub(crate) fn problem(&self, text: &str) -> String {
        self.paint(text, "31")
    }

    pub(crate) fn dim(&self, text: &str) -> String {
        self.paint(text, "2")
    }

    fn paint(&self, text: &str, code: &str) -> String {
        if self.color && !text.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

/// A note beside the output. It is not part of what was asked for, so it goes to standard error; when
/// that is closed nobody wants it.
pub(crate) fn note(text: &str) {
    let _nobody_reads_it = writeln!(std::io::stderr(), "{}", clean(text));
}

/// What a stranger wrote, for a terminal: no control characters but line breaks and tabs.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect()
}

/// `1 task`, `2 tasks`.
pub(crate) fn count(n: usize, what: &str) -> String {
    match n {
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    }
}

/// A commit's first digits, as git shows them.
pub(crate) fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}

/// How people read a task's state: `leased` is the machine's word for a runner being at it.
pub(crate) fn state_word(state: &str) -> &str {
    match state {
        "leased" => "running",
        other => other,
    }
}

/// After the path, when it is not as most are.
pub(crate) fn priority(priority: Priority) -> String {
    if priority.is_normal() {
        String::new()
    } else {
        format!(" ({priority})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_do_not_shift_columns() {
        let output = |color| Output {
            json: false,
            color,
            live: false,
        };
        let check = |color: bool, expect: &str| {
            let row = format!("{}|", output(color).word("failed", 10));
            assert_eq!(row, expect);
        };
        check(false, "failed    |");
        check(true, "\u{1b}[31mfailed\u{1b}[0m    |");
    }
}
