//! `millrace-signer`: the sign role as a process of its own.

#![allow(
    clippy::disallowed_methods,
    reason = "this is a shell: it reads the clock and writes a public key"
)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};
use pipeline_spec::{Role, SecretName};
use runner_agent::Shutdown;
use runner_agent::cli::{EnrollArgs, RunArgs, start_logging};
use runner_sign::{Demands, Keys, NewKey, Sign};
use signing_kms::{Access, KeyName, Kms, Patience, Place};

/// Signs packages and repositories. The only program that opens private keys, or has KMS sign.
#[derive(Parser)]
#[command(name = "millrace-signer", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make the identity key, and print the text of runners/<ID>.yaml.
    Enroll(EnrollArgs),
    /// Make a signing key in the folder of private keys, mode 0600, and print its public half for
    /// keys/<ID>.asc. A file that is there is never overwritten.
    Keygen(Keygen),
    /// Make the certificate of a key in AWS KMS, and print it for keys/<ID>.asc. The key signs its own name
    /// for that: run it with the rights of the signer's role.
    Certificate(Certificate),
    /// Take signing tasks until told to stop.
    Run(Run),
}

#[derive(clap::Args)]
struct Keygen {
    /// Folder of the private keys.
    #[arg(long, value_name = "DIR")]
    keys: PathBuf,
    /// Name of the new file: what keys/<ID>.yaml has under `private`, such as main.key.
    #[arg(long, value_name = "NAME")]
    file: SecretName,
    /// Whose key it is: Name <mail@example.org>.
    #[arg(long, value_name = "TEXT")]
    user_id: String,
    /// The algorithm.
    #[arg(long, value_enum, default_value = "ed25519")]
    kind: Kind,
    /// Seconds since 1970 that the key claims as its birth; nothing older can be signed. Left out: now.
    #[arg(long, value_name = "SECONDS")]
    created: Option<u64>,
    /// Where the public half goes; left out: standard output.
    #[arg(long, value_name = "FILE")]
    public: Option<PathBuf>,
}

#[derive(clap::Args)]
struct Certificate {
    /// The key: an ARN, or an alias of this account and region. What keys/<ID>.yaml has under `private`.
    #[arg(long, value_name = "NAME")]
    kms: KeyName,
    /// Whose key it is: Name <mail@example.org>.
    #[arg(long, value_name = "TEXT")]
    user_id: String,
    /// Seconds since 1970 that the key claims as its birth; nothing older can be signed, and another birth is
    /// another fingerprint. Left out: when KMS made it.
    #[arg(long, value_name = "SECONDS")]
    created: Option<u64>,
    /// Where the certificate goes; left out: standard output.
    #[arg(long, value_name = "FILE")]
    public: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// Small and fast.
    Ed25519,
    /// For clients that know no other.
    Rsa4096,
}

#[derive(clap::Args)]
struct Run {
    /// Folder of the private keys: armored, without passphrase, mode 0600.
    #[arg(long, value_name = "DIR")]
    keys: PathBuf,
    /// Folder with rules of the signer's own: policy.yaml with `approvals`, and keys/people/*.asc. For the repositories that
    /// they name nothing is signed unless the task shows these approvals.
    #[arg(long, value_name = "DIR")]
    approvals: Option<PathBuf>,
    /// Use keys in AWS KMS too, where keys/<ID>.yaml says `private: {kms: …}`. Credentials and region come from
    /// where AWS's own programs look for them.
    #[arg(long)]
    kms: bool,
    #[command(flatten)]
    run: RunArgs,
}

fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Never a backtrace: the words say what to do.
            eprintln!("Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Enroll(args) => {
            print!("{}", args.enroll(&[Role::Sign])?);
            Ok(())
        }
        Command::Keygen(args) => keygen(&args),
        Command::Certificate(args) => certificate(args),
        Command::Run(args) => run(args),
    }
}

fn keygen(args: &Keygen) -> anyhow::Result<()> {
    let now = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map(|since| since.as_secs())
    };
    let new = NewKey {
        kind: match args.kind {
            Kind::Ed25519 => openpgp::KeyKind::Ed25519,
            Kind::Rsa4096 => openpgp::KeyKind::Rsa4096,
        },
        user_id: &args.user_id,
        created: args
            .created
            .map_or_else(now, Ok)
            .context("failed to read the clock")?,
    };
    let public = Keys::generate(&args.keys, &args.file, new)?;
    match &args.public {
        Some(path) => std::fs::write(path, public).with_context(|| {
            format!(
                "failed to write {}; the private half is made: export the public one with `gpg --import {}`, `gpg --export --armor`",
                path.display(),
                args.keys.join(args.file.as_str()).display()
            )
        }),
        None => {
            print!("{public}");
            Ok(())
        }
    }
}

fn certificate(args: Certificate) -> anyhow::Result<()> {
    let runtime = runtime()?;
    let (key, created) = runtime.block_on(async {
        let key = kms().await.key(&args.kms).await?;
        let created = match args.created {
            Some(created) => created,
            None => key.created().await?,
        };
        anyhow::Ok((key, created))
    })?;
    // Beside the runtime and not on it: the key blocks until KMS has signed.
    let public = key.public().certify(&args.user_id, created, &key)?;
    let armored = public.to_armored();
    match &args.public {
        Some(path) => std::fs::write(path, armored)
            .with_context(|| format!("failed to write {}", path.display())),
        None => {
            print!("{armored}");
            Ok(())
        }
    }
}

/// KMS, with what the surroundings say of region and credentials.
async fn kms() -> Kms {
    Kms::new(Place::default(), Access::default(), Patience::default()).await
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Runtime::new().context("failed to start the runtime")
}

fn run(args: Run) -> anyhow::Result<()> {
    start_logging();
    let config = args.run.resolve()?;
    let (mut keys, found) = Keys::open(args.keys)?;
    for (name, fingerprint) in found {
        tracing::info!(name, fingerprint, "signing key");
    }
    let demands = match &args.approvals {
        Some(folder) => Demands::read(folder)?,
        None => Demands::default(),
    };
    runtime()?.block_on(async {
        if args.kms {
            keys = keys.with_vault(Arc::new(kms().await));
            tracing::info!("keys in AWS KMS are used too");
        }
        let shutdown = Shutdown::on_signals()?;
        runner_agent::run(
            config,
            vec![Box::new(Sign::new(keys).demanding(demands))],
            shutdown,
        )
        .await
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_starts_this_program_with_its_sample_configuration() {
        let unit = include_str!("../systemd/millrace-signer.service");
        let start = unit
            .lines()
            .find_map(|line| line.strip_prefix("ExecStart="));
        let cli = Cli::try_parse_from(start.expect("a unit starts something").split(' '));
        let Ok(Command::Run(mut run)) = cli.map(|cli| cli.command) else {
            panic!("{start:?} is not understood");
        };
        assert_eq!(
            run.run.config.as_deref(),
            Some("/etc/millrace/signer.yaml".as_ref())
        );
        run.run.config = Some(concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/signer.yaml").into());
        run.run.resolve().expect("the sample is complete");
    }
}
