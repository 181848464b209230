//! Repositories below a directory, served over smart HTTP by `git http-backend`, with faults in front.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::http::{self, End, Request, Response};

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
        let faults = Faults::default();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let site = Site {
            root: root.to_owned(),
            login,
            dialect,
            faults: Arc::clone(&faults),
            requests: Arc::clone(&requests),
        };
        let port = http::listen(move |request| site.serve(request));
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

/// What of git's protocol a server understands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
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

impl Site {
    fn serve(&self, request: &Request) -> Response {
        self.requests.lock().unwrap().push(request.line());
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
            // Echoes what it was given, as careless servers do.
            let given = request.header("authorization");
            return Response::new(
                &format!("401 Unauthorized {given}"),
                format!("no login for {given}").as_bytes(),
            )
            .with("WWW-Authenticate", format!("Basic realm=\"{given}\""));
        }
        if let Some(Fault::Answer(status, body)) = &fault {
            return Response::new(status, body);
        }
        if let Some(Fault::Before(action)) = &fault {
            action();
        }
        let keep = match &fault {
            Some(Fault::CutRequest(bytes)) => *bytes,
            _ => request.body.len(),
        };
        let mut response = backend(&self.root, request, keep, self.dialect);
        response.end = match fault {
            Some(Fault::LoseAnswer | Fault::CutRequest(_)) => End::Nothing,
            Some(Fault::CutAnswer(bytes)) => End::Cut(bytes),
            _ => End::Whole,
        };
        response
    }
}

/// Has git answer, which is given so many bytes of the body: see `git-http-backend(1)`.
pub(crate) fn backend(root: &Path, request: &Request, keep: usize, dialect: Dialect) -> Response {
    let protocol = match dialect {
        Dialect::New => request.header("git-protocol"),
        Dialect::Old => "",
    };
    let body = &request.body[..keep.min(request.body.len())];
    let mut child = Command::new("git")
        .arg("http-backend")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", "/nonexistent")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", &request.method)
        .env("PATH_INFO", request.path())
        .env("QUERY_STRING", request.query())
        .env("CONTENT_TYPE", request.header("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", request.header("content-encoding"))
        .env("GIT_PROTOCOL", protocol)
        .env("REMOTE_USER", "millrace")
        .env("REMOTE_ADDR", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("git does not start (Debian package: git): {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        // A git that has heard enough closes its ear.
        scope.spawn(move || stdin.write_all(body));
        child.wait_with_output().unwrap().stdout
    });
    let end = output
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .map_or(output.len(), |at| at + 4);
    let mut response = Response::new("200 OK", &output[end..]);
    for line in String::from_utf8_lossy(&output[..end]).lines() {
        match line.split_once(": ") {
            Some(("Status", text)) => text.clone_into(&mut response.status),
            Some((name, value)) => response = response.with(name, value),
            None => {}
        }
    }
    response
}
