//! [`ports::Forge`] at Gitea: a check is a commit status, and a section of one comment on its pull request.
//!
//! Callers: whoever picks adapters. Invariants: those of `line` and `gitea/comment`. A comment is ours by its author,
//! since everybody can write its first line.

use std::collections::BTreeMap;

use ledger::Millis;
use ports::{Check, CheckState, Clock, Error, Forge, Permission, Pull, PullState, Reply, Result};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::OnceCell;

use self::wire::Http;
use crate::address::{Address, ConfigError, Secret, in_query, is_name};
use crate::answer::{Answer, passed_over};
use crate::line::{Call, Line, in_time};
use crate::pages::{Page, Pages};
use crate::reply;
use crate::text::{self, PREFIX};

mod comment;
mod wire;

/// Statuses on a page: the most that a Gitea gives unless it was told otherwise.
const A_PAGE: usize = 50;
/// Pages of statuses of one commit.
const MAX_STATUS_PAGES: usize = 20;
/// Pull requests whose comment is remembered. Of others it is looked for among all comments.
const MAX_KEPT: usize = 1_000;
/// Characters of a status's description.
const MAX_DESCRIPTION: usize = 140;

/// The state repository at a Gitea.
pub struct Gitea<C> {
    line: Line<Http, C>,
    token: Secret,
    login: OnceCell<String>,
    writing: tokio::sync::Mutex<Kept>,
}

/// Which comment is kept up to date, by pull request: so that what strangers write there is not read each time.
type Kept = BTreeMap<u64, u64>;

impl<C: Clock> Gitea<C> {
    /// Asks nothing yet. `token` belongs to a user for Millrace alone, with the scopes `write:repository`, `write:issue`
    /// and `read:user`, who administers the repository.
    pub fn new(
        address: Address,
        token: Secret,
        clock: C,
    ) -> std::result::Result<Self, ConfigError> {
        if !token.is_token() {
            return Err(ConfigError::Token("Gitea"));
        }
        Ok(Self {
            line: Line::new(Http::new(&address)?, address, clock),
            token,
            login: OnceCell::new(),
            writing: tokio::sync::Mutex::default(),
        })
    }

    async fn ask(&self, call: Call) -> Result<Answer> {
        self.line.ask(&self.token, call).await
    }

    /// The answer to a request that has to go well.
    async fn must(&self, call: Call) -> Result<Answer> {
        let operation = call.operation;
        let answer = self.ask(call).await?;
        match answer.status.is_success() {
            true => Ok(answer),
            false => Err(self.refusal(operation, &answer)),
        }
    }

    /// The answer, or none: there is no such thing, and the repository is not the reason.
    async fn find(&self, call: Call) -> Result<Option<Answer>> {
        let operation = call.operation;
        let answer = self.ask(call).await?;
        if answer.status == StatusCode::NOT_FOUND {
            let repository = self.line.address().path(format_args!(""));
            self.must(Call::get(operation, repository)).await?;
            return Ok(None);
        }
        match answer.status.is_success() {
            true => Ok(Some(answer)),
            false => Err(self.refusal(operation, &answer)),
        }
    }

    /// A no of Gitea's, and what to mend.
    fn refusal(&self, operation: &'static str, answer: &Answer) -> Error {
        let address = self.line.address();
        let (status, message) = (answer.status.as_u16(), answer.message());
        let mend = match status {
            401 => "the token is wrong or was taken back: make a new one".to_owned(),
            403 => format!(
                "the token needs the scopes write:repository, write:issue and read:user, and its user must administer {address}"
            ),
            404 => format!(
                "the token's user does not see {address}: add them as a collaborator, write the repository's new name if it was renamed, or write where this Gitea's API begins into `--forge-api`"
            ),
            423 => format!("{address} is archived: nothing can be written there"),
            400 | 422 => {
                return Error::corrupt(
                    operation,
                    format!("Gitea does not understand the request: {message}"),
                );
            }
            _ => String::new(),
        };
        let cause = format!("Gitea answers {status} {message}: {mend}");
        Error::transient(operation, cause.trim_end_matches([':', ' ']))
    }

    fn json<T: DeserializeOwned>(&self, operation: &str, answer: &Answer) -> Result<T> {
        answer.json(operation, "Gitea")
    }

