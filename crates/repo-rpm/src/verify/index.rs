//! `repomd.xml` and primary as a verifier reads them: only what it compares.

use std::io::{BufRead, Read};

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};

use crate::Sha256;

/// More records than any repository has.
const MAX_RECORDS: usize = 256;
/// The largest distributions have some 70,000 packages.
const MAX_PACKAGES: usize = 2_000_000;
/// Elements inside elements; repodata has five levels.
const MAX_DEPTH: usize = 32;

/// What `repomd.xml` says.
#[derive(Default)]
pub(super) struct Repomd {
    pub(super) revision: String,
    pub(super) records: Vec<Record>,
}

/// One metadata file.
pub(super) struct Record {
    pub(super) kind: String,
    pub(super) href: String,
    pub(super) sha256: Option<Sha256>,
    pub(super) open_sha256: Option<Sha256>,
    pub(super) size: Option<u64>,
    pub(super) open_size: Option<u64>,
}

/// One package as primary lists it.
#[derive(Default)]
pub(super) struct Listed {
    pub(super) location: String,
    pub(super) sha256: Option<Sha256>,
    pub(super) size: Option<u64>,
    name: String,
    arch: String,
    evr: [String; 3],
}

impl Listed {
    /// As [`crate::Package::nevra`] writes it.
    pub(super) fn nevra(&self) -> String {
        let [epoch, version, release] = &self.evr;
        let epoch = if epoch == "0" {
            String::new()
        } else {
            format!("{epoch}:")
        };
        format!("{}-{epoch}{version}-{release}.{}", self.name, self.arch)
    }
}

impl Repomd {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut repomd = Self::default();
        walk(bytes, |path, node| {
            match (path, node) {
                ("/repomd/revision", Node::Text(text)) => text.clone_into(&mut repomd.revision),
                ("/repomd/data", Node::Open(tag)) => {
                    if repomd.records.len() == MAX_RECORDS {
                        return Err(format!("more than {MAX_RECORDS} records"));
                    }
                    repomd.records.push(Record::new(attribute(tag, "type")?));
                }
                (path, node) => {
                    if let (Some(record), Some(field)) = (
                        repomd.records.last_mut(),
                        path.strip_prefix("/repomd/data/"),
                    ) {
                        record.set(field, node)?;
                    }
                }
            }
            Ok(())
        })?;
        Ok(repomd)
    }

    pub(super) fn record(&self, kind: &str) -> Option<&Record> {
        self.records.iter().find(|record| record.kind == kind)
    }
}

impl Record {
    fn new(kind: String) -> Self {
        Self {
            kind,
            href: String::new(),
            sha256: None,
            open_sha256: None,
            size: None,
            open_size: None,
        }
    }

    fn set(&mut self, field: &str, node: Node<'_>) -> Result<(), String> {
        match (field, node) {
            ("location", Node::Open(tag)) => self.href = attribute(tag, "href")?,
            ("checksum" | "open-checksum", Node::Open(tag)) => only_sha256(tag)?,
            ("checksum", Node::Text(text)) => self.sha256 = Some(sha256(text)?),
            ("open-checksum", Node::Text(text)) => self.open_sha256 = Some(sha256(text)?),
            ("size", Node::Text(text)) => self.size = Some(number(text)?),
            ("open-size", Node::Text(text)) => self.open_size = Some(number(text)?),
            _ => {}
        }
        Ok(())
    }
}

