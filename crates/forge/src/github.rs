//! [`ports::Forge`] at GitHub: checks are check runs.
//!
//! Callers: whoever picks adapters. Invariants: those of `line` and `github/checks`. Checks are written one after
//! another, as GitHub asks; two adapters must not write one check at the same time, since GitHub knows no condition.

use std::collections::BTreeMap;

use ledger::Millis;
use ports::{Check, Clock, Error, Forge, Permission, Pull, PullState, Reply, Result};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use self::checks::{Runs, Step};
use self::login::Account;
use self::wire::Octo;
use crate::address::{Address, ConfigError, Secret, in_query, is_name};
use crate::answer::{Answer, passed_over};
use crate::app;
use crate::line::{Call, Line, in_time};
use crate::pages::{Page, Pages};
use crate::reply;
use crate::text::PREFIX;

mod checks;
mod login;
mod wire;

pub use login::Login;

/// Pull requests that have one commit. More would make an answer with long texts too large.
const A_PAGE: usize = 50;
/// Comments on a page, and pages of comments that are younger than one that is answered. Behind them an answer that broke
/// off is written a second time.
const COMMENTS_A_PAGE: usize = 100;
const MAX_COMMENT_PAGES: usize = 10;
/// What the logins of Apps end with.
const APP_NAME: &str = "[bot]";

/// The state repository at GitHub.
pub struct GitHub<C> {
    line: Line<Octo, C>,
    account: Account,
    /// Whose tokens are lent to git.
    for_git: Account,
    writing: tokio::sync::Mutex<()>,
}

impl<C: Clock> GitHub<C> {
    /// Asks nothing yet. It must be made inside of a tokio runtime.
    pub fn new(address: Address, login: Login, clock: C) -> std::result::Result<Self, ConfigError> {
        Ok(Self {
            for_git: Account::for_git(login.clone())?,
            account: Account::new(login)?,
            line: Line::new(Octo::new(&address)?, address, clock),
            writing: tokio::sync::Mutex::default(),
        })
    }

    /// What git pushes with, as the password of `x-access-token`. It is good for some minutes at least, and an App's for
    /// nothing but git.
    pub async fn push_token(&self) -> Result<Secret> {
        self.for_git.token(&self.line, "log in for a push").await
    }

    /// A git server does not take the last [`Self::push_token`].
    pub async fn push_token_refused(&self) {
        self.for_git.refused(self.line.now()).await;
    }

    async fn ask(&self, call: Call) -> Result<Answer> {
        let token = self.account.token(&self.line, call.operation).await?;
        let answer = self.line.ask(&token, call.clone()).await?;
        if answer.status != StatusCode::UNAUTHORIZED || !self.account.forget(&token).await {
            return Ok(answer);
        }
        // The token was taken back before its time, and so was that for git, as nobody there would say. What was refused did
        // nothing, so it may be sent again.
        self.for_git.renew().await;
        let token = self.account.token(&self.line, call.operation).await?;
        self.line.ask(&token, call).await
    }

