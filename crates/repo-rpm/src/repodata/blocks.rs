//! Cutting, rendering, compressing and concatenating blocks.

use std::io::{Read as _, Write as _};
use std::num::NonZeroUsize;
use std::ops::Range;

use sha2::Digest as _;

use super::repomd::{Made, Stream};
use super::{FragmentSource, KINDS, Member, parallel};
use crate::cache::{Block, BlockCache, PARTS, Part};
use crate::{Error, Fragment, Sha256};

/// Packages per block on average: enough for the compressor to find repetitions, few enough to make again in milliseconds.
const BLOCK_PACKAGES: u8 = 64;
/// A block is cut here even where no digest asks for it. One run in fifty is as long by chance.
const MAX_BLOCK_PACKAGES: usize = 256;
/// Part of every key: what changes the bytes of a block without changing its members. Raise it when an update of the
/// compressors changes what they write; a test says so.
const ENCODING: u32 = 1;

/// zstd's level: 9 is where repodata stops shrinking noticeably.
const ZSTD_LEVEL: i32 = 9;
/// gzip's level: that of the `gzip` command.
const GZIP_LEVEL: u32 = 6;

const XML: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
/// Root elements of the three files.
const ROOTS: [(&str, &str); PARTS] = [
    (
        "metadata",
        "xmlns=\"http://linux.duke.edu/metadata/common\" xmlns:rpm=\"http://linux.duke.edu/metadata/rpm\"",
    ),
    (
        "filelists",
        "xmlns=\"http://linux.duke.edu/metadata/filelists\"",
    ),
    (
        "otherdata",
        "xmlns=\"http://linux.duke.edu/metadata/other\"",
    ),
];

/// A block of this publish.
pub(super) struct Placed {
    pub(super) key: Sha256,
    pub(super) is_new: bool,
    block: Block,
}

/// Every block of the sorted `members`, from the cache where it has them.
pub(super) fn all(
    members: &[Member],
    fragments: &dyn FragmentSource,
    cache: &dyn BlockCache,
    threads: NonZeroUsize,
) -> Result<Vec<Placed>, Error> {
    let ranges = cut(members);
    let placed = parallel::map(ranges.len(), threads, |index| {
        let members = &members[ranges[index].clone()];
        let key = key(members);
        if let Some(block) = cache.get(&key) {
            return Ok(Placed {
                key,
                is_new: false,
                block,
            });
        }
        let block = make(members, fragments)?;
        cache.put(&key, &block);
        Ok(Placed {
            key,
            is_new: true,
            block,
        })
    });
    placed.into_iter().collect()
}

/// A package begins a block if its digest says so. An added package thus changes the block that it falls into,
/// and splits it at most.
fn cut(members: &[Member]) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut start = 0;
    for (index, member) in members.iter().enumerate().skip(1) {
        let asked = member.sha256.0[0] % BLOCK_PACKAGES == 0;
        if asked || index - start == MAX_BLOCK_PACKAGES {
            ranges.push(start..index);
            start = index;
        }
    }
    if start < members.len() {
        ranges.push(start..members.len());
    }
    ranges
}

fn key(members: &[Member]) -> Sha256 {
    let mut hasher = sha2::Sha256::new();
    hasher.update(format!(
        "block {ENCODING} fragment {} zstd {ZSTD_LEVEL} gzip {GZIP_LEVEL}\n",
        Fragment::FORMAT
    ));
    hasher.update(zstd::zstd_safe::version_string());
    for member in members {
        hasher.update(member.sha256.0);
        hasher.update((member.location.len() as u64).to_le_bytes());
        hasher.update(&member.location);
    }
    Sha256(hasher.finalize().into())
}

fn make(members: &[Member], fragments: &dyn FragmentSource) -> Result<Block, Error> {
    let mut texts: [String; PARTS] = Default::default();
    for member in members {
        let refuse = |source| Error::Fragment {
            location: member.location.clone(),
            sha256: member.sha256,
            source,
        };
        let fragment = fragments.fragment(&member.sha256).map_err(refuse)?;
        if fragment.sha256() != member.sha256 {
            return Err(refuse(
                format!("the fragment is that of package {}", fragment.sha256()).into(),
            ));
        }
        fragment.append(&member.location, &mut texts);
    }
    Ok(Block {
        parts: texts.map(|text| compress(text.as_bytes())),
    })
}

fn compress(text: &[u8]) -> Part {
    let zstd = zstd::bulk::compress(text, ZSTD_LEVEL)
        .expect("compressing memory into memory does not fail");
    // No name and no time in the member: the default header, which is the same everywhere.
    let mut gzip = flate2::GzBuilder::new()
        .operating_system(255)
        .write(Vec::new(), flate2::Compression::new(GZIP_LEVEL));
    let gzip = gzip
        .write_all(text)
        .and_then(|()| gzip.finish())
        .expect("compressing memory into memory does not fail");
    Part {
        open_len: text.len() as u64,
        zstd,
        gzip,
    }
}

