//! `simulate`: runs seeds, and says how to run a failing one again.

use std::process::ExitCode;

use clap::Parser;

/// Runs the simulator.
#[derive(Parser)]
struct Args {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// How many seeds.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// Tell the whole story of each failing seed.
    #[arg(long)]
    verbose: bool,
    /// Stop after so many failing seeds.
    #[arg(long, default_value_t = 5)]
    most: usize,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mut failed = 0;
    let mut calls = 0;
    for seed in args.from..args.from + args.seeds {
        let outcome = simulator::simulate(seed);
        calls += outcome.calls;
        if outcome.violations.is_empty() {
            continue;
        }
        failed += 1;
        println!("seed {seed}:");
        if args.verbose {
            for line in &outcome.log {
                println!("  {line}");
            }
        }
        for violation in &outcome.violations {
            println!("  VIOLATION {violation}");
        }
        if failed == args.most {
            break;
        }
    }
    println!(
        "{} seeds, {failed} failed, {calls} calls to the world",
        args.seeds
    );
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
