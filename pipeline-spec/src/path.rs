//! Paths of the state repository: which file means what. The path of a request is its name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::{
    FlavorName, IdError, KeyId, NameRule, PersonName, PlatformName, RepositoryName, RunnerId,
    string_type,
};
use crate::limits::{MAX_NAME_BYTES, MAX_PATH_BYTES};
use crate::suggest;

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RequestKind {
    /// `builds/…`: build packages.
    Build,
    /// `releases/…`: publish what was built.
    Release,
    /// `scratch/…`: build what a pull request proposes, for nobody to release. No file can ask for it.
    Scratch,
}

impl RequestKind {
    /// The first part of their paths; of what files ask for, the folder that holds them.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Build => "builds",
            Self::Release => "releases",
            Self::Scratch => "scratch",
        }
    }
}

impl fmt::Display for RequestKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Build => "build",
            Self::Release => "release",
            Self::Scratch => "scratch build",
        })
    }
}

/// Path of a request in the state repository, and its identity for ever:
/// `builds/<yyyy>/<mm>/<name>.yaml` or `releases/<yyyy>/<mm>/<name>.yaml`.
///
/// A scratch build has a path that nobody can write: `scratch/<pull>/<commit>/<yyyy>/<mm>/<name>.yaml`. [`FromStr`], which
/// reads whatever people name, refuses it; rows and messages have it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestPath(String);

impl RequestPath {
    /// What it asks for, from the first folder.
    pub fn kind(&self) -> RequestKind {
        match self.0.split('/').next() {
            Some("builds") => RequestKind::Build,
            Some("scratch") => RequestKind::Scratch,
            _ => RequestKind::Release,
        }
    }

    /// The scratch build of `build` as it is in `commit` (all its hex digits) of a pull request. `None`: it is no build,
    /// or that is no commit.
    pub fn scratch(pull: u64, commit: &str, build: &Self) -> Option<Self> {
        let below = build.0.strip_prefix("builds/")?;
        is_commit(commit).then(|| Self(format!("scratch/{pull}/{commit}/{below}")))
    }

    /// Whether nothing of it is ever released.
    pub fn is_scratch(&self) -> bool {
        self.kind() == RequestKind::Scratch
    }

    /// Of a scratch build, the build request that it is of.
    pub fn scratch_of(&self) -> Option<Self> {
        let rest = self.0.strip_prefix("scratch/")?;
        // Behind the pull request and the commit.
        let below = rest.splitn(3, '/').nth(2)?;
        Some(Self(format!("builds/{below}")))
    }

    /// Reads one of a row or a message: scratch builds, too. Of what people name, only where nothing hangs on it but what
    /// they are shown.
    pub fn stored(text: &str) -> Result<Self, IdError> {
        let Some(rest) = text.strip_prefix("scratch/") else {
            return text.parse();
        };
        let error = |reason| IdError::new("the path of a request", text, reason, REQUEST_HELP);
        let parts: Vec<&str> = rest.splitn(3, '/').collect();
        let [pull, commit, below] = parts[..] else {
            return Err(error("it names no pull request and no commit"));
        };
        let build: Self = format!("builds/{below}").parse()?;
        // One path for one build: no zeros in front.
        let number = pull.parse().ok().filter(|n: &u64| n.to_string() == pull);
        let path = number.and_then(|number| Self::scratch(number, commit, &build));
        path.ok_or_else(|| error("it names no pull request and no commit"))
    }

    /// The file name without `.yaml`: `openssl-fix`.
    pub fn name(&self) -> &str {
        let file = self.0.rsplit('/').next().unwrap_or(&self.0);
        file.strip_suffix(".yaml").unwrap_or(file)
    }
}

/// All its hex digits, of SHA-1 or SHA-256.
fn is_commit(text: &str) -> bool {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    [40, 64].contains(&text.len()) && text.bytes().all(is_hex)
}

const REQUEST_NAME: NameRule = NameRule {
    what: "the path of a request",
    min_bytes: 1,
    max_bytes: MAX_NAME_BYTES,
    first: |c| c.is_ascii_alphanumeric(),
    rest: |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '+'),
    allowed: "a file name has letters, digits, `-`, `.`, `_` and `+`",
    help: REQUEST_HELP,
};

const REQUEST_HELP: &str =
    "write `builds/<yyyy>/<mm>/<name>.yaml` or `releases/<yyyy>/<mm>/<name>.yaml`";

