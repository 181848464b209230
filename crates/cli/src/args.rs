//! The words of the command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::examples;

pub(crate) mod words;

/// Where `millrace up` listens unless told otherwise.
pub(crate) const LISTEN: &str = "127.0.0.1:7878";

/// Build, test, sign and release RPM and Debian packages from a git repository.
///
/// The wish is a commit: write what should be built and released as YAML, push it, and watch.
/// Start with `millrace init DIR`, then `millrace up --data DIR`.
#[derive(Debug, Parser)]
#[command(name = "millrace", version, propagate_version = true, after_help = examples::ALL)]
pub(crate) struct Args {
    /// Print JSON for programs in the place of text for people.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Colours: on a terminal only, unless said otherwise.
    #[arg(long, global = true, value_enum, default_value = "auto")]
    pub(crate) color: ColorWhen,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorWhen {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a state repository from the template, with keys and runners for this machine.
    #[command(after_help = examples::INIT)]
    Init(InitArgs),
    /// Run everything on this machine: control plane, runners, signer, and the repositories over HTTP.
    #[command(after_help = examples::UP)]
    Up(Box<UpArgs>),
    /// Check the files of a state repository; every mistake with file, line, column and what to write.
    #[command(after_help = examples::LINT)]
    Lint(LintArgs),
    /// Say what merging a checkout, a branch or a commit would do, and why, without doing it.
    #[command(after_help = examples::PLAN)]
    Plan(PlanArgs),
    /// Show requests, tasks and repositories.
    #[command(after_help = examples::STATUS)]
    Status(StatusArgs),
    /// Show progress live until all requests are at rest.
    #[command(after_help = examples::WATCH)]
    Watch(WatchArgs),
    /// Print the log of a task, or of a request's failed or running one; with -f as it grows.
    #[command(after_help = examples::LOGS)]
    Logs(LogsArgs),
    /// Say why a task, or all that is not done of a request, is where it is.
    #[command(after_help = examples::WHY)]
    Why(SubjectArgs),
    /// Stop a task, or all of a request.
    #[command(after_help = examples::CANCEL)]
    Cancel(CancelArgs),
    /// Try a failed task, or all that failed of a request, again.
    #[command(after_help = examples::RETRY)]
    Retry(SubjectArgs),
    /// Hold a published repository against its commit, keys and digests, file by file.
    #[command(after_help = examples::VERIFY)]
    Verify(VerifyArgs),
    /// Rebuild a lost ledger from the state repository and the artifact store.
    #[command(after_help = examples::RECOVER)]
    Recover(RecoverArgs),
    /// Remove files of the artifact store that nothing needs any more.
    #[command(after_help = examples::PRUNE)]
    Prune(PruneArgs),
    /// Print completions for a shell: `millrace completions bash > /etc/bash_completion.d/millrace`.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page: `millrace man | man -l -`.
    Man,
}

/// Where the control plane is.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Place {
    /// Directory that `millrace init` made.
    #[arg(long, value_name = "DIR", env = "MILLRACE_DATA", default_value = ".")]
    pub(crate) data: PathBuf,
    /// URL of a running control plane; by default the one that `millrace up` noted in the data directory.
    #[arg(long, value_name = "URL", env = "MILLRACE_URL")]
    pub(crate) url: Option<String>,
    /// File with the token for what changes something: cancel, retry, prune. By default the one that `millrace init`
    /// left in the data directory; on AWS, a file with what is in the parameter of the admin token.
    #[arg(long, value_name = "FILE", env = "MILLRACE_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct InitArgs {
    /// New directory for the state repository, its secrets and the data.
    pub(crate) directory: PathBuf,
    /// Name of the distribution.
    #[arg(long, default_value = "example", value_parser = words::name)]
    pub(crate) name: String,
    /// Architecture of this machine in RPM's words.
    #[arg(long, default_value = std::env::consts::ARCH)]
    pub(crate) rpm_arch: String,
    /// Architecture that this machine runs through qemu-user, in the platforms' words; repeatable.
    #[arg(long, value_name = "ARCH", value_parser = words::emulated)]
    pub(crate) emulated: Vec<String>,
    /// Jobs at a time on this machine; written into runners/local-builder.yaml.
    #[arg(long, default_value = "2")]
    pub(crate) jobs: std::num::NonZeroU32,
    /// For an installation on AWS: what `terraform output -json installation` prints, `-` for standard input. Keys
    /// are those in KMS; no runner of this machine is enrolled.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["jobs", "emulated", "rpm_arch", "forge"])]
    pub(crate) installation: Option<PathBuf>,
    /// The forge that the state repository will be on: its files are for that one alone, and what to click there is
    /// printed.
    #[arg(long, value_enum, requires_all = ["state", "public_url"], help_heading = "Forge")]
    pub(crate) forge: Option<ForgeKind>,
    /// Address that the state repository will have there, over http(s): `https://github.com/acme/state.git`.
    #[arg(long, value_name = "URL", requires = "forge", value_parser = words::state_url, help_heading = "Forge")]
    pub(crate) state: Option<String>,
    /// Where the forge and people will reach this control plane, as `https://build.example.org`.
    #[arg(long, value_name = "URL", requires = "forge", value_parser = words::public_url, help_heading = "Forge")]
    pub(crate) public_url: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct UpArgs {
    /// Directory that `millrace init` made.
    #[arg(long, value_name = "DIR", env = "MILLRACE_DATA", default_value = ".")]
    pub(crate) data: PathBuf,
    /// The state repository: a directory or an http(s) URL. By default DIR/state.git.
    #[arg(long, value_name = "REPO", value_parser = words::repository)]
    pub(crate) state: Option<String>,
    /// File with the login for an http(s) state repository: one line, a token or `user:password`. Only
    /// its owner may be able to read it.
    #[arg(long, value_name = "FILE", env = "MILLRACE_STATE_TOKEN_FILE")]
    pub(crate) state_token_file: Option<PathBuf>,
    /// Pushes of status in any minute, at most, where the state repository is on a server: forges block whoever
    /// pushes too often. 0: as many as there is something to say.
    #[arg(long, value_name = "N", default_value = "6")]
    pub(crate) pushes_a_minute: u32,
    /// The branch that holds the requests.
    #[arg(long, default_value = "main")]
    pub(crate) branch: String,
    /// Jobs at a time on this machine. By default the capacity in runners/local-builder.yaml, which is
    /// what `millrace init --jobs` wrote.
    #[arg(long)]
    pub(crate) jobs: Option<std::num::NonZeroU32>,
    /// Address to listen on. Port 0 takes a free one.
    #[arg(long, default_value = LISTEN, value_parser = words::listen)]
    pub(crate) listen: std::net::SocketAddr,
    /// Start no runner: they come from elsewhere.
    #[arg(long)]
    pub(crate) no_runners: bool,
    /// Directory for the jobs' files; best a tmpfs. By default below the data directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) scratch: Option<PathBuf>,
    /// Directory for build roots; best a tmpfs. Several control planes may share one. By default below
    /// the data directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) roots: Option<PathBuf>,
    /// Seconds without a heartbeat after which a lease ends.
    #[arg(long, default_value = "30", value_parser = clap::value_parser!(u64).range(2..=3600))]
    pub(crate) lease: u64,
    #[command(flatten)]
    pub(crate) forge: ForgeArgs,
}

/// The forge that the state repository is on: pull requests get checks there.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Forge")]
pub(crate) struct ForgeArgs {
    /// Which: every pull request gets a check that says what merging would do, and every merge one that follows
    /// its work.
    #[arg(long, value_enum, requires_all = ["forge_token_file"])]
    pub(crate) forge: Option<ForgeKind>,
    /// Where its API begins, as `https://gitea.example.org/api/v1`. By default GitHub's own.
    #[arg(
        long,
        value_name = "URL",
        requires = "forge",
        required_if_eq("forge", "gitea")
    )]
    pub(crate) forge_api: Option<String>,
    /// The state repository there. By default as the address of --state ends.
    #[arg(long, value_name = "OWNER/NAME", requires = "forge")]
    pub(crate) forge_repository: Option<String>,
    /// File with the token: of a user who may write checks and comments. Of a GitHub App: its private key, in PEM.
    /// Only its owner may be able to read it.
    #[arg(
        long,
        value_name = "FILE",
        requires = "forge",
        env = "MILLRACE_FORGE_TOKEN_FILE"
    )]
    pub(crate) forge_token_file: Option<PathBuf>,
    /// Number of the GitHub App whose private key that file is.
    #[arg(long, value_name = "ID", requires = "forge", value_parser = words::app)]
    pub(crate) forge_app: Option<u64>,
    /// File with the secret that the forge signs its webhooks with: one line for each that is valid. Without it
    /// no webhooks are taken, and `/millrace` comments do nothing; the forge is asked from time to time.
    #[arg(
        long,
        value_name = "FILE",
        requires = "forge",
        env = "MILLRACE_WEBHOOK_SECRET_FILE"
    )]
    pub(crate) webhook_secret_file: Option<PathBuf>,
    /// Seconds after which the forge is asked when no webhook has told of anything.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = clap::value_parser!(u64).range(5..=3600))]
    pub(crate) forge_poll: u64,
    /// Where people reach this control plane, for links in checks: `https://build.example.org`.
    #[arg(long, value_name = "URL")]
    pub(crate) public_url: Option<String>,
}

