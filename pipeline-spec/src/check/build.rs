//! A build request against the configuration and the other requests.

use std::collections::{BTreeMap, BTreeSet};

use super::cycle;
use super::place::{FLAVOR, File, PLATFORM, Step};
use crate::build::{BuildRequest, PackageRequest};
use crate::config::Config;
use crate::diagnostic::{Code, Diagnostic};
use crate::ids::{PackageName, PlatformName};
use crate::path::{RequestKind, RequestPath};
use crate::platform::Format;
use crate::read::report::Finding;
use crate::suggest;

use Step::{Field, Item, Key};

/// Holds a build request, read from `text` at `path`, against the configuration. `exists` says
/// whether another request is in the same commit.
pub fn check_build(
    request: &BuildRequest,
    path: &RequestPath,
    text: &str,
    config: &Config,
    exists: &dyn Fn(&RequestPath) -> bool,
) -> Vec<Diagnostic> {
    let mut file = File::new(path.as_str(), text);
    if path.kind() != RequestKind::Build {
        let help = "move it to `builds/<yyyy>/<mm>/<name>.yaml`";
        file.error(
            &[],
            Finding::new(
                Code::MisplacedFile,
                "a build request does not belong here",
                help,
            ),
        );
    }
    platforms(request, config, &mut file);
    for (i, package) in request.packages.iter().enumerate() {
        targets(request, i, package, config, &mut file);
        options(i, package, request, config, &mut file);
    }
    duplicates(request, config, &mut file);
    order(request, config, &mut file);
    flavors(request, config, &mut file);
    linked(request, path, exists, &mut file);
    file.finish()
}

fn platforms(request: &BuildRequest, config: &Config, file: &mut File<'_>) {
    let names = || config.platforms.keys().map(PlatformName::as_str);
    for (name, wanted) in &request.platforms {
        if file.is_full() {
            return;
        }
        let at = [Field("platforms"), Key(name.as_str())];
        if !file.known(&at, name.as_str(), names().collect::<Vec<_>>(), &PLATFORM) {
            continue;
        }
        let platform = &config.platforms[name];
        for (i, architecture) in wanted.iter().flatten().enumerate() {
            if platform.architectures.contains(architecture) || file.is_full() {
                continue;
            }
            let known: Vec<&str> = platform.architectures.iter().map(AsRef::as_ref).collect();
            let at = [Field("platforms"), Field(name.as_str()), Item(i)];
            let message = format!("`{name}` is not built for `{architecture}`");
            let help = match same_machine(architecture.as_str(), &known) {
                Some(own) => format!("write `{own}`; that is this platform's word for it"),
                None => suggest::help(
                    architecture.as_str(),
                    known,
                    "architectures of the platform",
                ),
            };
            file.error(&at, Finding::new(Code::UnknownArchitecture, message, help));
        }
        for key in platform
            .key_files()
            .filter(|key| !config.key_files.contains_key(*key))
        {
            let message = format!("`{name}` cannot be built: its public key `{key}` is missing");
            let help = format!(
                "put the distribution's public key at `{key}`; platforms/{name}.yaml says where to get it"
            );
            file.error(&at, Finding::new(Code::MissingKeyFile, message, help));
        }
    }
}

/// RPM and Debian have different words for the same machines.
fn same_machine<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    const PAIRS: [(&str, &str); 6] = [
        ("x86_64", "amd64"),
        ("aarch64", "arm64"),
        ("ppc64le", "ppc64el"),
        ("i686", "i386"),
        ("armv7hl", "armhf"),
        ("x86", "x86_64"),
    ];
    let other = PAIRS.iter().find_map(|(a, b)| match word {
        w if w == *a => Some(*b),
        w if w == *b => Some(*a),
        _ => None,
    })?;
    known.iter().find(|k| **k == other).copied()
}

/// The formats of the request's known platforms.
fn formats<'a>(
    request: &'a BuildRequest,
    config: &'a Config,
) -> impl Iterator<Item = (&'a PlatformName, Format)> {
    request
        .platforms
        .keys()
        .filter_map(|name| Some((name, config.platforms.get(name)?.format())))
}

