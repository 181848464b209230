//! Blocks in order, those that no cache has compressed on all processors.

use std::collections::VecDeque;
use std::num::NonZero;
use std::thread::{self, ScopedJoinHandle, available_parallelism};

use super::Block;

/// Blocks in memory at a time: what waits behind one that is being compressed.
const WINDOW: usize = 32;

/// What is there of a block.
pub(crate) enum Found {
    /// All of it.
    Whole(Block),
    /// Its text.
    Text(Vec<u8>),
}

/// A block on its way.
enum Coming<'scope> {
    Here(Block),
    Encoded(ScopedJoinHandle<'scope, Block>),
}

/// Looks each item up and hands its block to `take`, in the items' order; `take` also hears whether the
/// block is new. Ends at the first error of `look_up`.
pub(crate) fn in_order<T, E>(
    items: impl Iterator<Item = T>,
    look_up: impl Fn(&T) -> Result<Found, E>,
    mut take: impl FnMut(T, &Block, bool),
) -> Result<(), E> {
    let width = available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        let (mut window, mut encoding) = (VecDeque::new(), 0);
        let mut advance = |window: &mut VecDeque<(T, Coming<'_>)>, encoding: &mut usize| {
            let Some((item, coming)) = window.pop_front() else {
                return false;
            };
            match coming {
                Coming::Here(block) => take(item, &block, false),
                Coming::Encoded(worker) => {
                    *encoding -= 1;
                    let block = worker.join();
                    let block = block.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                    take(item, &block, true);
                }
            }
            true
        };
        for item in items {
            let coming = match look_up(&item)? {
                Found::Whole(block) => Coming::Here(block),
                Found::Text(text) => {
                    while encoding == width && advance(&mut window, &mut encoding) {}
                    encoding += 1;
                    Coming::Encoded(scope.spawn(move || Block::encode(&text)))
                }
            };
            window.push_back((item, coming));
            if encoding == 0 || window.len() == WINDOW {
                advance(&mut window, &mut encoding);
            }
        }
        while advance(&mut window, &mut encoding) {}
        Ok(())
    })
}
