//! Writing status: many requests, one commit.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use ledger::{Message, QueueName};
use pipeline_spec::RequestPath;
use ports::{Committed, NewCommit, Platform, StateRepo, TaskQueue};

use crate::render::status_file;
use crate::{Control, Error, MAX_TRIES, Result};

/// Messages taken into one commit; the rest goes into the next.
const BATCH: usize = 500;
/// A message is hidden this long while its commit is being written.
const CLAIM: Duration = Duration::from_secs(120);

/// What a report did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reported {
    /// Nothing had changed.
    Nothing,
    /// The commit on the status branch and the number of requests in it.
    Commit(String, usize),
}

impl<P: Platform> Control<P> {
    /// Waits up to `wait` for something to report, then writes all of it in one commit.
    pub async fn report(&self, wait: Duration) -> Result<Reported> {
        let queues = [QueueName::report()];
        let mut deliveries = self
            .platform
            .queue()
            .receive(&queues, BATCH, CLAIM, wait)
            .await?;
        // What came in meanwhile goes into the same commit.
        let more = self
            .platform
            .queue()
            .receive(&queues, BATCH, CLAIM, Duration::ZERO)
            .await?;
        deliveries.extend(more);
        let requests: BTreeSet<RequestPath> = deliveries
            .iter()
            .filter_map(|delivery| match &delivery.message {
                Message::Report { request } => Some(request.clone()),
                _ => None,
            })
            .collect();
        let reported = self.write_status(&requests).await?;
        for delivery in &deliveries {
            self.platform.queue().acknowledge(&delivery.receipt).await?;
        }
        Ok(reported)
    }

    async fn write_status(&self, requests: &BTreeSet<RequestPath>) -> Result<Reported> {
        if requests.is_empty() {
            return Ok(Reported::Nothing);
        }
        let repo = self.platform.state_repo();
        for _ in 0..MAX_TRIES {
            let parent = repo.head(&self.options.status_branch).await?;
            // Rendered after the parent was read, so that a retry never writes older rows over newer ones.
            let files = self.render(requests).await?;
            let (head, _) = self.head_row().await?;
            let new = NewCommit {
                message: message(requests, &head.commit),
                files,
                time: self.now() / 1000,
            };
            match repo
                .commit(&self.options.status_branch, parent.as_deref(), new)
                .await?
            {
                Committed::Yes(commit) => return Ok(Reported::Commit(commit, requests.len())),
                Committed::Unchanged => return Ok(Reported::Nothing),
                Committed::Moved(_) => {}
            }
        }
        Err(Error::Contended(format!(
            "branch {}",
            self.options.status_branch
        )))
    }

    async fn render(
        &self,
        requests: &BTreeSet<RequestPath>,
    ) -> Result<Vec<(String, Option<Bytes>)>> {
        let mut files = Vec::new();
        for path in requests {
            let Some(loaded) = self.load(path).await? else {
                continue;
            };
            let text = to_yaml(&status_file(&loaded))?;
            files.push((path.to_string(), Some(Bytes::from(text))));
        }
        Ok(files)
    }
}

/// YAML of a status document.
pub(crate) fn to_yaml(value: &impl serde::Serialize) -> Result<String> {
    serde_saphyr::to_string(value)
        .map_err(|cause| Error::Inconsistent(format!("render a status file: {cause}")))
}

fn message(requests: &BTreeSet<RequestPath>, desired: &str) -> String {
    let subject = match requests.len() {
        1 => format!(
            "status: {}",
            requests.iter().next().map_or("", |path| path.as_str())
        ),
        n => format!("status: {n} requests"),
    };
    format!("{subject}\n\nDesired: {desired}\n")
}
