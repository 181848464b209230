//! A state repository with people and their keys.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use approvals::{Found, Id, Kind, Objects, People, Subject, Walk};

pub(crate) const RELEASE: &str = "releases/2026/11/x.yaml";
pub(crate) const BUILD: &str = "builds/2026/11/y.yaml";
/// Of everything that is done: 2026-11-01.
pub(crate) const NOW: u64 = 1_793_500_000;

/// A repository, and a GNUPGHOME with a key for each of alice, bob and mallory, who is not listed.
pub(crate) struct Scene {
    home: tempfile::TempDir,
    people: People,
    keys: Vec<(&'static str, String)>,
}

impl Scene {
    pub(crate) fn new() -> Self {
        // gpg-agent's socket path may be 107 bytes long, so the directory is directly under the temporary one.
        let home = tempfile::Builder::new().prefix("ap").tempdir().unwrap();
        let mut scene = Self {
            home,
            people: People::default(),
            keys: Vec::new(),
        };
        for name in ["alice", "bob", "mallory"] {
            let user = format!("{name}@example.org");
            let clock = format!("{}!", NOW - 1000);
            let made = [
                "--faked-system-time",
                &clock,
                "--passphrase",
                "",
                "--quick-generate-key",
            ];
            scene.gpg(&[&made[..], &[&user, "ed25519", "sign", "1y"]].concat());
            let listed = scene.gpg(&["--with-colons", "--list-keys", &user]);
            let fingerprint = listed.lines().find(|line| line.starts_with("fpr:"));
            let fingerprint = fingerprint.unwrap().split(':').nth(9).unwrap().to_owned();
            let armored = scene.gpg(&["--armor", "--export", &fingerprint]);
            if name != "mallory" {
                scene.people.add(name.parse().unwrap(), &armored).unwrap();
            }
            scene.keys.push((name, fingerprint));
        }
        scene.git(&["init", "-q", "-b", "main"]);
        scene.commit(
            None,
            "begin",
            &[("millrace.yaml", Some("name: x")), (BUILD, Some("build"))],
        );
        scene
    }

    pub(crate) fn people(&self) -> &People {
        &self.people
    }

    pub(crate) fn path(&self) -> &Path {
        self.home.path()
    }

