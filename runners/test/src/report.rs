//! Cases, and the TAP 14 report of them (<https://testanything.org/tap-version-14-specification.html>).

use std::fmt::Write as _;

use runner_agent::{Halt, Job};
use runner_api::{ArtifactKind, Facts, Failure, FailureKind, Outcome, TestCase, TestFacts};

/// Longest line that is quoted, in characters.
const MAX_LINE_CHARS: usize = 300;

/// What was found, in the order it was looked at.
#[derive(Debug, Default)]
pub(crate) struct Report {
    cases: Vec<TestCase>,
    /// Lines that show why a case failed.
    evidence: Vec<String>,
}

impl Report {
    /// A case that passed.
    pub(crate) fn pass(&mut self, name: impl Into<String>) {
        self.cases.push(TestCase {
            name: name.into(),
            problem: None,
        });
    }

    /// A case that passed, named only once.
    pub(crate) fn pass_once(&mut self, name: String) {
        if !self.cases.iter().any(|case| case.name == name) {
            self.pass(name);
        }
    }

    /// A case that failed: what was seen, and the lines that show it.
    pub(crate) fn fail<'a>(
        &mut self,
        name: impl Into<String>,
        problem: impl Into<String>,
        lines: impl IntoIterator<Item = &'a str>,
    ) {
        let problem = problem.into();
        let before = self.evidence.len();
        self.evidence.extend(lines.into_iter().map(printable));
        if self.evidence.len() == before {
            self.evidence.push(printable(&problem));
        }
        self.cases.push(TestCase {
            name: name.into(),
            problem: Some(problem),
        });
    }

    /// A case that passed if there are no `problems`.
    pub(crate) fn judge(&mut self, name: impl Into<String>, problems: &[String]) {
        match problems {
            [] => self.pass(name),
            [first] => self.fail(name, first, [first.as_str()]),
            [first, rest @ ..] => {
                let problem = format!("{first}, and {} more", rest.len());
                self.fail(name, problem, problems.iter().map(String::as_str));
            }
        }
    }

    fn tap(&self) -> String {
        if self.cases.is_empty() {
            return "TAP version 14\n1..0 # SKIP there is no package to install\n".to_owned();
        }
        let mut text = format!("TAP version 14\n1..{}\n", self.cases.len());
        for (number, case) in (1..).zip(&self.cases) {
            let name = printable(&case.name)
                .replace('\\', "\\\\")
                .replace('#', "\\#");
            let verdict = if case.problem.is_none() {
                "ok"
            } else {
                "not ok"
            };
            let _ = writeln!(text, "{verdict} {number} - {name}");
            if let Some(problem) = &case.problem {
                // JSON's strings are YAML's.
                let quoted = serde_json::Value::from(printable(problem));
                let _ = writeln!(text, "  ---\n  message: {quoted}\n  ...");
            }
        }
        text
    }

    /// Stores the report and says how the task ended; a failed case fails it with `kind`.
    pub(crate) async fn finish(mut self, job: &Job, kind: FailureKind) -> Result<Outcome, Halt> {
        let tap = self.tap();
        job.log().append(tap.as_bytes());
        let artifact = job
            .store_bytes(tap.into_bytes(), "test.tap", ArtifactKind::Tap)
            .await?;
        let failed: Vec<&TestCase> = self
            .cases
            .iter()
            .filter(|case| case.problem.is_some())
            .collect();
        let Some(first) = failed.first() else {
            let facts = Facts::Test(TestFacts { cases: self.cases });
            return Ok(Outcome::Succeeded {
                artifacts: vec![artifact],
                facts,
            });
        };
        let problem = first.problem.as_deref().unwrap_or_default();
        let others = match failed.len() - 1 {
            0 => String::new(),
            1 => "; 1 more case failed".to_owned(),
            more => format!("; {more} more cases failed"),
        };
        let message = format!("{}: {problem}{others}", first.name);
        self.evidence.truncate(Failure::MAX_EXCERPT);
        let failure = Failure {
            kind,
            message,
            excerpt: self.evidence,
        };
        Ok(Outcome::Failed {
            failure,
            artifacts: vec![artifact],
        })
    }
}

/// One bounded line without control characters.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_LINE_CHARS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_as_tap_14() {
        let mut report = Report::default();
        report.pass("install a # b");
        report.judge(
            "files of a",
            &["/x is \"not\" there".to_owned(), "/y\nis not".to_owned()],
        );
        report.judge("remove a", &[]);
        assert_eq!(
            report.tap(),
            "TAP version 14\n1..3\nok 1 - install a \\# b\nnot ok 2 - files of a\n  ---\n  \
             message: \"/x is \\\"not\\\" there, and 1 more\"\n  ...\nok 3 - remove a\n"
        );
        assert_eq!(report.evidence, ["/x is \"not\" there", "/y is not"]);
        assert_eq!(
            Report::default().tap(),
            "TAP version 14\n1..0 # SKIP there is no package to install\n"
        );
    }
}
