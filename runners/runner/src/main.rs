//! `millrace-runner`: the daemon with every role but signing.

#![allow(
    clippy::disallowed_methods,
    reason = "an outermost shell: it makes its own directories"
)]

mod roles;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use pipeline_spec::{ByteSize, Role};
use runner_agent::Shutdown;
use runner_agent::cli::{EnrollArgs, RunArgs, parse_role, start_logging};

/// Works for a Millrace control plane: builds, tests and composes.
#[derive(Parser)]
#[command(name = "millrace-runner", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make the identity key, and print the text of runners/<ID>.yaml.
    Enroll(EnrollArgs),
    /// Take work until told to stop: SIGTERM drains, a second one stops at once.
    Run(Run),
}

#[derive(clap::Args)]
struct Run {
    /// A role to work in; give it once for each. Left out: all that this program has.
    #[arg(long = "role", value_name = "ROLE", value_parser = parse_role)]
    roles: Vec<Role>,
    /// Directory for build roots, best on a tmpfs; left out: below the work directory.
    #[arg(long, value_name = "DIR")]
    sandbox: Option<PathBuf>,
    /// How much build roots may take; beyond it, those used longest ago are removed. Written like 20GiB.
    #[arg(long, value_name = "SIZE", default_value = "20GiB")]
    cache_size: ByteSize,
    #[command(flatten)]
    run: RunArgs,
}

fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Never a backtrace: the words say what to do.
            eprintln!("Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Enroll(args) => {
            print!("{}", args.enroll(&roles::ALL)?);
            Ok(())
        }
        Command::Run(args) => run(args),
    }
}

fn run(args: Run) -> anyhow::Result<()> {
    start_logging();
    let config = args.run.resolve()?;
    let wanted = if args.roles.is_empty() {
        roles::ALL.to_vec()
    } else {
        args.roles
    };
    let sandbox = args.sandbox.unwrap_or_else(|| config.work.join("sandbox"));
    let runtime = tokio::runtime::Runtime::new().context("failed to start the runtime")?;
    runtime.block_on(async {
        let shutdown = Shutdown::on_signals()?;
        let roles = roles::open(&wanted, &config.work, &sandbox).await?;
        if let Some(sandbox) = roles.sandbox {
            roles::prune(&sandbox, args.cache_size).await;
            tokio::spawn(roles::keep_pruned(sandbox, args.cache_size));
        }
        let open = Box::new(runner_cloud::open);
        runner_agent::run_in_cloud(config, roles.roles, shutdown, open).await?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_starts_this_program_with_its_sample_configuration() {
        let unit = include_str!("../systemd/millrace-runner.service");
        let start = unit
            .lines()
            .find_map(|line| line.strip_prefix("ExecStart="));
        let cli = Cli::try_parse_from(start.expect("a unit starts something").split(' '));
        let Ok(Command::Run(mut run)) = cli.map(|cli| cli.command) else {
            panic!("{start:?} is not understood");
        };
        assert_eq!(
            run.run.config.as_deref(),
            Some("/etc/millrace/runner.yaml".as_ref())
        );
        run.run.config = Some(concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/runner.yaml").into());
        let config = run.run.resolve().expect("the sample is complete");
        let unit_waits = unit
            .lines()
            .find_map(|line| line.strip_prefix("TimeoutStopSec="));
        let unit_waits: u64 = unit_waits
            .and_then(|text| text.parse().ok())
            .expect("a time");
        assert!(
            unit_waits > config.drain.as_secs() + 15,
            "a draining runner would be killed"
        );
    }
}