/// Where a package is to be built: `on`, and what its source can be built on.
fn targets(
    request: &BuildRequest,
    i: usize,
    package: &PackageRequest,
    config: &Config,
    file: &mut File<'_>,
) {
    let at_package = [Field("packages"), Item(i)];
    for (j, name) in package.on.iter().flatten().enumerate() {
        if file.is_full() {
            return;
        }
        let at = [Field("packages"), Item(i), Field("on"), Item(j)];
        if !request.platforms.contains_key(name) {
            let known: Vec<&str> = request.platforms.keys().map(AsRef::as_ref).collect();
            let message = format!("`{name}` is not among the platforms of this request");
            let help = match suggest::nearest(name.as_str(), known) {
                // The typo is in `platforms`, and told there.
                Some(near) if !config.platforms.keys().any(|p| p.as_str() == near) => continue,
                Some(near) => format!("did you mean `{near}`? Or add `{name}:` under `platforms`"),
                None => format!("add `{name}:` under `platforms`"),
            };
            file.error(&at, Finding::new(Code::UnknownPlatform, message, help));
        } else if let Some(platform) = config.platforms.get(name)
            && !package.source.fits(platform.format())
        {
            let finding = Finding::new(
                Code::FormatMismatch,
                format!(
                    "`{name}` builds {} packages; this source is of the other kind",
                    platform.format()
                ),
                "remove the platform here, or give a source in git that has both",
            );
            file.error(&at, finding);
        }
    }
    let mut known = formats(request, config).peekable();
    if package.on.is_none()
        && known.peek().is_some()
        && !known.any(|(_, format)| package.source.fits(format))
    {
        let finding = Finding::new(
            Code::FormatMismatch,
            format!(
                "no platform of this request can build the source of `{}`",
                package.name
            ),
            "add a platform of the source's kind under `platforms`, or remove the package",
        );
        file.error(&at_package, finding);
    }
}

/// Options that the package's platforms do not have.
fn options(
    i: usize,
    package: &PackageRequest,
    request: &BuildRequest,
    config: &Config,
    file: &mut File<'_>,
) {
    let on = |format: Format| {
        formats(request, config).any(|(name, own)| own == format && package.is_for(name, own))
    };
    let (rpm, deb) = (on(Format::Rpm), on(Format::Deb));
    let options = &package.options;
    let fields = [
        (
            "with",
            !options.with.is_empty(),
            rpm,
            deb,
            "`profiles` is the field for Debian packages",
        ),
        (
            "without",
            !options.without.is_empty(),
            rpm,
            deb,
            "`profiles` is the field for Debian packages",
        ),
        (
            "define",
            !options.define.is_empty(),
            rpm,
            deb,
            "Debian packages have no macros; remove it",
        ),
        (
            "profiles",
            !options.profiles.is_empty(),
            deb,
            rpm,
            "`with` and `without` are the fields for RPM packages",
        ),
    ];
    for (name, written, fits, other, help) in fields {
        if written && !fits && other {
            let message = format!(
                "`{name}` means nothing on the platforms of `{}`",
                package.name
            );
            let at = [Field("packages"), Item(i), Field("options"), Key(name)];
            file.error(&at, Finding::new(Code::FormatMismatch, message, help));
        }
    }
}

/// Two packages of one name on one platform.
fn duplicates(request: &BuildRequest, config: &Config, file: &mut File<'_>) {
    let mut first: BTreeMap<(&PlatformName, &PackageName), usize> = BTreeMap::new();
    for (i, package) in request.packages.iter().enumerate() {
        for (name, _) in
            formats(request, config).filter(|(name, format)| package.is_for(name, *format))
        {
            let Some(earlier) = first.insert((name, &package.name), i) else {
                continue;
            };
            let message = format!(
                "`{}` is built twice on `{name}`: it is also entry {} of the list",
                package.name,
                earlier + 1
            );
            let help = "remove one of the two, or give them different platforms with `on`";
            file.error(
                &[Field("packages"), Item(i)],
                Finding::new(Code::DuplicateEntry, message, help),
            );
            break;
        }
    }
}

