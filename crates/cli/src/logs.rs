//! `millrace logs`.

use std::io::Write;
use std::time::Duration;

use anyhow::Context;

use crate::Verdict;
use crate::args::LogsArgs;
use crate::client::Client;
use crate::show::refuse;

/// How often a growing log is looked at.
const POLL: Duration = Duration::from_millis(500);

pub(crate) async fn run(args: LogsArgs) -> anyhow::Result<Verdict> {
    let client = Client::new(&args.place)?;
    let mut offset = 0;
    let mut attempt = args.attempt;
    loop {
        let wanted = attempt.map(|n| format!("&attempt={n}")).unwrap_or_default();
        let path = format!("/api/v1/log/{}?offset={offset}{wanted}", args.task);
        let response = client.get_raw(&path).await?;
        if !response.status().is_success() {
            return refuse(&response.text().await.unwrap_or_default());
        }
        let header = |name: &str| {
            response
                .headers()
                .get(name)
                .and_then(|v| v.to_str().ok())
                .unwrap_or_default()
                .to_owned()
        };
        let (state, current) = (
            header("millrace-state"),
            header("millrace-attempt").parse().ok(),
        );
        let bytes = response.bytes().await.context("read the log")?;
        let mut out = std::io::stdout().lock();
        out.write_all(&bytes)?;
        out.flush()?;
        drop(out);
        offset += bytes.len();
        // A running task keeps its attempt; a new attempt starts a new log.
        attempt = attempt.or(current.filter(|n| *n > 0));
        let open = matches!(state.as_str(), "leased" | "ready" | "blocked");
        if bytes.is_empty() && (!args.follow || !open) {
            return Ok(Verdict::Well);
        }
        if bytes.is_empty() {
            tokio::time::sleep(POLL).await;
        }
    }
}
