//! An installation on an emulated AWS: the Terraform applied, the functions deployed, the clock's timer, a host name.
//!
//! What differs from the real one, each because the provider of 2021 or the emulator does not know it: the timer of
//! the sweep is ours, the host name is [`front`], CloudFront, budgets and filters of the stream are left out, and
//! rights are not enforced.

mod emulated;
mod front;
mod packages;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use emulator::{Emulator, Kind};
use serde_json::{Value, json};

use crate::sh::{cmd, output, run, top};
use crate::terraform::{Example, Verdict, differences};
use emulated::Emulated;

/// Between two sweeps, as the scheduler of control-plane has it.
const SWEEP: Duration = Duration::from_secs(60);

/// A running installation. Its end is the emulator's.
pub(crate) struct Installation {
    emulated: Emulated,
    /// What runners, people and clients call.
    pub(crate) url: String,
    /// What the forge calls.
    webhook: String,
    prefix: String,
    secret: String,
    timer: Timer,
    _emulator: Emulator,
}

/// Builds and applies everything for the state repository at `state`. `folder` is for files of this run.
pub(crate) fn install(folder: &Path, state: &str) -> Result<Installation> {
    if let Some(Verdict::LeftOut(why)) = Example::cannot()? {
        bail!("{why}");
    }
    run(cmd("cargo", &["build", "--quiet", "--package", "functions"]).current_dir(top()))?;
    let fixtures = top().join("terraform/fixtures/functions");
    let packages = packages::pack(&folder.join("functions"), &fixtures)?;
    let emulator = Emulator::start(Kind::Ministack)?;
    let endpoint = emulator.endpoint();
    let port: u16 = endpoint
        .rsplit(':')
        .next()
        .and_then(|port| port.parse().ok())
        .context("the emulator has no port")?;
    let mut list = differences()?;
    // The emulator knows no metrics of groups.
    let unknown = list["attributes"]
        .as_array_mut()
        .context("older.json: attributes")?;
    unknown.push(json!("enabled_metrics"));
    list["variables"]["packages_directory"] = json!(packages);
    list["variables"]["state_repository"] = json!({"url": state, "forge": "none"});
    // A repository on this machine has no certificate.
    let replace = list["replace"].as_array_mut();
    replace.context("older.json: replace")?.extend([
        json!([
            "(var.state_repository.url, \"https://\")",
            "(var.state_repository.url, \"http\")"
        ]),
        json!(["regex(\"^https://[^@/]+/\"", "regex(\"^http://[^@/]+/\""]),
    ]);
    let example = Example::copied("aws", port, &list)?;
    println!("{}", example.apply()?);
    let applied = output(&mut example.call(&["output", "-json", "-no-color"]))?;
    let applied: Value = serde_json::from_str(&applied).context("read Terraform's outputs")?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let installation = &applied["installation"]["value"];
    let region = text(&installation["region"]).context("no region")?;
    let prefix = text(&installation["prefix"]).context("no prefix")?;
    let emulated = Emulated { endpoint, region };
    let secret = secrets(&emulated, &installation["secrets"])?;
    ensure!(
        emulated.tell_batches_apart()? > 0,
        "no queue starts a function"
    );
    let open = |name: &str| -> Result<String> {
        let url = text(&applied[name]["value"]).with_context(|| format!("no {name}"))?;
        let id = url
            .split("//")
            .nth(1)
            .and_then(|host| host.split('.').next());
        let id = id.with_context(|| format!("{url} is no address of an API"))?;
        front::open(port, &format!("{id}.execute-api.localhost:{port}"))
    };
    Ok(Installation {
        url: open("api_url")?,
        webhook: open("webhook_url")?,
        timer: Timer::start(emulated.clone(), format!("{prefix}-sweep")),
        emulated,
        prefix,
        secret,
        _emulator: emulator,
    })
}

/// Puts what people put there by hand: terraform/README.md, section Secrets. Answers that of webhooks.
fn secrets(emulated: &Emulated, names: &Value) -> Result<String> {
    let mut webhook = String::new();
    for (kind, name) in names.as_object().context("no secrets")? {
        let name = name.as_str().context("a secret has no name")?;
        let value = match kind.as_str() {
            "state_token" | "forge_token" => "none".to_owned(),
            _ => output(&mut cmd("openssl", &["rand", "-hex", "16"]))?,
        };
        emulated.put_parameter(name, &value, true)?;
        if kind == "webhook_secret" {
            webhook = value;
        }
    }
    Ok(webhook)
}

impl Installation {
    /// What a forge sends after a push.
    pub(crate) fn tell_of_a_push(&self) -> Result<()> {
        let body = r#"{"ref":"refs/heads/main"}"#;
        let signature = emulated::signature(&self.secret, body)?;
        let url = format!("{}/webhook/gitea", self.webhook);
        let header = format!("X-Gitea-Signature: {signature}");
        let mut curl = cmd("curl", &["--silent", "--show-error", "--fail-with-body"]);
        let said = output(curl.args(["--header", &header, "--data", body, &url]))?;
        println!("webhook: {said}");
        Ok(())
    }

    /// One look at everything, in the place of the timer's next one.
    pub(crate) fn sweep(&self) -> Result<Value> {
        self.emulated.invoke(
            &format!("{}-sweep", self.prefix),
            &json!({"sweep": "everything"}),
        )
    }

    /// What the timer met, if it failed.
    pub(crate) fn trouble(&self) -> Option<String> {
        let trouble = self.timer.trouble.lock();
        trouble.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Starts the sweep each minute. Ends with this value, within a second.
struct Timer {
    is_over: Arc<AtomicBool>,
    trouble: Arc<Mutex<Option<String>>>,
}

impl Timer {
    fn start(emulated: Emulated, function: String) -> Self {
        let timer = Self {
            is_over: Arc::default(),
            trouble: Arc::default(),
        };
        let (is_over, trouble) = (timer.is_over.clone(), timer.trouble.clone());
        std::thread::spawn(move || {
            let mut left = SWEEP;
            while !is_over.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_secs(1));
                left = left.saturating_sub(Duration::from_secs(1));
                if left.is_zero() {
                    left = SWEEP;
                    if let Err(error) = emulated.invoke(&function, &json!({"sweep": "everything"}))
                    {
                        let mut trouble = trouble.lock().unwrap_or_else(PoisonError::into_inner);
                        *trouble = Some(format!("{error:#}"));
                    }
                }
            }
        });
        timer
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}
