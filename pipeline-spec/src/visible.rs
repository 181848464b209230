//! Text of strangers as it may be shown: on one line, with nothing hidden in it and no passwords.

/// Longest piece of a stranger's text inside a message, in characters.
const MAX_CHARS: usize = 60;

/// Whether a character shows nothing or reorders what is shown: control characters, marks of
/// direction ("Trojan Source", CVE-2021-42574), and what Unicode calls default ignorable, but for the
/// joiners and variation selectors that scripts and emoji need.
pub(crate) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
            | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}')
}

/// A piece of text for a message: bounded, without hidden characters and credentials.
pub(crate) fn shorten(text: &str) -> String {
    let chars = without_credentials(text);
    let shown = chars.iter().take(MAX_CHARS).map(|c| visible(*c));
    let rest = if chars.len() > MAX_CHARS { "…" } else { "" };
    shown.chain(rest.chars()).collect()
}

/// The character, or a sign that something is there. A tab is one space wide, so that marks below a
/// line keep their columns.
pub(crate) fn visible(c: char) -> char {
    match c {
        '\t' => ' ',
        c if is_hidden(c) => '\u{fffd}',
        c => c,
    }
}

/// The characters of a text with `*` for what stands in an address between `://` and `@`, or after its
/// `?` or `#`: as many as there were.
pub(crate) fn without_credentials(text: &str) -> Vec<char> {
    let mut chars: Vec<char> = text.chars().collect();
    let mut i = 0;
    while i + 2 < chars.len() {
        if chars[i..i + 3] != [':', '/', '/'] {
            i += 1;
            continue;
        }
        let start = i + 3;
        let ends = |c: &char| c.is_whitespace() || matches!(c, '/' | '"' | '\'');
        let length = chars[start..]
            .iter()
            .position(ends)
            .unwrap_or(chars.len() - start);
        let host = &mut chars[start..start + length];
        if let Some(at) = host.iter().rposition(|c| *c == '@') {
            host[..at].fill('*');
        }
        let ends = |c: &char| c.is_whitespace() || matches!(c, '"' | '\'');
        let left = chars.len() - start;
        let length = chars[start..].iter().position(ends).unwrap_or(left);
        let address = &mut chars[start..start + length];
        if let Some(query) = address.iter().position(|c| matches!(c, '?' | '#')) {
            address[query + 1..].fill('*');
        }
        i = start + length;
    }
    chars
}

#[cfg(test)]
mod tests {
    use super::shorten;

    #[test]
    fn strangers_text_is_tamed() {
        let check = |text: &str, expect: &str| assert_eq!(shorten(text), expect);
        check("openssl", "openssl");
        check("a\tb\0c\u{202e}d", "a b\u{fffd}c\u{fffd}d");
        check(
            "https://me:hunter2@example.org/x",
            "https://**********@example.org/x",
        );
        check("ssh://git@example.org/x@y", "ssh://***@example.org/x@y");
        check("https://example.org/a@b", "https://example.org/a@b");
        check(
            "https://a.org/x?t=s3cr3t y?z",
            "https://a.org/x?******** y?z",
        );
        check("a\u{200b}b\u{e0041}", "a\u{fffd}b\u{fffd}");
        check(&"x".repeat(61), &format!("{}…", "x".repeat(60)));
    }
}