    /// Who we are.
    async fn login(&self, operation: &'static str) -> Result<&str> {
        let ask = async || {
            let answer = self.must(Call::get(operation, "/user".to_owned())).await?;
            let user: WireUser = self.json(operation, &answer)?;
            Ok(user.login)
        };
        self.login.get_or_try_init(ask).await.map(String::as_str)
    }

    /// Writes the status if it is another. `false`: there is no such commit, it was pushed over.
    async fn write_status(&self, operation: &'static str, check: &Check) -> Result<bool> {
        let wanted = WireStatus::of(check);
        let Some(there) = self.status(operation, check, &wanted.context).await? else {
            return Ok(false);
        };
        if there.as_ref() == Some(&wanted) {
            return Ok(true);
        }
        let path = self
            .line
            .address()
            .path(format_args!("/statuses/{}", check.commit));
        let body = json!({
            "context": wanted.context,
            "state": wanted.status,
            "description": wanted.description,
            "target_url": wanted.target_url,
        });
        let call = Call::with(operation, Method::POST, path, body);
        Ok(self.find(call).await?.is_some())
    }

    /// The newest status of this context; none at all: there is no such commit.
    async fn status(
        &self,
        operation: &'static str,
        check: &Check,
        context: &str,
    ) -> Result<Option<Option<WireStatus>>> {
        // Newest first, and all that were ever written. Behind the last page ours is written anew, which is no harm.
        for page in 1..=MAX_STATUS_PAGES {
            let path = self.line.address().path(format_args!(
                "/statuses/{}?sort=highestindex&page={page}&limit={A_PAGE}",
                check.commit
            ));
            let Some(answer) = self.find(Call::get(operation, path)).await? else {
                return Ok(None);
            };
            let statuses: Vec<WireStatus> = self.json(operation, &answer)?;
            let is_last = !answer.has_next() || statuses.is_empty();
            let ours = statuses
                .into_iter()
                .find(|status| status.context == context);
            if ours.is_some() || is_last {
                return Ok(Some(ours));
            }
        }
        Ok(Some(None))
    }

    /// Keeps the comment of pull request `number` up to date, as long as `check` is about its newest commit.
    async fn write_comment(
        &self,
        operation: &'static str,
        (number, kept): (u64, &mut Kept),
        check: &Check,
    ) -> Result<()> {
        let pull = self.read_pull(operation, number).await?;
        if pull.is_none_or(|pull| pull.head != check.commit) {
            return Ok(());
        }
        let address = self.line.address();
        let comments = address.path(format_args!("/issues/{number}/comments"));
        let ours = match self.kept_comment(operation, kept.get(&number)).await? {
            Some(ours) => Some(ours),
            None => self.our_comment(operation, &comments).await?,
        };
        let before = ours.as_ref().map_or("", |comment| comment.body.as_str());
        let body = comment::with_section(before, check);
        if kept.len() == MAX_KEPT {
            kept.clear();
        }
        if let Some(ours) = &ours {
            kept.insert(number, ours.id);
        }
        if comment::is_same(before, &body) {
            return Ok(());
        }
        let call = match &ours {
            Some(ours) => {
                let path = address.path(format_args!("/issues/comments/{}", ours.id));
                Call::with(operation, Method::PATCH, path, json!({ "body": body }))
            }
            None => Call::with(operation, Method::POST, comments, json!({ "body": body })),
        };
        match self.find(call).await? {
            Some(answer) => {
                let ours: WireComment = self.json(operation, &answer)?;
                kept.insert(number, ours.id);
                Ok(())
            }
            None => {
                let cause = "somebody deleted the comment or the pull request meanwhile";
                Err(Error::transient(operation, cause))
            }
        }
    }

    /// The comment of this number, if it is there still and the one that is kept up to date.
    async fn kept_comment(
        &self,
        operation: &'static str,
        id: Option<&u64>,
    ) -> Result<Option<WireComment>> {
        let Some(id) = id else { return Ok(None) };
        let path = self
            .line
            .address()
            .path(format_args!("/issues/comments/{id}"));
        let Some(answer) = self.find(Call::get(operation, path)).await? else {
            return Ok(None);
        };
        let comment: WireComment = self.json(operation, &answer)?;
        Ok(Some(comment).filter(WireComment::is_kept))
    }

