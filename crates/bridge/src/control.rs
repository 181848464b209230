//! Debian control data: stanzas and relations (Debian Policy 5.1, 7.1), as far as binary packages use them.

use std::collections::BTreeMap;

use crate::Error;

/// One paragraph: field name in lower case to value, continuation lines joined by `\n`.
#[derive(Debug, Default, Clone)]
pub(crate) struct Stanza(BTreeMap<String, String>);

impl Stanza {
    /// The value of `field` (lower case); empty if the field is not there.
    pub(crate) fn get(&self, field: &str) -> &str {
        self.0.get(field).map_or("", String::as_str)
    }

    /// The value of a field that every package has.
    pub(crate) fn need(&self, field: &str) -> Result<&str, Error> {
        match self.0.get(field) {
            Some(value) if !value.is_empty() => Ok(value),
            _ => Err(Error::malformed(
                format!("the record of package `{}`", self.get("package")),
                format!("it has no field `{field}`"),
            )),
        }
    }

    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Reads paragraphs. Lines that are no field are skipped: the files come from apt and dpkg, which wrote or checked them.
pub(crate) fn stanzas(text: &str) -> Vec<Stanza> {
    let mut all = Vec::new();
    let mut current = Stanza::default();
    let mut field = String::new();
    for line in text.lines().chain([""]) {
        if line.trim().is_empty() {
            if !current.0.is_empty() {
                all.push(std::mem::take(&mut current));
            }
        } else if line.starts_with('#') {
        } else if line.starts_with([' ', '\t']) {
            if let Some(value) = current.0.get_mut(&field) {
                value.push('\n');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            field = name.trim().to_ascii_lowercase();
            current.0.insert(field.clone(), value.trim().to_owned());
        }
    }
    all
}

/// `name`, or `name (op version)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Relation {
    pub(crate) name: String,
    pub(crate) version: Option<(Op, String)>,
}

/// The comparison of a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub(crate) enum Op {
    Less,
    LessEqual,
    Equal,
    GreaterEqual,
    Greater,
}

impl Op {
    /// As RPM writes it.
    pub(crate) fn rpm(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Equal => "=",
            Self::GreaterEqual => ">=",
            Self::Greater => ">",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text {
            "<<" => Some(Self::Less),
            "<=" | "<" => Some(Self::LessEqual),
            "=" => Some(Self::Equal),
            ">=" | ">" => Some(Self::GreaterEqual),
            ">>" => Some(Self::Greater),
            _ => None,
        }
    }
}

/// A field such as Depends: all of the outer list, one of each inner list. Architecture qualifiers (`:any`) are dropped:
/// the bridge has one architecture.
pub(crate) fn relations(field: &str) -> Result<Vec<Vec<Relation>>, Error> {
    field
        .split(',')
        .map(str::trim)
        .filter(|clause| !clause.is_empty())
        .map(|clause| clause.split('|').map(relation).collect())
        .collect()
}

fn relation(text: &str) -> Result<Relation, Error> {
    let bad = || {
        Error::malformed(
            format!("the relation `{}`", text.trim()),
            "it is not `name (op version)`",
        )
    };
    let (name, rest) = match text.split_once('(') {
        Some((name, rest)) => (name, Some(rest)),
        None => (text, None),
    };
    let name = name.trim();
    let name = name.split_once(':').map_or(name, |(name, _)| name);
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(bad());
    }
    let version = match rest {
        None => None,
        Some(rest) => {
            let inner = rest.trim().strip_suffix(')').ok_or_else(bad)?.trim();
            let end = inner
                .find(|c| !matches!(c, '<' | '>' | '='))
                .ok_or_else(bad)?;
            let (op, version) = inner.split_at(end);
            Some((Op::parse(op).ok_or_else(bad)?, version.trim().to_owned()))
        }
    };
    Ok(Relation {
        name: name.to_owned(),
        version,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(field: &str) -> String {
        let clause = |any: &Vec<Relation>| {
            any.iter()
                .map(|r| match &r.version {
                    Some((op, version)) => format!("{} {} {version}", r.name, op.rpm()),
                    None => r.name.clone(),
                })
                .collect::<Vec<_>>()
                .join(" | ")
        };
        match relations(field) {
            Ok(all) => all.iter().map(clause).collect::<Vec<_>>().join(", "),
            Err(error) => format!("failed to {error}"),
        }
    }

    #[test]
    fn relations_of_the_field() {
        let check = |field: &str, expect: &str| assert_eq!(shown(field), expect, "{field}");
        check("", "");
        check(
            "libc6 (>= 2.34), zlib1g (>= 1:1.1.4)",
            "libc6 >= 2.34, zlib1g >= 1:1.1.4",
        );
        check(
            "debconf (>= 0.5) | debconf-2.0",
            "debconf >= 0.5 | debconf-2.0",
        );
        check("python3:any (<< 3.12)", "python3 < 3.12");
        check("a (= 1) , b(>>2),", "a = 1, b > 2");
        check(
            "a (1)",
            "failed to read the relation `a (1)`: it is not `name (op version)`",
        );
        check(
            "a (>= 1",
            "failed to read the relation `a (>= 1`: it is not `name (op version)`",
        );
        check(
            "a, | b",
            "failed to read the relation ``: it is not `name (op version)`",
        );
    }

    #[test]
    fn paragraphs() {
        let all = stanzas("Package: a\nDescription: one\n two\n # three\n\n\n# note\nPackage: b\n");
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].get("description"), "one\ntwo\n# three");
        assert_eq!(all[1].get("package"), "b");
    }
}
