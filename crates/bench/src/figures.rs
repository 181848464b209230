//! Numbers out of many, and what the kernel says of a process.

use std::time::Duration;

use anyhow::{Context, Result};

/// Ticks a second in `/proc/PID/stat`: 100 on every architecture that Millrace runs on.
const TICKS: u64 = 100;

/// The value that `percent` of the values do not exceed (nearest rank).
pub(crate) fn percentile(values: &[Duration], percent: usize) -> Duration {
    let mut values = values.to_vec();
    values.sort_unstable();
    let rank = (values.len() * percent).div_ceil(100).max(1);
    values[rank - 1]
}

/// Milliseconds with two digits.
pub(crate) fn millis(time: Duration) -> f64 {
    round(time.as_secs_f64() * 1000.0)
}

/// Two digits are all that such a measurement has.
pub(crate) fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// Bytes of a line of `/proc/PID/status`: `VmHWM` (most ever) or `VmRSS` (now). `pid` may be `self`.
pub(crate) fn memory(pid: &str, name: &str) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let kibibytes: u64 = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .and_then(|rest| rest.split_whitespace().next())
        .with_context(|| format!("find {name} in {path}"))?
        .parse()
        .with_context(|| format!("read {name} in {path}"))?;
    Ok(kibibytes * 1024)
}

/// Processor time of a process so far, its own and the kernel's for it.
pub(crate) fn processor_time(pid: &str) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    // The name in brackets may have spaces; the fields after it are 3 and on, see proc_pid_stat(5).
    let (_, rest) = text
        .rsplit_once(')')
        .with_context(|| format!("read {path}"))?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let tick = |field: usize| -> Result<u64> {
        let text = fields.get(field - 3).copied().unwrap_or_default();
        text.parse().with_context(|| format!("read {path}"))
    };
    Ok(Duration::from_millis(
        (tick(14)? + tick(15)?) * 1000 / TICKS,
    ))
}

/// Time on a processor of all threads that a process has now: finer than [`processor_time`], without threads that ended.
pub(crate) fn on_processor(pid: &str) -> Result<Duration> {
    let path = format!("/proc/{pid}/task");
    let mut sum = 0;
    for task in std::fs::read_dir(&path).with_context(|| format!("read {path}"))? {
        let path = task?.path().join("schedstat");
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let nanos = text.split_whitespace().next().unwrap_or_default();
        sum += nanos
            .parse::<u64>()
            .with_context(|| format!("read {}", path.display()))?;
    }
    Ok(Duration::from_nanos(sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(percent: usize, expect: u64) {
        let values: Vec<Duration> = (1..=50).rev().map(Duration::from_millis).collect();
        assert_eq!(
            percentile(&values, percent),
            Duration::from_millis(expect),
            "{percent}"
        );
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        check(50, 25);
        check(95, 48);
        check(100, 50);
        check(1, 1);
    }

    #[test]
    fn the_kernel_is_understood() {
        assert!(memory("self", "VmRSS").expect("a figure") > 0);
        assert!(processor_time("self").is_ok());
        assert!(on_processor("self").expect("a figure") > Duration::ZERO);
    }
}