impl FromStr for RequestPath {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let error = |reason: &str| {
            Err(IdError::new(
                "the path of a request",
                text,
                reason,
                REQUEST_HELP,
            ))
        };
        if text.len() > MAX_PATH_BYTES {
            return error("it is too long");
        }
        let parts: Vec<&str> = text.split('/').collect();
        let [folder, year, month, file] = parts[..] else {
            return error("it has not four parts");
        };
        if !matches!(folder, "builds" | "releases") {
            return error("it begins with neither `builds/` nor `releases/`");
        }
        if year.len() != 4 || !year.bytes().all(|b| b.is_ascii_digit()) {
            return error("the year has not four digits");
        }
        let month_fits = month.len() == 2 && month.parse().is_ok_and(|m: u8| (1..=12).contains(&m));
        if !month_fits || !month.bytes().all(|b| b.is_ascii_digit()) {
            return error("the month is not 01 to 12");
        }
        let Some(name) = file.strip_suffix(".yaml") else {
            return error("it does not end in `.yaml`");
        };
        REQUEST_NAME.check(name).map_err(|e| IdError {
            text: crate::visible::shorten(text),
            ..e
        })?;
        Ok(Self(text.to_owned()))
    }
}

string_type!(
    RequestPath,
    "^(builds|releases)/[0-9]{4}/(0[1-9]|1[0-2])/[A-Za-z0-9][A-Za-z0-9._+-]*\\.yaml$",
    MAX_PATH_BYTES,
    "Path of a request: builds/<yyyy>/<mm>/<name>.yaml or releases/<yyyy>/<mm>/<name>.yaml.",
    RequestPath::stored
);

/// Path of an advisory: `errata/<yyyy>/<id>.yaml`, such as `errata/2026/ALSA-2026:1234.yaml`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErratumPath(String);

const ERRATUM_HELP: &str =
    "write `errata/<yyyy>/<id>.yaml`, like `errata/2026/ALSA-2026:1234.yaml`";

const ERRATUM_ID: NameRule = NameRule {
    what: "the path of an advisory",
    min_bytes: 1,
    max_bytes: MAX_NAME_BYTES,
    first: |c| c.is_ascii_alphanumeric(),
    rest: |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':'),
    allowed: "an advisory's id has letters, digits, `-`, `.`, `_` and `:`",
    help: ERRATUM_HELP,
};

impl FromStr for ErratumPath {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let error = |reason: &str| {
            Err(IdError::new(
                "the path of an advisory",
                text,
                reason,
                ERRATUM_HELP,
            ))
        };
        let parts: Vec<&str> = text.split('/').collect();
        let ["errata", year, file] = parts[..] else {
            return error("it has not the form `errata/<yyyy>/<id>.yaml`");
        };
        if year.len() != 4 || !year.bytes().all(|b| b.is_ascii_digit()) {
            return error("the year has not four digits");
        }
        let Some(id) = file.strip_suffix(".yaml") else {
            return error("it does not end in `.yaml`");
        };
        ERRATUM_ID.check(id).map_err(|e| IdError {
            text: crate::visible::shorten(text),
            ..e
        })?;
        Ok(Self(text.to_owned()))
    }
}

string_type!(
    ErratumPath,
    "^errata/[0-9]{4}/[A-Za-z0-9][A-Za-z0-9._:-]*\\.yaml$",
    MAX_PATH_BYTES,
    "Path of an advisory: errata/<yyyy>/<id>.yaml."
);

/// Path of a public key file in the state repository: `keys/main.asc`,
/// `keys/upstream/almalinux-10.asc`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyFilePath(String);

impl KeyFilePath {
    /// Where the public half of a signing key lies: `keys/<id>.asc`.
    pub fn of_key(id: &KeyId) -> Self {
        Self(format!("keys/{id}.asc"))
    }

    /// Where the public key of a person lies: `keys/people/<name>.asc`.
    pub fn of_person(name: &PersonName) -> Self {
        Self(format!("keys/people/{name}.asc"))
    }
}

const KEY_FILE_HELP: &str =
    "put the public key under `keys/` and write its path, like `keys/upstream/almalinux-10.asc`";

const KEY_FILE_PART: NameRule = NameRule {
    what: "the path of a public key",
    min_bytes: 1,
    max_bytes: MAX_NAME_BYTES,
    first: |c| c.is_ascii_alphanumeric(),
    rest: |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '+'),
    allowed: "each part has letters, digits, `-`, `.`, `_` and `+`",
    help: KEY_FILE_HELP,
};

impl FromStr for KeyFilePath {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let error = |reason: &str| {
            Err(IdError::new(
                "the path of a public key",
                text,
                reason,
                KEY_FILE_HELP,
            ))
        };
        if text.len() > MAX_PATH_BYTES {
            return error("it is too long");
        }
        let Some(rest) = text.strip_prefix("keys/") else {
            return error("it is not under `keys/`");
        };
        if !text.ends_with(".asc") {
            return error("it does not end in `.asc`");
        }
        for part in rest.split('/') {
            KEY_FILE_PART.check(part).map_err(|e| IdError {
                text: crate::visible::shorten(text),
                ..e
            })?;
        }
        Ok(Self(text.to_owned()))
    }
}

string_type!(
    KeyFilePath,
    "^keys/([A-Za-z0-9][A-Za-z0-9._+-]*/)*[A-Za-z0-9][A-Za-z0-9._+-]*\\.asc$",
    MAX_PATH_BYTES,
    "Path of an armored OpenPGP public key in the state repository, under keys/."
);

