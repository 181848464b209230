//! A YAML document as a tree that knows where each key and value stands and how it was written.
//!
//! The language is the plain part of YAML 1.2: mappings, lists and scalars. Anchors, aliases, merge
//! keys, tags and directives are refused: a reviewer should not have to expand a file in the head,
//! and what cannot expand cannot explode. serde-saphyr's event parser does the reading.

use std::collections::{BTreeSet, HashMap};

use serde_saphyr::granit_parser::{self, Event, Parser, ScalarStyle, ScanError};

use super::report::{Finding, Report, Span};
use super::syntax;
use crate::diagnostic::Code;
use crate::limits::{MAX_DEPTH, MAX_NODES};

/// A value and where it stands.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) value: Value,
}

#[derive(Debug)]
pub(crate) enum Value {
    Scalar {
        text: String,
        style: Style,
    },
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
    /// Something that was refused and reported. Decoders pass over it in silence.
    Refused,
}

/// Whether quotes say that a scalar is text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Quoted,
}

/// The key of a mapping's entry.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) text: String,
    pub(crate) style: Style,
    pub(crate) span: Span,
}

impl Node {
    /// The entry of a mapping, by key.
    pub(crate) fn entry(&self, key: &str) -> Option<&(Key, Node)> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(k, _)| k.text == key),
            _ => None,
        }
    }
}

/// Reads the one document of the file. `None` when nothing useful came out; then the report says why.
pub(crate) fn parse(report: &mut Report<'_>) -> Option<Node> {
    let options = granit_parser::options! {
        disallow_directives: true,
        emit_unresolved_aliases: true,
        emit_comments: false,
        // The tree has its own, tighter limit with its own message.
        flow_nesting_limit: MAX_DEPTH + 1,
        block_nesting_limit: MAX_DEPTH + 1,
    };
    let text = report.text();
    let mut builder = Builder {
        events: Parser::new_from_str_with_options(text, options),
        nodes: 0,
        unsupported: BTreeSet::new(),
        report,
    };
    match builder.document() {
        Ok(node) => node,
        Err(Stop::Reported) => None,
        Err(Stop::Scan(error)) => {
            let (span, finding) = syntax::explain(&error, text);
            report.error(span, finding);
            None
        }
    }
}

enum Stop {
    Reported,
    Scan(ScanError),
}

struct Builder<'r, 't, P> {
    events: P,
    nodes: usize,
    /// What was refused already.
    unsupported: BTreeSet<&'static str>,
    report: &'r mut Report<'t>,
}

type Item<'t> = Result<(Event<'t>, granit_parser::Span), ScanError>;

