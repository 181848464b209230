//! Whether enough of the right people have approved.

use std::collections::BTreeSet;

use pipeline_spec::{Approvals, PersonName, RepositoryName};

/// What a rule still wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// How many approvals.
    pub missing: usize,
    /// Who may give them.
    pub by: Vec<PersonName>,
    /// For which repositories, of those that were asked for; none: for the configuration.
    pub repositories: Vec<RepositoryName>,
}

impl Lack {
    /// As people read it after what lacks it: `needs 1 more approval, by alice or carol, for almalinux-10`.
    #[must_use]
    pub fn words(&self, given: usize) -> String {
        let more = if given > 0 { " more" } else { "" };
        let what = if self.missing == 1 {
            "approval"
        } else {
            "approvals"
        };
        let by = listed(&self.by, "or");
        let mut text = format!("needs {}{more} {what}, by {by}", self.missing);
        if !self.repositories.is_empty() {
            text.push_str(&format!(", for {}", listed(&self.repositories, "and")));
        }
        text
    }
}

fn listed<T: ToString>(names: &[T], last: &str) -> String {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    match &names[..] {
        [] => "nobody".to_owned(),
        [one] => one.clone(),
        [first @ .., end] => format!("{} {last} {end}", first.join(", ")),
    }
}

/// The rules that hold for any of these repositories.
#[must_use]
pub fn rules_for<'r>(
    rules: &'r [Approvals],
    repositories: &BTreeSet<RepositoryName>,
) -> Vec<&'r Approvals> {
    let concerns = |rule: &&Approvals| {
        rule.repositories
            .iter()
            .any(|name| repositories.contains(name))
    };
    rules.iter().filter(concerns).collect()
}

/// What is missing for a release to `repositories`, when `given` have approved.
#[must_use]
pub fn lacking(
    rules: &[Approvals],
    repositories: &BTreeSet<RepositoryName>,
    given: &BTreeSet<PersonName>,
) -> Vec<Lack> {
    let rules = rules_for(rules, repositories).into_iter();
    let lacks = rules.filter_map(|rule| {
        let named = rule.repositories.iter();
        let concerned = named.filter(|name| repositories.contains(*name));
        lack(rule, given, concerned.cloned().collect())
    });
    lacks.collect()
}

/// What is missing for a change of the configuration: every rule guards all of it.
#[must_use]
pub fn lacking_for_configuration(rules: &[Approvals], given: &BTreeSet<PersonName>) -> Vec<Lack> {
    let lacks = rules
        .iter()
        .filter_map(|rule| lack(rule, given, Vec::new()));
    lacks.collect()
}

fn lack(
    rule: &Approvals,
    given: &BTreeSet<PersonName>,
    repositories: Vec<RepositoryName>,
) -> Option<Lack> {
    let (have, left): (Vec<_>, Vec<_>) = rule.by.iter().partition(|name| given.contains(*name));
    // A name that stands there twice is one person.
    let have: BTreeSet<&PersonName> = have.into_iter().collect();
    let missing = (rule.count.get() as usize).saturating_sub(have.len());
    (missing > 0).then(|| Lack {
        missing,
        by: left.into_iter().cloned().collect(),
        repositories,
    })
}
