//! Diagnostics as people read them on a terminal or in a check.

use std::fmt::Write as _;

use crate::diagnostic::{Color, Diagnostic, Severity};
use crate::visible::visible;

struct Paint {
    head: &'static str,
    frame: &'static str,
    bold: &'static str,
    reset: &'static str,
}

const PLAIN: Paint = Paint {
    head: "",
    frame: "",
    bold: "",
    reset: "",
};

fn paint(severity: Severity, color: Color) -> Paint {
    let head = match severity {
        Severity::Error => "\x1b[1;31m",
        Severity::Warning => "\x1b[1;33m",
        Severity::Note => "\x1b[1;36m",
    };
    match color {
        Color::Never => PLAIN,
        Color::Always => Paint {
            head,
            frame: "\x1b[1;34m",
            bold: "\x1b[1m",
            reset: "\x1b[0m",
        },
    }
}

impl Diagnostic {
    /// Several lines: the mistake, its place, the line with a caret, and what to write instead.
    /// Ends with a line break.
    pub fn render(&self, color: Color) -> String {
        let Paint {
            head,
            frame,
            bold,
            reset,
        } = paint(self.severity, color);
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => return self.render_note(color),
        };
        let path: String = self.path.chars().map(visible).collect();
        let (line, column) = (self.line, self.column);
        let number = line.to_string();
        let gap = " ".repeat(number.len());
        let mut out = String::new();
        let message = &self.message;
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "{head}{severity}[{}]{reset}{bold}: {message}{reset}",
            self.code
        );
        let _ = writeln!(out, "{gap}{frame}-->{reset} {path}:{line}:{column}");
        if !self.excerpt.is_empty() {
            let before = self.excerpt_column.saturating_sub(1) as usize;
            let rest = self.excerpt.chars().count().saturating_sub(before).max(1);
            let marks = "^".repeat((self.length as usize).clamp(1, rest));
            let _ = writeln!(out, "{gap} {frame}|{reset}");
            let _ = writeln!(out, "{frame}{number} |{reset} {}", self.excerpt);
            let _ = writeln!(
                out,
                "{gap} {frame}|{reset} {}{head}{marks}{reset}",
                " ".repeat(before)
            );
        }
        let _ = writeln!(
            out,
            "{gap} {frame}={reset} {bold}help{reset}: {}",
            self.help
        );
        out
    }
}

impl Diagnostic {
    /// One line: nothing has to be done now.
    fn render_note(&self, color: Color) -> String {
        let Paint { head, reset, .. } = paint(self.severity, color);
        let path: String = self.path.chars().map(visible).collect();
        let (line, column) = (self.line, self.column);
        format!(
            "{head}note[{}]{reset}: {} ({path}:{line}:{column})\n",
            self.code, self.message
        )
    }
}

/// How many errors, warnings and notes: `1 error, 2 notes`. Empty for none.
pub fn count(diagnostics: &[Diagnostic]) -> String {
    let words = [
        (Severity::Error, "error"),
        (Severity::Warning, "warning"),
        (Severity::Note, "note"),
    ];
    let parts = words.into_iter().filter_map(|(severity, word)| {
        let of = diagnostics.iter().filter(|d| d.severity == severity);
        match of.count() {
            0 => None,
            1 => Some(format!("1 {word}")),
            n => Some(format!("{n} {word}s")),
        }
    });
    parts.collect::<Vec<_>>().join(", ")
}

/// All diagnostics, a blank line between them, and a last line that counts them. Empty for none.
pub fn render_all(diagnostics: &[Diagnostic], color: Color) -> String {
    if diagnostics.is_empty() {
        return String::new();
    }
    let mut out = String::new();
    for diagnostic in diagnostics {
        out.push_str(&diagnostic.render(color));
        out.push('\n');
    }
    out.push_str(&count(diagnostics));
    out.push('\n');
    out
}
