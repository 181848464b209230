//! A change as DynamoDB takes it: one action for each row.

use std::collections::HashMap;

use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::types::{AttributeValue, ConditionCheck, Delete, TransactWriteItem, Update};
use ledger::{Condition, Expect, Key, Row, Write, format};
use ports::{Error, Result};

use super::{APPLY, item};

/// What happens to one row.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Action {
    pub(super) key: Key,
    expect: Option<Expect>,
    write: Option<Outcome>,
}

/// What is there afterwards.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Gone,
    /// `row`, after as many puts.
    Row {
        row: Box<Row>,
        puts: u64,
        base: Base,
    },
}

/// From where puts count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Base {
    /// The version that is there, or 0.
    AsItIs,
    /// 0: the same change has removed the row before.
    Fresh,
}

/// What a change comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Merged {
    /// One for each row, in the order in which the change first names it.
    Actions(Vec<Action>),
    /// Two conditions on this row exclude each other.
    Never(Key),
}

/// DynamoDB takes one action for each item. The port takes any number, each on what the one before left; the last
/// one decides what is there, and all puts count.
pub(super) fn merge(conditions: Vec<Condition>, writes: Vec<Write>) -> Merged {
    let mut actions = Actions::default();
    for Condition { key, expect } in conditions {
        let action = actions.of(key);
        if action.expect.is_some_and(|before| before != expect) {
            return Merged::Never(action.key.clone());
        }
        action.expect = Some(expect);
    }
    for write in writes {
        match write {
            Write::Delete(key) => actions.of(key).write = Some(Outcome::Gone),
            Write::Put(key, row) => {
                let action = actions.of(key);
                let (puts, base) = match action.write.take() {
                    None => (1, Base::AsItIs),
                    Some(Outcome::Gone) => (1, Base::Fresh),
                    Some(Outcome::Row { puts, base, .. }) => (puts + 1, base),
                };
                action.write = Some(Outcome::Row { row, puts, base });
            }
        }
    }
    Merged::Actions(actions.list)
}

#[derive(Default)]
struct Actions {
    list: Vec<Action>,
    by_key: HashMap<Key, usize>,
}

impl Actions {
    fn of(&mut self, key: Key) -> &mut Action {
        let next = self.list.len();
        let index = *self.by_key.entry(key.clone()).or_insert(next);
        if index == next {
            self.list.push(Action {
                key,
                expect: None,
                write: None,
            });
        }
        &mut self.list[index]
    }
}

impl Action {
    /// For `table`, with the bytes that it writes.
    pub(super) fn item(&self, table: &str) -> Result<(TransactWriteItem, usize)> {
        let key = item::key(APPLY, &self.key)?;
        let mut words = Words::default();
        let condition = self.expect.map(|expect| words.condition(expect));
        let item = TransactWriteItem::builder();
        match &self.write {
            None => {
                let check = ConditionCheck::builder()
                    .table_name(table)
                    .set_key(Some(key))
                    .set_condition_expression(condition)
                    .set_expression_attribute_names(words.names())
                    .set_expression_attribute_values(words.values())
                    .build();
                let check = check.map_err(incomplete)?;
                Ok((item.condition_check(check).build(), 0))
            }
            Some(Outcome::Gone) => {
                let delete = Delete::builder()
                    .table_name(table)
                    .set_key(Some(key))
                    .set_condition_expression(condition)
                    .set_expression_attribute_names(words.names())
                    .set_expression_attribute_values(words.values())
                    .build();
                let delete = delete.map_err(incomplete)?;
                Ok((item.delete(delete).build(), 0))
            }
            Some(Outcome::Row { row, puts, base }) => {
                let (document, bytes) = item::document(&self.key, row)?;
                let put = words.put(document, *puts, *base);
                let update = Update::builder()
                    .table_name(table)
                    .set_key(Some(key))
                    .set_condition_expression(condition)
                    .update_expression(put)
                    .set_expression_attribute_names(words.names())
                    .set_expression_attribute_values(words.values())
                    .build();
                let update = update.map_err(incomplete)?;
                Ok((item.update(update).build(), bytes))
            }
        }
    }
}

/// What the expressions of one action speak of. DynamoDB refuses a word that no expression uses.
#[derive(Default)]
struct Words {
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

impl Words {
    fn name(&mut self, name: &str) {
        self.names.insert(format!("#{name}"), name.to_owned());
    }

    fn value(&mut self, name: &str, value: AttributeValue) {
        self.values.insert(format!(":{name}"), value);
    }

