//! A stranger's bytes for a terminal.
//!
//! A build writes what it likes into its log: cursor moves, new window titles, answers typed on the
//! reader's behalf. On a terminal only text, tabs and line breaks are left; escape sequences go whole,
//! so that no half of one is read as text.

/// Where in an escape sequence the last byte was.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    #[default]
    Text,
    /// After ESC.
    Escape,
    /// In `ESC [ … letter`.
    Control,
    /// In `ESC ] … BEL` or `ESC ] … ESC \`, which may be long.
    String,
    /// After an ESC inside of one.
    StringEscape,
}

/// Takes a log in pieces; a sequence or a letter may be cut by their edges.
#[derive(Debug, Default)]
pub struct Sanitizer {
    place: Place,
    /// The beginning of a letter whose rest comes with the next piece.
    rest: Vec<u8>,
}

impl Sanitizer {
    /// What of `bytes` may be shown.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        let mut all = std::mem::take(&mut self.rest);
        all.extend_from_slice(bytes);
        let mut shown = String::with_capacity(all.len());
        let mut left: &[u8] = &all;
        while !left.is_empty() {
            match std::str::from_utf8(left) {
                Ok(text) => {
                    self.text(text, &mut shown);
                    break;
                }
                Err(error) => {
                    let (good, bad) = left.split_at(error.valid_up_to());
                    let good = std::str::from_utf8(good).expect("it was checked");
                    self.text(good, &mut shown);
                    match error.error_len() {
                        Some(wrong) => {
                            shown.push(char::REPLACEMENT_CHARACTER);
                            left = &bad[wrong..];
                        }
                        None => {
                            self.rest = bad.to_vec();
                            break;
                        }
                    }
                }
            }
        }
        shown
    }

    fn text(&mut self, text: &str, shown: &mut String) {
        for c in text.chars() {
            self.place = match (self.place, c) {
                // A line ends every sequence: one that was never closed hides no more than its line.
                (_, '\n') => {
                    shown.push('\n');
                    Place::Text
                }
                (Place::Text, '\u{1b}') => Place::Escape,
                (Place::Text, c) => {
                    if !c.is_control() || c == '\t' {
                        shown.push(c);
                    }
                    Place::Text
                }
                (Place::Escape, '[') => Place::Control,
                (Place::Escape, ']' | 'P' | 'X' | '^' | '_') => Place::String,
                // `ESC ( B` and the like: bytes between may follow.
                (Place::Escape, ' '..='/') => Place::Escape,
                (Place::Escape, _) => Place::Text,
                (Place::Control, '@'..='~') => Place::Text,
                (Place::Control, _) => Place::Control,
                (Place::String, '\u{7}') | (Place::StringEscape, '\\') => Place::Text,
                (Place::String | Place::StringEscape, '\u{1b}') => Place::StringEscape,
                (Place::String | Place::StringEscape, _) => Place::String,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expect: &str) {
        assert_eq!(Sanitizer::default().push(bytes), expect);
        // The same in pieces of every size.
        for size in 1..bytes.len() {
            let mut sanitizer = Sanitizer::default();
            let pieces = bytes.chunks(size).map(|piece| sanitizer.push(piece));
            assert_eq!(pieces.collect::<String>(), expect, "in pieces of {size}");
        }
    }

    #[test]
    fn only_text_reaches_the_terminal() {
        check(b"plain\ttext\n", "plain\ttext\n");
        check("größe ✓\n".as_bytes(), "größe ✓\n");
        check(b"\x1b[31mred\x1b[0m\n", "red\n");
        check(b"\x1b]0;owned\x07title\n", "title\n");
        check(b"\x1b]52;c;cGF5\x1b\\clip\n", "clip\n");
        check(b"\x1b[2J\x1b[Hgone\n", "gone\n");
        check(b"\x1b(Bset\x1b=keys\n", "setkeys\n");
        check(b"10%\r20%\x08\x07\n", "10%20%\n");
        check(b"\x1b]never closed\nnext\n", "\nnext\n");
        check("\u{9b}31mc1\n".as_bytes(), "31mc1\n");
        check(b"bad \xff byte\n", "bad \u{fffd} byte\n");
    }
}