/// The packages of an uncompressed primary, in its order.
pub(super) fn packages(primary: &[u8]) -> Result<Vec<Listed>, String> {
    let mut all: Vec<Listed> = Vec::new();
    walk(primary, |path, node| {
        let Some(field) = path.strip_prefix("/metadata/package") else {
            return Ok(());
        };
        if let ("", Node::Open(_)) = (field, node) {
            if all.len() == MAX_PACKAGES {
                return Err(format!("more than {MAX_PACKAGES} packages"));
            }
            all.push(Listed::default());
        }
        let Some(package) = all.last_mut() else {
            return Ok(());
        };
        match (field, node) {
            ("/name", Node::Text(text)) => text.clone_into(&mut package.name),
            ("/arch", Node::Text(text)) => text.clone_into(&mut package.arch),
            ("/version", Node::Open(tag)) => {
                package.evr = [
                    attribute(tag, "epoch")?,
                    attribute(tag, "ver")?,
                    attribute(tag, "rel")?,
                ];
            }
            ("/checksum", Node::Open(tag)) => only_sha256(tag)?,
            ("/checksum", Node::Text(text)) => package.sha256 = Some(sha256(text)?),
            ("/size", Node::Open(tag)) => package.size = Some(number(&attribute(tag, "package")?)?),
            ("/location", Node::Open(tag)) => package.location = attribute(tag, "href")?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(all)
}

/// Uncompresses a metadata file by the end of its name; at most one byte more than `limit`.
pub(super) fn open(path: &str, bytes: &[u8], limit: u64) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let read = match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("zst") => zstd::Decoder::with_buffer(bytes)
            .and_then(|frames| frames.take(limit + 1).read_to_end(&mut out)),
        Some("gz") => flate2::bufread::MultiGzDecoder::new(bytes)
            .take(limit + 1)
            .read_to_end(&mut out),
        Some("xml") => bytes.take(limit + 1).read_to_end(&mut out),
        _ => return Err("neither .zst, .gz nor .xml".to_owned()),
    };
    read.map_err(|error| error.to_string())?;
    Ok(out)
}

#[derive(Clone, Copy)]
enum Node<'a> {
    /// The opening tag of the element at the path.
    Open(&'a BytesStart<'a>),
    /// All text directly inside it, trimmed, at its end.
    Text(&'a str),
}

/// Calls `visit` with the path of each element (`/repomd/data/size`).
fn walk(
    xml: impl BufRead,
    mut visit: impl FnMut(&str, Node<'_>) -> Result<(), String>,
) -> Result<(), String> {
    let mut reader = Reader::from_reader(xml);
    reader.config_mut().expand_empty_elements = true;
    let (mut path, mut lengths) = (String::new(), Vec::new());
    let (mut text, mut buffer) = (String::new(), Vec::new());
    loop {
        buffer.clear();
        match reader
            .read_event_into(&mut buffer)
            .map_err(|error| error.to_string())?
        {
            Event::Start(tag) => {
                if lengths.len() == MAX_DEPTH {
                    return Err(format!("more than {MAX_DEPTH} elements inside each other"));
                }
                lengths.push(path.len());
                path.push('/');
                path.push_str(&String::from_utf8_lossy(tag.name().as_ref()));
                text.clear();
                visit(&path, Node::Open(&tag))?;
            }
            Event::End(_) => {
                visit(&path, Node::Text(text.trim()))?;
                text.clear();
                path.truncate(lengths.pop().unwrap_or_default());
            }
            Event::Text(piece) => {
                text.push_str(&piece.decode().map_err(|error| error.to_string())?)
            }
            Event::GeneralRef(reference) => text.push_str(&resolved(&reference)?),
            Event::Eof if lengths.is_empty() => return Ok(()),
            Event::Eof => return Err(format!("the file ends inside {path}")),
            Event::DocType(_) => return Err("a document type, which repodata never has".to_owned()),
            _ => {}
        }
    }
}

fn resolved(reference: &BytesRef<'_>) -> Result<String, String> {
    if let Some(ch) = reference
        .resolve_char_ref()
        .map_err(|error| error.to_string())?
    {
        return Ok(ch.to_string());
    }
    let name = reference.decode().map_err(|error| error.to_string())?;
    resolve_predefined_entity(&name)
        .map(str::to_owned)
        .ok_or_else(|| format!("unknown entity &{name};"))
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> Result<String, String> {
    let found = tag
        .try_get_attribute(name)
        .map_err(|error| error.to_string())?;
    let found = found.ok_or_else(|| {
        format!(
            "<{}> without {name}",
            String::from_utf8_lossy(tag.name().as_ref())
        )
    })?;
    let value = found.unescape_value().map_err(|error| error.to_string())?;
    Ok(value.into_owned())
}

fn only_sha256(tag: &BytesStart<'_>) -> Result<(), String> {
    match attribute(tag, "type")?.as_str() {
        "sha256" => Ok(()),
        other => Err(format!(
            "a checksum of type {other}; only sha256 is checked"
        )),
    }
}

fn sha256(text: &str) -> Result<Sha256, String> {
    text.parse()
        .map_err(|error: crate::digest::NotSha256| error.to_string())
}

fn number(text: &str) -> Result<u64, String> {
    text.parse()
        .map_err(|_| format!("{text:?} in the place of a number"))
}
