//! All checks over a whole state repository: what `millrace lint` says.

use std::collections::{BTreeMap, BTreeSet};

use crate::build::BuildRequest;
use crate::check::{File, Step, check_build, check_release, cycle};
use crate::config::Config;
use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::parse::{check_place, parse_build, parse_release};
use crate::path::{PathKind, RequestKind, RequestPath, classify};
use crate::read::report::Finding;
use crate::release::ReleaseRequest;
use crate::schema::other_schemas;
use crate::suggest;

/// Checks every file of a state repository, given by path and contents. Sorted by path, line and
/// column; empty when all is well.
pub fn lint<P: AsRef<str>, B: AsRef<[u8]>>(files: &[(P, B)]) -> Vec<Diagnostic> {
    let files: BTreeMap<&str, &[u8]> = files
        .iter()
        .map(|(path, bytes)| (path.as_ref(), bytes.as_ref()))
        .collect();
    let (config, mut found) =
        Config::load(files.iter().filter(|(path, _)| crate::is_config_path(path)));
    let is_broken = |d: &Diagnostic| d.severity == Severity::Error && d.code != Code::MisplacedFile;
    let broken = found.iter().any(is_broken);
    let mut requests = BTreeMap::new();
    for (path, bytes) in &files {
        match classify(path) {
            PathKind::Request(name) => _ = requests.insert(name, *bytes),
            PathKind::Misplaced(_) if !crate::is_config_path(path) => {
                found.extend(check_place(path));
            }
            _ => {}
        }
    }
    let tree = Tree {
        config: &config,
        requests,
    };
    let (builds, releases) = tree.parse(&mut found);
    let mut checked = tree.check(&builds, &releases);
    // Names that a broken configuration file defines would all be reported as unknown.
    checked.retain(|d| !broken || !names_something(d.code));
    found.extend(checked);
    if !broken {
        drop_early_warnings(&config, &builds, &releases, &mut found);
    }
    found.extend(other_schemas(&files));
    found.sort_by(|a, b| {
        (&a.path, a.line, a.column, a.code).cmp(&(&b.path, b.line, b.column, b.code))
    });
    found
}

/// Whether the mistake is a name that the configuration does not define.
fn names_something(code: Code) -> bool {
    matches!(
        code,
        Code::UnknownPlatform
            | Code::UnknownArchitecture
            | Code::UnknownRepository
            | Code::UnknownFlavor
            | Code::UnknownKey
            | Code::UnknownPerson
            | Code::MissingKeyFile
    )
}

struct Tree<'a> {
    config: &'a Config,
    requests: BTreeMap<RequestPath, &'a [u8]>,
}

type Builds = BTreeMap<RequestPath, BuildRequest>;
type Releases = BTreeMap<RequestPath, ReleaseRequest>;

