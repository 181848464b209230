//! The digests that something names, as 32 bytes each.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use pipeline_spec::Sha256Digest;

/// Hexadecimal digits of a digest.
const DIGITS: usize = 64;
/// How JSON escapes a character: a digit may be written so.
const ESCAPE: &[u8] = b"\\u";

/// What is known of a named digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    /// It may be a document that names others.
    Perhaps,
    /// It names nothing, unless somebody else says that it is a document.
    Plain,
    /// It is a document.
    Document,
    /// It was read.
    Read,
}

/// All that is named, and what of it has to be read for further names.
#[derive(Debug, Default)]
pub(super) struct Marks {
    named: HashMap<Sha256Digest, Named>,
    unread: Vec<Sha256Digest>,
}

impl Marks {
    /// Names every digest that `text` has: each run of exactly 64 hexadecimal digits.
    pub(super) fn scan(&mut self, text: &[u8]) {
        self.scan_plain(text);
        if text.windows(ESCAPE.len()).any(|it| it == ESCAPE)
            && let Ok(value) = serde_json::from_slice::<serde_json::Value>(text)
        {
            // The same, with its digits as digits.
            self.scan_plain(value.to_string().as_bytes());
        }
    }

    fn scan_plain(&mut self, text: &[u8]) {
        let runs = text.split(|byte| !byte.is_ascii_hexdigit());
        for run in runs.filter(|run| run.len() == DIGITS) {
            let text = std::str::from_utf8(run).expect("hexadecimal digits are ASCII");
            let digest = text.parse().expect("it has as many digits as a digest");
            if let Entry::Vacant(vacant) = self.named.entry(digest) {
                vacant.insert(Named::Perhaps);
                self.unread.push(digest);
            }
        }
    }

    /// Names a file that names nothing itself.
    pub(super) fn plain(&mut self, digest: Sha256Digest) {
        let named = self.named.entry(digest).or_insert(Named::Plain);
        if *named == Named::Perhaps {
            *named = Named::Plain;
        }
    }

    /// Names a file that has to be read for further names, whatever else it is called.
    pub(super) fn document(&mut self, digest: Sha256Digest) {
        let named = self.named.entry(digest).or_insert(Named::Document);
        if *named != Named::Read {
            *named = Named::Document;
            self.unread.push(digest);
        }
    }

    /// Names a document that was read.
    pub(super) fn read(&mut self, digest: Sha256Digest, text: &[u8]) {
        self.named.insert(digest, Named::Read);
        self.scan(text);
    }

    /// A file that may be a document and was not read; each once.
    pub(super) fn next_unread(&mut self) -> Option<Sha256Digest> {
        loop {
            let digest = self.unread.pop()?;
            if let Some(named @ (Named::Perhaps | Named::Document)) = self.named.get_mut(&digest) {
                *named = Named::Read;
                return Some(digest);
            }
        }
    }

    pub(super) fn has(&self, digest: &Sha256Digest) -> bool {
        self.named.contains_key(digest)
    }

    pub(super) fn count(&self) -> u64 {
        self.named.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &[char]) {
        let mut marks = Marks::default();
        marks.scan(text.as_bytes());
        let digest = |digit: &char| digit.to_string().repeat(64).parse().expect("a digest");
        for digit in expect {
            assert!(marks.has(&digest(digit)), "{digit} in {text}");
        }
        assert_eq!(marks.count(), expect.len() as u64, "in {text}");
    }

    #[test]
    fn digests_are_found_in_any_text() {
        let (a, b) = ("a".repeat(64), "B".repeat(64));
        check("", &[]);
        check(&a, &['a']);
        check(&format!(r#"{{"x":"{a}","y":{{"{b}":[]}}}}"#), &['a', 'b']);
        check(&format!("record: {a}\nfiles:\n- {b}\n"), &['a', 'b']);
        check(&format!("sha256:{a}@{a}"), &['a']);
        check(&format!("{a}0 {}", &b[1..]), &[]);
        let escaped = format!(r#"["\u0061{}"]"#, &a[1..]);
        check(&escaped, &['a']);
        check(&format!("\\u and {b}"), &['b']);
    }

    #[test]
    fn what_is_plain_is_not_read_and_a_document_is_read_once() {
        let mut marks = Marks::default();
        let [a, b, c] = [1, 2, 3].map(|byte| Sha256Digest::new([byte; 32]));
        marks.scan(format!("{a} {b} {c}").as_bytes());
        marks.plain(a);
        marks.plain(c);
        marks.document(c);
        marks.plain(c);
        marks.scan(format!("{a} {b}").as_bytes());
        assert_eq!(marks.next_unread(), Some(c), "somebody said so");
        assert_eq!(marks.next_unread(), Some(b), "nobody knows");
        marks.document(c);
        assert_eq!(marks.next_unread(), None);
    }
}
