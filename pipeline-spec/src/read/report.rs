//! Collects the diagnostics of one file and turns byte positions into lines and columns.

use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::limits::{MAX_DIAGNOSTICS_PER_FILE, MAX_EXCERPT_CHARS};
use crate::visible::{visible, without_credentials};

/// A range of bytes in a file; both ends on character boundaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Span {
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }
}

/// What is to be said about a place: a sentence, and what to write instead.
pub(crate) struct Finding {
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) help: String,
}

impl Finding {
    pub(crate) fn new(code: Code, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            help: help.into(),
        }
    }
}

/// The diagnostics of one file while it is read.
pub(crate) struct Report<'a> {
    path: &'a str,
    text: &'a str,
    found: Vec<Diagnostic>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(path: &'a str, text: &'a str) -> Self {
        Self {
            path,
            text,
            found: Vec::new(),
        }
    }

    pub(crate) fn text(&self) -> &'a str {
        self.text
    }

    pub(crate) fn error(&mut self, span: Span, finding: Finding) {
        self.push(Severity::Error, span, finding);
    }

    pub(crate) fn warning(&mut self, span: Span, finding: Finding) {
        self.push(Severity::Warning, span, finding);
    }

    pub(crate) fn note(&mut self, span: Span, finding: Finding) {
        self.push(Severity::Note, span, finding);
    }

    fn push(&mut self, severity: Severity, span: Span, finding: Finding) {
        if self.found.len() < MAX_DIAGNOSTICS_PER_FILE {
            self.found
                .push(at(self.path, self.text, severity, span, finding));
        }
    }

    /// Whether further findings are dropped. What costs time per finding asks first: a stranger's
    /// file can have 100,000 mistakes.
    pub(crate) fn is_full(&self) -> bool {
        self.found.len() >= MAX_DIAGNOSTICS_PER_FILE
    }

    /// Line of a position, from 1: for messages that point at a second place.
    pub(crate) fn line_of(&self, position: usize) -> u32 {
        if self.is_full() {
            0
        } else {
            line_number(self.text, position)
        }
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.found.iter().any(|d| d.severity == Severity::Error)
    }

    /// All diagnostics, in the order of the file.
    pub(crate) fn finish(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|d| (d.line, d.column));
        self.found
    }
}

/// A diagnostic about a range of `text`.
fn at(path: &str, text: &str, severity: Severity, span: Span, finding: Finding) -> Diagnostic {
    let start = floor_boundary(text, span.start);
    let end = floor_boundary(text, span.end).max(start);
    let line_start = text[..start].rfind('\n').map_or(0, |i| i + 1);
    let line_end = text[start..].find('\n').map_or(text.len(), |i| start + i);
    let line = text[line_start..line_end].trim_end_matches('\r');
    let before = text[line_start..start].chars().count();
    let marked = text[start..end.min(line_end)]
        .trim_end_matches('\r')
        .chars()
        .count()
        .max(1);
    let (excerpt, excerpt_column) = excerpt(line, before);
    Diagnostic {
        code: finding.code,
        severity,
        path: path.to_owned(),
        line: line_number(text, start),
        column: narrow(before + 1),
        length: narrow(marked),
        message: finding.message,
        help: finding.help,
        excerpt,
        excerpt_column,
    }
}

/// A diagnostic about a file as a whole, such as one that is missing or is not text.
pub(crate) fn whole_file(path: &str, severity: Severity, finding: Finding) -> Diagnostic {
    at(path, "", severity, Span::default(), finding)
}

fn line_number(text: &str, position: usize) -> u32 {
    let before = &text.as_bytes()[..position.min(text.len())];
    narrow(before.iter().filter(|b| **b == b'\n').count() + 1)
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn floor_boundary(text: &str, position: usize) -> usize {
    let position = position.min(text.len());
    (0..=position)
        .rev()
        .find(|i| text.is_char_boundary(*i))
        .unwrap_or(0)
}

/// The part of a line that is shown, at most [`MAX_EXCERPT_CHARS`] around the mark, and the column
/// of the mark in it. Credentials in addresses are hidden, since a check's text may be public.
fn excerpt(line: &str, mark: usize) -> (String, u32) {
    let chars = without_credentials(line);
    let from = if chars.len() <= MAX_EXCERPT_CHARS {
        0
    } else {
        mark.saturating_sub(MAX_EXCERPT_CHARS / 4)
            .min(chars.len() - MAX_EXCERPT_CHARS)
    };
    let shown = chars.iter().skip(from).take(MAX_EXCERPT_CHARS);
    (
        shown.map(|c| visible(*c)).collect(),
        narrow(mark - from.min(mark) + 1),
    )
}
