//! One .deb to one signed RPM, in memory and in this process.
//!
//! Maintainer scripts are not run and not carried over. What they would have done is in `bridge-base` and in
//! `data/links.txt`; what is lost beyond that is told in `docs/how-to/bridge.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use openpgp::SigningKey;
use rpm::{
    BuildConfig, CompressionWithLevel, Dependency, DependencyFlags, FileOptions, Package,
    PackageBuilder, Timestamp,
};

use crate::cache::Converted;
use crate::control::Op;
use crate::deb::{self, Entry, Kind};
use crate::place::{Content, Placed, as_it_is, place};
use crate::plan::{BASE, PackagePlan, Provide, Requirement, When};
use crate::{Error, base, data, provides};

/// Speed counts, size does not: these packages never leave the machine. The writer's default is 19.
const ZSTD_LEVEL: i32 = 1;

/// Version of `bridge-base`: the Debian release.
pub(crate) const BASE_VERSION: &str = "12";
/// Release of `bridge-base`.
pub(crate) const BASE_RELEASE: &str = "1";

/// Converts the .deb at `path`, which must be the one that the plan names.
pub(crate) fn convert(
    plan: &PackagePlan,
    path: &Path,
    key: &SigningKey,
) -> Result<(Package, Converted), Error> {
    let mut entries = deb::entries(path)?;
    let conffiles = deb::conffiles(path)?;
    let newest = entries
        .iter()
        .map(|entry| entry.mtime)
        .max()
        .unwrap_or(crate::KEY_CREATED);
    entries.extend(
        data::links(&plan.name)
            .into_iter()
            .map(|(link, target)| Entry {
                path: link.to_owned(),
                kind: Kind::Symlink(target.to_owned()),
                mode: 0o777,
                user: "root".to_owned(),
                group: "root".to_owned(),
                mtime: newest,
            }),
    );

    let mut builder = PackageBuilder::new(
        &plan.name,
        &plan.evr.version,
        "See copyright file",
        plan.arch,
        &plan.summary,
    );
    builder
        .release(plan.evr.release())
        .description(plan.description.as_str());
    if let Some(epoch) = plan.evr.epoch {
        builder.epoch(epoch);
    }
    if !plan.url.is_empty() {
        builder.url(plan.url.as_str());
    }
    for requirement in &plan.requires {
        builder.requires(dependency(requirement));
    }
    let mut all: BTreeSet<Provide> = plan.provides.iter().cloned().collect();
    all.extend(provides::of_files(&entries));
    if all
        .iter()
        .any(|provide| provide.name.starts_with("pkgconfig("))
    {
        // As rpm's generator does: who asks for pkgconfig(x) means to call pkg-config.
        builder.requires(Dependency::any("/usr/bin/pkg-config"));
    }
    let mut placed = place(entries)?;
    placed
        .retain(|path, placed| !(matches!(placed.content, Content::Directory) && base::owns(path)));
    let unknown_owners = add_files(&mut builder, placed, |path| conffiles.contains(path))?;
    let (package, time) = finish(builder, all, newest, key)?;
    let notes = unknown_owners
        .into_iter()
        .map(|owner| format!("{}: files of {owner} belong to root", plan.name));
    Ok((
        package,
        Converted {
            time,
            notes: notes.collect(),
        },
    ))
}

/// Makes `bridge-base`, which also answers to the names of the packages that it stands for.
pub(crate) fn base(provides: &[Provide], key: &SigningKey) -> Result<(Package, Converted), Error> {
    let mut builder = PackageBuilder::new(
        BASE,
        BASE_VERSION,
        "Apache-2.0",
        "noarch",
        "What a root of the bridge starts from",
    );
    builder
        .release(BASE_RELEASE)
        .description("Directories, links, users, groups and RPM macros. Install it first, alone.");
    let mut all: BTreeSet<Provide> = provides.iter().cloned().collect();
    all.extend(base::accounts().map(|name| Provide {
        name,
        version: None,
    }));
    all.insert(Provide {
        name: "system-release".to_owned(),
        version: Some(BASE_VERSION.to_owned()),
    });
    let configuration = |path: &str| base::CONFIGURATION.contains(&path);
    add_files(&mut builder, as_it_is(base::entries()), configuration)?;
    let (package, time) = finish(builder, all, crate::KEY_CREATED, key)?;
    Ok((
        package,
        Converted {
            time,
            notes: Vec::new(),
        },
    ))
}

