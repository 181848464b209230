//! The ledger in SQLite.

use std::collections::BTreeSet;

use ledger::{Change, Condition, Expect, Key, Millis, Record, Row, Write};
use ports::{Applied, Error, Ledger, Result};
use rusqlite::{Connection, OptionalExtension, params};

use crate::Database;
use crate::error::sqlite;

/// Rows as JSON documents under their keys.
#[derive(Debug, Clone)]
pub struct SqliteLedger(Database);

impl SqliteLedger {
    /// The ledger in `database`.
    pub fn new(database: Database) -> Self {
        Self(database)
    }
}

const READ: &str = "read ledger rows";
const APPLY: &str = "apply a change to the ledger";

impl Ledger for SqliteLedger {
    async fn get(&self, key: &Key) -> Result<Option<Record>> {
        let key = key.clone();
        self.0.read(READ, move |db| get(db, &key)).await
    }

    async fn list(
        &self,
        partition: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(Key, Record)>> {
        let range = Range {
            partition: partition.to_owned(),
            prefix: prefix.to_owned(),
            after: after.map(str::to_owned),
            limit,
        };
        self.0.read(READ, move |db| range.list(db)).await
    }

    async fn apply(&self, change: Change, now: Millis) -> Result<Applied> {
        let (conditions, writes) = change.into_rows(now);
        check_size(&conditions, &writes)?;
        // Here and not in the writer's thread, which everybody waits for.
        let documents = documents(writes)?;
        let work = move |db: &Connection| apply(db, conditions, &documents);
        self.0.writer().write(APPLY, work, |_| ()).await
    }
}

fn get(db: &Connection, key: &Key) -> Result<Option<Record>> {
    let sql = "SELECT version, document FROM ledger WHERE partition = ?1 AND sort = ?2";
    let found = db.prepare_cached(sql).and_then(|mut statement| {
        let parameters = [&key.partition, &key.sort];
        let row = statement.query_row(parameters, |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
        });
        row.optional()
    });
    let found = found.map_err(|cause| sqlite(&format!("read ledger row {key}"), &cause))?;
    found
        .map(|(version, document)| record(key, version, &document))
        .transpose()
}

fn record(key: &Key, version: i64, document: &str) -> Result<Record> {
    let corrupt = |cause: String| Error::corrupt(format!("read ledger row {key}"), cause);
    let row = serde_json::from_str::<Row>(document).map_err(|cause| corrupt(cause.to_string()))?;
    let version = u64::try_from(version).map_err(|cause| corrupt(cause.to_string()))?;
    Ok(Record { version, row })
}

struct Range {
    partition: String,
    prefix: String,
    after: Option<String>,
    limit: usize,
}

impl Range {
    fn list(&self, db: &Connection) -> Result<Vec<(Key, Record)>> {
        let raw = self.read(db).map_err(|cause| sqlite(READ, &cause))?;
        raw.into_iter()
            .map(|(sort, version, document)| {
                let partition = self.partition.clone();
                let key = Key { partition, sort };
                let record = record(&key, version, &document)?;
                Ok((key, record))
            })
            .collect()
    }

    /// From the first row on, until one has another prefix: rows come as they are asked for.
    fn read(&self, db: &Connection) -> rusqlite::Result<Vec<(String, i64, String)>> {
        let sql = "SELECT sort, version, document FROM ledger \
                   WHERE partition = ?1 AND sort >= ?2 AND sort > ?3 ORDER BY sort";
        let sql_first = "SELECT sort, version, document FROM ledger \
                         WHERE partition = ?1 AND sort >= ?2 ORDER BY sort";
        let mut statement =
            db.prepare_cached(if self.after.is_some() { sql } else { sql_first })?;
        let mut rows = match &self.after {
            Some(after) => statement.query([&self.partition, &self.prefix, after])?,
            None => statement.query([&self.partition, &self.prefix])?,
        };
        let mut found = Vec::new();
        while found.len() < self.limit
            && let Some(row) = rows.next()?
        {
            let sort: String = row.get(0)?;
            if !sort.starts_with(&self.prefix) {
                break;
            }
            found.push((sort, row.get(1)?, row.get(2)?));
        }
        Ok(found)
    }
}

fn check_size(conditions: &[Condition], writes: &[Write]) -> Result<()> {
    let conditions = conditions.iter().map(|condition| &condition.key);
    let writes = writes.iter().map(|write| match write {
        Write::Put(key, _) | Write::Delete(key) => key,
    });
    let rows = conditions.chain(writes).collect::<BTreeSet<_>>().len();
    if rows > Change::MAX_ROWS {
        let cause = format!("it touches {rows} rows; {} are allowed", Change::MAX_ROWS);
        return Err(Error::corrupt(APPLY, cause));
    }
    Ok(())
}

/// A write with its row as JSON; without one it removes.
type Document = (Key, Option<String>);

fn documents(writes: Vec<Write>) -> Result<Vec<Document>> {
    let document = |write| match write {
        Write::Put(key, row) => {
            let json = serde_json::to_string(&*row)
                .map_err(|cause| Error::corrupt(format!("write ledger row {key}"), cause))?;
            Ok((key, Some(json)))
        }
        Write::Delete(key) => Ok((key, None)),
    };
    writes.into_iter().map(document).collect()
}

fn apply(db: &Connection, conditions: Vec<Condition>, documents: &[Document]) -> Result<Applied> {
    for condition in conditions {
        let version = version(db, &condition.key).map_err(|cause| sqlite(APPLY, &cause))?;
        if Expect::as_read(version) != condition.expect {
            return Ok(Applied::Conflict(condition.key));
        }
    }
    for (key, document) in documents {
        let written = match document {
            Some(document) => put(db, key, document),
            None => delete(db, key),
        };
        written.map_err(|cause| sqlite(&format!("write ledger row {key}"), &cause))?;
    }
    Ok(Applied::Done)
}

fn version(db: &Connection, key: &Key) -> rusqlite::Result<Option<u64>> {
    let sql = "SELECT version FROM ledger WHERE partition = ?1 AND sort = ?2";
    let mut statement = db.prepare_cached(sql)?;
    let parameters = [&key.partition, &key.sort];
    statement.query_row(parameters, |row| row.get(0)).optional()
}

fn put(db: &Connection, key: &Key, document: &str) -> rusqlite::Result<()> {
    let sql = "INSERT INTO ledger (partition, sort, version, document) VALUES (?1, ?2, 1, ?3) \
               ON CONFLICT DO UPDATE SET version = version + 1, document = excluded.document";
    db.prepare_cached(sql)?
        .execute(params![key.partition, key.sort, document])?;
    Ok(())
}

fn delete(db: &Connection, key: &Key) -> rusqlite::Result<()> {
    let sql = "DELETE FROM ledger WHERE partition = ?1 AND sort = ?2";
    db.prepare_cached(sql)?
        .execute([&key.partition, &key.sort])?;
    Ok(())
}
