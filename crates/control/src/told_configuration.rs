//! A commit whose configuration cannot be planned says so itself; the one that mends it, too.

use ledger::{Change, Condition, Configuration, Expect, Key, Problem, Row, WatchRow};
use ports::{Annotation, Check, CheckState, Forge, Level, Platform};

use crate::markdown::{code, prose};
use crate::review::named;
use crate::{Control, Result};

/// The check's name.
const NAME: &str = "configuration";
/// Lines of the list, and annotations.
const MAX_LINES: usize = 50;

impl<P: Platform> Control<P> {
    /// Has it told of a commit that its configuration is broken. Once of each commit, as far as this process remembers:
    /// the same check is not written twice.
    pub(crate) async fn watch_broken(&self, commit: &str, problems: &[Problem]) -> Result<()> {
        if !self.options.checks || *self.broken.lock().await == commit {
            return Ok(());
        }
        let row = WatchRow {
            configuration: Some(Configuration::Broken {
                problems: problems.to_vec(),
            }),
            ..WatchRow::new(commit)
        };
        let mut change = Change::default();
        // Nothing of this commit is planned, so that nothing else is told of it.
        change.put(Key::watch(commit), Row::Watch(row));
        // Without a condition there is no conflict.
        let _done = self.apply(change).await?;
        commit.clone_into(&mut *self.broken.lock().await);
        Ok(())
    }

    /// Says how the configuration of a commit is.
    pub(crate) async fn tell_configuration<F: Forge>(
        &self,
        forge: &F,
        row: WatchRow,
        version: u64,
    ) -> Result<Configured> {
        let Some(configuration) = &row.configuration else {
            return Ok(Configured::Left(Box::new(row), version));
        };
        let check = named(check(&row.commit, configuration), row.again);
        if !self.write_now(forge, &check).await? {
            return Ok(Configured::Waits);
        }
        let key = Key::watch(&row.commit);
        let mut change = Change::default();
        let left = WatchRow {
            configuration: None,
            ..row.clone()
        };
        let has_more =
            *configuration == Configuration::Mended && !self.brought(&left).await?.is_empty();
        if has_more {
            change.replace(key.clone(), Expect::Version(version), Row::Watch(left));
        } else {
            change.conditions.push(Condition {
                key: key.clone(),
                expect: Expect::Version(version),
            });
            change.delete(key);
        }
        // Another process has told the same.
        let _told = self.apply(change).await?;
        let left = match has_more {
            true => self.watch_row(&row.commit).await?,
            false => None,
        };
        Ok(match left {
            Some((row, version)) => Configured::Left(Box::new(row), version),
            None => Configured::Over,
        })
    }
}

/// What came of telling it.
pub(crate) enum Configured {
    /// The forge gets no more for now.
    Waits,
    /// It was said, and nothing else is to be told of the commit.
    Over,
    /// It was said, and this is left.
    Left(Box<WatchRow>, u64),
}

/// Whether they are of files: not of a branch that is gone.
pub(crate) fn are_of_files(problems: &[Problem]) -> bool {
    problems
        .iter()
        .any(|problem| place(&problem.subject).is_some())
}

/// `path:line:column`.
fn place(subject: &str) -> Option<(&str, u32, u32)> {
    let (rest, column) = subject.rsplit_once(':')?;
    let (path, line) = rest.rsplit_once(':')?;
    Some((path, line.parse().ok()?, column.parse().ok()?))
}

fn check(commit: &str, configuration: &Configuration) -> Check {
    let (state, title, summary, annotations) = match configuration {
        Configuration::Broken { problems } => {
            let title = match problems.len() {
                1 => "Nothing is planned: 1 mistake".to_owned(),
                n => format!("Nothing is planned: {n} mistakes"),
            };
            let annotations = problems.iter().filter_map(annotation).take(MAX_LINES);
            let annotations = annotations.collect();
            (CheckState::Failed, title, broken(problems), annotations)
        }
        Configuration::Mended => (
            CheckState::Passed,
            "It can be planned again".to_owned(),
            "A commit before this one had a configuration that could not be planned. All that was merged since then is planned with this one.\n".to_owned(),
            Vec::new(),
        ),
    };
    Check {
        name: NAME.to_owned(),
        commit: commit.to_owned(),
        pull: None,
        state,
        title,
        summary,
        annotations,
        actions: Vec::new(),
        details: None,
        digest: String::new(),
    }
}

fn broken(problems: &[Problem]) -> String {
    let mut text = String::from(
        "The configuration cannot be planned. What was planned before goes on; nothing of this commit, or of a later one, is built or released until it is mended.\n\n",
    );
    for problem in problems.iter().take(MAX_LINES) {
        let (subject, message) = (code(&problem.subject), prose(&problem.message));
        text.push_str(&format!("* {subject}: {message}\n"));
    }
    if problems.len() > MAX_LINES {
        let more = problems.len() - MAX_LINES;
        text.push_str(&format!(
            "* and {more} more: `millrace lint` shows all of them\n"
        ));
    }
    text
}

fn annotation(problem: &Problem) -> Option<Annotation> {
    let (path, line, column) = place(&problem.subject)?;
    Some(Annotation {
        path: path.to_owned(),
        line,
        column,
        level: Level::Error,
        message: problem.message.clone(),
        help: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_in_subjects() {
        assert_eq!(place("a/b:c.yaml:3:14"), Some(("a/b:c.yaml", 3, 14)));
        assert_eq!(place("branch main"), None);
        assert_eq!(place("a.yaml:x:1"), None);
    }
}
