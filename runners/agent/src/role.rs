//! What a role is to the daemon.

use std::future::Future;
use std::pin::Pin;

use runner_api::Outcome;

use crate::{Halt, Job};

/// A role at work. Boxed, so that the daemon can hold roles that other crates bring.
pub type Running<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// A kind of work that this process can do.
///
/// ```
/// use runner_agent::{Halt, Job, Role, Running, settle};
/// use runner_api::{ArtifactKind, Facts, Outcome};
///
/// struct Echo;
///
/// impl Role for Echo {
///     fn serves(&self) -> &[pipeline_spec::Role] {
///         &[pipeline_spec::Role::Compose]
///     }
///
///     fn run<'a>(&'a self, job: &'a Job) -> Running<'a> {
///         Box::pin(async move { settle(echo(job).await) })
///     }
/// }
///
/// async fn echo(job: &Job) -> Result<Outcome, Halt> {
///     let title = job.spec().title();
///     job.log().line(&title);
///     let artifact = job.store_bytes(title.into(), "title.txt", ArtifactKind::Tree).await?;
///     Ok(Outcome::Succeeded { artifacts: vec![artifact], facts: Facts::Nothing })
/// }
/// ```
pub trait Role: Send + Sync {
    /// The roles of `runners/<id>.yaml` that this one works for.
    fn serves(&self) -> &[pipeline_spec::Role];

    /// Works off one attempt.
    ///
    /// Must end soon after [`Job::cancelled`]; what it returns then is dropped, unless it is
    /// [`Outcome::Succeeded`] and the attempt was only to be handed back. One that does not end is
    /// dropped, so that everything it started must die with its future.
    fn run<'a>(&'a self, job: &'a Job) -> Running<'a>;
}

/// The outcome of a role that was written with `?`.
pub fn settle(result: Result<Outcome, Halt>) -> Outcome {
    result.unwrap_or_else(Outcome::from)
}
