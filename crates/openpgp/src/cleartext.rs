//! The cleartext signature framework (RFC 9580, section 7), as `InRelease` uses it.

use crate::SignatureInfo;

/// A text whose cleartext signature was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleartext {
    /// What was signed, without dash escapes and trailing blanks, lines ended by `\n`. Read this, never the file:
    /// bytes outside the signed part prove nothing.
    pub text: String,
    /// Who signed it and when.
    pub signature: SignatureInfo,
}

/// The bytes that the signature covers: blanks at line ends removed, lines joined by CR LF, no line end after the last.
pub(crate) fn covered(text: &str) -> String {
    let body = text.strip_suffix('\n').unwrap_or(text);
    let lines: Vec<&str> = body
        .split('\n')
        .map(|line| line.trim_end_matches([' ', '\t', '\r']))
        .collect();
    lines.join("\r\n")
}

/// The part between the header and the signature: a line that starts with a dash is escaped.
pub(crate) fn dash_escaped(text: &str) -> String {
    let body = text.strip_suffix('\n').unwrap_or(text);
    let mut out = String::with_capacity(text.len() + 16);
    for line in body.split('\n') {
        // "From " is escaped by gpg too, for mail transports; verifiers undo any "- ".
        if line.starts_with('-') {
            out.push_str("- ");
        }
        out.push_str(line.strip_suffix('\r').unwrap_or(line));
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covers_what_gpg_covers() {
        let check = |text, covers| assert_eq!(covered(text), covers, "{text:?}");
        check("", "");
        check("a\n", "a");
        check("a", "a");
        check("a\n\n", "a\r\n");
        check("a \t\r\nb\n", "a\r\nb");
        check("-a\n", "-a");
    }

    #[test]
    fn escapes_dashes() {
        assert_eq!(dash_escaped("-a\nb\n- c"), "- -a\nb\n- - c\n");
    }
}