    fn condition(&mut self, expect: Expect) -> String {
        match expect {
            Expect::Absent => "attribute_not_exists(pk)".to_owned(),
            Expect::Version(version) => {
                self.name("version");
                self.value("expected", item::number(version));
                "#version = :expected".to_owned()
            }
        }
    }

    fn put(&mut self, document: AttributeValue, puts: u64, base: Base) -> String {
        for name in ["version", "format", "row"] {
            self.name(name);
        }
        self.value("puts", item::number(puts));
        self.value("format", item::number(format::CURRENT.into()));
        self.value("row", document);
        let version = match base {
            Base::AsItIs => {
                self.value("none", item::number(0));
                "if_not_exists(#version, :none) + :puts"
            }
            Base::Fresh => ":puts",
        };
        format!("SET #version = {version}, #format = :format, #row = :row")
    }

    /// DynamoDB refuses an empty map.
    fn names(&mut self) -> Option<HashMap<String, String>> {
        Some(std::mem::take(&mut self.names)).filter(|names| !names.is_empty())
    }

    fn values(&mut self) -> Option<HashMap<String, AttributeValue>> {
        Some(std::mem::take(&mut self.values)).filter(|values| !values.is_empty())
    }
}

fn incomplete(cause: BuildError) -> Error {
    Error::corrupt(APPLY, cause)
}

#[cfg(test)]
mod tests {
    use ledger::RefRow;

    use super::*;

    fn key(sort: &str) -> Key {
        Key {
            partition: "p".to_owned(),
            sort: sort.to_owned(),
        }
    }

    fn row(at: i64) -> Box<Row> {
        Box::new(Row::Ref(RefRow {
            url: String::new(),
            git_ref: String::new(),
            commit: String::new(),
            at,
        }))
    }

    fn condition(sort: &str, expect: Expect) -> Condition {
        let key = key(sort);
        Condition { key, expect }
    }

    /// `writes`: a number puts it, `-` removes.
    fn check(conditions: Vec<Condition>, writes: &[(&str, &str)], expect: &[&str]) {
        let write = |(sort, what): &(&str, &str)| match what.parse() {
            Ok(number) => Write::Put(key(sort), row(number)),
            Err(_) => Write::Delete(key(sort)),
        };
        let merged = merge(conditions, writes.iter().map(write).collect());
        let seen: Vec<_> = match merged {
            Merged::Never(key) => vec![format!("never {}", key.sort)],
            Merged::Actions(actions) => actions.iter().map(show).collect(),
        };
        assert_eq!(seen, expect);
    }

    fn show(action: &Action) -> String {
        let expect = match action.expect {
            None => String::new(),
            Some(Expect::Absent) => " if absent".to_owned(),
            Some(Expect::Version(version)) => format!(" if {version}"),
        };
        let write = match &action.write {
            None => "check".to_owned(),
            Some(Outcome::Gone) => "delete".to_owned(),
            Some(Outcome::Row { row, puts, base }) => {
                let Row::Ref(row) = &**row else {
                    panic!("another row")
                };
                format!("{base:?}+{puts} put {}", row.at)
            }
        };
        format!("{}: {write}{expect}", action.key.sort)
    }

    #[test]
    fn one_action_for_each_row() {
        let version = Expect::Version;
        check(vec![], &[], &[]);
        check(
            vec![condition("a", version(3)), condition("b", Expect::Absent)],
            &[("c", "1"), ("a", "2")],
            &[
                "a: AsItIs+1 put 2 if 3",
                "b: check if absent",
                "c: AsItIs+1 put 1",
            ],
        );
        check(
            vec![condition("a", version(3))],
            &[("a", "-")],
            &["a: delete if 3"],
        );
        check(
            vec![condition("a", version(3)), condition("a", version(3))],
            &[],
            &["a: check if 3"],
        );
        check(
            vec![condition("a", version(3)), condition("a", Expect::Absent)],
            &[("b", "1")],
            &["never a"],
        );
    }

    #[test]
    fn writes_of_one_row_follow_each_other() {
        check(vec![], &[("a", "1"), ("a", "2")], &["a: AsItIs+2 put 2"]);
        check(vec![], &[("a", "1"), ("a", "-")], &["a: delete"]);
        check(vec![], &[("a", "-"), ("a", "1")], &["a: Fresh+1 put 1"]);
        check(
            vec![],
            &[("a", "1"), ("a", "-"), ("a", "2"), ("a", "3")],
            &["a: Fresh+2 put 3"],
        );
    }
}
