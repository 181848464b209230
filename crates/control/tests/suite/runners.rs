//! Runners that make what a real one would, in miniature, and upload it.

use std::collections::BTreeMap;

use bytes::Bytes;
use memory::MemoryPlatform;
use pipeline_spec::{Architecture, RunnerId};
use ports::{ArtifactStore, Platform};
use runner_api::{
    ArchVerdict, Artifact, ArtifactKind, BuildFacts, BuildScope, BuiltPackage, Facts, Failure,
    FailureKind, Grant, Outcome, Placed, ResultManifest, SourceFacts, TaskSpec, TestCase,
    TestFacts, Tree, TreeFile,
};

/// What the sources say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Upstream {
    /// Package → version.
    pub(crate) versions: BTreeMap<String, String>,
    /// Package → what it build-requires.
    pub(crate) requires: BTreeMap<String, Vec<String>>,
    /// Package and architecture → the line that excludes it.
    pub(crate) excluded: BTreeMap<(String, String), String>,
}

impl Upstream {
    fn version(&self, package: &str) -> String {
        let known = self.versions.get(package).cloned();
        known.unwrap_or_else(|| "1.0-1".to_owned())
    }
}

pub(crate) struct Workshop<'a> {
    pub(crate) memory: &'a MemoryPlatform,
    pub(crate) upstream: &'a Upstream,
}

pub(crate) fn manifest(grant: &Grant, runner: &RunnerId, outcome: Outcome) -> ResultManifest {
    ResultManifest {
        version: runner_api::VERSION,
        task: grant.task.clone(),
        attempt: grant.attempt,
        runner: runner.clone(),
        outcome,
        log: None,
        started: 100,
        finished: 160,
    }
}

pub(crate) fn failure(kind: FailureKind, message: &str) -> Outcome {
    Outcome::Failed {
        failure: Failure {
            kind,
            message: message.to_owned(),
            excerpt: Vec::new(),
        },
        artifacts: Vec::new(),
    }
}

pub(crate) fn trouble(message: &str) -> Outcome {
    Outcome::Infrastructure {
        message: message.to_owned(),
    }
}

