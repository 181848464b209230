//! One commit: what it stands on, and what is signed in it.

use crate::object::{Id, MAX_COMMIT_BYTES};

/// A commit as git reads it.
#[derive(Debug, Clone)]
pub(crate) struct Commit {
    bytes: Vec<u8>,
    pub(crate) tree: Id,
    pub(crate) parents: Vec<Id>,
    pub(crate) signature: Signature,
    /// Where the message begins.
    message: usize,
}

/// What a commit has of a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Signature {
    None,
    /// An OpenPGP signature in armor, over the commit without its signatures.
    OpenPgp {
        armored: String,
        payload: Vec<u8>,
    },
    /// Something else: why it counts for nothing.
    Other(&'static str),
}

/// The header of the signature over a commit whose objects have SHA-1 names.
const SIGNATURE: &[u8] = b"gpgsig";
/// The one over the same commit with SHA-256 names. It is in no signature, and counts for nothing here.
const SIGNATURE_SHA256: &[u8] = b"gpgsig-sha256";

impl Commit {
    /// Reads a commit's bytes.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.len() > MAX_COMMIT_BYTES {
            return Err("a commit is too large");
        }
        let mut lines = Lines { rest: bytes, at: 0 };
        let tree = lines.id(b"tree ").ok_or("a commit names no tree")?;
        let mut parents = Vec::new();
        while let Some(parent) = lines.id(b"parent ") {
            parents.push(parent);
        }
        let (signature, message) = signature(bytes);
        Ok(Self {
            bytes: bytes.to_vec(),
            tree,
            parents,
            signature,
            message,
        })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether a line of the message is this one.
    pub(crate) fn has_line(&self, line: &str) -> bool {
        let message = &self.bytes[self.message..];
        let mut lines = message.split(|byte| *byte == b'\n');
        lines.any(|own| own.trim_ascii_end() == line.as_bytes())
    }
}

/// The headers, one after the other.
struct Lines<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Lines<'a> {
    /// The next header with the lines that continue it, which begin with a space. `None`: the message follows.
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() || self.rest[0] == b'\n' {
            return None;
        }
        let mut end = line_end(self.rest, 0);
        while self.rest.get(end) == Some(&b' ') {
            end = line_end(self.rest, end);
        }
        let (header, rest) = self.rest.split_at(end);
        self.rest = rest;
        self.at += end;
        Some(header)
    }

    /// The id that the next line has behind `key`, if it has that key; else the line stays.
    fn id(&mut self, key: &[u8]) -> Option<Id> {
        let end = line_end(self.rest, 0);
        let text = self.rest[..end].strip_prefix(key)?.strip_suffix(b"\n")?;
        let id = std::str::from_utf8(text).ok()?.parse().ok()?;
        self.rest = &self.rest[end..];
        self.at += end;
        Some(id)
    }
}

/// Behind the end of the line that begins at `from`.
fn line_end(bytes: &[u8], from: usize) -> usize {
    let rest = bytes[from..].iter();
    let end = rest.copied().position(|byte| byte == b'\n');
    end.map_or(bytes.len(), |end| from + end + 1)
}

/// The signature, and where the message begins. What git and we could read differently counts for nothing.
fn signature(bytes: &[u8]) -> (Signature, usize) {
    let mut lines = Lines { rest: bytes, at: 0 };
    let (mut payload, mut found) = (Vec::new(), Vec::new());
    let (mut odd, mut last) = (None, 0);
    while let Some(header) = lines.next() {
        let key = header.split(|byte| matches!(byte, b' ' | b'\n')).next();
        let key = key.unwrap_or_default();
        // git's own order; anything else could be meant to be read in two ways.
        let rank = match key {
            b"tree" => 1,
            b"parent" => 2,
            b"author" => 3,
            b"committer" => 4,
            _ => 5,
        };
        if rank < last || (rank == last && !matches!(rank, 2 | 5)) {
            odd = Some("its headers are in disorder");
        }
        last = rank;
        match key {
            SIGNATURE => found.push(&header[SIGNATURE.len()..]),
            SIGNATURE_SHA256 => {}
            key if key.starts_with(SIGNATURE) => odd = Some("it has a signature of unknown kind"),
            _ => payload.extend_from_slice(header),
        }
    }
    let message = (lines.at + 1).min(bytes.len());
    payload.extend_from_slice(lines.rest);
    if bytes.contains(&0) {
        odd = Some("it has a NUL, behind which git shows nothing");
    }
    let signature = match (found.as_slice(), odd) {
        ([], _) => Signature::None,
        (_, Some(odd)) => Signature::Other(odd),
        ([one], None) => of_header(one, payload),
        _ => Signature::Other("it has several signatures"),
    };
    (signature, message)
}

