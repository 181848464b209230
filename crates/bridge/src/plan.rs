//! From the closed set that apt resolved to one [`PackagePlan`] per RPM: pure, so that the cache can be keyed by it.
//!
//! Relations, as they end up:
//! * `Depends` and `Pre-Depends` become `Requires` and `Requires(pre)`. Of alternatives, those that the set satisfies are
//!   kept: one becomes a plain requirement, several a rich one, `(a or b)`.
//! * A version is kept if RPM's own comparison finds it satisfied by the set, as apt did; otherwise the name alone stays.
//! * `Provides` stay, with their versions.
//! * `Conflicts`, `Breaks`, `Replaces` are dropped: apt proved that the set can be installed together, and nothing else is
//!   in the repository. `Recommends` and `Suggests` are dropped: a build root wants what is needed.

use std::collections::{BTreeMap, BTreeSet};

use rpm_version::Evr as RpmEvr;
use serde::Serialize;

use crate::control::{Op, Relation, Stanza, relations};
use crate::evr::Evr;
use crate::{Error, data};

/// The name of the package that is installed before all others.
pub(crate) const BASE: &str = "bridge-base";

/// What is written into one RPM, files aside.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PackagePlan {
    /// Debian's name, and RPM's.
    pub(crate) name: String,
    pub(crate) debian_version: String,
    pub(crate) evr: Evr,
    /// `x86_64` or `noarch`.
    pub(crate) arch: &'static str,
    pub(crate) summary: String,
    pub(crate) description: String,
    pub(crate) url: String,
    /// Name of the .deb, as `apt-get download` calls it.
    pub(crate) deb: String,
    /// Of the .deb, in hex, from the signed index.
    pub(crate) sha256: String,
    pub(crate) requires: Vec<Requirement>,
    pub(crate) provides: Vec<Provide>,
}

/// One requirement.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Requirement {
    /// A name, or a whole rich dependency: `(a or b >= 1)`.
    pub(crate) name: String,
    pub(crate) version: Option<(Op, String)>,
    pub(crate) when: When,
}

/// When a requirement must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) enum When {
    /// Once the transaction is done.
    Always,
    /// Before the package itself is unpacked.
    Before,
}

/// A name that a package answers to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Provide {
    pub(crate) name: String,
    pub(crate) version: Option<String>,
}

/// Plans every package but those that [`BASE`] stands for; those come second, as names with versions.
pub(crate) fn plan(set: &[Stanza]) -> Result<(Vec<PackagePlan>, Vec<Provide>), Error> {
    let replaced = data::replaced();
    let world = World::new(set)?;
    let mut plans = Vec::new();
    let mut base = Vec::new();
    for stanza in set {
        let name = stanza.need("package")?;
        let evr = Evr::of_package(stanza.need("version")?);
        if replaced.contains(name) {
            base.push(Provide {
                name: name.to_owned(),
                version: Some(evr.to_string()),
            });
            base.extend(debian_provides(stanza)?);
        } else {
            plans.push(one(stanza, evr, &world)?);
        }
    }
    Ok((plans, base))
}

fn one(stanza: &Stanza, evr: Evr, world: &World) -> Result<PackagePlan, Error> {
    let name = stanza.need("package")?.to_owned();
    let (summary, description) = match stanza.get("description").split_once('\n') {
        Some((summary, rest)) => (summary, rest),
        None => (stanza.get("description"), ""),
    };
    let mut requires = BTreeSet::from([Requirement {
        name: BASE.to_owned(),
        version: None,
        when: When::Before,
    }]);
    for (field, when) in [("pre-depends", When::Before), ("depends", When::Always)] {
        for any in relations(stanza.get(field))? {
            let (name, version) = world.requirement(&any).ok_or_else(|| {
                let names: Vec<&str> = any.iter().map(|relation| relation.name.as_str()).collect();
                Error::malformed(
                    format!("the closure of `{name}`"),
                    format!("nothing in it is `{}`", names.join(" | ")),
                )
            })?;
            requires.insert(Requirement {
                name,
                version,
                when,
            });
        }
    }
    let mut provides: BTreeSet<Provide> = debian_provides(stanza)?.into_iter().collect();
    provides.extend(
        devel_names(&name)
            .into_iter()
            .chain(data::names(&name).into_iter().map(str::to_owned))
            .map(|name| Provide {
                name,
                version: Some(evr.to_string()),
            }),
    );
    provides.retain(|provide| provide.name != name);
    let arch = stanza.need("architecture")?;
    Ok(PackagePlan {
        arch: if arch == "all" { "noarch" } else { "x86_64" },
        summary: printable(summary),
        description: printable(description),
        url: printable(stanza.get("homepage")),
        deb: format!(
            "{name}_{}_{arch}.deb",
            stanza.need("version")?.replace(':', "%3a")
        ),
        debian_version: stanza.need("version")?.to_owned(),
        sha256: stanza.need("sha256")?.to_owned(),
        requires: requires.into_iter().collect(),
        provides: provides.into_iter().collect(),
        name,
        evr,
    })
}

