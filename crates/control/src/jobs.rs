//! Tasks that merging leaves to be done, as far as they are known beforehand: what is counted, what needs runners, and
//! what the expected duration is made of.
//!
//! Pure. Callers: the dry run, and whoever notes how long finished tasks took.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{TaskRow, Tasks};
use pipeline_spec::{
    Architecture, BuildRequest, Format, PackageName, Platform, PlatformName, RequestPath, Role,
};
use planner::Plan;
use runner_api::{TaskId, TaskRef, TaskSpec};

use crate::DryRunWork;

/// What a task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Source,
    Build,
    Test,
    SignPackages,
    Compose,
    SignMetadata,
    Smoke,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Build => "build",
            Self::Test => "test",
            Self::SignPackages => "sign-packages",
            Self::Compose => "compose",
            Self::SignMetadata => "sign-metadata",
            Self::Smoke => "smoke",
        }
    }
}

/// Tasks that take about as long as each other: the same work on the same thing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Series {
    pub(crate) kind: Kind,
    /// `package/app`, `repository/base`: the row where they are noted.
    pub(crate) subject: String,
    /// `build el-10 x86_64`: the place in it.
    pub(crate) name: String,
}

impl Series {
    pub(crate) fn of(spec: &TaskSpec) -> Self {
        match spec {
            TaskSpec::Source(it) => Self::package(Kind::Source, &it.package, &it.platform, None),
            TaskSpec::Build(it) => {
                Self::package(Kind::Build, &it.package, &it.platform, Some(&it.arch))
            }
            TaskSpec::Test(it) => {
                Self::package(Kind::Test, &it.package, &it.platform, Some(&it.arch))
            }
            TaskSpec::SignPackages(it) => {
                Self::repository(Kind::SignPackages, it.repository.as_str(), None)
            }
            TaskSpec::Compose(it) => Self::repository(Kind::Compose, it.repository.as_str(), None),
            TaskSpec::SignMetadata(it) => {
                Self::repository(Kind::SignMetadata, it.repository.as_str(), None)
            }
            TaskSpec::Smoke(it) => {
                Self::repository(Kind::Smoke, it.repository.as_str(), Some(&it.arch))
            }
        }
    }

    fn package(
        kind: Kind,
        package: &PackageName,
        platform: &PlatformName,
        arch: Option<&Architecture>,
    ) -> Self {
        let mut name = format!("{} {platform}", kind.word());
        if let Some(arch) = arch {
            name.push(' ');
            name.push_str(arch.as_str());
        }
        Self {
            kind,
            subject: format!("package/{package}"),
            name,
        }
    }

    fn repository(kind: Kind, repository: &str, arch: Option<&Architecture>) -> Self {
        let word = kind.word();
        Self {
            kind,
            subject: format!("repository/{repository}"),
            name: arch.map_or(word.to_owned(), |arch| format!("{word} {arch}")),
        }
    }
}

/// A task to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) series: Series,
    /// Who can do it.
    pub(crate) role: Role,
    /// `None`: on any architecture.
    pub(crate) arch: Option<Architecture>,
    /// Slots of a runner's capacity.
    pub(crate) slots: u8,
    /// Jobs that are done before it, by their places.
    pub(crate) after: Vec<usize>,
}

/// All of a dry run, in no order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Jobs {
    pub(crate) all: Vec<Job>,
    /// Of each request, which.
    of: BTreeMap<RequestPath, Vec<usize>>,
}

impl Jobs {
    /// How many of a request, by kind.
    pub(crate) fn work(&self, path: &RequestPath) -> DryRunWork {
        let mut work = DryRunWork::default();
        for at in self.of.get(path).into_iter().flatten() {
            match self.all[*at].series.kind {
                Kind::Source => work.sources += 1,
                Kind::Build => work.builds += 1,
                Kind::Test => work.tests += 1,
                Kind::SignPackages | Kind::Compose | Kind::SignMetadata | Kind::Smoke => {
                    work.releasing += 1;
                }
            }
        }
        work
    }

    fn add(&mut self, path: &RequestPath, job: Job) -> usize {
        let at = self.all.len();
        self.all.push(job);
        self.of.entry(path.clone()).or_default().push(at);
        at
    }

    /// Planned tasks that are not done. Answers where each is.
    pub(crate) fn add_plan(
        &mut self,
        path: &RequestPath,
        plan: &Plan,
        tasks: &Tasks,
    ) -> BTreeMap<TaskId, usize> {
        let mut places = BTreeMap::new();
        for planned in &plan.tasks {
            let known = tasks.get(&planned.task.id);
            if planned.excluded.is_some() || known.is_some_and(|row| row.state.is_closed()) {
                continue;
            }
            let inputs = planned.spec.inputs();
            let after = inputs
                .iter()
                .filter_map(|input| places.get(&input.id).copied());
            let job = Job {
                series: Series::of(&planned.spec),
                role: planned.spec.role(),
                arch: planned.spec.arch().cloned(),
                slots: planned.weight.slots(),
                after: after.collect(),
            };
            places.insert(planned.task.id.clone(), self.add(path, job));
        }
        places
    }

