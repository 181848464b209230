//! Debian repositories: one suite with its pool, as `repo-deb` lays it out.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use pipeline_spec::{Layout, Sha256Digest};
use repo_deb::names::FileName;
use repo_deb::package::{self, Contents};
use repo_deb::source::Dsc;
use repo_deb::{
    ComposeError, Content, Digests, DirectoryCache, Entry, Fragment, Kind, PoolFile,
    STANZA_VERSION, StoreError, Suite,
};
use runner_agent::{Halt, Job};
use runner_api::{Artifact, ArtifactKind, BuiltPackage, ComposeTask, Placed, TreeFile};

use crate::cache::{Cache, Fragments, Used};
use crate::tree::Made;
use crate::unfit;

/// Largest .dsc, in bytes.
const MAX_DSC_BYTES: u64 = 4 << 20;

pub(crate) async fn make(
    job: &Job,
    task: &ComposeTask,
    content: Vec<Placed>,
    cache: &Arc<Cache>,
    time: u64,
) -> Result<Made, Halt> {
    let plan = Plan::new(task, time)?;
    let fragments = cache.fragments(&format!("deb-{STANZA_VERSION}"));
    let packages = content.iter().map(|placed| &placed.artifact);
    fragments.complete(job, packages, render).await?;
    let cache = Arc::clone(cache);
    tokio::task::spawn_blocking(move || plan.write(&content, &fragments, &cache))
        .await
        .map_err(|_| Halt::trouble("write the suite: the writer panicked"))?
}

/// The suite, and where it lies.
struct Plan {
    suite: Suite,
    /// `dists/<suite>`. The library names it by the codename.
    directory: String,
    time: u64,
}

impl Plan {
    fn new(task: &ComposeTask, time: u64) -> Result<Self, Halt> {
        let Layout::Deb {
            suite,
            codename,
            components,
            origin,
            label,
            description,
            ..
        } = &task.layout.layout
        else {
            return Err(Halt::trouble("compose a suite: the layout is not Debian's"));
        };
        let name = task.repository.as_str();
        let or_name = |text: &Option<String>| noun(text.as_deref().unwrap_or(name));
        let components = components.iter().map(|component| noun(component.as_str()));
        let architectures = task
            .layout
            .architectures
            .iter()
            .map(|arch| noun(arch.as_str()));
        Ok(Self {
            suite: Suite {
                origin: or_name(origin)?,
                label: or_name(label)?,
                codename: noun(codename.as_ref().unwrap_or(suite).as_str())?,
                suite: Some(noun(suite.as_str())?),
                version: None,
                description: description.as_deref().map(noun).transpose()?,
                components: components.collect::<Result<_, _>>()?,
                architectures: architectures.collect::<Result<_, _>>()?,
                upgrades: repo_deb::Upgrades::Automatic,
            },
            directory: format!("dists/{suite}"),
            time,
        })
    }

    fn write(self, content: &[Placed], fragments: &Fragments, cache: &Cache) -> Result<Made, Halt> {
        let mut used = Used::default();
        let mut placed = Vec::with_capacity(content.len());
        for package in content {
            let sha256 = package.artifact.sha256;
            used.0
                .insert(cache.spell(&fragments.path(&sha256.to_string())));
            placed.push(repo_deb::Placed {
                component: match package.component.as_str() {
                    "" => self.suite.components[0].clone(),
                    component => noun(component)?,
                },
                entry: entry(package, fragments)?,
            });
        }
        let blocks = cache.blocks("deb");
        let store = DirectoryCache::open(&blocks)
            .map_err(|cause| Halt::trouble(format!("open {}: {cause}", blocks.display())))?;
        let source = |entry: &Entry| -> Result<Arc<Fragment>, StoreError> {
            Ok(fragments.get(&digest(entry.digest())).map(Arc::new)?)
        };
        let composed =
            repo_deb::compose(&self.suite, &placed, &source, &store, self.time).map_err(explain)?;
        for key in &composed.blocks {
            let name = key.to_string();
            let path = blocks.join(&name[..2]).join(&name[2..]);
            used.0.insert(cache.spell(&path));
        }
        let mut made = Made {
            used,
            unsigned: BTreeSet::from([format!("{}/Release", self.directory)]),
            ..Made::default()
        };
        for file in composed.files {
            let path = match file.path.strip_prefix(&composed.directory) {
                Some(rest) => format!("{}{rest}", self.directory),
                None => file.path,
            };
            match file.content {
                Content::Bytes(bytes) => made.metadata.push((path, bytes)),
                Content::Stored { sha256, size } => {
                    let sha256 = digest(&sha256);
                    made.packages.push((path, TreeFile { sha256, size }));
                }
            }
        }
        Ok(made)
    }
}

