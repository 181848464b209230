//! The order of a request's builds: by `after`, and by build requirements that its other packages provide.

use std::collections::{BTreeMap, BTreeSet};

use pipeline_spec::{PackageName, PackageRequest};
use runner_api::SourceFacts;

/// Who must be built before whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Order {
    /// Every package → all that must be built before it, directly or through others.
    pub before: BTreeMap<PackageName, BTreeSet<PackageName>>,
    /// Why: (package, needed package) → the `after` line or the requirement.
    pub reasons: BTreeMap<(PackageName, PackageName), String>,
    /// Packages that need each other, in the order of the circle; these cannot be built.
    pub cycles: Vec<Vec<PackageName>>,
}

/// Orders `packages`; those without facts (their source failed) take part through `after` only.
pub fn order(packages: &[&PackageRequest], facts: &BTreeMap<PackageName, &SourceFacts>) -> Order {
    let mut order = Order::default();
    let mut direct: BTreeMap<PackageName, BTreeSet<PackageName>> = BTreeMap::new();
    let providers = providers(facts);
    for package in packages {
        let needs = direct.entry(package.name.clone()).or_default();
        for after in &package.after {
            needs.insert(after.clone());
            let key = (package.name.clone(), after.clone());
            order
                .reasons
                .insert(key, format!("the request says `after: [{after}]`"));
        }
        let Some(own) = facts.get(&package.name) else {
            continue;
        };
        for requirement in &own.build_requires {
            for provider in providers.get(requirement.as_str()).into_iter().flatten() {
                if *provider == &package.name {
                    continue;
                }
                needs.insert((*provider).clone());
                order
                    .reasons
                    .entry((package.name.clone(), (*provider).clone()))
                    .or_insert_with(|| {
                        format!("it build-requires {requirement}, which {provider} provides")
                    });
            }
        }
    }
    let names: BTreeSet<&PackageName> = packages.iter().map(|package| &package.name).collect();
    for needs in direct.values_mut() {
        needs.retain(|need| names.contains(need));
    }
    order.cycles = cycles(&direct);
    for name in direct.keys() {
        order.before.insert(name.clone(), reachable(&direct, name));
    }
    order
}

fn providers<'a>(
    facts: &'a BTreeMap<PackageName, &SourceFacts>,
) -> BTreeMap<&'a str, Vec<&'a PackageName>> {
    let mut providers: BTreeMap<&str, Vec<&PackageName>> = BTreeMap::new();
    for (name, facts) in facts {
        for capability in &facts.provides {
            providers.entry(capability).or_default().push(name);
        }
    }
    providers
}

/// All that can be reached from `start`; `start` itself only if it is on a circle.
fn reachable(
    direct: &BTreeMap<PackageName, BTreeSet<PackageName>>,
    start: &PackageName,
) -> BTreeSet<PackageName> {
    let mut found = BTreeSet::new();
    let mut queue: Vec<&PackageName> = direct.get(start).into_iter().flatten().collect();
    while let Some(name) = queue.pop() {
        if found.insert(name.clone()) {
            queue.extend(direct.get(name).into_iter().flatten());
        }
    }
    found
}

/// One circle through each group of packages that need each other.
fn cycles(direct: &BTreeMap<PackageName, BTreeSet<PackageName>>) -> Vec<Vec<PackageName>> {
    let reach: BTreeMap<&PackageName, BTreeSet<PackageName>> = direct
        .keys()
        .map(|name| (name, reachable(direct, name)))
        .collect();
    let mut grouped = BTreeSet::new();
    let mut cycles = Vec::new();
    for name in direct.keys() {
        if !reach[name].contains(name) || grouped.contains(name) {
            continue;
        }
        grouped.extend(
            reach[name]
                .iter()
                .filter(|other| reach[*other].contains(name))
                .cloned(),
        );
        cycles.push(circle(direct, &reach, name));
    }
    cycles
}

