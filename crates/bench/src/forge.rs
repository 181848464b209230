//! The forge's side of the real `millrace up`: how fast a webhook is answered while many come, and how soon a pull
//! request has its check after `git push`.
//!
//! The forge is the tests' double, over loopback. Webhooks are sent by a schedule, whatever became of those before, and
//! their time counts from when they were due: who answers late is not asked less. Beside each figure is what the same
//! takes who does nothing else: a bare axum, and git.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use fake_forge::forge::{Change, Forge, Kind, NewPull, sign};
use git::Repository;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::block_on;
use crate::figures::{memory, millis, percentile};
use crate::machine::{Machine, git, millrace, said};
use crate::plan;

/// The word for the process that answers and does nothing.
pub(crate) const BARE: &str = "forge-bare";

/// Files in the state repository.
const FILES: usize = 20_000;
/// Pushes to the pull request.
const PUSHES: usize = 15;
const CHECK: &str = "millrace / plan";
const SECRET: &str = "a secret of a measurement";
/// Deliveries a second, and how many in one round.
const RATE: u32 = 200;
const DELIVERIES: u32 = 2_000;
/// Rounds, of which the median counts: a machine has other things to do.
const ROUNDS: usize = 3;
/// Of so many deliveries one is a comment with a command, which is on the disk before it is answered.
const COMMAND: u32 = 20;
/// Bytes of a delivery about a pull request, as GitHub's examples have them.
const BODY: usize = 25_000;
const POLL: Duration = Duration::from_millis(5);
/// Longest time until a check is there.
const PATIENCE: Duration = Duration::from_secs(60);
/// The lines.
const LIMIT_WEBHOOK: Duration = Duration::from_millis(50);
const LIMIT_CHECK: Duration = Duration::from_secs(3);

pub(crate) fn run(scratch: &tempfile::TempDir) -> Result<Value> {
    let site = Site::start(scratch.path())?;
    let (checks, git) = site.pushes()?;
    let before = load()?;
    let (ours, bare) = block_on(site.webhooks())?;
    let peak = memory(&site.machine.pid(), "VmHWM")?;
    let (p99, worst) = (median(&ours), percentile(&checks, 100));
    Ok(json!({
        "bench": "forge", "load_average": [before, load()?],
        "webhook": {
            "a_second": RATE, "deliveries": DELIVERIES, "commands": DELIVERIES / COMMAND,
            "rounds": ROUNDS, "body_bytes": BODY,
            "p99_ms": millis(p99), "bare_p99_ms": millis(median(&bare)),
            "rounds_p99_ms": ours.iter().map(|it| millis(*it)).collect::<Vec<_>>(),
            "limit_p99_ms": millis(LIMIT_WEBHOOK),
        },
        "plan": {
            "files": FILES, "pushes": PUSHES,
            "median_ms": millis(percentile(&checks, 50)), "worst_ms": millis(worst),
            "git_median_ms": millis(percentile(&git, 50)),
            "limit_ms": millis(LIMIT_CHECK),
        },
        "peak_bytes": peak,
        "holds": p99 < LIMIT_WEBHOOK && worst < LIMIT_CHECK,
    }))
}

fn median(values: &[Duration]) -> Duration {
    percentile(values, 50)
}

/// How busy the machine was in the last minute.
fn load() -> Result<String> {
    let text = std::fs::read_to_string("/proc/loadavg").context("read /proc/loadavg")?;
    Ok(text.split(' ').next().unwrap_or_default().to_owned())
}

/// A forge with a large state repository and one pull request, and the control plane that listens to it.
struct Site {
    forge: Forge,
    machine: Machine,
    scratch: PathBuf,
    pull: u64,
}

