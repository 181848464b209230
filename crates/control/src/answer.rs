//! The forge's queue: what people ask for there is done, and what happened there is looked at.
//!
//! A message goes when its work is done or refused. In the world's trouble it comes back by itself; one that fails
//! again and again for another reason is given up.

use std::time::Duration;

use ledger::{Asked, Message, QueueName};
use ports::{Delivery, Forge, Platform, TaskQueue};

use crate::asked::Answer;
use crate::{Control, Error, Result};

/// Messages of one round: more than people send in a minute.
const BATCH: usize = 100;
/// A message is hidden this long while its work is done.
const CLAIM: Duration = Duration::from_secs(60);

/// What a round of answering did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answered {
    /// Things that were asked for, and are done.
    pub done: usize,
    /// Those of people who may not, and those that came twice or too late.
    pub left: usize,
    /// Messages that come back: something of the world was in the way.
    pub later: usize,
    /// Whether the forge was looked at.
    pub looked: bool,
}

impl<P: Platform> Control<P> {
    /// Works off what is in the forge's queue; waits up to `wait` for the first message.
    pub async fn answer_forge<F: Forge>(&self, forge: &F, wait: Duration) -> Result<Answered> {
        let queues = [QueueName::forge()];
        let queue = self.platform.queue();
        let deliveries = queue.receive(&queues, BATCH, CLAIM, wait).await?;
        self.answer_forge_received(forge, &deliveries).await
    }

    /// The same for messages that somebody else has received, as a function that its queue starts. Those that are
    /// worked off are acknowledged, the others come back by themselves.
    pub async fn answer_forge_received<F: Forge>(
        &self,
        forge: &F,
        deliveries: &[Delivery],
    ) -> Result<Answered> {
        let mut answered = Answered::default();
        let (mut looks, mut asked) = (Vec::new(), Vec::new());
        for delivery in deliveries {
            match &delivery.message {
                Message::Look => looks.push(delivery),
                Message::Asked(it) => asked.push((&**it, delivery)),
                Message::Again { commit, check } => {
                    self.answer_again((commit, check.as_deref()), delivery, &mut answered)
                        .await?;
                }
                other => {
                    tracing::warn!(letter = %other.name(), "a message that is nothing of the forge's is dropped");
                    self.platform.queue().acknowledge(&delivery.receipt).await?;
                }
            }
        }
        // In the order in which people wrote it, as far as it came together.
        asked.sort_by_key(|(it, _)| it.comment.as_ref().map(|comment| comment.id));
        for (it, delivery) in asked {
            self.answer_one(forge, it, delivery, &mut answered).await?;
        }
        if !looks.is_empty() {
            self.look(forge, &looks, &mut answered).await?;
        }
        Ok(answered)
    }

    async fn answer_one<F: Forge>(
        &self,
        forge: &F,
        asked: &Asked,
        delivery: &Delivery,
        answered: &mut Answered,
    ) -> Result<()> {
        match self.ask(forge, asked).await {
            Ok(answer) => {
                match answer {
                    Answer::Done(_) => answered.done += 1,
                    Answer::Refused(_) | Answer::Before | Answer::Late | Answer::Program => {
                        answered.left += 1;
                    }
                }
                tracing::debug!(id = asked.id, login = asked.login, ?answer, "answered");
                Ok(self.platform.queue().acknowledge(&delivery.receipt).await?)
            }
            Err(error) => self.put_off(&[delivery], &error, answered).await,
        }
    }

    /// Before anybody looks, so that the look that came with it writes them.
    async fn answer_again(
        &self,
        (commit, check): (&str, Option<&str>),
        delivery: &Delivery,
        answered: &mut Answered,
    ) -> Result<()> {
        match self.anew(commit, check).await {
            Ok(rows) => {
                answered.done += usize::from(rows > 0);
                Ok(self.platform.queue().acknowledge(&delivery.receipt).await?)
            }
            Err(error) => self.put_off(&[delivery], &error, answered).await,
        }
    }

    /// Looks at pull requests once, however many messages say so.
    async fn look<F: Forge>(
        &self,
        forge: &F,
        looks: &[&Delivery],
        answered: &mut Answered,
    ) -> Result<()> {
        match self.review(forge).await {
            Ok(reviewed) => {
                tracing::debug!(?reviewed, "looked at pull requests");
                answered.looked = true;
                let receipts = looks.iter().map(|delivery| &*delivery.receipt);
                let receipts: Vec<&str> = receipts.collect();
                Ok(self.platform.queue().acknowledge_all(&receipts).await?)
            }
            Err(error) => self.put_off(looks, &error, answered).await,
        }
    }

    async fn put_off(
        &self,
        deliveries: &[&Delivery],
        error: &Error,
        answered: &mut Answered,
    ) -> Result<()> {
        for delivery in deliveries {
            tracing::warn!(letter = %delivery.message.name(), %error, "failed at what came from the forge");
            if !self.give_up(delivery, error).await? {
                answered.later += 1;
            }
        }
        Ok(())
    }
}
