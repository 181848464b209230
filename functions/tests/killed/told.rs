//! `forge` killed at its writes to the ledger and to a GitHub, and kept away from it.

use std::sync::Arc;
use std::time::Duration;

use fake_forge::forge::{Change, Forge as GitHub, Kind, NewPull};
use ledger::{Message, QueueName};
use ports::{Place, TaskQueue as _};
use serde_json::json;
use tempfile::TempDir;

use crate::cloud::Cloud;
use crate::end::{End, Moment, WRITE, same};
use crate::forge::{git, request};
use crate::mapping::{Mapping, event};
use crate::proxy::{Fault, Proxy};
use crate::runtime::Lambda;
use crate::stage::Stage;

const FORGE: Mapping = Mapping {
    queue: "forge-normal",
    program: env!("CARGO_BIN_EXE_forge"),
};
/// A name of the proxy: a check is made.
const CHECK: &str = "/check-runs";
/// Looks until there is nothing to do.
const MOST: usize = 5;
/// Rows of what was said.
const TOLD: [&str; 2] = [r#""partition":"pulls""#, r#""partition":"watched""#];
/// In the row that says how much was written to the forge.
const BUDGET: &str = "\"row\":\"budget\"";
const PLAN: &str = "millrace / plan";
const RESULTS: &str = "millrace / build and release";

/// What the function does that others see.
#[derive(Debug, Clone, Copy)]
enum Act {
    Write(End),
    /// That a check is there and not noted is in the other one.
    Check(usize),
}

/// The state repository of an installation at a GitHub, with two pull requests: one would do, and one has a mistake.
struct Hub {
    github: GitHub,
    /// In front of its API.
    proxy: Proxy,
    pulls: [u64; 2],
    _folder: TempDir,
}

impl Hub {
    async fn of(cloud: &Cloud) -> Self {
        let state = cloud.forge.state();
        // Git takes its time, and the proxies of other runs have this thread.
        let made = tokio::task::spawn_blocking(move || {
            let folder = TempDir::new().unwrap();
            let github = GitHub::start(Kind::GitHub, folder.path());
            let to = github.folder().display().to_string();
            git(&state, &["push", "--quiet", &to, "main"]);
            let wish = git(&state, &["show", &format!("main:{}", request("app"))]);
            let open = |name: &str, text: &str| {
                let change = Change::new(name).write(&request(name), text);
                github.open_pull(&NewPull::new(name, name, "ada", &change))
            };
            let mistake = wish.replace("el-10", "el-99");
            let pulls = [open("more", &wish), open("wrong", &mistake)];
            (github, pulls, folder)
        });
        let (github, pulls, _folder) = made.await.unwrap();
        let proxy = Proxy::new(github.url()).await;
        cloud.move_to(&github, &proxy.url).await;
        Self {
            github,
            proxy,
            pulls,
            _folder,
        }
    }

    /// What people see, and how many checks there are of each.
    fn pages(&self, main: &str) -> Vec<String> {
        let mut seen = Vec::new();
        for pull in self.pulls {
            let page = self.github.page(pull, PLAN);
            let all = self.github.all_checks(&self.github.head_of(pull)).len();
            seen.push(format!("#{pull}: {page:?}, of {all}"));
        }
        let checks = self.github.all_checks(main);
        let checks = checks.iter().map(|it| (&it.name, &it.title));
        seen.push(format!("main: {:?}", checks.collect::<Vec<_>>()));
        seen
    }

    /// Without what is another commit in each run, without how often a row was written, and without the budget: a write
    /// that was begun counts there, and its second try too.
    fn comparable(&self, rows: Vec<String>) -> Vec<String> {
        let without = |row: String, pull: &u64| row.replace(&self.github.head_of(*pull), "a head");
        let rows = rows.into_iter().filter(|row| !row.contains(BUDGET));
        let rows = rows.map(|row| self.pulls.iter().fold(row, without));
        let told = |row: String| match row.split_once("},") {
            Some((key, row)) if TOLD.iter().any(|told| key.contains(told)) => {
                let row = row.trim_start_matches(|c: char| c.is_ascii_digit());
                format!("{key}}}{row}")
            }
            _ => row,
        };
        rows.map(told).collect()
    }
}

/// Wherever it ends: each check is there once and says the same, and the rows know it.
#[tokio::test]
async fn a_forge_that_is_killed_anywhere_has_told_once() {
    let cloud = Cloud::new(&["app"]).await;
    Stage::new(&cloud, 3_600).plan(&["app"]).await;
    let cloud = Arc::new(cloud);
    let run = |act| told(Arc::clone(&cloud), act);
    let (undisturbed, writes, checks) = run(None).await;
    let has = |word: &str| undisturbed.iter().any(|it| it.contains(word));
    assert!(has("el-99") && has(RESULTS), "{undisturbed:#?}");
    assert!(has("is_good: true"), "{undisturbed:#?}");
    assert!(writes > 3, "{writes}");
    assert_eq!(checks, 3, "two plans, and how the work goes");
    let acts = End::all(writes).map(Act::Write);
    let acts = acts.chain((0..checks).map(Act::Check));
    let again = |act| {
        let run = run(Some(act));
        async { run.await.0 }
    };
    same(&undisturbed, acts, again).await;
}

/// Rows and pages; and the writes of both kinds of the first look that ended well.
async fn told(cloud: Arc<Cloud>, act: Option<Act>) -> (Vec<String>, usize, usize) {
    let cloud = cloud.twin().await;
    let hub = Hub::of(&cloud).await;
    let event = json!({"forge": "look"});
    if let Some(act) = act {
        let moment = match act {
            Act::Write(end) => Moment::of(&cloud.proxy, WRITE, end),
            Act::Check(passed) => Moment::of(&hub.proxy, &made(), End::Before(passed)),
        };
        let mut lambda = Lambda::start(&cloud, FORGE.program).await;
        lambda.hand(&event);
        lambda.ends(moment).await;
        cloud.writers_are_lost().await;
    }
    cloud.proxy.end("");
    hub.proxy.end("");
    let lambda = Lambda::start(&cloud, FORGE.program).await;
    let (mut writes, mut checks) = (Vec::new(), Vec::new());
    while writes.last() != Some(&0) {
        assert!(writes.len() < MOST, "{writes:?}; its log: {}", lambda.log());
        lambda.answer(&event).await;
        writes.push(cloud.proxy.end(WRITE));
        checks.push(hub.proxy.end(&made()));
    }
    let main = cloud.forge.tip("main").unwrap();
    let mut there = hub.comparable(cloud.timeless_rows().await);
    there.extend(hub.pages(&main));
    (there, writes[0], checks[0])
}

fn made() -> String {
    format!(
        "POST /repos/{}/{}{CHECK}",
        GitHub::OWNER,
        GitHub::REPOSITORY
    )
}

/// Where the forge is away, what its queue told comes back, and is done when it is there again.
#[tokio::test]
async fn what_a_forge_that_is_away_told_comes_back() {
    let cloud = Cloud::new(&["app"]).await;
    let hub = Hub::of(&cloud).await;
    let (queue, names) = (cloud.queue(), [QueueName::forge()]);
    let sent = queue.send(&names[0], &Message::Look, &Place::at(0)).await;
    sent.unwrap();
    hub.proxy.fault("/pulls", 100, Fault::Instead(503, "Away"));
    let lambda = Lambda::start(&cloud, FORGE.program).await;
    let batch = cloud.batch_of(1, FORGE.queue).await;
    let answer = lambda.answer(&event(&batch)).await;
    let failed = json!([{"itemIdentifier": batch[0]["messageId"]}]);
    assert_eq!(answer["batchItemFailures"], failed, "{}", lambda.log());
    drop(lambda);
    hub.proxy.end("");
    FORGE.done(&cloud, 1, 2).await;
    for pull in hub.pulls {
        assert!(hub.github.page(pull, PLAN).is_some(), "#{pull}");
    }
    let claim = Duration::from_secs(1);
    let left = queue.receive(&names, 1, claim, Duration::ZERO).await;
    assert_eq!(left.unwrap().len(), 0);
}
