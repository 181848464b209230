//! Deliveries that were seen.

use std::collections::VecDeque;

/// Remembers the ids of the newest deliveries, so that one that comes again is answered without work.
///
/// It saves work, and decides nothing: a delivery is a hint, and doing one twice is the same as once. Ids are not signed
/// and this is forgotten with the process, so nothing may rely on it. Remember an id when its work is safely queued, not
/// before: what failed has to pass when it is delivered again.
#[derive(Debug)]
pub struct Deliveries {
    /// Oldest first.
    ids: VecDeque<String>,
    most: usize,
}

impl Deliveries {
    /// For one process: more than come while a person presses "Redeliver", and looked through in microseconds.
    pub const MOST: usize = 1_000;

    /// Remembers `most` at a time.
    pub fn new(most: usize) -> Self {
        Self {
            ids: VecDeque::new(),
            most,
        }
    }

    /// Whether it was remembered, and not forgotten since.
    pub fn knows(&self, id: &str) -> bool {
        self.ids.iter().any(|known| known == id)
    }

    /// Remembers `id`. The oldest one is forgotten for it.
    pub fn remember(&mut self, id: &str) {
        if self.most == 0 || self.knows(id) {
            return;
        }
        if self.ids.len() == self.most {
            self.ids.pop_front();
        }
        self.ids.push_back(id.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_it_remembers() {
        let mut deliveries = Deliveries::new(Deliveries::MOST);
        assert!(!deliveries.knows("a"));
        deliveries.remember("a");
        assert!(deliveries.knows("a"));
        assert!(!deliveries.knows("b"));
    }

    #[test]
    fn forgets_the_oldest() {
        let mut deliveries = Deliveries::new(2);
        for id in ["a", "b", "b", "b", "c"] {
            deliveries.remember(id);
        }
        let known = ["a", "b", "c"].map(|id| deliveries.knows(id));
        assert_eq!(known, [false, true, true]);
    }

    #[test]
    fn remembers_nothing_if_it_may_not() {
        let mut deliveries = Deliveries::new(0);
        deliveries.remember("a");
        assert!(!deliveries.knows("a"));
    }
}
