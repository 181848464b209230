//! The source task: a source RPM, and what it says.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use runner_agent::{Halt, Job};
use runner_api::{ArtifactKind, BuiltPackage, Facts, FailureKind, Origin, Outcome, SourceTask};
use runner_build::{Fetched, fetch};

use crate::backend::{Backend, Tree};
use crate::{download, facts, lookaside};

pub(crate) async fn make<B: Backend>(
    backend: &B,
    job: &Job,
    task: &SourceTask,
) -> Result<Outcome, Halt> {
    if matches!(task.origin, Origin::Dsc { .. }) {
        let message = "a .dsc cannot be built for an RPM platform: name a source RPM or a git tree with a spec";
        return Err(Halt::failed(FailureKind::SourcePackage, message));
    }
    let input = job.dir().join("in");
    std::fs::create_dir_all(&input).map_err(Halt::infrastructure)?;
    let srpm = match fetch(job, &task.origin, &input, |_| Ok(Vec::new())).await? {
        Fetched::Tree(directory, time) => pack(backend, job, task, &directory, time).await?,
        Fetched::Srpm(path) | Fetched::Dsc(path) => {
            download::readable(&path)?;
            path
        }
    };
    let name = file_name(&srpm)?;
    let package =
        repo_rpm::Package::read(std::fs::File::open(&srpm).map_err(Halt::infrastructure)?)
            .map_err(|error| broken(format!("{name} cannot be read as a source RPM: {error}")))?;
    if !package.is_source() {
        return Err(broken(format!(
            "{name} is a binary package: name the source RPM it was built from"
        )));
    }
    let provides = backend.provides(job, task, &srpm).await?;
    let facts = facts::of(&package, &provides, &task.target.architectures);
    let described = BuiltPackage {
        name: package.name.clone(),
        version: package.evr(),
        arch: "src".to_owned(),
        source: package.name.clone(),
    };
    let artifact = job
        .store(&srpm, &name, ArtifactKind::Srpm, Some(described))
        .await?;
    Ok(Outcome::Succeeded {
        artifacts: vec![artifact],
        facts: Facts::Source(facts),
    })
}

fn broken(message: String) -> Halt {
    Halt::failed(FailureKind::SourcePackage, message)
}

fn file_name(path: &Path) -> Result<String, Halt> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.map(str::to_owned)
        .ok_or_else(|| broken("the source RPM's name is not UTF-8".to_owned()))
}

async fn pack<B: Backend>(
    backend: &B,
    job: &Job,
    task: &SourceTask,
    directory: &Path,
    time: i64,
) -> Result<PathBuf, Halt> {
    let spec = only_spec(directory)?;
    let extra = job.dir().join("extra");
    std::fs::create_dir_all(&extra).map_err(Halt::infrastructure)?;
    let tree = Tree {
        directory,
        spec: &spec,
        extra: &extra,
        time,
    };
    let mut absent = Vec::new();
    for listed in lookaside::read(directory)? {
        let beside = directory.join(&listed.name);
        if std::fs::symlink_metadata(&beside).is_ok_and(|meta| meta.is_file()) {
            listed.check(&beside)?;
        } else {
            absent.push(listed);
        }
    }
    if !absent.is_empty() {
        let addresses = lookaside::addresses(&backend.expand(job, task, &tree).await?);
        let mut fetched = BTreeSet::new();
        for listed in absent
            .into_iter()
            .filter(|listed| fetched.insert(listed.name.clone()))
        {
            let name = &listed.name;
            let address = addresses.get(name).ok_or_else(|| {
                let message = format!("`sources` lists {name}, which is neither beside the spec nor at an address: put the file into git, or write an http(s) address that ends in /{name} as Source of {spec}");
                Halt::failed(FailureKind::SourceMissing, message)
            })?;
            job.log().line(format!("fetching {address}"));
            let path = extra.join(name);
            download::source(address, &path).await?;
            listed.check(&path)?;
        }
    }
    backend.pack(job, task, &tree).await
}

fn only_spec(directory: &Path) -> Result<String, Halt> {
    let mut specs: Vec<String> = std::fs::read_dir(directory)
        .map_err(Halt::infrastructure)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".spec"))
        .collect();
    specs.sort();
    match &specs[..] {
        [spec] => Ok(spec.clone()),
        [] => Err(broken(
            "the tree has no .spec file: is `subdir` right?".to_owned(),
        )),
        several => Err(broken(format!(
            "the directory has {} spec files ({}): keep one, or put each into a directory of its own and name it with `subdir`",
            several.len(),
            several[..several.len().min(3)].join(", "),
        ))),
    }
}
