//! What runners hear that read their queues themselves.

use std::pin::Pin;

use pipeline_spec::{Runner, RunnerId};
use platform_aws::{Access, Clients, Installation, Lender, SqsQueue};
use runner_api::protocol::{Cloud, CloudRequest, Credentials};
use server::Lend;

use crate::settings::Settings;

/// The queues and the bucket of this installation.
pub struct Own {
    installation: Installation,
    queue: SqsQueue,
    lender: Option<Lender>,
}

impl Own {
    /// As the document says.
    pub fn new(settings: &Settings) -> Self {
        let installation = settings.installation();
        let clients = Clients::new(installation.clone(), Access::Surroundings);
        let queue = SqsQueue::new(clients.clone());
        let role = settings.runner_role_arn.clone();
        let lender = role.map(|role| Lender::new(clients, role, settings.credentials_seconds));
        Self {
            installation,
            queue,
            lender,
        }
    }

    async fn cloud(
        &self,
        id: &RunnerId,
        runner: &Runner,
        asked: CloudRequest,
    ) -> ports::Result<Cloud> {
        let mut queues = Vec::new();
        // A session may not even ask for a queue that is not there.
        for queue in control::queues(runner) {
            if self.queue.exists(&queue).await? {
                queues.push(queue);
            }
        }
        let credentials = match (&self.lender, asked.credentials) {
            (_, false) => None,
            (Some(lender), true) => {
                let loan = lender.lend(id, &queues).await?;
                Some(Credentials {
                    id: loan.id,
                    secret: loan.secret,
                    session: loan.session,
                    lasts_seconds: loan.seconds,
                })
            }
            (None, true) => {
                let cause = "the configuration names no role of runners (runner_role_arn)";
                return Err(ports::Error::transient("lend credentials", cause));
            }
        };
        Ok(Cloud {
            version: runner_api::VERSION,
            region: self.installation.region.clone(),
            endpoint: self.installation.endpoint.clone(),
            bucket: self.installation.bucket.clone(),
            queue_prefix: self.installation.queue_prefix.clone(),
            queues: queues.iter().map(ToString::to_string).collect(),
            credentials,
        })
    }
}

impl Lend for Own {
    fn lend<'a>(
        &'a self,
        id: &'a RunnerId,
        runner: &'a Runner,
        asked: CloudRequest,
    ) -> Pin<Box<dyn Future<Output = ports::Result<Cloud>> + Send + 'a>> {
        Box::pin(self.cloud(id, runner, asked))
    }
}
