//! Finds the place of a value in a file, so that a finding about a typed value can point at it.

use crate::diagnostic::{Code, Diagnostic};
use crate::read::report::{Finding, Report, Span};
use crate::read::yaml::{self, Node, Value};
use crate::suggest;

/// One step down into a file.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step<'a> {
    /// The value of a field or of a mapping's entry.
    Field(&'a str),
    /// The name of a field or entry: the mark goes on the key.
    Key(&'a str),
    /// An entry of a list, from 0.
    Item(usize),
}

/// A file that was read, for findings about it.
pub(crate) struct File<'a> {
    report: Report<'a>,
    tree: Option<Node>,
}

impl<'a> File<'a> {
    /// A file whose text has been decoded before. The tree is made when the first finding needs it.
    pub(crate) fn new(path: &'a str, text: &'a str) -> Self {
        Self {
            report: Report::new(path, text),
            tree: None,
        }
    }

    pub(crate) fn error(&mut self, steps: &[Step<'_>], finding: Finding) {
        let span = self.span(steps);
        self.report.error(span, finding);
    }

    pub(crate) fn warning(&mut self, steps: &[Step<'_>], finding: Finding) {
        let span = self.span(steps);
        self.report.warning(span, finding);
    }

    pub(crate) fn note(&mut self, steps: &[Step<'_>], finding: Finding) {
        let span = self.span(steps);
        self.report.note(span, finding);
    }

    /// Reports a name that is not among `known`, unless it is. Says whether it is.
    pub(crate) fn known<'k>(
        &mut self,
        steps: &[Step<'_>],
        name: &str,
        known: impl IntoIterator<Item = &'k str> + Clone,
        what: &Noun,
    ) -> bool {
        let found = known.clone().into_iter().any(|k| k == name);
        if !found && !self.is_full() {
            let message = format!("there is no {} `{name}`", what.one);
            let help = suggest::help(name, known, what.many);
            self.error(steps, Finding::new(what.code, message, help));
        }
        found
    }

    /// Whether further findings are dropped: loops that search for suggestions end then.
    pub(crate) fn is_full(&self) -> bool {
        self.report.is_full()
    }

    pub(crate) fn finish(self) -> Vec<Diagnostic> {
        self.report.finish()
    }

    fn span(&mut self, steps: &[Step<'_>]) -> Span {
        if self.tree.is_none() {
            self.tree = yaml::parse(&mut self.report);
        }
        self.tree
            .as_ref()
            .map(|tree| locate(tree, steps))
            .unwrap_or_default()
    }
}

/// A kind of thing that files refer to by name.
pub(crate) struct Noun {
    pub(crate) one: &'static str,
    pub(crate) many: &'static str,
    pub(crate) code: Code,
}

pub(crate) const PLATFORM: Noun = Noun {
    one: "platform",
    many: "platforms",
    code: Code::UnknownPlatform,
};
pub(crate) const REPOSITORY: Noun = Noun {
    one: "repository",
    many: "repositories",
    code: Code::UnknownRepository,
};
pub(crate) const FLAVOR: Noun = Noun {
    one: "flavor",
    many: "flavors",
    code: Code::UnknownFlavor,
};
pub(crate) const PERSON: Noun = Noun {
    one: "person",
    many: "people with a key in keys/people/",
    code: Code::UnknownPerson,
};
pub(crate) const KEY: Noun = Noun {
    one: "key",
    many: "keys",
    code: Code::UnknownKey,
};

/// The place that the steps lead to; as near as possible when they lead nowhere.
fn locate(root: &Node, steps: &[Step<'_>]) -> Span {
    let mut node = root;
    let mut span = begin(root);
    for step in steps {
        let (found, next) = match (step, &node.value) {
            (Step::Field(name), _) => match node.entry(name) {
                Some((_, value)) => (begin(value), value),
                None => return span,
            },
            (Step::Key(name), _) => match node.entry(name) {
                Some((key, value)) => (key.span, value),
                None => return span,
            },
            (Step::Item(index), Value::List(items)) => match items.get(*index) {
                Some(item) => (begin(item), item),
                None => return span,
            },
            (Step::Item(_), _) => return span,
        };
        (span, node) = (found, next);
    }
    span
}

/// A mapping is marked at its first key: a mark over all its lines shows nothing.
fn begin(node: &Node) -> Span {
    match &node.value {
        Value::Map(entries) => entries.first().map_or(node.span, |(key, _)| key.span),
        _ => node.span,
    }
}
