//! `cargo xtask aws`: the demo's way through Lambda, SQS, DynamoDB and S3, all of them on this machine.

use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use super::{Demo, PATIENCE, RELEASE, build_request};
use crate::aws::{self, Installation};
use crate::sh::{bin, build_programs, cmd, output, run, write};
use crate::terraform::Verdict;
use crate::{Usage, bridge, setup};

/// Steps of this way.
const STEPS: usize = 8;

/// What a run is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    /// Calls are held against the record.
    Judging,
    /// Calls become the record.
    Recording,
    /// The installation is kept when all is done or something failed, to be looked at.
    Looking,
}

/// `words`: what the run is for; `--accept` is about the one before.
pub(crate) fn on_aws(words: &[&str]) -> Result<()> {
    let purpose = match words {
        [] => For::Judging,
        ["--record"] => For::Recording,
        ["--hold"] => For::Looking,
        ["--accept"] => return aws::accept(),
        _ => {
            return Err(
                Usage("usage: cargo xtask aws [--record | --accept | --hold]".to_owned()).into(),
            );
        }
    };
    setup::run()?;
    if let Some(why) = aws::cannot()? {
        bail!("{why}");
    }
    build_programs()?;
    if let Some(why) = go(purpose)?.left_out() {
        println!("the judge of policies: LEFT OUT: {why}");
    }
    Ok(())
}

/// The same for CI: with the programs that are there, and left out where something is missing.
pub(crate) fn on_aws_built() -> Result<Verdict> {
    if let Some(why) = aws::cannot()? {
        return Ok(Verdict::LeftOut(why));
    }
    go(For::Judging)
}

fn go(purpose: For) -> Result<Verdict> {
    let bridge = bridge::make()?;
    Demo::new("aws", bridge, STEPS)?.go_on_aws(purpose)
}

/// A runner that knows the installation's address and its own key.
struct Runner(Child);

impl Drop for Runner {
    fn drop(&mut self) {
        // SIGTERM: it drains. It may have ended already.
        cmd("kill", &[&self.0.id().to_string()]).status().ok();
        self.0.wait().ok();
    }
}

impl Demo {
    fn go_on_aws(&self, purpose: For) -> Result<Verdict> {
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
        let done = self.run_on_aws(&installed, purpose);
        if purpose == For::Looking {
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

    fn run_on_aws(&self, installed: &Installation, purpose: For) -> Result<Verdict> {
        let signer = installed.surroundings("signer")?;
        let runners = [
            self.runner(
                "local-builder",
                &installed.url,
                &installed.surroundings("runner")?,
            )?,
            self.runner("local-signer", &installed.url, &signer)?,
        ];
        self.clone_state()?;
        self.configure()?;
        self.sign_with_kms(&installed.key, &signer)?;
        self.build_and_release(installed)?;
        drop(runners);
        self.step("each call that was made, and each right that was not used");
        let verdict = installed.judge_calls(purpose == For::Recording)?;
        println!(
            "\naws: both programs are built, tested, signed, published and installed, in {} s",
            self.began.elapsed().as_secs()
        );
        Ok(verdict)
    }

    /// The key of the distribution is one that the signer never sees: docs/how-to/sign-with-kms.md.
    fn sign_with_kms(&self, key: &str, signer: &[(String, String)]) -> Result<()> {
        let keys = self.path("my-distribution/keys");
        run(Command::new(bin("millrace-signer"))
            .args(["certificate", "--kms", key, "--public"])
            .arg(self.path("main.asc"))
            .args(["--user-id", "Demo <packages@example.org>"])
            .envs(signer.iter().cloned()))?;
        std::fs::rename(self.path("main.asc"), keys.join("main.asc"))
            .context("put the certificate")?;
        let text = format!("kind: rsa4096\nprivate: {{kms: \"{key}\"}}\n");
        write(&keys.join("main.yaml"), &text)
    }

    fn build_and_release(&self, installed: &Installation) -> Result<()> {
        self.step("a build request is pushed, and the forge calls the webhook");
        let (tree, tree_version) = self.tree_source()?;
        let figlet = self.figlet_source()?;
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

    /// As `millrace up` starts them, with another address, and with `variables`.
    fn runner(&self, id: &str, url: &str, variables: &[(String, String)]) -> Result<Runner> {
        let work = self.path(id);
        let scratch = work.join("scratch");
        std::fs::create_dir_all(&scratch).context("make a runner's folder")?;
        let log = std::fs::File::create(self.path(&format!("{id}.log"))).context("make a log")?;
        let signs = id == "local-signer";
        let program = if signs {
            "millrace-signer"
        } else {
            "millrace-runner"
        };
        let mut runner = Command::new(bin(program));
        runner.args(["run", "--control", url, "--runner", id, "--key"]);
        runner.arg(self.path(&format!("one/secrets/{id}.identity")));
        runner
            .arg("--work")
            .arg(&work)
            .arg("--scratch")
            .arg(&scratch)
            .envs(variables.iter().cloned());
        if signs {
            // Without the keys that `millrace init` has made.
            let none = work.join("no-keys");
            std::fs::create_dir_all(&none).context("make an empty folder of keys")?;
            runner.arg("--kms").arg("--keys").arg(none);
        } else {
            // It reads its queues itself, with credentials that it is lent.
            runner.args(["--cloud", "lent"]);
        }
        runner.stdout(Stdio::null()).stderr(log);
        let child = runner.spawn().with_context(|| format!("start {program}"))?;
        Ok(Runner(child))
    }
}