/// What RPM forbids in text: control characters other than line ends.
fn printable(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control() || *c == '\n')
        .collect()
}

fn debian_provides(stanza: &Stanza) -> Result<Vec<Provide>, Error> {
    Ok(relations(stanza.get("provides"))?
        .into_iter()
        .flatten()
        .map(|Relation { name, version }| Provide {
            name,
            version: version.map(|(_, version)| Evr::of_relation(&version).to_string()),
        })
        .collect())
}

/// `libfoo-dev` is also `libfoo-devel` and `foo-devel`. Names that this rule does not find are in `data/names.txt`.
fn devel_names(name: &str) -> Vec<String> {
    let Some(stem) = name.strip_suffix("-dev") else {
        return Vec::new();
    };
    let short = stem.strip_prefix("lib").filter(|short| !short.is_empty());
    [Some(stem), short]
        .into_iter()
        .flatten()
        .flat_map(|stem| {
            let unnumbered = stem.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
            [format!("{stem}-devel"), format!("{unnumbered}-devel")]
        })
        .collect()
}

/// Names that the set answers to, with the versions under which it does.
struct World(BTreeMap<String, Vec<Option<String>>>);

impl World {
    fn new(set: &[Stanza]) -> Result<Self, Error> {
        let mut names: BTreeMap<String, Vec<Option<String>>> = BTreeMap::new();
        for stanza in set {
            let own = Evr::of_package(stanza.need("version")?).to_string();
            names
                .entry(stanza.need("package")?.to_owned())
                .or_default()
                .push(Some(own));
            for Provide { name, version } in debian_provides(stanza)? {
                names.entry(name).or_default().push(version);
            }
        }
        Ok(Self(names))
    }

    /// The requirement for a clause of alternatives; None if the set has none of them.
    fn requirement(&self, any: &[Relation]) -> Option<(String, Option<(Op, String)>)> {
        let mut kept: Vec<(String, Option<(Op, String)>)> = Vec::new();
        for relation in any {
            if let Some(versions) = self.0.get(&relation.name) {
                let one = (relation.name.clone(), kept_version(relation, versions));
                if !kept.contains(&one) {
                    kept.push(one);
                }
            }
        }
        if kept.len() < 2 {
            return kept.pop();
        }
        let words: Vec<String> = kept
            .iter()
            .map(|(name, version)| shown(name, version.as_ref()))
            .collect();
        Some((format!("({})", words.join(" or ")), None))
    }
}

fn kept_version(relation: &Relation, versions: &[Option<String>]) -> Option<(Op, String)> {
    let (op, version) = relation.version.as_ref()?;
    let wanted = Evr::of_relation(version);
    versions
        .iter()
        .flatten()
        .any(|have| satisfies(have, *op, &wanted))
        .then(|| (*op, wanted.to_string()))
}

fn shown(name: &str, version: Option<&(Op, String)>) -> String {
    match version {
        Some((op, version)) => format!("{name} {} {version}", op.rpm()),
        None => name.to_owned(),
    }
}

