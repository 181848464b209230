//! Planning a build request: source, build and test tasks of every package, platform and architecture.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{Phase, TaskState};
use pipeline_spec::{
    Architecture, BuildOptions, BuildRequest, Config, Gate, PackageName, PackageRequest, Platform,
    PlatformName, RequestPath, Source,
};
use runner_api::{
    BuildTask, Facts, Origin, PublicKeys, SourceFacts, SourceTask, TaskRef, TaskSpec, TestTask,
};

use crate::platform::merged;
use crate::view::{Known, Waiting, conclude, is_built};
use crate::{Order, Plan, RequestView, Resolution, effective_platform, order};

/// Everything about one platform of the request.
struct Target<'a> {
    request: &'a BuildRequest,
    path: &'a RequestPath,
    config: &'a Config,
    name: &'a PlatformName,
    platform: Platform,
    options: BuildOptions,
    keys: PublicKeys,
    architectures: Vec<Architecture>,
    packages: Vec<&'a PackageRequest>,
    linked: Builds,
}

/// Builds by architecture, of one or more packages.
type Builds = Vec<(Architecture, TaskRef)>;

/// A package whose source is made.
struct Sourced<'a> {
    task: TaskRef,
    facts: &'a SourceFacts,
}

/// Plans `request`. `refs`: by clone URL and ref as written. `linked`: the requests that `with` names.
pub fn plan_build(
    view: RequestView<'_>,
    request: &BuildRequest,
    config: &Config,
    refs: &BTreeMap<(String, String), Resolution>,
    linked: &[RequestView<'_>],
) -> Plan {
    let mut plan = Plan::empty();
    let known = Known::new(view.tasks, linked);
    let mut waiting = Waiting::No;
    let is_scratch = |view: &&RequestView<'_>| view.row.path.is_scratch();
    if let Some(other) = linked
        .iter()
        .find(is_scratch)
        .filter(|_| !is_scratch(&&view))
    {
        // No file can name one. If a row does, its packages come into no root of this request all the same.
        plan.problem(
            &other.row.path,
            "it is a scratch build, and nothing but a scratch build is built with one",
        );
        conclude(&mut plan, &known, waiting, |_| false);
        return plan;
    }
    for open in linked.iter().filter(|linked| !is_built(linked)) {
        let phase = &open.row.phase;
        if matches!(phase, Phase::Removed | Phase::Invalid) {
            plan.problem(
                &open.row.path,
                format!(
                    "the linked build is {}, so its packages cannot be used",
                    phase.word()
                ),
            );
        } else {
            waiting = Waiting::Yes;
            let is = if phase.is_at_rest() {
                format!(", and it is {}", phase.word())
            } else {
                String::new()
            };
            plan.note(
                &open.row.path,
                format!("this request builds on it and waits until it has succeeded{is}"),
            );
        }
    }
    let linked_ready = linked.iter().all(is_built);
    for (name, wanted) in &request.platforms {
        match target(
            &view.row.path,
            request,
            config,
            (name, wanted.as_deref()),
            linked,
        ) {
            Ok(target) => {
                let sources = plan_sources(&mut plan, &target, refs, &mut waiting);
                if linked_ready {
                    plan_builds(&mut plan, &target, &sources, &known, &mut waiting);
                }
            }
            Err(message) => plan.problem(name, message),
        }
    }
    let advisory = config.policy.gates.tests == Gate::Advisory;
    conclude(&mut plan, &known, waiting, |spec| {
        advisory && matches!(spec, TaskSpec::Test(_))
    });
    plan
}

fn target<'a>(
    path: &'a RequestPath,
    request: &'a BuildRequest,
    config: &'a Config,
    (name, wanted): (&'a PlatformName, Option<&[Architecture]>),
    linked: &[RequestView<'_>],
) -> Result<Target<'a>, String> {
    let (platform, options, keys) = effective_platform(config, name, &request.flavors)?;
    let architectures = platform
        .architectures
        .iter()
        .filter(|arch| wanted.is_none_or(|wanted| wanted.contains(arch)))
        .cloned()
        .collect();
    let linked = linked
        .iter()
        .flat_map(|view| view.tasks.values())
        .filter(|row| row.is_done())
        .filter_map(|row| match &row.spec {
            TaskSpec::Build(build) if build.platform == *name => {
                Some((build.arch.clone(), row.task.clone()))
            }
            _ => None,
        })
        .collect();
    let packages = request.packages_on(name, platform.format()).collect();
    Ok(Target {
        request,
        path,
        config,
        name,
        platform,
        options,
        keys,
        architectures,
        packages,
        linked,
    })
}

/// One source task per package; the answer has those that can be.
fn plan_sources(
    plan: &mut Plan,
    target: &Target<'_>,
    refs: &BTreeMap<(String, String), Resolution>,
    waiting: &mut Waiting,
) -> BTreeMap<PackageName, TaskRef> {
    let mut sources = BTreeMap::new();
    for package in &target.packages {
        let Some(origin) = origin(plan, package, refs, waiting) else {
            continue;
        };
        let spec = TaskSpec::Source(Box::new(SourceTask {
            package: package.name.clone(),
            platform: target.name.clone(),
            target: target.platform.clone(),
            keys: target.keys.clone(),
            origin,
            options: merged(&target.options, &package.options),
            limits: target.config.project.limits.clone(),
        }));
        let why = format!(
            "{} asks for {} on {}",
            target.path, package.name, target.name
        );
        sources.insert(package.name.clone(), plan.want(target.path, spec, why));
    }
    sources
}

fn origin(
    plan: &mut Plan,
    package: &PackageRequest,
    refs: &BTreeMap<(String, String), Resolution>,
    waiting: &mut Waiting,
) -> Option<Origin> {
    match &package.source {
        Source::Git {
            git,
            git_ref,
            subdir,
        } => match refs.get(&(git.to_string(), git_ref.to_string())) {
            Some(Resolution::Commit(commit)) => Some(Origin::Git {
                url: git.clone(),
                commit: commit.clone(),
                subdir: subdir.clone(),
            }),
            Some(Resolution::Missing(message)) => {
                plan.problem(&package.name, message.clone());
                None
            }
            Some(Resolution::Later(message)) => {
                *waiting = Waiting::Yes;
                plan.note(&package.name, message.clone());
                None
            }
            None => {
                *waiting = Waiting::Yes;
                plan.note(
                    &package.name,
                    format!("{git_ref} of {git} is still to be looked up"),
                );
                None
            }
        },
        Source::Srpm { srpm, sha256 } => Some(Origin::Srpm {
            url: srpm.clone(),
            sha256: *sha256,
        }),
        Source::Dsc { dsc, sha256 } => Some(Origin::Dsc {
            url: dsc.clone(),
            sha256: *sha256,
        }),
    }
}

/// Packages whose source is made; without those that failed. `None`: some are under way.
fn sourced<'a>(
    plan: &mut Plan,
    target: &Target<'_>,
    sources: &BTreeMap<PackageName, TaskRef>,
    known: &Known<'a>,
) -> Option<BTreeMap<PackageName, Sourced<'a>>> {
    let mut sourced: BTreeMap<PackageName, Sourced<'_>> = BTreeMap::new();
    let mut open = Vec::new();
    for (name, task) in sources {
        let row = known.get(task);
        match row.and_then(|row| row.facts()) {
            Some(Facts::Source(facts)) => {
                sourced.insert(
                    name.clone(),
                    Sourced {
                        task: task.clone(),
                        facts,
                    },
                );
            }
            _ if row.is_some_and(|row| row.state.is_closed()) => {}
            _ => open.push(name.as_str()),
        }
    }
    if !open.is_empty() {
        let why = format!(
            "builds wait for the sources of {}: only they say in which order to build",
            open.join(", ")
        );
        plan.note(target.name, why);
        return None;
    }
    Some(sourced)
}

