//! Adds up what a tree of processes uses, for hosts without control groups.

use std::collections::{HashMap, HashSet};
use std::path::Path;

/// What a tree of processes uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) bytes: u64,
    /// Threads count, as they do for the kernel.
    pub(crate) processes: u64,
}

/// The usage of all descendants of `top`. Daemons count: they become children of their namespace's first process, which is
/// one. Pages that processes share are divided among them, as soon as the quick sum is above `enough`.
pub(crate) fn usage(top: u32, enough: u64) -> Usage {
    let tree = descendants(top);
    let quick: u64 = tree.iter().map(|&(pid, _)| private_bytes(pid)).sum();
    let bytes = if quick > enough {
        tree.iter().map(|&(pid, _)| proportional_bytes(pid)).sum()
    } else {
        quick
    };
    Usage {
        bytes,
        processes: tree.iter().map(|(_, threads)| threads).sum(),
    }
}

/// Process ids with their numbers of threads.
pub(crate) fn descendants(top: u32) -> Vec<(u32, u64)> {
    let mut children: HashMap<u32, Vec<(u32, u64)>> = HashMap::new();
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    for entry in entries.flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        if let Some((parent, threads)) = parent_and_threads(&entry.path()) {
            children.entry(parent).or_default().push((pid, threads));
        }
    }
    let (mut found, mut next) = (HashSet::new(), vec![top]);
    while let Some(pid) = next.pop() {
        for child in children.remove(&pid).unwrap_or_default() {
            if found.insert(child) {
                next.push(child.0);
            }
        }
    }
    found.into_iter().collect()
}

/// proc(5): fields 4 and 20 of stat; the second is in parentheses and may contain anything.
fn parent_and_threads(process: &Path) -> Option<(u32, u64)> {
    let stat = std::fs::read(process.join("stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(1);
    Some((fields.next()?.parse().ok()?, fields.nth(15)?.parse().ok()?))
}

/// Resident minus shared, from statm: cheap, and never less than what is really used by one process alone.
fn private_bytes(pid: u32) -> u64 {
    const PAGE_BYTES: u64 = 4096;
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let mut fields = statm
        .split(' ')
        .skip(1)
        .map(|field| field.parse::<u64>().unwrap_or_default());
    let (resident, shared) = (
        fields.next().unwrap_or_default(),
        fields.next().unwrap_or_default(),
    );
    resident.saturating_sub(shared).saturating_mul(PAGE_BYTES)
}

fn proportional_bytes(pid: u32) -> u64 {
    let Ok(rollup) = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else {
        return private_bytes(pid);
    };
    let kib = rollup.lines().find_map(|line| {
        line.strip_prefix("Pss:")?
            .trim()
            .strip_suffix(" kB")?
            .parse::<u64>()
            .ok()
    });
    kib.unwrap_or_default().saturating_mul(1024)
}
