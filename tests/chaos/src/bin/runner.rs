//! `millrace-chaos-runner`: the real daemon with pretended builds and tests and the real composer.
//!
//! It takes the words of `millrace-runner`, since `millrace up` starts it under that name.

#![allow(clippy::disallowed_methods, reason = "an outermost shell")]

use std::path::PathBuf;

use anyhow::Context as _;
use chaos::workshop::Workshop;
use clap::{Parser, Subcommand};
use pipeline_spec::Role;
use runner_agent::Shutdown;
use runner_agent::cli::{EnrollArgs, RunArgs, start_logging};
use runner_compose::Compose;

/// What it can do.
const ROLES: [Role; 4] = [Role::BuildDeb, Role::BuildRpm, Role::Test, Role::Compose];

#[derive(Parser)]
#[command(name = "millrace-runner")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// As `millrace-runner enroll`.
    Enroll(EnrollArgs),
    /// As `millrace-runner run`.
    Run(Run),
}

#[derive(clap::Args)]
struct Run {
    /// For real builds; not used.
    #[arg(long)]
    sandbox: Option<PathBuf>,
    #[command(flatten)]
    run: RunArgs,
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Enroll(args) => {
            print!("{}", args.enroll(&ROLES)?);
            Ok(())
        }
        Command::Run(args) => run(args),
    }
}

fn run(args: Run) -> anyhow::Result<()> {
    start_logging();
    let config = args.run.resolve()?;
    let compose =
        Compose::open(config.work.join("compose")).context("failed to open the compose cache")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    runtime.block_on(async {
        let shutdown = Shutdown::on_signals()?;
        runner_agent::run(
            config,
            vec![Box::new(Workshop), Box::new(compose)],
            shutdown,
        )
        .await
    })?;
    Ok(())
}
