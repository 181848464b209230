//! Single values: names, texts, numbers, words of a fixed set.

use std::num::NonZeroU32;
use std::str::FromStr;

use super::decode::{Decode, DecodeScalar, Scalar, scalar};
use super::report::{Finding, Report};
use super::yaml::{Node, Style, Value};
use crate::diagnostic::Code;
use crate::ids::IdError;
use crate::limits::MAX_TEXT_CHARS;
use crate::suggest;
use crate::visible::{is_hidden, shorten};
use crate::*;

/// The plain words for "nothing" of YAML's core schema.
pub(crate) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// What a plain scalar is to one YAML reader or another when it is not text to all of them. YAML 1.1
/// readers take `no` for a boolean, `0777` for 511, `1:30` for 90 and `2026-11-01` for a date.
fn not_text(text: &str) -> Option<&'static str> {
    const BOOLEANS: [&str; 8] = ["y", "n", "yes", "no", "on", "off", "true", "false"];
    if is_null(text) {
        return Some("nothing");
    }
    // `yes`, `Yes` and `YES`, but not `yEs`.
    let cased = text.len() < 6
        && (text.chars().all(|c| c.is_ascii_uppercase())
            || text.chars().skip(1).all(|c| c.is_ascii_lowercase()));
    if cased && BOOLEANS.iter().any(|word| word.eq_ignore_ascii_case(text)) {
        return Some("a boolean");
    }
    let number = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(number.to_ascii_lowercase().as_str(), ".inf" | ".nan") {
        return Some("a number");
    }
    let radix = |prefix: &str, digit: fn(char) -> bool| {
        number
            .strip_prefix(prefix)
            .is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| digit(c) || c == '_'))
    };
    if radix("0x", |c| c.is_ascii_hexdigit())
        || radix("0o", |c| ('0'..='7').contains(&c))
        || radix("0b", |c| matches!(c, '0' | '1'))
    {
        return Some("a number");
    }
    if !number.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        || !number.contains(|c: char| c.is_ascii_digit())
    {
        return None;
    }
    if number.chars().all(|c| c.is_ascii_digit() || c == '_') {
        return Some("a number");
    }
    if is_float(number) {
        return Some("a number");
    }
    let parts = |separator: char| {
        number
            .split(separator)
            .all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit()))
    };
    match (parts(':'), parts('-')) {
        (true, _) => Some("a number in base 60"),
        (_, true) if number.split('-').count() == 3 && number.len() >= 8 => Some("a date"),
        _ => None,
    }
}

fn is_float(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let digits = |c: char| c.is_ascii_digit() || c == '_';
    let exponent_fits = exponent.is_none_or(|e| {
        let e = e.strip_prefix(['+', '-']).unwrap_or(e);
        !e.is_empty() && e.chars().all(|c| c.is_ascii_digit())
    });
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    exponent_fits && whole.chars().all(digits) && fraction.chars().all(digits)
}

/// The text of a scalar that all YAML readers take for text.
fn text<'n>(scalar: Scalar<'n>, report: &mut Report<'_>) -> Option<&'n str> {
    if scalar.style == Style::Plain
        && let Some(kind) = not_text(scalar.text)
    {
        let (message, help) = if is_null(scalar.text) {
            (
                "there is no value here".to_owned(),
                "write a value".to_owned(),
            )
        } else {
            let text = shorten(scalar.text);
            (
                format!("`{text}` without quotes is {kind} to YAML readers, not text"),
                format!("write `\"{text}\"`, with quotes, if it is meant as text"),
            )
        };
        report.error(scalar.span, Finding::new(Code::NeedsQuotes, message, help));
        return None;
    }
    Some(scalar.text)
}

fn parsed<T: FromStr<Err = IdError>>(
    text: &str,
    scalar: Scalar<'_>,
    report: &mut Report<'_>,
) -> Option<T> {
    text.parse()
        .map_err(|e: IdError| {
            report.error(
                scalar.span,
                Finding::new(Code::InvalidValue, e.to_string(), e.help),
            );
        })
        .ok()
}

