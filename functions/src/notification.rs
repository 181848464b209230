//! What S3 tells when something was put.

use anyhow::Context as _;
use aws_lambda_events::s3::S3Event;
use platform_aws::RESULTS;
use serde::Deserialize;

/// Sent once, when the bucket begins to tell.
#[derive(Deserialize)]
struct Trial {
    #[serde(rename = "Event")]
    event: String,
}

/// Places of the results that a message of S3 names, `runner_api::handed`.
///
/// # Errors
/// When it is no message of S3. It has to come back, and to end among the dead letters.
pub fn places(body: &str) -> anyhow::Result<Vec<String>> {
    let trial = serde_json::from_str::<Trial>(body);
    if trial.is_ok_and(|trial| trial.event == "s3:TestEvent") {
        return Ok(Vec::new());
    }
    let event: S3Event = serde_json::from_str(body).context("read what S3 tells")?;
    let mut places = Vec::new();
    for record in event.records {
        let key = record.s3.object.key.context("S3 tells of no key")?;
        let key = decoded(&key).with_context(|| format!("read the key {key:?}"))?;
        places.extend(key.strip_prefix(RESULTS).map(str::to_owned));
    }
    Ok(places)
}

/// As in a form: `+` is a space, and `%XX` a byte ("Event message structure" in the user guide of S3).
fn decoded(key: &str) -> anyhow::Result<String> {
    let mut bytes = Vec::with_capacity(key.len());
    let mut rest = key.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next(), rest.next()].map(Option::unwrap_or_default);
                let mut byte = [0];
                hex::decode_to_slice(digits, &mut byte).context("it is cut, or not encoded")?;
                byte[0]
            }
            byte => byte,
        });
    }
    Ok(String::from_utf8(bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(key: &str) -> String {
        format!(
            r#"{{"Records":[{{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"eu-central-1",
            "eventTime":"2026-11-29T10:00:00.000Z","eventName":"ObjectCreated:Put",
            "userIdentity":{{"principalId":"AWS:X"}},"requestParameters":{{"sourceIPAddress":"10.0.0.1"}},
            "responseElements":{{}},"s3":{{"s3SchemaVersion":"1.0","configurationId":"results",
            "bucket":{{"name":"b","ownerIdentity":{{"principalId":"A"}},"arn":"arn:aws:s3:::b"}},
            "object":{{"key":"{key}","size":7,"eTag":"e","sequencer":"0"}}}}}}]}}"#
        )
    }

    #[test]
    fn keys_are_read_as_s3_writes_them() {
        let check = |key: &str, expect: &[&str]| {
            assert_eq!(places(&told(key)).expect("read"), expect, "{key}");
        };
        check(
            "results/b1/builds/a.yaml/0-1.json",
            &["b1/builds/a.yaml/0-1.json"],
        );
        check("results/b1/a+b%2Bc%C3%A4.json", &["b1/a b+cä.json"]);
        check("blobs/sha256/00", &[]);
    }

    #[test]
    fn what_is_not_of_s3_is_refused_and_its_trial_is_not() {
        let trial = r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"b"}"#;
        assert_eq!(places(trial).expect("read").len(), 0);
        for body in ["", "{}", "look", &told("results/%2"), &told("results/%zz")] {
            assert!(places(body).is_err(), "{body}");
        }
    }
}
