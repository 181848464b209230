//! Where every call to the world stops for a moment: others go first, or it fails.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use fastrand::Rng;
use ports::{Error, Result};

use crate::rates::Rates;

/// Shared by all adapters of a run. Clones are the same gate.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Mutex<State>>);

struct State {
    rng: Rng,
    rates: Rates,
    calls: u64,
}

impl Gate {
    pub(crate) fn new(rng: Rng, rates: Rates) -> Self {
        Self(Arc::new(Mutex::new(State {
            rng,
            rates,
            calls: 0,
        })))
    }

    /// From now on nothing fails.
    pub(crate) fn calm(&self) {
        self.state().rates = Rates::default();
    }

    /// Port calls so far.
    pub(crate) fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Whether something of a chance happens now.
    pub(crate) fn happens(&self, rate: impl Fn(&Rates) -> f64) -> bool {
        let mut state = self.state();
        let rate = rate(&state.rates);
        rate > 0.0 && state.rng.f64() < rate
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
        self.state().calls += 1;
        Pause::default().await;
        if self.happens(|rates| rates.fail_before) {
            return Err(Error::transient(name, "the line was cut before it"));
        }
        let done = work.await;
        Pause::default().await;
        if self.happens(|rates| rates.fail_after) {
            return Err(Error::transient(name, "the line was cut after it"));
        }
        done
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
