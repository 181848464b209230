//! `simulate`: runs seeds or the crash sweep, and says how to run a failing one again.

#![allow(
    clippy::disallowed_methods,
    reason = "an outermost shell: it runs for so many seconds"
)]

use std::ops::Range;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use simulator::{SCENES, simulate, sweep};

/// Runs the simulator.
#[derive(Parser)]
struct Args {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// How many seeds.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// Fresh seeds for so long; the first one is told.
    #[arg(long, conflicts_with_all = ["from", "seeds"])]
    seconds: Option<u64>,
    /// Every golden scenario, with a failure before and after each call to the world.
    #[arg(long, conflicts_with_all = ["from", "seeds", "seconds"])]
    sweep: bool,
    /// Tell the whole story of each failing seed.
    #[arg(long)]
    verbose: bool,
    /// Stop after so many failing seeds.
    #[arg(long, default_value_t = 5)]
    most: usize,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let is_clean = if args.sweep {
        sweep_all()
    } else {
        run_seeds(&args)
    };
    if is_clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn sweep_all() -> bool {
    let mut is_clean = true;
    for scene in SCENES {
        let begun = Instant::now();
        let swept = sweep(scene);
        for violation in &swept.violations {
            is_clean = false;
            println!("VIOLATION {violation}");
        }
        println!(
            "{}: {} calls, {} runs with a failure, {:.1} s",
            scene.name,
            swept.calls,
            swept.runs,
            begun.elapsed().as_secs_f64()
        );
    }
    is_clean
}

fn run_seeds(args: &Args) -> bool {
    let begun = Instant::now();
    let (seeds, end) = match args.seconds {
        Some(seconds) => {
            let from = fresh();
            println!("fresh seeds from {from} for {seconds} s");
            (from..u64::MAX, Some(Duration::from_secs(seconds)))
        }
        None => (args.from..args.from.saturating_add(args.seeds), None),
    };
    let (mut ran, mut failed, mut calls) = (0_u64, 0, 0);
    for seed in within(seeds, begun, end) {
        let outcome = simulate(seed);
        ran += 1;
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
        println!("  again: cargo xtask sim --from {seed} --seeds 1 --verbose");
        if failed == args.most {
            break;
        }
    }
    let took = begun.elapsed().as_secs_f64();
    println!(
        "{ran} seeds, {failed} failed, {calls} calls to the world, {took:.1} s, {:.0} histories a second",
        ran as f64 / took
    );
    failed == 0
}

/// Seeds that nobody ran before: those of this second.
fn fresh() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs() * 1_000_000)
}

fn within(seeds: Range<u64>, begun: Instant, end: Option<Duration>) -> impl Iterator<Item = u64> {
    seeds.take_while(move |_| end.is_none_or(|end| begun.elapsed() < end))
}
