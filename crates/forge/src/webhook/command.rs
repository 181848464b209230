//! What people ask for in comments: lines that start with `/millrace`.
//!
//! A comment is Markdown, and read as forges show it: what it quotes, lists, hides or shows as code is no command. The letters
//! may be capitals, as telephones write the first one.

use pulldown_cmark::{Event, Options, Parser, TagEnd};

/// Commands of one comment that are read; the answer says how many were left out.
pub const MAX_COMMANDS: usize = 10;
/// Bytes of a line that are read. No command needs more; the rest of a longer line is cut off.
pub const MAX_COMMAND_BYTES: usize = 500;

/// What starts a line.
const WORD: &str = "/millrace";
/// Stands for what is no text: it begins no command.
const OTHER: char = '\u{fffc}';
/// What both forges have beyond CommonMark.
const OPTIONS: Options = Options::ENABLE_TABLES
    .union(Options::ENABLE_STRIKETHROUGH)
    .union(Options::ENABLE_FOOTNOTES);

/// One line of a comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// What to do.
    pub verb: Verb,
    /// The words behind it: a stranger's text.
    pub words: Vec<String>,
}

/// What a command asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verb {
    /// Try again what failed.
    Retry,
    /// Stop what is wanted.
    Cancel,
    /// Say anew what merging does.
    Plan,
    /// Build what is proposed, for nobody to install.
    Scratch,
    /// Something else, or nothing at all: kept so that an answer can say what there is.
    Unknown(String),
}

/// The commands of `comment`, and how many more there are than [`MAX_COMMANDS`].
pub(super) fn commands(comment: &str) -> (Vec<Command>, usize) {
    let text = spoken(comment);
    let mut all = text.lines().filter_map(command);
    let commands = all.by_ref().take(MAX_COMMANDS).collect();
    (commands, all.count())
}

/// The lines of the paragraphs that stand in no list, quote, table or other block, and are not folded away. Where a line begins with something that people
/// see as more than text, it begins with [`OTHER`].
fn spoken(comment: &str) -> String {
    let mut text = String::new();
    let mut open: Vec<TagEnd> = Vec::new();
    let mut folds = 0;
    for event in Parser::new_ext(comment, OPTIONS) {
        if let Event::Html(html) | Event::InlineHtml(html) = &event {
            // What is folded in a list or a quote ends with it.
            let is_outside = matches!(open[..], [TagEnd::HtmlBlock | TagEnd::Paragraph, ..]);
            folds = if is_outside {
                folded(folds, html)
            } else {
                folds
            };
        }
        let is_spoken = folds == 0 && open.first() == Some(&TagEnd::Paragraph);
        match event {
            Event::Start(tag) => {
                if is_spoken {
                    text.push(OTHER);
                }
                open.push(tag.to_end());
            }
            Event::End(tag) => {
                open.pop();
                if tag == TagEnd::Paragraph {
                    text.push('\n');
                }
            }
            _ if !is_spoken => {}
            Event::Text(words) => text.push_str(&words),
            Event::Code(words) => {
                text.push('`');
                text.push_str(&words);
                text.push('`');
            }
            Event::SoftBreak | Event::HardBreak => text.push('\n'),
            _ => text.push(OTHER),
        }
    }
    text
}

/// How many `<details>` are open behind `html`, where `before` were. One that is never closed hides all the rest.
fn folded(before: usize, html: &str) -> usize {
    let html = html.to_ascii_lowercase();
    let count = |tag: &str| html.matches(tag).count();
    (before + count("<details")).saturating_sub(count("</details"))
}

