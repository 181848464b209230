//! The part of the repodata that describes one package. Rendered once, then only concatenated.
//!
//! Format: createrepo_c's, which dnf, yum and zypper read. Differences, on purpose:
//! * all `libc.so.6(…)` requirements stay (createrepo_c keeps the highest one);
//! * `time file` is the build time, because the time of a file differs between machines.

use std::collections::HashSet;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::xml::{push, push_attribute};
use crate::{Changelog, Comparison, Dependency, FileKind, Package, Sha256};

/// How many changelog entries clients see: createrepo_c's default.
const CHANGELOG_LIMIT: usize = 10;

/// One package's share of primary, filelists and other; a function of the package file alone.
///
/// Keep it by [`Fragment::sha256`] beside [`Fragment::FORMAT`]. The same fragment serves every repository: the path of the
/// package is put in when it is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fragment {
    sha256: Sha256,
    /// Up to the value of `location href`, and what follows it.
    primary: (String, String),
    filelists: String,
    other: String,
}

impl Fragment {
    /// Changes when the rendering does, so that no cache mixes two renderings in one repository.
    pub const FORMAT: u32 = 1;

    /// Renders what `package` says.
    #[must_use]
    pub fn render(package: &Package) -> Self {
        Self {
            sha256: package.sha256,
            primary: (primary_head(package), primary_tail(package)),
            filelists: filelists(package),
            other: other(package),
        }
    }

    /// Digest of the package file that it describes.
    #[must_use]
    pub fn sha256(&self) -> Sha256 {
        self.sha256
    }

    /// Appends the `<package>` elements of the three files, for a package published at `location`.
    pub(crate) fn append(&self, location: &str, [primary, filelists, other]: &mut [String; 3]) {
        primary.push_str(&self.primary.0);
        push_attribute(primary, location);
        primary.push_str(&self.primary.1);
        filelists.push_str(&self.filelists);
        other.push_str(&self.other);
    }
}

fn primary_head(package: &Package) -> String {
    let mut out = String::with_capacity(1024);
    out.push_str("<package type=\"rpm\">\n");
    element(&mut out, "  ", "name", &package.name);
    element(&mut out, "  ", "arch", &package.arch);
    version(&mut out, package);
    let _ = writeln!(
        out,
        "  <checksum type=\"sha256\" pkgid=\"YES\">{}</checksum>",
        package.sha256
    );
    element(&mut out, "  ", "summary", &package.summary);
    element(&mut out, "  ", "description", &package.description);
    element(&mut out, "  ", "packager", &package.packager);
    element(&mut out, "  ", "url", &package.url);
    let time = package.build_time;
    let _ = writeln!(out, "  <time file=\"{time}\" build=\"{time}\"/>");
    let sizes = package.sizes;
    let _ = writeln!(
        out,
        "  <size package=\"{}\" installed=\"{}\" archive=\"{}\"/>",
        sizes.package, sizes.installed, sizes.archive
    );
    out.push_str("  <location href=\"");
    out
}

fn primary_tail(package: &Package) -> String {
    let mut out = String::with_capacity(2048);
    out.push_str("\"/>\n  <format>\n");
    element(&mut out, "    ", "rpm:license", &package.license);
    element(&mut out, "    ", "rpm:vendor", &package.vendor);
    element(&mut out, "    ", "rpm:group", &package.group);
    element(&mut out, "    ", "rpm:buildhost", &package.build_host);
    element(
        &mut out,
        "    ",
        "rpm:sourcerpm",
        package.source_rpm.as_deref().unwrap_or_default(),
    );
    let range = &package.header_range;
    let _ = writeln!(
        out,
        "    <rpm:header-range start=\"{}\" end=\"{}\"/>",
        range.start, range.end
    );
    dependencies(&mut out, "provides", package.provides.iter());
    dependencies(
        &mut out,
        "requires",
        published_requires(package).into_iter(),
    );
    dependencies(&mut out, "conflicts", package.conflicts.iter());
    dependencies(&mut out, "obsoletes", package.obsoletes.iter());
    dependencies(&mut out, "suggests", package.suggests.iter());
    dependencies(&mut out, "enhances", package.enhances.iter());
    dependencies(&mut out, "recommends", package.recommends.iter());
    dependencies(&mut out, "supplements", package.supplements.iter());
    for file in package.files.iter().filter(|file| is_primary(&file.path)) {
        file_element(&mut out, "    ", file);
    }
    out.push_str("  </format>\n</package>\n");
    out
}

fn filelists(package: &Package) -> String {
    let mut out = String::with_capacity(64 * package.files.len() + 256);
    open_package(&mut out, package);
    for file in &package.files {
        file_element(&mut out, "  ", file);
    }
    out.push_str("</package>\n");
    out
}

