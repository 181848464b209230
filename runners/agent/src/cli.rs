//! What `millrace-runner` and `millrace-signer` share on their command lines.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::num::NonZeroU32;
use std::path::PathBuf;

use pipeline_spec::{Architecture, Label, RunnerId};
use tracing_subscriber::EnvFilter;

use crate::{Config, Error, Identity, Settings};

/// Which lines are logged, in the syntax of `tracing_subscriber::EnvFilter`; unset: `info`.
pub const LOG_VARIABLE: &str = "MILLRACE_LOG";

/// Flags of `run`.
#[derive(Debug, Clone, clap::Args)]
pub struct RunArgs {
    /// YAML file with the settings below, under the flags' names with `_` for `-`.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The settings themselves.
    #[command(flatten)]
    pub settings: Settings,
}

impl RunArgs {
    /// Flags over file over defaults.
    pub fn resolve(self) -> Result<Config, Error> {
        let file = match self.config {
            Some(path) => Settings::read(&path)?,
            None => Settings::default(),
        };
        self.settings.or(file).complete()
    }
}

/// Flags of `enroll`.
#[derive(Debug, Clone, clap::Args)]
pub struct EnrollArgs {
    /// Name of the runner: the file will be runners/<ID>.yaml.
    #[arg(long, value_name = "ID")]
    pub id: RunnerId,
    /// Where the private key is, or will be made with mode 0600.
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// What it may do; give it once for each role. Left out: all that this program can.
    #[arg(long = "role", value_name = "ROLE", value_parser = parse_role)]
    pub roles: Vec<pipeline_spec::Role>,
    /// Architecture that its processor runs itself, as the platforms spell it; repeatable.
    #[arg(long = "arch", value_name = "ARCH", required = true)]
    pub architectures: Vec<Architecture>,
    /// Architecture that it runs through qemu-user; repeatable.
    #[arg(long, value_name = "ARCH")]
    pub emulated: Vec<Architecture>,
    /// A word that describes it; repeatable.
    #[arg(long = "label", value_name = "WORD")]
    pub labels: Vec<Label>,
    /// Jobs at a time.
    #[arg(long, value_name = "N", default_value = "1")]
    pub capacity: NonZeroU32,
}

impl EnrollArgs {
    /// Makes the key unless it is there, and returns the text of `runners/<id>.yaml`.
    /// `able`: the roles that this program has.
    pub fn enroll(&self, able: &[pipeline_spec::Role]) -> Result<String, Error> {
        let roles = if self.roles.is_empty() {
            able
        } else {
            &self.roles
        };
        if let Some(role) = roles.iter().find(|role| !able.contains(role)) {
            return Err(Error::Unusable(format!(
                "enroll for {role}: this program does not have that role; it has {}",
                list(able)
            )));
        }
        let identity = Identity::load_or_create(self.id.clone(), &self.key)?;
        Ok(self.render(&identity, roles))
    }

    fn render(&self, identity: &Identity, roles: &[pipeline_spec::Role]) -> String {
        let roles: BTreeSet<_> = roles.iter().collect();
        let labels: BTreeSet<_> = self.labels.iter().collect();
        let mut text = format!(
            "# runners/{}.yaml\nkey: {}\nroles: [{}]\narchitectures: [{}]\n",
            self.id,
            identity.public(),
            list(roles),
            list(&self.architectures)
        );
        let mut line = |name: &str, value: String| {
            writeln!(text, "{name}: {value}").expect("writing to memory does not fail");
        };
        if !self.emulated.is_empty() {
            line("emulated", format!("[{}]", list(&self.emulated)));
        }
        if !labels.is_empty() {
            line("labels", format!("[{}]", list(labels)));
        }
        if self.capacity > NonZeroU32::MIN {
            line("capacity", self.capacity.to_string());
        }
        text
    }
}

/// Log lines to standard error: for people on a terminal, JSON elsewhere.
pub fn start_logging() {
    let filter = EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new("info"));
    // Below that AWS's crates write down what they sign, with the token of who asks.
    let filter = filter.add_directive("aws_=info".parse().expect("a target and a level"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        lines.with_target(false).init();
    } else {
        lines.json().flatten_event(true).init();
    }
}

/// For clap: a role as it is written in files.
pub fn parse_role(text: &str) -> Result<pipeline_spec::Role, String> {
    pipeline_spec::Role::ALL
        .into_iter()
        .find(|role| role.as_str() == text)
        .ok_or_else(|| format!("it is none of {}", list(pipeline_spec::Role::ALL)))
}

fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let words: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    words.join(", ")
}
