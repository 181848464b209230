//! Runs one command in a sandbox, for trying things out and for the tests that kill the runner:
//! `millrace-sandbox-run STATE ROOT-DIRECTORY build|prepare|host PROGRAM [ARGUMENT...]`, or `... STATE explain`.
//!
//! The root directory is copied into the cache under its own name when it is used first.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use sandbox::{CancellationToken, Command, Config, Error, Limits, LogSink, Root, RootEntry, RootKey, Sandbox};

struct Stdout;

impl LogSink for Stdout {
    async fn write(&mut self, chunk: &[u8]) {
        let mut out = std::io::stdout().lock();
        out.write_all(chunk).and_then(|()| out.flush()).expect("standard output takes the log");
    }
}

async fn root(sandbox: &Sandbox, directory: &str) -> Result<Root, Error> {
    let name = Path::new(directory).file_name().unwrap_or_default().to_string_lossy().into_owned();
    match sandbox.root(&RootKey::new(name)?, None).await? {
        RootEntry::Ready(root) => Ok(root),
        RootEntry::Missing(new) => {
            let copy = Command::prepare_on_host(["cp", "-dR", "--preserve=mode", "/in/.", sandbox::HOST_ROOT])
                .bind_read_only(directory, "/in");
            new.workspace().run(&copy, &Limits::default(), &mut Stdout, &CancellationToken::new()).await?;
            new.commit().await
        }
    }
}

async fn run(arguments: &[String]) -> Result<u8, Error> {
    let (state, rest) = arguments.split_first().expect("usage: STATE explain | STATE ROOT ROOM PROGRAM...");
    let sandbox = Sandbox::open(Config::new(state)).await?;
    let [directory, room, command @ ..] = rest else {
        print!("{}", sandbox.capabilities().explain());
        return Ok(0);
    };
    let command = match room.as_str() {
        "prepare" => Command::prepare(command.iter().cloned()),
        "host" => Command::prepare_on_host(command.iter().cloned()),
        _ => Command::build(command.iter().cloned()).writable("/build").current_dir("/build"),
    };
    let root = root(&sandbox, directory).await?;
    let limits = Limits { disk_bytes: 1 << 30, ..Limits::default() };
    let workspace = sandbox.workspace(&root, limits.disk_bytes).await?;
    let ended = workspace.run(&command, &limits, &mut Stdout, &CancellationToken::new()).await?;
    eprintln!("{ended}");
    Ok(u8::from(!ended.success()))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("failed to {error}");
            ExitCode::FAILURE
        }
    }
}
