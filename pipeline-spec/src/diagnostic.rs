//! What is told to the person who made a mistake.

use std::fmt;

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file is used, and something about it will surprise.
    Warning,
    /// The file is used; part of it cannot be put to use yet.
    Note,
}

/// Whether a rendering is coloured. Who renders knows the terminal; this crate does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Color {
    /// Plain text.
    Never,
    /// ANSI escape sequences.
    Always,
}

/// One mistake: where it is, what it is and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Which mistake; stable, listed in `SPEC.md`.
    pub code: Code,
    /// How bad.
    pub severity: Severity,
    /// The file, relative to the top of the state repository.
    pub path: String,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1, in characters.
    pub column: u32,
    /// Length of what is marked, in characters; at least 1.
    pub length: u32,
    /// What is wrong: a sentence in plain words.
    pub message: String,
    /// What to write instead.
    pub help: String,
    /// The line, or the part of a long line around the mistake.
    pub excerpt: String,
    /// Column of the mistake inside `excerpt`, from 1.
    pub excerpt_column: u32,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident => $text:literal,)*) => {
        /// Stable short names of the mistakes. Tools may match on them; texts may change.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[$doc])* $variant,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// As it is printed and serialized: `unknown-field`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }
    };
}

codes! {
    /// The bytes are not UTF-8.
    NotUtf8 => "not-utf8",
    /// A NUL or another control character.
    ControlCharacter => "control-character",
    /// Larger than a limit.
    TooLarge => "too-large",
    /// Nested deeper than the limit.
    TooDeep => "too-deep",
    /// Not YAML.
    Syntax => "syntax",
    /// Nothing but comments.
    EmptyFile => "empty-file",
    /// `---` begins a second document.
    SeveralDocuments => "several-documents",
    /// An anchor, alias, merge key or tag.
    UnsupportedYaml => "unsupported-yaml",
    /// A key stands there twice.
    DuplicateKey => "duplicate-key",
    /// A field that the file does not have.
    UnknownField => "unknown-field",
    /// A field that must be there is not.
    MissingField => "missing-field",
    /// A list where a text belongs, and the like.
    WrongType => "wrong-type",
    /// A text that other YAML readers take for a boolean, a number or null.
    NeedsQuotes => "needs-quotes",
    /// A text of the right type with the wrong shape.
    InvalidValue => "invalid-value",
    /// A value outside its range.
    OutOfRange => "out-of-range",
    /// An entry that stands in a list twice.
    DuplicateEntry => "duplicate-entry",
    /// Two fields that exclude each other, or one that the format does not have.
    Conflict => "conflict",
    /// A file that is not where files of its kind belong.
    MisplacedFile => "misplaced-file",
    /// A file that must be there is not.
    MissingFile => "missing-file",
    /// No such platform.
    UnknownPlatform => "unknown-platform",
    /// The platform has no such architecture.
    UnknownArchitecture => "unknown-architecture",
    /// No such repository.
    UnknownRepository => "unknown-repository",
    /// No such flavor.
    UnknownFlavor => "unknown-flavor",
    /// No such key.
    UnknownKey => "unknown-key",
    /// No such person: no key in keys/people/.
    UnknownPerson => "unknown-person",
    /// No such package in the request.
    UnknownPackage => "unknown-package",
    /// No such request.
    UnknownRequest => "unknown-request",
    /// An RPM thing where a Debian one belongs, or the other way round.
    FormatMismatch => "format-mismatch",
    /// Packages that wait for each other.
    Cycle => "cycle",
    /// A public key file that a platform or key needs is not there.
    MissingKeyFile => "missing-key-file",
    /// Something is defined and nothing can use it.
    Unused => "unused",
    /// A schema for editors is not the one of this program.
    OtherSchema => "other-schema",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
