//! What a request to AWS asks for, in the words of IAM.
//!
//! A call of an API is not always a right of the same name: the rows of a transaction are rights of their own, a copy
//! reads its source, and to hear that a file is not there takes the right to list.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::super::relay::Request;
use super::Places;

/// A right that was used: an action, on what, and what conditions may look at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Right {
    pub(super) action: String,
    /// As `denied.json` writes resources.
    pub(super) resource: String,
    pub(super) context: BTreeMap<String, String>,
}

fn right(action: impl Into<String>, resource: impl Into<String>) -> Right {
    Right {
        action: action.into(),
        resource: resource.into(),
        context: BTreeMap::new(),
    }
}

impl Right {
    fn when(mut self, key: &str, value: impl Into<String>) -> Self {
        self.context.insert(key.to_owned(), value.into());
        self
    }
}

/// All that the request needs. `status`: how it was answered.
pub(super) fn rights(request: &Request, status: u16, places: &Places) -> Result<Vec<Right>> {
    if let Some(target) = request.header("x-amz-target") {
        let body: Value = serde_json::from_slice(&request.body).context("read the body")?;
        let (service, call) = target.split_once('.').context("a target without a dot")?;
        return match service {
            "DynamoDB_20120810" => rows(call, &body, places),
            "AmazonSQS" => Ok(vec![queue(call, &body, places)?]),
            "AmazonSSM" => parameter(call, &body),
            "TrentService" => key(call, &body, places),
            _ => bail!("nobody knows the service {service}"),
        };
    }
    let form = request.header("content-type").unwrap_or_default();
    if request.method == "POST" && form.starts_with("application/x-www-form-urlencoded") {
        return role(&String::from_utf8_lossy(&request.body), places);
    }
    files(request, status, places)
}

fn text<'a>(body: &'a Value, name: &str) -> Result<&'a str> {
    body[name]
        .as_str()
        .with_context(|| format!("the body has no {name}"))
}

/// DynamoDB: each row that is named, with its partition.
fn rows(call: &str, body: &Value, places: &Places) -> Result<Vec<Right>> {
    let row = |action: &str, body: &Value, key: &Value| -> Result<Right> {
        let table = text(body, "TableName")?;
        let partition = text(key, "S").context("a partition that is no text")?;
        Ok(right(format!("dynamodb:{action}"), places.table(table))
            .when("dynamodb:LeadingKeys", pattern(partition, 1)))
    };
    let one = match call {
        "GetItem" | "DeleteItem" | "UpdateItem" => row(call, body, &body["Key"]["pk"]),
        "PutItem" => row(call, body, &body["Item"]["pk"]),
        "Query" => {
            let condition = text(body, "KeyConditionExpression")?;
            let name = condition
                .strip_prefix("pk = ")
                .context("an unknown query")?;
            let name = name.split(' ').next().unwrap_or_default();
            row(call, body, &body["ExpressionAttributeValues"][name])
        }
        "TransactWriteItems" => {
            let items = body["TransactItems"].as_array().context("no items")?;
            let mut all = Vec::new();
            for (kind, item) in items.iter().filter_map(Value::as_object).flatten() {
                all.push(match kind.as_str() {
                    "Put" => row("PutItem", item, &item["Item"]["pk"])?,
                    "Update" => row("UpdateItem", item, &item["Key"]["pk"])?,
                    "Delete" => row("DeleteItem", item, &item["Key"]["pk"])?,
                    "ConditionCheck" => row("ConditionCheckItem", item, &item["Key"]["pk"])?,
                    _ => bail!("a transaction of {kind}"),
                });
            }
            return Ok(all);
        }
        "BatchGetItem" => {
            let tables = body["RequestItems"].as_object().context("no tables")?;
            let mut all = Vec::new();
            for (table, items) in tables {
                let table = serde_json::json!({ "TableName": table });
                for key in items["Keys"].as_array().into_iter().flatten() {
                    all.push(row(call, &table, &key["pk"])?);
                }
            }
            return Ok(all);
        }
        _ => bail!("nobody knows the rows of {call}"),
    };
    Ok(vec![one?])
}

/// SQS. A batch is the right of its one message.
fn queue(call: &str, body: &Value, places: &Places) -> Result<Right> {
    let name = match body["QueueUrl"].as_str() {
        Some(url) => url.rsplit('/').next().unwrap_or_default(),
        None => text(body, "QueueName")?,
    };
    let action = call.strip_suffix("Batch").unwrap_or(call);
    Ok(right(format!("sqs:{action}"), places.queue(name)))
}

