//! `millrace-bridge`: makes a repository of RPMs out of Debian 12 packages. See `docs/how-to/bridge.md`.
#![allow(
    clippy::disallowed_methods,
    reason = "this is a shell: it asks the host how many processors there are"
)]

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use bridge::{Outcome, Request, Resolve};
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "millrace-bridge",
    version,
    about = "A real RPM repository out of Debian 12 packages, for tests"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes the bridge, or finds it made already.
    Make {
        /// The directory of the bridge.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// OpenPGP private key, armored, without passphrase. Without it, one is made and kept in DIR/keys.
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// Packages converted at the same time. Without it, one for each processor.
        #[arg(long, value_name = "N")]
        jobs: Option<NonZeroUsize>,
        /// More Debian packages, with what they depend on.
        #[arg(long, value_name = "PACKAGE", num_args = 1..)]
        include: Vec<String>,
        /// Take the mirror's present versions even if the bridge is there.
        #[arg(long)]
        refresh: bool,
    },
}

fn main() -> ExitCode {
    let Arguments {
        command:
            Command::Make {
                out,
                key,
                jobs,
                include,
                refresh,
            },
    } = Arguments::parse();
    let jobs = jobs
        .or_else(|| std::thread::available_parallelism().ok())
        .unwrap_or(NonZeroUsize::MIN);
    let resolve = if refresh {
        Resolve::Again
    } else {
        Resolve::Once
    };
    // An empty path has no absolute form; making the directory says so.
    let out = std::path::absolute(&out).unwrap_or(out);
    match bridge::make(
        &Request {
            out,
            key,
            jobs,
            include,
            resolve,
        },
        &|line| eprintln!("bridge: {line}"),
    ) {
        Ok(outcome) => {
            tell(&outcome);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {}", error.told());
            ExitCode::FAILURE
        }
    }
}

fn tell(outcome: &Outcome) {
    let bridge = outcome.bridge();
    match outcome {
        Outcome::Unchanged(_) => eprintln!("bridge: {} packages, unchanged", bridge.packages),
        Outcome::Made { converted, .. } => eprintln!(
            "bridge: {} packages, {converted} converted",
            bridge.packages
        ),
    }
    println!("{}", bridge.repository.display());
}
