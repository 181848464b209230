//! Keys and signatures against gpg itself (Debian package: gpg), in a private GNUPGHOME.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "the judge is a program"
)]

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use openpgp::{Cause, DigestSigner, Error, KeyKind, PublicKey, SigningKey};

const CREATED: u64 = 1_700_000_000;
const SIGNED: u64 = 1_700_000_100;

struct Gpg(tempfile::TempDir);

impl Gpg {
    fn new() -> Self {
        // gpg-agent's socket path may be 107 bytes long, so the directory is directly under the temporary one.
        Self(tempfile::Builder::new().prefix("gpg").tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, args: &[&str]) -> Output {
        Command::new("gpg")
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("GNUPGHOME", self.path())
            .args([
                "--batch",
                "--no-tty",
                "--quiet",
                "--status-fd",
                "1",
                "--trust-model",
                "always",
            ])
            .args(args)
            .current_dir(self.path())
            .output()
            .expect("gpg runs; it is in Debian's package gpg")
    }

    fn ok(&self, args: &[&str]) -> String {
        let out = self.run(args);
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(
            out.status.success(),
            "gpg {args:?}: {text}{}",
            String::from_utf8_lossy(&out.stderr)
        );
        text
    }

    fn put(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path().join(name), bytes).unwrap();
    }

    fn get(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).unwrap()
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf")
            .env("GNUPGHOME", self.path())
            .args(["--kill", "gpg-agent"])
            .output();
    }
}

fn ed25519() -> SigningKey {
    SigningKey::generate(KeyKind::Ed25519, "Release <release@example.org>", CREATED).unwrap()
}

/// gpg imports our key, agrees on its names, and verifies every form of signature.
fn gpg_accepts(key: &SigningKey) {
    let gpg = Gpg::new();
    gpg.put("key.asc", key.public().to_armored());
    gpg.ok(&["--import", "key.asc"]);
    let listed = gpg.ok(&["--with-colons", "--fingerprint", "--list-keys"]);
    assert!(
        listed.contains(&format!(
            "fpr:::::::::{}:",
            key.public().fingerprint().to_uppercase()
        )),
        "{listed}"
    );
    assert!(
        listed.contains(&format!(
            ":{}:{CREATED}:",
            key.public().key_id().to_uppercase()
        )),
        "{listed}"
    );

    let data = b"\x00binary\r\nand text  \n";
    gpg.put("data", data);
    gpg.put("data.asc", key.sign_detached_armored(data, SIGNED).unwrap());
    gpg.put("data.sig", key.sign_detached_binary(data, SIGNED).unwrap());
    let valid = format!(
        "VALIDSIG {} 2023-11-14 {SIGNED} ",
        key.public().fingerprint().to_uppercase()
    );
    for signature in ["data.asc", "data.sig"] {
        let said = gpg.ok(&["--verify", signature, "data"]);
        assert!(said.contains(&valid), "{said}");
    }
    gpg.put("data", b"changed");
    assert!(!gpg.run(&["--verify", "data.asc", "data"]).status.success());

    for text in [
        "Origin: x\nSuite: y\n",
        "-dash\n- dash\nFrom me\n",
        "blank at end \t\nb",
        "a\n\n",
        "\n",
        "é\r\nb\r\n",
    ] {
        gpg.put("clear.asc", key.sign_cleartext(text, SIGNED).unwrap());
        let said = gpg.ok(&["--verify", "clear.asc"]);
        assert!(said.contains(&valid), "{text:?}: {said}");
    }
}

#[test]
fn gpg_accepts_ed25519() {
    gpg_accepts(&ed25519());
}

#[test]
fn gpg_accepts_rsa_4096() {
    gpg_accepts(&SigningKey::from_armored(include_str!("data/rsa4096.key")).unwrap());
}

/// What gpg signs, we verify; what gpg exports, we sign with. `params` is gpg's key kind.
fn we_accept(algorithm: &str, usage: &str) {
    let gpg = Gpg::new();
    gpg.ok(&[
        "--passphrase",
        "",
        "--quick-generate-key",
        "a@example.org",
        algorithm,
        usage,
        "never",
    ]);
    gpg.put("text", "- one\ntwo  \n");
    gpg.ok(&["--output", "text.sig", "--detach-sign", "text"]);
    gpg.ok(&["--output", "text.asc", "--armor", "--detach-sign", "text"]);
    gpg.ok(&["--output", "clear", "--clear-sign", "text"]);
    gpg.ok(&["--output", "pub", "--armor", "--export"]);
    gpg.ok(&["--output", "sec", "--armor", "--export-secret-keys"]);

    let public = PublicKey::from_armored(&gpg.get("pub")).unwrap();
    let text = gpg.get("text");
    public
        .verify_detached_armored(text.as_bytes(), &gpg.get("text.asc"))
        .unwrap();
    let packet = std::fs::read(gpg.path().join("text.sig")).unwrap();
    public
        .verify_detached_binary(text.as_bytes(), &packet)
        .unwrap();
    let clear = public.verify_cleartext(&gpg.get("clear")).unwrap();
    assert_eq!(clear.text, "- one\ntwo\n");

    let secret = SigningKey::from_armored(&gpg.get("sec")).unwrap();
    let later = clear.signature.time + 10;
    gpg.put(
        "ours.asc",
        secret.sign_detached_armored(b"ours", later).unwrap(),
    );
    gpg.put("ours", b"ours");
    gpg.ok(&["--ignore-time-conflict", "--verify", "ours.asc", "ours"]);
}

