//! Decompression with a bound on what comes out and on the memory it takes.

use std::io::{self, BufRead, BufReader, Read};

/// Window or dictionary a decompressor may ask for, as a power of two in bytes: what `zstd --ultra -22` and more
/// than `xz -9` need.
const MAX_WINDOW_LOG: u32 = 27;
/// Memory xz may take: its largest preset needs 65 MiB.
const MAX_XZ_MEMORY: u64 = 160 << 20;

/// Bytes as they come out of a decompressor.
pub(crate) type Unpacked<'a> = Limited<Box<dyn Read + 'a>>;

/// Opens packed bytes by the suffix of their name. `limit` bounds the bytes that come out.
pub(crate) fn open<'a>(
    suffix: &str,
    packed: impl Read + 'a,
    limit: u64,
) -> io::Result<Unpacked<'a>> {
    let packed = BufReader::with_capacity(64 << 10, packed);
    let inner = decompressor(suffix, packed)?;
    Ok(Limited { inner, left: limit })
}

fn decompressor<'a>(suffix: &str, packed: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    match suffix {
        "" => Ok(Box::new(packed)),
        ".gz" => Ok(Box::new(flate2::bufread::MultiGzDecoder::new(packed))),
        ".xz" => {
            let stream = liblzma::stream::Stream::new_stream_decoder(
                MAX_XZ_MEMORY,
                liblzma::stream::CONCATENATED,
            )?;
            Ok(Box::new(liblzma::bufread::XzDecoder::new_stream(
                packed, stream,
            )))
        }
        ".zst" => {
            let mut decoder = zstd::Decoder::with_buffer(packed)?;
            decoder.window_log_max(MAX_WINDOW_LOG)?;
            Ok(Box::new(decoder))
        }
        other => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("compression `{other}` is not supported; use none, .gz, .xz or .zst"),
        )),
    }
}

/// A reader that fails where the limit is passed, instead of ending there.
pub(crate) struct Limited<R> {
    inner: R,
    left: u64,
}

/// The mark by which [`Limited`]'s own error is known again.
#[derive(Debug, thiserror::Error)]
#[error("the unpacked size passes its limit")]
struct LimitPassed;

/// Whether an error is [`Limited`]'s own, however many readers wrapped it since.
pub(crate) fn is_limit_passed(error: &io::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let inner = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        if error.is::<LimitPassed>() || inner.is_some_and(|inner| inner.is::<LimitPassed>()) {
            return true;
        }
        cause = error.source();
    }
    false
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or_else(|| io::Error::other(LimitPassed))?;
        Ok(count)
    }
}
