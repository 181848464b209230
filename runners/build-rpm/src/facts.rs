//! What the planner needs to know of a source RPM.

use std::collections::BTreeSet;

use pipeline_spec::{Architecture, Architectures};
use repo_rpm::Package;
use runner_api::{ArchVerdict, BuildScope, SourceFacts};

/// Facts from the header of a source RPM and the answer of `rpmspec`.
pub(crate) fn of(srpm: &Package, answer: &str, architectures: &Architectures) -> SourceFacts {
    let said = |mark: &'static str| {
        let names = answer
            .lines()
            .filter_map(move |line| line.strip_prefix(mark));
        names.filter(|name| !name.is_empty() && *name != "(none)")
    };
    let provides: BTreeSet<String> = said("provides=").map(str::to_owned).collect();
    let requires: BTreeSet<String> = said("requires=")
        .filter(|name| !name.starts_with("rpmlib("))
        .flat_map(names)
        .collect();
    SourceFacts {
        name: srpm.name.clone(),
        version: srpm.evr(),
        build_requires: requires.into_iter().collect(),
        provides: provides.into_iter().collect(),
        architectures: verdicts(Wish::of(srpm), architectures),
    }
}

/// Every name of a requirement: of a rich one (`(a >= 1 or b)`) all alternatives.
fn names(requirement: &str) -> Vec<String> {
    if !requirement.starts_with('(') {
        return vec![requirement.to_owned()];
    }
    let mut found = Vec::new();
    let mut words = requirement.split_whitespace();
    while let Some(word) = words.next() {
        match word {
            "and" | "or" | "if" | "else" | "with" | "without" | "unless" => {}
            "<" | "<=" | "=" | ">=" | ">" => drop(words.next()),
            word => found.push(plain(word).to_owned()),
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

/// A word without the parentheses that group; those of `pkgconfig(x)` stay.
fn plain(word: &str) -> &str {
    let mut word = word.trim_start_matches('(');
    while word.matches(')').count() > word.matches('(').count() {
        word = word.strip_suffix(')').unwrap_or_default();
    }
    word
}

/// The tags of a spec that choose architectures.
#[derive(Debug, Clone, Copy)]
struct Wish<'a> {
    build: &'a [String],
    exclusive: &'a [String],
    exclude: &'a [String],
}

impl<'a> Wish<'a> {
    fn of(srpm: &'a Package) -> Self {
        Self {
            build: &srpm.build_archs,
            exclusive: &srpm.exclusive_arch,
            exclude: &srpm.exclude_arch,
        }
    }

    fn is_noarch(&self) -> bool {
        !self.build.is_empty() && self.build.iter().all(|arch| arch == "noarch")
    }

    /// The line that keeps the package from `arch`.
    fn refusal(&self, arch: &Architecture) -> Option<String> {
        let has = |list: &[String], word: &str| list.iter().any(|one| one == word);
        let line = |tag: &str, list: &[String]| Some(format!("{tag}: {}", list.join(" ")));
        let arch = arch.as_str();
        if has(self.exclude, arch) {
            return line("ExcludeArch", self.exclude);
        }
        // `noarch` in it only says that the package is to be had everywhere.
        let real = self.exclusive.iter().any(|one| one != "noarch");
        if real && !has(self.exclusive, arch) {
            return line("ExclusiveArch", self.exclusive);
        }
        if !self.build.is_empty() && !has(self.build, "noarch") && !has(self.build, arch) {
            return line("BuildArch", self.build);
        }
        None
    }
}

/// The first architecture that the package takes also builds what is `noarch`.
fn verdicts(wish: Wish<'_>, architectures: &Architectures) -> Vec<ArchVerdict> {
    let first = architectures
        .iter()
        .find(|arch| wish.refusal(arch).is_none());
    architectures
        .iter()
        .map(|arch| {
            let verdict = match (wish.refusal(arch), first) {
                (Some(line), _) => Err(line),
                (None, Some(first)) if first == arch => Ok(BuildScope::All),
                (None, Some(first)) if wish.is_noarch() => {
                    Err(format!("BuildArch: noarch; it is built once, for {first}"))
                }
                (None, _) => Ok(BuildScope::ArchitectureOnly),
            };
            ArchVerdict {
                arch: arch.clone(),
                verdict,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check([build, exclusive, exclude]: [&str; 3], expect: &str) {
        let list = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let (build, exclusive, exclude) = (list(build), list(exclusive), list(exclude));
        let wish = Wish {
            build: &build,
            exclusive: &exclusive,
            exclude: &exclude,
        };
        let archs: Vec<_> = ["x86_64", "aarch64"]
            .iter()
            .map(|a| a.parse().expect("an architecture"))
            .collect();
        let archs = Architectures::try_from(archs).expect("two architectures");
        let text: Vec<String> = verdicts(wish, &archs)
            .into_iter()
            .map(|verdict| match verdict.verdict {
                Ok(BuildScope::All) => "all".to_owned(),
                Ok(BuildScope::ArchitectureOnly) => "arch".to_owned(),
                Err(line) => line,
            })
            .collect();
        assert_eq!(text.join(" | "), expect);
    }

    #[test]
    fn architecture_tags() {
        check(["", "", ""], "all | arch");
        check(
            ["noarch", "", ""],
            "all | BuildArch: noarch; it is built once, for x86_64",
        );
        check(["", "x86_64", ""], "all | ExclusiveArch: x86_64");
        check(
            ["", "aarch64 ppc64le", ""],
            "ExclusiveArch: aarch64 ppc64le | all",
        );
        check(["", "", "x86_64"], "ExcludeArch: x86_64 | all");
        check(
            ["noarch", "aarch64 noarch", ""],
            "ExclusiveArch: aarch64 noarch | all",
        );
        check(
            ["noarch", "noarch", ""],
            "all | BuildArch: noarch; it is built once, for x86_64",
        );
        check(
            ["", "s390x", ""],
            "ExclusiveArch: s390x | ExclusiveArch: s390x",
        );
        check(["aarch64", "", ""], "BuildArch: aarch64 | all");
    }

    #[test]
    fn names_of_requirements() {
        let cases = [
            ("gcc", "gcc"),
            ("pkgconfig(zlib)", "pkgconfig(zlib)"),
            ("(a >= 1:2 or b)", "a b"),
            ("((a and pkgconfig(b)) if c)", "a pkgconfig(b) c"),
            ("(", ""),
        ];
        for (requirement, expect) in cases {
            assert_eq!(names(requirement).join(" "), expect, "{requirement}");
        }
    }
}
