//! From a YAML tree to typed values. A decoder that returns `None` has said why in the report.

use std::collections::{BTreeMap, BTreeSet};

use super::report::{Finding, Report, Span};
use super::yaml::{Key, Node, Style, Value};
use crate::diagnostic::Code;
use crate::limits::MAX_ENTRIES;
use crate::suggest;
use crate::visible::shorten;

/// A type of the language.
pub(crate) trait Decode: Sized {
    /// Reads a value. On `None` the report has the reason.
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self>;
}

/// A type that is written as one scalar.
pub(crate) trait DecodeScalar: Sized + Ord {
    fn decode_scalar(scalar: Scalar<'_>, report: &mut Report<'_>) -> Option<Self>;
}

/// A scalar on its own or as the key of a mapping.
#[derive(Clone, Copy)]
pub(crate) struct Scalar<'n> {
    pub(crate) text: &'n str,
    pub(crate) style: Style,
    pub(crate) span: Span,
}

impl<'n> From<&'n Key> for Scalar<'n> {
    fn from(key: &'n Key) -> Self {
        Self {
            text: &key.text,
            style: key.style,
            span: key.span,
        }
    }
}

/// What a value is, as a person would say it.
pub(crate) fn describe(node: &Node) -> &'static str {
    match &node.value {
        Value::List(_) => "a list",
        Value::Map(_) => "a mapping",
        Value::Scalar {
            style: Style::Plain,
            text,
        } if super::scalar::is_null(text) => "nothing",
        Value::Scalar { .. } => "a single value",
        Value::Refused => "something else",
    }
}

fn wrong_type(node: &Node, wanted: &str, help: &str, report: &mut Report<'_>) {
    if !matches!(node.value, Value::Refused) {
        let message = format!("{wanted} belongs here; this is {}", describe(node));
        report.error(node.span, Finding::new(Code::WrongType, message, help));
    }
}

/// The scalar of a node, for those who need `wanted` ("a platform name").
pub(crate) fn scalar<'n>(
    node: &'n Node,
    wanted: &str,
    report: &mut Report<'_>,
) -> Option<Scalar<'n>> {
    match &node.value {
        Value::Scalar { text, style } => Some(Scalar {
            text,
            style: *style,
            span: node.span,
        }),
        _ => {
            wrong_type(node, wanted, "write one value after the colon", report);
            None
        }
    }
}

/// The entries of a list; `help` shows how such a list is written.
fn items<'n>(node: &'n Node, report: &mut Report<'_>) -> Option<&'n [Node]> {
    match &node.value {
        Value::List(items) if items.len() > MAX_ENTRIES => {
            too_many(node.span, items.len(), report);
            None
        }
        Value::List(items) => Some(items),
        Value::Scalar { text, .. } if !text.is_empty() => {
            let help = format!("write it in brackets: `[{}]`", shorten(text));
            wrong_type(node, "a list", &help, report);
            None
        }
        _ => {
            wrong_type(
                node,
                "a list",
                "write the entries in brackets: `[one, two]`",
                report,
            );
            None
        }
    }
}

fn too_many(span: Span, count: usize, report: &mut Report<'_>) {
    let message = format!("{count} entries are more than the limit of {MAX_ENTRIES}");
    report.error(
        span,
        Finding::new(Code::TooLarge, message, "split the file into several"),
    );
}

impl<T: Decode> Decode for Vec<T> {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let items = items(node, report)?;
        let decoded: Vec<Option<T>> = items.iter().map(|item| T::decode(item, report)).collect();
        decoded.into_iter().collect()
    }
}

impl<T: DecodeScalar + Decode> Decode for BTreeSet<T> {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        Unique::<T>::decode(node, report).map(|unique| unique.0.into_iter().collect())
    }
}

/// A list whose entries differ from each other; a second one of the same text is reported.
pub(crate) struct Unique<T>(pub(crate) Vec<T>);

impl<T: Decode> Decode for Unique<T> {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let nodes = items(node, report)?;
        let list = Vec::<T>::decode(node, report)?;
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        let mut unique = true;
        for item in nodes {
            let Value::Scalar { text, .. } = &item.value else {
                continue;
            };
            if let Some(first) = seen.insert(text, item.span.start) {
                let line = report.line_of(first);
                let message = format!(
                    "`{}` is in the list twice; the first is on line {line}",
                    shorten(text)
                );
                report.error(
                    item.span,
                    Finding::new(Code::DuplicateEntry, message, "remove one"),
                );
                unique = false;
            }
        }
        unique.then_some(Self(list))
    }
}

/// Like [`Unique`], with at least one entry.
pub(crate) struct NonEmpty<T>(pub(crate) Vec<T>);

impl<T: Decode> Decode for NonEmpty<T> {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let Unique(list) = Unique::<T>::decode(node, report)?;
        if list.is_empty() {
            let help = "write at least one entry, or remove the line if the field may be left out";
            report.error(
                node.span,
                Finding::new(Code::OutOfRange, "the list is empty", help),
            );
            return None;
        }
        Some(Self(list))
    }
}

