//! Packs on disk, for good: whole, indexed and synced before anything refers to them.

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use gix::odb::pack;

use crate::{Error, Result};

/// Stores the pack that `reader` gives; returns where, which is nowhere for a pack without objects. When this returns, a power cut does not
/// undo it: pack, index and directory are synced, in this order.
///
/// `max_object_bytes` bounds what one object may unfold to, since a pack is compressed.
pub(crate) fn store_pack(
    repo: &gix::Repository,
    reader: &mut dyn BufRead,
    max_object_bytes: Option<usize>,
) -> Result<Option<PathBuf>> {
    let directory = repo.objects.store_ref().path().join("pack");
    std::fs::create_dir_all(&directory).map_err(Error::io("create", &directory))?;
    let stored = pack::Bundle::write_to_directory(
        reader,
        Some(&directory),
        &mut gix::progress::Discard,
        &AtomicBool::new(false),
        Some(repo.objects.clone()),
        repo.object_hash(),
        pack::bundle::write::Options {
            alloc_limit_bytes: max_object_bytes,
            ..Default::default()
        },
    )
    .map_err(|error| match max_object_bytes {
        Some(limit) if error.is_resource_exhausted() => Error::Limit {
            operation: "store an object".to_owned(),
            limit: limit as u64,
            unit: "bytes",
        },
        _ => Error::corrupt("store a pack")(error),
    })?;
    for file in [&stored.data_path, &stored.index_path]
        .into_iter()
        .flatten()
    {
        // Temporary files start as the owner's alone; git's own packs are everyone's to read.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o444);
        std::fs::set_permissions(file, mode).map_err(Error::io("open up", file))?;
        sync(file)?;
    }
    sync(&directory)?;
    if let Some(keep) = &stored.keep_path {
        std::fs::remove_file(keep).map_err(Error::io("remove", keep))?;
    }
    Ok(stored.data_path)
}

/// Syncs a file or a directory.
pub(crate) fn sync(path: &Path) -> Result<()> {
    std::fs::File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(Error::io("sync", path))
}
