//! Text as XML 1.0 holds it.

/// Appends `text` for use between tags or inside a double-quoted attribute.
///
/// Control characters that XML 1.0 cannot hold are left out, as createrepo_c does.
pub(crate) fn push(out: &mut String, text: &str) {
    // Nearly every string is plain ASCII without specials: copied at once.
    if text
        .bytes()
        .all(|byte| matches!(byte, b' '..0x7f) && !matches!(byte, b'&' | b'<' | b'>' | b'"'))
    {
        out.push_str(text);
        return;
    }
    for ch in text.chars() {
        match ch {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#13;"),
            '\n' | '\t' => out.push(ch),
            '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => {}
            _ => out.push(ch),
        }
    }
}

/// Like [`push`], and keeps line breaks and tabs, which a parser turns into blanks in attributes.
pub(crate) fn push_attribute(out: &mut String, text: &str) {
    if !text.contains(['\n', '\t']) {
        return push(out, text);
    }
    for part in text.split_inclusive(['\n', '\t']) {
        let bare = part.trim_end_matches(['\n', '\t']);
        push(out, bare);
        match part.as_bytes().last() {
            Some(b'\n') => out.push_str("&#10;"),
            Some(b'\t') => out.push_str("&#9;"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        let check = |text, expect| {
            let mut out = String::new();
            push(&mut out, text);
            assert_eq!(out, expect);
        };
        check("plain", "plain");
        check(
            "<a href=\"b\">&</a>",
            "&lt;a href=&quot;b&quot;&gt;&amp;&lt;/a&gt;",
        );
        check("é\nü\t\u{1}\u{b}\r", "é\nü\t&#13;");
    }

    #[test]
    fn escapes_attributes() {
        let mut out = String::new();
        push_attribute(&mut out, "a\nb\t\n<");
        assert_eq!(out, "a&#10;b&#9;&#10;&lt;");
    }
}