#[test]
fn we_accept_gpg_ed25519() {
    we_accept("ed25519", "sign");
}

#[test]
fn we_accept_gpg_rsa() {
    we_accept("rsa2048", "sign");
}

/// The primary key is kept offline and a subkey signs: what careful distributions do.
#[test]
fn signs_with_a_subkey_when_the_primary_key_is_offline() {
    let gpg = Gpg::new();
    gpg.ok(&[
        "--passphrase",
        "",
        "--quick-generate-key",
        "a@example.org",
        "ed25519",
        "cert",
        "never",
    ]);
    let listed = gpg.ok(&["--with-colons", "--list-keys"]);
    let fingerprint = listed
        .lines()
        .find(|l| l.starts_with("fpr:"))
        .unwrap()
        .split(':')
        .nth(9)
        .unwrap()
        .to_owned();
    gpg.ok(&[
        "--passphrase",
        "",
        "--quick-add-key",
        &fingerprint,
        "ed25519",
        "sign",
        "never",
    ]);
    gpg.ok(&["--output", "sec", "--armor", "--export-secret-subkeys"]);
    let key = SigningKey::from_armored(&gpg.get("sec")).unwrap();
    let now = 4_000_000_000;
    let armored = key.sign_detached_armored(b"x", now).unwrap();
    let info = key
        .public()
        .verify_detached_armored(b"x", &armored)
        .unwrap();
    assert_ne!(info.fingerprint, key.public().fingerprint());
    gpg.put("x", "x");
    gpg.put("x.asc", armored);
    let said = gpg.ok(&[
        "--ignore-time-conflict",
        "--faked-system-time",
        "4000000001",
        "--verify",
        "x.asc",
        "x",
    ]);
    assert!(said.contains("GOODSIG"), "{said}");
}

#[test]
fn a_remote_key_signs_with_its_primary_part_or_not_at_all() {
    #[derive(Debug)]
    struct Nobody;
    impl DigestSigner for Nobody {
        fn sign_digest(&self, _: &[u8; 32]) -> Result<Vec<u8>, Cause> {
            panic!("nobody asks it")
        }
    }
    let gpg = Gpg::new();
    let subkey = ["--passphrase", "", "--quick-add-key"];
    let primary = ["--passphrase", "", "--quick-generate-key", "a@example.org"];
    gpg.ok(&[&primary[..], &["ed25519", "cert", "never"]].concat());
    let listed = gpg.ok(&["--with-colons", "--list-keys"]);
    let fingerprint = listed
        .lines()
        .find_map(|line| line.strip_prefix("fpr:::::::::"));
    let fingerprint = fingerprint.unwrap().trim_end_matches(':');
    gpg.ok(&[&subkey[..], &[fingerprint, "ed25519", "sign", "never"]].concat());
    gpg.ok(&["--output", "pub", "--armor", "--export"]);
    let public = PublicKey::from_armored(&gpg.get("pub")).unwrap();
    let error = SigningKey::remote(public, Arc::new(Nobody)).unwrap_err();
    let expect = "its primary key may not sign data";
    assert!(error.to_string().ends_with(expect), "{error}");
}

#[test]
fn refuses_keys_that_clients_do_not_read() {
    let check = |algorithm: &str, usage: &str, passphrase: &str, says: &str| {
        let gpg = Gpg::new();
        gpg.ok(&[
            "--pinentry-mode",
            "loopback",
            "--passphrase",
            passphrase,
            "--quick-generate-key",
            "a@example.org",
            algorithm,
            usage,
            "never",
        ]);
        gpg.ok(&[
            "--pinentry-mode",
            "loopback",
            "--passphrase",
            passphrase,
            "--output",
            "sec",
            "--armor",
            "--export-secret-keys",
        ]);
        let error = SigningKey::from_armored(&gpg.get("sec"))
            .unwrap_err()
            .to_string();
        assert!(error.contains(says), "{error}");
    };
    check("nistp256", "sign", "", "not one that rpm 4.18 verifies");
    check("rsa1024", "sign", "", "shorter than 2048 bits");
    check("ed25519", "cert", "", "no part of it may sign");
    check("ed25519", "sign", "secret words", "remove the passphrase");
}

