//! The YAML parser's reasons in the words of someone who writes YAML by hand.

use serde_saphyr::granit_parser::{ErrorKind, ScanError};

use super::open::{self, Open};
use super::report::{Finding, Span};
use super::yaml::too_deep;
use crate::diagnostic::Code;

/// Where a text stopped being YAML, and what to write instead.
pub(super) fn explain(error: &ScanError, text: &str) -> (Span, Finding) {
    let start = error
        .marker()
        .byte_offset()
        .unwrap_or_default()
        .min(text.len());
    // What is never closed is noticed at the end of the file; an empty last line shows nothing.
    let start = if start == text.len() {
        text.trim_end().len()
    } else {
        start
    };
    let kind = error.kind();
    if let Some(colon) = tight_colon(kind, text, start) {
        let finding = Finding::new(
            Code::Syntax,
            "a space is missing after this colon",
            "write `key: value`, with a space after the colon",
        );
        return (Span::new(colon, colon + 1), finding);
    }
    if let Some((open, finding)) = forgotten(kind, text, start) {
        return (Span::new(open.at, open.at + 1), finding);
    }
    let start = if is_tab(kind) {
        first_tab(text, start)
    } else {
        start
    };
    let finding = limits(kind).unwrap_or_else(|| {
        let (message, help) = brackets(kind)
            .or_else(|| {
                lines(kind)
                    .or_else(|| values(kind))
                    .map(|(m, h)| (m.into(), h.into()))
            })
            .unwrap_or_else(|| {
                let help = "put texts with special characters in quotes, and check the indentation";
                (format!("this is not YAML: {kind}"), help.to_owned())
            });
        Finding::new(Code::Syntax, message, help)
    });
    (Span::new(start, start), finding)
}

/// The bracket or quote of an earlier line whose end was forgotten: the parser notices it only here.
fn forgotten(kind: &ErrorKind, text: &str, at: usize) -> Option<(Open, Finding)> {
    use ErrorKind::*;
    let open = match kind {
        InvalidTrailingSingleQuotedScalar | InvalidTrailingDoubleQuotedScalar => {
            open::quote(text, at)?
        }
        UnclosedFlowCollection { .. }
        | MismatchedFlowCollectionEnd { .. }
        | MappingValueNotAllowed
        | InvalidColonPlacement
        | InvalidIndentation
        | InvalidSimpleKey
        | SimpleKeyExpected
        | BlockSequenceEntryNotAllowed
        | InvalidFlowScalarIndent
        | UnexpectedEofFlowSequence
        | UnexpectedEofFlowMapping
        | UnexpectedEofImplicitFlowMapping
        | ExpectedFlowSequenceSeparator
        | ExpectedFlowMappingSeparator => open::bracket(text, at)?,
        _ => return None,
    };
    let (message, help) = match open.mark {
        '[' => ("`[` is never closed", "write `]` where the list ends"),
        '{' => ("`{` is never closed", "write `}` where the mapping ends"),
        _ => (
            "the quote is never closed",
            "write the same quote at the end of the text",
        ),
    };
    Some((open, Finding::new(Code::Syntax, message, help)))
}

fn is_tab(kind: &ErrorKind) -> bool {
    use ErrorKind::*;
    matches!(
        kind,
        TabInBlockIndentation
            | TabInIndentation
            | TabNotAllowed
            | TabInPlainScalar
            | TabAtBlockScalarStart
    )
}

/// The first tab of the line, if one stands before `at`.
fn first_tab(text: &str, at: usize) -> usize {
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    text[start..at].find('\t').map_or(at, |tab| start + tab)
}

