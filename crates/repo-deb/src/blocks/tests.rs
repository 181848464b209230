use std::io::Read;

use proptest::prelude::*;

use super::*;

/// What standard readers make of blocks put together.
fn unpacked(texts: &[Vec<u8>]) -> (Vec<u8>, Vec<u8>) {
    let (mut gz, mut xz) = (GzipIndex::new(), XzIndex::new());
    for text in texts {
        let block = Block::encode(text);
        assert_eq!(
            Block::from_bytes(block.as_bytes().to_vec()).as_ref(),
            Some(&block)
        );
        gz.push(&block);
        xz.push(&block);
    }
    let (mut from_gz, mut from_xz) = (Vec::new(), Vec::new());
    let gz = gz.finish();
    // Readers of a single member and a single stream, as apt's are: both must see all of it, and nothing may be left.
    let mut decoder = flate2::bufread::GzDecoder::new(gz.as_slice());
    decoder.read_to_end(&mut from_gz).expect("gzip");
    assert!(
        decoder.into_inner().is_empty(),
        "bytes after the gzip member"
    );
    let xz = xz.finish();
    let mut decoder = liblzma::bufread::XzDecoder::new(xz.as_slice());
    decoder.read_to_end(&mut from_xz).expect("xz");
    assert!(decoder.into_inner().is_empty(), "bytes after the xz stream");
    (from_gz, from_xz)
}

#[test]
fn blocks_make_one_gzip_member_and_one_xz_stream() {
    let check = |texts: &[Vec<u8>]| assert_eq!(unpacked(texts), (texts.concat(), texts.concat()));
    check(&[]);
    check(&[b"a\n".to_vec()]);
    check(&[b"a\n".to_vec(), b"b\n".to_vec()]);
    check(&[vec![b'x'; 300_000], vec![b'y'; 1]]);
    // Text that does not compress fills every output buffer to the brim at some point.
    let noise = |n: usize| {
        (0..n)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 7) as u8)
            .collect::<Vec<u8>>()
    };
    check(&(1..200).map(|n| noise(n * 37)).collect::<Vec<_>>());
}

fn digests(n: u32) -> Vec<Sha256Digest> {
    (0..n).map(|n| Sha256Digest::of(&n.to_be_bytes())).collect()
}

#[test]
fn one_package_more_changes_one_run_or_two() {
    let mut all = digests(5_000);
    all.sort();
    let runs = |list: &[Sha256Digest]| {
        let mut rest = list;
        let mut runs = Vec::new();
        for length in cut(list.iter()) {
            let (run, after) = rest.split_at(length);
            runs.push(run.to_vec());
            rest = after;
        }
        assert!(rest.is_empty());
        runs
    };
    for gone in [0, 17, 2_500, 4_999] {
        let mut fewer = all.clone();
        fewer.remove(gone);
        let before = runs(&fewer);
        let new = runs(&all)
            .iter()
            .filter(|run| !before.contains(run))
            .count();
        assert!((1..=2).contains(&new), "{new} runs changed");
    }
    let mean = all.len() / runs(&all).len();
    assert!((50..=80).contains(&mean), "{mean} packages a run");
}

#[test]
fn runs_are_bounded_whatever_the_digests() {
    let same = vec![Sha256Digest::of(b"not a cut"); 2_000];
    assert_eq!(cut(same.iter()), [512, 512, 512, 464]);
    assert_eq!(cut([].iter()), [0; 0]);
}

#[test]
fn a_damaged_block_is_a_miss() {
    let bytes = Block::encode(b"Package: a\n\n").as_bytes().to_vec();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x20;
        assert_eq!(Block::from_bytes(damaged), None, "byte {at}");
        assert_eq!(Block::from_bytes(bytes[..at].to_vec()), None, "cut at {at}");
    }
}

#[test]
fn a_directory_keeps_blocks_and_forgets_what_it_is_told_to() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let cache = DirectoryCache::open(directory.path().join("blocks")).expect("a cache");
    let key = |name: &str| {
        let mut key = KeyBuilder::new();
        key.package(&Sha256Digest::of(b"x"), name);
        key.finish()
    };
    let block = Block::encode(b"Package: a\n\n");
    cache.put(&key("a"), &block);
    cache.put(&key("b"), &block);
    assert_eq!(cache.get(&key("a")), Some(block.clone()));
    assert_eq!(cache.get(&key("c")), None);
    cache.retain(&[key("b")].into()).expect("retain");
    assert_eq!(cache.get(&key("a")), None);
    assert_eq!(cache.get(&key("b")), Some(block));
}

proptest! {
    #[test]
    fn any_bytes_are_a_block_or_a_miss(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Block::from_bytes(bytes.clone());
        let _ = Block::from_bytes([MAGIC.as_slice(), &bytes].concat());
    }
}
