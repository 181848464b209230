//! The SQLite file, read and never written: the judge believes no program of ours.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use ledger::{Row, TaskRow, partition};
use rusqlite::{Connection, OpenFlags};

use crate::machine::Machine;

/// The ledger and the queues of an installation.
pub(crate) struct Database(Connection);

impl Database {
    pub(crate) fn open(machine: &Machine) -> Result<Self> {
        let path = machine.data().join("data/millrace.db");
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Connection::open_with_flags(&path, flags)
            .map(Self)
            .with_context(|| format!("open {}", path.display()))
    }

    /// SQLite's own opinion of the file.
    pub(crate) fn check(&self) -> Result<Option<String>> {
        let said: String = self
            .0
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
        Ok((said != "ok").then_some(said))
    }

    /// What should not be there at rest: messages, outbox, leases, turns, open requests.
    pub(crate) fn left(&self, waiting: &BTreeSet<String>) -> Result<Vec<String>> {
        let mut left = Vec::new();
        let mut messages = self.0.prepare("SELECT queue, message FROM messages")?;
        let rows = messages.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        for row in rows {
            let (queue, message): (String, String) = row?;
            left.push(format!("a message in the queue {queue}: {message:.200}"));
        }
        let mut rows = self.0.prepare(
            "SELECT partition, sort FROM ledger WHERE partition IN (?1, ?2, ?3) OR sort = 'turn'",
        )?;
        let moving = [partition::OUTBOX, partition::LEASES, partition::OPEN];
        let rows = rows.query_map(moving, |row| Ok((row.get(0)?, row.get(1)?)))?;
        for row in rows {
            let (partition, sort): (String, String) = row?;
            if partition != partition::OPEN || !waiting.contains(&sort) {
                left.push(format!("the row {partition} {sort}"));
            }
        }
        Ok(left)
    }

    /// Every request that was ever planned, and its phase.
    pub(crate) fn requests(&self) -> Result<Vec<(String, &'static str)>> {
        let rows = self.documents("sort = 'request'")?.into_iter();
        let requests = rows.filter_map(|row| match row {
            Row::Request(row) => Some((row.path.to_string(), row.phase.word())),
            _ => None,
        });
        Ok(requests.collect())
    }

    /// Every task.
    pub(crate) fn tasks(&self) -> Result<Vec<TaskRow>> {
        let rows = self.documents("sort LIKE 'task/%'")?.into_iter();
        let tasks = rows.filter_map(|row| match row {
            Row::Task(row) => Some(*row),
            _ => None,
        });
        Ok(tasks.collect())
    }

    fn documents(&self, which: &str) -> Result<Vec<Row>> {
        let sql = format!("SELECT document FROM ledger WHERE {which}");
        let mut rows = self.0.prepare(&sql)?;
        let documents = rows.query_map([], |row| row.get(0))?;
        let mut rows = Vec::new();
        for document in documents {
            let document: String = document?;
            rows.push(serde_json::from_str(&document).context("read a row")?);
        }
        Ok(rows)
    }
}
