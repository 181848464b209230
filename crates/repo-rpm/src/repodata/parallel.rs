use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};

/// `work(0), work(1), … work(count - 1)` on up to `threads` threads; results in that order.
pub(super) fn map<T: Send>(
    count: usize,
    threads: NonZeroUsize,
    work: impl Fn(usize) -> T + Sync,
) -> Vec<T> {
    let threads = threads.get().min(count);
    if threads <= 1 {
        return (0..count).map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let run = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return done;
            }
            done.push((index, work(index)));
        }
    };
    let mut all = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
        let mut all = run();
        for other in others {
            // A panic in a worker is a bug here and must not become a short repository.
            all.extend(
                other
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            );
        }
        all
    });
    all.sort_unstable_by_key(|(index, _)| *index);
    all.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_order() {
        for threads in 1..5 {
            let threads = NonZeroUsize::new(threads).unwrap();
            assert_eq!(
                map(100, threads, |n| n * n),
                (0..100).map(|n| n * n).collect::<Vec<_>>()
            );
            assert_eq!(map(0, threads, |n| n), Vec::<usize>::new());
        }
    }
}
