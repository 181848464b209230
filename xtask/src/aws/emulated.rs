//! What the Terraform of 2021 cannot say, and people do by hand once: said to the emulator.

use std::io::Write as _;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::sh::cmd;

/// Where Lambda has them.
const FUNCTIONS: &str = "/2015-03-31/functions/";

/// Where the emulator is, for all services.
#[derive(Clone)]
pub(super) struct Emulated {
    pub(super) endpoint: String,
    pub(super) region: String,
}

impl Emulated {
    /// A secret, or a document of configuration.
    pub(super) fn put_parameter(&self, name: &str, value: &str, is_secret: bool) -> Result<()> {
        let kind = if is_secret { "SecureString" } else { "String" };
        let body = json!({"Name": name, "Value": value, "Type": kind, "Overwrite": true});
        self.ask("ssm", ("POST", "/"), Some("AmazonSSM.PutParameter"), &body)
            .with_context(|| format!("put the parameter {name}"))
            .map(drop)
    }

    /// Messages that fail come back alone: an attribute that the older provider does not know.
    pub(super) fn tell_batches_apart(&self) -> Result<usize> {
        let list = "/2015-03-31/event-source-mappings/";
        let found = self.ask("lambda", ("GET", list), None, &Value::Null)?;
        let found = found["EventSourceMappings"]
            .as_array()
            .context("no list of mappings")?;
        for mapping in found {
            let id = mapping["UUID"].as_str().context("a mapping has no id")?;
            let change = json!({"FunctionResponseTypes": ["ReportBatchItemFailures"]});
            self.ask("lambda", ("PUT", &format!("{list}{id}")), None, &change)?;
        }
        Ok(found.len())
    }

    /// Functions by their names without the prefix.
    pub(super) fn functions(&self, prefix: &str) -> Result<Vec<(String, Value)>> {
        let found = self.ask("lambda", ("GET", FUNCTIONS), None, &Value::Null)?;
        let found = found["Functions"].as_array().context("no functions")?;
        let named = found.iter().filter_map(|function| {
            let name = function["FunctionName"].as_str()?.strip_prefix(prefix)?;
            Some((name.strip_prefix('-')?.to_owned(), function.clone()))
        });
        Ok(named.collect())
    }

    /// More environment variables for a function, beside those that it has.
    pub(super) fn put_variables(
        &self,
        function: &Value,
        more: Vec<(String, String)>,
    ) -> Result<()> {
        let name = function["FunctionName"].as_str().context("no name")?;
        let mut all = function["Environment"]["Variables"].clone();
        for (key, value) in more {
            all[key] = json!(value);
        }
        let change = json!({"Environment": {"Variables": all}});
        let path = format!("{FUNCTIONS}{name}/configuration");
        self.ask("lambda", ("PUT", &path), None, &change)
            .with_context(|| format!("lead the function {name} to its door"))
            .map(drop)
    }

    /// Starts a function, and waits for its answer.
    pub(super) fn invoke(&self, function: &str, event: &Value) -> Result<Value> {
        let path = format!("{FUNCTIONS}{function}/invocations");
        self.ask("lambda", ("POST", &path), None, event)
            .with_context(|| format!("start the function {function}"))
    }

    fn ask(
        &self,
        service: &str,
        (method, path): (&str, &str),
        target: Option<&str>,
        body: &Value,
    ) -> Result<Value> {
        let mut curl = cmd("curl", &["--silent", "--show-error", "--request", method]);
        curl.args(["--write-out", "\n%{http_code}", "--data-binary", "@-"]);
        curl.args(["--header", "Content-Type: application/x-amz-json-1.1"]);
        // The emulator looks at the names in it, and not at the signature.
        let scope = format!("emulator/20260101/{}/{service}/aws4_request", self.region);
        let signed = format!(
            "Authorization: AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"
        );
        curl.args(["--header", &signed]);
        if let Some(target) = target {
            curl.args(["--header", &format!("X-Amz-Target: {target}")]);
        }
        curl.arg(format!("{}{path}", self.endpoint));
        curl.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = curl
            .spawn()
            .context("start curl: Debian's package is curl")?;
        let mut stdin = child.stdin.take().context("curl reads")?;
        let text = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        stdin.write_all(text.as_bytes()).context("write to curl")?;
        drop(stdin);
        let answer = child.wait_with_output().context("wait for curl")?;
        let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
        let (answer, status) = answer.rsplit_once('\n').context("no answer")?;
        ensure!(status.starts_with('2'), "it answered {status}: {answer}");
        if answer.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(answer).context("the answer is no JSON")
    }
}
