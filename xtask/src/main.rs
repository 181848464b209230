//! `cargo xtask WORD`: the front door. CI does nothing that a laptop does not do with the same word.

#![allow(
    clippy::disallowed_methods,
    reason = "an outermost shell: it starts programs and writes their files"
)]

mod aws;
mod bench;
mod bridge;
mod chaos;
mod demo;
mod fuzz;
mod links;
mod packaging;
mod setup;
mod sh;
mod sim;
mod stages;
mod terraform;
mod test;

use std::fmt;
use std::process::ExitCode;

const HELP: &str = "\
usage: cargo xtask WORD

  setup    install what is needed from Debian (asks for nothing; needs root once)
  demo     the whole way on this machine: two real packages from a pushed request to
           an installation by the real dnf and the real apt, signatures checked
  aws      the same way on an emulated AWS: terraform/ applied, the functions deployed,
           runners that know an address and their key; every call is recorded and judged
  aws --record | --accept
           makes the calls of a run, or of the last one, terraform/judges/iam/recorded.json
  aws --hold
           keeps the installation at the end, to be looked at
  aws --forge github|gitea
           a tiny package there and back by pull requests at a double of this forge, with
           webhooks that come once, twice, late and shuffled, and never: the same end
  functions
           the functions as Lambda takes them, in target/functions/ARCHITECTURE
  packages [--release]
           Millrace's own .deb and RPM in target/packages, built, tested and published by
           Millrace; the real apt and dnf install and remove them
  forge    pull requests on doubles of GitHub and Gitea: planned, merged, watched, published and
           reverted by a real millrace up, whatever happens to webhooks; apt is the judge.
           Then the same on AWS: `aws --forge` with both
  e2e --emulated
           one tiny package for arm64, built and tested through qemu-user (root, some minutes)
  test     every test, and the demo at the end
  lint     formatting, clippy, links of the documents, cargo deny where it is installed
  ci       lint, terraform, test, aws and some sim: what CI runs, with the seconds of each stage
  bridge   make the RPM repository out of Debian packages, in target/bridge
  bench [--json] [NAME...]
           speed and memory, against limits and peers; fails when a line is missed
  sim [--seeds N] [--from SEED] [--verbose]
           random histories under random faults, each seed the same run every time
  sim --seconds N
           the same with fresh seeds, for so long
  sim --sweep
           every golden scenario with a failure before and after each call to the world
  sim --hour
           a mass rebuild of 50,000 tasks in an hour: pushes and checks at a forge are counted
  sim --emulated
           the same of three scenarios over DynamoDB and SQS on an emulator, and histories
  sim --bugs [NAME...]
           bugs put into a copy of the product: each must be found within its seeds
  chaos [--minutes N] [--seed S] [--json]
           the real millrace up, killed, paused and starved of disk, and what is left judged
  terraform [JUDGE...]
           terraform/ against schema, checkov, an emulator, and a list of who may do what
  fuzz [--seconds N] [TARGET...]
           strangers' bytes at every parser, for a minute each; needs a nightly toolchain
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["setup"] => setup::run(),
        ["demo"] => demo::whole_way(),
        ["aws", ref which @ ..] => demo::on_aws(which),
        ["functions"] => aws::packages::for_lambda().map(|path| {
            println!("the packages are in {}", path.display());
        }),
        ["packages", ref which @ ..] => demo::packages(which),
        ["forge"] => test::forge(),
        ["e2e", "--emulated"] => demo::emulated(),
        ["test"] => test::all(),
        ["lint"] => test::lint(),
        ["ci"] => test::ci(),
        ["bridge"] => setup::run().and_then(|()| bridge::make()).map(|path| {
            println!("the bridge is in {}", path.display());
        }),
        ["bench", ref which @ ..] => bench::measure(which),
        ["chaos", ref which @ ..] => chaos::storm(which),
        ["fuzz", ref which @ ..] => fuzz::run_targets(which),
        ["sim", ref which @ ..] => sim::sim(which),
        ["terraform", ref which @ ..] => terraform::judge(which),
        _ => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            match error.is::<Usage>() {
                true => ExitCode::from(2),
                false => ExitCode::FAILURE,
            }
        }
    }
}

/// Words that mean nothing; told before anything is built.
#[derive(Debug)]
struct Usage(String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}
