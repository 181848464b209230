//! How long finished tasks took: what an expected duration is made of. It may be lost without harm.

use std::collections::BTreeMap;

use runner_api::TaskId;
use serde::{Deserialize, Serialize};

use crate::Millis;

/// The last durations of the tasks of one package, or of one repository's releases.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DurationsRow {
    /// By kind, platform and architecture, as `build el-10 x86_64`: oldest first, at most
    /// [`DurationsRow::KEPT`] of each.
    pub of: BTreeMap<String, Vec<Took>>,
    /// When it was written last.
    pub at: Millis,
}

/// One finished task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Took {
    /// Which: it counts once, however often it is noted.
    pub task: TaskId,
    /// From its lease to its result.
    pub seconds: u32,
}

impl DurationsRow {
    /// Durations kept of each: the newest say most of the next.
    pub const KEPT: usize = 10;
    /// Series kept: a package is built for a few platforms. With more, a row would outgrow its table.
    pub const MAX_SERIES: usize = 200;

    /// Notes a task. Answers whether that is new.
    pub fn note(&mut self, series: &str, took: Took) -> bool {
        let is_full = self.of.len() >= Self::MAX_SERIES;
        if is_full && !self.of.contains_key(series) {
            return false;
        }
        let known = self.of.entry(series.to_owned()).or_default();
        if known.iter().any(|it| it.task == took.task) {
            return false;
        }
        known.push(took);
        let surplus = known.len().saturating_sub(Self::KEPT);
        known.drain(..surplus);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn took(nth: usize) -> Took {
        let task = format!("{nth:032x}").parse().expect("32 digits");
        Took { task, seconds: 60 }
    }

    #[test]
    fn a_task_counts_once_and_the_oldest_go() {
        let mut row = DurationsRow::default();
        assert!(row.note("source el-10", took(0)));
        assert!(!row.note("source el-10", took(0)));
        for nth in 1..=DurationsRow::KEPT {
            assert!(row.note("source el-10", took(nth)));
        }
        let known = &row.of["source el-10"];
        assert_eq!(known.len(), DurationsRow::KEPT);
        assert_eq!(known[0], took(1));
    }

    #[test]
    fn a_row_does_not_grow_for_ever() {
        let mut row = DurationsRow::default();
        for nth in 0..DurationsRow::MAX_SERIES {
            assert!(row.note(&nth.to_string(), took(nth)));
        }
        assert!(!row.note("one more", took(0)));
        assert!(row.note("0", took(1)));
    }
}
