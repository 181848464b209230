//! Which built file goes into which repository.

use std::collections::BTreeMap;

use ledger::{Phase, TaskRow};
use pipeline_spec::{Architecture, PackageName, ReleaseRequest, Repository, RepositoryName};
use runner_api::{Artifact, ArtifactKind, Placed, TaskRef, TaskSpec};

use super::Planning;
use crate::RequestView;
use crate::view::is_built;

impl Planning<'_> {
    /// Which built file goes into which repository; `None`: builds are not done.
    pub(super) fn placed(&mut self) -> Option<BTreeMap<RepositoryName, Vec<Placed>>> {
        let mut placed: BTreeMap<RepositoryName, Vec<Placed>> = self
            .view
            .repositories
            .keys()
            .map(|name| (name.clone(), Vec::new()))
            .collect();
        let Some(wish) = self.view.wish else {
            return Some(placed);
        };
        let mut ready = true;
        for build in self.view.from {
            let phase = &build.row.phase;
            if is_built(build) {
                continue;
            }
            let why = if phase.is_at_rest() {
                format!(
                    "it is {}; the release waits until it has succeeded",
                    phase.word()
                )
            } else {
                "the release waits for it".to_owned()
            };
            if matches!(phase, Phase::Removed | Phase::Invalid) {
                self.plan.problem(
                    &build.row.path,
                    format!("the build is {}, so it cannot be released", phase.word()),
                );
            } else {
                ready = false;
                self.plan.note(&build.row.path, why);
            }
        }
        if !ready {
            return None;
        }
        for build in self.view.from {
            for row in build.tasks.values() {
                self.place_task(wish, build, row, &mut placed);
            }
        }
        for (name, packages) in &mut placed {
            packages.sort_by(|a, b| {
                (&a.artifact.name, &a.artifact.sha256).cmp(&(&b.artifact.name, &b.artifact.sha256))
            });
            packages.dedup_by(|a, b| {
                a.artifact.name == b.artifact.name && a.artifact.sha256 == b.artifact.sha256
            });
            if packages.is_empty() && wish.to.contains(name) {
                self.plan.problem(name, "no package of the builds is placed here: check the repository's platform, `accepts` and `refuses`");
            }
        }
        Some(placed)
    }

    pub(super) fn place_task(
        &mut self,
        wish: &ReleaseRequest,
        build: &RequestView<'_>,
        row: &TaskRow,
        placed: &mut BTreeMap<RepositoryName, Vec<Placed>>,
    ) {
        if !row.is_done() {
            return;
        }
        let (platform, source) = match &row.spec {
            TaskSpec::Build(task) => (&task.platform, &task.package),
            TaskSpec::Source(task) if is_used(build, &row.task) => (&task.platform, &task.package),
            _ => return,
        };
        let files: Vec<Artifact> = row
            .artifacts()
            .iter()
            .filter(|file| file.kind == ArtifactKind::SourceFile)
            .cloned()
            .collect();
        for artifact in row
            .artifacts()
            .iter()
            .filter(|artifact| is_released(artifact.kind))
        {
            let Some(package) = &artifact.package else {
                continue;
            };
            let source: PackageName = package.source.parse().unwrap_or_else(|_| source.clone());
            for name in self.destinations(wish, platform, &source, package) {
                let repository = &self.view.config.repositories[&name];
                placed.entry(name).or_default().push(Placed {
                    artifact: artifact.clone(),
                    component: first_component(repository),
                    built_by: row.task.clone(),
                    files: if artifact.kind == ArtifactKind::Dsc {
                        files.clone()
                    } else {
                        Vec::new()
                    },
                });
            }
        }
    }

    /// By the first of `place` that matches, else by the rules of the repositories in `to`.
    fn destinations(
        &self,
        wish: &ReleaseRequest,
        platform: &pipeline_spec::PlatformName,
        source: &PackageName,
        package: &runner_api::BuiltPackage,
    ) -> Vec<RepositoryName> {
        let fits = |name: &&RepositoryName| {
            self.view
                .config
                .repositories
                .get(*name)
                .is_some_and(|repository| {
                    let arch = package.arch.parse::<Architecture>().ok();
                    repository.platform == *platform
                        && arch.is_none_or(|arch| repository.architectures.contains(&arch))
                })
        };
        let exception = wish
            .place
            .iter()
            .filter(|placement| placement.package.matches(&package.name))
            .map(|placement| &placement.into)
            .find(fits);
        if let Some(name) = exception {
            return vec![name.clone()];
        }
        wish.to
            .iter()
            .filter(fits)
            .filter(|name| self.view.config.repositories[*name].takes(source, &package.name))
            .cloned()
            .collect()
    }
}

/// A source package is released with its binaries, never alone.
fn is_used(build: &RequestView<'_>, source: &TaskRef) -> bool {
    build.tasks.values().any(|row| {
        matches!(&row.spec, TaskSpec::Build(task) if task.source == *source) && row.is_done()
    })
}

fn is_released(kind: ArtifactKind) -> bool {
    matches!(
        kind,
        ArtifactKind::Rpm | ArtifactKind::Srpm | ArtifactKind::Deb | ArtifactKind::Dsc
    )
}

fn first_component(repository: &Repository) -> String {
    match &repository.layout {
        pipeline_spec::Layout::Rpm { .. } => String::new(),
        pipeline_spec::Layout::Deb { components, .. } => components
            .first()
            .map(ToString::to_string)
            .unwrap_or_default(),
    }
}