/// The three files: opening tag, blocks, closing tag, each a frame and a member of its own.
pub(super) fn concatenate(blocks: &[Placed], packages: usize, threads: NonZeroUsize) -> Vec<Made> {
    let frames: Vec<[Part; 2]> = ROOTS
        .iter()
        .map(|(root, names)| {
            let open = format!("{XML}<{root} {names} packages=\"{packages}\">\n");
            [
                compress(open.as_bytes()),
                compress(format!("</{root}>\n").as_bytes()),
            ]
        })
        .collect();
    let parts = |kind: usize| {
        let [open, close]: &[Part; 2] = &frames[kind];
        let between = blocks.iter().map(move |placed| &placed.block.parts[kind]);
        std::iter::once(open)
            .chain(between)
            .chain(std::iter::once(close))
    };
    // Nine independent digests: three files, each open, as zstd and as gzip.
    let mut streams = parallel::map(3 * PARTS, threads, |task| {
        let kind = task % PARTS;
        match task / PARTS {
            0 => opened(parts(kind)),
            1 => joined(parts(kind).map(|part| &part.zstd)),
            _ => joined(parts(kind).map(|part| &part.gzip)),
        }
    })
    .into_iter();
    let mut three = || {
        std::array::from_fn::<Stream, PARTS, _>(|_| {
            streams.next().expect("nine results for nine tasks")
        })
    };
    let (open, zstd, gzip) = (three(), three(), three());
    let names = KINDS.into_iter().zip(open).zip(zstd).zip(gzip);
    names
        .map(|(((kind, open), zstd), gzip)| Made {
            kind,
            open,
            zstd,
            gzip,
        })
        .collect()
}

fn joined<'a>(pieces: impl Iterator<Item = &'a Vec<u8>> + Clone) -> Stream {
    let mut bytes = Vec::with_capacity(pieces.clone().map(Vec::len).sum());
    pieces.for_each(|piece| bytes.extend_from_slice(piece));
    Stream {
        sha256: Sha256::of(&bytes),
        len: bytes.len() as u64,
        bytes,
    }
}

/// Length and digest of what the frames hold. The text itself is not kept: it is ten times the size.
fn opened<'a>(parts: impl Iterator<Item = &'a Part>) -> Stream {
    let mut hasher = sha2::Sha256::new();
    let mut len = 0;
    let mut text = Vec::new();
    for part in parts {
        text.clear();
        zstd::Decoder::with_buffer(part.zstd.as_slice())
            .and_then(|frame| frame.single_frame().read_to_end(&mut text))
            .expect("a frame that was just made or came back whole from the cache opens");
        hasher.update(&text);
        len += text.len() as u64;
    }
    Stream {
        sha256: Sha256(hasher.finalize().into()),
        len,
        bytes: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(count: u32) -> Vec<Member> {
        let member = |n: u32| Member {
            location: format!("p{n:08}"),
            sha256: Sha256::of(&n.to_le_bytes()),
        };
        (0..count).map(member).collect()
    }

    #[test]
    fn blocks_cover_all_and_stay_small() {
        for count in [0, 1, 63, 64, 65, 5000] {
            let members = members(count);
            let ranges = cut(&members);
            let flat: Vec<usize> = ranges.iter().cloned().flatten().collect();
            assert_eq!(flat, (0..members.len()).collect::<Vec<_>>());
            assert!(
                ranges
                    .iter()
                    .all(|range| (1..=MAX_BLOCK_PACKAGES).contains(&range.len()))
            );
        }
    }

    /// If this fails after an update of zstd or flate2, caches hold blocks that from scratch would come out otherwise:
    /// raise `ENCODING` and put the new digests here.
    #[test]
    fn compressors_write_what_caches_hold() {
        let text: String = (0..5000)
            .map(|n| format!("<file>/usr/share/{}/{n}</file>\n", n * n % 97))
            .collect();
        let part = compress(text.as_bytes());
        assert_eq!(ENCODING, 1);
        let digests = [&part.zstd, &part.gzip].map(|bytes| Sha256::of(bytes).to_string());
        assert_eq!(
            digests,
            [
                "52459413910d9ff1d9e5831f5fa59526e48b78b648a3be4bd284d8fb90abcbd4",
                "60979846377ff00befa8180cf2a259d74d71b3fb927852d96fac180bc3d96bff"
            ]
        );
    }

    #[test]
    fn one_more_package_changes_few_blocks() {
        let mut members = members(5000);
        let before: std::collections::HashSet<_> = cut(&members)
            .into_iter()
            .map(|range| key(&members[range]))
            .collect();
        for position in [0, 17, 2500, 4999] {
            let mut more = members.clone();
            let location = format!("{}-x", members[position].location);
            more.insert(
                position + 1,
                Member {
                    location,
                    sha256: Sha256::of(b"new"),
                },
            );
            let new = cut(&more)
                .into_iter()
                .filter(|range| !before.contains(&key(&more[range.clone()])))
                .count();
            assert!(new <= 3, "{new} new blocks");
        }
        members[9].location.push('x');
        let new = cut(&members)
            .into_iter()
            .filter(|range| !before.contains(&key(&members[range.clone()])))
            .count();
        assert_eq!(new, 1);
    }
}