    async fn our_comment(
        &self,
        operation: &'static str,
        comments: &str,
    ) -> Result<Option<WireComment>> {
        let answer = self.must(Call::get(operation, comments.to_owned())).await?;
        let ours = self.ours(operation, &answer).await?;
        Ok(ours.into_iter().find(WireComment::is_kept))
    }

    /// Of a list of comments those that we wrote.
    async fn ours(&self, operation: &'static str, answer: &Answer) -> Result<Vec<WireComment>> {
        let login = self.login(operation).await?;
        let mut comments: Vec<WireComment> = self.json(operation, answer)?;
        comments.retain(|comment| {
            let author = comment.user.as_ref().map(|user| user.login.as_str());
            author == Some(login)
        });
        Ok(comments)
    }

    async fn read_pull(&self, operation: &'static str, number: u64) -> Result<Option<Pull>> {
        let path = self.line.address().path(format_args!("/pulls/{number}"));
        let Some(answer) = self.find(Call::get(operation, path)).await? else {
            return Ok(None);
        };
        let pull: WirePull = self.json(operation, &answer)?;
        Ok(Some(pull.into_pull()))
    }
}

impl<C: Clock> Forge for Gitea<C> {
    async fn open_pulls(&self, base: &str) -> Result<Vec<Pull>> {
        let operation = "list pull requests";
        let base_is = in_query(base);
        let mut pulls = BTreeMap::new();
        let mut pages = Pages::new();
        while let Some(page) = pages.next() {
            let Page { number, size } = page;
            let path = self.line.address().path(format_args!(
                "/pulls?state=open&base_branch={base_is}&page={number}&limit={size}"
            ));
            let answer = self.must(Call::get(operation, path)).await?;
            if answer.is_too_large() {
                pages.too_large(page, &answer);
                continue;
            }
            let (listed, odd) = answer.list::<WirePull>(operation, "Gitea")?;
            passed_over(&odd);
            pages.read(page, listed.len() + odd.len(), &answer);
            let listed = listed.into_iter().map(WirePull::into_pull);
            // An older Gitea does not know `base_branch`, and lists them all.
            pulls.extend(
                listed
                    .filter(|pull| pull.base == base)
                    .map(|pull| (pull.number, pull)),
            );
        }
        Ok(pulls.into_values().collect())
    }

    async fn pull(&self, number: u64) -> Result<Option<Pull>> {
        self.read_pull("read a pull request", number).await
    }

    async fn pull_of(&self, commit: &str) -> Result<Option<Pull>> {
        let operation = "ask which pull request a commit is of";
        let address = self.line.address();
        let path = address.path(format_args!("/commits/{commit}/pull"));
        let Some(answer) = self.find(Call::get(operation, path)).await? else {
            return Ok(None);
        };
        let pull: WirePull = self.json(operation, &answer)?;
        let pull = pull.into_pull();
        // It answers for commits that came along with a merge, too.
        let is_it = matches!(&pull.state, PullState::Merged(merged) if merged == commit);
        Ok(is_it.then_some(pull))
    }

    async fn write_check(&self, check: &Check) -> Result<()> {
        let operation = "write a check";
        in_time(operation, async {
            let mut kept = self.writing.lock().await;
            let is_there = self.write_status(operation, check).await?;
            match check.pull.filter(|_| is_there) {
                Some(number) => {
                    let here = (number, &mut *kept);
                    self.write_comment(operation, here, check).await
                }
                None => Ok(()),
            }
        })
        .await
    }

    /// The status, and the comment.
    fn writes(&self, check: &Check) -> usize {
        1 + usize::from(check.pull.is_some())
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
        let Some(answer) = self.find(Call::get(operation, path)).await? else {
            return Ok(Permission::None);
        };
        let found: WirePermission = self.json(operation, &answer)?;
        Ok(match found.permission.as_str() {
            "owner" | "admin" => Permission::Admin,
            "write" => Permission::Write,
            "read" => Permission::Read,
            _ => Permission::None,
        })
    }

    async fn is_program(&self, login: &str) -> Result<bool> {
        let own = self.login("ask who writes here").await?;
        Ok(login.eq_ignore_ascii_case(own))
    }

