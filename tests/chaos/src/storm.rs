//! The schedule is carried out, and what clients can see is looked at all the while.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::Result;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::machine::Machine;
use crate::people::People;
use crate::progress::Progress;
use crate::public::Public;
use crate::schedule::{Deed, Fault, Schedule};

const TICK: Duration = Duration::from_millis(20);
/// How often published repositories are looked at, and what was not pushed is pushed.
const LOOK: Duration = Duration::from_millis(400);

/// What came of the deeds, by name.
#[derive(Debug, Default)]
pub(crate) struct Tally(pub(crate) BTreeMap<String, usize>);

impl Tally {
    fn add(&mut self, what: &str) {
        *self.0.entry(what.to_owned()).or_default() += 1;
    }
}

/// What was begun and is to be ended.
enum Undo {
    Continue(Pid),
    FreeDisk,
}

pub(crate) struct Storm<'a> {
    pub(crate) machine: &'a mut Machine,
    pub(crate) people: &'a mut People,
    pub(crate) public: &'a mut Public,
    pub(crate) progress: &'a mut Progress,
    pub(crate) tally: Tally,
    undo: Vec<(Instant, Undo)>,
}

impl<'a> Storm<'a> {
    pub(crate) fn new(
        (machine, people): (&'a mut Machine, &'a mut People),
        public: &'a mut Public,
        progress: &'a mut Progress,
    ) -> Self {
        Self {
            machine,
            people,
            public,
            progress,
            tally: Tally::default(),
            undo: Vec::new(),
        }
    }

    /// Carries the schedule out, then ends what is still under way: nothing is stopped or full any more.
    pub(crate) fn rage(&mut self, schedule: &Schedule) -> Result<()> {
        let began = Instant::now();
        let mut looked = began;
        for (at, deed) in &schedule.deeds {
            let due = began + Duration::from_millis(*at);
            loop {
                self.undo(Instant::now());
                self.machine.keep_disk_full();
                self.machine.look()?;
                if looked.elapsed() > LOOK {
                    looked = Instant::now();
                    self.people.push(self.machine);
                    self.public.look(self.machine);
                    self.progress.storm(began.elapsed(), &self.tally);
                }
                if Instant::now() >= due {
                    break;
                }
                std::thread::sleep(TICK);
            }
            self.carry_out(deed, began.elapsed())?;
        }
        let never = Instant::now() + Duration::from_secs(24 * 3600);
        self.undo(never);
        Ok(())
    }

    fn undo(&mut self, now: Instant) {
        let (due, later) = std::mem::take(&mut self.undo)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        self.undo = later;
        let due: Vec<(Instant, Undo)> = due;
        for (_, undo) in due {
            match undo {
                Undo::Continue(pid) => {
                    kill(pid, Signal::SIGCONT).ok();
                }
                Undo::FreeDisk => self.machine.free_disk(),
            }
        }
    }

    fn carry_out(&mut self, deed: &Deed, at: Duration) -> Result<()> {
        let mut line = String::new();
        let done = match deed {
            Deed::Write { files, message } => {
                let _ = write!(line, "{message}");
                self.people.write(self.machine, files, message)?;
                self.people.push(self.machine);
                self.tally.add("commits");
                true
            }
            Deed::Cancel(subject) => {
                let _ = write!(line, "cancel {subject}");
                self.ask("cancel", subject)?
            }
            Deed::Retry(subject) => {
                let _ = write!(line, "retry {subject}");
                self.ask("retry", subject)?
            }
            Deed::Hurt(fault) => {
                let _ = write!(line, "{fault:?}");
                let done = self.hurt(fault)?;
                if done {
                    self.tally.add(kind(fault));
                }
                done
            }
        };
        if !done {
            line.push_str(" (nothing came of it)");
        }
        self.progress.note(at, &line);
        Ok(())
    }

    fn ask(&mut self, word: &str, subject: &str) -> Result<bool> {
        let done = self.people.ask(self.machine, word, subject)?;
        if done {
            self.tally.add(if word == "cancel" {
                "cancels"
            } else {
                "retries"
            });
        }
        Ok(done)
    }

    /// Whether there was somebody to hurt.
    fn hurt(&mut self, fault: &Fault) -> Result<bool> {
        let millis = Duration::from_millis;
        let machine = &mut *self.machine;
        let mut pause = |pid: Option<Pid>, time: u64| {
            let Some(pid) = pid else { return false };
            self.undo
                .push((Instant::now() + millis(time), Undo::Continue(pid)));
            kill(pid, Signal::SIGSTOP).is_ok()
        };
        match *fault {
            Fault::KillControl { down } => machine.kill_control(millis(down))?,
            Fault::StopControl { down } => machine.stop_control(millis(down))?,
            Fault::PauseControl { time } => return Ok(pause(machine.control_pid(), time)),
            Fault::KillRunner { who, down } => {
                machine.end_runner(who, Signal::SIGKILL, millis(down))?;
            }
            Fault::PauseRunner { who, time } => return Ok(pause(machine.runner_pid(who), time)),
            Fault::DrainRunner { who, down } => {
                machine.end_runner(who, Signal::SIGTERM, millis(down))?;
            }
            Fault::KillAll { down } => machine.kill_all(millis(down))?,
            Fault::FillDisk { time } => {
                machine.fill_disk()?;
                self.undo
                    .push((Instant::now() + millis(time), Undo::FreeDisk));
            }
            Fault::LoseLedger { down } => machine.lose_ledger(millis(down))?,
            Fault::DeleteStatus => return Ok(self.people.delete_status(machine).is_some()),
            Fault::RewindStatus { back } => {
                return Ok(self.people.rewind_status(machine, back).is_some());
            }
            Fault::ReplaceStatus => return Ok(self.people.replace_status(machine).is_some()),
            Fault::ScribbleStatus => return Ok(self.people.scribble_status(machine).is_some()),
        }
        Ok(true)
    }
}

fn kind(fault: &Fault) -> &'static str {
    match fault {
        Fault::KillControl { .. } | Fault::KillRunner { .. } | Fault::KillAll { .. } => "kills",
        Fault::StopControl { .. } | Fault::DrainRunner { .. } => "stops",
        Fault::PauseControl { .. } | Fault::PauseRunner { .. } => "pauses",
        Fault::FillDisk { .. } => "full disks",
        Fault::LoseLedger { .. } => "ledgers lost",
        Fault::DeleteStatus
        | Fault::RewindStatus { .. }
        | Fault::ReplaceStatus
        | Fault::ScribbleStatus => "status branches touched",
    }
}
