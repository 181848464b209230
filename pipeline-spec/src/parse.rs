//! Entry points for one request file.

use crate::build::BuildRequest;
use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::path::{PathKind, RequestPath, classify};
use crate::read::decode::Decode;
use crate::read::report::{Finding, Report, whole_file};
use crate::read::text;
use crate::read::yaml::{self, Node};
use crate::release::ReleaseRequest;

/// Reads a build request. Looks at this file alone; [`check_build`](crate::check_build) looks
/// around it.
///
/// # Errors
///
/// Every mistake in the file, in its order.
pub fn parse_build(
    path: &RequestPath,
    text: impl AsRef<[u8]>,
) -> Result<BuildRequest, Vec<Diagnostic>> {
    parse(path.as_str(), text.as_ref())
}

/// Reads a release request. Looks at this file alone; [`check_release`](crate::check_release) looks
/// around it.
///
/// # Errors
///
/// Every mistake in the file, in its order.
pub fn parse_release(
    path: &RequestPath,
    text: impl AsRef<[u8]>,
) -> Result<ReleaseRequest, Vec<Diagnostic>> {
    parse(path.as_str(), text.as_ref())
}

fn parse<T: Decode>(path: &str, bytes: &[u8]) -> Result<T, Vec<Diagnostic>> {
    let text = text::check(path, bytes).map_err(|d| vec![d])?;
    let mut report = Report::new(path, text);
    match read::<T>(&mut report) {
        Some((_, value)) if !report.has_errors() => Ok(value),
        _ => Err(report.finish()),
    }
}

/// The tree of a file and the value it stands for. When it is `None`, the report has an error.
pub(crate) fn read<T: Decode>(report: &mut Report<'_>) -> Option<(Node, T)> {
    let node = yaml::parse(report);
    if node.is_none() && !report.has_errors() {
        let help = "write its fields, or remove the file";
        report.error(
            Default::default(),
            Finding::new(Code::EmptyFile, "the file is empty", help),
        );
    }
    let node = node?;
    let value = T::decode(&node, report)?;
    Some((node, value))
}

/// Says when a file lies where nothing reads it, though its name says that it should be read.
pub fn check_place(path: &str) -> Option<Diagnostic> {
    let PathKind::Misplaced(error) = classify(path) else {
        return None;
    };
    let finding = Finding::new(Code::MisplacedFile, error.to_string(), error.help);
    Some(whole_file(path, Severity::Error, finding))
}
