//! What starts a function that works off a queue.

use serde_json::{Value, json};

use crate::cloud::Cloud;
use crate::end::Moment;
use crate::runtime::Lambda;

/// A queue of SQS, and the function that it starts.
pub(crate) struct Mapping {
    pub(crate) queue: &'static str,
    pub(crate) program: &'static str,
}

impl Mapping {
    /// Started with so many messages, and killed at the moment.
    pub(crate) async fn killed(&self, cloud: &Cloud, messages: usize, moment: Moment) {
        let mut lambda = Lambda::start(cloud, self.program).await;
        let batch = cloud.batch_of(messages, self.queue).await;
        lambda.hand(&event(&batch));
        lambda.ends(moment).await;
    }

    /// Started with so many messages, which all are done. They come for the second time if they are those of a
    /// function that was killed.
    pub(crate) async fn done(&self, cloud: &Cloud, messages: usize, times: usize) -> Lambda {
        let lambda = Lambda::start(cloud, self.program).await;
        let batch = cloud.batch_of(messages, self.queue).await;
        for record in &batch {
            let came = &record["attributes"]["ApproximateReceiveCount"];
            assert_eq!(*came, times.to_string(), "{record}");
        }
        let answer = lambda.answer(&event(&batch)).await;
        assert_eq!(answer["batchItemFailures"], json!([]), "{}", lambda.log());
        cloud.delete(self.queue, &batch).await;
        lambda
    }
}

pub(crate) fn event(batch: &[Value]) -> Value {
    json!({ "Records": batch })
}
