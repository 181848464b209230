//! The compose role: writes the indexes of a repository and the list of all its paths.
//!
//! Caller: `millrace-runner`. Which packages a repository has is decided elsewhere; this role turns that
//! list into the files that dnf and apt read, without their signatures.
//!
//! Invariants:
//! * The same content, layout and time give the same bytes, whatever the cache holds.
//! * A package file is fetched only when nothing is known of it yet; the tree names it by digest.
//! * A cache may lose or damage anything: that costs time, never a wrong index.

#![allow(
    clippy::disallowed_methods,
    reason = "the business of this crate is a cache directory of this machine"
)]

mod cache;
mod deb;
mod rpm;
mod tree;

use std::path::PathBuf;
use std::sync::Arc;

use pipeline_spec::{Layout, Role as RoleName};
use runner_agent::{Halt, Job, Limit, Role, Running, settle};
use runner_api::{ComposeTask, Facts, FailureKind, Outcome, Placed, Step, TaskSpec};

use cache::Cache;
pub use cache::Error;

/// Largest content document, in bytes: about 800,000 packages.
const MAX_CONTENT_BYTES: u64 = 512 << 20;

/// Composes repositories with a cache directory.
#[derive(Debug)]
pub struct Compose {
    cache: Arc<Cache>,
}

impl Compose {
    /// A composer that keeps what it knows of packages in `cache`, which is made if need be.
    pub fn open(cache: impl Into<PathBuf>) -> Result<Self, Error> {
        Ok(Self {
            cache: Arc::new(Cache::open(cache.into())?),
        })
    }

    async fn work(&self, job: &Job) -> Result<Outcome, Halt> {
        let TaskSpec::Compose(task) = job.spec() else {
            let title = job.spec().title();
            return Err(Halt::trouble(format!("{title}: it is no compose task")));
        };
        let time = u64::try_from(task.time).map_err(|_| {
            unfit(format!(
                "{} is not composed: the time of the commit, {}, is before 1970.",
                task.repository, task.time
            ))
        })?;
        job.step(Step::Composing);
        let content = read_content(job, task).await?;
        job.log().line(format_args!(
            "composing {} of {} packages",
            task.repository,
            content.len()
        ));
        // Nothing is pruned from the cache meanwhile.
        let in_use = self.cache.use_it().await;
        let made = match &task.layout.layout {
            Layout::Rpm { .. } => rpm::make(job, task, content, &self.cache, time).await?,
            Layout::Deb { .. } => deb::make(job, task, content, &self.cache, time).await?,
        };
        drop(in_use);
        let artifacts = tree::store(job, &made).await?;
        self.cache.settle(task.repository.as_str(), made.used).await;
        Ok(Outcome::Succeeded {
            artifacts,
            facts: Facts::Nothing,
        })
    }
}

impl Role for Compose {
    fn serves(&self) -> &[RoleName] {
        &[RoleName::Compose]
    }

    fn run<'a>(&'a self, job: &'a Job) -> Running<'a> {
        Box::pin(async move { settle(self.work(job).await) })
    }
}

async fn read_content(job: &Job, task: &ComposeTask) -> Result<Vec<Placed>, Halt> {
    let bytes = job
        .fetch_bytes(
            "the repository's content",
            &task.content,
            Limit(MAX_CONTENT_BYTES),
        )
        .await?;
    serde_json::from_slice(&bytes)
        .map_err(|cause| Halt::trouble(format!("read the repository's content: {cause}")))
}

/// The content cannot become a repository.
fn unfit(message: impl Into<String>) -> Halt {
    Halt::failed(FailureKind::Compose, message)
}
