//! `millrace`: the command line, and on one machine the whole control plane (`millrace up`).
//!
//! Exit codes are one table for all commands: see `failure` and `millrace --help`.

#![allow(
    clippy::disallowed_methods,
    reason = "an outermost shell: it reads files, starts processes and knows the time"
)]

mod args;
mod ask;
mod checkout;
mod client;
mod cost;
mod examples;
mod failure;
mod init;
mod keeper;
mod lint;
mod local;
mod logs;
mod memory;
mod missing;
mod names;
mod plan;
mod prune;
mod recover;
mod render;
mod running;
mod state;
mod status;
mod up;
mod verify;
mod watch;
mod why;

use std::io::Write as _;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, Parser};

use args::{Args, Command};
use failure::{Closed, Kind, without_secrets};
use render::Output;

/// How a command ended when nothing broke on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Exit code 0.
    Well,
    /// Exit code 1.
    NotWell,
}

impl Verdict {
    /// Of a request in this phase.
    fn of_phase(phase: &str) -> Self {
        match phase {
            "failed" | "invalid" | "canceled" => Self::NotWell,
            _ => Self::Well,
        }
    }
}

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return usage(&without_logins(error)),
    };
    let json = args.json;
    match run(args) {
        Ok(Verdict::Well) => ExitCode::SUCCESS,
        Ok(Verdict::NotWell) => ExitCode::from(1),
        Err(error) if error.is::<Closed>() => ExitCode::SUCCESS,
        Err(error) => fail(failure::kind_of(&error), &format!("{error:#}"), json),
    }
}

/// Words that are refused are repeated, and an address among them may have a login in it, or a token stands there.
fn without_logins(mut error: clap::Error) -> clap::Error {
    for kind in [
        ContextKind::InvalidValue,
        ContextKind::InvalidArg,
        ContextKind::InvalidSubcommand,
    ] {
        let Some(ContextValue::String(word)) = error.get(kind) else {
            continue;
        };
        let shown = without_secrets(&forge::shown(word));
        if shown != *word {
            error.insert(kind, ContextValue::String(shown));
            // Advice repeats the word, too.
            error.remove(ContextKind::Suggested);
        }
    }
    error
}

/// Wrong words, or a call for help, which is none.
fn usage(error: &clap::Error) -> ExitCode {
    let json = std::env::args_os().any(|arg| arg == "--json");
    if error.use_stderr() && json {
        return fail(Kind::Usage, error.to_string().trim_end(), json);
    }
    // A closed pipe: nobody reads it.
    let _nobody_reads_it = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

fn fail(kind: Kind, message: &str, json: bool) -> ExitCode {
    let report = failure::report(kind, message, json);
    // Nowhere is left to say that standard error cannot be written.
    let _nobody_reads_it = std::io::stderr().write_all(report.as_bytes());
    ExitCode::from(kind.code())
}

fn run(args: Args) -> anyhow::Result<Verdict> {
    let output = Output::new(args.json, args.color);
    match args.command {
        Command::Init(args) => init::run(&args, &output),
        Command::Lint(args) => lint::run(&args, &output),
        Command::Up(args) => {
            memory::with_few_arenas();
            block_on(up::run(*args, &output))
        }
        Command::Plan(args) => block_on(plan::run(args, &output)),
        Command::Status(args) => block_on(status::run(args, &output)),
        Command::Why(args) => block_on(why::run(args, &output)),
        Command::Cancel(args) => block_on(ask::cancel(args, &output)),
        Command::Retry(args) => block_on(ask::retry(args, &output)),
        Command::Watch(args) => block_on(watch::run(args, &output)),
        Command::Logs(args) => block_on(logs::run(args, &output)),
        Command::Verify(args) => verify::run(&args, &output),
        Command::Recover(args) => block_on(recover::run(args, &output)),
        Command::Prune(args) => block_on(prune::run(args, &output)),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "millrace", &mut script);
            output.print_bytes(&script).map(|()| Verdict::Well)
        }
        Command::Man => output.print_bytes(&manual()?).map(|()| Verdict::Well),
    }
}

/// One page: the program, then each command.
fn manual() -> anyhow::Result<Vec<u8>> {
    let mut page = Vec::new();
    let mut command = Args::command();
    command.build();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    for command in command.get_subcommands().filter(|c| c.get_name() != "help") {
        let name = command.get_name().to_owned();
        let title = format!("MILLRACE {}", name.to_uppercase());
        page.extend_from_slice(format!(".SH \"{title}\"\n").as_bytes());
        let man = clap_mangen::Man::new(command.clone());
        man.render_synopsis_section(&mut page)?;
        man.render_description_section(&mut page)?;
        man.render_options_section(&mut page)?;
        man.render_extra_section(&mut page)?;
    }
    Ok(page)
}

/// So long calls that block may go on after all else has ended.
const LEFT_AFTER: std::time::Duration = std::time::Duration::from_secs(5);

/// Two workers: the control plane waits more than it computes, and idle memory counts.
fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let ended = runtime.block_on(future);
    // Whoever waits for a silent git server does so for minutes. It may be killed at any time, so it may be left.
    runtime.shutdown_timeout(LEFT_AFTER);
    ended
}
