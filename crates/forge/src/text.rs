//! Texts within the limits of forges.

use ports::Check;

/// What people see before a check's name.
pub(crate) const PREFIX: &str = "millrace / ";
/// What the first line of each comment of ours begins with, and no other text may begin to say. People do not see it.
pub(crate) const HIDDEN: &str = "<!-- millrace";
/// Stands at the end of a text that was too long.
const CUT: &str = "\n\n*The rest is too long to be shown here.*\n";
/// Annotations of a check that are shown. Each 50 are a request, and nobody reads more in a browser.
pub(crate) const MAX_ANNOTATIONS: usize = 200;

/// A check's summary as it is shown: within [`Check::MAX_SUMMARY`], and with a word about what is left out.
pub(crate) fn summary(check: &Check) -> String {
    let left_out = check.annotations.len().saturating_sub(MAX_ANNOTATIONS);
    let note = match left_out {
        0 => String::new(),
        _ => format!("\n\n*{left_out} more remarks are not shown here.*\n"),
    };
    let shown = cut(&check.summary, Check::MAX_SUMMARY - note.len());
    format!("{shown}{note}")
}

/// `text` in at most `max` bytes, ended at the end of a line, with a sentence that says so.
fn cut(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let mut room = max - CUT.len();
    loop {
        let head = first_bytes(text, room);
        let head = head.rfind('\n').map_or(head, |end| &head[..end]);
        // A fence that stays open is closed, so that what follows is not code.
        let close = open_fence(head).map_or_else(String::new, |fence| format!("\n{fence}"));
        if head.len() + close.len() <= max - CUT.len() {
            return format!("{head}{close}{CUT}");
        }
        room = head.len().saturating_sub(close.len());
    }
}

/// Indentation and backticks of the block of code that is open at the end of `text`. It ends by as many backticks or
/// more, and where it is in a list, by those that are indented as its items are.
fn open_fence(text: &str) -> Option<&str> {
    let mut open = None;
    for line in text.lines() {
        let mark = line.trim_start();
        let rest = mark.trim_start_matches('`');
        let ticks = mark.len() - rest.len();
        match open {
            None if ticks >= 3 && !rest.contains('`') => {
                open = Some((&line[..line.len() - rest.len()], ticks));
            }
            Some((_, needed)) if ticks >= needed && rest.trim().is_empty() => open = None,
            _ => {}
        }
    }
    open.map(|(fence, _)| fence)
}

/// `text` in at most `max` bytes, without half a character.
pub(crate) fn first_bytes(text: &str, max: usize) -> &str {
    let end = (0..=max.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

/// `text` on one line, in at most `max` characters.
pub(crate) fn line(text: &str, max: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= max {
        return line;
    }
    let head: String = line.chars().take(max - 1).collect();
    format!("{}…", head.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_end_at_a_line_and_say_so() {
        let long = "one line of a table\n".repeat(9_999);
        let shown = cut(&long, Check::MAX_SUMMARY);
        assert!(shown.len() <= Check::MAX_SUMMARY && shown.len() > 64_000);
        assert!(shown.ends_with(&format!("of a table{CUT}")));
        let code = format!("```\n{long}```\n");
        assert!(cut(&code, 1_000).ends_with(&format!("of a table\n```{CUT}")));
        // As excerpts of logs are: indented, with more backticks than stand in them.
        let log = format!(
            "* it failed\n\n  ````text\n  ```\n  {}",
            long.replace('\n', "\n  ")
        );
        assert!(cut(&log, 1_000).ends_with(&format!("of a table\n  ````{CUT}")));
        let after = format!("  ````text\n  ```\n  ````\n{long}");
        assert!(cut(&after, 1_000).ends_with(&format!("\none line of a table{CUT}")));
        let wide = format!("{}\n{long}", "`".repeat(700));
        let shown = cut(&wide, 1_000);
        assert!(shown.len() <= 1_000 && shown.ends_with(CUT), "{shown}");
        let letters = "ä".repeat(9_999);
        let shown = cut(&letters, 1_000);
        assert!(shown.len() <= 1_000 && shown.ends_with(&format!("ä{CUT}")));
        assert_eq!(cut("short", 1_000), "short");
    }

    #[test]
    fn lines_have_no_end_inside() {
        assert_eq!(line("a\nb\t c ", 10), "a b c");
        assert_eq!(line("äöü äöü", 7), "äöü äöü");
        assert_eq!(line("äöü äöü", 5), "äöü…");
    }
}