fn other(package: &Package) -> String {
    let mut out = String::with_capacity(512);
    open_package(&mut out, package);
    for (time, entry) in published_changelogs(&package.changelogs) {
        out.push_str("  <changelog author=\"");
        push_attribute(&mut out, entry.author.trim_end_matches(' '));
        let _ = write!(out, "\" date=\"{time}\">");
        push(&mut out, &entry.text);
        out.push_str("</changelog>\n");
    }
    out.push_str("</package>\n");
    out
}

fn open_package(out: &mut String, package: &Package) {
    let _ = write!(out, "<package pkgid=\"{}\" name=\"", package.sha256);
    push_attribute(out, &package.name);
    out.push_str("\" arch=\"");
    push_attribute(out, &package.arch);
    out.push_str("\">\n");
    version(out, package);
}

fn version(out: &mut String, package: &Package) {
    let _ = write!(out, "  <version epoch=\"{}\" ver=\"", package.epoch);
    push_attribute(out, &package.version);
    out.push_str("\" rel=\"");
    push_attribute(out, &package.release);
    out.push_str("\"/>\n");
}

fn element(out: &mut String, indent: &str, name: &str, text: &str) {
    let _ = write!(out, "{indent}<{name}>");
    push(out, text);
    let _ = writeln!(out, "</{name}>");
}

fn file_element(out: &mut String, indent: &str, file: &crate::File) {
    out.push_str(indent);
    out.push_str(match file.kind {
        FileKind::Directory => "<file type=\"dir\">",
        FileKind::Ghost => "<file type=\"ghost\">",
        FileKind::Regular | FileKind::Symlink | FileKind::Special => "<file>",
    });
    push(out, &file.path);
    out.push_str("</file>\n");
}

fn dependencies<'a>(out: &mut String, name: &str, list: impl Iterator<Item = &'a Dependency>) {
    let mut list = list.peekable();
    if list.peek().is_none() {
        return;
    }
    let _ = writeln!(out, "    <rpm:{name}>");
    for dependency in list {
        out.push_str("      <rpm:entry name=\"");
        push_attribute(out, &dependency.name);
        if let Some(comparison) = dependency.comparison() {
            let (epoch, version, release) = dependency.evr();
            let _ = write!(out, "\" flags=\"{}\" epoch=\"", comparison.metadata_word());
            push_attribute(out, epoch);
            out.push_str("\" ver=\"");
            push_attribute(out, version);
            if let Some(release) = release {
                out.push_str("\" rel=\"");
                push_attribute(out, release);
            }
        }
        // Only requirements know an order before scripts.
        out.push_str(if name == "requires" && dependency.is_pre() {
            "\" pre=\"1\"/>\n"
        } else {
            "\"/>\n"
        });
    }
    let _ = writeln!(out, "    </rpm:{name}>");
}

/// What clients must find elsewhere: not rpm's own features, not what the package brings itself, nothing twice.
fn published_requires(package: &Package) -> Vec<&Dependency> {
    let own_files: HashSet<&str> = package
        .files
        .iter()
        .map(|file| file.path.as_str())
        .filter(|path| is_primary(path))
        .collect();
    let provided: HashSet<_> = package.provides.iter().map(identity).collect();
    let own = |wanted: &Dependency| {
        own_files.contains(wanted.name.as_str()) || provided.contains(&identity(wanted))
    };
    let mut seen = HashSet::new();
    let wanted = package
        .requires
        .iter()
        .filter(|wanted| !wanted.is_rpmlib() && !own(wanted));
    wanted
        .filter(|wanted| seen.insert((identity(wanted), wanted.is_pre())))
        .collect()
}

fn identity(dependency: &Dependency) -> (&str, Option<Comparison>, &str) {
    (
        &dependency.name,
        dependency.comparison(),
        &dependency.version,
    )
}

/// The newest entries, oldest first. Entries of one day get rising times, because clients sort by time.
fn published_changelogs(changelogs: &[Changelog]) -> Vec<(u64, &Changelog)> {
    let newest = &changelogs[..changelogs.len().min(CHANGELOG_LIMIT)];
    let mut out: Vec<(u64, &Changelog)> = Vec::with_capacity(newest.len());
    let mut previous: Option<(u64, u64)> = None;
    for entry in newest.iter().rev() {
        let time = match previous {
            Some((stated, given)) if stated == entry.time => given + 1,
            _ => entry.time,
        };
        previous = Some((entry.time, time));
        out.push((time, entry));
    }
    out
}

/// Paths that primary lists, so that clients seldom need filelists.
fn is_primary(path: &str) -> bool {
    path.starts_with("/etc/") || path.contains("bin/") || path == "/usr/lib/sendmail"
}
