//! Who asks: the App by a signed token of its own, its installation, or a bot.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rsa::pkcs1::DecodeRsaPublicKey as _;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::Kind;
use super::world::{Token, World};

pub(crate) const APP: u64 = 4242;
pub(crate) const CLIENT: &str = "Iv23fakemillrace";
pub(crate) const INSTALLATION: u64 = 777;
pub(crate) const APP_KEY: &str = include_str!("app-key.pem");
const APP_PUBLIC_KEY: &str = include_str!("app-public.pem");

/// What the App was given when people installed it.
pub(crate) const PERMISSIONS: [(&str, &str); 5] = [
    ("checks", "write"),
    ("contents", "write"),
    ("issues", "read"),
    ("metadata", "read"),
    ("pull_requests", "write"),
];

/// Seconds that an installation's token is good for.
pub(crate) const TOKEN_LASTS: i64 = 3600;
/// Seconds that an App's own token may be good for.
const APP_TOKEN_LASTS: i64 = 600;

pub(crate) enum Caller {
    Nobody,
    App,
    /// A token of the installation or of the bot, and what it may.
    Token(BTreeMap<String, String>),
}

pub(crate) fn all_permissions() -> BTreeMap<String, String> {
    PERMISSIONS
        .iter()
        .map(|(name, level)| ((*name).to_owned(), (*level).to_owned()))
        .collect()
}

/// A new token: all of the App's permissions, or those.
pub(crate) fn give(world: &mut World, permissions: Option<BTreeMap<String, String>>) -> String {
    let ends = match world.kind {
        Kind::GitHub => world.now() + TOKEN_LASTS,
        Kind::Gitea => i64::MAX,
    };
    let number = world.id();
    let token = match world.kind {
        Kind::GitHub => format!("ghs_fake{number:032}"),
        Kind::Gitea => format!("{number:040x}"),
    };
    let permissions = permissions.unwrap_or_else(all_permissions);
    world
        .tokens
        .insert(token.clone(), Token { ends, permissions });
    token
}

/// How git says a token.
pub(crate) fn basic(token: &str) -> String {
    format!(
        "Basic {}",
        STANDARD.encode(format!("x-access-token:{token}"))
    )
}

/// Who asks, or what is wrong with what they showed.
pub(crate) fn caller(world: &World, header: &str) -> Result<Caller, String> {
    if header.is_empty() {
        return Ok(Caller::Nobody);
    }
    let Some((scheme, word)) = header.split_once(' ') else {
        return Err("Bad credentials".to_owned());
    };
    let known = |token: &str| {
        let found = world.tokens.get(token).filter(|t| t.ends > world.now());
        found
            .map(|token| Caller::Token(token.permissions.clone()))
            .ok_or_else(|| "Bad credentials".to_owned())
    };
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" if world.kind == Kind::GitHub && word.matches('.').count() == 2 => {
            app(world.now(), word).map(|()| Caller::App)
        }
        "bearer" | "token" => known(word),
        "basic" => {
            let text = STANDARD.decode(word).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            let (name, password) = text.split_once(':').unwrap_or_default();
            // Either place will do, to both forges.
            known(password).or_else(|_| known(name))
        }
        _ => Err("Bad credentials".to_owned()),
    }
}

/// Whether the App itself made this token, for now: RFC 7519, RS256.
fn app(now: i64, token: &str) -> Result<(), String> {
    let broken = || "A JSON web token could not be decoded".to_owned();
    let mut parts = token.splitn(3, '.');
    let mut part = || parts.next().unwrap_or_default();
    let (head, claims, signature) = (part(), part(), part());
    let json = |text: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        serde_json::from_slice::<Value>(&bytes).ok()
    };
    let header = json(head).ok_or_else(broken)?;
    let claims_read = json(claims).ok_or_else(broken)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| broken())?;
    let digest = Sha256::digest(format!("{head}.{claims}"));
    let scheme = rsa::Pkcs1v15Sign {
        hash_len: Some(digest.len()),
        prefix: SHA256_PREFIX.into(),
    };
    if header["alg"] != "RS256" || public_key().verify(scheme, &digest, &signature).is_err() {
        return Err(broken());
    }
    // GitHub takes the number of the App or its client id, the former as text or as a number.
    let issuer = match &claims_read["iss"] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if issuer != APP.to_string() && issuer != CLIENT {
        return Err("'Issuer' claim ('iss') must be an Integer".to_owned());
    }
    times(now, &claims_read)
}

/// Says that a digest of SHA-256 follows: RFC 8017, section 9.2.
const SHA256_PREFIX: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
    0x00, 0x04, 0x20,
];

/// GitHub's own words for each.
fn times(now: i64, claims: &Value) -> Result<(), String> {
    let issued = claims["iat"].as_i64();
    if issued.is_none_or(|at| at > now) {
        return Err("'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued".to_owned());
    }
    let ends = claims["exp"].as_i64();
    if ends.is_none_or(|at| at <= now) {
        return Err("'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires".to_owned());
    }
    if ends.is_some_and(|at| at > now + APP_TOKEN_LASTS) {
        return Err("'Expiration time' claim ('exp') is too far in the future".to_owned());
    }
    Ok(())
}

fn public_key() -> rsa::RsaPublicKey {
    let lines = APP_PUBLIC_KEY.lines().filter(|line| !line.starts_with('-'));
    let der = STANDARD.decode(lines.collect::<String>()).unwrap();
    rsa::RsaPublicKey::from_pkcs1_der(&der).unwrap()
}
