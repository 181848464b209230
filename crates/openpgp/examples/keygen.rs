//! `keygen ed25519|rsa4096 USER-ID CREATED`: prints a private key for tests.
#![allow(missing_docs, clippy::disallowed_methods, reason = "a tool for the desk")]
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let kind = if args[1] == "rsa4096" { openpgp::KeyKind::Rsa4096 } else { openpgp::KeyKind::Ed25519 };
    let key = openpgp::SigningKey::generate(kind, &args[2], args[3].parse().unwrap()).unwrap();
    print!("{}", key.to_armored_secret().as_str());
}
