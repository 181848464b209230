//! Paragraphs of `Field: value` lines, the syntax of every Debian control file (deb822(5)).
//!
//! Callers: the readers of `.deb`, `.dsc`, `.changes`, `.buildinfo`, `Release` and the indexes, and whoever needs
//! `debian/control`. The reader is stricter than dpkg and apt on purpose: where those two read the same bytes
//! differently (a line of blanks, a field given twice), a file is refused instead of guessed at. What was read is
//! written back byte for byte, comments aside.
//!
//! The caller bounds the input; memory used is a small multiple of it.

use std::fmt;

/// Fields one paragraph may have. The richest real ones (`.buildinfo`) have about twenty.
pub const MAX_FIELDS: usize = 1_000;

/// Which files are being read: people's or machines'.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Written by tools: no comments, and a line of blanks is an error.
    Machine,
    /// `debian/control` in a source tree: `#` lines are comments, a line of blanks ends a paragraph.
    Person,
}

/// What is wrong with a control file, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct Error {
    /// Line number, from 1.
    pub line: usize,
    /// The cause and, where there is one, the fix.
    pub problem: Problem,
}

/// The kinds of mistakes a control file can hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The bytes are not UTF-8, which Debian Policy 5.1 requires.
    #[error("this is not UTF-8; convert the file to UTF-8")]
    NotUtf8,
    /// A byte below space other than tab and newline.
    #[error("there is a control character (byte {0}); remove it")]
    ControlCharacter(u32),
    /// A line with neither a colon nor a leading blank.
    #[error("expected `Field: value`, found no colon")]
    NoColon,
    /// A field name with a blank, a non-ASCII letter, or a leading `-` or `#`.
    #[error("`{0}` is not a field name")]
    FieldName(String),
    /// The same field twice in a paragraph, in any mix of cases.
    #[error("field `{0}` is given twice in one paragraph")]
    Duplicate(String),
    /// An indented line with no field above it.
    #[error("an indented line continues a field, but there is no field above it")]
    Orphan,
    /// A line made of blanks only, which readers take for different things.
    #[error("this line has only blanks; write ` .` for an empty line inside a field")]
    BlankLine,
    /// More fields than [`MAX_FIELDS`].
    #[error("the paragraph has more than {MAX_FIELDS} fields")]
    TooManyFields,
    /// A file of one paragraph had none, or several.
    #[error("expected one paragraph, found {0}")]
    NotOneParagraph(&'static str),
    /// A field this kind of file must have.
    #[error("field `{0}` is missing")]
    Missing(&'static str),
    /// A field whose value cannot be understood.
    #[error("field `{field}`: {cause}")]
    Value {
        /// The field's name.
        field: String,
        /// What is wrong with its value.
        cause: String,
    },
}

impl Problem {
    pub(crate) fn at(self, line: usize) -> Error {
        Error {
            line,
            problem: self,
        }
    }
}

/// One field as it stands in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The name as written. Names compare without regard to ASCII case.
    pub name: String,
    /// The first line trimmed, and continuation lines each after a `\n` with their leading blank kept.
    pub value: String,
    /// The line the field starts on, from 1; 0 for a field made by a program.
    pub line: usize,
}

/// A paragraph (dpkg says stanza): fields in the order of the file, each name at most once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Paragraph {
    fields: Vec<Field>,
}

impl Paragraph {
    /// An empty paragraph, to be filled with [`Paragraph::set`].
    pub fn new() -> Self {
        Self::default()
    }

    /// The fields in order.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The value of a field, with its continuation lines as in [`Field::value`].
    pub fn get(&self, name: &str) -> Option<&str> {
        self.field(name).map(|field| field.value.as_str())
    }

    /// A field by name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields
            .iter()
            .find(|field| field.name.eq_ignore_ascii_case(name))
    }

    /// The value of a field that must be there and not be empty.
    ///
    /// # Errors
    /// [`Problem::Missing`], on the line of the paragraph's first field.
    pub fn require(&self, name: &'static str) -> Result<&str, Error> {
        self.get(name)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| Problem::Missing(name).at(self.line()))
    }

    /// The line of the first field, from 1.
    pub fn line(&self) -> usize {
        self.fields.first().map_or(1, |field| field.line)
    }

    /// Replaces a field's value in its place, or appends the field.
    ///
    /// The value is the program's own: continuation lines must start with a blank, which debug builds assert.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        debug_assert!(
            value.split('\n').skip(1).all(is_continuation),
            "continuation lines start with a blank and hold more than blanks"
        );
        match self
            .fields
            .iter_mut()
            .find(|field| field.name.eq_ignore_ascii_case(name))
        {
            Some(field) => field.value = value,
            None => self.fields.push(Field {
                name: name.to_owned(),
                value,
                line: 0,
            }),
        }
    }

    /// Removes a field and says what it held.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        let at = self
            .fields
            .iter()
            .position(|field| field.name.eq_ignore_ascii_case(name))?;
        Some(self.fields.remove(at).value)
    }

    /// Moves a field to the front, renamed. Does nothing if it is absent.
    pub(crate) fn lead_with(&mut self, name: &str, new_name: &str) {
        if let Some(value) = self.remove(name) {
            self.fields.insert(
                0,
                Field {
                    name: new_name.to_owned(),
                    value,
                    line: 0,
                },
            );
        }
    }

    /// An error about the value of `field`, on that field's line.
    pub(crate) fn value_error(&self, field: &str, cause: impl fmt::Display) -> Error {
        let line = self
            .field(field)
            .map_or_else(|| self.line(), |field| field.line);
        Problem::Value {
            field: field.to_owned(),
            cause: cause.to_string(),
        }
        .at(line)
    }
}

