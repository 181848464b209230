//! Which faults a run has, and how often.

use fastrand::Rng;

/// Chances, each per opportunity: 0.0 never, 1.0 always.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rates {
    /// A port call fails before it did anything.
    pub fail_before: f64,
    /// A port call does its work, and the answer is lost.
    pub fail_after: f64,
    /// A port is out of order for a while: a full disk takes no writes, a forge answers nobody who asked
    /// too often.
    pub outage: f64,
    /// A conditional write meets a conflict although its conditions hold.
    pub conflict: f64,
    /// A list of an index is that of some writes ago.
    pub stale_list: f64,
    /// A sent message is there twice.
    pub duplicate: f64,
    /// A sent message comes minutes later.
    pub delay: f64,
    /// A sent message comes 13 hours later.
    pub very_late: f64,
    /// An acknowledgement is lost, so that the message comes again.
    pub lost_acknowledgement: f64,
    /// A process of the control plane is killed.
    pub kill_plane: f64,
    /// The disk with ledger and queues is lost, and a person recovers them.
    pub lost_ledger: f64,
    /// A runner is killed; half of them come back with what they had, as zombies.
    pub kill_runner: f64,
    /// A runner has trouble of its own in the middle of a job.
    pub trouble: f64,
    /// A task that has trouble wherever it runs.
    pub poison: f64,
    /// A runner answers for an attempt that another one has.
    pub impostor: f64,
    /// A file of a result never reaches the store, or not whole.
    pub torn_upload: f64,
    /// A push is noticed by no webhook: only the timer sees it.
    pub lost_webhook: f64,
    /// A push is told of several times at once.
    pub doubled_webhook: f64,
    /// Somebody writes to the status branch, deletes it, or puts it back to where it was.
    pub status_rival: f64,
    /// A process prunes the artifact store, half of the times after a night without power.
    pub prune: f64,
    /// A ref of a package's repository moves after a push named it.
    pub moved_ref: f64,
    /// Clocks of the control plane's processes, and of runners, differ by up to five minutes.
    pub skew: f64,
    /// A process of the control plane, when it is started, is of the version before.
    pub older_plane: f64,
    /// A person cancels a request, whatever has become of it.
    pub cancel: f64,
    /// A runner puts a result into the store instead of sending it; the word of it is lost, or comes several times.
    pub handed_in: f64,
    /// The state repository is at a forge, which is told by checks and counts pushes: not 0.
    pub forge: f64,
}

/// In one run of so many the ledger may be lost.
const LOSSES: u64 = 6;
/// In one run of so many the artifact store is pruned while all else goes on.
const PRUNINGS: u64 = 4;

/// In one run of so many, runners hand results in through the store.
const HAND_INS: u64 = 4;
/// In one run of so many the state repository is at a forge.
const FORGES: u64 = 4;
/// In one run of so many the control plane is being upgraded.
const UPGRADES: u64 = 6;
/// The least chance that a process is killed then: it may come back in the other version.
const RESTARTS: f64 = 0.001;

impl Rates {
    /// As `self`, and in some of the seeds in the middle of an upgrade. Drawn apart: the other seeds keep
    /// their runs.
    pub fn with_upgrades(mut self, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed.rotate_left(32));
        if rng.u64(..UPGRADES) == 0 {
            self.older_plane = 0.2 + rng.f64() * 0.6;
            self.kill_plane = self.kill_plane.max(RESTARTS);
            // A wish that only the row of a running task holds is what a process of before could drop.
            self.cancel = rng.f64() * 0.01;
        }
        self
    }

    /// As `self`, and in some of the seeds the ledger is lost now and then. Drawn apart: it is so rare, and
    /// changes so much, that the other seeds keep their runs.
    pub fn with_losses(mut self, seed: u64) -> Self {
        let mut rng = Rng::with_seed(!seed);
        if rng.u64(..LOSSES) == 0 {
            self.lost_ledger = rng.f64() * 0.002;
        }
        self
    }

    /// As `self`, and in some of the seeds the artifact store is pruned. Drawn apart, as losses are.
    pub fn with_pruning(mut self, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed.rotate_left(32));
        if rng.u64(..PRUNINGS) == 0 {
            self.prune = rng.f64() * 0.003;
        }
        self
    }

    /// As `self`, and in some of the seeds results come through the store. Drawn apart, as losses are.
    pub fn with_hand_ins(mut self, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed.rotate_left(16));
        if rng.u64(..HAND_INS) == 0 {
            self.handed_in = 0.2 + rng.f64() * 0.8;
        }
        self
    }

    /// As `self`, and in some of the seeds the state repository is at a forge. Drawn apart, as losses are. Not in the
    /// middle of an upgrade from a version that knew no forge.
    pub fn with_forge(mut self, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed.rotate_left(48));
        if self.older_plane == 0.0 && rng.u64(..FORGES) == 0 {
            self.forge = 1.0;
        }
        self
    }

    /// A random subset of all faults, each with a random chance.
    pub fn random(rng: &mut Rng) -> Self {
        let mut rate = |most: f64| {
            if rng.bool() { 0.0 } else { rng.f64() * most }
        };
        Self {
            fail_before: rate(0.04),
            fail_after: rate(0.04),
            outage: rate(0.002),
            conflict: rate(0.08),
            stale_list: rate(0.3),
            duplicate: rate(0.3),
            delay: rate(0.3),
            very_late: rate(0.1),
            lost_acknowledgement: rate(0.3),
            kill_plane: rate(0.004),
            lost_ledger: 0.0,
            kill_runner: rate(0.003),
            trouble: rate(0.1),
            poison: rate(0.2),
            impostor: rate(0.1),
            torn_upload: rate(0.1),
            lost_webhook: rate(1.0),
            doubled_webhook: rate(1.0),
            status_rival: rate(0.01),
            prune: 0.0,
            moved_ref: rate(0.5),
            skew: rate(1.0),
            older_plane: 0.0,
            cancel: 0.0,
            handed_in: 0.0,
            forge: 0.0,
        }
    }
}
