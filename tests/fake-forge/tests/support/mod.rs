//! A client of a fake, and a receiver of its webhooks.

#![allow(clippy::unwrap_used, reason = "what does not work here fails the test")]
#![allow(clippy::panic, reason = "the same")]
#![allow(dead_code, reason = "each test uses a part")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use fake_forge::Got;
use fake_forge::forge::{Change, Forge, Kind, NewPull};
use rsa::pkcs1::DecodeRsaPrivateKey as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub(crate) struct Place {
    pub(crate) forge: Forge,
    /// Where requests go: to the forge, or to whoever judges it.
    pub(crate) api: String,
    pub(crate) token: String,
    _folder: tempfile::TempDir,
}

/// A forge with one commit on `main`.
pub(crate) fn place(kind: Kind) -> Place {
    let folder = tempfile::tempdir().unwrap();
    let forge = Forge::start(kind, folder.path());
    forge.push("main", &Change::new("first").write("README.md", "hello\n"));
    Place {
        api: forge.url(),
        token: forge.token(),
        forge,
        _folder: folder,
    }
}

pub(crate) fn change(path: &str, text: &str) -> Change {
    Change::new(&format!("{path}: change")).write(path, text)
}

pub(crate) fn pull(author: &str) -> NewPull {
    NewPull::new("Add b", "add-b", author, &change("b.yaml", "b: 1\n"))
}

impl Place {
    pub(crate) fn repo(&self, rest: &str) -> String {
        format!("/repos/{}/{}{rest}", Forge::OWNER, Forge::REPOSITORY)
    }

    pub(crate) fn ask(&self, method: &str, path: &str, body: &Value) -> Got {
        let bearer = format!("Bearer {}", self.token);
        self.ask_as(&bearer, method, path, body)
    }

    pub(crate) fn get(&self, path: &str) -> Got {
        self.ask("GET", path, &Value::Null)
    }

    pub(crate) fn ask_as(&self, who: &str, method: &str, path: &str, body: &Value) -> Got {
        self.try_as(who, method, path, body)
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    pub(crate) fn try_as(
        &self,
        who: &str,
        method: &str,
        path: &str,
        body: &Value,
    ) -> std::io::Result<Got> {
        let headers = [
            ("Authorization", who),
            ("User-Agent", "millrace-test"),
            ("Accept", "application/json"),
            ("Content-Type", "application/json"),
        ];
        let used = if method == "GET" { 3 } else { 4 };
        let headers: Vec<(String, String)> = headers[..used]
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let bytes = match body {
            Value::Null => Vec::new(),
            body => body.to_string().into_bytes(),
        };
        fake_forge::send(method, &format!("{}{path}", self.api), &headers, &bytes)
    }
}

/// A token of the App itself, good from `issued` to `ends` (seconds since 1970).
pub(crate) fn app_token(issued: u64, ends: u64) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!(
        "{}.{}",
        part(json!({ "alg": "RS256", "typ": "JWT" })),
        part(json!({ "iat": issued, "exp": ends, "iss": Forge::APP.to_string() })),
    );
    let lines = Forge::app_key()
        .lines()
        .filter(|line| !line.starts_with('-'));
    let der = STANDARD.decode(lines.collect::<String>()).unwrap();
    let key = rsa::RsaPrivateKey::from_pkcs1_der(&der).unwrap();
    // What a digest of SHA-256 begins with: RFC 8017.
    let prefix = hex::decode("3031300d060960864801650304020105000420").unwrap();
    let scheme = rsa::Pkcs1v15Sign {
        hash_len: Some(32),
        prefix: prefix.into(),
    };
    let signature = key.sign(scheme, &Sha256::digest(&text)).unwrap();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

pub(crate) fn now() -> u64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

/// A webhook that came in.
#[derive(Debug, Clone)]
pub(crate) struct Came {
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Came {
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self
            .headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Receives webhooks, and says 202 to each.
pub(crate) fn receiver() -> (String, Arc<Mutex<Vec<Came>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let came = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&came);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            list.lock().unwrap().push(receive(&stream.unwrap()));
        }
    });
    (url, came)
}

fn receive(mut stream: &TcpStream) -> Came {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let mut headers = Vec::new();
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        if name == "Content-Length" {
            length = value.parse().unwrap();
        }
        headers.push((name.to_owned(), value.to_owned()));
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    stream
        .write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
        .unwrap();
    Came { headers, body }
}