    /// Builds and tests that are planned only once the platform's last source is made: of each package on each
    /// architecture, unless its source could not be made, or the build is there. Answers which.
    pub(crate) fn add_following<'a>(
        &mut self,
        path: &RequestPath,
        following: &Following<'a>,
    ) -> Vec<(&'a PackageName, &'a Architecture)> {
        let Following {
            build,
            platform: (name, platform),
            archs,
            sources,
            tasks,
            places,
        } = following;
        let of_platform = sources.iter().filter(|(of, ..)| of == *name);
        let known: Vec<_> = of_platform
            .map(|(_, package, source)| (package, source, tasks.get(&source.id)))
            .collect();
        let is_open = |row: &Option<&TaskRow>| row.is_none_or(|row| !row.state.is_closed());
        if !known.iter().any(|(.., row)| is_open(row)) {
            return Vec::new();
        }
        let first: Vec<usize> = known
            .iter()
            .filter_map(|(_, source, _)| places.get(&source.id).copied())
            .collect();
        let role = match platform.format() {
            Format::Rpm => Role::BuildRpm,
            Format::Deb => Role::BuildDeb,
        };
        let mut builds: BTreeMap<&PackageName, Vec<(&Architecture, usize)>> = BTreeMap::new();
        for (package, source, row) in known {
            // Nothing follows a source that could not be made.
            if !is_open(&row) && !row.is_some_and(TaskRow::is_done) {
                continue;
            }
            let wanted = build.packages.iter().find(|it| it.name == *package);
            let slots = wanted.map_or(1, |it| it.weight.slots());
            for arch in archs.iter().filter(|arch| !is_built(tasks, source, arch)) {
                let job = |kind, role, slots, after| Job {
                    series: Series::package(kind, package, name, Some(arch)),
                    role,
                    arch: Some((*arch).clone()),
                    slots,
                    after,
                };
                let built = self.add(path, job(Kind::Build, role, slots, first.clone()));
                self.add(path, job(Kind::Test, Role::Test, 1, vec![built]));
                builds.entry(package).or_default().push((arch, built));
            }
        }
        self.order(build, platform.architectures.primary(), &builds);
        let builds = builds.into_iter();
        let builds = builds
            .flat_map(|(package, them)| them.into_iter().map(move |(arch, _)| (package, arch)));
        builds.collect()
    }

    /// Builds wait for those that the request names in `after`, on their own architecture and on the first.
    fn order(
        &mut self,
        build: &BuildRequest,
        primary: &Architecture,
        builds: &BTreeMap<&PackageName, Vec<(&Architecture, usize)>>,
    ) {
        for package in &build.packages {
            for (arch, at) in builds.get(&package.name).into_iter().flatten() {
                let before = package.after.iter().filter_map(|name| builds.get(name));
                let before = before.flatten();
                let before = before.filter(|(of, _)| of == arch || *of == primary);
                let before: Vec<usize> = before.map(|(_, at)| *at).collect();
                self.all[*at].after.extend(before);
            }
        }
    }

    /// What a release has done for one repository, a step behind the other, once `from` is built.
    pub(crate) fn add_release(
        &mut self,
        path: &RequestPath,
        from: &[RequestPath],
        (repository, signs_packages): (&str, bool),
        smoke: &[Architecture],
    ) {
        let builds = from.iter().filter_map(|path| self.of.get(path)).flatten();
        let mut after: Vec<usize> = builds.copied().collect();
        let mut steps = vec![
            (Kind::Compose, Role::Compose),
            (Kind::SignMetadata, Role::Sign),
        ];
        if signs_packages {
            steps.insert(0, (Kind::SignPackages, Role::Sign));
        }
        let job = |kind, role, arch: Option<&Architecture>, after| Job {
            series: Series::repository(kind, repository, arch),
            role,
            arch: arch.cloned(),
            slots: 1,
            after,
        };
        for (kind, role) in steps {
            after = vec![self.add(path, job(kind, role, None, after))];
        }
        for arch in smoke {
            self.add(
                path,
                job(Kind::Smoke, Role::Test, Some(arch), after.clone()),
            );
        }
    }

    /// Rows where it is noted how long such tasks took.
    pub(crate) fn subjects(&self) -> BTreeSet<&str> {
        let subjects = self.all.iter().map(|job| job.series.subject.as_str());
        subjects.collect()
    }
}

/// Of one platform of a build request.
pub(crate) struct Following<'a> {
    pub(crate) build: &'a BuildRequest,
    pub(crate) platform: (&'a PlatformName, &'a Platform),
    /// Those that the request wants.
    pub(crate) archs: &'a [&'a Architecture],
    /// Source tasks with platform and package.
    pub(crate) sources: &'a [(PlatformName, PackageName, TaskRef)],
    pub(crate) tasks: &'a Tasks,
    /// Of [`Jobs::add_plan`].
    pub(crate) places: &'a BTreeMap<TaskId, usize>,
}

/// Whether a build of that source has ended, or is not wanted on that architecture.
fn is_built(tasks: &Tasks, source: &TaskRef, arch: &Architecture) -> bool {
    tasks.values().any(|row| match &row.spec {
        TaskSpec::Build(build) => {
            build.source == *source && build.arch == *arch && row.state.is_closed()
        }
        _ => false,
    })
}