/// A forge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ForgeKind {
    Github,
    Gitea,
}

#[derive(Debug, clap::Args)]
pub(crate) struct LintArgs {
    /// Checkout of a state repository.
    #[arg(default_value = ".")]
    pub(crate) directory: PathBuf,
    /// Show notes too: files that are right, and cannot be put to use yet.
    #[arg(long)]
    pub(crate) notes: bool,
    /// Write the schemas that editors check files by anew, in .millrace/schemas/, before looking.
    #[arg(long)]
    pub(crate) write_schemas: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) place: Place,
    /// A checkout's directory, a branch or a commit. By default the checkout in the current directory.
    pub(crate) what: Option<String>,
    /// Say, too, what it would cost on AWS.
    #[arg(long)]
    pub(crate) cost: bool,
    #[command(flatten)]
    pub(crate) costs: CostArgs,
}

/// What nobody can count beforehand.
#[derive(Debug, clap::Args)]
pub(crate) struct CostArgs {
    /// Minutes that a build takes.
    #[arg(long, value_name = "MINUTES", default_value_t = 10.0, value_parser = words::amount, requires = "cost")]
    pub(crate) build_minutes: f64,
    /// Minutes that any other task takes.
    #[arg(long, value_name = "MINUTES", default_value_t = 1.0, value_parser = words::amount, requires = "cost")]
    pub(crate) other_minutes: f64,
    /// MiB that a build leaves in the store.
    #[arg(long, value_name = "MIB", default_value_t = 20.0, value_parser = words::amount, requires = "cost")]
    pub(crate) build_mib: f64,
    /// The machines that run tasks, of 4 processors each: on spot or on demand.
    #[arg(long, value_enum, default_value_t = Machine::ArmSpot, requires = "cost")]
    pub(crate) machine: Machine,
}

