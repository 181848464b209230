//! What runners make, in miniature, and upload. The same grant always gives the same result.

use bytes::Bytes;
use memory::MemoryPlatform;
use pipeline_spec::Architecture;
use ports::{ArtifactStore, Platform};
use runner_api::{
    ArchVerdict, Artifact, ArtifactKind, BuildFacts, BuildScope, BuiltPackage, Facts, Failure,
    FailureKind, Grant, Origin, Outcome, Placed, SourceFacts, TaskSpec, TestCase, TestFacts, Tree,
    TreeFile,
};

use crate::upstream;

pub(crate) struct Workshop<'a> {
    pub(crate) memory: &'a MemoryPlatform,
}

fn failure(message: &str) -> Outcome {
    Outcome::Failed {
        failure: Failure {
            kind: FailureKind::Build,
            message: message.to_owned(),
            excerpt: Vec::new(),
        },
        artifacts: Vec::new(),
    }
}

impl Workshop<'_> {
    pub(crate) async fn work(&self, grant: &Grant) -> Outcome {
        let (artifacts, facts) = match &grant.spec {
            TaskSpec::Source(task) => {
                let Origin::Git { commit, .. } = &task.origin else {
                    return failure("only git is simulated");
                };
                let archs: Vec<Architecture> = task.target.architectures.iter().cloned().collect();
                let version = format!("{}.0-1", upstream::version(commit));
                let source = (task.package.as_str(), version.as_str());
                self.source(source, task.target.format(), &archs).await
            }
            TaskSpec::Build(task) => {
                let source = grant.inputs[&task.source.id]
                    .iter()
                    .find_map(|artifact| artifact.package.clone())
                    .expect("a source task makes a source package");
                if upstream::is_broken(&source.version) {
                    return failure("this version does not compile");
                }
                let source = (task.package.as_str(), source.version.as_str());
                let arch = task.arch.as_str();
                self.build(source, task.target.format(), arch, task.scope)
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
                let Some(content) = content.expect("memory") else {
                    // A runner that was asleep, of a task that nobody knows any more.
                    return Outcome::Infrastructure {
                        message: "fetch the content: it is not in the store".to_owned(),
                    };
                };
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
        (name, version): (&str, &str),
        format: pipeline_spec::Format,
        archs: &[Architecture],
    ) -> (Vec<Artifact>, Facts) {
        let artifacts = match format {
            pipeline_spec::Format::Rpm => {
                let file = format!("{name}-{version}.src.rpm");
                vec![
                    self.package(&file, ArtifactKind::Srpm, (name, version, "src"))
                        .await,
                ]
            }
            pipeline_spec::Format::Deb => {
                let file = format!("{name}_{version}.dsc");
                let tar = format!("{name}_{version}.tar.xz");
                vec![
                    self.package(&file, ArtifactKind::Dsc, (name, version, "source"))
                        .await,
                    self.file(&tar, tar.clone(), ArtifactKind::SourceFile, None)
                        .await,
                ]
            }
        };
        let verdict = |(i, arch): (usize, &Architecture)| ArchVerdict {
            arch: arch.clone(),
            verdict: Ok(if i == 0 {
                BuildScope::All
            } else {
                BuildScope::ArchitectureOnly
            }),
        };
        let facts = SourceFacts {
            name: name.to_owned(),
            version: version.to_owned(),
            build_requires: upstream::requires(name),
            provides: vec![name.to_owned(), format!("{name}-devel")],
            architectures: archs.iter().enumerate().map(verdict).collect(),
        };
        (artifacts, Facts::Source(facts))
    }

    async fn build(
        &self,
        (name, version): (&str, &str),
        format: pipeline_spec::Format,
        arch: &str,
        scope: BuildScope,
    ) -> (Vec<Artifact>, Facts) {
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
            let mut artifact = self.package(&file, kind, (&package, version, arch)).await;
            if let Some(package) = &mut artifact.package {
                package.source = name.to_owned();
            }
            artifacts.push(artifact);
        }
        let list = format!("buildroot of {name} {version} on {arch}");
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
        // Which only the tree names.
        let list = format!("{names:?}");
        let list = self.file("", list, ArtifactKind::Unsigned, None).await;
        let index = format!("{} at {time}", list.sha256);
        let name = "repodata/repomd.xml";
        let unsigned = self.file(name, index, ArtifactKind::Unsigned, None).await;
        let file = TreeFile {
            sha256: unsigned.sha256,
            size: unsigned.size,
        };
        tree.files.insert(name.to_owned(), file);
        let file = TreeFile {
            sha256: list.sha256,
            size: list.size,
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
        (name, version, arch): (&str, &str, &str),
    ) -> Artifact {
        let package = BuiltPackage {
            name: name.to_owned(),
            version: version.to_owned(),
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