/// What a file of the state repository is, from its path alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathKind {
    /// `millrace.yaml`.
    Project,
    /// `policy.yaml`.
    Policy,
    /// `platforms/<name>.yaml`.
    Platform(PlatformName),
    /// `flavors/<name>.yaml`.
    Flavor(FlavorName),
    /// `repositories/<name>.yaml`.
    Repository(RepositoryName),
    /// `keys/<id>.yaml`.
    Key(KeyId),
    /// `keys/….asc`, at any depth.
    KeyFile(KeyFilePath),
    /// `runners/<id>.yaml`.
    Runner(RunnerId),
    /// `builds/…` or `releases/…`, well placed.
    Request(RequestPath),
    /// `errata/<yyyy>/<id>.yaml`: accepted, its contents are not read yet.
    Erratum(ErratumPath),
    /// A folder of the language whose contents are not read yet: `modifications/`, `tests/`.
    Reserved,
    /// A file in a folder of the language whose name does not fit there.
    Misplaced(IdError),
    /// Anything else (README.md, examples/, .github/, .millrace/): people's own.
    Other,
}

/// Says what the file at `path` (relative, `/` as separator) means.
pub fn classify(path: &str) -> PathKind {
    let Some((folder, rest)) = path.split_once('/') else {
        return match path {
            "millrace.yaml" => PathKind::Project,
            "policy.yaml" => PathKind::Policy,
            _ => meant(path, path, &["millrace.yaml", "policy.yaml"]),
        };
    };
    let file = rest.rsplit('/').next().unwrap_or(rest);
    let is_hidden = file.starts_with('.') && !file.ends_with(".yaml");
    if is_hidden || file.eq_ignore_ascii_case("README.md") {
        return PathKind::Other;
    }
    let placed = match folder {
        "platforms" => stem("a platform file", folder, rest).map(PathKind::Platform),
        "flavors" => stem("a flavor file", folder, rest).map(PathKind::Flavor),
        "repositories" => stem("a repository file", folder, rest).map(PathKind::Repository),
        "runners" => stem("a runner file", folder, rest).map(PathKind::Runner),
        "keys" if rest.ends_with(".asc") => path.parse().map(PathKind::KeyFile),
        "keys" => stem("a key file", folder, rest).map(PathKind::Key),
        "builds" | "releases" => path.parse().map(PathKind::Request),
        "errata" => path.parse().map(PathKind::Erratum),
        "modifications" | "tests" => return PathKind::Reserved,
        _ => return meant(path, folder, FOLDERS),
    };
    placed.unwrap_or_else(PathKind::Misplaced)
}

const FOLDERS: &[&str] = &[
    "platforms",
    "flavors",
    "repositories",
    "runners",
    "keys",
    "builds",
    "releases",
    "errata",
];

/// A YAML file whose name, or whose folder's name, is nearly one of the language: read by nobody,
/// and surely meant to be read. Everything else is people's own.
fn meant(path: &str, name: &str, known: &[&'static str]) -> PathKind {
    let yaml = path.ends_with(".yaml") || path.ends_with(".yml");
    match suggest::nearest(name, known.iter().copied()).filter(|_| yaml) {
        Some(near) => {
            let reason = format!("nothing reads it; `{near}` is read");
            let help = format!("rename `{}` to `{near}`", crate::visible::shorten(name));
            PathKind::Misplaced(IdError::new("a path of this language", path, reason, help))
        }
        None => PathKind::Other,
    }
}

/// Parses `<name>.yaml` directly inside `folder`.
fn stem<T: FromStr<Err = IdError>>(
    what: &'static str,
    folder: &str,
    rest: &str,
) -> Result<T, IdError> {
    let path = format!("{folder}/{rest}");
    let help = format!("move it to `{folder}/<name>.yaml`");
    if rest.contains('/') {
        return Err(IdError::new(
            what,
            &path,
            format!("it is not directly in `{folder}/`"),
            help,
        ));
    }
    let Some(name) = rest.strip_suffix(".yaml") else {
        return Err(IdError::new(
            what,
            &path,
            "its name does not end in `.yaml`",
            help,
        ));
    };
    name.parse()
}

/// Whether the file takes part in [`Config::load`](crate::Config::load): configuration and public
/// keys, but no request. A snapshot reader hands over exactly these.
pub fn is_config_path(path: &str) -> bool {
    match classify(path) {
        PathKind::Project
        | PathKind::Policy
        | PathKind::Platform(_)
        | PathKind::Flavor(_)
        | PathKind::Repository(_)
        | PathKind::Key(_)
        | PathKind::KeyFile(_)
        | PathKind::Runner(_) => true,
        PathKind::Misplaced(_) => {
            !path.starts_with("builds/")
                && !path.starts_with("releases/")
                && !path.starts_with("errata/")
        }
        PathKind::Request(_) | PathKind::Erratum(_) | PathKind::Reserved | PathKind::Other => false,
    }
}