/// The colon of a `key:value` on the line of the mistake or on the one before: to YAML it is the
/// beginning of a text that goes on over lines, so that the mistake shows late.
fn tight_colon(kind: &ErrorKind, text: &str, at: usize) -> Option<usize> {
    use ErrorKind::{InvalidSimpleKey, MappingValueNotAllowed, SimpleKeyExpected};
    if !matches!(
        kind,
        MappingValueNotAllowed | SimpleKeyExpected | InvalidSimpleKey
    ) {
        return None;
    }
    let end = text[at..].find('\n').map_or(text.len(), |i| at + i);
    let start = |end: usize| text[..end].rfind('\n').map_or(0, |i| i + 1);
    let this = start(end);
    let before = this.checked_sub(1).map(|end| (start(end), end));
    before
        .into_iter()
        .chain([(this, end)])
        .find_map(|(start, end)| {
            let key = text[start..end].trim_start_matches([' ', '-']);
            let colon = key.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
            let value = key[colon..].strip_prefix(':')?;
            let tight = colon > 0 && value.starts_with(|c: char| !c.is_whitespace() && c != '/');
            tight.then(|| end - key.len() + colon)
        })
}

/// What is YAML and not of this language.
fn limits(kind: &ErrorKind) -> Option<Finding> {
    match kind {
        ErrorKind::RecursionLimitExceeded => Some(Finding::new(
            Code::TooDeep,
            too_deep(),
            "make the file smaller and flatter",
        )),
        ErrorKind::DirectiveDisallowed => Some(Finding::new(
            Code::UnsupportedYaml,
            "a directive (`%`) is not part of this language",
            "remove the line",
        )),
        _ => None,
    }
}

fn brackets(kind: &ErrorKind) -> Option<(String, String)> {
    let closing = |open: char| if open == '[' { ']' } else { '}' };
    let (message, help) = match kind {
        ErrorKind::UnclosedFlowCollection { open } => {
            let what = if *open == '[' { "list" } else { "mapping" };
            (
                format!("`{open}` is never closed"),
                format!("write `{}` where the {what} ends", closing(*open)),
            )
        }
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => (
            format!("`{open}` is closed by `{close}`"),
            format!("write `{}`", closing(*open)),
        ),
        ErrorKind::UnexpectedCharacter { character } => (
            format!("a value cannot begin with `{}`", character.escape_default()),
            "put the value in quotes".to_owned(),
        ),
        _ => return None,
    };
    Some((message, help))
}

/// Mistakes of lines, columns and brackets.
fn lines(kind: &ErrorKind) -> Option<(&'static str, &'static str)> {
    use ErrorKind::*;
    Some(match kind {
        kind if is_tab(kind) => ("a tab stands where YAML wants spaces", "indent with spaces"),
        MisplacedFlowCollectionEnd => (
            "this bracket closes nothing",
            "remove it, or open it before",
        ),
        UnexpectedEofFlowSequence | ExpectedFlowSequenceSeparator => (
            "the list is not closed here",
            "write `,` between the entries and `]` at the end",
        ),
        UnexpectedEofFlowMapping
        | UnexpectedEofImplicitFlowMapping
        | ExpectedFlowMappingSeparator => (
            "the mapping is not closed here",
            "write `,` between the entries and `}` at the end",
        ),
        SimpleKeyExpected | InvalidSimpleKey => (
            "this line is neither `key: value` nor an entry of a list",
            "write `key: value`, with a space after the colon",
        ),
        InvalidIndentation
        | ExpectedBlockMappingKey
        | ExpectedBlockSequenceEntry
        | BlockSequenceEntryNotAllowed
        | InvalidFlowScalarIndent
        | InvalidQuotedScalarIndent => (
            "the indentation does not fit the lines above",
            "begin the line in the same column as its siblings",
        ),
        _ => return None,
    })
}

/// Mistakes of single values.
fn values(kind: &ErrorKind) -> Option<(&'static str, &'static str)> {
    use ErrorKind::*;
    Some(match kind {
        UnclosedQuotedScalar => (
            "the quote is never closed",
            "write the same quote at the end of the text",
        ),
        MappingValueNotAllowed | InvalidColonPlacement => (
            "a second `: ` stands in this value",
            "put the text in quotes if the colon belongs to it; else begin a new line",
        ),
        InvalidTrailingSingleQuotedScalar | InvalidTrailingDoubleQuotedScalar => (
            "text follows the closing quote",
            "put the whole value in one pair of quotes",
        ),
        UnknownQuotedScalarEscape | InvalidQuotedScalarHexEscape => (
            "this escape sequence is unknown",
            "write `\\\\` for a backslash, or use single quotes",
        ),
        _ => return None,
    })
}
