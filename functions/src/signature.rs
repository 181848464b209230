//! Whether a delivery is of the forge: HMAC-SHA256 over the raw body, as GitHub
//! (`X-Hub-Signature-256: sha256=HEX`) and Gitea (the same, and `X-Gitea-Signature: HEX`) send it.

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Whether `header` is the signature of `body` with one of `secrets`. While a secret is being changed there
/// are two. Compared in constant time; an empty secret signs nothing.
pub fn is_signed<'a>(
    secrets: impl IntoIterator<Item = &'a str>,
    header: &str,
    body: &[u8],
) -> bool {
    let hex = header.strip_prefix("sha256=").unwrap_or(header);
    let Ok(signature) = hex::decode(hex) else {
        return false;
    };
    let mut is_signed = false;
    for secret in secrets.into_iter().filter(|secret| !secret.is_empty()) {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())
            .expect("a key of HMAC may have any length");
        mac.update(body);
        is_signed |= mac.verify_slice(&signature).is_ok();
    }
    is_signed
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of GitHub's documentation of webhooks, "Testing the webhook payload validation".
    const SECRET: &str = "It's a Secret to Everybody";
    const BODY: &[u8] = b"Hello, World!";
    const SIGNATURE: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    #[test]
    fn signatures_of_both_forges_are_known() {
        assert!(is_signed([SECRET], &format!("sha256={SIGNATURE}"), BODY));
        assert!(is_signed([SECRET], SIGNATURE, BODY));
        assert!(is_signed(["the new one", SECRET], SIGNATURE, BODY));
    }

    #[test]
    fn nothing_else_is_signed() {
        assert!(!is_signed(["another"], SIGNATURE, BODY));
        assert!(!is_signed([], SIGNATURE, BODY));
        assert!(!is_signed([SECRET], "", BODY));
        assert!(!is_signed([SECRET], "sha256=zz", BODY));
        assert!(!is_signed([SECRET], &SIGNATURE[..62], BODY));
        // An empty secret would let everybody sign.
        let mut mac = Hmac::<Sha256>::new_from_slice(b"").expect("any length");
        mac.update(BODY);
        let by_nobody = hex::encode(mac.finalize().into_bytes());
        assert!(!is_signed([""], &by_nobody, BODY));
    }

    #[test]
    fn any_bit_matters() {
        for bit in 0..BODY.len() * 8 {
            let mut body = BODY.to_vec();
            body[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_signed([SECRET], SIGNATURE, &body), "bit {bit}");
        }
        let signature = hex::decode(SIGNATURE).expect("hex");
        for bit in 0..signature.len() * 8 {
            let mut signature = signature.clone();
            signature[bit / 8] ^= 1 << (bit % 8);
            let header = hex::encode(signature);
            assert!(!is_signed([SECRET], &header, BODY), "bit {bit}");
        }
    }
}
