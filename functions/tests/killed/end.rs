//! Where a function's time ends.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::proxy::{Fault, Proxy};

/// A name of the proxy: a change of the ledger.
pub(crate) const WRITE: &str = "TransactWriteItems";

/// With which of its requests.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End {
    /// The one after so many does not arrive.
    Before(usize),
    /// The one after so many is done, and nobody hears of it.
    Behind(usize),
}

impl End {
    /// Both, for each of so many requests.
    pub(crate) fn all(requests: usize) -> impl Iterator<Item = Self> {
        (0..requests).flat_map(|passed| [Self::Before(passed), Self::Behind(passed)])
    }

    /// How many were done.
    pub(crate) fn done(self) -> usize {
        match self {
            Self::Before(passed) => passed,
            Self::Behind(passed) => passed + 1,
        }
    }
}

/// When a function is where it ends. What stands still there goes on when this is dropped.
pub(crate) struct Moment {
    there: Arc<Notify>,
    _held: Option<mpsc::Sender<()>>,
}

impl Moment {
    /// Of a request to a service that is sent again where its answer says so.
    pub(crate) fn of(proxy: &Proxy, action: &str, end: End) -> Self {
        let (End::Before(passed) | End::Behind(passed)) = end;
        if passed > 0 {
            // Nothing happens to these.
            proxy.fault(action, passed, Fault::Late(Duration::ZERO));
        }
        if matches!(end, End::Behind(_)) {
            // The function is about to ask again, and knows no more than one that was never answered.
            proxy.fault(action, 1, Fault::Lost);
        }
        let [there, on] = [(); 2].map(|()| Arc::new(Notify::new()));
        let told = Arc::clone(&there);
        proxy.fault(action, 1, Fault::Paused { there: told, on });
        Self { there, _held: None }
    }

    /// Until it is dropped, whoever waits for the other end of `held` waits.
    pub(crate) fn held(there: Arc<Notify>, held: mpsc::Sender<()>) -> Self {
        let _held = Some(held);
        Self { there, _held }
    }

    pub(crate) async fn comes(&self) {
        self.there.notified().await;
    }
}

/// Runs all at once, since they wait most of the time. Whatever ends where, there is what `expect` says.
pub(crate) async fn same<At, Run>(
    expect: &[String],
    ends: impl IntoIterator<Item = At>,
    run: impl Fn(At) -> Run,
) where
    At: Copy + Debug,
    Run: Future<Output = Vec<String>> + Send + 'static,
{
    let (mut runs, mut ids) = (JoinSet::new(), HashMap::new());
    for end in ends {
        let id = runs.spawn(run(end)).id();
        ids.insert(id, end);
    }
    assert!(!runs.is_empty());
    while let Some(done) = runs.join_next_with_id().await {
        let (id, there) = done.unwrap_or_else(|error| panic!("{:?}: {error}", ids[&error.id()]));
        let (more, less) = (without(&there, expect), without(expect, &there));
        assert!(
            there == expect,
            "{:?}: {more:#?} in the place of {less:#?}",
            ids[&id]
        );
    }
}

fn without<'a>(these: &'a [String], others: &[String]) -> Vec<&'a String> {
    these.iter().filter(|it| !others.contains(it)).collect()
}
