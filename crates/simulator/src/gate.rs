//! Where every call to the world stops for a moment: others go first, or it fails.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use fastrand::Rng;
use ports::{Error, Result};

use crate::rates::Rates;

/// Calls of one run; one that makes more will never end.
const MAX_CALLS: u64 = 1_000_000;
/// Calls that an outage lasts, at most.
const LONGEST_OUTAGE: usize = 400;

/// Shared by all adapters of a run. Clones are the same gate.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Mutex<State>>);

struct State {
    rng: Rng,
    rates: Rates,
    calls: u64,
    counts: Counts,
    outage: Option<Outage>,
    armed: Option<Armed>,
    is_dead: bool,
    /// Names of calls, if somebody wants to know.
    trace: Option<Vec<&'static str>>,
}

struct Outage {
    port: &'static str,
    /// The number of the call that finds it over.
    until: u64,
}

/// A failure at one call, for the sweep over all calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Armed {
    /// Which call, from 1.
    pub(crate) call: u64,
    pub(crate) how: How,
}

/// How an armed call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// An error; nothing was done.
    FailsBefore,
    /// An error; it was done.
    FailsAfter,
    /// The process ends; nothing was done.
    DiesBefore,
    /// The process ends; it was done.
    DiesAfter,
}

/// Calls by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Changes asked of the ledger.
    pub(crate) applies: u64,
    /// Messages sent.
    pub(crate) sends: u64,
    /// Files and pointers written.
    pub(crate) stores: u64,
    /// Calls to the state repository, or to others.
    pub(crate) repo: u64,
    /// Commits to the status branch.
    pub(crate) commits: u64,
}

impl Counts {
    fn add(&mut self, name: &str) {
        match name {
            "ledger.apply" => self.applies += 1,
            "queue.send" => self.sends += 1,
            "store.put" | "store.put_stream" | "store.set_pointer" => self.stores += 1,
            _ if name.starts_with("repo.") => self.repo += 1,
            _ => {}
        }
        if name == "repo.commit" {
            self.commits += 1;
        }
    }
}

impl Gate {
    pub(crate) fn new(rng: Rng, rates: Rates) -> Self {
        Self(Arc::new(Mutex::new(State {
            rng,
            rates,
            calls: 0,
            counts: Counts::default(),
            outage: None,
            armed: None,
            is_dead: false,
            trace: None,
        })))
    }

    /// From now on nothing fails.
    pub(crate) fn calm(&self) {
        let mut state = self.state();
        state.rates = Rates::default();
        state.outage = None;
        state.armed = None;
        state.is_dead = false;
    }

    /// One failure, counted from the next call on.
    pub(crate) fn arm(&self, armed: Armed) {
        let mut state = self.state();
        let call = state.calls + armed.call;
        state.armed = Some(Armed { call, ..armed });
    }

    /// From now on calls are noted.
    pub(crate) fn trace(&self) {
        self.state().trace = Some(Vec::new());
    }

    /// The calls that were noted.
    pub(crate) fn traced(&self) -> Vec<&'static str> {
        self.state().trace.take().unwrap_or_default()
    }

    /// Whether the process died at an armed call: no call of it does anything any more.
    pub(crate) fn is_dead(&self) -> bool {
        self.state().is_dead
    }

    /// Another process takes over.
    pub(crate) fn revive(&self) {
        self.state().is_dead = false;
    }

    /// Port calls so far.
    pub(crate) fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Port calls so far that cost something.
    pub(crate) fn counts(&self) -> Counts {
        self.state().counts
    }

    /// Whether there were more calls than any run needs.
    pub(crate) fn is_endless(&self) -> bool {
        self.state().calls > MAX_CALLS
    }

    /// Whether something of a chance happens now.
    pub(crate) fn happens(&self, rate: impl Fn(&Rates) -> f64) -> bool {
        self.state().happens(rate)
    }

    /// The chance of something, for those who throw their own dice.
    pub(crate) fn rate(&self, rate: impl Fn(&Rates) -> f64) -> f64 {
        rate(&self.state().rates)
    }

    /// A number below `end`.
    pub(crate) fn below(&self, end: usize) -> usize {
        self.state().rng.usize(..end)
    }

    /// One port call: a pause before it and one after it, at each of which the caller may be killed
    /// and others may act.
    pub(crate) async fn call<T: Send>(
        &self,
        name: &'static str,
        work: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let number = self.state().begin(name);
        Pause::default().await;
        self.state().before(name, number)?;
        let done = work.await;
        Pause::default().await;
        self.state().after(name, number)?;
        done
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn happens(&mut self, rate: impl Fn(&Rates) -> f64) -> bool {
        let rate = rate(&self.rates);
        rate > 0.0 && self.rng.f64() < rate
    }

    fn begin(&mut self, name: &'static str) -> u64 {
        self.calls += 1;
        self.counts.add(name);
        if let Some(trace) = &mut self.trace {
            trace.push(name);
        }
        if self.happens(|rates| rates.outage) {
            let port = ["ledger", "queue", "store", "repo"][self.rng.usize(..4)];
            let until = self.calls + self.rng.u64(20..LONGEST_OUTAGE as u64);
            self.outage = Some(Outage { port, until });
        }
        self.calls
    }

    fn before(&mut self, name: &'static str, number: u64) -> Result<()> {
        if self.is_dead || self.calls > MAX_CALLS {
            return Err(Error::transient(name, "the process has ended"));
        }
        if let Some(armed) = self.armed.filter(|armed| armed.call == number) {
            match armed.how {
                How::FailsBefore => {
                    return Err(Error::transient(name, "the line was cut before it"));
                }
                How::DiesBefore => {
                    self.is_dead = true;
                    return Err(Error::transient(name, "the process has ended"));
                }
                How::FailsAfter | How::DiesAfter => {}
            }
        }
        if let Some(outage) = &self.outage {
            if outage.until <= self.calls {
                self.outage = None;
            } else if is_out(outage.port, name) {
                // As the adapters say it.
                let cause = if outage.port == "repo" {
                    "the forge answers 429 Too Many Requests"
                } else {
                    "the disk that holds the state folder is full; free some space, and it goes on"
                };
                return Err(Error::transient(name, cause));
            }
        }
        if self.happens(|rates| rates.fail_before) {
            return Err(Error::transient(name, "the line was cut before it"));
        }
        Ok(())
    }

    fn after(&mut self, name: &'static str, number: u64) -> Result<()> {
        if let Some(armed) = self.armed.filter(|armed| armed.call == number) {
            match armed.how {
                How::FailsAfter => return Err(Error::transient(name, "the line was cut after it")),
                How::DiesAfter => {
                    self.is_dead = true;
                    return Err(Error::transient(name, "the process has ended"));
                }
                How::FailsBefore | How::DiesBefore => {}
            }
        }
        if self.happens(|rates| rates.fail_after) {
            return Err(Error::transient(name, "the line was cut after it"));
        }
        Ok(())
    }
}

/// A full disk can be read. To take a message is to write that it is hidden.
fn is_out(port: &str, name: &str) -> bool {
    let Some(call) = name.strip_prefix(port) else {
        return false;
    };
    match call {
        ".apply" | ".send" | ".receive" | ".acknowledge" => true,
        ".put" | ".put_stream" | ".set_pointer" => true,
        _ => port == "repo",
    }
}

/// Pending once. The scheduler polls whom it likes; nobody needs to be woken.
#[derive(Default)]
struct Pause(bool);

impl Future for Pause {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}
