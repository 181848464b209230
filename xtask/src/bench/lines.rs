//! The lines of the main job, out of what the measuring programs print.

use anyhow::{Context, Result};
use serde_json::Value;

use super::line::Line;

const MIB: f64 = 1024.0 * 1024.0;

/// The figure at a JSON pointer.
fn at(value: &Value, pointer: &str) -> Result<f64> {
    value
        .pointer(pointer)
        .and_then(Value::as_f64)
        .with_context(|| format!("find {pointer} in {value}"))
}

fn only(values: &[Value]) -> Result<&Value> {
    values.first().context("it printed nothing")
}

pub(super) fn plan(values: &[Value]) -> Result<Vec<Line>> {
    let value = only(values)?;
    let times = (
        at(value, "/large/median_ms")?,
        at(value, "/small/median_ms")?,
        "ms",
    );
    let peak = at(value, "/large/peak_bytes")? / 1e6;
    Ok(vec![
        Line::beside("plan 10 of 100,000 requests", times, "10 of 1,000", 2.0),
        Line::below("peak memory of it", peak, "MB", 300.0),
    ])
}

pub(super) fn status(values: &[Value]) -> Result<Vec<Line>> {
    let value = only(values)?;
    let git = at(value, "/fast_import_ms")?;
    let line = |what, name| -> Result<Line> {
        Ok(Line::beside(
            what,
            (at(value, name)?, git, "ms"),
            "git fast-import",
            3.0,
        ))
    };
    Ok(vec![
        line("500 status files, committed here", "/commit_here_ms")?,
        line(
            "500 status files, committed and pushed by HTTP",
            "/commit_and_push_http_ms",
        )?,
    ])
}

pub(super) fn recover(values: &[Value]) -> Result<Vec<Line>> {
    let value = only(values)?;
    let (seconds, peak) = (at(value, "/ms")? / 1e3, at(value, "/peak_bytes")? / 1e6);
    Ok(vec![
        Line::below(
            "a ledger of 20,000 status commits rebuilt",
            seconds,
            "s",
            10.0,
        ),
        Line::below("peak memory of it", peak, "MB", 300.0),
    ])
}

pub(super) fn rpm(values: &[Value]) -> Result<Vec<Line>> {
    let seconds = |what: &str| -> Result<f64> {
        let found = values.iter().find(|value| value["what"] == what);
        at(
            found.with_context(|| format!("no line {what:?}"))?,
            "/seconds",
        )
    };
    let one = seconds("ours, one package more")?;
    let update = seconds("createrepo_c --update --skip-stat --no-database")?;
    let (ours, theirs) = (
        seconds("ours, from scratch")?,
        seconds("createrepo_c, from scratch")?,
    );
    let mut lines = vec![
        Line::below(
            "one RPM more in 10,000, same bytes as from scratch",
            one,
            "s",
            0.1,
        ),
        Line::beside("the same", (one, update, "s"), "createrepo_c --update", 1.0),
        Line::beside(
            "10,000 RPMs from scratch",
            (ours, theirs, "s"),
            "createrepo_c",
            1.0,
        ),
    ];
    for kind in ["Ed25519", "Rsa4096"] {
        let ours = seconds(&format!("ours, sign one package in place ({kind})"))? * 1e3;
        let theirs = seconds(&format!("rpmsign, sign one package ({kind})"))? * 1e3;
        let what = format!("one RPM signed in place, {kind}");
        lines.push(Line::beside(what, (ours, theirs, "ms"), "rpmsign", 1.0));
    }
    Ok(lines)
}

pub(super) fn deb(values: &[Value]) -> Result<Vec<Line>> {
    let value = only(values)?;
    let one = at(value, "/one_more/millrace")?;
    let what = "one .deb more in 10,000, same bytes as from scratch";
    Ok(vec![
        Line::below(what, one, "s", 0.05),
        Line::beside(
            "the same",
            (one, at(value, "/one_more/reprepro")?, "s"),
            "reprepro",
            1.0,
        ),
    ])
}

pub(super) fn build(values: &[Value]) -> Result<Vec<Line>> {
    let value = only(values)?;
    let mut lines = Vec::new();
    for (kind, bare) in [("deb", "dpkg-buildpackage"), ("rpm", "rpmbuild")] {
        let ready = at(value, &format!("/{kind}/root_ready_ms"))? / 1e3;
        let overhead = at(value, &format!("/{kind}/overhead_ms"))? / 1e3;
        lines.push(Line::below(
            format!("a warm root is ready for {bare}"),
            ready,
            "s",
            0.5,
        ));
        lines.push(Line::below(
            format!("whole overhead over bare {bare}"),
            overhead,
            "s",
            2.0,
        ));
    }
    let start = at(value, "/push_to_process_p95_ms")?;
    let what = "git push accepted to the first process of the package, p95";
    lines.push(Line::below(what, start, "ms", 150.0));
    Ok(lines)
}