fn plan_builds(
    plan: &mut Plan,
    target: &Target<'_>,
    sources: &BTreeMap<PackageName, TaskRef>,
    known: &Known<'_>,
    waiting: &mut Waiting,
) {
    let Some(sourced) = sourced(plan, target, sources, known) else {
        *waiting = Waiting::Yes;
        return;
    };
    let facts = sourced
        .iter()
        .map(|(name, sourced)| (name.clone(), sourced.facts))
        .collect();
    let order = order(&target.packages, &facts);
    let circular: BTreeSet<&PackageName> = order
        .before
        .iter()
        .filter(|(name, before)| before.contains(*name))
        .map(|(name, _)| name)
        .collect();
    for cycle in &order.cycles {
        plan.problem(target.name, describe_cycle(cycle, &order));
    }
    let mut builds: BTreeMap<PackageName, Builds> = BTreeMap::new();
    for package in in_order(&target.packages, &order) {
        let before = &order.before[&package.name];
        if circular.contains(&package.name) || before.iter().any(|name| circular.contains(name)) {
            plan.note(
                &package.name,
                "it is in, or behind, a circle of build requirements",
            );
            continue;
        }
        if let Some(missing) = before.iter().find(|name| !sourced.contains_key(*name)) {
            plan.note(
                &package.name,
                format!("it is built after {missing}, whose source package could not be made"),
            );
            continue;
        }
        let Some(own) = sourced.get(&package.name) else {
            continue;
        };
        let needed: Builds = before
            .iter()
            .flat_map(|name| builds.get(name).into_iter().flatten())
            .chain(&target.linked)
            .cloned()
            .collect();
        let mut done = plan_package(plan, target, package, own, &needed, &order);
        // Its own root may have found that the package does not want this architecture.
        done.retain(|(_, build)| {
            let row = known.get(build);
            !row.is_some_and(|row| matches!(row.state, TaskState::Excluded { .. }))
        });
        plan_tests(plan, target, package, &done, &needed);
        builds.insert(package.name.clone(), done);
    }
}

