//! Decoding of platforms, flavors and repositories.

use super::decode::{Decode, Fields, NonEmpty, Unique};
use super::report::{Finding, Report};
use super::scalar::{Line, Prose};
use super::yaml::Node;
use crate::diagnostic::Code;
use crate::*;

impl Decode for Architectures {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let NonEmpty(list) = NonEmpty::decode(node, report)?;
        Self::try_from(list).ok()
    }
}

const PLATFORM: &[&str] = &[
    "format",
    "architectures",
    "backend",
    "first",
    "buildroot",
    "repos",
    "macros",
    "archives",
];
const PLATFORM_RPM: &[&str] = &[
    "format",
    "architectures",
    "backend",
    "first",
    "buildroot",
    "repos",
    "macros",
];
const PLATFORM_DEB: &[&str] = &[
    "format",
    "architectures",
    "backend",
    "buildroot",
    "archives",
];

impl Decode for Platform {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let format = format_of(node, "a platform", PLATFORM, report)?;
        let (what, known) = match format {
            Format::Rpm => ("an RPM platform", PLATFORM_RPM),
            Format::Deb => ("a Debian platform", PLATFORM_DEB),
        };
        let fields = Fields::open(node, what, known, report)?;
        let architectures = fields.required("architectures", "architectures: [x86_64]", report);
        let backend = fields.optional("backend", report);
        let first = fields.optional::<Unique<RootPackage>>("first", report);
        let buildroot = fields.optional::<Unique<RootPackage>>("buildroot", report);
        let contents = match format {
            Format::Rpm => rpm_contents(&fields, report),
            Format::Deb => deb_contents(&fields, report),
        };
        let platform = Self {
            architectures: architectures?,
            backend: backend?.unwrap_or(Backend::default_for(format)),
            first: first?.map(|Unique(list)| list).unwrap_or_default(),
            buildroot: buildroot?.map(|Unique(list)| list).unwrap_or_default(),
            contents: contents?,
        };
        backend_fits(&platform, &fields, report).then_some(platform)
    }
}

/// The `format` of a file whose other fields depend on it. `any` are the fields of both formats.
fn format_of(
    node: &Node,
    what: &'static str,
    any: &'static [&'static str],
    report: &mut Report<'_>,
) -> Option<Format> {
    if let Some((_, value)) = node.entry("format") {
        return Format::decode(value, report);
    }
    Fields::open(node, what, any, report)?.required("format", "format: rpm", report)
}

fn rpm_contents(fields: &Fields<'_>, report: &mut Report<'_>) -> Option<Contents> {
    let example = "repos: [{name: baseos, url: …, keys: [keys/upstream/….asc]}]";
    let repos = fields.required::<NonEmpty<PackageRepo>>("repos", example, report);
    let macros = fields.or_default("macros", report);
    let (NonEmpty(repos), macros) = (repos?, macros?);
    distinct_names(&repos, fields, report).then_some(Contents::Rpm { repos, macros })
}

fn distinct_names(repos: &[PackageRepo], fields: &Fields<'_>, report: &mut Report<'_>) -> bool {
    let twice = repos
        .iter()
        .enumerate()
        .find(|(i, repo)| repos[..*i].iter().any(|r| r.name == repo.name));
    if let Some((_, repo)) = twice {
        let message = format!("two repositories have the name `{}`", repo.name);
        let span = fields.key_span("repos").unwrap_or(fields.span());
        let help = "give each its own name";
        report.error(span, Finding::new(Code::DuplicateEntry, message, help));
    }
    twice.is_none()
}

fn deb_contents(fields: &Fields<'_>, report: &mut Report<'_>) -> Option<Contents> {
    let example = "archives: [{url: host, suites: [bookworm], components: [main]}]";
    let archives = fields.required::<NonEmpty<Archive>>("archives", example, report);
    archives.map(|NonEmpty(archives)| Contents::Deb { archives })
}

fn backend_fits(platform: &Platform, fields: &Fields<'_>, report: &mut Report<'_>) -> bool {
    let (backend, format) = (platform.backend, platform.format());
    if backend.format() != format {
        let span = fields
            .get("backend")
            .map_or(fields.span(), |node| node.span);
        let message = format!(
            "this backend makes {} roots; the platform's format is {format}",
            backend.format()
        );
        let help = match format {
            Format::Rpm => "write `dnf` or `mock`, or leave the line out",
            Format::Deb => "write `mmdebstrap`, or leave the line out",
        };
        report.error(span, Finding::new(Code::FormatMismatch, message, help));
        return false;
    }
    if backend == Backend::Dnf && platform.buildroot.is_empty() {
        let message = "the backend `dnf` needs the field `buildroot`";
        let help = "add `buildroot: [bash, coreutils, gcc, make, rpm-build]`";
        report.error(
            fields.span(),
            Finding::new(Code::MissingField, message, help),
        );
        return false;
    }
    true
}

impl Decode for PackageRepo {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let fields = Fields::open(node, "an RPM repository", &["name", "url", "keys"], report)?;
        let name = fields.required("name", "name: baseos", report);
        let url = fields.required("url", "url: https://…/$arch/os/", report);
        let keys =
            fields.required::<NonEmpty<KeyFilePath>>("keys", "keys: [keys/upstream/….asc]", report);
        Some(Self {
            name: name?,
            url: url?,
            keys: keys?.0,
        })
    }
}

