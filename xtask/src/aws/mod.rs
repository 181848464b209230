//! An installation on an emulated AWS: the Terraform applied, the functions deployed, the clock's timer, a host name.
//!
//! What differs from the real one, each because the provider of 2021 or the emulator does not know it: the timers of
//! the sweep and the forge are ours, the host name is a [`relay`], CloudFront, budgets and filters of the stream are left out, and
//! rights are not enforced: calls are recorded, and the judge of policies is asked about each.

mod emulated;
pub(crate) mod packages;
mod record;
mod relay;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use emulator::Emulator;
use fake_forge::forge::{Forge, Kind};
use serde_json::{Value, json};

use crate::sh::{cmd, output, target, top};
use crate::terraform::{self, Example, NotThere, Verdict, differences};
use emulated::Emulated;
use record::{Places, Recorder};
pub(crate) use record::{accept, committed};
use relay::Relay;

/// The key that signs: of the kind that the provider of 2021 can make.
const KEY: &str = "old";
/// Between two starts of a timer, as the scheduler of control-plane has it.
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// A running installation. Its end is the emulator's.
pub(crate) struct Installation {
    emulated: Emulated,
    /// What runners, people and clients call.
    pub(crate) url: String,
    prefix: String,
    /// The key in KMS that signs here.
    pub(crate) key: String,
    recorder: Recorder,
    /// Terraform's state, with the policies of all roles.
    state: Value,
    timers: [Timer; 2],
    _emulator: Emulator,
}

/// Applies everything for the state repository at `forge`, which tells of what happens from then on; programs
/// are there. `folder` is for files of this run.
pub(crate) fn install(folder: &Path, forge: &Forge) -> Result<Installation> {
    let fixtures = top().join("terraform/fixtures/functions");
    let packages = packages::pack(
        &target().join("debug"),
        &folder.join("functions"),
        &fixtures,
    )?;
    let emulator = emulator()?;
    let endpoint = emulator.endpoint();
    let port: u16 = endpoint
        .rsplit(':')
        .next()
        .and_then(|port| port.parse().ok())
        .context("the emulator has no port")?;
    // Runs beside each other have copies of their own.
    let name = folder.file_name().and_then(|name| name.to_str());
    let list = fitted(&packages, forge)?;
    let example = Example::copied(name.context("a folder without a name")?, port, &list)?;
    println!("{}", example.apply()?);
    let state = example.state()?;
    let applied = &state["values"]["outputs"];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let installation = &applied["installation"]["value"];
    let region = text(&installation["region"]).context("no region")?;
    let prefix = text(&installation["prefix"]).context("no prefix")?;
    let emulated = Emulated { endpoint, region };
    let secret = secrets(&emulated, &installation["secrets"], forge)?;
    ensure!(
        emulated.tell_batches_apart()? > 0,
        "no queue starts a function"
    );
    let recorder = Recorder::new(port, Places::read(installation)?);
    for (name, function) in emulated.functions(&prefix)? {
        emulated.put_variables(&function, recorder.door(&name)?)?;
    }
    let open = |name: &str| -> Result<String> {
        let url = text(&applied[name]["value"]).with_context(|| format!("no {name}"))?;
        let id = url
            .split("//")
            .nth(1)
            .and_then(|host| host.split('.').next());
        let id = id.with_context(|| format!("{url} is no address of an API"))?;
        let relay = Relay {
            port,
            host: Some(format!("{id}.execute-api.localhost:{port}")),
            watch: None,
        };
        relay.open()
    };
    let timer = |name: &str, event| Timer::start(&emulated, format!("{prefix}-{name}"), event);
    let timers = [
        timer("sweep", json!({"sweep": "everything"})),
        timer("forge", json!({"forge": "look"})),
    ];
    let door = match forge.kind() {
        Kind::GitHub => "github",
        Kind::Gitea => "gitea",
    };
    let door = format!("{}/webhook/{door}", open("webhook_url")?);
    forge.webhooks_to(&door, &secret);
    let key = text(&installation["key_arns"][KEY]).with_context(|| format!("no key {KEY}"))?;
    Ok(Installation {
        url: open("api_url")?,
        timers,
        emulated,
        prefix,
        key,
        recorder,
        state,
        _emulator: emulator,
    })
}

/// What differs in a copy of the example for the provider, for the emulator, and for a repository on this machine.
fn fitted(packages: &Path, forge: &Forge) -> Result<Value> {
    let mut list = differences()?;
    // The emulator knows no metrics of groups, and no pauses of what they do.
    let unknown = list["attributes"]
        .as_array_mut()
        .context("older.json: attributes")?;
    unknown.extend([json!("enabled_metrics"), json!("suspended_processes")]);
    list["variables"]["packages_directory"] = json!(packages);
    list["variables"]["state_repository"] = match forge.kind() {
        Kind::GitHub => json!({
            "url": forge.clone_url(), "forge": "github", "forge_api": forge.url(), "forge_app": Forge::APP,
        }),
        Kind::Gitea => json!({
            "url": forge.clone_url(), "forge": "gitea", "forge_api": forge.url(),
        }),
    };
    // A repository on this machine has no certificate.
    let replace = list["replace"].as_array_mut();
    replace.context("older.json: replace")?.extend([
        json!([
            "(var.state_repository.url, \"https://\")",
            "(var.state_repository.url, \"http\")"
        ]),
        json!(["regex(\"^https://[^@/", "regex(\"^http://[^@/"]),
        // Without CloudFront, files come from the bucket.
        json!(["\"https://${var.domain.name}\"\n", "null\n"]),
    ]);
    Ok(list)
}

