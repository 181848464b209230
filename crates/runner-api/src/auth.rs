//! Proof of origin of a runner's call: an Ed25519 signature over method, path, time and body digest.
//!
//! Header: `Authorization: Millrace-Ed25519 id=<runner>,time=<unix seconds>,sig=<base64>`.
//! The signed text is [`signed_text`]. A call is accepted within [`MAX_SKEW_SECONDS`] of the
//! server's clock; within it a replay changes nothing that the runner did not want: calls are repeatable
//! and fenced by the attempt. Their answers are for the runner alone (a grant has links, `/cloud` lends credentials), so
//! whoever can overhear and replay hears them too: TLS stands before that. The public key comes from `runners/<id>.yaml`, so that enrolment is a reviewed commit.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
pub use ed25519_dalek::SigningKey;
use ed25519_dalek::{Signature, Signer as _, VerifyingKey};
use pipeline_spec::RunnerId;
use sha2::{Digest, Sha256};

/// Name of the scheme in the header.
pub const SCHEME: &str = "Millrace-Ed25519";
/// How far a runner's clock may be from the server's, in seconds.
pub const MAX_SKEW_SECONDS: i64 = 300;

/// Why a call is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No or malformed header.
    #[error("the Authorization header is missing or is not \"{SCHEME} id=…,time=…,sig=…\"")]
    Malformed,
    /// Outside the window.
    #[error(
        "the call's time differs from the server's by {0} s; {MAX_SKEW_SECONDS} s are allowed: check the runner's clock"
    )]
    Skew(i64),
    /// Does not verify.
    #[error("the signature does not fit the public key in runners/{0}.yaml")]
    BadSignature(RunnerId),
}

/// A parsed header, not yet believed.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Who the caller says it is.
    pub runner: RunnerId,
    time: i64,
    signature: Signature,
}

/// The text that is signed. `path` includes the query; `body` is the SHA-256 of the body's bytes.
pub fn signed_text(runner: &RunnerId, time: i64, call: &Call<'_>) -> String {
    format!(
        "millrace-runner-api/1\n{}\n{}\n{runner}\n{time}\n{}\n",
        call.method,
        call.path,
        hex::encode(call.body_sha256)
    )
}

/// What is proven.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// `POST`.
    pub method: &'a str,
    /// `/runner/v1/log?…`
    pub path: &'a str,
    /// SHA-256 of the body; of the empty string when there is none.
    pub body_sha256: [u8; 32],
}

impl<'a> Call<'a> {
    /// A call whose body is at hand.
    pub fn new(method: &'a str, path: &'a str, body: &[u8]) -> Self {
        Self {
            method,
            path,
            body_sha256: Sha256::digest(body).into(),
        }
    }
}

/// The header's value for `call` at `time` (seconds since 1970).
pub fn header(key: &SigningKey, runner: &RunnerId, time: i64, call: &Call<'_>) -> String {
    let signature = key.sign(signed_text(runner, time, call).as_bytes());
    format!(
        "{SCHEME} id={runner},time={time},sig={}",
        STANDARD.encode(signature.to_bytes())
    )
}

/// Reads the header; proves nothing yet: look up the key of [`Claim::runner`], then [`Claim::verify`].
pub fn parse(header: &str) -> Result<Claim, Error> {
    let fields = header
        .strip_prefix(SCHEME)
        .and_then(|rest| rest.strip_prefix(' '))
        .ok_or(Error::Malformed)?;
    let mut parts = fields.splitn(3, ',');
    let mut field = |name: &str| {
        parts
            .next()
            .and_then(|part| part.strip_prefix(name))
            .and_then(|part| part.strip_prefix('='))
            .ok_or(Error::Malformed)
    };
    let runner = field("id")?.parse().map_err(|_| Error::Malformed)?;
    let time = field("time")?.parse().map_err(|_| Error::Malformed)?;
    let bytes = STANDARD
        .decode(field("sig")?)
        .map_err(|_| Error::Malformed)?;
    let signature = Signature::from_slice(&bytes).map_err(|_| Error::Malformed)?;
    Ok(Claim {
        runner,
        time,
        signature,
    })
}

impl Claim {
    /// Believes the claim if it fits `key`, the call and the server's clock `now` (seconds since 1970).
    pub fn verify(&self, key: &[u8; 32], now: i64, call: &Call<'_>) -> Result<(), Error> {
        let skew = now.saturating_sub(self.time);
        if skew.saturating_abs() > MAX_SKEW_SECONDS {
            return Err(Error::Skew(skew));
        }
        let key =
            VerifyingKey::from_bytes(key).map_err(|_| Error::BadSignature(self.runner.clone()))?;
        key.verify_strict(
            signed_text(&self.runner, self.time, call).as_bytes(),
            &self.signature,
        )
        .map_err(|_| Error::BadSignature(self.runner.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_000_000;

    fn check(tweak: impl FnOnce(&mut i64, &mut String, &mut Vec<u8>)) -> Result<(), Error> {
        let key = SigningKey::from_bytes(&[7; 32]);
        let runner: RunnerId = "builder-1".parse().expect("a runner id");
        let header = header(
            &key,
            &runner,
            NOW,
            &Call::new("POST", "/runner/v1/take", b"{}"),
        );
        let (mut now, mut path, mut body) = (NOW, "/runner/v1/take".to_owned(), b"{}".to_vec());
        tweak(&mut now, &mut path, &mut body);
        parse(&header)?.verify(
            key.verifying_key().as_bytes(),
            now,
            &Call::new("POST", &path, &body),
        )
    }

    #[test]
    fn a_call_proves_its_origin() {
        assert_eq!(check(|_, _, _| ()), Ok(()));
        assert_eq!(check(|now, _, _| *now += MAX_SKEW_SECONDS), Ok(()));
    }

    #[test]
    fn a_changed_call_is_refused() {
        let bad = Err(Error::BadSignature("builder-1".parse().expect("id")));
        assert_eq!(check(|_, path, _| path.push('x')), bad);
        assert_eq!(check(|_, _, body| body.push(b' ')), bad);
        assert_eq!(check(|now, _, _| *now += 301), Err(Error::Skew(301)));
        assert_eq!(check(|now, _, _| *now -= 301), Err(Error::Skew(-301)));
    }

    #[test]
    fn a_malformed_header_is_refused() {
        for header in [
            "",
            "Bearer x",
            "Millrace-Ed25519",
            "Millrace-Ed25519 id=a,time=1",
            "Millrace-Ed25519 id=a,time=x,sig=AAAA",
            "Millrace-Ed25519 id=../a,time=1,sig=AAAA",
        ] {
            assert_eq!(parse(header).err(), Some(Error::Malformed), "{header}");
        }
    }
}
