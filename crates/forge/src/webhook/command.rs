//! What people ask for in comments: lines that start with `/millrace`.
//!
//! Up to three spaces may stand before it, as before any line of Markdown, and its letters may be capitals, as telephones
//! write the first one. What a comment quotes or shows as code is no command.

/// Commands of one comment that are read; the answer says how many were left out.
pub const MAX_COMMANDS: usize = 10;
/// Bytes of a line that are read. No command needs more; the rest of a longer line is cut off.
pub const MAX_COMMAND_BYTES: usize = 500;

/// What starts a line.
const WORD: &str = "/millrace";
/// Spaces before it. A line with more of them is code.
const MAX_INDENT: usize = 3;
/// Marks of a fence, at least.
const FENCE: usize = 3;

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
    let mut all = spoken(comment).filter_map(command);
    let commands = all.by_ref().take(MAX_COMMANDS).collect();
    (commands, all.count())
}

/// The lines that are no code, without the spaces before them.
fn spoken(comment: &str) -> impl Iterator<Item = &str> {
    let mut open: Option<Fence> = None;
    comment.lines().filter_map(move |line| {
        let text = line.trim_start_matches(' ');
        if line.len() - text.len() > MAX_INDENT {
            return None;
        }
        match (&open, Fence::of(text)) {
            (None, None) => return Some(text),
            (None, Some(fence)) if fence.opens() => open = Some(fence),
            (None, Some(_)) => return Some(text),
            (Some(opened), Some(fence)) if fence.closes(opened) => open = None,
            (Some(_), _) => {}
        }
        None
    })
}

/// A line that begins or ends a block of code, as CommonMark has it.
struct Fence<'a> {
    mark: char,
    length: usize,
    /// What stands behind the marks.
    info: &'a str,
}

impl<'a> Fence<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let mark = line
            .chars()
            .next()
            .filter(|mark| matches!(mark, '`' | '~'))?;
        let info = line.trim_start_matches(mark);
        let length = line.len() - info.len();
        (length >= FENCE).then_some(Self { mark, length, info })
    }

    /// Else it is code within a line.
    fn opens(&self) -> bool {
        self.mark == '~' || !self.info.contains('`')
    }

    fn closes(&self, opened: &Fence<'_>) -> bool {
        self.mark == opened.mark && self.length >= opened.length && self.info.trim().is_empty()
    }
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
        check("``\n/millrace retry\n``", &["Retry "]);
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
