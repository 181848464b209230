//! What came into rows and messages with which version of their format.
//!
//! Callers: the simulator, which lets processes of two versions work on one ledger, and the tests that
//! hold the old forms against the types.
//!
//! # The rule
//!
//! During an upgrade processes of this version and of the one before may work on the same rows. So:
//!
//! * A field that comes later has a default, and is left out where it has it: rows of before can be read,
//!   and rows that use nothing new are written as before, byte for byte.
//! * Either an older process *drops* the field when it writes the row again. Then a row without it must be
//!   right, and planning must put back what matters, as it does with [`crate::Event::Share`].
//! * Or an older process *refuses* the row. That is right for what says what is to be built: half of a wish
//!   is another wish. The row's work is left to the newer processes.
//! * A kind of row or message that comes later is refused by itself: the tag is unknown. Who cannot read a
//!   message never acknowledges it.
//! * What comes later is listed in [`LATER`], with the version that [`CURRENT`] becomes.

use std::fmt;

use serde_json::Value;

/// The version of all rows and messages that this program writes. Adapters that keep them in files raise
/// the version of the file with it.
pub const CURRENT: u32 = 2;

/// Something that is not in all versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Later {
    /// The first version that has it.
    pub since: u32,
    /// Where: the tag of the row or message, then names of fields; `*` stands for every element of a list.
    /// A last part `step=waiting` is a value of a field.
    pub path: &'static str,
    /// What processes of before do with it.
    pub older: Older,
}

/// What a process of before does with something that it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Older {
    /// It reads the row without it, and writes the row without it.
    Drops,
    /// It cannot read the row, and leaves it alone.
    Refuses,
}

use Older::{Drops, Refuses};

/// All that came after version 1.
///
/// 2, turns: tasks have the share of who asked and a weight, requests a priority. And keys in KMS: without their place
/// the signer would look for a file.
pub const LATER: &[Later] = &[
    later(2, "task/share", Drops),
    later(2, "task/weight", Drops),
    later(2, "outbox/effect/share", Drops),
    later(2, "request/spec/priority", Refuses),
    later(2, "request/spec/packages/*/weight", Refuses),
    later(2, "task/state/step=waiting", Refuses),
    later(2, "task/spec/files/private/kms", Refuses),
];

const fn later(since: u32, path: &'static str, older: Older) -> Later {
    Later { since, path, older }
}

/// A row or message that a process of an earlier version cannot read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unknown(pub Later);

impl std::error::Error for Unknown {}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Later { since, path, .. } = self.0;
        write!(
            f,
            "{path} is of format {since}; leave it to newer processes"
        )
    }
}

/// Makes of a row or message, as JSON, what a process of version `format` has in hands once it has read it.
///
/// # Errors
/// What it cannot read.
pub fn as_read_by(format: u32, document: &mut Value) -> Result<(), Unknown> {
    let tag = document.get("row").or_else(|| document.get("message"));
    let Some(tag) = tag.and_then(Value::as_str).map(str::to_owned) else {
        return Ok(());
    };
    for later in LATER.iter().filter(|later| later.since > format) {
        let Some((first, path)) = later.path.split_once('/') else {
            continue;
        };
        if first == tag && meet(document, path, later.older) && later.older == Refuses {
            return Err(Unknown(*later));
        }
    }
    Ok(())
}

/// Whether there is something at `path`; what is dropped is gone then.
fn meet(value: &mut Value, path: &str, older: Older) -> bool {
    let (name, rest) = path.split_once('/').unwrap_or((path, ""));
    match (value, rest) {
        (Value::Array(elements), rest) if name == "*" => {
            // All of them, not only the first: each loses what is dropped.
            let met = elements
                .iter_mut()
                .map(|element| meet(element, rest, older));
            met.filter(|met| *met).count() > 0
        }
        (Value::Object(fields), "") => match (name.split_once('='), older) {
            (Some((name, known)), _) => fields.get(name).is_some_and(|value| value == known),
            (None, Drops) => fields.remove(name).is_some(),
            (None, Refuses) => fields.contains_key(name),
        },
        (Value::Object(fields), rest) => fields
            .get_mut(name)
            .is_some_and(|inner| meet(inner, rest, older)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_older_process_drops_or_refuses() {
        let check = |mut document: Value, expect: Result<Value, &str>| {
            let read = as_read_by(1, &mut document).map(|()| document);
            assert_eq!(read.map_err(|unknown| unknown.0.path), expect);
        };
        let plain = json!({"row": "task", "state": {"state": "ready"}});
        check(plain.clone(), Ok(plain.clone()));
        let mut shared = plain.clone();
        shared["share"] = json!({"priority": "urgent"});
        shared["weight"] = json!(4);
        check(shared, Ok(plain));
        check(
            json!({"row": "outbox", "effect": {"queue": "q", "share": {"tenant": "a"}}}),
            Ok(json!({"row": "outbox", "effect": {"queue": "q"}})),
        );
        check(
            json!({"row": "request", "spec": {"packages": [{}, {"weight": 2}]}}),
            Err("request/spec/packages/*/weight"),
        );
        check(
            json!({"row": "request", "spec": {"priority": "urgent"}}),
            Err("request/spec/priority"),
        );
        check(
            json!({"row": "task", "state": {"step": "waiting"}}),
            Err("task/state/step=waiting"),
        );
        check(
            json!({"row": "task", "spec": {"files": {"private": {"kms": "alias/main"}}}}),
            Err("task/spec/files/private/kms"),
        );
        let file = json!({"row": "task", "spec": {"files": {"private": "main.key"}}});
        check(file.clone(), Ok(file));
        let building = json!({"row": "task", "state": {"step": "building"}});
        check(building.clone(), Ok(building));
        // A request that could not be read, and a message.
        let invalid = json!({"row": "request", "spec": null});
        check(invalid.clone(), Ok(invalid));
        let message = json!({"message": "report", "request": "x"});
        check(message.clone(), Ok(message));
    }

    #[test]
    fn this_version_reads_all() {
        let document = json!({"row": "request", "spec": {"priority": "urgent"}});
        let mut read = document.clone();
        assert_eq!(as_read_by(CURRENT, &mut read), Ok(()));
        assert_eq!(read, document);
        let newest = LATER.iter().map(|later| later.since).max();
        assert_eq!(newest, Some(CURRENT), "the table ends with this version");
    }
}
