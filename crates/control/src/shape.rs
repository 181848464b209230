//! Whether a runner's word has the shape that later steps rely on. Runners are strangers.

use std::collections::BTreeSet;

use runner_api::{Artifact, ArtifactKind, Facts, Outcome, SourceFacts, TaskSpec};

/// Longest name or version of a package, in bytes.
const MAX_WORD_BYTES: usize = 256;
/// Longest requirement or capability, in bytes.
const MAX_RELATION_BYTES: usize = 4096;
/// Requirements, or capabilities, of one source package.
const MAX_RELATIONS: usize = 100_000;

/// What later steps rely on: a task answers with the facts of its kind.
pub(crate) fn check_shape(spec: &TaskSpec, outcome: &Outcome) -> std::result::Result<(), String> {
    let Outcome::Succeeded { artifacts, facts } = outcome else {
        return Ok(());
    };
    let fits = match spec {
        TaskSpec::Source(_) => matches!(facts, Facts::Source(_)),
        TaskSpec::Build(_) => matches!(facts, Facts::Build(_)),
        TaskSpec::Test(_) | TaskSpec::Smoke(_) => matches!(facts, Facts::Test(_)),
        TaskSpec::SignPackages(_) | TaskSpec::Compose(_) | TaskSpec::SignMetadata(_) => true,
    };
    if !fits {
        return Err(format!(
            "the result of \"{}\" has facts of another kind of task",
            spec.title()
        ));
    }
    check_packages(artifacts)?;
    if let (TaskSpec::Source(_), Facts::Source(facts)) = (spec, facts) {
        let is_source = |kind| matches!(kind, ArtifactKind::Srpm | ArtifactKind::Dsc);
        let made = artifacts.iter().filter(|it| is_source(it.kind)).count();
        if made != 1 {
            return Err(format!(
                "a source task makes one source package, not {made}"
            ));
        }
        check_source(facts)?;
    }
    let failed = match facts {
        Facts::Test(facts) => facts.cases.iter().find(|case| case.problem.is_some()),
        _ => None,
    };
    if let Some(case) = failed {
        return Err(format!(
            "the result says that it succeeded and that {:?} failed",
            case.name
        ));
    }
    let trees = artifacts
        .iter()
        .filter(|artifact| artifact.kind == ArtifactKind::Tree)
        .count();
    if matches!(spec, TaskSpec::Compose(_)) && trees != 1 {
        return Err(format!("a compose makes one tree, not {trees}"));
    }
    Ok(())
}

/// Relative, no empty part, no dot-dot, nothing that a shell or a terminal would mind.
pub(crate) fn is_plain_path(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_graphic() && c != '\\';
    !name.is_empty()
        && name.len() <= 512
        && name.chars().all(plain)
        && name.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// Each file once, and packages named as packages are.
fn check_packages(artifacts: &[Artifact]) -> std::result::Result<(), String> {
    let mut names = BTreeSet::new();
    for artifact in artifacts {
        if !names.insert(&artifact.name) {
            return Err(format!("{} is in the result twice", artifact.name));
        }
        let Some(package) = &artifact.package else {
            continue;
        };
        for word in [
            &package.name,
            &package.version,
            &package.arch,
            &package.source,
        ] {
            check_word(word)?;
        }
    }
    Ok(())
}

fn check_source(facts: &SourceFacts) -> std::result::Result<(), String> {
    check_word(&facts.name)?;
    check_word(&facts.version)?;
    for relations in [&facts.build_requires, &facts.provides] {
        if relations.len() > MAX_RELATIONS {
            return Err(format!(
                "{} has {} requirements or capabilities; {MAX_RELATIONS} are allowed",
                facts.name,
                relations.len()
            ));
        }
        let is_plain =
            |text: &String| text.len() <= MAX_RELATION_BYTES && !text.contains(char::is_control);
        if let Some(odd) = relations.iter().find(|text| !is_plain(text)) {
            let start: String = odd.chars().take(40).collect();
            return Err(format!("{} requires or provides {start:?}…", facts.name));
        }
    }
    Ok(())
}

/// What rpm and dpkg allow in names, versions and architectures.
fn check_word(word: &str) -> std::result::Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "+-._~^:%".contains(c);
    let fits = word.len() <= MAX_WORD_BYTES
        && word.chars().all(plain)
        && word.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    if fits {
        return Ok(());
    }
    let start: String = word.chars().take(40).collect();
    Err(format!("{start:?} is no name or version of a package"))
}

#[cfg(test)]
mod tests {
    use super::{check_word, is_plain_path};

    #[test]
    fn words_are_those_of_packages() {
        let check = |word: &str, expect: bool| {
            assert_eq!(check_word(word).is_ok(), expect, "{word:?}");
        };
        check("gcc-c++", true);
        check("1:2.0~rc1+dfsg-1.el10^git1", true);
        check("", false);
        check("-x", false);
        check("ti ny\n", false);
        check("1.0\n\nPackage: evil", false);
        check(&"9".repeat(3000), false);
    }

    #[test]
    fn paths_are_plain() {
        let check = |path: &str, expect: bool| assert_eq!(is_plain_path(path), expect, "{path:?}");
        check("dists/bookworm/main/binary-amd64/Packages.gz", true);
        check("../../../etc/passwd", false);
        check("/abs", false);
        check("a//b", false);
        check("a\u{202e}b", false);
        check(&"x".repeat(3000), false);
    }
}
