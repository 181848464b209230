//! A release request against the configuration and the build requests.

use super::place::{File, REPOSITORY, Step};
use crate::config::Config;
use crate::diagnostic::{Code, Diagnostic};
use crate::ids::RepositoryName;
use crate::path::{KeyFilePath, RequestKind, RequestPath};
use crate::read::report::Finding;
use crate::release::ReleaseRequest;

use Step::{Field, Item};

/// Holds a release request, read from `text` at `path`, against the configuration. `exists` says
/// whether another request is in the same commit.
pub fn check_release(
    request: &ReleaseRequest,
    path: &RequestPath,
    text: &str,
    config: &Config,
    exists: &dyn Fn(&RequestPath) -> bool,
) -> Vec<Diagnostic> {
    let mut file = File::new(path.as_str(), text);
    if path.kind() != RequestKind::Release {
        let message = "a release request does not belong here";
        let help = "move it to `releases/<yyyy>/<mm>/<name>.yaml`";
        file.error(&[], Finding::new(Code::MisplacedFile, message, help));
    }
    for (i, from) in request.from.iter().enumerate() {
        let finding = if from.kind() != RequestKind::Build {
            let message = match from.kind() {
                RequestKind::Scratch => "nothing of a scratch build is ever released",
                _ => "a release is made from builds; this is a release",
            };
            Finding::new(
                Code::InvalidValue,
                message,
                "write the path of a build request",
            )
        } else if !exists(from) {
            let help = "write the path of a build request that is on this branch";
            Finding::new(
                Code::UnknownRequest,
                format!("there is no request `{from}`"),
                help,
            )
        } else {
            continue;
        };
        file.error(&[Field("from"), Item(i)], finding);
    }
    for (i, name) in request.to.iter().enumerate() {
        target(&[Field("to"), Item(i)], name, config, &mut file);
    }
    for (i, placement) in request.place.iter().enumerate() {
        let at = [Field("place"), Item(i), Field("into")];
        target(&at, &placement.into, config, &mut file);
        let earlier = request.place[..i]
            .iter()
            .position(|p| p.package == placement.package);
        if let Some(earlier) = earlier {
            let message = format!(
                "entry {} of the list already places `{}`",
                earlier + 1,
                placement.package
            );
            let at = [Field("place"), Item(i), Field("package")];
            file.error(
                &at,
                Finding::new(Code::DuplicateEntry, message, "remove one of the two"),
            );
        }
    }
    file.finish()
}

/// A repository that packages go to: it exists, and what it publishes can be verified.
fn target(at: &[Step<'_>], name: &RepositoryName, config: &Config, file: &mut File<'_>) {
    let known: Vec<&str> = config.repositories.keys().map(AsRef::as_ref).collect();
    if !file.known(at, name.as_str(), known, &REPOSITORY) {
        return;
    }
    let key = &config.repositories[name].key;
    let public = KeyFilePath::of_key(key);
    if config.keys.contains_key(key) && !config.key_files.contains_key(&public) {
        let message = format!("`{name}` cannot be signed: the public key `{public}` is missing");
        let help = format!("make the key `{key}` and commit its public half as `{public}`");
        file.error(at, Finding::new(Code::MissingKeyFile, message, help));
    }
}