impl Tree<'_> {
    fn exists(&self) -> impl Fn(&RequestPath) -> bool {
        |path| self.requests.contains_key(path)
    }

    /// Each request against the configuration and against the others.
    fn check(&self, builds: &Builds, releases: &Releases) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        for (path, request) in builds {
            let text = self.text(path);
            let exists = &self.exists();
            found.extend(check_build(request, path, text, self.config, exists));
        }
        for (path, request) in releases {
            let text = self.text(path);
            let checked = check_release(request, path, text, self.config, &self.exists());
            let checked = checked.into_iter();
            found.extend(checked.map(|found| self.may_be_published(request, found)));
            found.extend(self.idle_targets(path, request, builds));
        }
        found.extend(self.linked_circle(builds));
        found
    }

    /// A published release outlives the files of its builds. What is published is not in the files:
    /// `millrace plan` knows it, and calls a release that is not an error. A slip of the pen is an error
    /// here too.
    fn may_be_published(&self, release: &ReleaseRequest, mut found: Diagnostic) -> Diagnostic {
        if found.code != Code::UnknownRequest {
            return found;
        }
        let builds = self.requests.keys();
        let builds = builds.filter(|path| path.kind() == RequestKind::Build);
        let builds = builds.map(RequestPath::as_str);
        let named = |from: &&RequestPath| found.message.contains(from.as_str());
        let slip = release
            .from
            .iter()
            .find(named)
            .and_then(|from| suggest::slip(from.as_str(), builds));
        if let Some(meant) = slip {
            found.help = format!("did you mean `{meant}`?");
        } else {
            found.severity = Severity::Warning;
            found
                .help
                .push_str("; a release that is published already stays as it is");
        }
        found
    }

    /// The text of a request that was parsed, so is UTF-8.
    fn text(&self, path: &RequestPath) -> &str {
        self.requests
            .get(path)
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .unwrap_or("")
    }

    fn parse(&self, found: &mut Vec<Diagnostic>) -> (Builds, Releases) {
        let (mut builds, mut releases) = (Builds::new(), Releases::new());
        for (path, bytes) in &self.requests {
            let result = match path.kind() {
                RequestKind::Build => {
                    parse_build(path, bytes).map(|request| _ = builds.insert(path.clone(), request))
                }
                RequestKind::Release => parse_release(path, bytes)
                    .map(|request| _ = releases.insert(path.clone(), request)),
                // No file is one.
                RequestKind::Scratch => continue,
            };
            found.extend(result.err().into_iter().flatten());
        }
        (builds, releases)
    }

    /// Repositories that get nothing from a release, since none of its builds is for their platform.
    fn idle_targets(
        &self,
        path: &RequestPath,
        release: &ReleaseRequest,
        builds: &Builds,
    ) -> Vec<Diagnostic> {
        let sources: Vec<&BuildRequest> = release
            .from
            .iter()
            .filter_map(|from| builds.get(from))
            .collect();
        let mut platforms = sources.iter().flat_map(|build| build.platforms.keys());
        // What is missing or misspelt is told where it stands.
        if sources.len() < release.from.len()
            || platforms.any(|name| !self.config.platforms.contains_key(name))
        {
            return Vec::new();
        }
        let mut file = File::new(path.as_str(), self.text(path));
        for (i, name) in release.to.iter().enumerate() {
            let Some(repository) = self.config.repositories.get(name) else {
                continue;
            };
            let is_known = self.config.platforms.contains_key(&repository.platform);
            let built = |build: &&BuildRequest| build.platforms.contains_key(&repository.platform);
            if is_known && !sources.iter().any(built) {
                let message = format!(
                    "`{name}` gets nothing: no build is for its platform `{}`",
                    repository.platform
                );
                let help = "remove it, or add a build for that platform under `from`";
                file.error(
                    &[Step::Field("to"), Step::Item(i)],
                    Finding::new(Code::Unused, message, help),
                );
            }
        }
        file.finish()
    }

    /// Builds that wait for each other by `with`.
    fn linked_circle(&self, builds: &Builds) -> Vec<Diagnostic> {
        let paths: Vec<&RequestPath> = builds.keys().collect();
        let index = |path: &RequestPath| paths.binary_search(&path).ok();
        // A link to itself is reported where it stands.
        let edges: Vec<Vec<usize>> = builds
            .iter()
            .map(|(path, build)| {
                build
                    .with
                    .iter()
                    .filter(|w| *w != path)
                    .filter_map(index)
                    .collect()
            })
            .collect();
        let Some(members) = cycle::find(&edges, 0..paths.len()) else {
            return Vec::new();
        };
        let chain: Vec<String> = members
            .iter()
            .chain(&members[..1])
            .map(|i| format!("`{}`", paths[*i]))
            .collect();
        let (from, to) = (paths[members[0]], paths[members[1 % members.len()]]);
        let place = builds[from]
            .with
            .iter()
            .position(|with| with == to)
            .unwrap_or(0);
        let mut file = File::new(from.as_str(), self.text(from));
        let message = format!("these builds wait for each other: {}", chain.join(" with "));
        file.error(
            &[Step::Field("with"), Step::Item(place)],
            Finding::new(Code::Cycle, message, "remove one of these links"),
        );
        file.finish()
    }
}

/// A missing key is an error where a request needs it; the warning in the configuration then says
/// no more.
fn drop_early_warnings(
    config: &Config,
    builds: &Builds,
    releases: &Releases,
    found: &mut Vec<Diagnostic>,
) {
    let platforms = builds.values().flat_map(|build| build.platforms.keys());
    let keys = releases
        .values()
        .flat_map(|release| {
            release
                .to
                .iter()
                .chain(release.place.iter().map(|p| &p.into))
        })
        .filter_map(|name| Some(&config.repositories.get(name)?.key));
    let used: BTreeSet<String> = platforms
        .map(|name| format!("platforms/{name}.yaml"))
        .chain(keys.map(|id| format!("keys/{id}.yaml")))
        .collect();
    found.retain(|d| {
        d.code != Code::MissingKeyFile || d.severity == Severity::Error || !used.contains(&d.path)
    });
}
