//! Decoding of build and release requests.

use std::collections::BTreeMap;

use super::decode::{Decode, Fields, NonEmpty, Unique};
use super::report::{Finding, Report};
use super::scalar::{Prose, is_null};
use super::yaml::{Node, Style, Value};
use crate::diagnostic::Code;
use crate::*;

impl Decode for BuildRequest {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let known = &[
            "reason",
            "platforms",
            "packages",
            "flavors",
            "with",
            "secure_boot",
            "priority",
        ];
        let fields = Fields::open(node, "a build request", known, report)?;
        let reason = fields.required::<Prose>("reason", "reason: <why, in a sentence>", report);
        let platforms =
            fields.required::<Wanted>("platforms", "platforms: {debian-12: [amd64]}", report);
        let packages = fields.required::<NonEmpty<PackageRequest>>(
            "packages",
            "packages: [{source: …}]",
            report,
        );
        let flavors = fields.optional::<Unique<FlavorName>>("flavors", report);
        let with = fields.optional::<Unique<RequestPath>>("with", report);
        let secure_boot = fields.or_default("secure_boot", report);
        let priority = fields.or_default("priority", report);
        Some(Self {
            reason: reason?.0,
            platforms: platforms?.0,
            packages: packages?.0,
            flavors: flavors?.map(|Unique(list)| list).unwrap_or_default(),
            with: with?.map(|Unique(list)| list).unwrap_or_default(),
            secure_boot: secure_boot?,
            priority: priority?,
        })
    }
}

/// The platforms of a build request, each with its architectures.
struct Wanted(BTreeMap<PlatformName, Option<Vec<Architecture>>>);

impl Decode for Wanted {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        if let Value::List(items) = &node.value {
            let names: Vec<String> = items
                .iter()
                .filter_map(|item| match &item.value {
                    Value::Scalar { text, .. } => Some(crate::visible::shorten(text)),
                    _ => None,
                })
                .take(3)
                .collect();
            let example = names.first().map_or("debian-12", String::as_str);
            let message = "a mapping belongs here; this is a list";
            let help = format!(
                "write each platform with a colon, `{example}:` for all its architectures or `{example}: [amd64]`"
            );
            report.error(node.span, Finding::new(Code::WrongType, message, help));
            return None;
        }
        let map = BTreeMap::<PlatformName, ArchitectureChoice>::decode(node, report)?;
        if map.is_empty() {
            let help = "write at least one platform, like `debian-12:`";
            report.error(
                node.span,
                Finding::new(Code::OutOfRange, "no platform is named", help),
            );
            return None;
        }
        Some(Self(
            map.into_iter()
                .map(|(name, choice)| (name, choice.0))
                .collect(),
        ))
    }
}

/// The architectures wanted of one platform; no value means all.
struct ArchitectureChoice(Option<Vec<Architecture>>);

impl Decode for ArchitectureChoice {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        match &node.value {
            Value::Scalar {
                text,
                style: Style::Plain,
            } if is_null(text) => Some(Self(None)),
            Value::Scalar { text, .. } if text == "all" => {
                let message = "`all` is not written here";
                let help = "leave the value out for all architectures: nothing after the colon";
                report.error(node.span, Finding::new(Code::WrongType, message, help));
                None
            }
            _ => NonEmpty::decode(node, report).map(|NonEmpty(list)| Self(Some(list))),
        }
    }
}

impl Decode for PackageRequest {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let known = &["name", "source", "on", "after", "options", "weight"];
        let fields = Fields::open(node, "a package", known, report)?;
        let source = fields.required::<Source>("source", "source: {git: …, ref: …}", report);
        let name = fields.optional::<PackageName>("name", report);
        let on = fields.optional::<NonEmpty<PlatformName>>("on", report);
        let after = fields.optional::<Unique<PackageName>>("after", report);
        let options = fields.or_default("options", report);
        let weight = fields.or_default("weight", report);
        let source = source?;
        let Some(name) = name?.or_else(|| source.derived_name()) else {
            let message = "the source's address does not tell the package's name";
            let help = "add `name: <the source package's name>`";
            report.error(
                fields.span(),
                Finding::new(Code::MissingField, message, help),
            );
            return None;
        };
        Some(Self {
            name,
            source,
            on: on?.map(|NonEmpty(list)| list),
            after: after?.map(|Unique(list)| list).unwrap_or_default(),
            options: options?,
            weight: weight?,
        })
    }
}