fn command(line: &str) -> Option<Command> {
    let (word, rest) = line.split_at_checked(WORD.len())?;
    let is_other = rest.starts_with(|next: char| !next.is_whitespace());
    if is_other || !word.eq_ignore_ascii_case(WORD) {
        return None;
    }
    let ends = (0..=MAX_COMMAND_BYTES - WORD.len()).rev();
    let end = ends.into_iter().find(|at| rest.is_char_boundary(*at))?;
    let mut words = rest[..end].split_whitespace();
    let verb = match words.next().unwrap_or_default() {
        "retry" => Verb::Retry,
        "cancel" => Verb::Cancel,
        "plan" => Verb::Plan,
        "scratch" => Verb::Scratch,
        other => Verb::Unknown(other.to_owned()),
    };
    Some(Command {
        verb,
        words: words.map(str::to_owned).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expect` has a line for each command.
    fn check(comment: &str, expect: &[&str]) {
        let (commands, left_out) = commands(comment);
        let shown: Vec<String> = commands
            .iter()
            .map(|it| format!("{:?} {}", it.verb, it.words.join(" ")))
            .collect();
        assert_eq!(shown, expect, "{comment:?}");
        assert_eq!(left_out, 0, "{comment:?}");
    }

    #[test]
    fn lines_that_start_so_are_commands() {
        check("/millrace retry", &["Retry "]);
        check("/millrace\tplan  \r\n", &["Plan "]);
        check(
            "Once more:\r\n/millrace retry curl aarch64\r\nThanks!",
            &["Retry curl aarch64"],
        );
        check(
            "/millrace cancel\n/millrace scratch x86_64\n",
            &["Cancel ", "Scratch x86_64"],
        );
    }

    #[test]
    fn what_people_see_as_something_else_is_none() {
        for comment in [
            "- ```sh\n  /millrace cancel\n  ```",
            "1. ```\n   /millrace cancel\n   ```",
            "<!--\n/millrace cancel\n-->",
            "<pre>\n/millrace cancel\n</pre>",
            "`\n/millrace cancel\n`",
            "``\n/millrace cancel\n``",
            "> a\n/millrace cancel",
            "- a\n  /millrace cancel",
            "*/millrace cancel*",
            "[/millrace cancel](https://example.org)",
            "![](x)/millrace cancel",
            "<b>/millrace cancel</b>",
            "# /millrace cancel",
            "| a |\n|---|\n/millrace cancel",
            "<details>\n\n/millrace cancel\n\n</details>",
            "<Details open><summary>a</summary>\n\n/millrace cancel",
            "<details>\n<details>\n\n</details>\n\n/millrace cancel\n\n</details>",
            "a <details>\n/millrace cancel\n</details>",
        ] {
            check(comment, &[]);
        }
        check("1. ```\n   x\n   ```\n\n/millrace plan", &["Plan "]);
        check("<!-- x -->\n\n/millrace plan", &["Plan "]);
        check("- a\n\n/millrace plan", &["Plan "]);
        check(
            "<details>\n\na log\n\n</details>\n\n/millrace plan",
            &["Plan "],
        );
        check("> <details>\n\n/millrace plan", &["Plan "]);
        check("`<details>`\n/millrace plan", &["Plan "]);
    }

    #[test]
    fn other_lines_are_not() {
        check("", &[]);
        check("please /millrace retry", &[]);
        check("> /millrace retry", &[]);
        check("    /millrace retry", &[]);
        check("\t/millrace retry", &[]);
        check("`/millrace retry`", &[]);
        check("/millraces retry", &[]);
        check("/millrace/retry", &[]);
    }

    #[test]
    fn telephones_write_a_capital_and_people_a_space() {
        check("/Millrace retry", &["Retry "]);
        check("/MILLRACE retry curl", &["Retry curl"]);
        check("   /millrace retry", &["Retry "]);
        check(" /Millrace plan\n", &["Plan "]);
        check("/millracé retry", &[]);
        check("/millracK", &[]);
    }

    #[test]
    fn code_has_no_commands() {
        check("```\n/millrace retry\n```\n/millrace plan", &["Plan "]);
        check(
            "  ~~~~ sh\n/millrace retry\n~~~\n```\n~~~~\n/millrace plan",
            &["Plan "],
        );
        check("```\n/millrace retry\n``` x\n/millrace plan", &[]);
        // No end, and no beginning.
        check("```sh\n/millrace retry\n/millrace plan", &[]);
        check("```a`b\n/millrace retry", &["Retry "]);
        check("    ```\n/millrace retry", &["Retry "]);
        check("> ```\n> /millrace plan\n\n/millrace retry", &["Retry "]);
    }

    #[test]
    fn unknown_ones_are_kept() {
        check("/millrace", &["Unknown(\"\") "]);
        check("/millrace merge now", &["Unknown(\"merge\") now"]);
        check("/millrace Retry", &["Unknown(\"Retry\") "]);
    }

    #[test]
    fn their_number_has_a_bound() {
        let (commands, left_out) = commands(&"/millrace plan\n".repeat(MAX_COMMANDS + 7));
        assert_eq!((commands.len(), left_out), (MAX_COMMANDS, 7));
    }

    #[test]
    fn their_length_has_a_bound() {
        // A character of two bytes is on the border.
        for before in ["", "x"] {
            let (commands, _) = commands(&format!("/millrace retry {before}{}", "ä".repeat(9_999)));
            let words = &commands[0].words;
            assert_eq!(words.len(), 1);
            assert!(words[0].len() > 400 && words[0].len() < MAX_COMMAND_BYTES);
        }
    }
}