/// Adds what every package has, builds it and signs it; returns the time of both.
fn finish(
    mut builder: PackageBuilder,
    provides: BTreeSet<Provide>,
    newest: u32,
    key: &SigningKey,
) -> Result<(Package, u32), Error> {
    for Provide { name, version } in provides {
        builder.provides(match version {
            Some(version) => Dependency::eq(name, version),
            None => Dependency::any(name),
        });
    }
    let config = BuildConfig::v4()
        .compression(CompressionWithLevel::Zstd(ZSTD_LEVEL))
        .source_date(newest);
    builder
        .using_config(config)
        .build_host("bridge-12")
        .vendor("Millrace bridge")
        .packager("Millrace bridge");
    let mut package = builder.build()?;
    let (signature, time) =
        crate::key::sign(key, &package.header_bytes()?, newest, |data, time| {
            key.sign_detached_binary(data, time)
        })?;
    package.apply_signature(signature)?;
    Ok((package, time))
}

fn dependency(requirement: &Requirement) -> Dependency {
    let Requirement {
        name,
        version,
        when,
    } = requirement;
    let mut dependency = match version {
        None => Dependency::any(name.as_str()),
        Some((Op::Less, version)) => Dependency::less(name.as_str(), version.as_str()),
        Some((Op::LessEqual, version)) => Dependency::less_eq(name.as_str(), version.as_str()),
        Some((Op::Equal, version)) => Dependency::eq(name.as_str(), version.as_str()),
        Some((Op::GreaterEqual, version)) => {
            Dependency::greater_eq(name.as_str(), version.as_str())
        }
        Some((Op::Greater, version)) => Dependency::greater(name.as_str(), version.as_str()),
    };
    if *when == When::Before {
        dependency.flags |= DependencyFlags::SCRIPT_PRE;
    }
    dependency
}

/// Adds all files; returns the owners that no root knows.
fn add_files(
    builder: &mut PackageBuilder,
    placed: BTreeMap<String, Placed>,
    is_configuration: impl Fn(&str) -> bool,
) -> Result<BTreeSet<String>, Error> {
    let mut unknown = BTreeSet::new();
    for (path, Placed { entry, content }) in placed {
        let Entry {
            path: old,
            mode,
            mut user,
            mut group,
            mtime,
            ..
        } = entry;
        if !base::has_user(&user) {
            unknown.insert(std::mem::replace(&mut user, "root".to_owned()));
        }
        if !base::has_group(&group) {
            unknown.insert(std::mem::replace(&mut group, "root".to_owned()));
        }
        let mut options = match &content {
            Content::Directory => FileOptions::dir(path.as_str()).permissions(mode),
            Content::Symlink(target) => FileOptions::symlink(path.as_str(), target.as_str()),
            Content::File(_) => FileOptions::new(path.as_str()).permissions(mode),
            Content::Linked(_, set) => FileOptions::new(path.as_str())
                .permissions(mode)
                .hardlink(set.as_str()),
        };
        options = options
            .user(user)
            .group(group)
            .modified_at(Timestamp(mtime));
        if is_configuration(&old) {
            options = options.config().noreplace();
        } else if path.starts_with("/usr/share/doc/") && path.ends_with("/copyright") {
            options = options.license();
        } else if ["/usr/share/doc/", "/usr/share/man/", "/usr/share/info/"]
            .iter()
            .any(|docs| path.starts_with(docs))
        {
            options = options.doc();
        }
        match content {
            Content::Directory => builder.with_dir_entry(options)?,
            Content::Symlink(_) => builder.with_symlink(options)?,
            Content::File(bytes) | Content::Linked(bytes, _) => {
                builder.with_file_contents(bytes, options)?
            }
        };
    }
    Ok(unknown)
}
