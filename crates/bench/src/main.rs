//! `millrace-bench WORD [FOLDER]`: one line of JSON with what was measured, the limit, and whether it holds.
//!
//! | word | measures |
//! |---|---|
//! | `aws FUNCTIONS` | functions as Lambda starts them, and a cold plan |
//! | `build ROOTS BRIDGE` | warm roots, the overhead over bare tools, and the time to a runner's first process |
//! | `forge` | webhooks at 200 a second, and from `git push` to the check of a pull request, through the real `millrace up` |
//! | `plan` | planning a push at 1,000 and at 100,000 requests: time and peak memory |
//! | `recover` | a lost ledger of 20,000 status commits, rebuilt: time and peak memory |
//! | `status` | 500 status files in one commit, beside `git fast-import` |
//! | `start` | from `git push` to the runner's lease, through the real `millrace up` |
//! | `tasks` | 1,000 no-op tasks through the real `millrace up`; its memory and processor time when idle |
//!
//! Caller: `cargo xtask bench`. `millrace` is taken from beside this program, so that both are of one
//! profile. Everything is made in a new folder below FOLDER, which must be on a real disk: on a tmpfs a
//! durable step costs nothing.

#![allow(
    clippy::disallowed_methods,
    reason = "a measuring program: it starts programs, writes files and reads the clock"
)]

mod aws;
mod build;
mod figures;
mod forge;
mod machine;
mod plan;
mod recover;
mod runner;
mod start;
mod status;
#[allow(
    dead_code,
    clippy::unwrap_used,
    reason = "shared with the tests of the crate git, which use all of it"
)]
#[path = "../../git/tests/suite/support/mod.rs"]
mod support;
mod tasks;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

const HELP: &str = "usage: millrace-bench aws FUNCTIONS [FOLDER]\n       millrace-bench build ROOTS BRIDGE [FOLDER]\n       millrace-bench forge|plan|recover|status|start|tasks [FOLDER]";

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let folder = |given: Option<&&str>| given.map_or_else(std::env::temp_dir, PathBuf::from);
    let line = match words[..] {
        ["aws", functions, ref rest @ ..] => {
            aws::run(&scratch(&folder(rest.first()))?, Path::new(functions))?
        }
        ["build", roots, bridge, ref rest @ ..] => {
            let scratch = scratch(&folder(rest.first()))?;
            build::run(&scratch, Path::new(roots), Path::new(bridge))?
        }
        ["forge", ref rest @ ..] => forge::run(&scratch(&folder(rest.first()))?)?,
        [forge::BARE] => forge::bare()?,
        ["plan", ref rest @ ..] => plan::run(&scratch(&folder(rest.first()))?)?,
        [plan::CHILD, count, place] => plan::child(count.parse()?, Path::new(place))?,
        ["recover", ref rest @ ..] => recover::run(&scratch(&folder(rest.first()))?)?,
        ["status", ref rest @ ..] => status::run(&scratch(&folder(rest.first()))?)?,
        ["start", ref rest @ ..] => start::run(&scratch(&folder(rest.first()))?)?,
        ["tasks", ref rest @ ..] => tasks::run(&scratch(&folder(rest.first()))?)?,
        _ => bail!("{HELP}"),
    };
    println!("{line}");
    Ok(())
}

/// A folder that is gone afterwards.
fn scratch(parent: &Path) -> Result<tempfile::TempDir> {
    std::fs::create_dir_all(parent)
        .and_then(|()| tempfile::tempdir_in(parent))
        .with_context(|| format!("make a folder in {}", parent.display()))
}

/// The async side, as `millrace up` has it.
fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Runtime::new()
        .context("start the runtime")?
        .block_on(work)
}
