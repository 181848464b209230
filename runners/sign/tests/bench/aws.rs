//! KMS on this machine: ministack, which signs digests with both kinds of keys.

use std::sync::OnceLock;

use aws_sdk_kms::Client;
use aws_sdk_kms::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kms::types::{KeySpec, KeyUsageType};
use emulator::{Emulator, Kind};

pub(crate) const REGION: &str = "eu-central-1";

/// The emulator of this process. It ends with the process: see the room `emulator`.
pub(crate) fn endpoint() -> String {
    static RUNNING: OnceLock<Emulator> = OnceLock::new();
    let start = || Emulator::start(Kind::Ministack).unwrap();
    RUNNING.get_or_init(start).endpoint()
}

/// A key that signs, as the Terraform makes it: its ARN, and when it was made in seconds since 1970.
pub(crate) async fn make_key(spec: KeySpec) -> (String, i64) {
    let config = aws_sdk_kms::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(endpoint())
        .credentials_provider(Credentials::new("test", "test", None, None, "test"));
    let create = Client::from_conf(config.build()).create_key();
    let create = create.key_spec(spec).key_usage(KeyUsageType::SignVerify);
    let made = create.send().await.unwrap().key_metadata.unwrap();
    (made.arn.unwrap(), made.creation_date.unwrap().secs())
}