impl Workshop<'_> {
    pub(crate) async fn work(&self, grant: &Grant) -> Outcome {
        let (artifacts, facts) = match &grant.spec {
            TaskSpec::Source(task) => {
                let name = task.package.as_str();
                let archs: Vec<Architecture> = task.target.architectures.iter().cloned().collect();
                self.source(name, task.target.format(), &archs).await
            }
            TaskSpec::Build(task) => {
                let name = task.package.as_str();
                let arch = task.arch.as_str();
                self.build(name, task.target.format(), arch, task.scope)
                    .await
            }
            TaskSpec::Test(_) | TaskSpec::Smoke(_) => {
                let cases = vec![TestCase {
                    name: "install".to_owned(),
                    problem: None,
                }];
                (Vec::new(), Facts::Test(TestFacts { cases }))
            }
            TaskSpec::SignPackages(task) => {
                let mut signed = Vec::new();
                for recorded in &task.packages {
                    let given = &recorded.artifact;
                    let text = format!("{} signed at {}", given.sha256, task.time);
                    let package = given.package.clone();
                    signed.push(self.file(&given.name, text, given.kind, package).await);
                }
                (signed, Facts::Nothing)
            }
            TaskSpec::Compose(task) => {
                let content = self.memory.store().get(&task.content, u64::MAX).await;
                let content = content.expect("memory").expect("the content is stored");
                let content: Vec<Placed> = serde_json::from_slice(&content).expect("its format");
                (self.compose(&content, task.time).await, Facts::Nothing)
            }
            TaskSpec::SignMetadata(task) => {
                let unsigned = grant.inputs[&task.compose.id]
                    .iter()
                    .find(|artifact| artifact.kind == ArtifactKind::Unsigned)
                    .expect("the compose made one");
                let name = format!("{}.asc", unsigned.name);
                let text = format!("{} signed at {}", unsigned.sha256, task.time);
                let signature = self.file(&name, text, ArtifactKind::Signature, None).await;
                (vec![signature], Facts::Nothing)
            }
        };
        Outcome::Succeeded { artifacts, facts }
    }

    async fn source(
        &self,
        name: &str,
        format: pipeline_spec::Format,
        archs: &[Architecture],
    ) -> (Vec<Artifact>, Facts) {
        let version = self.upstream.version(name);
        let artifacts = match format {
            pipeline_spec::Format::Rpm => {
                let file = format!("{name}-{version}.src.rpm");
                vec![self.package(&file, ArtifactKind::Srpm, (name, "src")).await]
            }
            pipeline_spec::Format::Deb => {
                let file = format!("{name}_{version}.dsc");
                let tar = format!("{name}_{version}.tar.xz");
                vec![
                    self.package(&file, ArtifactKind::Dsc, (name, "source"))
                        .await,
                    self.file(&tar, tar.clone(), ArtifactKind::SourceFile, None)
                        .await,
                ]
            }
        };
        let verdict = |(i, arch): (usize, &Architecture)| {
            let key = (name.to_owned(), arch.to_string());
            let verdict = match self.upstream.excluded.get(&key) {
                Some(line) => Err(line.clone()),
                None if i == 0 => Ok(BuildScope::All),
                None => Ok(BuildScope::ArchitectureOnly),
            };
            ArchVerdict {
                arch: arch.clone(),
                verdict,
            }
        };
        let facts = SourceFacts {
            name: name.to_owned(),
            version,
            build_requires: self
                .upstream
                .requires
                .get(name)
                .cloned()
                .unwrap_or_default(),
            provides: vec![name.to_owned(), format!("{name}-devel")],
            architectures: archs.iter().enumerate().map(verdict).collect(),
        };
        (artifacts, Facts::Source(facts))
    }

    async fn build(
        &self,
        name: &str,
        format: pipeline_spec::Format,
        arch: &str,
        scope: BuildScope,
    ) -> (Vec<Artifact>, Facts) {
        let version = self.upstream.version(name);
        let (kind, all) = match format {
            pipeline_spec::Format::Rpm => (ArtifactKind::Rpm, "noarch"),
            pipeline_spec::Format::Deb => (ArtifactKind::Deb, "all"),
        };
        let mut made = vec![(name.to_owned(), arch)];
        if scope == BuildScope::All {
            made.push((format!("{name}-doc"), all));
        }
        let mut artifacts = Vec::new();
        for (package, arch) in made {
            let file = format!("{package}-{version}.{arch}.pkg");
            let mut artifact = self.package(&file, kind, (&package, arch)).await;
            if let Some(package) = &mut artifact.package {
                package.source = name.to_owned();
                package.version = version.clone();
            }
            artifacts.push(artifact);
        }
        let list = format!("buildroot of {name} on {arch}");
        let root = self
            .file("buildroot.json", list, ArtifactKind::Buildroot, None)
            .await;
        let facts = Facts::Build(BuildFacts {
            buildroot: root.sha256,
        });
        artifacts.push(root);
        (artifacts, facts)
    }

    async fn compose(&self, content: &[Placed], time: i64) -> Vec<Artifact> {
        let mut tree = Tree {
            version: runner_api::VERSION,
            ..Tree::default()
        };
        for placed in content {
            for artifact in std::iter::once(&placed.artifact).chain(&placed.files) {
                let file = TreeFile {
                    sha256: artifact.sha256,
                    size: artifact.size,
                };
                let path = format!("Packages/{}", artifact.name);
                let before = tree.files.insert(path, file.clone());
                assert!(
                    before.is_none_or(|before| before == file),
                    "{}",
                    artifact.name
                );
            }
        }
        let names: Vec<&String> = tree.files.keys().collect();
        // As real indexes are: the tree alone names it.
        let list = format!("{names:?}");
        let primary = self
            .file("primary.xml", list, ArtifactKind::Unsigned, None)
            .await;
        let index = format!("{} at {time}", primary.sha256);
        let name = "repodata/repomd.xml";
        let unsigned = self.file(name, index, ArtifactKind::Unsigned, None).await;
        let file = TreeFile {
            sha256: unsigned.sha256,
            size: unsigned.size,
        };
        tree.files.insert(name.to_owned(), file);
        let file = TreeFile {
            sha256: primary.sha256,
            size: primary.size,
        };
        tree.files.insert("repodata/primary.xml".to_owned(), file);
        let text = serde_json::to_string(&tree).expect("string keys");
        let tree = self.file("tree.json", text, ArtifactKind::Tree, None).await;
        vec![tree, unsigned]
    }

    async fn package(
        &self,
        file: &str,
        kind: ArtifactKind,
        (name, arch): (&str, &str),
    ) -> Artifact {
        let package = BuiltPackage {
            name: name.to_owned(),
            version: self.upstream.version(name),
            arch: arch.to_owned(),
            source: name.to_owned(),
        };
        let text = format!("the bytes of {file}");
        self.file(file, text, kind, Some(package)).await
    }

    async fn file(
        &self,
        name: &str,
        text: String,
        kind: ArtifactKind,
        package: Option<BuiltPackage>,
    ) -> Artifact {
        let size = text.len() as u64;
        let sha256 = self.memory.store().put(Bytes::from(text)).await;
        Artifact {
            name: name.to_owned(),
            sha256: sha256.expect("memory"),
            size,
            kind,
            package,
        }
    }
}
