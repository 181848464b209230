//! Whether a delivery is of the forge: HMAC-SHA256 over the raw body, as GitHub (`X-Hub-Signature-256: sha256=HEX`) and
//! Gitea (the same, and `X-Gitea-Signature: HEX`) send it.

use std::fmt;

use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::{Headers, Refusal};

/// Where a signature is, and what stands before its hex digits.
const SIGNATURES: [(&str, &str); 2] = [
    ("x-hub-signature-256", "sha256="),
    ("x-gitea-signature", ""),
];

/// Characters of a secret, at least: 64 bits, if they are hexadecimal digits.
const MIN_CHARS: usize = 16;

/// Why what was written down cannot be the secrets of a webhook. It repeats none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WeakSecret {
    /// Nothing is there.
    #[error("no secret is in it: `openssl rand -hex 32` makes one")]
    None,
    /// One that can be guessed.
    #[error(
        "the secret in line {line} has fewer than {MIN_CHARS} characters: `openssl rand -hex 32` makes one"
    )]
    Short {
        /// Counted from 1.
        line: usize,
    },
}

/// The secrets that are valid now. While one is being changed there are two.
#[derive(Clone)]
pub struct Secrets(Vec<String>);

/// A secret is in no log.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

impl Secrets {
    /// As [`Self::from_lines`], of what a person wrote down: whoever guesses one of them may ask for anything.
    pub fn strong(text: &str) -> Result<Self, WeakSecret> {
        let is_short = |line: &str| (1..MIN_CHARS).contains(&line.trim().chars().count());
        if let Some(at) = text.lines().position(is_short) {
            return Err(WeakSecret::Short { line: at + 1 });
        }
        let secrets = Self::from_lines(text);
        match secrets.0.is_empty() {
            true => Err(WeakSecret::None),
            false => Ok(secrets),
        }
    }

    /// One on each line, without the white space around it. An empty line is none: everybody could sign with that.
    pub fn from_lines(text: &str) -> Self {
        let lines = text.lines().map(str::trim);
        let secrets = lines.filter(|line| !line.is_empty());
        Self(secrets.map(str::to_owned).collect())
    }

    /// Whether all signatures that came with `body` are made with one of the secrets.
    ///
    /// Gitea sends two. One that is right beside one that is wrong was not sent so by any forge: something between has
    /// changed the delivery. Texts are compared in constant time, and every secret is tried.
    pub fn verify(&self, headers: &Headers<'_>, body: &[u8]) -> Result<(), Refusal> {
        let given: Vec<(&str, &str)> = SIGNATURES
            .iter()
            .filter_map(|(name, before)| Some((*before, headers(name)?)))
            .collect();
        // Gitea sends the headers without a secret too, and nothing in them.
        if given
            .iter()
            .all(|(before, text)| text.len() <= before.len())
        {
            return Err(Refusal::NoSignature);
        }
        let mut is_signed = false;
        for secret in &self.0 {
            let hex = signature(secret, body);
            let is_right = |(before, text): &(&str, &str)| same(text, &format!("{before}{hex}"));
            is_signed |= given.iter().all(is_right);
        }
        if is_signed {
            Ok(())
        } else {
            Err(Refusal::NotSigned)
        }
    }
}

/// HMAC-SHA256 of `body`, in 64 hex digits, as both forges write it.
pub fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())
        .expect("a key of HMAC may have any length");
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