pub(super) fn start(values: &[Value]) -> Result<Vec<Line>> {
    let lease = at(only(values)?, "/after_push_p95_ms")?;
    let what = "git push accepted to the runner's lease, p95";
    Ok(vec![Line::below(what, lease, "ms", 150.0)])
}

pub(super) fn tasks(values: &[Value]) -> Result<Vec<Line>> {
    let value = only(values)?;
    let mut lines = Vec::new();
    let shapes = value["shapes"].as_array().context("find shapes")?;
    for shape in shapes {
        let rate = at(shape, "/finished_per_second")?;
        let what = format!(
            "1,000 no-op tasks of {} request(s), each step durable",
            shape["requests"]
        );
        lines.push(Line::least(what, rate, "/s", 120.0));
    }
    let fresh = at(value, "/idle_bytes_fresh")? / MIB;
    lines.push(Line::below(
        "memory of the idle control plane, fresh",
        fresh,
        "MiB",
        40.0,
    ));
    for shape in shapes {
        let after = at(shape, "/idle_bytes_after")? / MIB;
        let what = format!(
            "memory when idle after the tasks of {} request(s)",
            shape["requests"]
        );
        lines.push(Line::below(what, after, "MiB", 40.0));
    }
    // Half a percent of one processor: what a clock's tick can see.
    let busy = at(value, "/idle_cpu_ms_in_10_s")? / 100.0;
    lines.push(Line::below(
        "processor of the idle control plane",
        busy,
        "%",
        0.5,
    ));
    Ok(lines)
}

pub(super) fn forge(values: &[Value]) -> Result<Vec<Line>> {
    let value = only(values)?;
    // Beside each figure that of who does nothing else: no time of ours can be below it.
    let bare = at(value, "/webhook/bare_p99_ms")?;
    let webhook = format!("a webhook answered at 200 a second, p99 (bare axum: {bare:.2})");
    let git = at(value, "/plan/git_median_ms")? / 1e3;
    let plan = format!("git push to the check, of 20,000 files, worst (git fetch, diff: {git:.2})");
    let peak = at(value, "/peak_bytes")? / 1e6;
    Ok(vec![
        Line::below(webhook, at(value, "/webhook/p99_ms")?, "ms", 50.0),
        Line::below(plan, at(value, "/plan/worst_ms")? / 1e3, "s", 3.0),
        Line::below("peak memory of it", peak, "MB", 300.0),
    ])
}

pub(super) fn aws(values: &[Value]) -> Result<Vec<Line>> {
    let value = only(values)?;
    // Beside each figure that of a function which does nothing: no program of ours can be below it.
    let figure = |what: &str, pointer: &str, (scale, unit, limit): (f64, &'static str, f64)| {
        let ours = at(value, &format!("/webhook{pointer}"))? / scale;
        let bare = at(value, &format!("/bare{pointer}"))? / scale;
        let what = format!("webhook: {what} (does nothing: {bare:.2})");
        Ok::<_, anyhow::Error>(Line::below(what, ours, unit, limit))
    };
    let start = at(value, "/webhook/start_worst_ms")?;
    let start = format!("start to first answer, worst {start:.0} ms");
    let plan = |name| at(value, &format!("/plan/{name}")).map(|ms| ms / 1e3);
    let what = format!(
        "a cold plan of 10 of 20,000 files (fetch {:.2}, blobless git clone {:.2})",
        plan("fetch_median_ms")?,
        plan("git_clone_blobless_median_ms")?
    );
    let mut lines = vec![
        figure(&start, "/start_median_ms", (1.0, "ms", 60.0))?,
        figure("warm, p99", "/warm_p99_ms", (1.0, "ms", 20.0))?,
        figure("peak memory", "/peak_bytes", (1e6, "MB", 64.0))?,
        figure("program", "/program_bytes", (1e6, "MB", 12.0))?,
        Line::below(what, plan("median_ms")?, "s", 1.0),
    ];
    for job in value["requests_per_task"]
        .as_array()
        .context("find requests_per_task")?
    {
        let what = format!(
            "requests a task: {}",
            job["what"].as_str().unwrap_or_default()
        );
        lines.push(Line::below(what, at(job, "/requests")?, "", 12.0));
    }
    Ok(lines)
}
