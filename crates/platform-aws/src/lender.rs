//! Credentials for a while, of the role of runners.
//!
//! The role's policy says what a session may reach by the session's tags, so each runner has its own queues and its own
//! folder, and no session reaches the ledger (`terraform/modules/control-plane/runners.tf`).

use std::collections::BTreeSet;

use aws_sdk_sts::types::Tag;
use ledger::QueueName;
use pipeline_spec::RunnerId;
use ports::{Error, Result};

use crate::clients::Clients;
use crate::retry::answer;

/// The shortest session that STS gives, in seconds.
const SHORTEST_SECONDS: i32 = 900;
/// A session of a role that was assumed by a role lasts an hour at most.
const LONGEST_SECONDS: i32 = 3_600;

/// Whoever may assume the role of runners.
#[derive(Debug, Clone)]
pub struct Lender {
    clients: Clients,
    role: String,
    seconds: i32,
}

/// Credentials. They have no `Debug`, so that no log gets them.
#[derive(Clone)]
pub struct Loan {
    /// Not a secret.
    pub id: String,
    /// The secret half.
    pub secret: String,
    /// Goes with them.
    pub session: String,
    /// They end so long after they were lent.
    pub seconds: u64,
}

impl Lender {
    /// Lends sessions of the role with the ARN `role`, for `seconds` each, between 15 minutes and an hour.
    pub fn new(clients: Clients, role: String, seconds: u64) -> Self {
        let seconds = i32::try_from(seconds).unwrap_or(LONGEST_SECONDS);
        let seconds = seconds.clamp(SHORTEST_SECONDS, LONGEST_SECONDS);
        Self {
            clients,
            role,
            seconds,
        }
    }

    /// A session for `runner`, which may read `queues`.
    ///
    /// # Errors
    /// As of the service.
    pub async fn lend(&self, runner: &RunnerId, queues: &[QueueName]) -> Result<Loan> {
        let operation = format!("lend credentials to runner {runner}");
        if runner.as_str().len() < 2 {
            let cause = "STS wants a name of two characters or more: give the runner another one, or leave `cloud` out of its configuration";
            return Err(Error::corrupt(operation, cause));
        }
        let (roles, architectures) = lists(queues);
        let assume = self.clients.sts().await.assume_role();
        let mut assume = assume
            .role_arn(&self.role)
            .role_session_name(runner.as_str())
            .duration_seconds(self.seconds);
        for (key, value) in [
            ("runner", runner.as_str()),
            ("roles", &roles),
            ("architectures", &architectures),
        ] {
            let tag = Tag::builder().key(key).value(value).build();
            assume = assume.tags(tag.map_err(|cause| Error::corrupt(&operation, cause))?);
        }
        let call = || assume.clone().send();
        let lent = answer(self.clients.patience(), &operation, call).await?;
        let keys = lent.credentials.ok_or_else(|| {
            Error::transient(&operation, "STS began a session and gave no credentials")
        })?;
        Ok(Loan {
            id: keys.access_key_id,
            secret: keys.secret_access_key,
            session: keys.session_token,
            seconds: u64::from(self.seconds.unsigned_abs()),
        })
    }
}

/// Roles and architectures as the policy looks for them: `:build-rpm:test:`. Together they may name a queue that the
/// runner has not (`test.any`); what it finds there, the control plane does not lease to it.
fn lists(queues: &[QueueName]) -> (String, String) {
    let (mut roles, mut architectures) = (BTreeSet::new(), BTreeSet::new());
    for queue in queues {
        if let Some((role, architecture)) = queue.as_str().split_once('.') {
            roles.insert(role);
            architectures.insert(architecture);
        }
    }
    (list(&roles), list(&architectures))
}

fn list(words: &BTreeSet<&str>) -> String {
    words
        .iter()
        .fold(":".to_owned(), |list, word| list + word + ":")
}

#[cfg(test)]
mod tests {
    use pipeline_spec::Role;

    use super::*;

    #[test]
    fn lists_are_what_the_policy_looks_in() {
        let arch = "x86_64".parse().unwrap();
        let queues = [
            QueueName::work(Role::Test, Some(&arch)),
            QueueName::work(Role::BuildRpm, Some(&arch)),
            QueueName::work(Role::Compose, None),
        ];
        let (roles, architectures) = lists(&queues);
        assert_eq!(roles, ":build-rpm:compose:test:");
        assert_eq!(architectures, ":any:x86_64:");
    }
}