/// SSM.
fn parameter(call: &str, body: &Value) -> Result<Vec<Right>> {
    let of = |name: &str| right(format!("ssm:{call}"), format!("{{parameter:{name}}}"));
    match call {
        "GetParameter" | "PutParameter" => Ok(vec![of(text(body, "Name")?)]),
        "GetParameters" => {
            let names = body["Names"].as_array().context("no names")?;
            Ok(names.iter().filter_map(Value::as_str).map(of).collect())
        }
        _ => bail!("nobody knows the parameters of {call}"),
    }
}

/// KMS.
fn key(call: &str, body: &Value, places: &Places) -> Result<Vec<Right>> {
    let asked = right(format!("kms:{call}"), places.key(text(body, "KeyId")?));
    Ok(vec![match body["SigningAlgorithm"].as_str() {
        Some(algorithm) => asked.when("kms:SigningAlgorithm", algorithm),
        None => asked,
    }])
}

/// STS, which asks as a form.
fn role(form: &str, places: &Places) -> Result<Vec<Right>> {
    let field = |name: &str| {
        let mut fields = form.split('&').filter_map(|field| field.split_once('='));
        fields.find(|(known, _)| *known == name)
    };
    let (_, call) = field("Action").context("a form without an action")?;
    if call != "AssumeRole" {
        bail!("nobody knows the role of {call}");
    }
    let (_, role) = field("RoleArn").context("no role")?;
    let role = places.role(&decoded(role));
    // Both rights are asked with the tags of the session, and only the first with its name.
    let mut tags = BTreeMap::new();
    for number in 1.. {
        let part = |name: &str| field(&format!("Tags.member.{number}.{name}"));
        let (Some((_, key)), Some((_, value))) = (part("Key"), part("Value")) else {
            break;
        };
        tags.insert(format!("aws:RequestTag/{}", decoded(key)), decoded(value));
    }
    let tagged = |action: &str| Right {
        context: tags.clone(),
        ..right(action, &role)
    };
    let mut all = vec![match field("RoleSessionName") {
        Some((_, name)) => tagged("sts:AssumeRole").when("sts:RoleSessionName", decoded(name)),
        None => tagged("sts:AssumeRole"),
    }];
    if !tags.is_empty() {
        all.push(tagged("sts:TagSession"));
    }
    Ok(all)
}

/// S3, by method, path and query. The bucket is the first part of the path.
fn files(request: &Request, status: u16, places: &Places) -> Result<Vec<Right>> {
    let (path, query) = request
        .target
        .split_once('?')
        .unwrap_or((&request.target, ""));
    let path = decoded(path.trim_start_matches('/'));
    let (name, key) = path.split_once('/').unwrap_or((&path, ""));
    let bucket = places.bucket(name);
    let object = file(&bucket, key);
    let has = |name: &str| {
        query
            .split('&')
            .any(|field| field.split('=').next() == Some(name))
    };
    let version = if has("versionId") { "Version" } else { "" };
    let mut all = match (request.method.as_str(), key.is_empty()) {
        ("GET" | "HEAD", true) => vec![list(&bucket, query, has("versions"))],
        ("GET", false) if has("uploadId") => vec![right("s3:ListMultipartUploadParts", object)],
        ("GET" | "HEAD", false) => vec![right(format!("s3:GetObject{version}"), object)],
        ("PUT", false) => vec![put(request, object)],
        ("POST", false) if has("uploads") || has("uploadId") => vec![put(request, object)],
        ("POST", true) if has("delete") => removed(&bucket, &request.body),
        ("DELETE", false) if has("uploadId") => vec![right("s3:AbortMultipartUpload", object)],
        ("DELETE", false) => vec![right(format!("s3:DeleteObject{version}"), object)],
        (method, _) => bail!("nobody knows {method} {}", request.target),
    };
    if let Some(source) = request.header("x-amz-copy-source") {
        let source = decoded(source.trim_start_matches('/'));
        let (from, key) = source.split_once('/').context("a copy of a bucket")?;
        let (key, version) = match key.split_once("?versionId=") {
            Some((key, _)) => (key, "Version"),
            None => (key, ""),
        };
        let from = file(&places.bucket(from), key);
        all.push(right(format!("s3:GetObject{version}"), from));
    }
    // A write on condition of what is there reads it.
    if request.method == "PUT" && request.header("if-match").is_some() {
        all.push(right("s3:GetObject", file(&bucket, key)));
    }
    // Else S3 would say that it is forbidden.
    if status == 404 && !key.is_empty() {
        all.push(right("s3:ListBucket", &bucket));
    }
    Ok(all)
}

/// A write, with the headers that the bucket's policy looks at.
fn put(request: &Request, object: String) -> Right {
    let mut right = right("s3:PutObject", object);
    for name in ["if-none-match", "x-amz-storage-class"] {
        if let Some(value) = request.header(name) {
            right = right.when(&format!("s3:{name}"), value);
        }
    }
    right
}

