//! What people ask for in comments: lines that start with `/millrace`.

/// Commands of one comment that are read; the answer says how many were left out.
pub const MAX_COMMANDS: usize = 10;
/// Bytes of a line that are read. No command needs more; the rest of a longer line is cut off.
pub const MAX_COMMAND_BYTES: usize = 500;

/// What starts a line.
const WORD: &str = "/millrace";

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
    let mut all = comment.lines().filter_map(command);
    let commands = all.by_ref().take(MAX_COMMANDS).collect();
    (commands, all.count())
}

fn command(line: &str) -> Option<Command> {
    let rest = line.strip_prefix(WORD)?;
    if rest.starts_with(|next: char| !next.is_whitespace()) {
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
        check(" /millrace retry", &[]);
        check("`/millrace retry`", &[]);
        check("/millraces retry", &[]);
        check("/millrace/retry", &[]);
        check("/Millrace retry", &[]);
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
