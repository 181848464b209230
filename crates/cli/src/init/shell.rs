//! Words of the lines that people paste into a shell.

use std::path::Path;

/// A path as one word of a POSIX shell. Most need no quotes, and are easier to read without.
pub(super) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_./:@%+=,-".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text;
    }
    // Between quotes nothing but a quote means anything.
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_one_word() {
        let check = |path: &str, expect: &str| assert_eq!(quoted(Path::new(path)), expect);
        check("/srv/a_b-1.2/x@y", "/srv/a_b-1.2/x@y");
        check("/srv/a 14", "'/srv/a 14'");
        check("/srv/$(a)~", "'/srv/$(a)~'");
        check("/srv/Ada's", r"'/srv/Ada'\''s'");
        check("/srv/ä", "'/srv/ä'");
        check("", "''");
    }
}
