//! What people write on the command line for a request or a task.

use control::{Status, StatusFile};
use pipeline_spec::RequestPath;

use crate::client::Client;
use crate::failure::Failure;

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

    /// As the control plane names it.
    pub(crate) fn into_name(self) -> String {
        match self {
            Self::Request(path) => path.to_string(),
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
pub(crate) fn request_path(text: &str) -> anyhow::Result<RequestPath> {
    request(text).ok_or_else(|| {
        Failure::not_there(format!(
            "{text} is no request: a request's path looks like builds/2026/11/hello.yaml"
        ))
        .into()
    })
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
            Err(Failure::not_there(unknown(path.as_str(), &status)).into())
        }
    }
}

/// The sentence about a request that is not there.
pub(crate) fn unknown(path: &str, status: &Status) -> String {
    let known: Vec<&str> = status.requests.iter().map(|r| r.path.as_str()).collect();
    let planned = match status.commit.as_str() {
        "" => "no commit has been planned yet".to_owned(),
        commit => format!("planned commit {}", crate::render::short(commit)),
    };
    format!(
        "{path} was never planned ({planned}){}",
        did_you_mean(path, &known)
    )
}

/// `; did you mean a or b?`, or nothing.
fn did_you_mean(written: &str, known: &[&str]) -> String {
    let near = nearest(written, known);
    match near.as_slice() {
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
            assert_eq!(format!("{kind} {}", subject.into_name()), expect);
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