/// Decoding of types that are one text with a shape.
macro_rules! texts {
    ($($type:ty: $what:literal,)*) => {
        $(
            impl DecodeScalar for $type {
                fn decode_scalar(scalar: Scalar<'_>, report: &mut Report<'_>) -> Option<Self> {
                    parsed(text(scalar, report)?, scalar, report)
                }
            }

            impl Decode for $type {
                fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
                    Self::decode_scalar(scalar(node, $what, report)?, report)
                }
            }
        )*
    };
}

texts! {
    PlatformName: "a platform name",
    RepositoryName: "a repository name",
    FlavorName: "a flavor name",
    PackageName: "a package name",
    KeyId: "a key id",
    RunnerId: "a runner id",
    PersonName: "a person's name",
    Label: "a label",
    RepoId: "a repository id",
    SuiteName: "a suite",
    ComponentName: "a component",
    OptionName: "a build option",
    RootPackage: "a package name",
    MacroName: "the name of an RPM macro",
    Architecture: "an architecture",
    RequestPath: "the path of a request",
    ErratumPath: "the path of an advisory",
    KeyFilePath: "the path of a public key",
    Glob: "a package pattern",
    GitUrl: "a git address",
    GitRef: "a branch, tag or commit",
    Subdir: "a folder",
    SourceUrl: "an address",
    RepoUrl: "an address",
    RepoPath: "a folder",
    Sha256Digest: "a SHA-256 digest",
    ArchiveLocation: "an address",
    Keyring: "the path of a keyring",
    Fingerprint: "a fingerprint",
    SecretName: "a file name",
    RunnerKey: "a public key",
    ByteSize: "a size",
}

impl Decode for MacroValue {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let scalar = scalar(node, "the value of an RPM macro", report)?;
        let bare_number = scalar.style == Style::Plain && decimal(scalar.text).is_some();
        let text = if bare_number {
            scalar.text
        } else {
            text(scalar, report)?
        };
        parsed(text, scalar, report)
    }
}

/// A whole number as everyone writes it; `007` is not, since some readers take it for octal.
fn decimal(text: &str) -> Option<u64> {
    let plain = text == "0" || (!text.starts_with('0') && !text.starts_with('+'));
    plain.then(|| text.parse().ok()).flatten()
}

/// Free text for people: not empty, bounded; line breaks are allowed.
pub(crate) struct Prose(pub(crate) String);

impl Decode for Prose {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let scalar = scalar(node, "a text", report)?;
        let text = text(scalar, report)?.trim();
        let problem = if text.is_empty() {
            "the text is empty".to_owned()
        } else if text.chars().count() > MAX_TEXT_CHARS {
            format!("the text is longer than {MAX_TEXT_CHARS} characters")
        } else if text.chars().any(|c| is_hidden(c) && c != '\n') {
            "the text contains a character that nobody can see".to_owned()
        } else {
            return Some(Self(text.to_owned()));
        };
        report.error(
            node.span,
            Finding::new(Code::InvalidValue, problem, "write a sentence"),
        );
        None
    }
}

/// Free text on one line.
pub(crate) struct Line(pub(crate) String);

impl Decode for Line {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let Prose(text) = Prose::decode(node, report)?;
        if text.contains('\n') {
            let message = "the text has more than one line";
            report.error(
                node.span,
                Finding::new(Code::InvalidValue, message, "write one line"),
            );
            return None;
        }
        Some(Self(text))
    }
}

impl Decode for bool {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        match &node.value {
            Value::Scalar {
                text,
                style: Style::Plain,
            } if text == "true" => Some(true),
            Value::Scalar {
                text,
                style: Style::Plain,
            } if text == "false" => Some(false),
            Value::Refused => None,
            _ => {
                let message = "`true` or `false` belongs here";
                let help = "write `true` or `false`, without quotes";
                report.error(node.span, Finding::new(Code::WrongType, message, help));
                None
            }
        }
    }
}

