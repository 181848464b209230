//! The judge that applies: an example, by a real provider of 2021, against an emulator of AWS. A real provider refuses
//! what a schema cannot say.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::Verdict;
use super::example::{Example, differences, texts};
use super::tools::{python, work};
use crate::sh::{cmd, output};

/// Where the state of the last apply is left for the judge of policies.
pub(super) fn state_file() -> PathBuf {
    work().join("applied.json")
}

pub(super) fn judge() -> Result<Verdict> {
    if let Some(left_out) = Example::cannot()? {
        return Ok(left_out);
    }
    // What an apply of before has left is not judged as this one's.
    std::fs::remove_file(state_file()).ok();
    let list = differences()?;
    let emulator = Emulator::start()?;
    let example = Example::copied("older", emulator.port, &list)?;
    println!("{}", example.apply()?);
    let again = output(&mut example.call(&["plan", "-input=false", "-no-color"]))?;
    std::fs::write(work().join("planned-again.txt"), &again)?;
    nothing_differs(&again, &texts(&list["forgotten"])?)?;
    std::fs::write(state_file(), example.state()?.to_string())?;
    println!("{}", example.destroy()?);
    Ok(Verdict::Clean)
}

/// A second plan finds no difference: what is applied is what is written. `forgotten`: of these resources the emulator
/// does not tell all that it was given.
fn nothing_differs(plan: &str, forgotten: &[&str]) -> Result<()> {
    let mut others = Vec::new();
    let mut known = 0;
    for block in plan.split("\n  # ").skip(1) {
        let title = block.lines().next().unwrap_or_default();
        if !title.contains(" will be ") && !title.contains(" must be ") {
            continue;
        }
        if forgotten.iter().any(|name| title.contains(name)) || is_whitespace_alone(block) {
            known += 1;
        } else {
            others.push(title);
        }
    }
    ensure!(
        others.is_empty(),
        "a plan right after the apply has differences, see {}:\n{}",
        work().join("planned-again.txt").display(),
        others.join("\n")
    );
    println!(
        "planned again: no differences but {known} that the emulator or the spaces of a document make"
    );
    Ok(())
}

/// A document that came back with other spaces between its words.
fn is_whitespace_alone(block: &str) -> bool {
    let changed = |line: &&str| {
        ["      ~ ", "      + ", "      - "]
            .iter()
            .any(|mark| line.starts_with(mark))
    };
    let mut changes = block.lines().filter(changed).peekable();
    changes.peek().is_some() && changes.all(|line| line.ends_with("# whitespace changes"))
}

/// moto, on a port that was free; it ends with this value.
struct Emulator {
    child: Child,
    port: u16,
}

impl Emulator {
    /// In tenths of a second; it starts within one second.
    const PATIENCE: u32 = 300;

    fn start() -> Result<Self> {
        let program = python("moto")?.join("bin/moto_server");
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let log = std::fs::File::create(work().join("moto.log"))?;
        let child = cmd(program, &["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("start moto_server")?;
        let emulator = Self { child, port };
        for _ in 0..Self::PATIENCE {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(emulator);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!(
            "moto_server does not answer: see {}",
            work().join("moto.log").display()
        )
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // It is gone already, or it goes now: either is fine.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
