//! A state repository in memory with people who approve of its releases, and what they are shown by.

use std::path::Path;

use approvals::{Id, Kind, Objects, People, Subject, Walk, prove};
use memory::MemoryStateRepo;
use openpgp::{KeyKind, SigningKey};
use ports::{NewCommit, ObjectKind, StateRepo as _};
use runner_api::Proof;

/// 2026-11-01, of every commit. The keys have no end, so that no day breaks the tests.
const TIME: i64 = 1_793_491_200;

pub(crate) struct History {
    repo: MemoryStateRepo,
    alice: SigningKey,
    bob: SigningKey,
    tip: String,
}

impl History {
    pub(crate) fn new() -> Self {
        let key = |name: &str| {
            let user = format!("{name} <{name}@example.org>");
            SigningKey::generate(KeyKind::Ed25519, &user, 1_700_000_000).unwrap()
        };
        Self {
            repo: MemoryStateRepo::default(),
            alice: key("alice"),
            bob: key("bob"),
            tip: String::new(),
        }
    }

    /// Rules and keys as a signer has them: both people are to approve of what goes to `test`.
    pub(crate) fn write_rules(&self, folder: &Path) {
        let people = folder.join("keys/people");
        std::fs::create_dir_all(&people).unwrap();
        for (name, key) in [("alice", &self.alice), ("bob", &self.bob)] {
            let armored = key.public().to_armored();
            std::fs::write(people.join(format!("{name}.asc")), armored).unwrap();
        }
        let rules = "approvals:\n  - {repositories: [test], count: 2, by: [alice, bob]}\n";
        std::fs::write(folder.join("policy.yaml"), rules).unwrap();
    }

    /// Commits a file (`None`: removes it) without a signature.
    pub(crate) fn write(&mut self, path: &str, text: Option<&str>) {
        let new = commit("Write", Some((path, text)));
        self.tip = self.repo.push("main", "Ada <ada@example.org>", new);
    }

    pub(crate) fn approve(&mut self, request: &str, by: &[&str]) {
        for name in by {
            let key = match *name {
                "alice" => &self.alice,
                _ => &self.bob,
            };
            let sign = |payload: &[u8]| {
                let time = u64::try_from(TIME).unwrap();
                key.sign_detached_armored(payload, time).unwrap()
            };
            let new = commit(&format!("Approve: {request}"), None);
            self.tip = self
                .repo
                .push_signed("main", "Ada <ada@example.org>", new, &sign);
        }
    }

    /// What a control plane shows of the approvals of a request that is made of `builds`.
    pub(crate) async fn proof(&self, request: &str, builds: &[&str]) -> Proof {
        let subject = Subject::Release {
            path: request.parse().unwrap(),
            builds: builds.iter().map(|path| path.parse().unwrap()).collect(),
        };
        let mut walk = Walk::new(subject, self.tip.parse().unwrap());
        let mut objects = Objects::default();
        loop {
            let needs = walk.needs(&objects);
            if needs.is_empty() {
                break;
            }
            for (id, kind) in needs {
                let bytes = self.object(id, kind).await;
                objects.give(id, kind, &bytes).unwrap();
            }
        }
        let mut people = People::default();
        for (name, key) in [("alice", &self.alice), ("bob", &self.bob)] {
            let armored = key.public().to_armored();
            people.add(name.parse().unwrap(), &armored).unwrap();
        }
        let found = walk.found(&objects, &people, u64::try_from(TIME).unwrap());
        let mut files = Vec::new();
        for path in [&[request], builds].concat() {
            let file = self.repo.read(&self.tip, path).await.unwrap();
            files.extend(file.map(|bytes| bytes.to_vec()));
        }
        prove(&walk, &objects, &found, &files).unwrap()
    }

    async fn object(&self, id: Id, kind: Kind) -> Vec<u8> {
        let kind = match kind {
            Kind::Commit => ObjectKind::Commit,
            Kind::Tree => ObjectKind::Tree,
            Kind::Blob => panic!("files are compared by name"),
        };
        let object = self.repo.object(kind, &id.to_string(), 1 << 20).await;
        object.unwrap().unwrap().to_vec()
    }
}

fn commit(message: &str, file: Option<(&str, Option<&str>)>) -> NewCommit {
    let files = file.into_iter().map(|(path, text)| {
        let bytes = text.map(|text| text.as_bytes().to_vec().into());
        (path.to_owned(), bytes)
    });
    NewCommit {
        files: files.collect(),
        message: message.to_owned(),
        time: TIME,
    }
}
