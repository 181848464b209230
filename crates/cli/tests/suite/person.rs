//! Somebody at a keyboard, with a data directory that knows the token.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use runner_api::FailureKind;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::fixture::{APP, build};
use crate::runners::failure;
use crate::served::{Served, TOKEN};
use crate::world::{Act, World};

/// No command of these tests takes longer, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Person {
    pub(crate) world: World,
    pub(crate) served: Served,
    home: TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Person {
    pub(crate) async fn new() -> Self {
        let world = World::new().await;
        let served = Served::new(&world).await;
        let home = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(home.path().join("secrets")).expect("a directory");
        std::fs::write(home.path().join("secrets/admin.token"), TOKEN).expect("a token");
        Self {
            world,
            served,
            home,
        }
    }

    /// With a request whose source failed.
    pub(crate) async fn with_failure() -> Self {
        let mut person = Self::new().await;
        person
            .world
            .script(|_| Act::Say(failure(FailureKind::Build, "no spec file")));
        person.merge(&["app"]).await;
        person
    }

    pub(crate) async fn merge(&mut self, packages: &[&str]) {
        let text = build(packages);
        self.world.merge(&[(APP, Some(&text))]).await;
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The id of the request's first task.
    pub(crate) fn task(&self) -> runner_api::TaskId {
        self.world.tasks(APP).remove(0).task.id
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = millrace(args);
        command
            .current_dir(self.home())
            .env("MILLRACE_DATA", self.home())
            .env("MILLRACE_URL", format!("http://{}", self.served.address));
        command
    }

    pub(crate) async fn says(&self, args: &[&str]) -> Said {
        said(self.command(args)).await
    }

    /// The command's code, and its error if it has one.
    pub(crate) async fn refused(&self, args: &[&str]) -> String {
        let said = self.says(args).await;
        format!("{} {}", said.code, said.err.trim_end())
    }

    pub(crate) fn starts(&self, args: &[&str]) -> Child {
        self.command(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("millrace starts")
    }
}

/// The program, without anything of the caller's environment that it looks at.
pub(crate) fn millrace(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millrace"));
    for name in ["MILLRACE_DATA", "MILLRACE_URL", "NO_COLOR", "TERM"] {
        command.env_remove(name);
    }
    command.args(args);
    command
}

pub(crate) async fn said(mut command: Command) -> Said {
    let output = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("millrace starts")
        .wait_with_output();
    let output = tokio::time::timeout(PATIENCE, output)
        .await
        .unwrap_or_else(|_| panic!("{command:?} hangs"))
        .expect("it ends");
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
