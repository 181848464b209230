//! The backend `mock`, for hosts that have it: the same repositories and macros in a configuration that
//! is made for one task.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pipeline_spec::{Architecture, Contents, Platform};
use runner_agent::{Halt, Job};
use runner_api::{BuildTask, FailureKind, PublicKeys, SourceTask};
use tokio::process::Command;

use crate::backend::{Backend, Built, Srpm, Tree};
use crate::local::LocalRepo;
use crate::repos::{Age, Repos};
use crate::rpmbuild;

/// Exit codes of mock (`mockbuild/exception.py`).
const BUILD_FAILED: i32 = 10;
const DEPENDENCIES_FAILED: i32 = 30;
const BAD_SOURCE: i32 = 40;

/// The backend.
#[derive(Debug)]
pub(crate) struct Mock;

/// A configuration of mock in a directory of the job.
struct Chroot<'a> {
    job: &'a Job,
    config: PathBuf,
    name: String,
}

/// For whom a configuration is made.
struct Wanted<'a> {
    platform: &'a Platform,
    keys: &'a PublicKeys,
    arch: &'a Architecture,
    wall: Duration,
    local: Option<&'a LocalRepo>,
}

impl<'a> Chroot<'a> {
    async fn new(job: &'a Job, wanted: Wanted<'_>) -> Result<Self, Halt> {
        let directory = job.dir().join("mock");
        let state = job.dir().join("repomd");
        let repos = Repos::of(
            wanted.platform,
            wanted.keys,
            wanted.arch,
            (&state, Age::Now),
        )
        .await?;
        repos.write(&directory)?;
        let name = format!(
            "millrace-{}-{}",
            job.grant().task.id.short(),
            job.grant().attempt
        );
        let config = directory.join(format!("{name}.cfg"));
        let text = configuration(
            &name,
            &wanted,
            &repos.config(&directory.join("keys").to_string_lossy()),
        );
        std::fs::write(&config, text).map_err(Halt::infrastructure)?;
        Ok(Self { job, config, name })
    }

    /// Runs mock and answers what it printed, which also goes into the log.
    async fn run(&self, words: &[&str]) -> Result<String, Halt> {
        let run = Command::new("mock")
            .arg("-r")
            .arg(&self.config)
            .args(["--isolation=simple", "--no-cleanup-after", "--quiet"])
            .args(words)
            .kill_on_drop(true)
            .output();
        let output = tokio::select! {
            output = run => output,
            () = self.job.cancelled().cancelled() => return Err(Halt::trouble("run mock: the attempt was stopped")),
        };
        let output = output.map_err(|error| {
            if error.kind() == std::io::ErrorKind::NotFound {
                Halt::trouble("run mock: it is not installed on this runner; install it and add the runner's user to the group `mock`, or write `backend: dnf` in the platform")
            } else {
                Halt::trouble(format!("run mock: {error}"))
            }
        })?;
        self.job.log().append(&output.stdout);
        self.job.log().append(&output.stderr);
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said
            .lines()
            .rfind(|line| !line.trim().is_empty())
            .unwrap_or_default();
        let kind = match output.status.code() {
            Some(0) => return Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            Some(BUILD_FAILED) => FailureKind::Build,
            Some(DEPENDENCIES_FAILED) if words.contains(&"--rebuild") => {
                FailureKind::BuildDependencies
            }
            Some(BAD_SOURCE) => FailureKind::SourcePackage,
            _ => {
                return Err(Halt::trouble(format!(
                    "run mock: {}: {last}",
                    output.status
                )));
            }
        };
        Err(Halt::failed(
            kind,
            format!("mock failed: {last}; the log shows why"),
        ))
    }

    /// Removes the root.
    async fn clean(&self) {
        if self.run(&["--clean"]).await.is_err() {
            self.job
                .log()
                .line(format!("mock could not remove its root {}", self.name));
        }
    }
}

/// mock's configuration is Python: every value is written as a JSON string, which Python reads alike.
fn configuration(name: &str, wanted: &Wanted<'_>, dnf: &str) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let packages = wanted
        .platform
        .first
        .iter()
        .chain(&wanted.platform.buildroot);
    let install = packages
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" ");
    let mut dnf = dnf.to_owned();
    if let Some(local) = wanted.local.filter(|local| !local.is_empty) {
        write!(
            dnf,
            "\n[millrace-local]\nname=millrace-local\nbaseurl=file://{}\ngpgcheck=0\n",
            local.directory.display()
        )
        .expect("a String takes everything");
    }
    let mut text = format!(
        "config_opts['root'] = {name}\nconfig_opts['target_arch'] = {arch}\n\
         config_opts['chroot_setup_cmd'] = {install}\nconfig_opts['package_manager'] = 'dnf'\n\
         config_opts['use_bootstrap'] = False\nconfig_opts['rpmbuild_networking'] = False\n\
         config_opts['rpmbuild_timeout'] = {seconds}\nconfig_opts['dnf.conf'] = {dnf}\n",
        name = quoted(name),
        arch = quoted(wanted.arch.as_str()),
        install = quoted(&format!("install {install}")),
        seconds = wanted.wall.as_secs(),
        dnf = quoted(&dnf),
    );
    if let Contents::Rpm { macros, .. } = &wanted.platform.contents {
        for (name, value) in macros {
            let (name, value) = (quoted(&format!("%{name}")), quoted(value.as_str()));
            writeln!(text, "config_opts['macros'][{name}] = {value}")
                .expect("a String takes everything");
        }
    }
    text
}

