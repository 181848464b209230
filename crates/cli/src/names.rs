//! What people write on the command line for a request or a task.

use control::{Status, StatusFile};
use pipeline_spec::RequestPath;

use crate::client::Client;
use crate::failure::{Failure, Kind};
use crate::missing::missing;

/// Candidates that a sentence lists at most.
const MAX_LISTED: usize = 5;
/// Longest names that are compared, in characters; the work is quadratic.
const MAX_COMPARED: usize = 200;

/// A request's path, or something that is to be a task's id.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Request(RequestPath),
    Task(String),
}

impl Subject {
    /// `./builds/2026/11/x.yaml` and `builds/2026/11/x` are read as `builds/2026/11/x.yaml`.
    pub(crate) fn read(text: &str) -> Self {
        match request(text) {
            Some(path) => Self::Request(path),
            None => Self::Task(text.to_owned()),
        }
    }

    /// As [`Subject::read`]; what is neither is answered with the requests that it may mean.
    pub(crate) async fn find(client: &Client, text: &str) -> anyhow::Result<Self> {
        match Self::read(text) {
            Self::Task(text) if !is_id(&text) => {
                let status: Status = client.get("/api/v1/status").await?;
                match of_name(&text, &status).as_str() {
                    // The control plane says what is allowed.
                    "" => Ok(Self::Task(text)),
                    near => Err(not_a_request(&text, near)),
                }
            }
            subject => Ok(subject),
        }
    }

    /// As the control plane names it.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Request(path) => path.as_str(),
            Self::Task(text) => text,
        }
    }
}

fn request(text: &str) -> Option<RequestPath> {
    let text = text.trim_start_matches("./");
    text.parse()
        .or_else(|_| format!("{text}.yaml").parse())
        .ok()
}

/// A request's path, or why it is none.
pub(crate) async fn request_path(client: &Client, text: &str) -> anyhow::Result<RequestPath> {
    if let Some(path) = request(text) {
        return Ok(path);
    }
    if is_id(text) {
        let sentence = format!("{text} looks like a task's id: `millrace why {text}` explains it");
        return Err(Failure::new(Kind::Usage, sentence).into());
    }
    let status: Status = client.get("/api/v1/status").await?;
    Err(not_a_request(text, &of_name(text, &status)))
}

fn not_a_request(text: &str, near: &str) -> anyhow::Error {
    Failure::not_there(format!(
        "{text} is no request: a request's path looks like builds/2026/11/hello.yaml{near}"
    ))
    .into()
}

/// A task's id or its beginning.
fn is_id(text: &str) -> bool {
    (4..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// `; did you mean …?` with the requests whose files are called `text`, or nothing.
fn of_name(text: &str, status: &Status) -> String {
    let file = text.rsplit('/').next().unwrap_or_default();
    let stem = file.strip_suffix(".yaml").unwrap_or(file);
    let paths = status.requests.iter().map(|request| request.path.as_str());
    let near: Vec<&str> = paths
        .filter(|path| path.rsplit('/').next() == Some(&format!("{stem}.yaml")))
        .take(MAX_LISTED)
        .collect();
    one_of(&near)
}

/// What there is to do about a request whose file has mistakes.
pub(crate) fn invalid(path: &RequestPath) -> String {
    format!(
        "{path} is invalid: edit the file and push it; `millrace why {path}` shows the mistakes"
    )
}

/// The request's status, or a sentence with the nearest name there is.
pub(crate) async fn find_request(
    client: &Client,
    path: &RequestPath,
) -> anyhow::Result<StatusFile> {
    let found = client.find(&format!("/api/v1/request/{path}")).await?;
    match found {
        Some(file) => Ok(file),
        None => {
            let status: Status = client.get("/api/v1/status").await?;
            Err(missing(client, path, &status).await?.into())
        }
    }
}

/// `; did you mean a or b?`, or nothing.
pub(crate) fn did_you_mean(written: &str, known: &[&str]) -> String {
    one_of(&nearest(written, known))
}

fn one_of(near: &[&str]) -> String {
    match near {
        [] => String::new(),
        near => format!("; did you mean {}?", near.join(" or ")),
    }
}

/// Known names with the same last part, or with few letters that differ; the nearest first.
fn nearest<'a>(written: &str, known: &[&'a str]) -> Vec<&'a str> {
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let mut near: Vec<(usize, &str)> = known
        .iter()
        .filter(|other| other.len().max(written.len()) <= MAX_COMPARED)
        .filter_map(|other| {
            let letters = distance(written, other);
            let close = letters <= written.chars().count().div_ceil(10).max(2);
            let same_name = name(written) == name(other);
            (close || same_name).then_some((letters, *other))
        })
        .collect();
    near.sort_unstable();
    near.truncate(MAX_LISTED);
    near.into_iter().map(|(_, name)| name).collect()
}

/// Letters to put in, take out or replace.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut row = vec![i + 1];
        for (j, other) in b.iter().enumerate() {
            let replaced = above[j] + usize::from(letter != *other);
            row.push(replaced.min(above[j + 1] + 1).min(row[j] + 1));
        }
        above = row;
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_read_as_people_write_them() {
        let check = |text: &str, expect: &str| {
            let subject = Subject::read(text);
            let kind = if matches!(subject, Subject::Request(_)) {
                "request"
            } else {
                "task"
            };
            assert_eq!(format!("{kind} {}", subject.name()), expect);
        };
        check("builds/2026/11/x.yaml", "request builds/2026/11/x.yaml");
        check("./builds/2026/11/x.yaml", "request builds/2026/11/x.yaml");
        check("builds/2026/11/x", "request builds/2026/11/x.yaml");
        check("3F9A", "task 3F9A");
        check("hello.yaml", "task hello.yaml");
    }

    #[test]
    fn a_slip_is_recognised() {
        let known = [
            "builds/2026/11/hello.yaml",
            "builds/2026/10/world.yaml",
            "releases/2026/11/hello.yaml",
        ];
        let check = |written: &str, expect: &str| {
            assert_eq!(did_you_mean(written, &known), expect, "{written}");
        };
        check(
            "builds/2026/11/helo.yaml",
            "; did you mean builds/2026/11/hello.yaml?",
        );
        check(
            "builds/2026/11/world.yaml",
            "; did you mean builds/2026/10/world.yaml?",
        );
        check(
            "builds/2026/12/hello.yaml",
            "; did you mean builds/2026/11/hello.yaml or releases/2026/11/hello.yaml?",
        );
        check("builds/2026/11/something-else.yaml", "");
    }
}
