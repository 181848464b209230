//! The forge of an installation: its state repository behind a proxy, and the repositories of its packages.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, mpsc};

use fake_forge::{Fault, Server};
use memory::CONFIG;
use tempfile::TempDir;
use tokio::sync::Notify;

use crate::end::Moment;
use crate::proxy::Proxy;

/// A name of the proxy: a push.
pub(crate) const PUSH: &str = "POST /state.git/git-receive-pack";

/// Who writes by hand.
const ADA: [&str; 4] = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"];

pub(crate) struct Forge {
    /// In front of the state repository.
    pub(crate) proxy: Proxy,
    server: Server,
    folder: TempDir,
    /// The same for all twins: a task is named by the address of its source, too.
    packages: Arc<(Server, TempDir)>,
}

impl Forge {
    /// With the small distribution, and for each name a package and a request to build it.
    pub(crate) async fn new(names: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let packages = Server::start(folder.path());
        let mut files: Vec<_> = CONFIG.iter().map(|it| (it.0, it.1.to_owned())).collect();
        let paths: Vec<_> = names.iter().map(|name| request(name)).collect();
        for (name, path) in names.iter().zip(&paths) {
            let file = format!("{name}.spec");
            let spec = format!("Name: {name}\n");
            repository(folder.path(), name, &[(&file, spec)]);
            let url = packages.url(&format!("{name}.git"));
            let source = format!("  - source: {{git: \"{url}\", ref: main}}\n");
            let text = format!("reason: a test\nplatforms:\n  el-10:\npackages:\n{source}");
            files.push((path, text));
        }
        let state = TempDir::new().unwrap();
        repository(state.path(), "state", &files);
        Self::over(state, Arc::new((packages, folder))).await
    }

    /// Another one with the same in it.
    pub(crate) async fn twin(&self) -> Self {
        let folder = TempDir::new().unwrap();
        let from = self.state().display().to_string();
        let mirror = ["clone", "--quiet", "--mirror", &from, "state.git"];
        git(folder.path(), &mirror);
        Self::over(folder, Arc::clone(&self.packages)).await
    }

    async fn over(folder: TempDir, packages: Arc<(Server, TempDir)>) -> Self {
        let server = Server::start(folder.path());
        let address = server.url("");
        Self {
            proxy: Proxy::new(address.trim_end_matches('/').to_owned()).await,
            server,
            folder,
            packages,
        }
    }

    /// The state repository's address, through the proxy.
    pub(crate) fn url(&self) -> String {
        format!("{}/state.git", self.proxy.url)
    }

    /// The state repository on the disk.
    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state.git")
    }

    /// What `git` says of the state repository.
    pub(crate) fn say(&self, arguments: &[&str]) -> String {
        git(&self.state(), arguments)
    }

    /// The commit that a branch is at, if it is there.
    pub(crate) fn tip(&self, branch: &str) -> Option<String> {
        let name = format!("refs/heads/{branch}");
        let tip = self.say(&["for-each-ref", "--format=%(objectname)", &name]);
        (!tip.is_empty()).then_some(tip)
    }

    /// A person writes to a branch that is there.
    pub(crate) fn push(&self, branch: &str, path: &str, text: &str) {
        let work = TempDir::new().unwrap();
        let from = self.state().display().to_string();
        let clone = ["clone", "--quiet", "--branch", branch, &from, "."];
        git(work.path(), &clone);
        std::fs::write(work.path().join(path), text).unwrap();
        let commit = ["commit", "--quiet", "--all", "--message=by hand"];
        git(work.path(), &commit);
        git(work.path(), &["push", "--quiet"]);
    }

    /// Of pushes, the one after `passed` others is done by git, and not answered until the moment is over.
    pub(crate) fn holds_answer(&self, passed: usize) -> Moment {
        let pipe = self.folder.path().join("pipe");
        let made = Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success(), "mkfifo {}", pipe.display());
        // It is for one push, and writes until nobody listens any more.
        let hook = "#!/bin/sh\nrm hooks/post-receive\nexec yes";
        let hook = format!("{hook} >'{}'\n", pipe.display());
        let path = self.state().join("hooks/post-receive");
        let install = move || {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &hook).unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        };
        let word = "git-receive-pack";
        for _ in 0..passed {
            let nothing = Fault::Before(Arc::new(|| {}));
            self.server.once("POST", word, nothing);
        }
        let install = Fault::Before(Arc::new(install));
        self.server.once("POST", word, install);
        let there = Arc::new(Notify::new());
        let told = Arc::clone(&there);
        let (held, over) = mpsc::channel::<()>();
        std::thread::spawn(move || {
            // Opened when the hook opens it.
            let pipe = File::open(&pipe);
            told.notify_one();
            let _is_over = over.recv();
            drop(pipe);
        });
        Moment::held(there, held)
    }
}

/// The path of the request to build a package.
pub(crate) fn request(name: &str) -> String {
    format!("builds/2026/11/{name}.yaml")
}

/// A bare repository with one commit.
fn repository(folder: &Path, name: &str, files: &[(&str, String)]) {
    let work = folder.join(name);
    for (path, text) in files {
        let path = work.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    git(&work, &["init", "--quiet", "--initial-branch=main"]);
    git(&work, &["add", "."]);
    git(&work, &["commit", "--quiet", "--message=all of it"]);
    let bare = format!("../{name}.git");
    git(&work, &["clone", "--quiet", "--bare", ".", &bare]);
}

pub(crate) fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut git = Command::new("git");
    let done = git.args(ADA).args(arguments).current_dir(folder).output();
    let done = done.unwrap();
    assert!(done.status.success(), "git {arguments:?}: {done:?}");
    let said = String::from_utf8(done.stdout).unwrap();
    said.trim_end().to_owned()
}
