//! What a person sees meanwhile, and the file that has every deed with its time.

use std::fs::File;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::storm::Tally;

pub(crate) struct Progress {
    /// Every deed.
    file: File,
    is_terminal: bool,
    total: u64,
    shown: u64,
}

impl Progress {
    pub(crate) fn new(path: &Path, total: u64) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
        Ok(Self {
            file,
            is_terminal: std::io::stderr().is_terminal(),
            total,
            shown: u64::MAX,
        })
    }

    /// A deed: into the file.
    pub(crate) fn note(&mut self, at: Duration, line: &str) {
        let _nobody_reads_it = writeln!(self.file, "{:9.3} {line}", at.as_secs_f64());
    }

    /// How far the storm is: each second on a terminal, each half minute elsewhere.
    pub(crate) fn storm(&mut self, at: Duration, tally: &Tally) {
        let counts: Vec<String> = tally
            .0
            .iter()
            .map(|(what, n)| format!("{n} {what}"))
            .collect();
        let line = format!(
            "{} s of {}: {}",
            at.as_secs(),
            self.total,
            counts.join(", ")
        );
        self.show(at.as_secs(), &line);
    }

    /// How far the rest is.
    pub(crate) fn rest(&mut self, at: Duration, waits_for: &str) {
        let line = format!("calm for {} s; waits for {waits_for}", at.as_secs());
        self.note(at, &line);
        self.show(at.as_secs(), &line);
    }

    fn show(&mut self, second: u64, line: &str) {
        let step = if self.is_terminal { 1 } else { 30 };
        if self.shown == second / step {
            return;
        }
        self.shown = second / step;
        let (begin, end) = if self.is_terminal {
            ("\r\x1b[K", "")
        } else {
            ("", "\n")
        };
        eprint!("{begin}{line:.150}{end}");
        let _nobody_sees_it = std::io::stderr().flush();
    }

    /// Ends the line that is being rewritten.
    pub(crate) fn done(&mut self) {
        if self.is_terminal {
            eprintln!();
        }
    }
}
