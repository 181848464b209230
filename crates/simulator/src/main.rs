//! `simulate`: runs seeds or the crash sweep, and says how to run a failing one again.

#![allow(
    clippy::disallowed_methods,
    reason = "an outermost shell: it runs for so many seconds"
)]

use std::num::{NonZeroU64, NonZeroUsize};
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use mimalloc::MiMalloc;
use simulator::{Outcome, SCENES, Scene, hour, simulate, sweep};

/// A history is millions of small strings and rows, and no memory that lasts.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Runs the simulator.
#[derive(Parser)]
struct Args {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// How many seeds; fewer if the numbers end before.
    #[arg(long, default_value = "1000")]
    seeds: NonZeroU64,
    /// Fresh seeds for so long; the first one is told.
    #[arg(long, conflicts_with_all = ["from", "seeds"])]
    seconds: Option<NonZeroU64>,
    /// Every golden scenario, with a failure before and after each call to the world.
    #[arg(long, conflicts_with_all = ["from", "seeds", "seconds"])]
    sweep: bool,
    /// A mass rebuild of 50,000 tasks in an hour: what is pushed and told at the forge is counted.
    #[arg(long, conflicts_with_all = ["from", "seeds", "seconds", "sweep"])]
    hour: bool,
    /// Histories, or scenarios, at a time; each is one thread's own. As many as processors, unless told.
    #[arg(long)]
    jobs: Option<NonZeroUsize>,
    /// Tell the whole story of each failing seed.
    #[arg(long)]
    verbose: bool,
    /// Stop after so many failing seeds.
    #[arg(long, default_value = "5")]
    most: NonZeroUsize,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let jobs = args.jobs.or_else(|| thread::available_parallelism().ok());
    let jobs = jobs.map_or(1, NonZeroUsize::get);
    let is_clean = if args.sweep {
        sweep_all(jobs)
    } else if args.hour {
        count_hour()
    } else {
        run_seeds(&args, jobs)
    };
    if is_clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn sweep_all(jobs: usize) -> bool {
    let next = AtomicUsize::new(0);
    let failed = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(scene) = SCENES.get(next.fetch_add(1, Ordering::Relaxed)) {
                    failed.fetch_add(sweep_one(scene), Ordering::Relaxed);
                }
            });
        }
    });
    failed.into_inner() == 0
}

fn count_hour() -> bool {
    let begun = Instant::now();
    let counted = hour(3_600);
    let violations = counted.violations(50_000);
    for violation in &violations {
        println!("VIOLATION {violation}");
    }
    println!("{counted}; {:.1} s", begun.elapsed().as_secs_f64());
    violations.is_empty()
}

/// Answers how much is wrong.
fn sweep_one(scene: &Scene) -> usize {
    let begun = Instant::now();
    let swept = sweep(scene);
    let took = begun.elapsed().as_secs_f64();
    // One print: others print too.
    let violations = swept.violations.iter();
    let violations: String = violations.map(|it| format!("VIOLATION {it}\n")).collect();
    println!(
        "{violations}{}: {} calls, {} runs with a failure, {took:.1} s, {:.0} runs a second",
        scene.name,
        swept.calls,
        swept.runs,
        swept.runs as f64 / took
    );
    swept.violations.len()
}

fn run_seeds(args: &Args, jobs: usize) -> bool {
    let begun = Instant::now();
    let (first, end) = match args.seconds {
        Some(seconds) => {
            let from = fresh();
            println!("fresh seeds from {from} for {seconds} s");
            (from, End::After(Duration::from_secs(seconds.get())))
        }
        None => (args.from, End::Number(args.seeds.get())),
    };
    let next = AtomicU64::new(0);
    let told = Mutex::new(Told::default());
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let begun_before = next.fetch_add(1, Ordering::Relaxed);
                    let is_over = match end {
                        End::Number(seeds) => begun_before >= seeds,
                        End::After(time) => begun.elapsed() >= time,
                    };
                    let Some(seed) = first.checked_add(begun_before).filter(|_| !is_over) else {
                        return;
                    };
                    let outcome = simulate(seed);
                    let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
                    if told.hear(&outcome, args).is_break() {
                        return;
                    }
                }
            });
        }
    });
    let told = told.into_inner().unwrap_or_else(PoisonError::into_inner);
    let took = begun.elapsed().as_secs_f64();
    println!(
        "{} seeds, {} failed, {} calls to the world, {took:.1} s, {:.0} histories a second and thread, {jobs} threads",
        told.ran,
        told.failed,
        told.calls,
        told.ran as f64 / took / jobs as f64
    );
    told.failed == 0
}

/// When no more seed is begun.
#[derive(Clone, Copy)]
enum End {
    /// After so many.
    Number(u64),
    /// So long after the beginning.
    After(Duration),
}

/// What came of all seeds so far.
#[derive(Default)]
struct Told {
    ran: u64,
    failed: usize,
    calls: u64,
}

impl Told {
    /// Breaks when as many failed as anybody wants to hear of.
    fn hear(&mut self, outcome: &Outcome, args: &Args) -> ControlFlow<()> {
        if self.failed == args.most.get() {
            return ControlFlow::Break(());
        }
        self.ran += 1;
        self.calls += outcome.calls;
        if outcome.violations.is_empty() {
            return ControlFlow::Continue(());
        }
        self.failed += 1;
        let seed = outcome.seed;
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
        ControlFlow::Continue(())
    }
}

/// Seeds that nobody ran before: those of this second.
fn fresh() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs() * 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Args, clap::Error> {
        Args::try_parse_from(["simulate"].iter().chain(words))
    }

    #[test]
    fn nothing_is_not_clean() {
        for words in ["--seeds=0", "--seconds=0", "--most=0", "--jobs=0"] {
            assert!(parsed(&[words]).is_err(), "{words}");
        }
    }

    /// It ends, though there is no number after it, whoever looks at it first.
    #[test]
    fn the_last_seed_is_run() {
        let last = u64::MAX.to_string();
        let args = parsed(&["--seeds", "3", "--from", &last]).expect("good words");
        assert!(run_seeds(&args, 2));
    }
}
