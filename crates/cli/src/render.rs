//! Output: text for people, JSON for programs, colours on terminals only.

use std::io::IsTerminal;

use crate::args::ColorWhen;

/// How to print.
pub(crate) struct Output {
    pub(crate) json: bool,
    pub(crate) color: bool,
}

impl Output {
    pub(crate) fn new(json: bool, when: ColorWhen) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let color = match when {
            ColorWhen::Always => true,
            ColorWhen::Never => false,
            ColorWhen::Auto => std::io::stdout().is_terminal() && !no_color,
        };
        Self { json, color }
    }

    pub(crate) fn print_json(&self, value: &impl serde::Serialize) -> anyhow::Result<()> {
        println!("{}", serde_json::to_string_pretty(value)?);
        Ok(())
    }

    /// A state or phase word in its colour.
    pub(crate) fn word(&self, word: &str) -> String {
        let code = match word {
            "succeeded" | "published" => "32",
            "failed" | "invalid" => "31",
            "leased" | "open" | "publishing" => "36",
            "ready" | "blocked" | "reverting" => "33",
            _ => "2",
        };
        self.paint(word, code)
    }

    pub(crate) fn problem(&self, text: &str) -> String {
        self.paint(text, "31")
    }

    pub(crate) fn dim(&self, text: &str) -> String {
        self.paint(text, "2")
    }

    fn paint(&self, text: &str, code: &str) -> String {
        if self.color {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

/// What a stranger wrote, for a terminal: no control characters but line breaks and tabs.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect()
}
