//! For tests: the cloud on this machine. Installs a pinned emulator of AWS into `target/`, and runs it.
//!
//! Callers: tests of `platform-aws`, and whoever tries the cloud on a laptop. Invariants: nothing is installed
//! outside of `target/`; an emulator ends with the process that started it, however that one ends; it has no
//! memory, so each start is an empty cloud.
//!
//! An emulator is a Python package in a virtual environment of its own. The environment is made once, under a lock
//! that other processes wait for.
#![allow(
    clippy::disallowed_methods,
    reason = "this room's business is programs, ports, and the time they take"
)]

mod install;

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What goes wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program could not be started, or a folder not be made.
    #[error("{operation}: {cause}")]
    Io {
        /// Reads after "failed to".
        operation: String,
        /// Why.
        cause: io::Error,
    },
    /// A program ended with an error.
    #[error("{operation}: {said}")]
    Refused {
        /// Reads after "failed to".
        operation: String,
        /// What it said.
        said: String,
    },
}

/// Which emulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The first judge: transactions, long polls, conditional writes, signatures of presigned requests.
    Ministack,
    /// The second opinion, by other people.
    Moto,
}

impl Kind {
    /// Name of the folder in `target/`.
    fn name(self) -> &'static str {
        match self {
            Self::Ministack => "ministack",
            Self::Moto => "moto",
        }
    }

    /// Pinned: a new version may judge differently, and then a person should see why.
    fn requirements(self) -> &'static [&'static str] {
        match self {
            // Its KMS makes and uses keys with the second.
            Self::Ministack => &["ministack==1.5.33", "cryptography==46.0.7"],
            Self::Moto => &["moto[server]==5.2.5"],
        }
    }

    /// Starts the server in the same process that watches standard input: its end is the end of whoever started it.
    fn program(self) -> String {
        let start = match self {
            Self::Ministack => "sys.argv = ['ministack']; from ministack.app import main; main()",
            Self::Moto => MOTO,
        };
        format!(
            "import os, sys, threading\n\
             watch = lambda: (sys.stdin.buffer.read(), os._exit(0))\n\
             threading.Thread(target=watch, daemon=True).start()\n\
             {start}\n"
        )
    }
}

/// Its server answers each request in a thread of its own, and its DynamoDB takes no lock between a
/// transaction's conditions and its writes: one at a time, as the real one looks from outside.
const MOTO: &str = "\
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple
moto = DomainDispatcherApplication(create_backend_app)
turn = threading.Lock()
def app(environ, start):
    if environ.get('HTTP_X_AMZ_TARGET', '').startswith('DynamoDB'):
        with turn:
            return moto(environ, start)
    return moto(environ, start)
run_simple('127.0.0.1', int(os.environ['GATEWAY_PORT']), app, threaded=True)";

/// How long an emulator may take until it answers; on a busy machine it takes some seconds.
const START: Duration = Duration::from_secs(60);
/// Other ports that are tried when somebody else was quicker to take one.
const TRIES: usize = 5;
/// Between two looks whether it answers.
const LOOK: Duration = Duration::from_millis(20);

/// A running emulator. It ends when this is dropped, or when the process ends.
#[derive(Debug)]
pub struct Emulator {
    child: Child,
    address: SocketAddr,
}

impl Emulator {
    /// Installs `kind` if need be, starts it on a free port of this machine, and waits until it answers. Blocks.
    ///
    /// # Errors
    /// Python, its `venv`, or the package index is missing: the text says what to install.
    pub fn start(kind: Kind) -> Result<Self, Error> {
        let python = install::python(kind)?;
        let mut last = None;
        for _ in 0..TRIES {
            match Self::on_a_free_port(kind, &python) {
                Ok(emulator) => return Ok(emulator),
                Err(error) => last = Some(error),
            }
        }
        Err(last.expect("it was tried at least once"))
    }

    fn on_a_free_port(kind: Kind, python: &Path) -> Result<Self, Error> {
        let operation = format!("start {}", kind.name());
        let io = |cause| Error::Io {
            operation: operation.clone(),
            cause,
        };
        let address = free_port().map_err(io)?;
        let folder = scratch(kind, address.port());
        std::fs::create_dir_all(&folder).map_err(io)?;
        let log = std::fs::File::create(folder.join("log")).map_err(io)?;
        let child = Command::new(python)
            .args(["-c", &kind.program()])
            .env("GATEWAY_PORT", address.port().to_string())
            .env("BIND_HOST", address.ip().to_string())
            .env("PERSIST_STATE", "0")
            .env("LOG_LEVEL", "WARNING")
            .env("TMPDIR", &folder)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().map_err(io)?)
            .stderr(log)
            .spawn()
            .map_err(io)?;
        let mut emulator = Self { child, address };
        let end = Instant::now() + START;
        while !answers(address) {
            let ended = emulator.child.try_wait().map_err(io)?;
            if ended.is_some() || Instant::now() > end {
                let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
                return Err(Error::Refused {
                    operation,
                    said: format!("it does not answer on {address}. Its log: {}", log.trim()),
                });
            }
            std::thread::sleep(LOOK);
        }
        Ok(emulator)
    }

    /// Closes the pipe that holds it, as the end of this process would.
    pub fn let_go(&mut self) {
        self.child.stdin.take();
    }

    /// `http://127.0.0.1:PORT`, for all services.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
        for kind in [Kind::Ministack, Kind::Moto] {
            let _ = std::fs::remove_dir_all(scratch(kind, self.address.port()));
        }
    }
}

fn free_port() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// For its log and its temporary files.
fn scratch(kind: Kind, port: u16) -> PathBuf {
    install::target().join(format!("{}-run/{port}", kind.name()))
}

/// Whether somebody speaks HTTP there.
fn answers(address: SocketAddr) -> bool {
    let ask = || -> io::Result<[u8; 5]> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut first = [0; 5];
        stream.read_exact(&mut first)?;
        Ok(first)
    };
    ask().is_ok_and(|first| &first == b"HTTP/")
}