/// The last part of a key differs too, as a digest or a repository's name.
fn file(bucket: &str, key: &str) -> String {
    let folders = key.matches('/').count().clamp(1, 2);
    format!("{bucket}/{}", pattern(key, folders))
}

fn list(bucket: &str, query: &str, versions: bool) -> Right {
    let action = if versions {
        "s3:ListBucketVersions"
    } else {
        "s3:ListBucket"
    };
    let prefix = query
        .split('&')
        .find_map(|field| field.strip_prefix("prefix="));
    match prefix {
        Some(prefix) => right(action, bucket).when("s3:prefix", pattern(&decoded(prefix), 2)),
        None => right(action, bucket),
    }
}

/// What one request removes, of up to a thousand.
fn removed(bucket: &str, body: &[u8]) -> Vec<Right> {
    let body = String::from_utf8_lossy(body);
    let objects = body.split("<Object>").skip(1).filter_map(|object| {
        let key = object.split("<Key>").nth(1)?.split("</Key>").next()?;
        let version = if object.contains("<VersionId>") {
            "Version"
        } else {
            ""
        };
        Some(right(
            format!("s3:DeleteObject{version}"),
            file(bucket, key),
        ))
    });
    objects.collect()
}

/// The first `parts` of a path are names, and what follows differs in each run.
fn pattern(path: &str, parts: usize) -> String {
    let lead = if path.starts_with('/') { 1 } else { 0 };
    let mut slashes = path.match_indices('/').map(|(at, _)| at);
    match slashes.nth(parts + lead - 1) {
        Some(at) if at + 1 < path.len() => format!("{}*", &path[..=at]),
        _ => path.to_owned(),
    }
}

