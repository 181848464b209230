//! For tests: a double of a forge. Real repositories, served over HTTP by `git http-backend`, with faults in front.
//!
//! Callers: tests of `git`, and `cargo xtask aws`. Invariants: it listens on this machine alone, and ends with the
//! process.
#![allow(
    clippy::disallowed_methods,
    reason = "this room's business is programs and ports"
)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "what does not work here fails the test that asked for it"
)]

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

/// What the server does to requests whose target contains a word.
#[derive(Clone)]
pub enum Fault {
    /// Runs the request, and closes the connection instead of answering.
    LoseAnswer,
    /// Gives git only this many bytes of the body, and closes the connection. (git is told this length: it spins
    /// for ever on a body that ends early.)
    CutRequest(usize),
    /// Sends only this many bytes of the answer's body.
    CutAnswer(usize),
    /// Answers with this status line and body, without git.
    Answer(&'static str, Vec<u8>),
    /// Runs this before git sees the request.
    Before(Arc<dyn Fn() + Send + Sync>),
}

type Faults = Arc<Mutex<Vec<(&'static str, &'static str, Fault)>>>;

/// Serves every repository below a directory until dropped (the thread ends with the process).
pub struct Server {
    port: u16,
    faults: Faults,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Serves to everybody, writing included.
    pub fn start(root: &Path) -> Self {
        Self::with(root, None, Dialect::New)
    }

    /// Wants this `Authorization` header.
    pub fn with_login(root: &Path, login: Option<String>) -> Self {
        Self::with(root, login, Dialect::New)
    }

    /// Understands protocol 0 alone, and so serves no commit that no branch is at.
    pub fn old(root: &Path) -> Self {
        Self::with(root, None, Dialect::Old)
    }

    fn with(root: &Path, login: Option<String>, dialect: Dialect) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let faults = Faults::default();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let site = Site {
            root: root.to_owned(),
            login,
            dialect,
            faults: Arc::clone(&faults),
            requests: Arc::clone(&requests),
        };
        let site = Arc::new(site);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let site = Arc::clone(&site);
                std::thread::spawn(move || {
                    // A client that goes away in the middle is not the server's failure.
                    let _ = site.serve(stream.unwrap());
                });
            }
        });
        Self {
            port,
            faults,
            requests,
        }
    }

    /// The address of a repository, by its path below the directory.
    pub fn url(&self, repository: &str) -> String {
        format!("http://127.0.0.1:{}/{repository}", self.port)
    }

    /// The next request of `method` whose target contains `word` meets `fault`.
    pub fn once(&self, method: &'static str, word: &'static str, fault: Fault) {
        self.faults.lock().unwrap().push((method, word, fault));
    }

    /// Method and target of every request so far.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    New,
    Old,
}

struct Site {
    root: PathBuf,
    login: Option<String>,
    dialect: Dialect,
    faults: Faults,
    requests: Arc<Mutex<Vec<String>>>,
}

struct Request {
    method: String,
    target: String,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

impl Site {
    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let request = read_request(&stream)?;
        self.requests
            .lock()
            .unwrap()
            .push(format!("{} {}", request.method, request.target));
        let fault = {
            let mut faults = self.faults.lock().unwrap();
            faults
                .iter()
                .position(|(method, word, _)| {
                    *method == request.method && request.target.contains(word)
                })
                .map(|at| faults.remove(at).2)
        };
        if self.login.is_some() && self.login.as_ref() != request.headers.get("authorization") {
            let given = request
                .headers
                .get("authorization")
                .cloned()
                .unwrap_or_default();
            // Echoes what it was given, as careless servers do.
            let body = format!("no login for {given}");
            return answer(
                &mut stream,
                &format!("401 Unauthorized {given}\r\nWWW-Authenticate: Basic realm=\"{given}\""),
                body.as_bytes(),
            );
        }
        if let Some(Fault::Answer(status, body)) = &fault {
            return answer(&mut stream, status, body);
        }
        if let Some(Fault::Before(action)) = &fault {
            action();
        }
        let keep = match &fault {
            Some(Fault::CutRequest(bytes)) => *bytes,
            _ => request.body.len(),
        };
        let (status, headers, body) = self.backend(&request, keep);
        match fault {
            Some(Fault::LoseAnswer | Fault::CutRequest(_)) => stream.shutdown(Shutdown::Both),
            Some(Fault::CutAnswer(bytes)) => {
                write!(
                    stream,
                    "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n",
                    body.len()
                )?;
                stream.write_all(&body[..bytes.min(body.len())])?;
                stream.shutdown(Shutdown::Both)
            }
            _ => {
                write!(
                    stream,
                    "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                )?;
                stream.write_all(&body)
            }
        }
    }

    /// See `git-http-backend(1)`.
    fn backend(&self, request: &Request, keep: usize) -> (String, String, Vec<u8>) {
        let (path, query) = request
            .target
            .split_once('?')
            .unwrap_or((&request.target, ""));
        let header = |name: &str| request.headers.get(name).cloned().unwrap_or_default();
        let protocol = match self.dialect {
            Dialect::New => header("git-protocol"),
            Dialect::Old => String::new(),
        };
        let mut child = Command::new("git")
            .arg("http-backend")
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", "/nonexistent")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_PROJECT_ROOT", &self.root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("REQUEST_METHOD", &request.method)
            .env("PATH_INFO", path)
            .env("QUERY_STRING", query)
            .env("CONTENT_TYPE", header("content-type"))
            .env("CONTENT_LENGTH", keep.min(request.body.len()).to_string())
            .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
            .env("GIT_PROTOCOL", protocol)
            .env("REMOTE_USER", "millrace")
            .env("REMOTE_ADDR", "127.0.0.1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("git does not start (Debian package: git): {error}"));
        let mut stdin = child.stdin.take().unwrap();
        let body = request.body[..keep.min(request.body.len())].to_vec();
        let feeder = std::thread::spawn(move || {
            let _ = stdin.write_all(&body);
        });
        let output = child.wait_with_output().unwrap().stdout;
        feeder.join().unwrap();
        let end = output
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .map_or(output.len(), |at| at + 4);
        let mut status = "200 OK".to_owned();
        let mut headers = String::new();
        for line in String::from_utf8_lossy(&output[..end])
            .lines()
            .filter(|l| !l.is_empty())
        {
            match line.strip_prefix("Status: ") {
                Some(text) => text.clone_into(&mut status),
                None => headers.push_str(&format!("{line}\r\n")),
            }
        }
        (status, headers, output[end..].to_vec())
    }
}

fn answer(stream: &mut TcpStream, status: &str, body: &[u8]) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(body)
}

fn read_request(stream: &TcpStream) -> std::io::Result<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let mut headers = HashMap::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length: usize = headers
        .get("content-length")
        .and_then(|length| length.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Request {
        method,
        target,
        headers,
        body,
    })
}
