//! The dry run of a release: what clients would see come and go.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{Note, Phase, Problem, RequestSpec, TaskRow, Tasks};
use pipeline_spec::{Config, Format, ReleaseRequest, RequestPath};
use planner::{
    Difference, HoldsTurn, PackageDifference, ReleasePreview, ReleaseView, RepositoryPreview,
    RequestView, is_built, preview_release,
};
use ports::Platform;
use runner_api::{Facts, TaskSpec};

use crate::compared::{Own, plan_of_release};
use crate::dry_run::{row_for, to};
use crate::files::Files;
use crate::jobs::Jobs;
use crate::load::Loaded;
use crate::{
    Control, DryRunPackage, DryRunRepository, DryRunRequest, DryRunTask, PackageChange, Result,
};

impl<P: Platform> Control<P> {
    /// `wish`: `None` for a revert.
    pub(crate) async fn dry_release(
        &self,
        config: &Config,
        files: Files<'_>,
        wish: Option<&ReleaseRequest>,
        (request, jobs): (&mut DryRunRequest, &mut Jobs),
    ) -> Result<()> {
        let known = self.load(&request.path).await?;
        let loaded = match (&known, wish) {
            (Some(loaded), _) => loaded.clone(),
            (None, _) => self.newcomer(&request.path, wish).await?,
        };
        let builds = wish.map_or(&[][..], |wish| &wish.from);
        let names = self.concerned(&loaded, wish).await?;
        let about = builds.iter().chain([&request.path]).cloned().collect();
        request.leans = self.leans(&about, &names).await?;
        let (preview, from) = self
            .preview(config, files, (wish, &loaded), Own::There)
            .await?;
        let whole = from.iter().all(|build| is_built(&build.view()));
        request.plan = plan_of_release(
            wish.map(|wish| RequestSpec::Release(Box::new(wish.clone())))
                .as_ref(),
            preview
                .repositories
                .iter()
                .map(|(name, it)| (name.to_string(), it)),
            whole,
        );
        let changes_nothing = preview.repositories.is_empty();
        request.problems = preview.problems;
        request.notes = preview.notes;
        for build in from.iter().filter(|build| is_stuck(&build.row.phase)) {
            let path = build.row.path.to_string();
            let why = format!(
                "it is {}, and the release would wait until it has succeeded: mend it, or run it again with `millrace retry {path}`",
                build.row.phase.word()
            );
            request.notes.retain(|note| note.subject != path);
            request.problems.push(Problem {
                subject: path,
                message: why,
            });
        }
        if !request.problems.is_empty() {
            return Ok(());
        }
        let awaited = awaited(&from);
        if !awaited.is_empty() {
            request.notes.push(Note {
                subject: request.path.to_string(),
                why: "it waits for its builds; which packages go where, and their versions, is known only after them".to_owned(),
            });
        }
        if wish.is_none() && changes_nothing {
            request.notes.push(Note {
                subject: request.path.to_string(),
                why: "nothing of it is published, so no repository changes".to_owned(),
            });
        }
        for (name, preview) in preview.repositories {
            let signs_packages = preview.format == Format::Rpm && wish.is_some();
            let repository = (name.as_str(), signs_packages);
            jobs.add_release(&request.path, builds, repository, &preview.smoke);
            let tasks = tasks(name.as_str(), &preview, &request.path, wish);
            request.tasks.extend(tasks);
            request.repositories.push(DryRunRepository {
                name,
                key: preview.key.to_string(),
                smoke: preview.smoke.iter().map(ToString::to_string).collect(),
                packages: preview.packages.into_iter().map(package).collect(),
                awaited: awaited.iter().cloned().collect(),
            });
        }
        Ok(())
    }

    /// What a release changes, and the builds that it is made of.
    pub(crate) async fn preview(
        &self,
        config: &Config,
        files: Files<'_>,
        (wish, loaded): (Option<&ReleaseRequest>, &Loaded),
        own: Own,
    ) -> Result<(ReleasePreview, Vec<Loaded>)> {
        let mut from = Vec::new();
        for path in wish.map_or(&[][..], |wish| &wish.from) {
            from.push(self.as_it_would_be(config, files, path).await?);
        }
        let names = self.concerned(loaded, wish).await?;
        let (mut repositories, _) = self.repositories(loaded, &names).await?;
        if own == Own::Aside {
            for repository in repositories.values_mut() {
                let others = &mut repository.contributions;
                others.retain(|it| it.release != loaded.row.path);
            }
        }
        let from_views: Vec<RequestView<'_>> = from.iter().map(Loaded::view).collect();
        let preview = preview_release(&ReleaseView {
            request: loaded.view(),
            wish,
            config,
            from: &from_views,
            repositories: &repositories,
            holds_turn: HoldsTurn::No,
        });
        Ok((preview, from))
    }

