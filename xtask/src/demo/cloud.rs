//! `cargo xtask aws`: the demo's way through Lambda, SQS, DynamoDB and S3, all of them on this machine, and through pull
//! requests at a double of GitHub. `--forge` goes another way on the same: see [`super::forges`].

use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use fake_forge::forge::{Change, Forge, Kind};

use super::forges::{at_forge, word};
use super::reviewed::Packager;
use super::{Demo, RELEASE, build_request};
use crate::aws::{self, Installation};
use crate::sh::{bin, build_programs, cmd, output, run, write};
use crate::terraform::Verdict;
use crate::{Usage, bridge, setup};

/// Steps of this way.
const STEPS: usize = 9;
/// Bytes of dnf's index that names no package are fewer.
const SMALLEST_PACKAGE: usize = 400;
const BUILD_FILE: &str = "builds/2026/11/first.yaml";
const RELEASE_FILE: &str = "releases/2026/11/first.yaml";

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

const USAGE: &str = "usage: cargo xtask aws [--record | --accept | --hold | --forge github|gitea]";

/// `words`: what the run is for; `--accept` is about the one before.
pub(crate) fn on_aws(words: &[&str]) -> Result<()> {
    let way: &dyn Fn() -> Result<Verdict> = match words {
        [] => &|| go(For::Judging),
        ["--record"] => &|| go(For::Recording),
        ["--hold"] => &|| go(For::Looking),
        ["--forge", "github"] => &|| at_forge(Kind::GitHub),
        ["--forge", "gitea"] => &|| at_forge(Kind::Gitea),
        ["--accept"] => return aws::accept(),
        _ => return Err(Usage(USAGE.to_owned()).into()),
    };
    setup::run()?;
    if let Some(why) = aws::cannot()? {
        bail!("{why}");
    }
    build_programs()?;
    if let Some(why) = way()?.left_out() {
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
pub(super) struct Runner(Child);

impl Drop for Runner {
    fn drop(&mut self) {
        // SIGTERM: it drains. It may have ended already.
        cmd("kill", &[&self.0.id().to_string()]).status().ok();
        self.0.wait().ok();
    }
}

impl Demo {
    fn go_on_aws(&self, purpose: For) -> Result<Verdict> {
        let forge = self.forge(Kind::GitHub)?;
        let installed = self.install(&forge)?;
        let packager = Packager {
            demo: self,
            forge: &forge,
            installed: &installed,
        };
        let done = self.run_on_aws(&packager, purpose);
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

    /// A forge with the state repository of a new distribution.
    pub(super) fn forge(&self, kind: Kind) -> Result<Forge> {
        let name = word(kind);
        self.step(&format!(
            "a new distribution: millrace init, and its state repository at a double of {name}"
        ));
        run(Command::new(bin("millrace"))
            .arg("init")
            .arg(self.path("one"))
            .args(["--name", "demo"]))?;
        let forge = Forge::start(kind, &self.path("forge"));
        self.clone_state()?;
        self.move_to(&forge)?;
        Ok(forge)
    }

    pub(super) fn install(&self, forge: &Forge) -> Result<Installation> {
        self.step("terraform apply, and the functions deployed");
        let installed = aws::install(&self.root, forge)?;
        println!("up at {}/", installed.url);
        Ok(installed)
    }

    /// The clone has another origin from now on, and may push to it.
    fn move_to(&self, forge: &Forge) -> Result<()> {
        let clone = self.path("my-distribution");
        let login = format!("Authorization: {}", forge.git_login());
        self.git(&clone, &["config", "http.extraHeader", &login])?;
        self.git(&clone, &["remote", "set-url", "origin", &forge.clone_url()])?;
        self.git(&clone, &["push", "--quiet", "origin", "HEAD:main"])
    }

    fn run_on_aws(&self, packager: &Packager<'_>, purpose: For) -> Result<Verdict> {
        let installed = packager.installed;
        let runners = self.begin(installed)?;
        self.build_and_release(packager)?;
        drop(runners);
        self.step("each call that was made, and each right that was not used");
        let verdict = installed.judge_calls(purpose == For::Recording)?;
        println!(
            "\naws: both programs are built, tested, signed, published, installed and taken back, in {} s",
            self.began.elapsed().as_secs()
        );
        Ok(verdict)
    }

    /// Runners, and the first commit: what differs on this machine, and the key that signs.
    pub(super) fn begin(&self, installed: &Installation) -> Result<[Runner; 2]> {
        let builder = installed.surroundings("runner")?;
        let signer = installed.surroundings("signer")?;
        let runners = [
            self.runner("local-builder", &installed.url, &builder)?,
            self.runner("local-signer", &installed.url, &signer)?,
        ];
        self.configure()?;
        self.sign_with_kms(&installed.key, &signer)?;
        self.commit("Configure this machine")?;
        Ok(runners)
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

    fn build_and_release(&self, packager: &Packager<'_>) -> Result<()> {
        let url = &packager.installed.url;
        self.step("a pull request with a mistake, which is named on its page, and mended");
        let (tree, tree_version) = self.tree_source()?;
        let figlet = self.figlet_source()?;
        let request = build_request(&tree, &figlet);
        let mistake = ["debian-12", "debian-21"];
        let (build, _) = packager.mends("Build both", BUILD_FILE, &request, mistake)?;
        self.step("it is merged, and its page follows the work");
        packager.merges(build, BUILD_FILE, "succeeded")?;
        packager.asks_for_a_retry(build)?;
        self.step("a release by a pull request: plan, sign, compose, smoke-test, publish");
        let change = Change::new("Release both").write(RELEASE_FILE, RELEASE);
        let (release, page) = packager.proposes("Release both", &change)?;
        ensure!(
            page.text.contains("tree") && page.text.contains("figlet"),
            "the plan does not name what it adds"
        );
        packager.merges(release, RELEASE_FILE, "published")?;
        self.step("the real apt installs tree in a clean root that knows only the published key");
        println!("{}", self.apt_installs(url, &tree_version)?);
        self.step("the real dnf installs figlet in a clean root that knows only the published key");
        let (figlet, word) = self.dnf_installs(url)?;
        println!("{word}");
        self.step("the release is taken back by a pull request");
        let change = Change::new("Take it back").delete(RELEASE_FILE);
        let (revert, page) = packager.proposes("Take it back", &change)?;
        ensure!(page.text.contains("removed"), "the plan removes nothing");
        packager.merges(revert, RELEASE_FILE, "reverted")?;
        self.clients_see_nothing(url)?;
        println!(
            "a sweep finds nothing to do: {}",
            packager.installed.sweep()?
        );
        println!("  tree {tree_version}: a .deb, installed by apt with our key alone");
        println!("  {figlet}: an RPM, installed by dnf with gpgcheck and repo_gpgcheck");
        Ok(())
    }

    /// Indexes that clients of both kinds read name no package any more.
    fn clients_see_nothing(&self, url: &str) -> Result<()> {
        let ask = |path: &str, more: &[&str]| {
            let url = format!("{url}/repos/{path}");
            let words = ["--silent", "--show-error", "--location", &url];
            output(cmd("curl", &words).args(more))
        };
        let get = |path: &str| ask(path, &["--fail"]);
        get("debian/12/dists/bookworm/InRelease")?;
        // Of an architecture without a package there may be none.
        let debian = ask("debian/12/dists/bookworm/main/binary-amd64/Packages", &[])?;
        ensure!(!debian.contains("Package: "), "apt would see:\n{debian}");
        let rpm = get("bridge/12/x86_64/repodata/repomd.xml")?;
        let primary = rpm.split("<data type=\"primary\">").nth(1);
        let size = primary.and_then(|it| it.split("<open-size>").nth(1)?.split('<').next());
        let size: usize = size.context("repomd.xml has no primary")?.parse()?;
        ensure!(
            size < SMALLEST_PACKAGE,
            "dnf would see a package: {size} bytes"
        );
        Ok(())
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