/// `after`: known packages, on a common platform, and no circle.
fn order(request: &BuildRequest, config: &Config, file: &mut File<'_>) {
    let known: BTreeSet<&str> = request.packages.iter().map(|p| p.name.as_str()).collect();
    for (i, package) in request.packages.iter().enumerate() {
        for (j, name) in package.after.iter().enumerate() {
            let at = [Field("packages"), Item(i), Field("after"), Item(j)];
            if !known.contains(name.as_str()) && !file.is_full() {
                let message = format!("this request builds no package `{name}`");
                let help = suggest::help(
                    name.as_str(),
                    known.iter().copied(),
                    "packages of this request",
                );
                file.error(&at, Finding::new(Code::UnknownPackage, message, help));
            }
        }
    }
    let mut reported: BTreeSet<Vec<usize>> = BTreeSet::new();
    for (platform, format) in formats(request, config) {
        let here: BTreeMap<&str, usize> = request
            .packages
            .iter()
            .enumerate()
            .filter(|(_, package)| package.is_for(platform, format))
            .map(|(i, package)| (package.name.as_str(), i))
            .collect();
        let edges: Vec<Vec<usize>> = request
            .packages
            .iter()
            .map(|p| {
                p.after
                    .iter()
                    .filter_map(|name| here.get(name.as_str()).copied())
                    .collect()
            })
            .collect();
        let Some(members) = cycle::find(&edges, here.values().copied()) else {
            continue;
        };
        let mut key = members.clone();
        key.sort_unstable();
        if reported.insert(key) {
            report_cycle(request, &members, file);
        }
    }
}

fn report_cycle(request: &BuildRequest, members: &[usize], file: &mut File<'_>) {
    let name = |i: usize| request.packages[i].name.as_str();
    let mut chain: Vec<String> = members.iter().map(|i| format!("`{}`", name(*i))).collect();
    chain.push(format!("`{}`", name(members[0])));
    let (from, to) = (members[0], members[1 % members.len()]);
    let place = request.packages[from]
        .after
        .iter()
        .position(|a| a.as_str() == name(to))
        .unwrap_or(0);
    let (message, help) = if members.len() == 1 {
        (
            format!("`{}` waits for itself", name(from)),
            "remove it here",
        )
    } else {
        let chain = chain.join(" after ");
        (
            format!("these packages wait for each other: {chain}"),
            "remove one of these `after`",
        )
    };
    let at = [Field("packages"), Item(from), Field("after"), Item(place)];
    file.error(&at, Finding::new(Code::Cycle, message, help));
}

fn flavors(request: &BuildRequest, config: &Config, file: &mut File<'_>) {
    for (i, name) in request.flavors.iter().enumerate() {
        let at = [Field("flavors"), Item(i)];
        let known: Vec<&str> = config.flavors.keys().map(AsRef::as_ref).collect();
        if !file.known(&at, name.as_str(), known, &FLAVOR) {
            continue;
        }
        let flavor = &config.flavors[name];
        let applies = |platform: &PlatformName| {
            flavor
                .platforms
                .as_ref()
                .is_none_or(|list| list.contains(platform))
        };
        if !request.platforms.keys().any(applies) {
            let message = format!("the flavor `{name}` applies to no platform of this request");
            let help = format!("remove it, or add a platform that flavors/{name}.yaml lists");
            file.warning(&at, Finding::new(Code::Unused, message, help));
        }
        for key in flavor.repos.iter().flat_map(|repo| &repo.keys) {
            if !config.key_files.contains_key(key) {
                let message = format!(
                    "the flavor `{name}` cannot be used: its public key `{key}` is missing"
                );
                let help = format!("put the public key at `{key}`");
                file.error(&at, Finding::new(Code::MissingKeyFile, message, help));
            }
        }
    }
}

fn linked(
    request: &BuildRequest,
    path: &RequestPath,
    exists: &dyn Fn(&RequestPath) -> bool,
    file: &mut File<'_>,
) {
    for (i, other) in request.with.iter().enumerate() {
        let at = [Field("with"), Item(i)];
        let finding = if other == path {
            Finding::new(Code::Cycle, "this is the request itself", "remove it here")
        } else if other.kind() != RequestKind::Build {
            let message = match other.kind() {
                RequestKind::Scratch => "nothing but a scratch build is built with one",
                _ => "a release has no results to build with",
            };
            Finding::new(
                Code::InvalidValue,
                message,
                "write the path of a build request",
            )
        } else if !exists(other) {
            let message = format!("there is no request `{other}`");
            Finding::new(
                Code::UnknownRequest,
                message,
                "write the path of a build request that is on this branch",
            )
        } else {
            continue;
        };
        file.error(&at, finding);
    }
}