/// What the suite has to know of a package. Of a binary package the record says it all, and the
/// library compares it with the package's own words when it writes them.
fn entry(placed: &Placed, fragments: &Fragments) -> Result<Entry, Halt> {
    let Placed {
        artifact, files, ..
    } = placed;
    match artifact.kind {
        ArtifactKind::Deb => {
            let claim = claim(artifact)?;
            let (kind, extension) = match artifact.name.ends_with(".udeb") {
                true => (Kind::Udeb, "udeb"),
                false => (Kind::Deb, "deb"),
            };
            let version: repo_deb::names::PackageVersion = noun(&claim.version)?;
            let name = format!(
                "{}_{}_{}.{extension}",
                claim.name,
                version.without_epoch(),
                claim.arch
            );
            Ok(Entry {
                kind,
                package: noun(&claim.name)?,
                architecture: noun(&claim.arch)?,
                source: noun(&claim.source)?,
                file: pool_file(&name, artifact)?,
                version,
                parts: Vec::new(),
            })
        }
        ArtifactKind::Dsc => {
            let fragment: Fragment = fragments
                .get(&artifact.sha256)
                .map_err(Halt::infrastructure)?;
            check_parts(artifact, &fragment.entry, files)?;
            Ok(fragment.entry)
        }
        _ => Err(unfit(format!(
            "{} is no Debian package, and the repository has format deb.",
            artifact.name
        ))),
    }
}

/// The store must have exactly the files that the .dsc lists.
fn check_parts(artifact: &Artifact, entry: &Entry, files: &[Artifact]) -> Result<(), Halt> {
    for part in &entry.parts {
        let there = files.iter().any(|file| {
            file.name == part.name.as_str()
                && file.size == part.size
                && file.sha256 == digest(&part.sha256)
        });
        if !there {
            return Err(unfit(format!(
                "{} cannot be published: it lists {} with SHA-256 {}, which its build did not record.",
                artifact.name, part.name, part.sha256
            )));
        }
    }
    Ok(())
}

fn claim(artifact: &Artifact) -> Result<&BuiltPackage, Halt> {
    artifact.package.as_ref().ok_or_else(|| {
        unfit(format!(
            "{} cannot be published: its build recorded no package name.",
            artifact.name
        ))
    })
}

fn pool_file(name: &str, artifact: &Artifact) -> Result<PoolFile, Halt> {
    Ok(PoolFile {
        name: noun::<FileName>(name)?,
        size: artifact.size,
        sha256: (*artifact.sha256.as_bytes()).into(),
    })
}

fn render(artifact: &Artifact, file: &Path) -> Result<Fragment, Halt> {
    let name = &artifact.name;
    let because = |error: &dyn std::error::Error| {
        let cause = error
            .source()
            .map(|cause| format!(": {cause}"))
            .unwrap_or_default();
        unfit(format!(
            "{name} cannot be published: failed to {error}{cause}."
        ))
    };
    let trouble = |cause| Halt::trouble(format!("read {}: {cause}", file.display()));
    match artifact.kind {
        ArtifactKind::Dsc if artifact.size > MAX_DSC_BYTES => Err(unfit(format!(
            "{name} cannot be published: it is larger than {MAX_DSC_BYTES} bytes."
        ))),
        ArtifactKind::Dsc => {
            let bytes = std::fs::read(file).map_err(trouble)?;
            let dsc = Dsc::parse(&bytes).map_err(|error| because(&error))?;
            Fragment::from_dsc(&dsc, &Digests::of(&bytes)).map_err(|error| because(&error))
        }
        _ => {
            let reader = File::open(file).map(BufReader::new).map_err(trouble)?;
            let package = package::read(reader, Contents::Skip).map_err(|error| because(&error))?;
            Fragment::from_package(&package).map_err(|error| because(&error))
        }
    }
}

fn explain(error: ComposeError) -> Halt {
    match error {
        ComposeError::Fragment { .. } => Halt::infrastructure(error),
        error => unfit(format!("The suite cannot be composed: failed to {error}.")),
    }
}

fn noun<T: FromStr>(text: &str) -> Result<T, Halt>
where
    T::Err: std::fmt::Display,
{
    text.parse()
        .map_err(|error| unfit(format!("The suite cannot be composed: {error}.")))
}

fn digest(sha256: &repo_deb::Sha256Digest) -> Sha256Digest {
    Sha256Digest::new(*sha256.as_bytes())
}
