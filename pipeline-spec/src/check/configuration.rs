//! The configuration files against each other.

use std::collections::BTreeMap;

use super::place::{File, KEY, PERSON, PLATFORM, REPOSITORY, Step};
use crate::config::Config;
use crate::diagnostic::{Code, Diagnostic};
use crate::ids::{Architecture, PlatformName, RepositoryName, RunnerId};
use crate::path::KeyFilePath;
use crate::platform::{Contents, PackageRepo, Platform};
use crate::read::report::Finding;
use crate::repository::Repository;
use crate::suggest;

use Step::{Field, Item};

/// Checks the whole configuration. `text_of` gives the text of a file that was read into it.
pub(crate) fn check_configuration<'a>(
    config: &Config,
    text_of: &dyn Fn(&str) -> &'a str,
) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut each = |path: String, check: &dyn Fn(&mut File<'_>)| {
        let mut file = File::new(&path, text_of(&path));
        check(&mut file);
        found.extend(file.finish());
    };
    for (name, platform) in &config.platforms {
        each(format!("platforms/{name}.yaml"), &|file| {
            key_files(platform, config, file)
        });
    }
    for (name, flavor) in &config.flavors {
        each(format!("flavors/{name}.yaml"), &|file| {
            for (i, platform) in flavor.platforms.iter().flatten().enumerate() {
                known_platform(&[Field("platforms"), Item(i)], platform, config, file);
            }
        });
    }
    for (name, repository) in &config.repositories {
        each(format!("repositories/{name}.yaml"), &|file| {
            check_repository(repository, config, file);
            shared_place(name, repository, config, file);
        });
    }
    each("policy.yaml".to_owned(), &|file| {
        check_approvals(config, file)
    });
    for id in config.keys.keys() {
        each(format!("keys/{id}.yaml"), &|file| {
            let public = KeyFilePath::of_key(id);
            if !config.key_files.contains_key(&public) {
                let message = format!("the public half of this key, `{public}`, is missing");
                let help = "make the key and commit its public half; nothing can be released with it before";
                file.warning(&[], Finding::new(Code::MissingKeyFile, message, help));
            }
        });
    }
    let mut keys = BTreeMap::new();
    for (id, runner) in &config.runners {
        let earlier: Option<RunnerId> = keys.insert(runner.key, id.clone());
        each(format!("runners/{id}.yaml"), &|file| {
            if let Some(earlier) = &earlier {
                let message = format!("runners/{earlier}.yaml has the same key");
                let help = "give each runner its own key, or remove one of the files";
                file.error(
                    &[Field("key")],
                    Finding::new(Code::DuplicateEntry, message, help),
                );
            }
            for (field, list) in [
                ("architectures", &runner.architectures),
                ("emulated", &runner.emulated),
            ] {
                for (i, architecture) in list.iter().enumerate() {
                    unused_architecture(&[Field(field), Item(i)], architecture, config, file);
                }
            }
        });
    }
    found
}

fn known_platform<'c>(
    at: &[Step<'_>],
    name: &PlatformName,
    config: &'c Config,
    file: &mut File<'_>,
) -> Option<&'c Platform> {
    let names: Vec<&str> = config.platforms.keys().map(AsRef::as_ref).collect();
    file.known(at, name.as_str(), names, &PLATFORM);
    config.platforms.get(name)
}

/// A note only: a project may list platforms that it does not build for yet. Each missing file is
/// told once, where it is first named.
fn key_files(platform: &Platform, config: &Config, file: &mut File<'_>) {
    for key in platform.key_files() {
        if config.key_files.contains_key(key) {
            continue;
        }
        let message =
            format!("this platform cannot be used yet: its public key `{key}` is missing");
        let help = format!(
            "put the distribution's public key at `{key}` before a request uses this platform"
        );
        let finding = Finding::new(Code::MissingKeyFile, message, help);
        match &platform.contents {
            Contents::Rpm { repos, .. } => {
                let named = |repo: &PackageRepo| repo.keys.iter().position(|k| k == key);
                let place = repos
                    .iter()
                    .enumerate()
                    .find_map(|(i, repo)| Some((i, named(repo)?)));
                let (i, j) = place.unwrap_or_default();
                file.note(&[Field("repos"), Item(i), Field("keys"), Item(j)], finding);
            }
            Contents::Deb { archives } => {
                let place = archives.iter().position(|a| a.key_file() == Some(key));
                let i = place.unwrap_or_default();
                file.note(&[Field("archives"), Item(i), Field("keyring")], finding);
            }
        }
    }
}

