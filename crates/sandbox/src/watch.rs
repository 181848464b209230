//! Adds up what a tree of processes uses, for hosts without control groups.

use std::collections::{HashMap, HashSet};
use std::path::Path;

/// What a tree of processes uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) bytes: u64,
    pub(crate) processes: u64,
}

/// The usage of all descendants of `top`. Daemons count: they become children of their namespace's first process, which is
/// one. Pages that processes share are divided among them, as soon as the quick sum is above `enough`.
pub(crate) fn usage(top: u32, enough: u64) -> Usage {
    let tree = descendants(top);
    let quick: u64 = tree.iter().map(|&pid| private_pages(pid)).sum();
    let bytes = if quick > enough { tree.iter().map(|&pid| proportional(pid)).sum() } else { quick };
    Usage { bytes, processes: tree.len() as u64 }
}

fn descendants(top: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    for entry in entries.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Some(parent) = parent(&entry.path()) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let (mut found, mut next) = (HashSet::new(), vec![top]);
    while let Some(pid) = next.pop() {
        for child in children.remove(&pid).unwrap_or_default() {
            if found.insert(child) {
                next.push(child);
            }
        }
    }
    found.into_iter().collect()
}

/// proc(5): the fourth field of stat; the second is in parentheses and may contain anything.
fn parent(process: &Path) -> Option<u32> {
    let stat = std::fs::read(process.join("stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Resident minus shared, from statm: cheap, and never less than what is really used by one process alone.
fn private_pages(pid: u32) -> u64 {
    const PAGE_BYTES: u64 = 4096;
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let mut fields = statm.split(' ').skip(1).map(|field| field.parse::<u64>().unwrap_or_default());
    let (resident, shared) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
    resident.saturating_sub(shared).saturating_mul(PAGE_BYTES)
}

fn proportional(pid: u32) -> u64 {
    let Ok(rollup) = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else { return private_pages(pid) };
    let kib = rollup.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or_default().saturating_mul(1024)
}