    /// The answer, or none: there is no such thing, and the repository is not the reason.
    async fn find<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        path: String,
    ) -> Result<Option<T>> {
        let answer = self.ask(Call::get(operation, path)).await?;
        if answer.status == StatusCode::NOT_FOUND {
            self.see_repository(operation).await?;
            return Ok(None);
        }
        match answer.status.is_success() {
            true => answer.json(operation, "GitHub").map(Some),
            false => Err(self.refusal(operation, &answer)),
        }
    }

    async fn see_repository(&self, operation: &'static str) -> Result<()> {
        let path = self.line.address().path(format_args!(""));
        let answer = self.ask(Call::get(operation, path)).await?;
        match answer.status.is_success() {
            true => Ok(()),
            false => Err(self.refusal(operation, &answer)),
        }
    }

    /// A no of GitHub's, and what to mend.
    fn refusal(&self, operation: &'static str, answer: &Answer) -> Error {
        let address = self.line.address();
        let (status, message) = (answer.status.as_u16(), answer.message());
        let mend = match (status, self.account.app_id()) {
            (401, _) => {
                "the token is wrong, has ended or was taken back: write a new one".to_owned()
            }
            (403, Some(id)) => format!(
                "App {id} lacks a permission on {address}: it needs {}; a permission that was added must be accepted in the \
                 installation",
                app::wanted()
            ),
            (403, None) => format!(
                "the token lacks a permission on {address}; checks are written by Apps alone, so log in as a GitHub App \
                 with \"Checks: write\""
            ),
            (404 | 410, Some(id)) => format!(
                "App {id} does not see {address}: install it there, or write the repository's new name if it was renamed"
            ),
            (404 | 410, None) => format!(
                "the token does not see {address}: give it rights there, or write the repository's new name if it was renamed"
            ),
            (400 | 422, _) => {
                return Error::corrupt(
                    operation,
                    format!("GitHub does not understand the request: {message}"),
                );
            }
            _ => String::new(),
        };
        let cause = format!("GitHub answers {status} {message}: {mend}");
        Error::transient(operation, cause.trim_end_matches([':', ' ']))
    }

    async fn run(&self, operation: &'static str, check: &Check) -> Result<Found> {
        let app = self.account.app_id();
        let app = app.map_or_else(String::new, |id| format!("&app_id={id}"));
        let name = in_query(&format!("{PREFIX}{}", check.name));
        let path = self.line.address().path(format_args!(
            "/commits/{}/check-runs?check_name={name}&filter=latest&per_page=100{app}",
            check.commit
        ));
        let answer = self.ask(Call::get(operation, path)).await?;
        if answer.status.is_success() {
            let runs: Runs = answer.json(operation, "GitHub")?;
            return Ok(Found::Step(checks::step(runs.latest().as_ref(), check)));
        }
        match is_no_commit(&answer) {
            true => Ok(Found::NoCommit),
            false => Err(self.refusal(operation, &answer)),
        }
    }

    /// Whether a comment has its answer; none: its pull request is gone. A person's token writes as that person, so then
    /// the first line alone says whose it is.
    async fn is_answered(&self, operation: &'static str, reply: &Reply) -> Result<Option<bool>> {
        let since = in_query(&reply::since(reply));
        for page in 1..=MAX_COMMENT_PAGES {
            let path = self.line.address().path(format_args!(
                "/issues/{}/comments?since={since}&per_page={COMMENTS_A_PAGE}&page={page}",
                reply.pull
            ));
            let answer = self.ask(Call::get(operation, path)).await?;
            if matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::GONE) {
                self.see_repository(operation).await?;
                return Ok(None);
            }
            if !answer.status.is_success() {
                return Err(self.refusal(operation, &answer));
            }
            let comments: Vec<WireComment> = answer.json(operation, "GitHub")?;
            let is_app = self.account.app_id().is_some();
            let ours = |comment: &WireComment| !is_app || comment.is_of_an_app();
            let mut ours = comments.iter().filter(|comment| ours(comment));
            if ours.any(|comment| reply::is_answer(comment.body.as_deref().unwrap_or(""), reply)) {
                return Ok(Some(true));
            }
            if !answer.has_next() {
                break;
            }
        }
        Ok(Some(false))
    }

    /// Sends the requests that write a check. They can be broken off anywhere.
    async fn write(
        &self,
        operation: &'static str,
        check: &Check,
        mut run: Option<u64>,
        sent: usize,
    ) -> Result<()> {
        let runs = self.line.address().path(format_args!("/check-runs"));
        for body in checks::bodies(check, sent) {
            let call = match run {
                Some(id) => Call::with(operation, Method::PATCH, format!("{runs}/{id}"), body),
                None => Call::with(
                    operation,
                    Method::POST,
                    runs.clone(),
                    checks::with_place(body, check),
                ),
            };
            let answer = self.ask(call).await?;
            if is_no_commit(&answer) {
                return Ok(());
            }
            if !answer.status.is_success() {
                return Err(self.refusal(operation, &answer));
            }
            let written: Written = answer.json(operation, "GitHub")?;
            run = Some(written.id);
        }
        Ok(())
    }
}

/// What was looked for before a check is written.
enum Found {
    /// This is left to do.
    Step(Step),
    /// GitHub has no such commit: it was pushed over, and nobody can look at it.
    NoCommit,
}

#[derive(Deserialize)]
struct Written {
    id: u64,
}

fn is_no_commit(answer: &Answer) -> bool {
    answer.status == StatusCode::UNPROCESSABLE_ENTITY
        && answer.message().starts_with("No commit found")
}

impl<C: Clock> Forge for GitHub<C> {
    async fn open_pulls(&self, base: &str) -> Result<Vec<Pull>> {
        let operation = "list pull requests";
        let base_is = in_query(base);
        let mut pulls = BTreeMap::new();
        // Newest first: one that is opened meanwhile moves others to the next page, where they are met twice.
        let mut pages = Pages::new();
        while let Some(page) = pages.next() {
            let Page { number, size } = page;
            let path = self.line.address().path(format_args!(
                "/pulls?state=open&base={base_is}&sort=created&direction=desc&per_page={size}&page={number}"
            ));
            let answer = self.ask(Call::get(operation, path)).await?;
            if !answer.status.is_success() {
                return Err(self.refusal(operation, &answer));
            }
            if answer.is_too_large() {
                pages.too_large(page, &answer);
                continue;
            }
            let (listed, odd) = answer.list::<WirePull>(operation, "GitHub")?;
            passed_over(&odd);
            pages.read(page, listed.len() + odd.len(), &answer);
            let listed = listed.into_iter().map(WirePull::into_pull);
            pulls.extend(
                listed
                    .filter(|pull| pull.base == base)
                    .map(|pull| (pull.number, pull)),
            );
        }
        Ok(pulls.into_values().collect())
    }

