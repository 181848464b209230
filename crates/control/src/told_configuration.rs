//! A commit whose configuration cannot be planned, or lacks approvals, says so itself; the one that mends it, too.

use ledger::{Change, Condition, Configuration, Expect, Key, Problem, Row, WatchRow};
use ports::{Annotation, Check, CheckState, Forge, Level, Platform, StateRepo};

use crate::markdown::{code, prose};
use crate::review::named;
use crate::{Control, Result};

/// The check's name.
pub(crate) const NAME: &str = "configuration";
/// Lines of the list, and annotations.
const MAX_LINES: usize = 50;
/// Commits of the branch that are looked at for what they lacked, newest first. A change has room for them.
const MAX_SETTLED: usize = 20;

impl<P: Platform> Control<P> {
    /// Has it told of a commit that its configuration is broken. Once of each commit, as far as this process remembers:
    /// the same check is not written twice.
    pub(crate) async fn watch_broken(&self, commit: &str, problems: &[Problem]) -> Result<()> {
        if !self.options.checks || *self.broken.lock().await == commit {
            return Ok(());
        }
        let configuration = Some(Configuration::Broken {
            problems: problems.to_vec(),
        });
        let row = WatchRow {
            configuration: configuration.clone(),
            ..WatchRow::new(commit)
        };
        let mut change = Change::default();
        self.remember_planned((commit, ""), configuration, &mut change);
        // Nothing of this commit is planned, so that nothing else is told of it.
        change.put(Key::watch(commit), Row::Watch(row));
        // Without a condition there is no conflict.
        let _done = self.apply(change).await?;
        commit.clone_into(&mut *self.broken.lock().await);
        Ok(())
    }

    /// Adds to `change` that commits which lacked approvals do so no more: all is planned with `commit`, over `from`.
    pub(crate) async fn settle_unapproved(
        &self,
        (commit, from): (&str, &str),
        change: &mut Change,
    ) -> Result<()> {
        let repo = self.platform.state_repo();
        let mut next = repo.info(commit).await?.parents.into_iter().next();
        for _ in 0..MAX_SETTLED {
            let Some(old) = next.filter(|old| old != from) else {
                break;
            };
            let known = self.planned_row(&old).await?;
            if known.is_some_and(|row| lacks_approvals(row.configuration.as_ref())) {
                let with = commit.to_owned();
                let configuration = Some(Configuration::Settled { with });
                let row = WatchRow {
                    configuration: configuration.clone(),
                    ..WatchRow::new(&old)
                };
                change.put(Key::watch(&old), Row::Watch(row));
                self.remember_planned((&old, ""), configuration, change);
            }
            next = repo.info(&old).await?.parents.into_iter().next();
        }
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

/// Whether they are of a commit's configuration: not of a branch that is gone.
pub(crate) fn are_of_commit(problems: &[Problem]) -> bool {
    are_of_approvals(problems)
        || problems
            .iter()
            .any(|problem| place(&problem.subject).is_some())
}

/// Whether nothing is wrong with the files, and they are not approved.
fn are_of_approvals(problems: &[Problem]) -> bool {
    problems
        .iter()
        .any(|problem| problem.subject == approvals::CONFIGURATION)
}

fn lacks_approvals(configuration: Option<&Configuration>) -> bool {
    match configuration {
        Some(Configuration::Broken { problems }) => are_of_approvals(problems),
        _ => false,
    }
}

/// `path:line:column`.
fn place(subject: &str) -> Option<(&str, u32, u32)> {
    let (rest, column) = subject.rsplit_once(':')?;
    let (path, line) = rest.rsplit_once(':')?;
    Some((path, line.parse().ok()?, column.parse().ok()?))
}

fn check(commit: &str, configuration: &Configuration) -> Check {
    let (state, title, summary, annotations) = match configuration {
        Configuration::Broken { problems } if are_of_approvals(problems) => (
            CheckState::Failed,
            "Nothing is planned: the configuration is not approved".to_owned(),
            unapproved(problems),
            Vec::new(),
        ),
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
        Configuration::Settled { with } => (
            CheckState::Passed,
            "No approval is lacking any more".to_owned(),
            format!(
                "All that was merged is planned with {}.\n",
                code(&with[..with.len().min(12)])
            ),
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

fn unapproved(problems: &[Problem]) -> String {
    let mut text = String::from(
        "The configuration is another than the one in force, and that needs approvals. What was planned before goes on; nothing of this commit, or of a later one, is built or released until it has them.\n\n",
    );
    for problem in problems {
        text.push_str(&format!("* {}\n", prose(&problem.message)));
    }
    text
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