fn check_repository(repository: &Repository, config: &Config, file: &mut File<'_>) {
    let keys: Vec<&str> = config.keys.keys().map(AsRef::as_ref).collect();
    file.known(&[Field("key")], repository.key.as_str(), keys, &KEY);
    let at = [Field("platform")];
    let Some(platform) = known_platform(&at, &repository.platform, config, file) else {
        return;
    };
    let (own, built) = (repository.format(), platform.format());
    if own != built {
        let message = format!(
            "this repository is {own}; the platform `{}` builds {built}",
            repository.platform
        );
        let help = format!("write a platform whose format is {own}, or `format: {built}`");
        file.error(&at, Finding::new(Code::FormatMismatch, message, help));
        return;
    }
    for (i, architecture) in repository.architectures.iter().enumerate() {
        if !platform.architectures.contains(architecture) {
            let known: Vec<&str> = platform.architectures.iter().map(AsRef::as_ref).collect();
            let message = format!(
                "the platform `{}` is not built for `{architecture}`",
                repository.platform
            );
            let help = suggest::help(
                architecture.as_str(),
                known,
                "architectures of the platform",
            );
            let at = [Field("architectures"), Item(i)];
            file.error(&at, Finding::new(Code::UnknownArchitecture, message, help));
        }
    }
}

/// Who is named in the policy is there. What their keys can do is for those to say who read OpenPGP.
fn check_approvals(config: &Config, file: &mut File<'_>) {
    let repositories: Vec<&str> = config.repositories.keys().map(AsRef::as_ref).collect();
    let files = config.key_files.keys();
    let people: Vec<&str> = files
        .filter_map(|path| {
            path.as_str()
                .strip_prefix("keys/people/")?
                .strip_suffix(".asc")
        })
        .collect();
    let rules = &config.policy.approvals;
    let is_free =
        |name: &RepositoryName| !rules.iter().any(|rule| rule.repositories.contains(name));
    for (i, rule) in rules.iter().enumerate() {
        let at = |field, j| [Field("approvals"), Item(i), Field(field), Item(j)];
        for (j, name) in rule.repositories.iter().enumerate() {
            let known = repositories.iter().copied();
            let at = at("repositories", j);
            file.known(&at, name.as_str(), known, &REPOSITORY);
            let key = config.repositories.get(name).map(|own| &own.key);
            let mut others = config.repositories.iter();
            if let Some((other, _)) =
                others.find(|(other, it)| Some(&it.key) == key && is_free(other))
            {
                let message = format!(
                    "`{other}` needs no approvals and has the same key: clients of `{name}` believe what is released there"
                );
                let help = "name both, or give this repository a key of its own";
                file.warning(&at, Finding::new(Code::Conflict, message, help));
            }
        }
        for (j, name) in rule.by.iter().enumerate() {
            let known = people.iter().copied();
            file.known(&at("by", j), name.as_str(), known, &PERSON);
        }
    }
}

/// Two repositories that would write the same files: a repository is replaced as a whole, so no
/// other may lie in, at or above its folder. The later name in the alphabet is told.
fn shared_place(
    name: &RepositoryName,
    repository: &Repository,
    config: &Config,
    file: &mut File<'_>,
) {
    let own = repository.layout.path();
    let mut earlier = config.repositories.range(..name.clone());
    if let Some((earlier, other)) = earlier.find(|(_, other)| own.overlaps(other.layout.path())) {
        let path = other.layout.path();
        let message = format!("repositories/{earlier}.yaml is published at `{path}`");
        let help = format!("write a path that is not `{path}`, not inside it and not above it");
        file.error(
            &[Field("path")],
            Finding::new(Code::DuplicateEntry, message, help),
        );
    }
}

fn unused_architecture(
    at: &[Step<'_>],
    architecture: &Architecture,
    config: &Config,
    file: &mut File<'_>,
) {
    let known: Vec<&str> = config
        .platforms
        .values()
        .flat_map(|platform| platform.architectures.iter().map(AsRef::as_ref))
        .collect();
    if !known.is_empty() && !known.contains(&architecture.as_str()) {
        let message = format!("no platform is built for `{architecture}`");
        let help = match suggest::nearest(architecture.as_str(), known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "remove it, or add the architecture to a platform".to_owned(),
        };
        file.warning(at, Finding::new(Code::Unused, message, help));
    }
}
