//! Reading debian/control and .dsc for what the planner needs.

use std::collections::BTreeSet;

use pipeline_spec::Architectures;
use repo_deb::deb822::{self, Dialect, Paragraph};
use runner_agent::Halt;
use runner_api::{ArchVerdict, BuildScope, FailureKind, SourceFacts};

/// Facts from `.dsc` and `debian/control`.
pub(crate) fn facts(
    dsc: &[u8],
    control: &[u8],
    architectures: &Architectures,
) -> Result<SourceFacts, Halt> {
    let dsc = repo_deb::source::Dsc::parse(dsc).map_err(|error| {
        Halt::failed(
            FailureKind::SourcePackage,
            format!("the .dsc cannot be read: {error}"),
        )
    })?;
    let paragraphs = deb822::parse(control, Dialect::Person).map_err(|error| {
        Halt::failed(
            FailureKind::SourcePackage,
            format!("debian/control cannot be read: {error}"),
        )
    })?;
    let binaries: Vec<&Paragraph> = paragraphs
        .iter()
        .filter(|p| p.get("Package").is_some())
        .collect();
    let mut provides = BTreeSet::new();
    let mut wanted = BTreeSet::new();
    for binary in &binaries {
        provides.extend(binary.get("Package").map(str::to_owned));
        provides.extend(names(binary.get("Provides").unwrap_or_default()));
        wanted.extend(
            binary
                .get("Architecture")
                .unwrap_or_default()
                .split_whitespace()
                .map(str::to_owned),
        );
    }
    let mut requires = BTreeSet::new();
    for field in ["Build-Depends", "Build-Depends-Arch", "Build-Depends-Indep"] {
        requires.extend(names(dsc.paragraph.get(field).unwrap_or_default()));
    }
    Ok(SourceFacts {
        name: dsc.source.to_string(),
        version: dsc.version.to_string(),
        build_requires: requires.into_iter().collect(),
        provides: provides.into_iter().collect(),
        architectures: verdicts(&wanted, architectures),
    })
}

/// Package names of a relation field: every alternative, without versions, architectures and profiles.
fn names(field: &str) -> impl Iterator<Item = String> + '_ {
    field.split([',', '|']).filter_map(|relation| {
        let name: String = relation
            .trim_start()
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
            .collect();
        (!name.is_empty()).then_some(name)
    })
}

fn verdicts(wanted: &BTreeSet<String>, architectures: &Architectures) -> Vec<ArchVerdict> {
    let line = wanted
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(" ");
    architectures
        .iter()
        .map(|arch| {
            let specific = wanted.iter().any(|pattern| matches(pattern, arch.as_str()));
            let primary = arch == architectures.primary();
            let verdict = match (specific, primary, wanted.contains("all")) {
                (_, true, true) | (true, true, false) => Ok(BuildScope::All),
                (true, false, _) => Ok(BuildScope::ArchitectureOnly),
                (false, false, true) => Err(format!(
                    "Architecture: {line}; it is built once, for {}",
                    architectures.primary()
                )),
                (false, _, false) => Err(format!("Architecture: {line}")),
            };
            ArchVerdict {
                arch: arch.clone(),
                verdict,
            }
        })
        .collect()
}

/// Debian policy 11.1: architecture wildcards, for Linux with the GNU C library.
fn matches(pattern: &str, arch: &str) -> bool {
    let parts: Vec<&str> = pattern.split('-').collect();
    match parts[..] {
        ["all"] => false,
        ["any"] => true,
        [one] => one == arch,
        ["linux" | "any", cpu] | ["gnu", "linux" | "any", cpu] | ["any", "linux" | "any", cpu] => {
            cpu == "any" || cpu == arch
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(architecture: &str, expect: &str) {
        let wanted = architecture.split_whitespace().map(str::to_owned).collect();
        let list: Vec<_> = ["amd64", "arm64"]
            .iter()
            .map(|a| a.parse().expect("an architecture"))
            .collect();
        let list = Architectures::try_from(list).expect("two architectures");
        let text: Vec<&str> = verdicts(&wanted, &list)
            .into_iter()
            .map(|verdict| match verdict.verdict {
                Ok(BuildScope::All) => "all",
                Ok(BuildScope::ArchitectureOnly) => "arch",
                Err(_) => "no",
            })
            .collect();
        assert_eq!(text.join(" "), expect, "{architecture}");
    }

    #[test]
    fn architecture_fields() {
        check("any", "all arch");
        check("any all", "all arch");
        check("all", "all no");
        check("linux-any", "all arch");
        check("any-arm64", "no arch");
        check("arm64", "no arch");
        check("hurd-any", "no no");
        check("all arm64", "all arch");
        check("kfreebsd-amd64", "no no");
    }

    #[test]
    fn relations() {
        let found: Vec<String> =
            names("debhelper-compat (= 13), a | b:any [amd64] <!nocheck>, libc6-dev (>= 2)")
                .collect();
        assert_eq!(found, ["debhelper-compat", "a", "b", "libc6-dev"]);
    }
}