    async fn answer(&self, reply: &Reply) -> Result<()> {
        let operation = "answer a comment";
        let _one = self.writing.lock().await;
        let comments = format!("/issues/{}/comments", reply.pull);
        let comments = self.line.address().path(format_args!("{comments}"));
        // An answer is later than what it answers.
        let since = in_query(&reply::since(reply));
        let later = format!("{comments}?since={since}");
        let Some(answer) = self.find(Call::get(operation, later)).await? else {
            return Ok(());
        };
        let mut ours = self.ours(operation, &answer).await?.into_iter();
        if ours.any(|comment| reply::is_answer(&comment.body, reply)) {
            return Ok(());
        }
        let body = json!({ "body": reply::body(reply) });
        let _gone_is_fine = self
            .find(Call::with(operation, Method::POST, comments, body))
            .await?;
        Ok(())
    }
}

#[derive(Deserialize)]
struct WirePermission {
    permission: String,
}

#[derive(Deserialize)]
struct WireUser {
    login: String,
}

#[derive(Deserialize)]
struct WireComment {
    id: u64,
    body: String,
    user: Option<WireUser>,
}

impl WireComment {
    /// Whether it is the one that is kept up to date, if it is ours.
    fn is_kept(&self) -> bool {
        self.body.lines().next() == Some(comment::MARK)
    }
}

/// A status as it is read; it is written with `state` in the place of `status`.
#[derive(Debug, PartialEq, Eq, Deserialize)]
struct WireStatus {
    context: String,
    status: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    target_url: String,
}

impl WireStatus {
    fn of(check: &Check) -> Self {
        let status = match check.state {
            CheckState::Waiting | CheckState::Running => "pending",
            CheckState::Passed => "success",
            CheckState::Failed => "failure",
            CheckState::Neutral => "warning",
        };
        Self {
            context: format!("{PREFIX}{}", check.name),
            status: status.to_owned(),
            description: text::line(&check.title, MAX_DESCRIPTION),
            target_url: check.details.clone().unwrap_or_default(),
        }
    }
}

#[derive(Deserialize)]
struct WirePull {
    number: u64,
    title: String,
    state: String,
    #[serde(default)]
    merged: bool,
    merge_commit_sha: Option<String>,
    user: Option<WireUser>,
    head: WireBranch,
    base: WireBranch,
}

#[derive(Deserialize)]
struct WireBranch {
    sha: String,
    #[serde(rename = "ref")]
    name: String,
    /// Of the repository; of a fork that is gone it is 0.
    #[serde(default)]
    repo_id: i64,
}

impl WirePull {
    fn into_pull(self) -> Pull {
        let state = match (self.state.as_str(), self.merged, self.merge_commit_sha) {
            ("open", ..) => PullState::Open,
            (_, true, Some(commit)) => PullState::Merged(commit),
            _ => PullState::Closed,
        };
        // By `git push origin HEAD:refs/for/main` whoever may only read proposes without a fork: what is proposed is in no
        // branch then, as when a branch is gone.
        let has_branch = !self.head.name.starts_with("refs/");
        Pull {
            number: self.number,
            title: self.title,
            author: self
                .user
                .map_or_else(|| "ghost".to_owned(), |user| user.login),
            head: self.head.sha,
            base: self.base.name,
            is_own: has_branch && self.base.repo_id > 0 && self.head.repo_id == self.base.repo_id,
            state,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_proposed_without_a_branch_is_nobodys_own() {
        let is_own = |name: &str, repo: i64| {
            let json = serde_json::json!({
                "number": 7, "title": "a change", "state": "open", "merge_commit_sha": null,
                "user": {"login": "eve"},
                "head": {"sha": "1".repeat(40), "ref": name, "repo_id": repo},
                "base": {"sha": "2".repeat(40), "ref": "main", "repo_id": 5},
            });
            let pull: WirePull = serde_json::from_value(json).expect("as Gitea says it");
            pull.into_pull().is_own
        };
        assert!(is_own("topic", 5));
        assert!(!is_own("topic", 6));
        assert!(!is_own("topic", 0));
        assert!(!is_own("refs/pull/7/head", 5));
    }
}
