//! Tries a sandbox out by hand, and is the runner that the tests kill.
//!
//! ```text
//! millrace-sandbox-run STATE explain
//! millrace-sandbox-run STATE new ROOT PROGRAM [ARGUMENT...]       makes the root ROOT with a program of the host
//! millrace-sandbox-run STATE build|prepare|host ROOT PROGRAM [ARGUMENT...]
//! ```
//! `new` shows the host's /bin at /in and the root at /workspace.

use std::io::Write;
use std::process::ExitCode;

use sandbox::{
    CancellationToken, Command, Config, Ended, Error, Limits, LogSink, RootEntry, RootKey, Sandbox,
    Workspace,
};

const DISK_BYTES: u64 = 1 << 30;

struct Stdout;

impl LogSink for Stdout {
    async fn write(&mut self, chunk: &[u8]) {
        let mut out = std::io::stdout().lock();
        out.write_all(chunk)
            .and_then(|()| out.flush())
            .expect("standard output takes the log");
    }
}

async fn in_workspace(workspace: &Workspace, command: Command) -> Result<Ended, Error> {
    let ended = workspace
        .run(
            &command,
            &Limits::default(),
            &mut Stdout,
            &CancellationToken::new(),
        )
        .await?;
    eprintln!("{ended}");
    Ok(ended)
}

async fn run(state: &str, word: &str, rest: &[String]) -> Result<Ended, Error> {
    let sandbox = Sandbox::open(Config::new(state)).await?;
    let [root, command @ ..] = rest else {
        print!("{}", sandbox.capabilities().explain());
        return Ok(Ended::Exited(0));
    };
    let argv = command.iter().cloned();
    let root = match (sandbox.root(&RootKey::new(root)?, None).await?, word) {
        (RootEntry::Missing(new), "new") => {
            let make = Command::prepare_on_host(argv).bind_read_only("/bin", "/in");
            let ended = in_workspace(new.workspace(), make).await?;
            if ended.success() {
                new.commit().await?;
            }
            return Ok(ended);
        }
        (RootEntry::Ready(root), _) => root,
        (RootEntry::Missing(_), _) => {
            eprintln!("there is no root {root}; make it with: new {root} PROGRAM...");
            return Ok(Ended::Exited(2));
        }
    };
    let workspace = sandbox.workspace(&root, DISK_BYTES).await?;
    let command = match word {
        "prepare" => Command::prepare(argv),
        "host" => Command::prepare_on_host(argv),
        _ => Command::build(argv)
            .writable("/build")
            .current_dir("/build"),
    };
    in_workspace(&workspace, command).await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [state, word, rest @ ..] = arguments.as_slice() else {
        eprintln!(
            "usage: millrace-sandbox-run STATE explain|new|build|prepare|host [ROOT PROGRAM [ARGUMENT...]]"
        );
        return ExitCode::from(2);
    };
    match run(state, word, rest).await {
        Ok(ended) if ended.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            let cause = std::error::Error::source(&error)
                .map(|cause| format!(": {cause}"))
                .unwrap_or_default();
            eprintln!("failed to {error}{cause}");
            ExitCode::FAILURE
        }
    }
}
