//! A process prunes the artifact store, among all else that goes on.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use control::{Grace, Pruned, Pruning};
use ports::{Clock, Platform};

use super::{Run, block};

/// Power is off for longer than [`Grace::MIN`], and than clocks differ.
const NIGHT: Duration = Duration::from_secs(2 * 3600);

/// One that is under way: the process, and where it is.
pub(super) type Pruner = (
    usize,
    Pin<Box<dyn Future<Output = control::Result<Pruned>>>>,
);

fn grace() -> Grace {
    Grace::new(Grace::MIN).expect("it is the least")
}

impl Run {
    /// Begins, now or in the morning: what was put by then is old, and no call of the evening goes on.
    pub(super) fn start_pruning(&mut self) {
        if self.pruner.is_some() {
            return;
        }
        let (plane, is_morning) = (self.gate.below(self.planes.len()), self.gate.below(2) == 0);
        if is_morning {
            self.log.push("power is off for two hours".to_owned());
            for plane in 0..self.planes.len() {
                self.kill_plane(plane);
            }
            self.memory.clock().pass(NIGHT);
        }
        let control = self.planes[plane].clone();
        let prune = async move { control.prune(grace(), Pruning::Remove).await };
        self.pruner = Some((plane, Box::pin(prune)));
    }

    /// From one call to the world to the next.
    pub(super) fn go_on_pruning(&mut self) {
        let Some((_, pruning)) = &mut self.pruner else {
            return;
        };
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(pruned) = pruning.as_mut().poll(&mut context) {
            self.pruner = None;
            let said = pruned.map(|pruned| pruned.removed.files);
            self.log.push(format!("pruned: {said:?}"));
        }
    }

    pub(super) fn stop_pruning(&mut self, plane: usize) {
        self.pruner.take_if(|(of, _)| *of == plane);
    }

    /// Long after all that happened: what nothing names goes, and all that is needed is there.
    pub(crate) fn prune_at_last(&mut self) {
        let control = self.control();
        if !block(control.is_planned()).expect("calm weather") {
            return;
        }
        let than =
            self.memory.clock().now() - i64::try_from(Grace::MIN.as_millis()).expect("an hour");
        // People may have deleted the status branch before the ledger was lost.
        match block(control.prune(grace(), Pruning::GiveUp)) {
            Ok(_) => self.witness.files_are_right(than),
            Err(error) => self.witness.violated(format!("in calm weather: {error}")),
        }
    }
}