/// A whole number of at least 1 and at most `MAX`.
pub(crate) struct Count<const MAX: u32>(pub(crate) NonZeroU32);

impl<const MAX: u32> Decode for Count<MAX> {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let scalar = scalar(node, "a whole number", report)?;
        let help = format!("write a whole number from 1 to {MAX}");
        let Some(number) = decimal(scalar.text).filter(|_| scalar.style == Style::Plain) else {
            let message = format!("`{}` is not a whole number", shorten(scalar.text));
            report.error(scalar.span, Finding::new(Code::WrongType, message, help));
            return None;
        };
        let fits = u32::try_from(number)
            .ok()
            .filter(|n| *n <= MAX)
            .and_then(NonZeroU32::new);
        if fits.is_none() {
            let message = format!("{number} is not from 1 to {MAX}");
            report.error(scalar.span, Finding::new(Code::OutOfRange, message, help));
        }
        fits.map(Self)
    }
}

impl Decode for Weight {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let Count(slots) = Count::<{ Weight::MAX as u32 }>::decode(node, report)?;
        u8::try_from(slots.get()).ok().and_then(Self::new)
    }
}

/// One word of a fixed set, each standing for a value.
pub(crate) fn word<T: Copy>(
    node: &Node,
    what: &'static str,
    words: &[(&'static str, T)],
    report: &mut Report<'_>,
) -> Option<T> {
    let scalar = scalar(node, what, report)?;
    let found = words
        .iter()
        .find(|(word, _)| *word == scalar.text)
        .map(|(_, value)| *value);
    if found.is_none() {
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let message = format!("`{}` is not {what}", shorten(scalar.text));
        let help = match suggest::nearest(scalar.text, names.iter().copied()) {
            _ if names.len() == 1 => format!("write {}", suggest::list(&names)),
            Some(near) => format!(
                "did you mean `{near}`? The choice is: {}",
                suggest::list(&names)
            ),
            None => format!("write one of {}", suggest::list(&names)),
        };
        report.error(scalar.span, Finding::new(Code::InvalidValue, message, help));
    }
    found
}

/// Decoding of enums that are one word of a fixed set.
macro_rules! words {
    ($($type:ty: $what:literal { $($word:literal => $value:expr,)* })*) => {
        $(
            impl Decode for $type {
                fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
                    word(node, $what, &[$(($word, $value),)*], report)
                }
            }
        )*
    };
}

words! {
    Format: "a format" { "rpm" => Self::Rpm, "deb" => Self::Deb, }
    Backend: "a backend" {
        "dnf" => Self::Dnf,
        "mock" => Self::Mock,
        "mmdebstrap" => Self::Mmdebstrap,
    }
    KeyKind: "a kind of key" { "ed25519" => Self::Ed25519, "rsa4096" => Self::Rsa4096, }
    Gate: "a gate's strictness" { "required" => Self::Required, "advisory" => Self::Advisory, }
    Priority: "a priority" {
        "urgent" => Self::Urgent,
        "normal" => Self::Normal,
        "background" => Self::Background,
    }
    Role: "a role" {
        "build-rpm" => Self::BuildRpm,
        "build-deb" => Self::BuildDeb,
        "test" => Self::Test,
        "sign" => Self::Sign,
        "compose" => Self::Compose,
    }
    LanguageVersion: "a version of this language" { "1" => Self::V1, }
}

impl Decode for Retention {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        match &node.value {
            Value::Scalar { text, .. } if text == "all" => Some(Self::All),
            Value::Scalar { text, .. } if decimal(text).is_none() => {
                let message = format!("`{}` is not a number of versions", shorten(text));
                let help = "write `all`, or how many versions of a package stay, like `3`";
                report.error(node.span, Finding::new(Code::InvalidValue, message, help));
                None
            }
            _ => Count::<1000>::decode(node, report).map(|Count(n)| Self::Newest(n)),
        }
    }
}