fn emulator() -> Result<Emulator> {
    match Emulator::start(emulator::Kind::Ministack) {
        Err(emulator::Error::Refused { operation, said }) if operation.starts_with("install ") => {
            Err(NotThere(format!("{operation}: {said}")).into())
        }
        started => Ok(started?),
    }
}

/// Why none can be made here, if so.
pub(crate) fn cannot() -> Result<Option<String>> {
    Ok(Example::cannot()?.and_then(Verdict::left_out))
}

/// Puts what people put there by hand: terraform/README.md, section Secrets. Answers that of webhooks.
fn secrets(emulated: &Emulated, names: &Value, forge: &Forge) -> Result<String> {
    let mut webhook = String::new();
    for (kind, name) in names.as_object().context("no secrets")? {
        let name = name.as_str().context("a secret has no name")?;
        let value = match kind.as_str() {
            // The App logs in.
            "state_token" if forge.kind() == Kind::GitHub => continue,
            "state_token" => forge.token(),
            "forge_token" if forge.kind() == Kind::GitHub => Forge::app_key().to_owned(),
            "forge_token" => forge.token(),
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
    /// One look at everything, in the place of the timer's next one.
    pub(crate) fn sweep(&self) -> Result<Value> {
        self.emulated.invoke(
            &format!("{}-sweep", self.prefix),
            &json!({"sweep": "everything"}),
        )
    }

    /// From now on timers wait so long between two looks.
    pub(crate) fn look_each(&self, wait: Duration) {
        for timer in &self.timers {
            timer.seconds.store(wait.as_secs(), Ordering::Relaxed);
        }
    }

    /// The environment of a component outside of the cloud: who it is there, and a door of its own.
    pub(crate) fn surroundings(&self, component: &str) -> Result<Vec<(String, String)>> {
        let mut variables = self.recorder.door(component)?;
        let region = self.emulated.region.as_str();
        // The emulator takes any keys.
        for (name, value) in [
            ("AWS_ACCESS_KEY_ID", component),
            ("AWS_SECRET_ACCESS_KEY", component),
            ("AWS_REGION", region),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ] {
            variables.push((name.to_owned(), value.to_owned()));
        }
        Ok(variables)
    }

    /// Holds all calls so far against the policies that were applied, and against the record that is committed; or makes
    /// them the record.
    pub(crate) fn judge_calls(&self, record: bool) -> Result<Verdict> {
        let calls = self.recorder.calls()?;
        record::save(&calls)?;
        if record {
            record::accept()?;
        }
        record::compare(&calls)?;
        let records = [record::committed(), record::last()];
        Verdict::of(terraform::judge_calls(&self.state, &records))
    }

    /// All calls so far are among those that are recorded.
    pub(crate) fn compare_calls(&self) -> Result<()> {
        record::compare(&self.recorder.calls()?)
    }

    /// What the timer met, if it failed.
    pub(crate) fn trouble(&self) -> Option<String> {
        let all = self.timers.iter().filter_map(Timer::trouble);
        let all: Vec<String> = all.collect();
        (!all.is_empty()).then(|| all.join("\n"))
    }
}

/// Starts a function each minute, or as it is told. Ends with this value, within a second.
struct Timer {
    seconds: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    trouble: Arc<Mutex<Option<String>>>,
}

impl Timer {
    fn start(emulated: &Emulated, function: String, event: Value) -> Self {
        let timer = Self {
            seconds: Arc::new(AtomicU64::new(MINUTE.as_secs())),
            is_over: Arc::default(),
            trouble: Arc::default(),
        };
        let (is_over, trouble) = (timer.is_over.clone(), timer.trouble.clone());
        let seconds = timer.seconds.clone();
        let emulated = emulated.clone();
        std::thread::spawn(move || {
            let mut waited = 0;
            while !is_over.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_secs(1));
                waited += 1;
                if waited >= seconds.load(Ordering::Relaxed) {
                    waited = 0;
                    if let Err(error) = emulated.invoke(&function, &event) {
                        let mut trouble = trouble.lock().unwrap_or_else(PoisonError::into_inner);
                        *trouble = Some(format!("{error:#}"));
                    }
                }
            }
        });
        timer
    }

    fn trouble(&self) -> Option<String> {
        let trouble = self.trouble.lock();
        trouble.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}