/// The way from `start` back to `start`, always by the first neighbour that leads back.
fn circle(
    direct: &BTreeMap<PackageName, BTreeSet<PackageName>>,
    reach: &BTreeMap<&PackageName, BTreeSet<PackageName>>,
    start: &PackageName,
) -> Vec<PackageName> {
    // Breadth first, so that the shortest circle is shown.
    let mut previous: BTreeMap<&PackageName, &PackageName> = BTreeMap::new();
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(at) = queue.pop_front() {
        for next in &direct[at] {
            if next == start {
                let mut way = vec![at.clone()];
                let mut step = at;
                while step != start {
                    step = previous[step];
                    way.push(step.clone());
                }
                way.reverse();
                return way;
            }
            if reach[next].contains(start) && !previous.contains_key(next) {
                previous.insert(next, at);
                queue.push_back(next);
            }
        }
    }
    vec![start.clone()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `packages`: `name: after…; build requirements…; provides…`, commas between.
    fn check(packages: &[(&str, &str, &str, &str)], expect: &str) {
        let list = |text: &str| -> Vec<String> {
            text.split(',')
                .map(str::trim)
                .filter(|w| !w.is_empty())
                .map(str::to_owned)
                .collect()
        };
        let mut requests = Vec::new();
        let mut facts = BTreeMap::new();
        for (name, after, requires, provides) in packages {
            let after = list(after);
            let yaml = format!(
                r#"{{"name": "{name}", "after": {after:?}, "source": {{"git": "https://example.org/{name}", "ref": "main"}}}}"#
            );
            requests.push(serde_json::from_str::<PackageRequest>(&yaml).expect("a package"));
            facts.insert(
                name.parse::<PackageName>().expect("a name"),
                SourceFacts {
                    name: (*name).to_owned(),
                    version: "1".to_owned(),
                    build_requires: list(requires),
                    provides: list(provides),
                    architectures: Vec::new(),
                },
            );
        }
        let requests: Vec<&PackageRequest> = requests.iter().collect();
        let facts = facts
            .iter()
            .map(|(name, facts)| (name.clone(), facts))
            .collect();
        let order = order(&requests, &facts);
        let mut text: Vec<String> = order
            .before
            .iter()
            .map(|(name, before)| {
                let before: Vec<&str> = before.iter().map(PackageName::as_str).collect();
                format!("{name}<{}", before.join("+"))
            })
            .collect();
        for cycle in &order.cycles {
            let members: Vec<&str> = cycle.iter().map(PackageName::as_str).collect();
            text.push(format!("cycle {}", members.join(">")));
        }
        assert_eq!(text.join(" "), expect);
    }

    #[test]
    fn requirements_and_after_order_builds() {
        check(&[("a", "", "", ""), ("b", "", "", "")], "a< b<");
        check(&[("a", "b", "", ""), ("b", "", "", "")], "a<b b<");
        check(
            &[
                ("app", "", "libx-devel, gcc", "app"),
                ("libx", "", "", "libx, libx-devel"),
            ],
            "app<libx libx<",
        );
        check(
            &[("a", "b", "", ""), ("b", "c", "", ""), ("c", "", "", "")],
            "a<b+c b<c c<",
        );
    }

    #[test]
    fn a_package_may_require_itself() {
        check(&[("gcc", "", "gcc", "gcc")], "gcc<");
    }

    #[test]
    fn cycles_name_their_members() {
        check(
            &[("a", "b", "", ""), ("b", "a", "", "")],
            "a<a+b b<a+b cycle a>b",
        );
        check(
            &[
                ("a", "", "pb", "pa"),
                ("b", "", "pc", "pb"),
                ("c", "", "pa", "pc"),
                ("d", "a", "", ""),
            ],
            "a<a+b+c b<a+b+c c<a+b+c d<a+b+c cycle a>b>c",
        );
    }
}
