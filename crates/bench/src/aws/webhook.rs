//! The door for the forge: a delivery that is signed, from the start of a process and in a warm one.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::cloud::Cloud;
use super::function::{DOCUMENT, Program, WEBHOOK_SECRET};
use crate::figures::{millis, percentile};

/// Processes started.
const STARTS: usize = 30;
/// Deliveries to one process.
const DELIVERIES: usize = 1_000;
/// Of these, what is not counted: the first ones are no warm process's.
const FIRST: usize = 20;

const SECRET: &str = "It's a Secret to Everybody";
/// A push, as short as a reader takes it.
const BODY: &str =
    r#"{"ref":"refs/heads/main","after":"6113728f27ae82c7b1a177c8d03f9e96e0adf246"}"#;
/// HMAC-SHA256 of it, by Python's hmac.
const SIGNATURE: &str = "sha256=16b69526af42f0a1bfa3265121766154211e76af2e3eadee2c199a52581820a3";

/// Of the webhook, or of a function that answers at once.
pub(super) async fn measure(program: &Program) -> Result<Value> {
    let (mut starts, mut busy, mut peak) = (Vec::new(), Vec::new(), 0);
    for _ in 0..STARTS {
        let mut cloud = cloud().await?;
        cloud.give(delivery());
        let process = program.start(&cloud)?;
        let answer = cloud.answer().await?;
        is_taken(&answer.body)?;
        starts.push(answer.at - process.start);
        busy.push(process.on_processor()?);
        peak = peak.max(process.peak()?);
    }
    let mut cloud = cloud().await?;
    let process = program.start(&cloud)?;
    let mut warm: Vec<Duration> = Vec::new();
    for _ in 0..FIRST + DELIVERIES {
        cloud.give(delivery());
        let answer = cloud.answer().await?;
        is_taken(&answer.body)?;
        warm.push(answer.took);
    }
    let warm = &warm[FIRST..];
    Ok(json!({
        "starts": STARTS, "deliveries": DELIVERIES,
        "start_median_ms": millis(percentile(&starts, 50)),
        "start_worst_ms": millis(percentile(&starts, 100)),
        "start_on_processor_median_ms": millis(percentile(&busy, 50)),
        "warm_median_ms": millis(percentile(warm, 50)),
        "warm_p99_ms": millis(percentile(warm, 99)),
        "peak_bytes": peak.max(process.peak()?),
        "program_bytes": program.bytes()?,
    }))
}

async fn cloud() -> Result<Cloud> {
    let parameters = |endpoint: &str| {
        let document = json!({
            "version": 1, "region": "us-east-1", "table": "bench", "bucket": "bench",
            "queue_prefix": "bench", "endpoint": endpoint,
            "state_repository": {"url": "https://example.org/state.git"},
            "secrets": {"webhook_secret": WEBHOOK_SECRET},
        });
        vec![
            (DOCUMENT, document.to_string()),
            (WEBHOOK_SECRET, SECRET.to_owned()),
        ]
    };
    Cloud::new(parameters).await
}

fn is_taken(body: &Value) -> Result<()> {
    ensure!(body["statusCode"] == 202, "the function says {body}");
    Ok(())
}

/// As API Gateway gives it to a function, in version 2.0 of its form.
fn delivery() -> Value {
    json!({
        "version": "2.0", "routeKey": "POST /webhook/github", "rawPath": "/webhook/github",
        "rawQueryString": "",
        "headers": {
            "content-type": "application/json", "x-github-event": "push", "x-github-delivery": "bench",
            "x-hub-signature-256": SIGNATURE,
        },
        "requestContext": {
            "accountId": "000000000000", "apiId": "bench", "domainName": "bench.example.org",
            "domainPrefix": "bench", "requestId": "bench", "routeKey": "POST /webhook/github",
            "stage": "$default", "time": "12/Mar/2026:19:03:58 +0000", "timeEpoch": 1_773_342_238_000_i64,
            "http": {
                "method": "POST", "path": "/webhook/github", "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1", "userAgent": "GitHub-Hookshot/bench",
            },
        },
        "body": BODY, "isBase64Encoded": false,
    })
}