/// Machines of EC2, and how they are paid for: c7g.xlarge and c7i.xlarge, on spot or on demand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Machine {
    ArmSpot,
    Arm,
    IntelSpot,
    Intel,
}

#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) place: Place,
    /// A request's path, to see its tasks.
    pub(crate) request: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Only these requests; by default all.
    pub(crate) requests: Vec<String>,
    /// Give up after so many seconds.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct LogsArgs {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Id of a task or its first digits (4 at least), or a request's path.
    pub(crate) task: String,
    /// Go on printing until the task ends.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// An earlier attempt.
    #[arg(long, value_name = "N")]
    pub(crate) attempt: Option<u32>,
    /// Byte for byte on a terminal too, with whatever escape sequences the build wrote.
    #[arg(long)]
    pub(crate) raw: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SubjectArgs {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Id of a task or its first digits (4 at least), or a request's path.
    pub(crate) subject: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CancelArgs {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Id of a task or its first digits (4 at least), or a request's path.
    pub(crate) subject: String,
    /// Shown in the status.
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RecoverArgs {
    /// Directory that `millrace init` made.
    #[arg(long, value_name = "DIR", env = "MILLRACE_DATA", default_value = ".")]
    pub(crate) data: PathBuf,
    /// Put a ledger that is there aside first: one that is damaged, or older than what is public.
    #[arg(long)]
    pub(crate) replace: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PruneArgs {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Remove nothing; list what would be removed.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Keep what was uploaded less than so long ago: 72h, 3d; 1h at least. By default three days.
    #[arg(long, value_name = "TIME", value_parser = words::grace)]
    pub(crate) grace: Option<std::time::Duration>,
    /// Remove also what only a lost status branch named: after a recovery without it, prune refuses until
    /// this is said once.
    #[arg(long)]
    pub(crate) give_up: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    /// Directory that `millrace init` made.
    #[arg(long, value_name = "DIR", env = "MILLRACE_DATA", default_value = ".")]
    pub(crate) data: PathBuf,
    /// Name of the repository: its file in repositories/ without .yaml. By default all that are published.
    pub(crate) repository: Vec<String>,
}
