//! One repository of a release: what it is to hold, and the tasks that make, sign and judge it.

use std::collections::BTreeSet;

use ledger::{Contribution, TaskRow};
use pipeline_spec::{
    Architecture, KeyFilePath, KeyId, Private, Repository, RepositoryName, RequestPath,
    Sha256Digest,
};
use runner_api::{
    Artifact, ArtifactKind, ComposeTask, KeyFiles, Placed, PrivateHalf, Published,
    SignMetadataTask, SmokeTask, TaskRef, TaskSpec, TreeFile,
};
use sha2::{Digest, Sha256};

use super::content::kept;
use super::{Document, Planning};
use crate::effective_platform;

impl Planning<'_> {
    /// What the repository is to hold: what the other releases added, and `own`. Releases are merged
    /// in their own order, whichever of them is published first.
    pub(super) fn content(&self, name: &RepositoryName, own: &[Placed]) -> Vec<Placed> {
        let row = self.view.request.row;
        let mut released: Vec<(u64, &RequestPath, &[Placed])> = self.view.repositories[name]
            .contributions
            .iter()
            .filter(|contribution: &&Contribution| contribution.release != row.path)
            .map(|other| (other.sequence, &other.release, &other.packages[..]))
            .chain([(row.sequence, &row.path, own)])
            .collect();
        released.sort_by_key(|(sequence, release, _)| (*sequence, *release));
        let packages = released.into_iter().flat_map(|(_, _, packages)| packages);
        packages.cloned().collect()
    }

    /// Compose, sign, smoke. What is to be published once all three are done.
    pub(super) fn staged(
        &mut self,
        name: &RepositoryName,
        packages: &[Placed],
    ) -> Option<Published> {
        let Some(repository) = self.view.config.repositories.get(name).cloned() else {
            self.plan.problem(name, format!("repositories/{name}.yaml is gone while packages of this release are in it: bring it back until the release is out"));
            return None;
        };
        let row = self.view.request.row;
        let content = self.content(name, packages);
        let content = serde_json::to_vec(&kept(&repository, content))
            .expect("placed packages have only string keys");
        let digest = Sha256Digest::new(Sha256::digest(&content).into());
        let what = if self.view.wish.is_some() {
            "adds to"
        } else {
            "leaves"
        };
        let compose = self.plan.want(
            &row.path,
            TaskSpec::Compose(Box::new(ComposeTask {
                repository: name.clone(),
                layout: repository.clone(),
                content: digest,
                time: row.time,
            })),
            format!("{} {what} {name}", row.path),
        );
        self.documents.push(Document {
            named_by: Some(compose.id.clone()),
            bytes: content,
        });
        let signatures = self.plan.want(
            &row.path,
            TaskSpec::SignMetadata(Box::new(SignMetadataTask {
                repository: name.clone(),
                key: repository.key.clone(),
                files: self.key_files(&repository.key),
                compose: compose.clone(),
                time: row.time,
            })),
            format!("clients believe the indexes of {name} by their signature"),
        );
        let smoked = self.smoked(name, &repository, packages, (&compose, &signatures))?;
        let compose = self.done(&compose)?;
        let signatures = self.done(&signatures)?;
        let tree = compose
            .artifacts()
            .iter()
            .find(|artifact| artifact.kind == ArtifactKind::Tree);
        let Some(tree) = tree else {
            self.plan.problem(
                name,
                "the compose answered without a tree: look at the composer",
            );
            return None;
        };
        smoked.then(|| self.published(name, tree, signatures, packages))
    }

    /// What the signer has to know of a key. `None`: its private half is where no signer of today looks.
    pub(super) fn key_files(&self, key: &KeyId) -> Option<KeyFiles> {
        let config = self.view.config;
        let private = match &config.keys.get(key)?.private {
            Private::File(name) => PrivateHalf::File(name.clone()),
            Private::Kms(key) => PrivateHalf::Kms { kms: key.clone() },
            Private::Pkcs11(_) => return None,
        };
        let public = config.key_files.get(&KeyFilePath::of_key(key))?;
        let public = String::from_utf8(public.clone()).ok()?;
        Some(KeyFiles { private, public })
    }

    /// One smoke test per architecture that the release touches. `None`: it cannot be planned.
    fn smoked(
        &mut self,
        name: &RepositoryName,
        repository: &Repository,
        packages: &[Placed],
        (compose, signatures): (&TaskRef, &TaskRef),
    ) -> Option<bool> {
        let config = self.view.config;
        let (target, _, keys) = match effective_platform(config, &repository.platform, &[]) {
            Ok(found) => found,
            Err(message) => {
                self.plan.problem(name, message);
                return None;
            }
        };
        let key_file = KeyFilePath::of_key(&repository.key);
        let public_key = config
            .key_files
            .get(&key_file)
            .and_then(|bytes| String::from_utf8(bytes.clone()).ok());
        let Some(public_key) = public_key else {
            self.plan.problem(
                name,
                format!("{key_file} is missing: add the public half of the key there"),
            );
            return None;
        };
        let mut passed = true;
        for arch in touched(repository, packages) {
            let install = binaries(packages, &arch);
            let spec = TaskSpec::Smoke(Box::new(SmokeTask {
                repository: name.clone(),
                layout: repository.clone(),
                public_key: public_key.clone(),
                platform: repository.platform.clone(),
                target: target.clone(),
                keys: keys.clone(),
                arch: arch.clone(),
                compose: compose.clone(),
                signatures: signatures.clone(),
                install,
                limits: config.project.limits.clone(),
            }));
            let why = format!("the real client judges {name} before it is public");
            let task = self.plan.want(&self.view.request.row.path, spec, why);
            passed &= self.done(&task).is_some();
        }
        Some(passed)
    }

    fn published(
        &self,
        name: &RepositoryName,
        tree: &Artifact,
        signatures: &TaskRow,
        packages: &[Placed],
    ) -> Published {
        let present = self.view.repositories[name].pointer.as_ref();
        Published {
            generation: present.map_or(1, |pointer| pointer.generation + 1),
            tree: tree.sha256,
            signatures: signatures
                .artifacts()
                .iter()
                .filter(|artifact| artifact.kind == ArtifactKind::Signature)
                .map(|file| {
                    (
                        file.name.clone(),
                        TreeFile {
                            sha256: file.sha256,
                            size: file.size,
                        },
                    )
                })
                .collect(),
            packages: packages.to_vec(),
            previous: present.map(|pointer| pointer.publication),
        }
    }
}

/// Architectures that have new packages; the first one when nothing depends on the architecture.
pub(super) fn touched(repository: &Repository, packages: &[Placed]) -> Vec<Architecture> {
    let archs: BTreeSet<Architecture> = packages
        .iter()
        .filter_map(|placed| placed.artifact.package.as_ref()?.arch.parse().ok())
        .filter(|arch| repository.architectures.contains(arch))
        .collect();
    if archs.is_empty() {
        vec![repository.architectures.primary().clone()]
    } else {
        archs.into_iter().collect()
    }
}

fn binaries(packages: &[Placed], arch: &Architecture) -> Vec<String> {
    let names: BTreeSet<String> = packages
        .iter()
        .filter(|placed| matches!(placed.artifact.kind, ArtifactKind::Rpm | ArtifactKind::Deb))
        .filter_map(|placed| placed.artifact.package.as_ref())
        .filter(|package| {
            package.arch == arch.as_str() || matches!(package.arch.as_str(), "noarch" | "all")
        })
        .map(|package| package.name.clone())
        .collect();
    names.into_iter().collect()
}
