//! What is still open at a place of a text: brackets and quotes.
//!
//! A YAML parser stops where the text makes no sense any more, often lines after the bracket or the
//! quote that was forgotten. Only the explanation of a mistake looks here; nothing is parsed by it.

/// A bracket or quote that is open, and where it stands (byte offset).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) mark: char,
    pub(super) at: usize,
}

/// The innermost bracket that is open at `end` and was opened on an earlier line.
pub(super) fn bracket(text: &str, end: usize) -> Option<Open> {
    let line = text[..end].rfind('\n')?;
    let open = scan(&text[..end]).0.pop()?;
    (open.at < line).then_some(open)
}

/// The quote whose text ends just before `end`, when it began on an earlier line.
pub(super) fn quote(text: &str, end: usize) -> Option<Open> {
    let line = text[..end].rfind('\n')?;
    let open = scan(&text[..end]).1?;
    (open.at < line).then_some(open)
}

/// The open brackets, outermost first, and the last quote that was opened.
fn scan(text: &str) -> (Vec<Open>, Option<Open>) {
    let mut brackets: Vec<Open> = Vec::new();
    let mut last_quote = None;
    let mut chars = text.char_indices().peekable();
    // Brackets and quotes mean something only where a value may begin.
    let mut begins = true;
    while let Some((at, c)) = chars.next() {
        match c {
            '#' if begins => while chars.next_if(|(_, c)| *c != '\n').is_some() {},
            '"' | '\'' if begins => {
                last_quote = Some(Open { mark: c, at });
                skip_quoted(&mut chars, c);
                begins = false;
            }
            '[' | '{' if begins => brackets.push(Open { mark: c, at }),
            ']' | '}' if !brackets.is_empty() => {
                brackets.pop();
                begins = false;
            }
            ',' if !brackets.is_empty() => begins = true,
            c if c.is_whitespace() => begins = true,
            _ => begins = false,
        }
    }
    (brackets, last_quote)
}

fn skip_quoted(chars: &mut std::iter::Peekable<std::str::CharIndices<'_>>, quote: char) {
    while let Some((_, c)) = chars.next() {
        if c == '\\' && quote == '"' {
            chars.next();
        } else if c == quote {
            // `''` is a quote within a single-quoted text.
            if quote == '\'' && chars.next_if(|(_, c)| *c == '\'').is_some() {
                continue;
            }
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Option<(char, usize)>) {
        let found = bracket(text, text.len()).map(|open| (open.mark, open.at));
        assert_eq!(found, expect, "{text:?}");
    }

    #[test]
    fn finds_the_bracket_that_was_forgotten() {
        check("a: [b\nc", Some(('[', 3)));
        check("a: [b]\nc", None);
        check("a: [b, {c: d]\nc", Some(('[', 3)));
        check("a: \"[\"\nc", None);
        check("a: # [\nc", None);
        check("a: b[\nc", None);
        check("a: '[''['\nc", None);
        check("a: [\"\\\"]\"\nc", Some(('[', 3)));
        check("a: [b", None);
    }
}