    fn run(&self, program: &str, args: &[&str]) -> Output {
        Command::new(program)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("GNUPGHOME", self.path())
            .env("HOME", self.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_COMMITTER_NAME", "Forge")
            .env("GIT_COMMITTER_EMAIL", "forge@example.org")
            .env("GIT_AUTHOR_NAME", "Forge")
            .env("GIT_AUTHOR_EMAIL", "forge@example.org")
            .args(args)
            .current_dir(self.path())
            .output()
            .expect("git and gpg run; Debian has them in packages of these names")
    }

    fn gpg(&self, args: &[&str]) -> String {
        let usual = ["--batch", "--no-tty", "--quiet", "--trust-model", "always"];
        self.ok("gpg", &[&usual[..], args].concat())
    }

    fn ok(&self, program: &str, args: &[&str]) -> String {
        let out = self.run(program, args);
        let (said, wrong) = (
            out.stdout,
            String::from_utf8_lossy(&out.stderr).into_owned(),
        );
        assert!(out.status.success(), "{program} {args:?}: {wrong}");
        String::from_utf8_lossy(&said).trim_end().to_owned()
    }

    pub(crate) fn git(&self, args: &[&str]) -> String {
        // A signature's time is that of the commits.
        let gpg = self.path().join("gpg.sh");
        if !gpg.exists() {
            let script = format!(
                "#!/bin/sh\nexec gpg --faked-system-time '{NOW}!' --no-tty --batch --quiet --trust-model always \"$@\"\n"
            );
            std::fs::write(&gpg, script).unwrap();
            self.ok("chmod", &["+x", gpg.to_str().unwrap()]);
        }
        let program = format!("gpg.program={}", gpg.display());
        let fixed = [
            "-c",
            &program,
            "-c",
            "commit.gpgsign=false",
            "-c",
            "core.excludesFile=/dev/null",
        ];
        self.ok("git", &[&fixed[..], args].concat())
    }

    pub(crate) fn key(&self, name: &str) -> &str {
        &self.keys.iter().find(|(own, _)| *own == name).unwrap().1
    }

    /// Writes files (`None`: removes them) and commits; by whom it is signed, if by anybody. The new tip.
    pub(crate) fn commit(
        &self,
        by: Option<&str>,
        message: &str,
        files: &[(&str, Option<&str>)],
    ) -> Id {
        for (path, text) in files {
            let file = self.path().join(path);
            match text {
                Some(text) => {
                    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                    std::fs::write(&file, text).unwrap();
                }
                None => std::fs::remove_file(&file).unwrap(),
            }
            self.git(&["add", "--all", "--", path]);
        }
        let sign = by.map(|by| format!("-S{}", self.key(by)));
        let mut args = vec!["commit", "-q", "--allow-empty", "-m", message];
        args.extend(sign.as_deref());
        self.git(&args);
        self.tip()
    }

    /// Merges a branch into the one that is checked out.
    pub(crate) fn merge(&self, by: Option<&str>, branch: &str) -> Id {
        let sign = by.map(|by| format!("-S{}", self.key(by)));
        let message = format!("Merge {branch}");
        let mut args = vec!["merge", "-q", "--no-ff", "-m", &message, branch];
        args.extend(sign.as_deref());
        self.git(&args);
        self.tip()
    }

    pub(crate) fn tip(&self) -> Id {
        self.git(&["rev-parse", "HEAD"]).parse().unwrap()
    }

    pub(crate) fn object(&self, kind: Kind, id: Id) -> Option<Vec<u8>> {
        let out = self.run("git", &["cat-file", kind.word(), &id.to_string()]);
        out.status.success().then_some(out.stdout)
    }

    pub(crate) fn is_ancestor(&self, old: Id, new: Id) -> bool {
        let (old, new) = (old.to_string(), new.to_string());
        let out = self.run("git", &["merge-base", "--is-ancestor", &old, &new]);
        out.status.success()
    }

    pub(crate) fn walk(&self, walk: &mut Walk) -> Objects {
        let mut objects = Objects::default();
        loop {
            let needs = walk.needs(&objects);
            if needs.is_empty() {
                return objects;
            }
            for (id, kind) in needs {
                match self.object(kind, id) {
                    Some(bytes) => objects.give(id, kind, &bytes).unwrap(),
                    None => objects.withhold(id, "it is not there"),
                }
            }
        }
    }

    /// What counts at the tip, as a control plane finds it.
    pub(crate) fn found(&self, subject: Subject) -> Found {
        self.found_at(Walk::new(subject, self.tip()), NOW)
    }

    pub(crate) fn found_at(&self, mut walk: Walk, now: u64) -> Found {
        let objects = self.walk(&mut walk);
        let found = walk.found(&objects, &self.people, now);
        for approval in &found.approvals {
            self.git_agrees(approval.commit, approval.person.as_str());
        }
        let commits: BTreeSet<Id> = found.approvals.iter().map(|it| it.commit).collect();
        let is_ended = |commit: &Id| {
            found
                .edges
                .iter()
                .any(|edge| self.is_ancestor(*commit, *edge))
        };
        let ended: Vec<Id> = commits.into_iter().filter(is_ended).collect();
        found.without(&ended)
    }

    /// The judge: git and gpg find the same person's signature.
    fn git_agrees(&self, commit: Id, person: &str) {
        let id = commit.to_string();
        let gpg = format!("gpg.program={}", self.path().join("gpg.sh").display());
        let out = self.run("git", &["-c", &gpg, "verify-commit", "--raw", &id]);
        let said = String::from_utf8_lossy(&out.stderr);
        let valid = format!("VALIDSIG {} ", self.key(person));
        assert!(out.status.success() && said.contains(&valid), "{said}");
    }

    /// `alice, bob`, and what counted for nothing.
    pub(crate) fn says(&self, subject: Subject) -> String {
        words(&self.found(subject))
    }
}

pub(crate) fn words(found: &Found) -> String {
    let people: Vec<String> = found.people().iter().map(ToString::to_string).collect();
    let mut text = people.join(", ");
    for ignored in &found.ignored {
        let _ = write!(text, " [{}]", ignored.why);
    }
    text
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf")
            .env("GNUPGHOME", self.path())
            .args(["--kill", "gpg-agent"])
            .output();
    }
}

pub(crate) fn release() -> Subject {
    Subject::Release {
        path: RELEASE.parse().unwrap(),
        builds: BTreeSet::from([BUILD.parse().unwrap()]),
    }
}
