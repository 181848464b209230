//! `cargo xtask aws`: the demo's way through Lambda, SQS, DynamoDB and S3, all of them on this machine.

use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use super::{Demo, PATIENCE, RELEASE, build_request};
use crate::aws::{self, Installation};
use crate::sh::{bin, build_programs, cmd, output, run};
use crate::{Usage, bridge, setup};

/// Steps of this way.
const STEPS: usize = 7;

/// `words`: `--hold` keeps the installation when all is done or something failed, to be looked at.
pub(crate) fn on_aws(words: &[&str]) -> Result<()> {
    let hold = match words {
        [] => false,
        ["--hold"] => true,
        _ => return Err(Usage("usage: cargo xtask aws [--hold]".to_owned()).into()),
    };
    setup::run()?;
    build_programs()?;
    let bridge = bridge::make()?;
    Demo::new("aws", bridge, STEPS)?.go_on_aws(hold)
}

/// A runner that knows the installation's address and its own key, and nothing of AWS.
struct Runner(Child);

impl Drop for Runner {
    fn drop(&mut self) {
        // SIGTERM: it drains. It may have ended already.
        cmd("kill", &[&self.0.id().to_string()]).status().ok();
        self.0.wait().ok();
    }
}

impl Demo {
    fn go_on_aws(&self, hold: bool) -> Result<()> {
        self.step("a new distribution: millrace init, and its state repository behind HTTP");
        run(Command::new(bin("millrace"))
            .arg("init")
            .arg(self.path("one"))
            .args(["--name", "demo"]))?;
        let state = self.path("one/state.git");
        output(cmd("git", &["config", "http.receivepack", "true"]).current_dir(&state))?;
        let forge = fake_forge::Server::start(&self.path("one"));
        self.step("terraform apply, and the functions deployed");
        let installed = aws::install(&self.root, &forge.url("state.git"))?;
        println!("up at {}/", installed.url);
        let _runners = [
            self.runner("local-builder", "millrace-runner", &installed.url)?,
            self.runner("local-signer", "millrace-signer", &installed.url)?,
        ];
        let done = self.build_and_release(&installed);
        if hold {
            if let Err(error) = &done {
                println!("failed: {error:#}");
            }
            println!("{}/ is there until Enter is pressed", installed.url);
            std::io::stdin()
                .read_line(&mut String::new())
                .context("wait for Enter")?;
        }
        done
    }

    fn build_and_release(&self, installed: &Installation) -> Result<()> {
        self.step("a build request is pushed, and the forge calls the webhook");
        let (tree, tree_version) = self.tree_source()?;
        let figlet = self.figlet_source()?;
        self.clone_state()?;
        self.configure()?;
        let request = build_request(&tree, &figlet);
        self.push(
            "builds/2026/11/first.yaml",
            &request,
            "Build tree and figlet",
        )?;
        installed.tell_of_a_push()?;
        self.watch_there(installed, "builds/2026/11/first.yaml")?;
        self.step("a release request is pushed: sign, compose, smoke-test, publish");
        self.push(
            "releases/2026/11/first.yaml",
            RELEASE,
            "Release tree and figlet",
        )?;
        installed.tell_of_a_push()?;
        self.watch_there(installed, "releases/2026/11/first.yaml")?;
        self.step("the real apt installs tree in a clean root that knows only the published key");
        println!("{}", self.apt_installs(&installed.url, &tree_version)?);
        self.step("the real dnf installs figlet in a clean root that knows only the published key");
        let (figlet, word) = self.dnf_installs(&installed.url)?;
        println!("{word}");
        self.step("a sweep finds nothing to do");
        println!("{}", installed.sweep()?);
        println!(
            "\naws: both programs are built, tested, signed, published and installed, in {} s",
            self.began.elapsed().as_secs()
        );
        println!("  tree {tree_version}: a .deb, installed by apt with our key alone");
        println!("  {figlet}: an RPM, installed by dnf with gpgcheck and repo_gpgcheck");
        Ok(())
    }

    fn watch_there(&self, installed: &Installation, request: &str) -> Result<()> {
        let patience = PATIENCE.to_string();
        let arguments = [
            "watch",
            "--url",
            &installed.url,
            "--timeout",
            &patience,
            request,
        ];
        self.millrace(&arguments).with_context(|| {
            let trouble = installed.trouble().unwrap_or_default();
            format!("{request} did not succeed on AWS. {trouble}")
        })
    }

    /// As `millrace up` starts them, with another address.
    fn runner(&self, id: &str, program: &str, url: &str) -> Result<Runner> {
        let work = self.path(id);
        let scratch = work.join("scratch");
        std::fs::create_dir_all(&scratch).context("make a runner's folder")?;
        let log = std::fs::File::create(self.path(&format!("{id}.log"))).context("make a log")?;
        let mut runner = Command::new(bin(program));
        runner.args(["run", "--control", url, "--runner", id, "--key"]);
        runner.arg(self.path(&format!("one/secrets/{id}.identity")));
        runner
            .arg("--work")
            .arg(&work)
            .arg("--scratch")
            .arg(&scratch);
        if program == "millrace-signer" {
            runner.arg("--keys").arg(self.path("one/secrets/signing"));
        }
        runner.stdout(Stdio::null()).stderr(log);
        let child = runner.spawn().with_context(|| format!("start {program}"))?;
        Ok(Runner(child))
    }
}
