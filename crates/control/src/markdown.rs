//! Strangers' words in Markdown: they make no markup and call nobody.

/// Longest text that is shown of one value, in characters.
const MOST_CHARS: usize = 500;

/// Between backticks: for names, versions and paths. Nothing in it is markup or a mention. In a table too: forges
/// read a `|` there as the end of a cell, so it is written as another letter that looks like it.
pub(crate) fn code(text: &str) -> String {
    let text: String = shown(text)
        .map(|c| match c {
            '`' => '\u{2019}',
            '|' => '\u{2223}',
            c => c,
        })
        .collect();
    match text.trim() {
        "" => String::new(),
        text => format!("`{text}`"),
    }
}

/// As a sentence. What is between backticks stays so; a mention (`@name`) is broken by a space without width.
pub(crate) fn prose(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (i, part) in shown(text).collect::<String>().split('`').enumerate() {
        if i % 2 == 1 {
            out.push_str(&code(part));
            continue;
        }
        for c in part.chars() {
            match c {
                '\\' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|' | '!' | '~' | '&' => {
                    out.push('\\');
                    out.push(c);
                }
                '@' => out.push_str("@\u{200b}"),
                c => out.push(c),
            }
        }
    }
    out
}

/// Lines of a log as they are, indented like what stands below a point of a list.
pub(crate) fn verbatim(lines: &[&str]) -> String {
    // Longer than any row of backticks in it, so that nothing in it ends it.
    let longest = lines.iter().flat_map(|line| line.split(|c| c != '`'));
    let longest = longest.map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest.max(2) + 1);
    let mut text = format!("  {fence}text\n");
    for line in lines {
        text.push_str("  ");
        text.extend(shown(line));
        text.push('\n');
    }
    text.push_str("  ");
    text.push_str(&fence);
    text.push('\n');
    text
}

/// One line of it, without control characters or what turns the direction of writing.
fn shown(text: &str) -> impl Iterator<Item = char> {
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}');
    let is_cut = text.chars().nth(MOST_CHARS).is_some();
    let shown = text.chars().take(MOST_CHARS).map(move |c| match c {
        c if c.is_control() || c == '\u{2028}' || c == '\u{2029}' => ' ',
        c if turns(c) => '\u{fffd}',
        c => c,
    });
    shown.chain(is_cut.then_some('…'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_does_not_end_its_own_fence() {
        let text = verbatim(&["make: *** [all] Error 1", "````", "@all"]);
        assert_eq!(
            text,
            "  `````text\n  make: *** [all] Error 1\n  ````\n  @all\n  `````\n"
        );
    }

    #[test]
    fn words_of_strangers_make_no_markup_and_call_nobody() {
        let check = |text: &str, as_code: &str, as_prose: &str| {
            assert_eq!(code(text), as_code);
            assert_eq!(prose(text), as_prose);
        };
        check("hello-2.12", "`hello-2.12`", "hello-2.12");
        check("a|b", "`a\u{2223}b`", "a\\|b");
        check(
            "@org/all <img src=x> [x](y)",
            "`@org/all <img src=x> [x](y)`",
            "@\u{200b}org/all \\<img src=x\\> \\[x\\](y)",
        );
        check("a\nb\r\u{202e}c", "`a b \u{fffd}c`", "a b \u{fffd}c");
        check("", "", "");
        assert_eq!(code("a`b"), "`a\u{2019}b`");
        assert_eq!(
            prose("run `millrace retry @a` now"),
            "run `millrace retry @a` now"
        );
        assert_eq!(prose("an open ` and @a"), "an open `and @a`");
        assert_eq!(code(&"x".repeat(600)).chars().count(), 503);
    }
}