impl<K: DecodeScalar, V: Decode> Decode for BTreeMap<K, V> {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let entries = match &node.value {
            Value::Map(entries) if entries.len() > MAX_ENTRIES => {
                too_many(node.span, entries.len(), report);
                return None;
            }
            Value::Map(entries) => entries,
            _ => {
                let help = "write `name: value`, one to a line, indented below the field";
                wrong_type(node, "a mapping", help, report);
                return None;
            }
        };
        let decoded: Vec<Option<(K, V)>> = entries
            .iter()
            .map(|(key, value)| {
                let key = K::decode_scalar(key.into(), report);
                let value = V::decode(value, report);
                Some((key?, value?))
            })
            .collect();
        decoded.into_iter().collect()
    }
}

/// Reports the entries that are not among `known`. Returns the fields that they surely mean.
fn unknown_fields(
    entries: &[(Key, Node)],
    what: &str,
    known: &'static [&'static str],
    report: &mut Report<'_>,
) -> Vec<&'static str> {
    let present: BTreeSet<&str> = entries.iter().map(|(key, _)| key.text.as_str()).collect();
    let absent: Vec<&'static str> = known
        .iter()
        .copied()
        .filter(|name| !present.contains(name))
        .collect();
    let mut meant = Vec::new();
    for (key, _) in entries
        .iter()
        .filter(|(key, _)| !known.contains(&key.text.as_str()))
    {
        if report.is_full() {
            break;
        }
        let message = format!("{what} has no field `{}`", shorten(&key.text));
        let near = suggest::nearest(&key.text, absent.iter().copied());
        let help = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("its fields are: {}", suggest::list(known)),
        };
        meant.extend(absent.iter().find(|name| Some(**name) == near));
        report.error(key.span, Finding::new(Code::UnknownField, message, help));
    }
    meant
}

/// The fields of a mapping with a fixed set of names.
pub(crate) struct Fields<'n> {
    span: Span,
    entries: &'n [(Key, Node)],
    /// Fields that are surely meant by an unknown one; their absence is not reported again.
    meant: Vec<&'static str>,
    what: &'static str,
}

impl<'n> Fields<'n> {
    /// Opens a mapping; reports fields that are not `known`. `what` is the thing with its article:
    /// "a build request".
    pub(crate) fn open(
        node: &'n Node,
        what: &'static str,
        known: &'static [&'static str],
        report: &mut Report<'_>,
    ) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            let help = format!(
                "write its fields as `name: value`: {}",
                suggest::list(known)
            );
            wrong_type(node, what, &help, report);
            return None;
        };
        let meant = unknown_fields(entries, what, known, report);
        // A mapping begins where its first key does; the mark on that key is what people see.
        let span = entries.first().map_or(node.span, |(key, _)| key.span);
        Some(Self {
            span,
            entries,
            meant,
            what,
        })
    }

    /// Where the mapping begins: the place of what concerns all of it.
    pub(crate) fn span(&self) -> Span {
        self.span
    }

    /// The value of a field, if it is written.
    pub(crate) fn get(&self, name: &str) -> Option<&'n Node> {
        self.entries
            .iter()
            .find(|(key, _)| key.text == name)
            .map(|(_, value)| value)
    }

    /// Where a field's name stands.
    pub(crate) fn key_span(&self, name: &str) -> Option<Span> {
        self.entries
            .iter()
            .find(|(key, _)| key.text == name)
            .map(|(key, _)| key.span)
    }

    /// A field that must be there. `example` is what to write.
    pub(crate) fn required<T: Decode>(
        &self,
        name: &'static str,
        example: &str,
        report: &mut Report<'_>,
    ) -> Option<T> {
        match self.get(name) {
            Some(node) => self.value(name, node, report),
            None => {
                if !self.meant.contains(&name) {
                    let message = format!("{} needs the field `{name}`", self.what);
                    let help = format!("add `{example}`");
                    report.error(self.span, Finding::new(Code::MissingField, message, help));
                }
                None
            }
        }
    }

    /// A field that may be left out: `Some(None)` when it is, `None` when it is wrong.
    #[expect(
        clippy::option_option,
        reason = "the outer one is `reported`, the inner one `absent`"
    )]
    pub(crate) fn optional<T: Decode>(
        &self,
        name: &'static str,
        report: &mut Report<'_>,
    ) -> Option<Option<T>> {
        match self.get(name) {
            Some(node) => self.value(name, node, report).map(Some),
            None => Some(None),
        }
    }

    /// A field with a default: `None` only when it is wrong.
    pub(crate) fn or_default<T: Decode + Default>(
        &self,
        name: &'static str,
        report: &mut Report<'_>,
    ) -> Option<T> {
        self.optional(name, report).map(Option::unwrap_or_default)
    }

    fn value<T: Decode>(
        &self,
        name: &'static str,
        node: &Node,
        report: &mut Report<'_>,
    ) -> Option<T> {
        if let Value::Scalar {
            text,
            style: Style::Plain,
        } = &node.value
            && super::scalar::is_null(text)
        {
            let span = self.key_span(name).unwrap_or(node.span);
            let message = format!("`{name}` has no value");
            let help = "write a value after the colon, or remove the line";
            report.error(span, Finding::new(Code::MissingField, message, help));
            return None;
        }
        T::decode(node, report)
    }
}