/// Packages with what they need first; ties in the order of the request.
fn in_order<'a>(packages: &[&'a PackageRequest], order: &Order) -> Vec<&'a PackageRequest> {
    let mut sorted: Vec<&PackageRequest> = packages.to_vec();
    // A package has a superset of what those before it need, so the count sorts topologically.
    sorted.sort_by_key(|package| order.before[&package.name].len());
    sorted
}

fn describe_cycle(cycle: &[PackageName], order: &Order) -> String {
    let mut text = String::from("these packages need each other to be built: ");
    for (i, name) in cycle.iter().enumerate() {
        let next = &cycle[(i + 1) % cycle.len()];
        let why = order.reasons.get(&(name.clone(), next.clone()));
        let why = why.map_or("", String::as_str);
        text.push_str(&format!("{name} after {next} ({why}); "));
    }
    text.push_str("build one of them in a request of its own first, and link it with `with:`");
    text
}

/// Build tasks of one package; the answer has those that will run.
fn plan_package(
    plan: &mut Plan,
    target: &Target<'_>,
    package: &PackageRequest,
    own: &Sourced<'_>,
    needed: &[(Architecture, TaskRef)],
    order: &Order,
) -> Builds {
    let mut builds = Vec::new();
    let because: Vec<&str> = order
        .reasons
        .iter()
        .filter(|((name, _), _)| *name == package.name)
        .map(|(_, why)| why.as_str())
        .collect();
    for arch in &target.architectures {
        let verdict = own
            .facts
            .architectures
            .iter()
            .find(|verdict| verdict.arch == *arch);
        let (scope, excluded) = match verdict.map(|verdict| &verdict.verdict) {
            Some(Ok(scope)) => (*scope, None),
            Some(Err(reason)) => (
                runner_api::BuildScope::ArchitectureOnly,
                Some(reason.clone()),
            ),
            None => {
                plan.note(
                    &package.name,
                    format!("its source says nothing about {arch}"),
                );
                continue;
            }
        };
        let spec = TaskSpec::Build(Box::new(BuildTask {
            package: package.name.clone(),
            platform: target.name.clone(),
            target: target.platform.clone(),
            keys: target.keys.clone(),
            arch: arch.clone(),
            scope,
            source: own.task.clone(),
            dependencies: if excluded.is_some() {
                Vec::new()
            } else {
                usable(target, arch, needed)
            },
            options: merged(&target.options, &package.options),
            limits: target.config.project.limits.clone(),
        }));
        let mut why = format!(
            "{} asks for {} on {} {arch}",
            target.path, package.name, target.name
        );
        if !because.is_empty() {
            why.push_str(&format!("; {}", because.join("; ")));
        }
        let task = plan.want(target.path, spec, why);
        let planned = plan.tasks.last_mut().expect("just added");
        planned.weight = package.weight;
        if let Some(reason) = excluded {
            planned.excluded = Some(reason);
        } else {
            builds.push((arch.clone(), task));
        }
    }
    builds
}

/// Of `builds`, those whose packages can be installed on `arch`: its own, and the first
/// architecture's, which hold the packages for all. A slow architecture holds up nobody else.
fn usable(
    target: &Target<'_>,
    arch: &Architecture,
    builds: &[(Architecture, TaskRef)],
) -> Vec<TaskRef> {
    let first = target.platform.architectures.primary();
    builds
        .iter()
        .filter(|(of, _)| of == arch || of == first)
        .map(|(_, task)| task.clone())
        .collect()
}

/// One test per build. The first architecture's build holds the packages for all architectures.
fn plan_tests(
    plan: &mut Plan,
    target: &Target<'_>,
    package: &PackageRequest,
    builds: &[(Architecture, TaskRef)],
    needed: &[(Architecture, TaskRef)],
) {
    for (arch, build) in builds {
        let mut dependencies = usable(target, arch, needed);
        if let Some((first, task)) = builds.first()
            && first == target.platform.architectures.primary()
            && first != arch
        {
            dependencies.push(task.clone());
        }
        let spec = TaskSpec::Test(Box::new(TestTask {
            package: package.name.clone(),
            platform: target.name.clone(),
            target: target.platform.clone(),
            keys: target.keys.clone(),
            arch: arch.clone(),
            build: build.clone(),
            dependencies,
            limits: target.config.project.limits.clone(),
        }));
        let why = format!(
            "every build is installed and checked before it can be released ({})",
            target.request.reason
        );
        plan.want(target.path, spec, why);
    }
}