    async fn pull(&self, number: u64) -> Result<Option<Pull>> {
        let path = self.line.address().path(format_args!("/pulls/{number}"));
        let pull: Option<WirePull> = self.find("read a pull request", path).await?;
        Ok(pull.map(WirePull::into_pull))
    }

    async fn pull_of(&self, commit: &str) -> Result<Option<Pull>> {
        let operation = "ask which pull request a commit is of";
        let address = self.line.address();
        let path = address.path(format_args!("/commits/{commit}/pulls?per_page={A_PAGE}"));
        let answer = self.ask(Call::get(operation, path)).await?;
        if is_no_commit(&answer) {
            return Ok(None);
        }
        if !answer.status.is_success() {
            return Err(self.refusal(operation, &answer));
        }
        // Open ones that have the commit are listed, too.
        let listed: Vec<WirePull> = answer.json(operation, "GitHub")?;
        let mut pulls = listed.into_iter().map(WirePull::into_pull);
        let is_it =
            |pull: &Pull| matches!(&pull.state, PullState::Merged(merged) if merged == commit);
        Ok(pulls.find(is_it))
    }

    async fn write_check(&self, check: &Check) -> Result<()> {
        let operation = "write a check";
        in_time(operation, async {
            let _one = self.writing.lock().await;
            match self.run(operation, check).await? {
                Found::NoCommit | Found::Step(Step::Nothing) => Ok(()),
                Found::Step(Step::New) => self.write(operation, check, None, 0).await,
                Found::Step(Step::Change(id, sent)) => {
                    self.write(operation, check, Some(id), sent).await
                }
            }
        })
        .await
    }

    fn writes(&self, check: &Check) -> usize {
        checks::requests(check)
    }

    fn rests_until(&self) -> Option<Millis> {
        self.line.rests_until()
    }

    async fn permission(&self, login: &str) -> Result<Permission> {
        if !is_name(login) {
            return Ok(Permission::None);
        }
        let operation = "ask for a person's permission";
        let path = self
            .line
            .address()
            .path(format_args!("/collaborators/{login}/permission"));
        let found: Option<WirePermission> = self.find(operation, path).await?;
        let permission = found.map(|found| found.permission);
        Ok(match permission.as_deref() {
            Some("admin") => Permission::Admin,
            Some("write") => Permission::Write,
            Some("read") => Permission::Read,
            _ => Permission::None,
        })
    }

    /// Apps have names of their own, which nobody else can have.
    async fn is_program(&self, login: &str) -> Result<bool> {
        Ok(login.ends_with(APP_NAME))
    }

    async fn answer(&self, reply: &Reply) -> Result<()> {
        let operation = "answer a comment";
        let _one = self.writing.lock().await;
        if self.is_answered(operation, reply).await? != Some(false) {
            return Ok(());
        }
        let number = reply.pull;
        let path = self
            .line
            .address()
            .path(format_args!("/issues/{number}/comments"));
        let body = json!({ "body": reply::body(reply) });
        let answer = self
            .ask(Call::with(operation, Method::POST, path, body))
            .await?;
        let is_locked =
            answer.status == StatusCode::FORBIDDEN && answer.message().contains("locked");
        match answer.status.is_success() || is_locked {
            true => Ok(()),
            false => Err(self.refusal(operation, &answer)),
        }
    }
}

#[derive(Deserialize)]
struct WireComment {
    body: Option<String>,
    user: Option<WireUser>,
}

impl WireComment {
    fn is_of_an_app(&self) -> bool {
        let login = self.user.as_ref().map(|user| user.login.as_str());
        login.is_some_and(|login| login.ends_with(APP_NAME))
    }
}

#[derive(Deserialize)]
struct WirePermission {
    permission: String,
}

#[derive(Deserialize)]
struct WirePull {
    number: u64,
    title: String,
    state: String,
    merged_at: Option<String>,
    merge_commit_sha: Option<String>,
    /// None: the account was deleted.
    user: Option<WireUser>,
    head: WireBranch,
    base: WireBranch,
}

#[derive(Deserialize)]
struct WireUser {
    login: String,
}

#[derive(Deserialize)]
struct WireBranch {
    sha: String,
    #[serde(rename = "ref")]
    name: String,
    /// None: the fork was deleted.
    repo: Option<WireRepository>,
}

#[derive(Deserialize)]
struct WireRepository {
    id: u64,
}

impl WirePull {
    fn into_pull(self) -> Pull {
        let id = |branch: &WireBranch| branch.repo.as_ref().map(|repo| repo.id);
        let is_own = id(&self.base).is_some() && id(&self.head) == id(&self.base);
        let state = match (self.state.as_str(), self.merged_at, self.merge_commit_sha) {
            ("open", ..) => PullState::Open,
            (_, Some(_), Some(commit)) => PullState::Merged(commit),
            _ => PullState::Closed,
        };
        Pull {
            number: self.number,
            title: self.title,
            author: self
                .user
                .map_or_else(|| "ghost".to_owned(), |user| user.login),
            head: self.head.sha,
            base: self.base.name,
            is_own,
            state,
        }
    }
}