fn of_header(header: &[u8], payload: Vec<u8>) -> Signature {
    let mut armored = Vec::with_capacity(header.len());
    for line in header.split_inclusive(|byte| *byte == b'\n') {
        armored.extend_from_slice(line.strip_prefix(b" ").unwrap_or(line));
    }
    let Ok(armored) = String::from_utf8(armored) else {
        return Signature::Other("its signature is no text");
    };
    if armored.starts_with("-----BEGIN PGP SIGNATURE-----") {
        return Signature::OpenPgp { armored, payload };
    }
    Signature::Other(if armored.starts_with("-----BEGIN SSH SIGNATURE-----") {
        "it is signed with an SSH key; sign with OpenPGP (`git config gpg.format openpgp`)"
    } else if armored.starts_with("-----BEGIN SIGNED MESSAGE-----") {
        "it is signed with X.509; sign with OpenPGP (`git config gpg.format openpgp`)"
    } else {
        "its signature is of unknown kind"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nparent 1111111111111111111111111111111111111111\nauthor A <a> 1 +0000\ncommitter A <a> 1 +0000\n";

    fn read(rest: &str) -> Commit {
        Commit::read(format!("{HEAD}{rest}").as_bytes()).unwrap()
    }

    #[test]
    fn signatures_are_taken_out_of_what_they_sign() {
        let check = |rest: &str, left: &str| {
            let Signature::OpenPgp { armored, payload } = read(rest).signature else {
                panic!("{rest} has no signature");
            };
            assert_eq!(armored, "-----BEGIN PGP SIGNATURE-----\n\nx\n", "{rest}");
            assert_eq!(String::from_utf8(payload).unwrap(), format!("{HEAD}{left}"));
        };
        let signed = "gpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n";
        check(&format!("{signed}\nm\n"), "\nm\n");
        check(
            &format!("encoding x\n{signed}\nm\n gpgsig y\n"),
            "encoding x\n\nm\n gpgsig y\n",
        );
        check(&format!("{signed}gpgsig-sha256 y\n z\n\nm"), "\nm");
        check(
            &format!("mergetag object 1\n gpgsig z\n{signed}\n"),
            "mergetag object 1\n gpgsig z\n\n",
        );
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_no_signature() {
        let check = |rest: &str, says: &str| {
            let Signature::Other(why) = read(rest).signature else {
                panic!("{rest:?} has a signature");
            };
            assert!(why.contains(says), "{why}");
        };
        let signed = "gpgsig -----BEGIN PGP SIGNATURE-----\n x\n";
        check(&format!("{signed}{signed}\nm"), "several signatures");
        check(&format!("{signed}parent 2\n\nm"), "in disorder");
        check(&format!("{signed}author B\n\nm"), "in disorder");
        check(&format!("gpgsigx y\n{signed}\nm"), "unknown kind");
        check(&format!("{signed}\nm\0Approve: x"), "a NUL");
        check("gpgsig -----BEGIN SSH SIGNATURE-----\n x\n\nm", "SSH key");
        check("gpgsig x\n\nm", "unknown kind");
        assert_eq!(read("\ngpgsig x\n").signature, Signature::None);
        assert_eq!(read("").signature, Signature::None);
    }

    #[test]
    fn a_line_is_a_whole_line_of_the_message() {
        let commit = read("x Approve: a\n\nfirst\n\nApprove: b \r\n* Approve: c\nApprove: d");
        let check = |line: &str, has: bool| assert_eq!(commit.has_line(line), has, "{line}");
        check("Approve: a", false);
        check("first", true);
        check("Approve: b", true);
        check("Approve: c", false);
        check("Approve: d", true);
        check("Approve: ", false);
    }

    #[test]
    fn bytes_of_strangers_do_not_panic() {
        let large = vec![b'x'; MAX_COMMIT_BYTES + 1];
        for bytes in [
            &b""[..],
            b"\n",
            b"tree",
            b"tree \n",
            b"tree 4b\n",
            b" ",
            &large,
        ] {
            assert!(Commit::read(bytes).is_err());
        }
    }
}
