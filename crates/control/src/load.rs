//! Reading rows with their types.

use std::collections::BTreeMap;

use ledger::{HeadRow, Key, Phase, RefRow, RequestRow, Row, TaskRow, Tasks};
use pipeline_spec::RequestPath;
use planner::RequestView;
use ports::{Ledger, Platform};
use runner_api::{TaskId, TaskRef};

use crate::{Control, Error, PAGE, Result};

/// A request and all that hangs on it.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    pub(crate) row: RequestRow,
    pub(crate) version: u64,
    pub(crate) tasks: Tasks,
    pub(crate) versions: BTreeMap<TaskId, u64>,
    pub(crate) refs: BTreeMap<(String, String), RefRow>,
}

impl Loaded {
    /// As the planner sees it.
    pub(crate) fn view(&self) -> RequestView<'_> {
        RequestView {
            row: &self.row,
            tasks: &self.tasks,
        }
    }

    /// A request that others know of before it is written.
    pub(crate) fn awaited(path: &RequestPath) -> Self {
        Self {
            row: RequestRow {
                path: path.clone(),
                commit: String::new(),
                time: 0,
                author: String::new(),
                sequence: 0,
                spec: None,
                phase: Phase::Open,
                problems: Vec::new(),
                notes: Vec::new(),
            },
            version: 0,
            tasks: Tasks::new(),
            versions: BTreeMap::new(),
            refs: BTreeMap::new(),
        }
    }
}

pub(crate) fn unexpected(key: &Key) -> Error {
    Error::Inconsistent(format!("read {key}: the row is of another kind"))
}

impl<P: Platform> Control<P> {
    pub(crate) async fn head_row(&self) -> Result<(HeadRow, Option<u64>)> {
        match self.platform.ledger().get(&Key::head()).await? {
            None => Ok((HeadRow::default(), None)),
            Some(record) => match record.row {
                Row::Head(head) => Ok((head, Some(record.version))),
                _ => Err(unexpected(&Key::head())),
            },
        }
    }

    pub(crate) async fn task_row(&self, task: &TaskRef) -> Result<Option<(TaskRow, u64)>> {
        let key = Key::task(task);
        match self.platform.ledger().get(&key).await? {
            None => Ok(None),
            Some(record) => match record.row {
                Row::Task(row) => Ok(Some((*row, record.version))),
                _ => Err(unexpected(&key)),
            },
        }
    }

    /// Every row of a partition whose sort key starts with `prefix`.
    pub(crate) async fn all_rows(
        &self,
        partition: &str,
        prefix: &str,
    ) -> Result<Vec<(Key, ledger::Record)>> {
        let mut rows = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self
                .platform
                .ledger()
                .list(partition, prefix, after.as_deref(), PAGE)
                .await?;
            let full = page.len() == PAGE;
            after = page.last().map(|(key, _)| key.sort.clone());
            rows.extend(page);
            if !full {
                return Ok(rows);
            }
        }
    }

    /// The requests that an index partition points to.
    pub(crate) async fn indexed(&self, partition: &str, prefix: &str) -> Result<Vec<RequestPath>> {
        let rows = self.all_rows(partition, prefix).await?;
        Ok(rows
            .into_iter()
            .filter_map(|(_, record)| match record.row {
                Row::Index { request } => Some(request),
                _ => None,
            })
            .collect())
    }

    pub(crate) async fn load(&self, path: &RequestPath) -> Result<Option<Loaded>> {
        let mut request = None;
        let mut loaded = (Tasks::new(), BTreeMap::new(), BTreeMap::new());
        for (key, record) in self.all_rows(&Key::request_partition(path), "").await? {
            match record.row {
                Row::Request(row) => request = Some((*row, record.version)),
                Row::Task(row) => {
                    loaded.1.insert(row.task.id.clone(), record.version);
                    loaded.0.insert(row.task.id.clone(), *row);
                }
                Row::Ref(row) => {
                    loaded.2.insert((row.url.clone(), row.git_ref.clone()), row);
                }
                _ => return Err(unexpected(&key)),
            }
        }
        let (tasks, versions, refs) = loaded;
        Ok(request.map(|(row, version)| Loaded {
            row,
            version,
            tasks,
            versions,
            refs,
        }))
    }
}
