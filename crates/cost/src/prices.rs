//! Public list prices, in US dollars.
//!
//! They were written down from general knowledge of AWS's public price pages, as they are believed to have been on
//! [`AS_OF`], for [`REGION`] and the first tier of each. Nobody has held them against the price list of today or against a bill: a
//! person must, before a number of this crate decides anything. Free tiers are left out, since an account has them once
//! and not for each installation.

use serde::{Deserialize, Serialize};

/// The day of which the prices are believed to be.
pub const AS_OF: &str = "2025-06-01";
/// Where they hold.
pub const REGION: &str = "us-east-1";

/// A thing with a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Item {
    /// DynamoDB on demand: 4 KiB read consistently.
    ReadUnit,
    /// DynamoDB on demand: 1 KiB written, half as much of a transaction.
    WriteUnit,
    /// DynamoDB, standard class.
    TableGbMonth,
    /// SQS, standard queues.
    QueueRequest,
    /// S3 standard: put, copy, post, list.
    StoreWrite,
    /// S3 standard: get, head.
    StoreRead,
    /// S3 standard.
    StoreGbMonth,
    /// Lambda.
    Invocation,
    /// Lambda on arm64.
    GbSecond,
    /// API Gateway, HTTP API.
    ApiCall,
    /// EventBridge Scheduler.
    Timer,
    /// CloudFront to the internet, North America and Europe.
    CdnGb,
    /// CloudFront, HTTPS.
    CdnRequest,
    /// KMS: an asymmetric key.
    KeyMonth,
    /// KMS: a signature of an elliptic curve or RSA-4096 key.
    Signature,
    /// CloudWatch Logs: taken in.
    LogGb,
    /// CloudWatch Logs: kept.
    LogGbMonth,
    /// CloudWatch: a metric that an alarm looks at.
    AlarmMonth,
    /// SSM parameter store: a standard parameter, read at the standard rate.
    ParameterRead,
    /// EC2: c7g.xlarge on demand, arm64, 4 processors, 8 GiB.
    ArmHour,
    /// EC2: c7i.xlarge on demand, x86_64, 4 processors, 8 GiB.
    IntelHour,
    /// EC2: c7g.xlarge on spot. A market's price: it moves by the hour.
    ArmSpotHour,
    /// EC2: c7i.xlarge on spot. A market's price: it moves by the hour.
    IntelSpotHour,
    /// EBS: gp3.
    DiskGbMonth,
}

/// What so many cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Price {
    /// Of what.
    pub item: Item,
    /// In US dollars.
    pub dollars: f64,
    /// For so many.
    pub per: f64,
    /// Of this.
    pub unit: &'static str,
}

const fn price(item: Item, dollars: f64, per: f64, unit: &'static str) -> Price {
    Price {
        item,
        dollars,
        per,
        unit,
    }
}

const MILLION: f64 = 1_000_000.0;

/// All of them, in the order of [`Item`].
pub const PRICES: [Price; 24] = [
    price(
        Item::ReadUnit,
        0.125,
        MILLION,
        "DynamoDB read request units",
    ),
    price(
        Item::WriteUnit,
        0.625,
        MILLION,
        "DynamoDB write request units",
    ),
    price(Item::TableGbMonth, 0.25, 1.0, "GB-month in DynamoDB"),
    price(Item::QueueRequest, 0.40, MILLION, "SQS standard requests"),
    price(
        Item::StoreWrite,
        5.0,
        MILLION,
        "S3 PUT, COPY, LIST requests",
    ),
    price(Item::StoreRead, 0.40, MILLION, "S3 GET, HEAD requests"),
    price(Item::StoreGbMonth, 0.023, 1.0, "GB-month in S3 standard"),
    price(Item::Invocation, 0.20, MILLION, "Lambda requests"),
    price(Item::GbSecond, 13.3334, MILLION, "Lambda GB-seconds, arm64"),
    price(Item::ApiCall, 1.0, MILLION, "API Gateway HTTP API calls"),
    price(Item::Timer, 1.0, MILLION, "EventBridge Scheduler starts"),
    price(Item::CdnGb, 0.085, 1.0, "GB from CloudFront"),
    price(Item::CdnRequest, 1.0, MILLION, "CloudFront HTTPS requests"),
    price(Item::KeyMonth, 1.0, 1.0, "KMS key-months"),
    price(Item::Signature, 15.0, MILLION, "KMS asymmetric requests"),
    price(Item::LogGb, 0.50, 1.0, "GB taken in by CloudWatch Logs"),
    price(Item::LogGbMonth, 0.03, 1.0, "GB-month in CloudWatch Logs"),
    price(
        Item::AlarmMonth,
        0.10,
        1.0,
        "CloudWatch alarm metric-months",
    ),
    price(
        Item::ParameterRead,
        0.0,
        MILLION,
        "SSM standard parameter reads",
    ),
    price(Item::ArmHour, 0.145, 1.0, "c7g.xlarge hours on demand"),
    price(Item::IntelHour, 0.1785, 1.0, "c7i.xlarge hours on demand"),
    price(Item::ArmSpotHour, 0.058, 1.0, "c7g.xlarge hours on spot"),
    price(Item::IntelSpotHour, 0.0714, 1.0, "c7i.xlarge hours on spot"),
    price(Item::DiskGbMonth, 0.08, 1.0, "GB-month of EBS gp3"),
];

impl Item {
    /// Its price.
    pub fn price(self) -> Price {
        PRICES[self as usize]
    }

    /// What so many cost, in US dollars.
    pub fn dollars(self, amount: f64) -> f64 {
        let price = self.price();
        amount * price.dollars / price.per
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_has_its_own_price() {
        for (index, price) in PRICES.iter().enumerate() {
            assert_eq!(price.item as usize, index, "{price:?}");
            assert_eq!(price.item.price(), *price);
            assert!(price.per >= 1.0 && price.dollars >= 0.0, "{price:?}");
        }
        assert_eq!(Item::QueueRequest.dollars(2_500_000.0), 1.0);
    }
}