impl Decode for Source {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let has = |name: &str| node.entry(name).is_some();
        match (has("git"), has("srpm"), has("dsc")) {
            (true, false, false) => git(node, report),
            (false, true, false) => {
                let (srpm, sha256) = file(node, "srpm", ".src.rpm", &["srpm", "sha256"], report)?;
                Some(Self::Srpm { srpm, sha256 })
            }
            (false, false, true) => {
                let (dsc, sha256) = file(node, "dsc", ".dsc", &["dsc", "sha256"], report)?;
                Some(Self::Dsc { dsc, sha256 })
            }
            (false, false, false) => {
                let known = &["git", "ref", "subdir", "srpm", "dsc", "sha256"];
                let fields = Fields::open(node, "a source", known, report)?;
                let message = "a source is a git tree, a source RPM or a .dsc";
                let help =
                    "write `{git: …, ref: …}`, `{srpm: …, sha256: …}` or `{dsc: …, sha256: …}`";
                report.error(
                    fields.span(),
                    Finding::new(Code::MissingField, message, help),
                );
                None
            }
            _ => {
                let help = "keep one of `git`, `srpm` and `dsc`; a package has one source";
                let message = "the source is given twice";
                report.error(node.span, Finding::new(Code::Conflict, message, help));
                None
            }
        }
    }
}

fn git(node: &Node, report: &mut Report<'_>) -> Option<Source> {
    let fields = Fields::open(node, "a git source", &["git", "ref", "subdir"], report)?;
    let git = fields.required("git", "git: https://…", report);
    let git_ref = fields.required("ref", "ref: <branch, tag or commit>", report);
    let subdir = fields.optional("subdir", report);
    Some(Source::Git {
        git: git?,
        git_ref: git_ref?,
        subdir: subdir?,
    })
}

/// A source that is one file with its digest.
fn file(
    node: &Node,
    field: &'static str,
    ending: &str,
    known: &'static [&'static str],
    report: &mut Report<'_>,
) -> Option<(SourceUrl, Sha256Digest)> {
    let fields = Fields::open(node, "a source file", known, report)?;
    let url = fields.required::<SourceUrl>(field, "", report);
    let sha256 = fields.required("sha256", "sha256: <what sha256sum prints>", report);
    let url = url?;
    if !url.last_part().ends_with(ending) {
        let span = fields.get(field).map_or(fields.span(), |node| node.span);
        let message = format!("the address does not end in `{ending}`");
        let help = format!("write the address of the `{ending}` file itself");
        report.error(span, Finding::new(Code::InvalidValue, message, help));
        return None;
    }
    Some((url, sha256?))
}

impl Decode for BuildOptions {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let known = &["with", "without", "define", "profiles"];
        let fields = Fields::open(node, "`options`", known, report)?;
        let with = fields.or_default("with", report);
        let without = fields.or_default("without", report);
        let define = fields.or_default("define", report);
        let profiles = fields.or_default("profiles", report);
        let options = Self {
            with: with?,
            without: without?,
            define: define?,
            profiles: profiles?,
        };
        if let Some(both) = options.with.intersection(&options.without).next() {
            let message = format!("`{both}` is both turned on and off");
            let help = "keep it in `with` or in `without`";
            report.error(fields.span(), Finding::new(Code::Conflict, message, help));
            return None;
        }
        Some(options)
    }
}

impl Decode for ReleaseRequest {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let known = &["from", "to", "place", "errata", "priority"];
        let fields = Fields::open(node, "a release request", known, report)?;
        let example = "from: [builds/2026/11/openssl-fix.yaml]";
        let from = fields.required::<NonEmpty<RequestPath>>("from", example, report);
        let to = fields.required::<NonEmpty<RepositoryName>>(
            "to",
            "to: [<a file in repositories/>]",
            report,
        );
        let place = fields.or_default("place", report);
        let errata = fields.optional::<Unique<ErratumPath>>("errata", report);
        let priority = fields.or_default("priority", report);
        Some(Self {
            from: from?.0,
            to: to?.0,
            place: place?,
            errata: errata?.map(|Unique(list)| list).unwrap_or_default(),
            priority: priority?,
        })
    }
}

impl Decode for Placement {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let fields = Fields::open(node, "a placement", &["package", "into"], report)?;
        let package = fields.required("package", "package: nss-devel", report);
        let into = fields.required("into", "into: <a file in repositories/>", report);
        Some(Self {
            package: package?,
            into: into?,
        })
    }
}