/// Its time says nothing about how much is the same, if the lengths are.
fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of GitHub's documentation of webhooks, "Testing the webhook payload validation".
    const SECRET: &str = "It's a Secret to Everybody";
    const BODY: &[u8] = b"Hello, World!";
    const SIGNATURE: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn check(secrets: &str, hub: Option<&str>, gitea: Option<&str>, body: &[u8]) -> bool {
        let headers = |name: &str| match name {
            "x-hub-signature-256" => hub,
            "x-gitea-signature" => gitea,
            _ => None,
        };
        Secrets::from_lines(secrets).verify(&headers, body).is_ok()
    }

    fn hub(text: &str, body: &[u8]) -> bool {
        check(SECRET, Some(text), None, body)
    }

    fn gitea(text: &str, body: &[u8]) -> bool {
        check(SECRET, None, Some(text), body)
    }

    #[test]
    fn signatures_of_both_forges_are_known() {
        let right = format!("sha256={SIGNATURE}");
        assert!(hub(&right, BODY));
        assert!(gitea(SIGNATURE, BODY));
        assert!(check(SECRET, Some(&right), Some(SIGNATURE), BODY));
        let two = format!("the new one\n\n  {SECRET}\r\n");
        assert!(check(&two, Some(&right), None, BODY));
        let new = signature("the new one", BODY);
        assert!(check(&two, None, Some(&new), BODY));
    }

    #[test]
    fn nothing_else_is_signed() {
        let right = format!("sha256={SIGNATURE}");
        assert!(!check("another", Some(&right), None, BODY));
        assert!(!check("", Some(&right), None, BODY));
        assert!(!check(SECRET, None, None, BODY));
        assert!(!hub("", BODY));
        assert!(!hub("sha256=", BODY));
        assert!(!hub("sha256=zz", BODY));
        assert!(!hub(&right[..62], BODY));
        assert!(!hub(SIGNATURE, BODY));
        assert!(!gitea(&right, BODY));
        assert!(!hub(&right.to_uppercase(), BODY));
        assert!(!gitea(&format!(" {SIGNATURE}"), BODY));
    }

    #[test]
    fn an_empty_secret_signs_nothing() {
        let by_nobody = signature("", BODY);
        for secrets in ["", "\n", " \r\n"] {
            assert!(!check(secrets, None, Some(&by_nobody), BODY));
        }
    }

    #[test]
    fn two_signatures_must_both_be_right() {
        let right = format!("sha256={SIGNATURE}");
        let other = signature("another", BODY);
        assert!(!check(SECRET, Some(&right), Some(&other), BODY));
        assert!(!check(
            SECRET,
            Some(&format!("sha256={other}")),
            Some(SIGNATURE),
            BODY
        ));
        assert!(!check(SECRET, Some(&right), Some(""), BODY));
        // And by the same secret.
        let two = format!("another\n{SECRET}");
        assert!(!check(&two, Some(&right), Some(&other), BODY));
    }

    #[test]
    fn any_bit_matters() {
        let right = format!("sha256={SIGNATURE}");
        for bit in 0..BODY.len() * 8 {
            assert!(!hub(&right, &flipped(BODY, bit)), "bit {bit}");
            assert!(!gitea(SIGNATURE, &flipped(BODY, bit)), "bit {bit}");
        }
        type Check = fn(&str, &[u8]) -> bool;
        for (text, check) in [(right.as_str(), hub as Check), (SIGNATURE, gitea)] {
            assert!(check(text, BODY));
            for bit in 0..text.len() * 8 {
                // The highest bit makes it no text: no header then.
                if let Ok(text) = String::from_utf8(flipped(text.as_bytes(), bit)) {
                    assert!(!check(&text, BODY), "bit {bit}: {text}");
                }
            }
        }
    }

    fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    }

    #[test]
    fn secrets_are_not_shown() {
        assert_eq!(format!("{:?}", Secrets::from_lines(SECRET)), "Secrets(1)");
    }

    #[test]
    fn every_secret_is_long() {
        let check = |text: &str, expect: Result<usize, WeakSecret>| {
            let count = Secrets::strong(text).map(|secrets| secrets.0.len());
            assert_eq!(count, expect, "{text:?}");
        };
        let long = "0123456789abcdef";
        check(long, Ok(1));
        check(&format!("{long}\n\n  {SECRET}  \n"), Ok(2));
        check(&format!("{long}\nx\n"), Err(WeakSecret::Short { line: 2 }));
        check(
            &format!("\n{} ", &long[1..]),
            Err(WeakSecret::Short { line: 2 }),
        );
        check(" \n\n", Err(WeakSecret::None));
    }
}