impl<'t, P: Iterator<Item = Item<'t>>> Builder<'_, 't, P> {
    fn next(&mut self) -> Result<(Event<'t>, Span), Stop> {
        match self.events.next() {
            Some(Ok((event, span))) => Ok((event, span_of(span, self.report.text().len()))),
            Some(Err(error)) => Err(Stop::Scan(error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn document(&mut self) -> Result<Option<Node>, Stop> {
        let mut root: Option<Node> = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentEnd => {}
                Event::StreamEnd => break,
                Event::DocumentStart(..) if root.is_none() => {
                    let (event, span) = self.next()?;
                    root = Some(self.node(event, span, 1)?);
                }
                Event::DocumentStart(..) => {
                    self.report.error(span, Finding::new(
                        Code::SeveralDocuments,
                        "a second document begins here",
                        "write one document per file: remove `---` and what follows, or move it to its own file",
                    ));
                    return Err(Stop::Reported);
                }
                _ => {}
            }
        }
        Ok(root)
    }

    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Node, Stop> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return self.too_large(
                span,
                Code::TooLarge,
                format!("the file has more than {MAX_NODES} values"),
            );
        }
        if depth > MAX_DEPTH {
            return self.too_large(span, Code::TooDeep, too_deep());
        }
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                let style = if plain { Style::Plain } else { Style::Quoted };
                let text = text.into_owned();
                let value = Value::Scalar { text, style };
                Ok(self.untagged(Node { span, value }, anchor, tag.is_some()))
            }
            Event::SequenceStart(_, anchor, tag) => {
                let node = self.list(span, depth)?;
                Ok(self.untagged(node, anchor, tag.is_some()))
            }
            Event::MappingStart(_, anchor, tag) => {
                let node = self.map(span, depth)?;
                Ok(self.untagged(node, anchor, tag.is_some()))
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                Ok(self.unsupported(span, "an alias (`*`)"))
            }
            _ => Ok(Node {
                span,
                value: Value::Refused,
            }),
        }
    }

    fn untagged(&mut self, node: Node, anchor: usize, tagged: bool) -> Node {
        match (anchor, tagged) {
            (0, false) => node,
            (0, true) => self.unsupported(self.mark_before(node.span, '!'), "a tag (`!`)"),
            _ => self.unsupported(self.mark_before(node.span, '&'), "an anchor (`&`)"),
        }
    }

    /// A node's place does not include its anchor or tag, which stands before it.
    fn mark_before(&self, span: Span, mark: char) -> Span {
        let before = &self.report.text()[..span.start];
        match before.rfind(mark) {
            Some(at) => Span::new(at, at + before[at..].find([' ', '\n', '\t']).unwrap_or(1)),
            None => span,
        }
    }

    fn list(&mut self, start: Span, depth: usize) -> Result<Node, Stop> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd | Event::StreamEnd) {
                let span = Span::new(start.start, span.end.max(start.end));
                return Ok(Node {
                    span,
                    value: Value::List(items),
                });
            }
            items.push(self.node(event, span, depth + 1)?);
        }
    }

    fn map(&mut self, start: Span, depth: usize) -> Result<Node, Stop> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        let mut seen: HashMap<String, usize> = HashMap::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd | Event::StreamEnd) {
                let span = Span::new(start.start, span.end.max(start.end));
                return Ok(Node {
                    span,
                    value: Value::Map(entries),
                });
            }
            let key = self.node(event, span, depth + 1)?;
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            let Some(key) = self.key(key) else { continue };
            if let Some(first) = seen.insert(key.text.clone(), key.span.start) {
                let line = self.report.line_of(first);
                self.report.error(
                    key.span,
                    Finding::new(
                        Code::DuplicateKey,
                        format!(
                            "`{}` stands here a second time; the first is on line {line}",
                            crate::visible::shorten(&key.text)
                        ),
                        "keep one of the two",
                    ),
                );
                continue;
            }
            entries.push((key, value));
        }
    }

    fn key(&mut self, node: Node) -> Option<Key> {
        match node.value {
            Value::Scalar {
                text,
                style: Style::Plain,
            } if text == "<<" => {
                self.unsupported(node.span, "a merge key (`<<`)");
                None
            }
            Value::Scalar { text, style } => Some(Key {
                text,
                style,
                span: node.span,
            }),
            Value::Refused => None,
            Value::List(_) | Value::Map(_) => {
                self.report.error(
                    node.span,
                    Finding::new(
                        Code::WrongType,
                        "a list or mapping cannot be a key",
                        "write a name before the colon; a value with braces needs quotes",
                    ),
                );
                None
            }
        }
    }

    /// Reports the first of its kind: a file that uses anchors uses many.
    fn unsupported(&mut self, span: Span, what: &'static str) -> Node {
        if self.unsupported.insert(what) {
            let help = "write the value out; if it is meant as text, put it in quotes";
            let message = format!("{what} is not part of this language");
            let finding = Finding::new(Code::UnsupportedYaml, message, help);
            self.report.error(span, finding);
        }
        Node {
            span,
            value: Value::Refused,
        }
    }

    fn too_large(&mut self, span: Span, code: Code, message: String) -> Result<Node, Stop> {
        self.report.error(
            span,
            Finding::new(code, message, "make the file smaller and flatter"),
        );
        Err(Stop::Reported)
    }
}

pub(super) fn too_deep() -> String {
    format!("the file is nested deeper than {MAX_DEPTH} levels")
}

fn span_of(span: granit_parser::Span, length: usize) -> Span {
    match span.byte_range() {
        Some(range) => Span::new(range.start.min(length), range.end.min(length)),
        None => Span::default(),
    }
}