fn of_source(task: &SourceTask) -> Wanted<'_> {
    Wanted {
        platform: &task.target,
        keys: &task.keys,
        arch: task.target.architectures.primary(),
        wall: task.limits.wall(),
        local: None,
    }
}

fn options(options: &pipeline_spec::BuildOptions) -> Vec<String> {
    let define = options
        .define
        .iter()
        .map(|(name, value)| format!("--define={name} {value}"));
    let with = options.with.iter().map(|name| format!("--with={name}"));
    let without = options
        .without
        .iter()
        .map(|name| format!("--without={name}"));
    define.chain(with).chain(without).collect()
}

/// The RPMs in mock's result directory, the source RPM or the others.
fn results(directory: &Path, suffix: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>, Halt> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(directory)
        .map_err(Halt::infrastructure)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(&suffix)
        })
        .collect();
    found.sort();
    Ok(found)
}

impl Backend for Mock {
    async fn expand(&self, job: &Job, task: &SourceTask, tree: &Tree<'_>) -> Result<String, Halt> {
        let chroot = Chroot::new(job, of_source(task)).await?;
        let spec = tree.directory.join(tree.spec);
        chroot.run(&["--init"]).await?;
        chroot
            .run(&["--copyin", &spec.to_string_lossy(), "/builddir/in.spec"])
            .await?;
        let text = chroot
            .run(&[
                "--chroot",
                "--unpriv",
                "--",
                "rpmspec",
                "-P",
                "/builddir/in.spec",
            ])
            .await;
        chroot.clean().await;
        text
    }

    async fn pack(&self, job: &Job, task: &SourceTask, tree: &Tree<'_>) -> Result<PathBuf, Halt> {
        let chroot = Chroot::new(job, of_source(task)).await?;
        let sources = job.dir().join("sources");
        let copy = Command::new("cp")
            .args(["-RP", "--"])
            .arg(tree.directory)
            .arg(&sources)
            .status()
            .await;
        let extra = Command::new("cp")
            .args(["-RT", "--"])
            .arg(tree.extra)
            .arg(&sources)
            .status()
            .await;
        if !copy.is_ok_and(|status| status.success()) || !extra.is_ok_and(|status| status.success())
        {
            return Err(Halt::trouble("lay out the sources for mock"));
        }
        let (spec, out) = (sources.join(tree.spec), job.dir().join("srpm"));
        let options = options(&task.options);
        let (spec, from, to) = (
            spec.to_string_lossy(),
            sources.to_string_lossy(),
            out.to_string_lossy(),
        );
        let mut words = vec![
            "--buildsrpm",
            "--spec",
            &spec,
            "--sources",
            &from,
            "--resultdir",
            &to,
        ];
        words.extend(options.iter().map(String::as_str));
        let packed = chroot.run(&words).await;
        chroot.clean().await;
        packed?;
        results(&out, |name| name.ends_with(".src.rpm"))?
            .pop()
            .ok_or_else(|| Halt::failed(FailureKind::SourcePackage, "mock made no source RPM"))
    }

    async fn provides(&self, job: &Job, task: &SourceTask, srpm: &Path) -> Result<String, Halt> {
        let chroot = Chroot::new(job, of_source(task)).await?;
        chroot.run(&["--init"]).await?;
        chroot
            .run(&["--copyin", &srpm.to_string_lossy(), "/builddir/in.src.rpm"])
            .await?;
        let script = format!(
            "cd /builddir && set -e\nset -- /builddir/in.src.rpm '{}'\n{}",
            rpmbuild::PROVIDES_FORMAT,
            rpmbuild::PROVIDES
        );
        let text = chroot.run(&["--chroot", "--unpriv", &script]).await;
        chroot.clean().await;
        text
    }

    async fn build(
        &self,
        job: &Job,
        task: &BuildTask,
        srpm: &Srpm<'_>,
        local: &LocalRepo,
    ) -> Result<Built, Halt> {
        let wanted = Wanted {
            platform: &task.target,
            keys: &task.keys,
            arch: &task.arch,
            wall: task.limits.wall(),
            local: Some(local),
        };
        let chroot = Chroot::new(job, wanted).await?;
        let out = job.dir().join("out");
        let options = options(&task.options);
        let (path, to) = (srpm.path.to_string_lossy(), out.to_string_lossy());
        let mut words = vec!["--rebuild", &path, "--resultdir", &to];
        words.extend(options.iter().map(String::as_str));
        let built = chroot.run(&words).await;
        let query = format!("rpm -qa --qf '{}'", rpmbuild::INSTALLED_FORMAT);
        let installed = match &built {
            Ok(_) => chroot.run(&["--chroot", &query]).await,
            Err(_) => Ok(String::new()),
        };
        chroot.clean().await;
        built?;
        let packages = results(&out, |name| {
            name.ends_with(".rpm") && !name.ends_with("src.rpm")
        })?;
        Ok(Built {
            packages,
            installed: installed?,
        })
    }
}
