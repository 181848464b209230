//! `repomd.xml`, the file that names all others by digest.

use std::fmt::Write as _;

use super::{Form, Options};
use crate::Sha256;

/// One of the nine byte streams of a publish.
pub(super) struct Stream {
    pub(super) sha256: Sha256,
    pub(super) len: u64,
    /// Empty for the uncompressed text, which is not published.
    pub(super) bytes: Vec<u8>,
}

/// One of primary, filelists and other.
pub(super) struct Made {
    pub(super) kind: &'static str,
    pub(super) open: Stream,
    pub(super) zstd: Stream,
    pub(super) gzip: Stream,
}

impl Made {
    pub(super) fn into_files(self) -> [(String, Vec<u8>); 2] {
        [
            (path(&self.zstd, self.kind, "zst"), self.zstd.bytes),
            (path(&self.gzip, self.kind, "gz"), self.gzip.bytes),
        ]
    }
}

fn path(stream: &Stream, kind: &str, extension: &str) -> String {
    format!("repodata/{}-{kind}.xml.{extension}", stream.sha256)
}

pub(super) fn render(made: &[Made], options: Options) -> String {
    let mut out = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <repomd xmlns=\"http://linux.duke.edu/metadata/repo\" xmlns:rpm=\"http://linux.duke.edu/metadata/rpm\">\n",
    );
    let _ = writeln!(out, "  <revision>{}</revision>", options.revision);
    for wanted in [true, false] {
        for file in made {
            let zstd = (&file.zstd, "zst", options.form == Form::Zstd);
            let gzip = (&file.gzip, "gz", options.form == Form::Gzip);
            for (stream, extension, preferred) in [zstd, gzip] {
                if preferred == wanted {
                    let name = if preferred {
                        file.kind.to_owned()
                    } else {
                        format!("{}_{extension}", file.kind)
                    };
                    let href = path(stream, file.kind, extension);
                    record(
                        &mut out,
                        &name,
                        &href,
                        (stream, &file.open, options.revision),
                    );
                }
            }
        }
    }
    out.push_str("</repomd>\n");
    out
}

fn record(out: &mut String, name: &str, href: &str, (stream, open, time): (&Stream, &Stream, u64)) {
    let _ = write!(
        out,
        "  <data type=\"{name}\">\n    \
             <checksum type=\"sha256\">{}</checksum>\n    \
             <open-checksum type=\"sha256\">{}</open-checksum>\n    \
             <location href=\"{href}\"/>\n    \
             <timestamp>{time}</timestamp>\n    \
             <size>{}</size>\n    \
             <open-size>{}</open-size>\n  \
           </data>\n",
        stream.sha256, open.sha256, stream.len, open.len
    );
}
