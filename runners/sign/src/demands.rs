//! Approvals that the signer demands by rules of its own, which the control plane cannot change.

use std::collections::BTreeSet;
use std::path::Path;

use approvals::{People, rules_for};
use pipeline_spec::{Approvals, Code, Config, RepositoryName, RequestPath, Severity};
use runner_agent::Halt;
use runner_api::{Grant, TaskSpec};

use crate::refused;

/// The folder of people's keys, beside `policy.yaml`.
const PEOPLE: &str = "keys/people";

/// Rules and people's keys, as whoever runs the signer has copied them.
#[derive(Debug, Clone, Default)]
pub struct Demands {
    rules: Vec<Approvals>,
    people: People,
}

impl Demands {
    /// Reads `policy.yaml` and `keys/people/*.asc` below a folder: a checkout of the state repository, or a copy of these
    /// files.
    ///
    /// # Errors
    /// What is wrong with them, and where. Rules that demand nothing are a mistake, too.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        use anyhow::{Context as _, bail};
        let read = |path: &str| {
            let file = folder.join(path);
            std::fs::read(&file).with_context(|| format!("failed to read {}", file.display()))
        };
        let mut files = vec![("policy.yaml".to_owned(), read("policy.yaml")?)];
        let people = folder.join(PEOPLE);
        let listed = std::fs::read_dir(&people);
        let listed = listed.with_context(|| format!("failed to read {}", people.display()))?;
        for entry in listed {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.ends_with(".asc") {
                let path = format!("{PEOPLE}/{name}");
                let bytes = read(&path)?;
                files.push((path, bytes));
            }
        }
        let (config, mut found) = Config::load(files);
        let (people, wrong) = People::read(&config);
        found.extend(wrong);
        // The rest of the state repository is not here.
        found.retain(|it| it.severity == Severity::Error && it.code != Code::MissingFile);
        if let Some(first) = found.first() {
            let (path, line, message) = (&first.path, first.line, &first.message);
            bail!(
                "failed to read {}/{path}:{line}: {message}; {}",
                folder.display(),
                first.help
            );
        }
        let rules = config.policy.approvals;
        if rules.is_empty() {
            bail!(
                "failed to read {}/policy.yaml: it demands no `approvals`; add them, or leave `--approvals` out",
                folder.display()
            );
        }
        let named = rules.iter().flat_map(|rule| &rule.by);
        if let Some(name) = named.into_iter().find(|name| people.key(name).is_none()) {
            bail!(
                "failed to read {}/{PEOPLE}/{name}.asc: it is not there, and policy.yaml names {name}",
                folder.display()
            );
        }
        Ok(Self { rules, people })
    }

    /// Refuses a task for a repository of the rules, unless its approvals can be seen.
    pub(crate) fn check(&self, grant: &Grant, now: u64) -> Result<(), Halt> {
        let (repository, packages) = match &grant.spec {
            TaskSpec::SignPackages(task) => (&task.repository, &task.packages[..]),
            TaskSpec::SignMetadata(task) => (&task.repository, &[][..]),
            _ => return Ok(()),
        };
        if rules_for(&self.rules, &BTreeSet::from([repository.clone()])).is_empty() {
            return Ok(());
        }
        let request = &grant.task.request;
        let refuse = |why: String| {
            refused(format!(
                "Nothing is signed for {repository}, because this signer demands approvals: {why}."
            ))
        };
        let Some(proof) = &grant.proof else {
            return Err(refuse(format!("none of {request} were shown")));
        };
        let asked: (&RequestPath, &RepositoryName) = (request, repository);
        let rules = (&self.rules[..], &self.people);
        let proven = approvals::check(proof, asked, rules, now).map_err(refuse)?;
        if proven.removes && !packages.is_empty() {
            return Err(refuse(format!(
                "{request} is removed, and a removal signs no packages"
            )));
        }
        let mut builds = packages.iter().map(|package| &package.built_by.request);
        match builds.find(|build| !proven.builds.contains(*build)) {
            Some(build) => Err(refuse(format!(
                "{request} as it was approved is not made of {build}"
            ))),
            None => Ok(()),
        }
    }
}
