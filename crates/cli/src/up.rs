//! `millrace up`: control plane, runners and repositories on one machine, until SIGTERM or Ctrl-C.
//!
//! Each loop reacts to what it is told and has a timer behind it, so that a lost word costs time and
//! never work. Nothing here is remembered: kill -9 at any point, start again, and it goes on.

mod files;
mod given;
mod loops;
mod pulls;
mod reach;

use std::io::{ErrorKind, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use control::{Control, Options};
use notify::Watcher;
use pipeline_spec::Config;
use platform_local::LocalPlatform;
use ports::{Platform as _, StateRepo};
use state_repo::GitStateRepo;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::Verdict;
use crate::args::{UpArgs, words};
use crate::client::TOKEN;
use crate::failure::{Failure, Kind};
use crate::init::{BUILDER, SIGNER};
use crate::keeper::{Jobs, Keeper};
use crate::local::{Layout, private_directory};
use crate::render::Output;
use crate::running::{RUNNING, Running};
use crate::state::StatePlace;
use loops::{
    advance_loop, dispatch_loop, lease_loop, plan_loop, prune_loop, report_loop, sweep_loop,
};
pub(crate) use pulls::forge_address;
use pulls::{At, Ear, News};
use reach::Reach;

/// While the state repository cannot be reached, it is asked this often.
const ASK: Duration = Duration::from_secs(5);
/// What is told to whoever wants something changed meanwhile.
const NOT_YET: &str =
    "the state repository cannot be reached: nothing is changed before it is; try again later";

pub(crate) async fn run(mut args: UpArgs, output: &Output) -> anyhow::Result<Verdict> {
    start_logging();
    args.forge.public_url = public_url(args.forge.public_url.as_deref())?;
    let layout = Layout::new(&args.data)?;
    anyhow::ensure!(layout.is_made(), layout.not_made());
    let token = admin_token(&layout)?;
    for directory in [layout.data(), layout.logs()] {
        private_directory(&directory)?;
    }
    let place = StatePlace::told(
        &layout,
        args.state.as_deref(),
        &args.branch,
        args.state_token_file.as_deref(),
    )?;
    given::check(&args.forge, &place)?;
    let place = place.with_app(&args.forge)?;
    let state_repo = GitStateRepo::new(place.open(&layout)?).holding(&args.branch);
    let at = At::told(&args.forge, &place)?;
    let news = Arc::new(News::default());
    let ear = args.forge.webhook_secret_file.as_deref();
    let ear = ear
        .map(|file| Ear::told(file, &args.forge, &place))
        .transpose()?;
    let reach = Reach::of(&place, &layout).await?;
    let config = match &reach {
        Reach::There => configuration(&state_repo, &args.branch).await,
        Reach::Away { copy, .. } => configuration(copy, &args.branch).await,
    };
    let options = options(config.as_ref(), &args, &place);
    tell_apart(&options)?;
    let jobs = Jobs::of(args.jobs, config.as_ref());
    let platform =
        LocalPlatform::open(&layout.data(), state_repo).context("open the data directory")?;
    let control = Arc::new(Control::new(platform, options));
    let listener = begin(&control, &layout, args.listen, &reach).await?;
    let address = listener.local_addr()?;
    let config = server::Config {
        logs: Some(layout.logs()),
        cloud: None,
        published_at: None,
        forge: ear.map(|ear| {
            let ears = ear.listen(control.clone(), news.clone());
            Arc::new(ears) as Arc<dyn server::Hear>
        }),
        admin: Some(server::Admin {
            token,
            place: format!(
                "{} on the control plane's machine",
                layout.root().join(TOKEN).display()
            ),
        }),
    };
    let latch = server::Latch::default();
    let router = latch.before(server::router(control.clone(), config), NOT_YET);
    let _watcher = place
        .directory()
        .map(|path| watch(path, news.clone()))
        .transpose()?;
    let work = Work {
        control: control.clone(),
        news,
        at: at.map(|at| (at, Duration::from_secs(args.forge.forge_poll))),
        runners: runners(&layout, (address, jobs), &args)?,
    };
    place.note(&layout)?;
    let running = Running {
        url: format!("http://{address}"),
        pid: std::process::id(),
    };
    running.write(layout.root())?;
    let (mut loops, mut keepers) = (JoinSet::new(), JoinSet::new());
    let connections = files::connections();
    loops.spawn(async move {
        server::serve(listener, router, connections).await;
        Ok(())
    });
    greet(&running.url, &place, output);
    let stop = Arc::new(Notify::new());
    let worked = async {
        if let Reach::Away { why, .. } = reach {
            wait_for_state(&control, &layout, (&place.repository, why)).await?;
        }
        latch.open();
        work.begin(&mut loops, (&mut keepers, &stop));
        Ok(loops.join_next().await)
    };
    let ended = tokio::select! {
        signal = stop_signal() => signal.map(|()| None),
        ended = worked => ended,
    };
    stop.notify_waiters();
    while keepers.join_next().await.is_some() {}
    // The note is another's when two were started on one directory; the second never gets here.
    let _gone_is_fine = std::fs::remove_file(layout.root().join(RUNNING));
    match ended? {
        None => Ok(Verdict::Well),
        Some(Ok(Ok(()))) => anyhow::bail!("a loop of the control plane ended by itself"),
        Some(Ok(Err(error))) => Err(error),
        Some(Err(panic)) => Err(panic).context("a loop of the control plane broke"),
    }
}

type Here = Control<LocalPlatform<GitStateRepo>>;

/// What goes on from the moment on at which the state repository is there.
struct Work {
    control: Arc<Here>,
    news: Arc<News>,
    /// The forge, and how often it is asked.
    at: Option<(At, Duration)>,
    runners: Vec<Keeper>,
}

impl Work {
    fn begin(
        self,
        loops: &mut JoinSet<anyhow::Result<()>>,
        (keepers, stop): (&mut JoinSet<()>, &Arc<Notify>),
    ) {
        let control = self.control;
        loops.spawn(plan_loop(control.clone(), self.news.clone()));
        loops.spawn(advance_loop(control.clone()));
        loops.spawn(dispatch_loop(control.clone()));
        loops.spawn(report_loop(control.clone()));
        loops.spawn(lease_loop(control.clone()));
        loops.spawn(sweep_loop(control.clone()));
        loops.spawn(prune_loop(control.clone()));
        if let Some((at, poll)) = self.at {
            at.start(loops, control, (self.news, poll));
        }
        for keeper in self.runners {
            keepers.spawn(keeper.run(stop.clone()));
        }
    }
}

/// Those that this machine starts.
fn runners(layout: &Layout, at: (SocketAddr, Jobs), args: &UpArgs) -> anyhow::Result<Vec<Keeper>> {
    let programs = match args.no_runners {
        true => &[][..],
        false => &[(BUILDER, "millrace-runner"), (SIGNER, "millrace-signer")],
    };
    let keeper = |program: &(&'static str, &str)| Keeper::new(layout, *program, at, args);
    programs.iter().map(keeper).collect()
}

/// Until the state repository says that this ledger may go on. Why it does not is told when it is another reason than
/// before.
///
/// # Errors
/// If the ledger may not: as at a start where it could be asked at once.
async fn wait_for_state(
    control: &Here,
    layout: &Layout,
    (repository, why): (&str, String),
) -> anyhow::Result<()> {
    tracing::warn!(
        repository, %why,
        "the state repository cannot be reached: what is published is served; plans, builds, releases and checks wait for it, and it is asked every {} s", ASK.as_secs()
    );
    let mut told = why;
    loop {
        tokio::time::sleep(ASK).await;
        match control.check_ledger().await {
            Err(control::Error::Port(ports::Error::Transient { cause, .. })) => {
                if cause != told {
                    tracing::warn!(repository, why = %cause, "the state repository still cannot be used");
                    told = cause;
                }
            }
            checked => {
                let may_go_on = checked
                    .context("check the ledger")
                    .and_then(|problems| refuse(&problems, layout));
                may_go_on.inspect_err(|_| control.platform().leave_as_found())?;
                tracing::info!(repository, "the state repository is there: work goes on");
                return Ok(());
            }
        }
    }
}

/// The last steps that may refuse. What was opened is left as it was found then: an empty database in the
/// place of one that was lost would hide the loss.
async fn begin(
    control: &Here,
    layout: &Layout,
    address: SocketAddr,
    reach: &Reach,
) -> anyhow::Result<TcpListener> {
    let checked = match reach {
        Reach::There => refuse_what_does_not_fit(control, layout).await,
        Reach::Away { .. } => Ok(()),
    };
    let begun = match checked {
        Ok(()) => listen(address).await,
        Err(error) => Err(error),
    };
    begun.inspect_err(|_| control.platform().leave_as_found())
}

/// A ledger that is lost, or older than what is public, would build all again and write over the proof.
async fn refuse_what_does_not_fit(control: &Here, layout: &Layout) -> anyhow::Result<()> {
    let problems = control.check_ledger().await.context("check the ledger")?;
    refuse(&problems, layout)?;
    find_branch(control, layout).await
}

/// A branch that is misspelled would look like one that was removed, and be offered to be brought back.
async fn find_branch(control: &Here, layout: &Layout) -> anyhow::Result<()> {
    let branch = &control.options().branch;
    let before = StatePlace::noted(layout).map(|place| place.branch);
    let Some(before) = before.ok().filter(|before| before != branch) else {
        return Ok(());
    };
    if control.planned_commit().await?.is_empty() {
        return Ok(());
    }
    let tip = control.platform().state_repo().head(branch).await;
    let tip = tip.context("read the state repository")?;
    anyhow::ensure!(
        tip.is_some(),
        "plan the branch {branch}: it is not in the state repository. This data directory has planned {before} so far: `--branch {before}` goes on with that. To plan {branch} from now on, push it first"
    );
    Ok(())
}

fn refuse(problems: &[ledger::Problem], layout: &Layout) -> anyhow::Result<()> {
    if problems.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = problems
        .iter()
        .map(|problem| format!("  {}: {}", problem.subject, problem.message))
        .collect();
    anyhow::bail!(
        "the ledger {data}/millrace.db and the artifact store {data}/artifacts do not fit together, or not what is public; nothing was started and nothing was changed:\n{}",
        lines.join("\n"),
        data = layout.data().display(),
    )
}

/// The first line. A reader that has gone away is no reason to stop.
fn greet(url: &str, place: &StatePlace, output: &Output) {
    let line = if output.json {
        serde_json::json!({"url": url, "state": place.repository}).to_string()
    } else {
        format!(
            "millrace is up at {url}/  (state repository: {})",
            place.repository
        )
    };
    let _nobody_reads_it = writeln!(std::io::stdout(), "{line}");
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| {
        let advice = advice(address, error.kind());
        anyhow::Error::new(error).context(format!("listen on {address}: {advice}"))
    })
}

/// What to write in the place of an address that cannot be had.
fn advice(address: SocketAddr, kind: ErrorKind) -> String {
    let (ip, port) = (address.ip(), address.port());
    let ip = match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    match kind {
        ErrorKind::AddrNotAvailable => format!(
            "{ip} is no address of this machine; give one that is, or --listen 127.0.0.1:{port} for this machine alone"
        ),
        ErrorKind::PermissionDenied => {
            format!("port {port} is for root alone; choose one above 1023 with --listen {ip}:PORT")
        }
        _ => format!(
            "choose another port with --listen {ip}:PORT, or a free one with --listen {ip}:0"
        ),
    }
}

fn admin_token(layout: &Layout) -> anyhow::Result<String> {
    let path = layout.root().join(TOKEN);
    let token = std::fs::read_to_string(&path).with_context(|| {
        format!(
            "read {}: make the directory with `millrace init`",
            path.display()
        )
    })?;
    let token = token.trim().to_owned();
    // An empty token would let everybody in.
    anyhow::ensure!(
        token.len() >= 16,
        "{} is too short to be a token",
        path.display()
    );
    Ok(token)
}

/// What the branch says. A file that cannot be read is told of when it is planned.
pub(crate) async fn configuration(state_repo: &GitStateRepo, branch: &str) -> Option<Config> {
    let tip = state_repo.head(branch).await.ok()??;
    let runner = format!("runners/{BUILDER}.yaml");
    let mut files = Vec::new();
    for path in ["millrace.yaml", &runner] {
        if let Some(bytes) = state_repo.read(&tip, path).await.ok()? {
            files.push((path, bytes));
        }
    }
    let (config, _) = Config::load(files.iter().map(|(path, bytes)| (*path, &bytes[..])));
    Some(config)
}

/// Links in checks begin with it. What was written is not repeated: there may be a login in it.
fn public_url(told: Option<&str>) -> anyhow::Result<Option<String>> {
    let plain = told.map(words::public_url).transpose();
    plain.map_err(|why| Failure::new(Kind::Usage, format!("use --public-url: {why}")).into())
}

fn options(config: Option<&Config>, args: &UpArgs, place: &StatePlace) -> Options {
    let mut options = Options {
        branch: args.branch.clone(),
        lease_seconds: args.lease,
        heartbeat_seconds: (args.lease / 4).max(1),
        // On this disk nobody counts.
        pushes_a_minute: NonZeroU32::new(args.pushes_a_minute).filter(|_| place.is_served()),
        checks: args.forge.forge.is_some(),
        public_url: args.forge.public_url.clone(),
        ..Options::default()
    };
    if let Some(config) = config {
        options.status_branch = config.project.status_branch.to_string();
    }
    options
}

/// Answers on the branch that is planned would be planned, too.
fn tell_apart(options: &Options) -> anyhow::Result<()> {
    let branch = &options.branch;
    if *branch != options.status_branch {
        return Ok(());
    }
    let sentence = format!(
        "plan the branch {branch}: Millrace writes its answers onto it; give --branch the branch of wishes, such as main, or another `status_branch` in its millrace.yaml"
    );
    Err(Failure::new(Kind::Usage, sentence).into())
}

fn start_logging() {
    use std::io::IsTerminal;
    let filter = tracing_subscriber::EnvFilter::try_from_env("MILLRACE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        lines.with_target(false).init();
    } else {
        lines.json().flatten_event(true).init();
    }
}

/// Tells of pushes to a repository on this disk at once.
fn watch(repository: &Path, news: Arc<News>) -> anyhow::Result<notify::RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| event.kind.is_create() || event.kind.is_modify()) {
            news.pushed.notify_one();
        }
    })?;
    let refs = repository.join("refs/heads");
    std::fs::create_dir_all(&refs).with_context(|| format!("create {}", refs.display()))?;
    watcher
        .watch(&refs, notify::RecursiveMode::Recursive)
        .with_context(|| format!("watch {}", refs.display()))?;
    Ok(watcher)
}

async fn stop_signal() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
