//! `millrace up`: control plane, runners and repositories on one machine, until SIGTERM or Ctrl-C.
//!
//! Each loop reacts to what it is told and has a timer behind it, so that a lost word costs time and
//! never work. Nothing here is remembered: kill -9 at any point, start again, and it goes on.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use control::{Control, Options, Planned};
use git::Repository;
use ledger::{Message, QueueName};
use notify::Watcher;
use platform_local::LocalPlatform;
use ports::{Platform, StateRepo, TaskQueue};
use state_repo::GitStateRepo;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::Verdict;
use crate::args::UpArgs;
use crate::client::{RUNNING, Running, TOKEN};
use crate::init::{BUILDER, SIGNER};
use crate::keeper::Keeper;
use crate::local::{Layout, private_directory};

/// Looks at everything that is not at rest.
const SWEEP: Duration = Duration::from_secs(20);
/// Looks at leases and at the state repository, when nothing tells of a push.
const LOOK: Duration = Duration::from_secs(5);
/// At most one status commit in this time.
const REPORT: Duration = Duration::from_millis(500);
/// Requests advanced side by side.
const WIDTH: usize = 16;
/// After trouble of the world's, a loop waits this long.
const PAUSE: Duration = Duration::from_millis(500);

pub(crate) async fn run(args: UpArgs) -> anyhow::Result<Verdict> {
    start_logging();
    let layout = Layout::new(&args.data)?;
    let token = admin_token(&layout)?;
    for directory in [layout.data(), layout.logs()] {
        private_directory(&directory)?;
    }
    let (state_repo, watched) = open_state(&layout, args.state.as_deref())?;
    let options = options(&state_repo, &args).await;
    let platform =
        LocalPlatform::open(&layout.data(), state_repo).context("open the data directory")?;
    let control = Arc::new(Control::new(platform, options));
    let listener = tokio::net::TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("listen on {}", args.listen))?;
    let address = listener.local_addr()?;
    let config = server::Config {
        logs: layout.logs(),
        admin_token: token,
        admin_token_file: layout.root().join(TOKEN),
    };
    let router = server::router(control.clone(), config);
    let pushed = Arc::new(Notify::new());
    let _watcher = watched
        .map(|path| watch(&path, pushed.clone()))
        .transpose()?;
    let mut loops = JoinSet::new();
    loops.spawn(async move { axum::serve(listener, router).await.context("serve HTTP") });
    loops.spawn(plan_loop(control.clone(), pushed));
    loops.spawn(advance_loop(control.clone()));
    loops.spawn(dispatch_loop(control.clone()));
    loops.spawn(report_loop(control.clone()));
    loops.spawn(lease_loop(control.clone()));
    loops.spawn(sweep_loop(control.clone()));
    note_running(&layout, address)?;
    println!(
        "millrace is up at http://{address}/  (state repository: {})",
        args.state
            .clone()
            .unwrap_or_else(|| layout.state().display().to_string())
    );
    let stop = Arc::new(Notify::new());
    let mut keepers = JoinSet::new();
    if !args.no_runners {
        for (id, program) in [(BUILDER, "millrace-runner"), (SIGNER, "millrace-signer")] {
            let keeper = Keeper::new(&layout, (id, program), address, &args)?;
            keepers.spawn(keeper.run(stop.clone()));
        }
    }
    let ended = tokio::select! {
        signal = stop_signal() => signal.map(|()| None),
        ended = loops.join_next() => Ok(ended),
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

/// The branches that millrace.yaml names. A file that cannot be read is told of when it is planned.
async fn options(state_repo: &GitStateRepo, args: &UpArgs) -> Options {
    let mut options = Options {
        branch: args.branch.clone(),
        lease_seconds: args.lease,
        heartbeat_seconds: (args.lease / 4).max(1),
        ..Options::default()
    };
    let project = async {
        let tip = state_repo.head(&args.branch).await.ok()??;
        let bytes = state_repo.read(&tip, "millrace.yaml").await.ok()??;
        let (config, _) = pipeline_spec::Config::load([("millrace.yaml", &bytes[..])]);
        Some(config.project)
    };
    if let Some(project) = project.await {
        options.status_branch = project.status_branch.to_string();
    }
    options
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

/// The state repository, and the directory to watch when it is on this disk.
fn open_state(
    layout: &Layout,
    state: Option<&str>,
) -> anyhow::Result<(GitStateRepo, Option<PathBuf>)> {
    let local = match state {
        None => Some(layout.state()),
        Some(text) if !text.contains("://") => Some(PathBuf::from(text)),
        Some(_) => None,
    };
    match (local, state) {
        (Some(path), _) => {
            let repository = Repository::open_bare(&path)
                .with_context(|| format!("open the state repository {}", path.display()))?;
            Ok((GitStateRepo::new(repository), Some(path)))
        }
        (None, Some(url)) => {
            let cache = layout.root().join("state-cache.git");
            let repository = Repository::remote(url.parse()?, cache, git::Credentials::default())
                .with_context(|| format!("open the state repository {url}"))?;
            Ok((GitStateRepo::new(repository), None))
        }
        (None, None) => unreachable!("without a URL the directory is used"),
    }
}

/// Tells of pushes to a repository on this disk at once.
fn watch(repository: &Path, pushed: Arc<Notify>) -> anyhow::Result<notify::RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| event.kind.is_create() || event.kind.is_modify()) {
            pushed.notify_one();
        }
    })?;
    let refs = repository.join("refs/heads");
    std::fs::create_dir_all(&refs).with_context(|| format!("create {}", refs.display()))?;
    watcher
        .watch(&refs, notify::RecursiveMode::Recursive)
        .with_context(|| format!("watch {}", refs.display()))?;
    Ok(watcher)
}