/// `%41` is `A`, and `+` stays.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let hex = hex.and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Places {
        Places {
            prefix: "millrace".to_owned(),
            table: "millrace-ledger".to_owned(),
            bucket: "millrace-artifacts".to_owned(),
            keys: BTreeMap::from([(
                "arn:aws:kms:eu-central-1:1:key/k".to_owned(),
                "old".to_owned(),
            )]),
        }
    }

    fn words(request: &Request, status: u16) -> Vec<String> {
        let rights = rights(request, status, &places()).unwrap();
        let word = |right: Right| {
            let context: Vec<String> = right.context.into_values().collect();
            format!("{} {} {}", right.action, right.resource, context.join(" "))
        };
        rights
            .into_iter()
            .map(word)
            .map(|word| word.trim().to_owned())
            .collect()
    }

    #[track_caller]
    fn json(target: &str, body: &str, expect: &[&str]) {
        let request = Request {
            method: "POST".to_owned(),
            target: "/".to_owned(),
            headers: vec![("x-amz-target".to_owned(), target.to_owned())],
            body: body.as_bytes().to_owned(),
        };
        assert_eq!(words(&request, 200), expect);
    }

    #[test]
    fn rows_are_named_with_their_partitions() {
        let check = |call: &str, body: &str, expect: &[&str]| {
            let body = body.replace("TABLE", r#""TableName": "millrace-ledger""#);
            json(&format!("DynamoDB_20120810.{call}"), &body, expect);
        };
        check(
            "GetItem",
            r#"{TABLE, "Key": {"pk": {"S": "/request/builds/a.yaml"}, "sk": {"S": "/request"}}}"#,
            &["dynamodb:GetItem {table} /request/*"],
        );
        check(
            "Query",
            r#"{TABLE, "KeyConditionExpression": "pk = :pk AND begins_with(sk, :prefix)",
                "ExpressionAttributeValues": {":pk": {"S": "/outbox"}, ":prefix": {"S": "/"}}}"#,
            &["dynamodb:Query {table} /outbox"],
        );
        check(
            "TransactWriteItems",
            r#"{"TransactItems": [
                {"Update": {TABLE, "Key": {"pk": {"S": "/leases"}}}},
                {"Delete": {TABLE, "Key": {"pk": {"S": "/outbox"}}}},
                {"ConditionCheck": {TABLE, "Key": {"pk": {"S": "/head"}}}}]}"#,
            &[
                "dynamodb:UpdateItem {table} /leases",
                "dynamodb:DeleteItem {table} /outbox",
                "dynamodb:ConditionCheckItem {table} /head",
            ],
        );
    }

    #[test]
    fn queues_parameters_and_keys_have_short_names() {
        json(
            "AmazonSQS.SendMessageBatch",
            r#"{"QueueUrl": "http://127.0.0.1:1/000000000000/millrace-report-normal"}"#,
            &["sqs:SendMessage {queue:report-normal}"],
        );
        json(
            "AmazonSQS.GetQueueUrl",
            r#"{"QueueName": "millrace-wake-normal"}"#,
            &["sqs:GetQueueUrl {queue:wake-normal}"],
        );
        json(
            "AmazonSSM.GetParameter",
            r#"{"Name": "/millrace/configuration"}"#,
            &["ssm:GetParameter {parameter:/millrace/configuration}"],
        );
        let sign = r#"{"KeyId": "KEY", "SigningAlgorithm": "RSASSA_PKCS1_V1_5_SHA_256"}"#;
        for id in [
            "arn:aws:kms:eu-central-1:1:key/k",
            "k",
            "alias/millrace-old",
        ] {
            let right = "kms:Sign {key:old} RSASSA_PKCS1_V1_5_SHA_256";
            json("TrentService.Sign", &sign.replace("KEY", id), &[right]);
        }
    }

    #[test]
    fn files_are_named_by_method_path_and_query() {
        let check = |line: &str, header: (&str, &str), status: u16, expect: &[&str]| {
            let (method, target) = line.split_once(' ').unwrap();
            let request = Request {
                method: method.to_owned(),
                target: target.to_owned(),
                headers: vec![(header.0.to_owned(), header.1.to_owned())],
                body: Vec::new(),
            };
            assert_eq!(words(&request, status), expect, "{line}");
        };
        let none = ("host", "x");
        let blob = "/millrace-artifacts/blobs/sha256/ab/abcd";
        let get = "s3:GetObject {bucket}/blobs/sha256/*";
        let put = "s3:PutObject {bucket}/blobs/sha256/*";
        check(&format!("GET {blob}?x-id=GetObject"), none, 200, &[get]);
        check(
            &format!("HEAD {blob}"),
            none,
            404,
            &[get, "s3:ListBucket {bucket}"],
        );
        check(
            &format!("PUT {blob}?partNumber=1&uploadId=u"),
            none,
            200,
            &[put],
        );
        check(&format!("POST {blob}?uploads"), none, 200, &[put]);
        let abort = "s3:AbortMultipartUpload {bucket}/blobs/sha256/*";
        check(&format!("DELETE {blob}?uploadId=u"), none, 204, &[abort]);
        let version = "s3:DeleteObjectVersion {bucket}/blobs/sha256/*";
        check(&format!("DELETE {blob}?versionId=v"), none, 204, &[version]);
        check(
            &format!("PUT {blob}"),
            (
                "x-amz-copy-source",
                "millrace-artifacts/staging/power%2D1/x",
            ),
            200,
            &[put, "s3:GetObject {bucket}/staging/power-1/*"],
        );
        let pointer = "/millrace-artifacts/pointers/debian-12";
        let result = "/millrace-artifacts/results/power-1/r";
        check(
            &format!("PUT {result}"),
            ("if-none-match", "*"),
            200,
            &["s3:PutObject {bucket}/results/power-1/* *"],
        );
        check(
            &format!("PUT {result}"),
            ("x-amz-storage-class", "GLACIER"),
            200,
            &["s3:PutObject {bucket}/results/power-1/* GLACIER"],
        );
        let (put, get) = (
            "s3:PutObject {bucket}/pointers/*",
            "s3:GetObject {bucket}/pointers/*",
        );
        check(
            &format!("PUT {pointer}"),
            ("if-match", "e"),
            200,
            &[put, get],
        );
        check(
            "GET /millrace-artifacts?list-type=2&prefix=blobs%2Fsha256%2Fab",
            none,
            200,
            &["s3:ListBucket {bucket} blobs/sha256/*"],
        );
        check(
            "GET /millrace-artifacts?versions&prefix=pointers%2F",
            none,
            200,
            &["s3:ListBucketVersions {bucket} pointers/"],
        );
    }

    #[test]
    fn a_role_is_asked_for_by_a_form() {
        let request = Request {
            method: "POST".to_owned(),
            target: "/".to_owned(),
            headers: vec![(
                "content-type".to_owned(),
                "application/x-www-form-urlencoded".to_owned(),
            )],
            body: b"Action=AssumeRole&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fmillrace-runner&RoleSessionName=power-1\
                &Tags.member.1.Key=runner&Tags.member.1.Value=power-1&Tags.member.2.Key=roles&Tags.member.2.Value=%3Atest%3A"
                .to_vec(),
        };
        // The values, by the order of their names.
        let expect = [
            "sts:AssumeRole {role:runner} :test: power-1 power-1",
            "sts:TagSession {role:runner} :test: power-1",
        ];
        assert_eq!(words(&request, 200), expect);
    }

    #[test]
    fn what_nobody_knows_is_refused() {
        let request = Request {
            method: "PATCH".to_owned(),
            target: "/millrace-artifacts/x".to_owned(),
            ..Request::default()
        };
        assert!(rights(&request, 200, &places()).is_err());
    }
}