impl Decode for Archive {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let known = &["url", "suites", "components", "keyring"];
        let fields = Fields::open(node, "a Debian archive", known, report)?;
        let url = fields.required("url", "url: https://deb.debian.org/debian", report);
        let suites = fields.required::<NonEmpty<SuiteName>>("suites", "suites: [bookworm]", report);
        let components =
            fields.required::<NonEmpty<ComponentName>>("components", "components: [main]", report);
        let keyring = fields.optional("keyring", report);
        let archive = Self {
            url: url?,
            suites: suites?.0,
            components: components?.0,
            keyring: keyring?,
        };
        let (span, code, message, help) = match (&archive.url, &archive.keyring) {
            (ArchiveLocation::Url(_), None) => (
                fields.span(),
                Code::MissingField,
                "an archive with an address needs the field `keyring`",
                "add `keyring: /usr/share/keyrings/debian-archive-keyring.gpg`",
            ),
            (ArchiveLocation::Host, Some(_)) => (
                fields.key_span("keyring").unwrap_or(fields.span()),
                Code::Conflict,
                "`url: host` takes the keys of the runner's own apt",
                "remove `keyring`, or write the archive's address",
            ),
            _ => return Some(archive),
        };
        report.error(span, Finding::new(code, message, help));
        None
    }
}

impl Decode for Flavor {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let known = &[
            "platforms",
            "buildroot",
            "repos",
            "archives",
            "macros",
            "options",
        ];
        let fields = Fields::open(node, "a flavor", known, report)?;
        let platforms = fields.optional::<NonEmpty<PlatformName>>("platforms", report);
        let buildroot = fields.optional::<Unique<RootPackage>>("buildroot", report);
        let repos = fields.or_default::<Vec<PackageRepo>>("repos", report);
        let archives = fields.or_default("archives", report);
        let macros = fields.or_default("macros", report);
        let options = fields.or_default("options", report);
        let repos = repos?;
        if !distinct_names(&repos, &fields, report) {
            return None;
        }
        Some(Self {
            platforms: platforms?.map(|NonEmpty(list)| list),
            buildroot: buildroot?.map(|Unique(list)| list).unwrap_or_default(),
            repos,
            archives: archives?,
            macros: macros?,
            options: options?,
        })
    }
}

const REPOSITORY_RPM: &[&str] = &[
    "format",
    "platform",
    "architectures",
    "key",
    "path",
    "accepts",
    "refuses",
    "keep",
];
const REPOSITORY_DEB: &[&str] = &[
    "format",
    "platform",
    "architectures",
    "key",
    "path",
    "suite",
    "codename",
    "components",
    "origin",
    "label",
    "description",
    "accepts",
    "refuses",
    "keep",
];

impl Decode for Repository {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let format = format_of(node, "a repository", REPOSITORY_DEB, report)?;
        let (what, known) = match format {
            Format::Rpm => ("an RPM repository", REPOSITORY_RPM),
            Format::Deb => ("a Debian repository", REPOSITORY_DEB),
        };
        let fields = Fields::open(node, what, known, report)?;
        let platform = fields.required("platform", "platform: <a file in platforms/>", report);
        let architectures = fields.required("architectures", "architectures: [x86_64]", report);
        let key = fields.required("key", "key: <a file in keys/>", report);
        let accepts = fields.or_default("accepts", report);
        let refuses = fields.or_default("refuses", report);
        let keep = fields.optional("keep", report);
        let layout = layout(format, &fields, report);
        Some(Self {
            platform: platform?,
            architectures: architectures?,
            key: key?,
            accepts: accepts?,
            refuses: refuses?,
            keep: keep?.unwrap_or(Retention::default_for(format)),
            layout: layout?,
        })
    }
}

fn layout(format: Format, fields: &Fields<'_>, report: &mut Report<'_>) -> Option<Layout> {
    match format {
        Format::Rpm => {
            let path = fields.required("path", "path: almalinux/10/BaseOS", report)?;
            Some(Layout::Rpm { path })
        }
        Format::Deb => {
            let path = fields.required("path", "path: debian", report);
            let suite = fields.required("suite", "suite: bookworm", report);
            let codename = fields.optional("codename", report);
            let components = fields.required::<NonEmpty<ComponentName>>(
                "components",
                "components: [main]",
                report,
            );
            let origin = fields.optional::<Line>("origin", report);
            let label = fields.optional::<Line>("label", report);
            let description = fields.optional::<Prose>("description", report);
            Some(Layout::Deb {
                path: path?,
                suite: suite?,
                codename: codename?,
                components: components?.0,
                origin: origin?.map(|Line(text)| text),
                label: label?.map(|Line(text)| text),
                description: description?.map(|Prose(text)| text),
            })
        }
    }
}

impl Decode for Rule {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let fields = Fields::open(node, "a placement rule", &["source", "package"], report)?;
        let source = fields.optional("source", report);
        let package = fields.optional("package", report);
        Some(Self {
            source: source?,
            package: package?,
        })
    }
}
