//! rpmbuild's command lines, scripts and complaints.

use pipeline_spec::{BuildOptions, Contents, Platform};
use runner_agent::Halt;
use runner_api::{FailureKind, Outcome};

/// `rpm -qa` of a buildroot: name, version, architecture, digest of the package's header.
pub(crate) const INSTALLED_FORMAT: &str =
    r"%{NAME}\t%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\t%{ARCH}\t%{SHA256HEADER}\n";
/// `rpmspec -q` of a spec: every binary package's name, and what else it provides, after a mark that
/// tells them from warnings.
pub(crate) const PROVIDES_FORMAT: &str = r"provides=%{NAME}\n[provides=%{PROVIDENAME}\n]";

/// Sources are laid out and dated by the commit, so that the same commit gives the same bytes.
/// `$1`: the tree, `$2`: the spec's name; the rest: options. No requirement need be installed to make
/// a source RPM.
pub(crate) const PACK: &str = r#"
tree=$1 spec=$2
shift 2
mkdir -p SOURCES
cp -RP "$tree"/. SOURCES
for file in /extra/*; do if [ -e "$file" ]; then cp "$file" SOURCES; fi; done
find SOURCES -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
exec rpmbuild -bs --nodeps "$@" "SOURCES/$spec"
"#;

/// `$1`: the tree, `$2`: the spec's name; the rest: options.
pub(crate) const EXPAND: &str = r#"
tree=$1 spec=$2
shift 2
cp -RP "$tree" SOURCES
exec rpmspec -P "$@" "SOURCES/$spec"
"#;

/// `$1`: the source RPM, `$2`: [`PROVIDES_FORMAT`]; the rest: options. What is required is asked anew,
/// since the platform's macros and the request's options may change it.
pub(crate) const PROVIDES: &str = r#"
srpm=$1 format=$2
shift 2
mkdir -p SOURCES
(cd SOURCES && rpm2cpio "$srpm" | cpio -idm --quiet --no-absolute-filenames)
rpmspec -q --qf "$format" "$@" SOURCES/*.spec
exec rpmspec -q --srpm --qf '[requires=%{REQUIRENAME}\n]' "$@" SOURCES/*.spec
"#;

/// `$1`: the source RPM; the rest: options. Makes the source RPM again, as mock does: on this
/// architecture, with these macros, it may require other things than it says itself. Leaves
/// [`DYNAMIC`] if some of them are known only when the sources are unpacked.
pub(crate) const REPACK: &str = r#"
srpm=$1
shift
mkdir -p SOURCES
(cd SOURCES && rpm2cpio "$srpm" | cpio -idm --quiet --no-absolute-filenames)
if grep -q '^%generate_buildrequires' SOURCES/*.spec; then : > DYNAMIC; fi
exec rpmbuild -bs --nodeps "$@" --define '_source_payload w.ufdio' SOURCES/*.spec
"#;
/// Name of the mark of [`REPACK`].
pub(crate) const DYNAMIC: &str = "DYNAMIC";

/// `$1`: the source RPM; the rest: options.
pub(crate) const BUILD: &str = r#"
srpm=$1
shift
exec rpmbuild --rebuild "$@" "$srpm"
"#;

/// `$1`: the source RPM; the rest: options. Runs `%prep` and `%generate_buildrequires`; what is still
/// missing is listed in a `.buildreqs.nosrc.rpm`, which rpm tells by the exit code 11.
pub(crate) const GENERATE: &str = r#"
srpm=$1
shift
code=0
rpmbuild -rr "$@" "$srpm" || code=$?
if [ "$code" != 11 ]; then exit "$code"; fi
"#;

/// Options that every rpmbuild and rpmspec of a task gets: the platform's macros, then the request's.
pub(crate) fn options(platform: &Platform, options: &BuildOptions, target: &str) -> Vec<String> {
    let mut words = vec!["--target".to_owned(), target.to_owned()];
    let mut define = |name: &str, value: &str| {
        words.extend(["--define".to_owned(), format!("{name} {value}")]);
    };
    for (name, value) in FIXED {
        define(name, value);
    }
    if let Contents::Rpm { macros, .. } = &platform.contents {
        for (name, value) in macros {
            define(name.as_str(), value.as_str());
        }
    }
    for (name, value) in &options.define {
        define(name.as_str(), value.as_str());
    }
    for name in &options.with {
        words.extend(["--with".to_owned(), name.to_string()]);
    }
    for name in &options.without {
        words.extend(["--without".to_owned(), name.to_string()]);
    }
    words
}

/// Where rpmbuild works, and what keeps clock and machine out of the packages.
const FIXED: [(&str, &str); 6] = [
    ("_topdir", "/build"),
    (
        "_rpmfilename",
        "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm",
    ),
    ("_buildhost", "millrace"),
    ("use_source_date_epoch_as_buildtime", "1"),
    ("clamp_mtime_to_source_date_epoch", "1"),
    // The same wish in the words of rpm 4.20.
    ("build_mtime_policy", "clamp_to_source_date_epoch"),
];

/// A complaint of rpmbuild that has a kind of its own.
struct Complaint {
    words: &'static str,
    kind: FailureKind,
    message: fn(&str) -> String,
}

const COMPLAINTS: [Complaint; 3] = [
    Complaint {
        words: "Bad file: ",
        kind: FailureKind::SourceMissing,
        message: missing_source,
    },
    Complaint {
        words: "Bad source: ",
        kind: FailureKind::SourceMissing,
        message: missing_source,
    },
    Complaint {
        words: " is needed by ",
        kind: FailureKind::BuildDependencies,
        message: |line| {
            format!(
                "a build requirement is missing in the buildroot: {line}; correct BuildRequires"
            )
        },
    },
];

fn missing_source(line: &str) -> String {
    let path = line.split(": ").nth(2).unwrap_or(line);
    let name = path.rsplit('/').next().unwrap_or(path);
    format!(
        "the spec names {name}, which is not there: put it beside the spec, or give it an http(s) address as Source and write its digest down with `sha512sum --tag {name} >> sources`"
    )
}

/// Gives a failure of rpmbuild the kind that its last lines show.
pub(crate) fn reclassify(halt: Halt) -> Halt {
    let mut outcome = Outcome::from(halt);
    if let Outcome::Failed { failure, .. } = &mut outcome
        && matches!(
            failure.kind,
            FailureKind::SourcePackage | FailureKind::Build
        )
    {
        let unmet = failure
            .excerpt
            .iter()
            .any(|line| line.starts_with("error: Failed build dependencies"));
        let found = COMPLAINTS.iter().find_map(|complaint| {
            let line = failure
                .excerpt
                .iter()
                .find(|line| line.contains(complaint.words))?;
            // What a package's own programs print is not rpmbuild speaking.
            (line.starts_with("error:") || unmet && line.starts_with('\t'))
                .then(|| (complaint, line.trim().to_owned()))
        });
        if let Some((complaint, line)) = found {
            failure.kind = complaint.kind;
            failure.message = (complaint.message)(&line);
        }
    }
    outcome.into()
}

/// The time that a build's files carry, seconds since 1970: the changelog's newest entry, as
/// distributions do it, else when the source RPM was made, which is the commit's time.
pub(crate) fn epoch(srpm: &repo_rpm::Package) -> u64 {
    srpm.changelogs
        .first()
        .map_or(srpm.build_time, |entry| entry.time)
}
