//! `millrace`: the command line, and on one machine the whole control plane (`millrace up`).
//!
//! Exit codes: 0 done; 1 what was asked about is not well (a broken file, a failed request, a
//! tampered repository); 2 wrong usage; 3 the control plane cannot be reached or is in trouble.

#![allow(
    clippy::disallowed_methods,
    reason = "an outermost shell: it reads files, starts processes and knows the time"
)]

mod args;
mod client;
mod init;
mod keeper;
mod lint;
mod local;
mod logs;
mod plan;
mod render;
mod show;
mod up;
mod verify;
mod watch;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{Args, Command};

/// How a command ended when nothing broke on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Exit code 0.
    Well,
    /// Exit code 1.
    NotWell,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(args) {
        Ok(Verdict::Well) => ExitCode::SUCCESS,
        Ok(Verdict::NotWell) => ExitCode::from(1),
        Err(error) => {
            eprintln!("millrace: {error:#}");
            ExitCode::from(3)
        }
    }
}

fn run(args: Args) -> anyhow::Result<Verdict> {
    let output = render::Output::new(args.json, args.color);
    match args.command {
        Command::Init(args) => init::run(&args, &output),
        Command::Lint(args) => lint::run(&args, &output),
        Command::Up(args) => block_on(up::run(args)),
        Command::Plan(args) => block_on(plan::run(args, &output)),
        Command::Status(args) => block_on(show::status(args, &output)),
        Command::Why(args) => block_on(show::why(args, &output)),
        Command::Cancel(args) => block_on(show::cancel(args, &output)),
        Command::Retry(args) => block_on(show::retry(args, &output)),
        Command::Watch(args) => block_on(watch::run(args, &output)),
        Command::Logs(args) => block_on(logs::run(args)),
        Command::Verify(args) => block_on(verify::run(args, &output)),
        Command::Completions { shell } => {
            clap_complete::generate(
                shell,
                &mut Args::command(),
                "millrace",
                &mut std::io::stdout(),
            );
            Ok(Verdict::Well)
        }
        Command::Man => {
            clap_mangen::Man::new(Args::command()).render(&mut std::io::stdout())?;
            Ok(Verdict::Well)
        }
    }
}

/// Two workers: the control plane waits more than it computes, and idle memory counts.
fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(future)
}
