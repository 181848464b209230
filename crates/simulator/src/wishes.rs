//! Whether the ledger is the plan of the newest commit: what its files ask for, no more and no less.

use std::collections::BTreeSet;

use ledger::{Key, Phase, RequestSpec, Row};
use pipeline_spec::RequestPath;
use ports::Platform;
use runner_api::{Origin, TaskSpec};

use crate::history::priority;
use crate::run::Run;
use crate::upstream;

/// Packages by name and version.
type Packages = BTreeSet<(String, u32)>;

impl Run {
    pub(crate) fn wishes_are_planned(&mut self) {
        let mut wrong = Vec::new();
        for (path, text) in self.tree() {
            let Ok(request) = path.parse::<RequestPath>() else {
                continue;
            };
            if let Some(problem) = self.is_planned(&request, text) {
                wrong.push(format!("{path} {problem}"));
            }
        }
        self.memory.ledger().visit(|_, record| {
            if let Row::Request(row) = &record.row
                && !self.tree().contains_key(row.path.as_str())
                && !matches!(row.phase, Phase::Removed | Phase::Reverted)
            {
                let (path, word) = (&row.path, row.phase.word());
                wrong.push(format!("{path} is {word}, and its file is gone"));
            }
        });
        wrong.extend(self.wrong_claims());
        for problem in wrong {
            self.witness.violated(problem);
        }
    }

    /// Requests that claim what their files do not say, or for somebody else.
    fn wrong_claims(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if !self.witness.minds_shares() {
            return wrong;
        }
        self.memory.ledger().visit(|_, record| {
            if let Row::Request(row) = &record.row
                && let Some(text) = self.tree().get(row.path.as_str())
            {
                wrong.extend(self.witness.claims_wrongly(row));
                let is_kept = row.phase == Phase::Invalid;
                let (is, wanted) = (row.share().priority, priority(text));
                if is != wanted && !is_kept {
                    wrong.push(format!("{} is {is} and asks for {wanted}", row.path));
                }
            }
        });
        wrong
    }

    fn is_planned(&self, request: &RequestPath, text: &str) -> Option<String> {
        let found = self.memory.ledger().row(&Key::request(request));
        let Some(Row::Request(row)) = found.as_ref().map(|record| &record.row) else {
            return Some("is not in the ledger".to_owned());
        };
        match (&row.phase, &row.spec) {
            (Phase::Invalid, _) => None,
            (Phase::Removed | Phase::Reverted | Phase::Reverting, _) => {
                Some(format!("is {}, and its file is there", row.phase.word()))
            }
            (_, Some(RequestSpec::Build(_))) => {
                let (wanted, planned) = (wanted(text), self.planned(request));
                (wanted != planned).then(|| format!("wants {wanted:?}, planned is {planned:?}"))
            }
            (_, Some(RequestSpec::Release(release))) => {
                let from: Vec<&str> = release.from.iter().map(RequestPath::as_str).collect();
                let first = format!("from: [{}]", from.join(", "));
                (!text.starts_with(&first)).then(|| format!("is planned as {first}"))
            }
            (_, None) => Some("was planned without a wish".to_owned()),
        }
    }

    /// What the source tasks of a build are of.
    fn planned(&self, request: &RequestPath) -> Packages {
        let partition = Key::request_partition(request);
        let mut planned = Packages::new();
        self.memory.ledger().visit(|key, record| {
            if key.partition == partition
                && let Row::Task(row) = &record.row
                && let TaskSpec::Source(source) = &row.spec
                && let Origin::Git { commit, .. } = &source.origin
                && !row.is_past()
            {
                planned.insert((source.package.to_string(), upstream::version(commit)));
            }
        });
        planned
    }
}

/// What a build's file asks for.
fn wanted(text: &str) -> Packages {
    let sources = text.lines().filter_map(|line| {
        let rest = line.strip_prefix("  - source: {git: \"https://git.example.org/")?;
        let (package, rest) = rest.split_once(".git\", ref: v")?;
        let version = rest.strip_suffix('}')?.parse().ok()?;
        Some((package.to_owned(), version))
    });
    sources.collect()
}