async fn plan_loop<P: Platform>(
    control: Arc<Control<P>>,
    pushed: Arc<Notify>,
) -> anyhow::Result<()> {
    loop {
        match control.plan_head().await {
            Ok(Planned::Broken(problems)) => {
                tracing::error!(problems = problems.len(), first = ?problems.first(), "the configuration is broken; nothing new is planned");
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "failed to plan");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        }
        let _told_or_time = tokio::time::timeout(LOOK, pushed.notified()).await;
    }
}

async fn advance_loop<P: Platform>(control: Arc<Control<P>>) -> anyhow::Result<()> {
    let queues = [QueueName::advance()];
    let claim = Duration::from_secs(60);
    loop {
        let wait = Duration::from_secs(20);
        let deliveries = match control
            .platform()
            .queue()
            .receive(&queues, 256, claim, wait)
            .await
        {
            Ok(deliveries) => deliveries,
            Err(error) => {
                tracing::warn!(%error, "failed to receive");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let requests: BTreeSet<_> = deliveries
            .iter()
            .filter_map(|delivery| match &delivery.message {
                Message::Advance { request } => Some(request.clone()),
                _ => None,
            })
            .collect();
        let mut failed = BTreeSet::new();
        let mut running = JoinSet::new();
        for request in requests {
            if running.len() == WIDTH {
                note(running.join_next().await, &mut failed);
            }
            let control = control.clone();
            running.spawn(async move { (control.advance(&request).await, request) });
        }
        while let Some(done) = running.join_next().await {
            note(Some(done), &mut failed);
        }
        for delivery in &deliveries {
            let Message::Advance { request } = &delivery.message else {
                continue;
            };
            // What failed comes back by itself when its claim ends.
            if !failed.contains(request) {
                control
                    .platform()
                    .queue()
                    .acknowledge(&delivery.receipt)
                    .await
                    .ok();
            }
        }
    }
}

type Advanced = (control::Result<()>, pipeline_spec::RequestPath);

fn note(
    done: Option<Result<Advanced, tokio::task::JoinError>>,
    failed: &mut BTreeSet<pipeline_spec::RequestPath>,
) {
    if let Some(Ok((Err(error), request))) = done {
        tracing::warn!(%request, %error, "failed to advance");
        failed.insert(request);
    }
}

async fn dispatch_loop<P: Platform>(control: Arc<Control<P>>) -> anyhow::Result<()> {
    loop {
        if let Err(error) = control.dispatch().await {
            tracing::warn!(%error, "failed to dispatch");
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        control.changed().await;
    }
}

async fn report_loop<P: Platform>(control: Arc<Control<P>>) -> anyhow::Result<()> {
    loop {
        if let Err(error) = control.report(Duration::from_secs(20)).await {
            tracing::warn!(%error, "failed to report");
            tokio::time::sleep(PAUSE).await;
        }
        tokio::time::sleep(REPORT).await;
    }
}

async fn lease_loop<P: Platform>(control: Arc<Control<P>>) -> anyhow::Result<()> {
    loop {
        if let Err(error) = control.expire_leases().await {
            tracing::warn!(%error, "failed to look at leases");
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn sweep_loop<P: Platform>(control: Arc<Control<P>>) -> anyhow::Result<()> {
    loop {
        if let Err(error) = control.sweep().await {
            tracing::warn!(%error, "failed to sweep");
        }
        tokio::time::sleep(SWEEP).await;
    }
}

fn note_running(layout: &Layout, address: std::net::SocketAddr) -> anyhow::Result<()> {
    let running = Running {
        url: format!("http://{address}"),
        pid: std::process::id(),
    };
    let path = layout.root().join(RUNNING);
    let part = layout.root().join(format!("{RUNNING}.part"));
    std::fs::write(&part, serde_json::to_vec(&running)?)
        .and_then(|()| std::fs::rename(&part, &path))
        .with_context(|| format!("write {}", path.display()))
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