#[test]
fn same_input_same_signature() {
    for key in [
        ed25519(),
        SigningKey::from_armored(include_str!("data/rsa4096.key")).unwrap(),
    ] {
        assert_eq!(
            key.sign_detached_binary(b"x", SIGNED).unwrap(),
            key.sign_detached_binary(b"x", SIGNED).unwrap()
        );
        assert_eq!(
            key.sign_cleartext("x", SIGNED).unwrap(),
            key.sign_cleartext("x", SIGNED).unwrap()
        );
    }
}

#[test]
fn keys_survive_their_files() {
    let key = ed25519();
    let again = SigningKey::from_armored(&key.to_armored_secret().unwrap()).unwrap();
    assert_eq!(
        again.sign_detached_binary(b"x", SIGNED).unwrap(),
        key.sign_detached_binary(b"x", SIGNED).unwrap()
    );
    let public = PublicKey::from_armored(&key.public().to_armored()).unwrap();
    assert_eq!(&public, key.public());
    assert_eq!(public.user_id(), "Release <release@example.org>");
    assert!(public.fingerprint().ends_with(&public.key_id()));
    let both = key.public().to_armored() + &ed25519().public().to_armored();
    assert_eq!(
        PublicKey::all_from_armored(&both)
            .map(|keys| keys.len())
            .unwrap(),
        2
    );
}

#[test]
fn refuses_changed_data_and_other_keys() {
    let (key, other) = (ed25519(), ed25519());
    let armored = key.sign_detached_armored(b"data", SIGNED).unwrap();
    let packet = key.sign_detached_binary(b"data", SIGNED).unwrap();
    let clear = key.sign_cleartext("data\n", SIGNED).unwrap();
    assert_eq!(
        key.public().verify_cleartext(&clear).unwrap().text,
        "data\n"
    );
    assert_eq!(
        key.public()
            .verify_detached_binary(b"data", &packet)
            .unwrap()
            .time,
        SIGNED
    );

    assert!(matches!(
        key.public().verify_detached_armored(b"Data", &armored),
        Err(Error::Mismatch { .. })
    ));
    assert!(matches!(
        key.public().verify_detached_binary(b"Data", &packet),
        Err(Error::Mismatch { .. })
    ));
    assert!(matches!(
        key.public()
            .verify_cleartext(&clear.replace("data", "Data")),
        Err(Error::Mismatch { .. })
    ));
    assert!(matches!(
        other.public().verify_detached_armored(b"data", &armored),
        Err(Error::OtherKey { .. })
    ));
    assert!(matches!(
        other.public().verify_cleartext(&clear),
        Err(Error::OtherKey { .. })
    ));
    // A detached signature over a text is no cleartext signature, and bytes outside the signed part are no text.
    let moved = clear.replace("-----BEGIN PGP SIGNED", "extra\n-----BEGIN PGP SIGNED");
    assert!(key.public().verify_cleartext(&moved).is_err());
    assert!(key.public().verify_cleartext(&(clear + "extra\n")).is_err());
}

#[test]
fn refuses_times_outside_the_life_of_the_key() {
    let key = ed25519();
    let error = key.sign_detached_armored(b"x", CREATED - 1).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "sign with key {} at 1699999999: the key is valid from 1700000000; use a key that is valid then",
            key.public().fingerprint()
        )
    );
    assert!(matches!(
        key.sign_detached_armored(b"x", 1 << 32),
        Err(Error::Time { .. })
    ));
}

#[test]
fn errors_and_debug_hold_no_secret() {
    let key = ed25519();
    let armored = key.to_armored_secret().unwrap();
    let secret_line = armored.lines().nth(3).unwrap().to_owned();
    assert!(!format!("{key:?}").contains("secret"));
    let lines: Vec<&str> = armored.lines().collect();
    for cut in 0..lines.len() {
        let text = lines[..cut].join("\n");
        if let Err(error) = SigningKey::from_armored(&text) {
            let said = format!("{error} {error:?}");
            assert!(
                !said.contains(&secret_line) && !said.contains(&secret_line[..16]),
                "{said}"
            );
        }
    }
    let said = PublicKey::from_armored(&armored).unwrap_err().to_string();
    assert!(said.contains("this is a private key"), "{said}");
}

proptest::proptest! {
    /// Strangers' bytes give errors, never panics.
    #[test]
    fn hostile_signatures_do_not_panic(at in 0usize..400, byte: u8, cut in 0usize..400) {
        let key = SigningKey::from_armored(include_str!("data/ed25519.key")).unwrap();
        let mut packet = key.sign_detached_binary(b"data", SIGNED).unwrap();
        let length = packet.len();
        packet[at % length] ^= byte;
        let _ = key.public().verify_detached_binary(b"data", &packet);
        packet.truncate(cut);
        let _ = key.public().verify_detached_binary(b"data", &packet);
        let mut armored = key.public().to_armored().into_bytes();
        let length = armored.len();
        armored[at % length] ^= byte;
        let _ = PublicKey::from_armored(&String::from_utf8_lossy(&armored));
    }
}
