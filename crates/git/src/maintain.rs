//! Keeps the number of packs small: every commit and every fetch adds one, and each lookup may visit all.
//!
//! Packs fall into tiers by size; a tier that has too many is merged into one pack, which usually lands in the next.
//! So there are at most [`TIER_PACKS`] per tier, and a byte is rewritten once per tier at most.

use std::collections::BTreeSet;
use std::io::{BufReader, BufWriter, Seek as _};
use std::path::{Path, PathBuf};

use gix::objs::FindExt as _;

use crate::local::Turn;
use crate::{Error, Result, durable, pack};

/// Most packs of one tier.
const TIER_PACKS: usize = 16;
/// Upper ends of the tiers, in bytes. Larger packs are left alone: there are few, and rewriting costs much.
const TIERS: [u64; 4] = [64 << 10, 1 << 20, 16 << 20, 256 << 20];
/// Files beside a pack that say that git has plans for it.
const PLANS: [&str; 4] = ["keep", "bitmap", "promisor", "mtimes"];

/// Merges the packs of every tier that has too many.
pub(crate) fn merge_packs(repo: &gix::Repository) -> Result<()> {
    let directory = repo.objects.store_ref().path().join("pack");
    if crowded_tier(&directory)?.is_none() {
        return Ok(());
    }
    let _turn = Turn::wait(repo)?;
    while let Some(packs) = crowded_tier(&directory)? {
        merge(repo, &directory, &packs)?;
    }
    Ok(())
}

fn crowded_tier(directory: &Path) -> Result<Option<Vec<PathBuf>>> {
    // A multi-pack index names packs, and git would miss those it names.
    if directory.join("multi-pack-index").exists() {
        return Ok(None);
    }
    let mut tiers: [Vec<PathBuf>; TIERS.len()] = Default::default();
    let entries = std::fs::read_dir(directory).map_err(Error::io("read", directory))?;
    for entry in entries {
        let path = entry.map_err(Error::io("read", directory))?.path();
        let whole =
            path.extension().is_some_and(|e| e == "pack") && path.with_extension("idx").exists();
        let planned = PLANS.iter().any(|plan| path.with_extension(plan).exists());
        if !whole || planned {
            continue;
        }
        let size = std::fs::metadata(&path)
            .map_err(Error::io("read", &path))?
            .len();
        if let Some(tier) = TIERS.iter().position(|end| size < *end) {
            tiers[tier].push(path);
        }
    }
    Ok(tiers.into_iter().find(|packs| packs.len() > TIER_PACKS))
}

fn merge(repo: &gix::Repository, directory: &Path, packs: &[PathBuf]) -> Result<()> {
    let mut ids = BTreeSet::new();
    for path in packs {
        let index = path.with_extension("idx");
        let file = gix::odb::pack::index::File::at(&index, repo.object_hash())
            .map_err(Error::corrupt(format!("read {}", index.display())))?;
        ids.extend(file.iter().map(|entry| entry.oid));
    }
    let file =
        tempfile::tempfile_in(directory).map_err(Error::io("create a file in", directory))?;
    let mut writer = pack::Writer::start(BufWriter::new(file), ids.len())?;
    let mut buffer = Vec::new();
    for id in &ids {
        let object = repo
            .objects
            .find(id, &mut buffer)
            .map_err(Error::corrupt(format!("read object {id}")))?;
        writer.add(object.kind, object.data)?;
    }
    let mut file = writer
        .finish()?
        .into_inner()
        .map_err(|error| Error::io("write a file in", directory)(error.into_error()))?;
    file.rewind()
        .map_err(Error::io("read a file in", directory))?;
    let merged = durable::store_pack(repo, &mut BufReader::new(file), None)?;
    for path in packs.iter().filter(|path| Some(*path) != merged.as_ref()) {
        // The index goes first: without it, nobody opens the pack any more.
        for extension in ["idx", "rev", "pack"] {
            let part = path.with_extension(extension);
            match std::fs::remove_file(&part) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", part)(error));
                }
                _ => {}
            }
        }
    }
    Ok(())
}
