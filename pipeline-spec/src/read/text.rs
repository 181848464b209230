//! What must hold of the bytes of a file before they are read as YAML.

use super::report::{Finding, Report, Span, whole_file};
use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::limits::MAX_FILE_BYTES;
use crate::visible::is_hidden;

/// The text of a file: small enough, UTF-8, and what a reviewer sees is what is there.
pub(crate) fn check<'a>(path: &str, bytes: &'a [u8]) -> Result<&'a str, Diagnostic> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err(whole_file(
            path,
            Severity::Error,
            Finding::new(
                Code::TooLarge,
                // Who reads it may have stopped there.
                format!("the file has more than {MAX_FILE_BYTES} bytes"),
                "split it into several files; build requests are linked by `with`",
            ),
        ));
    }
    let text = std::str::from_utf8(bytes).map_err(|e| not_utf8(path, bytes, e.valid_up_to()))?;
    match text.char_indices().find(|(i, c)| hides(text, *i, *c)) {
        None => Ok(text),
        Some((position, c)) => Err(one(path, text, position, c)),
    }
}

/// A lone carriage return ends a line for YAML and not for most editors.
fn hides(text: &str, position: usize, c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\r' => !text[position..].starts_with("\r\n"),
        c => is_hidden(c),
    }
}

fn one(path: &str, text: &str, position: usize, c: char) -> Diagnostic {
    let name = match c {
        '\0' => "a NUL byte",
        '\r' => "a carriage return without a line feed",
        '\u{feff}' => "a byte order mark",
        c if c.is_control() => "a control character",
        _ => "a character that shows nothing or changes the direction of the text",
    };
    let finding = Finding::new(
        Code::ControlCharacter,
        format!("the file contains {name} (U+{:04X})", u32::from(c)),
        "remove it; a reviewer cannot see it",
    );
    let mut report = Report::new(path, text);
    report.error(Span::new(position, position + c.len_utf8()), finding);
    report.finish().remove(0)
}

fn not_utf8(path: &str, bytes: &[u8], valid: usize) -> Diagnostic {
    // Only this line is shown, so only it is decoded.
    let line_end = bytes[valid..]
        .iter()
        .position(|b| *b == b'\n')
        .map_or(bytes.len(), |n| valid + n);
    let head = std::str::from_utf8(&bytes[..valid]).unwrap_or_default();
    let tail = String::from_utf8_lossy(&bytes[valid..line_end]);
    let text = format!("{head}{tail}");
    let finding = Finding::new(
        Code::NotUtf8,
        format!("the byte 0x{:02X} is not UTF-8 here", bytes[valid]),
        "save the file as UTF-8",
    );
    let mut report = Report::new(path, &text);
    report.error(Span::new(valid, valid + 1), finding);
    report.finish().remove(0)
}