impl Site {
    fn start(scratch: &Path) -> Result<Self> {
        let data = scratch.join("one");
        said(millrace()?.arg("init").arg(&data))?;
        let forge = Forge::start(Kind::GitHub, &scratch.join("forge"));
        let state = Repository::open_bare(forge.folder())?;
        block_on(plan::fill(state, &data.join("data"), FILES))?;
        let (file, text) = request(0);
        let change = Change::new("Open").write(&file, &text);
        let pull = forge.open_pull(&NewPull::new("Many wishes", "topic", "ada", &change));
        let options = options(scratch, &forge)?;
        let options: Vec<&OsStr> = options.iter().map(OsStr::new).collect();
        let machine = Machine::over(scratch, &forge.folder(), &options)?;
        let site = Self {
            forge,
            machine,
            scratch: scratch.to_owned(),
            pull,
        };
        site.wait(&site.forge.head_of(pull))?;
        let door = format!("{}/webhook", site.machine.url());
        site.forge.webhooks_to(&door, SECRET);
        Ok(site)
    }

    /// Until the plan of `commit` is seen.
    fn wait(&self, commit: &str) -> Result<()> {
        let start = Instant::now();
        while self.forge.checks(commit).iter().all(|it| it.name != CHECK) {
            ensure!(start.elapsed() < PATIENCE, "{commit} has no check");
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// From the end of each push to its check; and what git needs to fetch it and to name what differs.
    fn pushes(&self) -> Result<(Vec<Duration>, Vec<Duration>)> {
        let login = format!("http.extraHeader=Authorization: {}", self.forge.git_login());
        let (url, clone) = (self.forge.clone_url(), self.scratch.join("clone"));
        let other = self.scratch.join("other");
        said(
            git(&self.scratch)
                .args(["clone", "--quiet", "--bare", &url])
                .arg(&other),
        )?;
        said(git(&clone).args(["checkout", "--quiet", "topic"]))?;
        let (mut checks, mut by_git) = (Vec::new(), Vec::new());
        for n in 0..PUSHES {
            self.machine.commit(&[request(n + 1)])?;
            said(git(&clone).args(["-c", &login, "push", "--quiet", &url, "HEAD:topic"]))?;
            let pushed = Instant::now();
            self.wait(&said(git(&clone).args(["rev-parse", "HEAD"]))?)?;
            checks.push(pushed.elapsed());
            let start = Instant::now();
            said(git(&other).args(["fetch", "--quiet", &url, "topic"]))?;
            said(git(&other).args(["diff", "--name-status", "main...FETCH_HEAD"]))?;
            by_git.push(start.elapsed());
        }
        Ok((checks, by_git))
    }

    /// Of each round the 99th percentile, ours and that of who does nothing.
    async fn webhooks(&self) -> Result<(Vec<Duration>, Vec<Duration>)> {
        let bare = Bare::start()?;
        let (mut ours, mut others) = (Vec::new(), Vec::new());
        let now = said(Command::new("date").args(["--utc", "+%FT%TZ"]))?;
        for round in 0..ROUNDS as u32 {
            let deliveries: Vec<Delivery> = (round * DELIVERIES..(round + 1) * DELIVERIES)
                .map(|n| self.delivery(n, &now))
                .collect();
            for (url, all) in [
                (&bare.url, &mut others),
                (&format!("{}/webhook", self.machine.url()), &mut ours),
            ] {
                all.push(percentile(&storm(url, &deliveries).await?, 99));
            }
        }
        Ok((ours, others))
    }

    /// The `n`th: of real size, and about the pull request.
    fn delivery(&self, n: u32, now: &str) -> Delivery {
        let repository = json!({"full_name": format!("{}/{}", Forge::OWNER, Forge::REPOSITORY)});
        let (event, body) = if n.is_multiple_of(COMMAND) {
            let body = json!({
                "action": "created", "repository": repository,
                "issue": {"number": self.pull, "pull_request": {}},
                "comment": {
                    "id": n + 1, "body": "/millrace retry", "created_at": now,
                    "user": {"login": "ada", "type": "User"},
                },
                "sender": {"login": "ada"},
            });
            ("issue_comment", body)
        } else {
            let body = json!({
                "action": "synchronize", "repository": repository, "number": self.pull,
                "pull_request": {
                    "number": self.pull, "head": {"sha": self.forge.head_of(self.pull)},
                    "body": "Words that nobody reads. ".repeat(BODY / 25),
                },
                "sender": {"login": "ada"},
            });
            ("pull_request", body)
        };
        let body = body.to_string().into_bytes();
        Delivery {
            id: n.to_string(),
            event,
            signature: format!("sha256={}", sign(SECRET, &body)),
            body: body.into(),
        }
    }
}

/// As `millrace up` is told of the forge.
fn options(scratch: &Path, forge: &Forge) -> Result<Vec<String>> {
    let private = |name: &str, text: &str| -> Result<String> {
        let path = scratch.join(name);
        std::fs::write(&path, text)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(path.to_string_lossy().into_owned())
    };
    let options = [
        ("--state", forge.clone_url()),
        ("--forge", "github".to_owned()),
        ("--forge-api", forge.url()),
        ("--forge-app", Forge::APP.to_string()),
        ("--forge-token-file", private("app.pem", Forge::app_key())?),
        ("--webhook-secret-file", private("webhook.secret", SECRET)?),
    ];
    let options = options.into_iter();
    let options = options.flat_map(|(name, value)| [name.to_owned(), value]);
    Ok(options.chain(["--no-runners".to_owned()]).collect())
}

/// A request that is new, and then edited.
fn request(version: usize) -> (String, String) {
    (plan::name(FILES), plan::text(FILES, version))
}

/// What a forge sends.
struct Delivery {
    id: String,
    event: &'static str,
    signature: String,
    body: Bytes,
}

/// Sends deliveries by the schedule; answers how long after it was due each was answered.
async fn storm(url: &str, deliveries: &[Delivery]) -> Result<Vec<Duration>> {
    let client = reqwest::Client::new();
    let start = tokio::time::Instant::now();
    let mut sent = JoinSet::new();
    for (n, delivery) in (0..).zip(deliveries) {
        let due = start + Duration::from_secs(1) * n / RATE;
        let request = client
            .post(url)
            .header("content-type", "application/json")
            .header("x-github-event", delivery.event)
            .header("x-github-delivery", &delivery.id)
            .header("x-hub-signature-256", &delivery.signature)
            .body(delivery.body.clone());
        tokio::time::sleep_until(due).await;
        sent.spawn(async move {
            let answer = request.send().await?;
            let status = answer.status();
            answer.bytes().await?;
            ensure!(
                status == StatusCode::ACCEPTED,
                "a webhook is answered {status}"
            );
            Ok::<_, anyhow::Error>(due.elapsed())
        });
    }
    let mut times = Vec::new();
    while let Some(time) = sent.join_next().await {
        times.push(time??);
    }
    Ok(times)
}

/// A process that takes deliveries and does nothing, until dropped.
struct Bare {
    process: Child,
    url: String,
}

impl Bare {
    fn start() -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg(BARE)
            .stdout(Stdio::piped())
            .spawn()
            .context("start the bare server")?;
        let output = process.stdout.take().context("a pipe was asked for")?;
        let mut url = String::new();
        BufReader::new(output).read_line(&mut url)?;
        let url = url.trim().to_owned();
        Ok(Self { process, url })
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // It may have ended by itself, which was seen by who asked it.
        let _gone = self.process.kill();
        let _gone = self.process.wait();
    }
}

/// What [`Bare`] starts: says where it is, and serves until it is killed.
pub(crate) fn bare() -> Result<Value> {
    block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/webhook", listener.local_addr()?);
        println!("{url}");
        std::io::stdout().flush()?;
        let take = post(|_body: Bytes| async { StatusCode::ACCEPTED });
        axum::serve(listener, Router::new().route("/webhook", take)).await?;
        Ok(Value::Null)
    })
}