    /// A release that would be admitted: last in the order of merges.
    async fn newcomer(&self, path: &RequestPath, wish: Option<&ReleaseRequest>) -> Result<Loaded> {
        let (head, _) = self.head_row().await?;
        let mut loaded = Loaded::awaited(path);
        loaded.row.sequence = head.sequence + 1;
        loaded.row.spec = wish.map(|wish| RequestSpec::Release(Box::new(wish.clone())));
        Ok(loaded)
    }

    /// A build as the ledger has it, unless the tree wants another one.
    async fn as_it_would_be(
        &self,
        config: &Config,
        files: Files<'_>,
        path: &RequestPath,
    ) -> Result<Loaded> {
        let known = self.load(path).await?;
        let wanted = match self.read_file(files, path.as_str()).await? {
            Some(text) => {
                let wish = self.read_wish(config, files, path, &text).await?;
                wish.ok().map(|(spec, _)| spec)
            }
            None => None,
        };
        Ok(match (known, wanted) {
            (Some(loaded), Some(spec)) if loaded.row.spec.as_ref() == Some(&spec) => loaded,
            (_, Some(spec)) => Loaded {
                row: row_for(path, to(files), spec),
                ..Loaded::awaited(path)
            },
            (Some(loaded), None) => loaded,
            (None, None) => Loaded::awaited(path),
        })
    }
}

/// Without a person it does not succeed any more.
fn is_stuck(phase: &Phase) -> bool {
    matches!(phase, Phase::Failed | Phase::Canceled)
}

/// Names of packages that are not built: of binary packages where the source is made, else of sources.
fn awaited(from: &[Loaded]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for build in from.iter().filter(|it| it.row.phase != Phase::Succeeded) {
        let Some(RequestSpec::Build(request)) = &build.row.spec else {
            continue;
        };
        let sources = provided(&build.tasks);
        for package in &request.packages {
            match sources.get(package.name.as_str()) {
                Some(provides) => names.extend(provides.iter().cloned()),
                None => _ = names.insert(package.name.to_string()),
            }
        }
    }
    names
}

/// Binary packages that sources say they make. What has brackets or slashes is a capability.
fn provided(tasks: &Tasks) -> BTreeMap<&str, Vec<String>> {
    let facts = |row: &TaskRow| match row.facts() {
        Some(Facts::Source(facts)) => Some(facts.provides.clone()),
        _ => None,
    };
    let mut sources = BTreeMap::new();
    for row in tasks.values().filter(|row| row.is_done()) {
        if let (TaskSpec::Source(task), Some(mut provides)) = (&row.spec, facts(row)) {
            provides.retain(|name| !name.contains(['(', '/', ' ', '=']));
            if !provides.is_empty() {
                sources.insert(task.package.as_str(), provides);
            }
        }
    }
    sources
}

fn package(difference: PackageDifference) -> DryRunPackage {
    DryRunPackage {
        name: difference.name,
        arch: difference.arch,
        from: difference.from,
        to: difference.to,
        change: match difference.change {
            Difference::Added => PackageChange::Added,
            Difference::Upgraded => PackageChange::Upgraded,
            Difference::Downgraded => PackageChange::Downgraded,
            Difference::Hidden => PackageChange::Hidden,
            Difference::Removed => PackageChange::Removed,
        },
    }
}

fn tasks(
    name: &str,
    preview: &RepositoryPreview,
    path: &RequestPath,
    wish: Option<&ReleaseRequest>,
) -> Vec<DryRunTask> {
    let key = &preview.key;
    let mut titles = Vec::new();
    if preview.format == Format::Rpm && wish.is_some() {
        titles.push((
            format!("sign packages for {name} with {key}"),
            "clients check the signature inside each package".to_owned(),
        ));
    }
    let what = wish.map_or("leaves", |_| "adds to");
    titles.push((format!("compose {name}"), format!("{path} {what} {name}")));
    titles.push((
        format!("sign metadata of {name} with {key}"),
        "clients believe the indexes by their signature".to_owned(),
    ));
    for arch in &preview.smoke {
        titles.push((
            format!("smoke-test {name} on {arch}"),
            "the real client judges it before it is public".to_owned(),
        ));
    }
    titles.push((
        format!("publish {name}"),
        "all repositories of a release or none".to_owned(),
    ));
    let task = |(title, why)| DryRunTask {
        title,
        why,
        state: "new".to_owned(),
    };
    titles.into_iter().map(task).collect()
}