impl fmt::Display for Paragraph {
    /// The paragraph's lines, each ended by `\n`, without the empty line that separates paragraphs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Field { name, value, .. } in &self.fields {
            match value.chars().next() {
                None | Some('\n') => writeln!(f, "{name}:{value}")?,
                Some(_) => writeln!(f, "{name}: {value}")?,
            }
        }
        Ok(())
    }
}

/// Reads all paragraphs of a file.
///
/// # Errors
/// The first mistake, with its line.
pub fn parse(bytes: &[u8], dialect: Dialect) -> Result<Vec<Paragraph>, Error> {
    Paragraphs::new(bytes, dialect)?.collect()
}

/// Reads a file that holds exactly one paragraph.
///
/// # Errors
/// The first mistake, with its line; no paragraph or a second one is a mistake too.
pub fn parse_one(bytes: &[u8], dialect: Dialect) -> Result<Paragraph, Error> {
    let mut paragraphs = Paragraphs::new(bytes, dialect)?;
    let first = paragraphs
        .next()
        .unwrap_or_else(|| Err(Problem::NotOneParagraph("none").at(1)))?;
    match paragraphs.next() {
        None => Ok(first),
        Some(Err(error)) => Err(error),
        Some(Ok(second)) => Err(Problem::NotOneParagraph("more").at(second.line())),
    }
}

/// Paragraphs of a file one after the other, for indexes too long to hold parsed.
#[derive(Debug)]
pub struct Paragraphs<'a> {
    rest: &'a str,
    line: usize,
    dialect: Dialect,
    failed: bool,
}

impl<'a> Paragraphs<'a> {
    /// Starts reading at the file's first line.
    ///
    /// # Errors
    /// [`Problem::NotUtf8`], with the line of the first such byte.
    pub fn new(bytes: &'a [u8], dialect: Dialect) -> Result<Self, Error> {
        let rest = std::str::from_utf8(bytes).map_err(|error| {
            let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
            Problem::NotUtf8.at(1 + good.iter().filter(|&&byte| byte == b'\n').count())
        })?;
        Ok(Self {
            rest,
            line: 0,
            dialect,
            failed: false,
        })
    }

    fn next_line(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        self.line += 1;
        let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        self.rest = rest;
        Some(line)
    }

    fn next_paragraph(&mut self) -> Result<Option<Paragraph>, Error> {
        let mut paragraph = Paragraph::new();
        while let Some(line) = self.next_line() {
            match classify(line, self.dialect).map_err(|problem| problem.at(self.line))? {
                Line::Comment => {}
                Line::Separator if paragraph.fields.is_empty() => {}
                Line::Separator => break,
                Line::Continuation => {
                    let Some(field) = paragraph.fields.last_mut() else {
                        return Err(Problem::Orphan.at(self.line));
                    };
                    field.value.push('\n');
                    field.value.push_str(line.trim_ascii_end());
                }
                Line::Field(name, value) => {
                    if paragraph.field(name).is_some() {
                        return Err(Problem::Duplicate(name.to_owned()).at(self.line));
                    }
                    if paragraph.fields.len() == MAX_FIELDS {
                        return Err(Problem::TooManyFields.at(self.line));
                    }
                    paragraph.fields.push(Field {
                        name: name.to_owned(),
                        value: value.trim_ascii().to_owned(),
                        line: self.line,
                    });
                }
            }
        }
        Ok(Some(paragraph).filter(|paragraph| !paragraph.fields.is_empty()))
    }
}

impl Iterator for Paragraphs<'_> {
    type Item = Result<Paragraph, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let item = self.next_paragraph();
        self.failed = item.is_err();
        item.transpose()
    }
}

enum Line<'a> {
    Comment,
    Separator,
    Continuation,
    Field(&'a str, &'a str),
}

fn classify(line: &str, dialect: Dialect) -> Result<Line<'_>, Problem> {
    if let Some(c) = line.chars().find(|&c| c.is_control() && c != '\t') {
        return Err(Problem::ControlCharacter(c as u32));
    }
    match (line.bytes().next(), dialect) {
        (None, _) => return Ok(Line::Separator),
        (Some(b'#'), Dialect::Person) => return Ok(Line::Comment),
        (Some(b' ' | b'\t'), _) if is_continuation(line) => return Ok(Line::Continuation),
        (Some(b' ' | b'\t'), Dialect::Person) => return Ok(Line::Separator),
        (Some(b' ' | b'\t'), Dialect::Machine) => return Err(Problem::BlankLine),
        _ => {}
    }
    let (name, value) = line.split_once(':').ok_or(Problem::NoColon)?;
    let plain = name.bytes().all(|byte| byte.is_ascii_graphic());
    if name.is_empty() || !plain || name.starts_with(['-', '#']) {
        return Err(Problem::FieldName(name.chars().take(80).collect()));
    }
    Ok(Line::Field(name, value))
}

fn is_continuation(line: &str) -> bool {
    line.starts_with([' ', '\t']) && !line.trim_ascii().is_empty()
}

#[cfg(test)]
#[path = "deb822_tests.rs"]
mod tests;