/// RPM's rule: without a release on one side, releases are not compared.
fn satisfies(have: &str, op: Op, wanted: &Evr) -> bool {
    let shortened = match (&wanted.release, have.rsplit_once('-')) {
        (None, Some((version, _))) => version,
        _ => have,
    };
    let wanted = wanted.to_string();
    let order = RpmEvr::parse(shortened).cmp(&RpmEvr::parse(&wanted));
    match op {
        Op::Less => order.is_lt(),
        Op::LessEqual => order.is_le(),
        Op::Equal => order.is_eq(),
        Op::GreaterEqual => order.is_ge(),
        Op::Greater => order.is_gt(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::stanzas;

    const SET: &str = "\
Package: base-files\nVersion: 12.4\nArchitecture: amd64\nSHA256: 0\nProvides: base\n
Package: libc6\nVersion: 2.36-9+deb12u10\nArchitecture: amd64\nSHA256: 1\nDescription: C library\n It is.\n
Package: gawk\nVersion: 1:5.2.1-2\nArchitecture: amd64\nSHA256: 2\nProvides: awk, gawk-api (= 3.2)\n
Package: zlib1g-dev\nVersion: 1:1.2.13.dfsg-1\nArchitecture: amd64\nSHA256: 3\n
Package: words\nVersion: 1.0a-1\nArchitecture: all\nSHA256: 4\n";

    fn requires(depends: &str) -> String {
        let text =
            format!("{SET}\nPackage: probe\nVersion: 1\nArchitecture: all\nSHA256: 5\n{depends}\n");
        match plan(&stanzas(&text)) {
            Ok((plans, _)) => {
                let probe = plans.iter().find(|plan| plan.name == "probe").unwrap();
                let texts = probe.requires.iter().map(|r| match r.when {
                    When::Always => shown(&r.name, r.version.as_ref()),
                    When::Before => format!("pre:{}", shown(&r.name, r.version.as_ref())),
                });
                texts
                    .filter(|text| text != "pre:bridge-base")
                    .collect::<Vec<_>>()
                    .join(", ")
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn requirements() {
        let check =
            |depends: &str, expect: &str| assert_eq!(requires(depends), expect, "{depends}");
        check("", "");
        check("Depends: libc6 (>= 2.34)", "libc6 >= 2.34");
        check("Depends: libc6 (>= 2.36-9)", "libc6 >= 2.36-9");
        check("Depends: libc6 (<< 2.37)", "libc6 < 2.37");
        check("Pre-Depends: libc6", "pre:libc6");
        check("Depends: mawk | gawk", "gawk");
        check("Depends: awk", "awk");
        check("Depends: libc6 | gawk (>= 1:5)", "(libc6 or gawk >= 1:5)");
        check("Depends: gawk-api (= 3.2)", "gawk-api = 3.2");
        check("Depends: base-files (>= 12)", "base-files >= 12");
        // Debian sorts 1.0a after 1.0, RPM too; but 1.0a before 1.0+ only in Debian: the version goes, the name stays.
        check("Depends: words (<< 1.0+)", "words");
        check(
            "Depends: nothing-here",
            "read the closure of `probe`: nothing in it is `nothing-here`",
        );
    }

    #[test]
    fn provides() {
        let (plans, base) = plan(&stanzas(SET)).unwrap();
        let shown = |all: &[Provide]| {
            all.iter()
                .map(|p| format!("{} = {}", p.name, p.version.as_deref().unwrap_or("?")))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let of = |name: &str| {
            shown(
                &plans
                    .iter()
                    .find(|plan| plan.name == name)
                    .unwrap()
                    .provides,
            )
        };
        assert_eq!(of("gawk"), "awk = ?, gawk-api = 3.2");
        assert_eq!(
            of("zlib1g-dev"),
            "zlib-devel = 1:1.2.13.dfsg-1, zlib1g-devel = 1:1.2.13.dfsg-1"
        );
        assert_eq!(shown(&base), "base-files = 12.4-0, base = ?");
    }

    #[test]
    fn devel() {
        let check = |name: &str, expect: &[&str]| assert_eq!(devel_names(name), expect, "{name}");
        check(
            "libncurses-dev",
            &[
                "libncurses-devel",
                "libncurses-devel",
                "ncurses-devel",
                "ncurses-devel",
            ],
        );
        check(
            "liblua5.3-dev",
            &[
                "liblua5.3-devel",
                "liblua-devel",
                "lua5.3-devel",
                "lua-devel",
            ],
        );
        check("bash", &[]);
    }
}
