//! What the Terraform makes, for emulators and trials: a table, queues, a bucket.
//!
//! Without alarms, rights, encryption and protection against removal: an installation is made by Terraform. All
//! of it may run again, and keeps what is there.

use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use aws_sdk_s3::operation::create_bucket::CreateBucketError;
use aws_sdk_s3::types::{
    BucketLocationConstraint, BucketVersioningStatus, CreateBucketConfiguration,
    VersioningConfiguration,
};
use aws_sdk_sqs::types::QueueAttributeName;
use ledger::QueueName;
use ports::{Error, Result};

use crate::clients::Clients;
use crate::queue::{PRIORITIES, sqs_name};
use crate::retry::{Stop, again, answer};

/// Seconds that SQS keeps a message: as long as it can, since people look at dead letters on Mondays.
const KEPT_SECONDS: u32 = 14 * 24 * 3_600;

/// Makes the ledger's table.
///
/// # Errors
/// As of the service.
pub async fn provision_table(clients: &Clients) -> Result<()> {
    let table = &clients.installation().table;
    let operation = format!("make table {table}");
    let mut create = clients
        .dynamodb()
        .await
        .create_table()
        .table_name(table)
        .billing_mode(BillingMode::PayPerRequest);
    for (name, kind) in [("pk", KeyType::Hash), ("sk", KeyType::Range)] {
        let incomplete = |cause| Error::corrupt(&operation, cause);
        let attribute = AttributeDefinition::builder()
            .attribute_name(name)
            .attribute_type(ScalarAttributeType::S)
            .build();
        let key = KeySchemaElement::builder()
            .attribute_name(name)
            .key_type(kind)
            .build();
        create = create
            .attribute_definitions(attribute.map_err(incomplete)?)
            .key_schema(key.map_err(incomplete)?);
    }
    let call = || create.clone().send();
    match again(clients.patience(), &operation, |_| false, call).await {
        Ok(_) | Err(Stop::Refused(CreateTableError::ResourceInUseException(_))) => Ok(()),
        Err(stop) => Err(stop.into_error(&operation)),
    }
}

/// Makes the queues of `names`. A message goes to the dead letters after `deliveries`, which must be more than the
/// control plane itself gives a message: it keeps its own list of those.
///
/// # Errors
/// As of the service.
pub async fn provision_queues(
    clients: &Clients,
    names: &[QueueName],
    deliveries: u32,
) -> Result<()> {
    let prefix = &clients.installation().queue_prefix;
    for name in names {
        let dead = sqs_name(prefix, name, None);
        let url = make_queue(clients, &dead, None).await?;
        let arn = arn(clients, &url).await?;
        let redrive =
            format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":{deliveries}}}"#);
        for priority in PRIORITIES {
            let name = sqs_name(prefix, name, Some(priority));
            make_queue(clients, &name, Some(&redrive)).await?;
        }
    }
    Ok(())
}

/// Its address.
async fn make_queue(clients: &Clients, name: &str, redrive: Option<&str>) -> Result<String> {
    let operation = format!("make queue {name}");
    let mut create = clients
        .sqs()
        .await
        .create_queue()
        .queue_name(name)
        .attributes(
            QueueAttributeName::MessageRetentionPeriod,
            KEPT_SECONDS.to_string(),
        );
    if let Some(redrive) = redrive {
        create = create.attributes(QueueAttributeName::RedrivePolicy, redrive);
    }
    let made = answer(clients.patience(), &operation, || create.clone().send()).await?;
    let nothing = || Error::transient(&operation, "SQS gives no address");
    made.queue_url.ok_or_else(nothing)
}

async fn arn(clients: &Clients, url: &str) -> Result<String> {
    let operation = format!("read the name of queue {url}");
    let get = clients.sqs().await.get_queue_attributes();
    let get = get
        .queue_url(url)
        .attribute_names(QueueAttributeName::QueueArn);
    let found = answer(clients.patience(), &operation, || get.clone().send()).await?;
    let arn = found.attributes.unwrap_or_default();
    let arn = arn.get(&QueueAttributeName::QueueArn).cloned();
    arn.ok_or_else(|| Error::transient(&operation, "SQS gives no ARN"))
}

/// Makes the bucket, with versioning on.
///
/// # Errors
/// As of the service.
pub async fn provision_bucket(clients: &Clients) -> Result<()> {
    let installation = clients.installation();
    let bucket = &installation.bucket;
    let operation = format!("make bucket {bucket}");
    let place = CreateBucketConfiguration::builder()
        .location_constraint(BucketLocationConstraint::from(installation.region.as_str()))
        .build();
    let s3 = clients.s3().await;
    let create = s3.create_bucket().bucket(bucket);
    let create = create.create_bucket_configuration(place);
    let call = || create.clone().send();
    match again(clients.patience(), &operation, |_| false, call).await {
        Ok(_) | Err(Stop::Refused(CreateBucketError::BucketAlreadyOwnedByYou(_))) => {}
        Err(stop) => return Err(stop.into_error(&operation)),
    }
    let versioning = VersioningConfiguration::builder()
        .status(BucketVersioningStatus::Enabled)
        .build();
    let put = s3.put_bucket_versioning().bucket(bucket);
    let put = put.versioning_configuration(versioning);
    answer(clients.patience(), &operation, || put.clone().send()).await?;
    Ok(())
}
