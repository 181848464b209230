//! The text inside a clearsigned control file (`.dsc`, `.changes`, `.buildinfo`), without checking the signature.
//!
//! What is *not* inside the signed text is refused, so that nobody reads a field that the signer did not write.
//! Whether the signature is good is asked elsewhere (`openpgp`).

use std::borrow::Cow;

const BEGIN: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const END: &str = "-----END PGP SIGNATURE-----";

/// Why a file that starts like a clearsigned one is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The armour is cut off or nested.
    #[error("the PGP armour is incomplete")]
    Armour,
    /// There is text after the signature.
    #[error("there is text outside the signed part")]
    Outside,
}

/// The signed text of a clearsigned file (RFC 9580, section 7), or the bytes as they are if the file is not signed.
///
/// # Errors
/// A broken armour, or text after it.
pub fn signed_text(bytes: &[u8]) -> Result<Cow<'_, [u8]>, Error> {
    if !bytes.trim_ascii_start().starts_with(BEGIN.as_bytes()) {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut lines = bytes
        .trim_ascii_start()
        .split(|&byte| byte == b'\n')
        .map(<[u8]>::trim_ascii_end);
    if lines.next() != Some(BEGIN.as_bytes()) {
        return Err(Error::Armour);
    }
    // Armour headers ("Hash: SHA512") end at an empty line.
    lines.find(|line| line.is_empty()).ok_or(Error::Armour)?;
    let mut text = Vec::with_capacity(bytes.len());
    loop {
        match lines.next().ok_or(Error::Armour)? {
            line if line == SIGNATURE.as_bytes() => break,
            line if line == BEGIN.as_bytes() => return Err(Error::Armour),
            line => {
                text.extend_from_slice(line.strip_prefix(b"- ").unwrap_or(line));
                text.push(b'\n');
            }
        }
    }
    lines
        .find(|line| *line == END.as_bytes())
        .ok_or(Error::Armour)?;
    if lines.any(|line| !line.is_empty()) {
        return Err(Error::Outside);
    }
    Ok(Cow::Owned(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expect: Result<&str, Error>) {
        let got = signed_text(input.as_bytes())
            .map(|text| String::from_utf8(text.into_owned()).expect("UTF-8 in, UTF-8 out"));
        assert_eq!(got.as_deref(), expect.as_ref().copied(), "{input}");
    }

    #[test]
    fn text_inside_and_nothing_else() {
        let signed = |after: &str| {
            format!(
                "{BEGIN}\nHash: SHA512\n\nSource: a\n- -dash\n\n{SIGNATURE}\n\nabc\n{END}\n{after}"
            )
        };
        check("Source: a\n", Ok("Source: a\n"));
        check(&signed(""), Ok("Source: a\n-dash\n\n"));
        check(&signed("\n\n"), Ok("Source: a\n-dash\n\n"));
        check(&signed("Source: b\n"), Err(Error::Outside));
        check(
            &format!("{BEGIN}\nHash: x\n\nSource: a\n"),
            Err(Error::Armour),
        );
        check(
            &format!("{BEGIN}\n\nA: b\n{SIGNATURE}\n"),
            Err(Error::Armour),
        );
        check(&format!("{BEGIN}\n\n{BEGIN}\n"), Err(Error::Armour));
        check(&format!("{BEGIN} x\n"), Err(Error::Armour));
    }
}
