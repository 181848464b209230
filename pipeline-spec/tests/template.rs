//! The template is right, and a broken copy of it is answered as people need it.

mod common;

use common::{in_use, said, template};
use pipeline_spec::{Code, Severity, lint};

#[test]
fn the_template_has_no_errors() {
    let tree = template();
    let files: Vec<_> = tree.into_iter().collect();
    let found = lint(&files);
    let surprising: Vec<_> = found
        .iter()
        .filter(|d| d.severity == Severity::Error || d.code != Code::MissingKeyFile)
        .collect();
    assert!(surprising.is_empty(), "{surprising:#?}");
    assert!(
        !found.is_empty(),
        "a fresh template says which keys are missing"
    );
}

#[test]
fn the_template_in_use_is_silent() {
    assert_eq!(said(&in_use()), "");
}

#[test]
fn a_fresh_template_names_the_missing_keys() {
    insta::assert_snapshot!("fresh", said(&template()));
}

/// One edit of the template in use: a file, what is replaced in it, by what. An empty `old` makes or
/// replaces the file.
struct Edit {
    file: &'static str,
    old: &'static str,
    new: &'static str,
}

const fn edit(file: &'static str, old: &'static str, new: &'static str) -> Edit {
    Edit { file, old, new }
}

const BUILD: &str = "builds/2026/11/openssl-fix.yaml";
const HELLO: &str = "builds/2026/11/hello.yaml";
const RELEASE: &str = "releases/2026/11/hello.yaml";

fn broken(edits: &[Edit]) -> String {
    let mut tree = in_use();
    for edit in edits {
        let file = tree.entry(edit.file.to_owned()).or_default();
        let text = String::from_utf8(file.clone()).expect("the template is text");
        assert!(
            text.contains(edit.old),
            "{} has no {:?}",
            edit.file,
            edit.old
        );
        let new = if edit.old.is_empty() {
            edit.new.to_owned()
        } else {
            text.replacen(edit.old, edit.new, 1)
        };
        *file = new.into_bytes();
    }
    said(&tree)
}

/// Renders a table of broken copies, each under its heading.
fn answers(table: &[(&str, &[Edit])]) -> String {
    let mut out = String::new();
    for (title, edits) in table {
        let said = broken(edits);
        assert!(!said.is_empty(), "{title}: nothing was said");
        out.push_str(&format!("## {title}\n\n{said}\n"));
    }
    out
}

#[test]
fn broken_requests_are_answered() {
    #[rustfmt::skip]
    let table: &[(&str, &[Edit])] = &[
        ("a platform that is not there", &[edit(BUILD, "almalinux-10: [", "almalinux10: [")]),
        ("an architecture of the other family", &[edit(BUILD, "debian-12: [amd64]", "debian-12: [x86_64]")]),
        ("an architecture that the platform lacks", &[edit(BUILD, "[x86_64, aarch64]", "[x86_64, s390x]")]),
        ("a boolean among architectures", &[edit(BUILD, "[x86_64, aarch64]", "[x86_64, no]")]),
        ("noarch as an architecture", &[edit(BUILD, "[x86_64, aarch64]", "[noarch]")]),
        ("platforms as a list", &[edit(HELLO, "  debian-12: [amd64]      # no value: all architectures of the platform\n", "  [debian-12]\n")]),
        ("`on` outside the request", &[edit(BUILD, "on: [debian-12]", "on: [debian-13]")]),
        ("an unknown package in `after`", &[edit(BUILD, "after: [openssl]", "after: [opensl]")]),
        ("two packages that wait for each other", &[edit(BUILD, "    on: [almalinux-10]\n", "    on: [almalinux-10]\n    after: [nss]\n")]),
        ("a package twice", &[edit(BUILD, "rpms/nss.git", "rpms/openssl.git")]),
        ("a dsc for an RPM platform", &[edit(HELLO, "  - source:\n", "  - on: [bridge-12]\n    source:\n"), edit(HELLO, "  debian-12: [amd64]", "  bridge-12:")]),
        ("no platform for the source", &[edit(HELLO, "  debian-12: [amd64]", "  bridge-12:")]),
        ("RPM options for Debian", &[edit(BUILD, "{profiles: [nocheck]}", "{without: [tests]}")]),
        ("an unknown flavor", &[edit(BUILD, "with: [builds", "flavors: [epel]\nwith: [builds")]),
        ("a linked build that is not there", &[edit(BUILD, "builds/2026/11/hello.yaml", "builds/2026/10/hello.yaml")]),
        ("builds that wait for each other", &[edit(HELLO, "platforms:", "with: [builds/2026/11/openssl-fix.yaml]\nplatforms:")]),
        ("a request in the wrong place", &[edit("builds/2026/13/late.yaml", "", "reason: x\n"), edit("builds/quick.yaml", "", "reason: x\n")]),
        ("a request in a folder that nothing reads", &[edit("build/2026/11/late.yaml", "", "reason: x\n")]),
        ("a release to nowhere", &[edit(RELEASE, "to: [debian-12]", "to: [debian-21]")]),
        ("a release of what is not there", &[edit(RELEASE, "hello.yaml]", "helo.yaml]")]),
        ("a release that leaves a repository empty", &[edit(RELEASE, "to: [debian-12]", "to: [debian-12, almalinux-9]")]),
    ];
    insta::assert_snapshot!("requests", answers(table));
}

#[test]
fn broken_configuration_is_answered() {
    #[rustfmt::skip]
    let table: &[(&str, &[Edit])] = &[
        ("an empty file", &[edit("millrace.yaml", "", "# nothing yet\n")]),
        ("an unknown version of the language", &[edit("millrace.yaml", "version: 1", "version: 2")]),
        ("a limit without a unit", &[edit("millrace.yaml", "memory: 8GiB", "memory: 8G")]),
        ("a limit out of range", &[edit("millrace.yaml", "hours: 24", "hours: 10000")]),
        ("minutes that are an hour", &[edit("millrace.yaml", "hours: 24", "minutes: 60")]),
        ("a gate that is not a word", &[edit("policy.yaml", "tests: required", "tests: require")]),
        ("approvals by nobody and for nothing", &[edit("policy.yaml", "", "approvals:\n  - {repositories: [almalinux-11], count: 1, by: [alicia]}\n  - {repositories: [debian-12], count: 1, by: [alice]}\n"), edit("keys/people/alice.asc", "", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n")]),
        ("more approvals than people", &[edit("policy.yaml", "", "approvals:\n  - {repositories: [debian-12], count: 3, by: [alice, bob]}\n")]),
        ("no approvals at all", &[edit("policy.yaml", "", "approvals:\n  - {repositories: [debian-12], count: 0, by: [alice]}\n")]),
        ("a person twice", &[edit("policy.yaml", "", "approvals:\n  - {repositories: [debian-12], count: 2, by: [alice, alice]}\n")]),
        ("a private key of a person", &[edit("keys/people/alice.asc", "", "-----BEGIN PGP PRIVATE KEY BLOCK-----\n")]),
        ("a repository of no platform", &[edit("repositories/debian-12.yaml", "platform: debian-12", "platform: debian-11")]),
        ("a repository of the other format", &[edit("repositories/debian-12.yaml", "platform: debian-12", "platform: bridge-12")]),
        ("a repository without a key", &[edit("repositories/debian-12.yaml", "key: main", "key: mian")]),
        ("a field of the other format", &[edit("repositories/almalinux-9.yaml", "path: almalinux/9", "path: almalinux/9\nsuite: nine")]),
        ("two repositories at one place", &[edit("repositories/almalinux-9.yaml", "path: almalinux/9", "path: almalinux/10")]),
        ("a repository inside another", &[edit("repositories/debian-12.yaml", "path: debian/12", "path: debian/13/12")]),
        ("a backend of the other format", &[edit("platforms/debian-12.yaml", "format: deb", "format: deb\nbackend: mock")]),
        ("an archive without a keyring", &[edit("platforms/debian-12.yaml", "url: host", "url: https://deb.debian.org/debian")]),
        ("dnf's own variable", &[edit("platforms/almalinux-9.yaml", "BaseOS/$arch", "BaseOS/$basearch")]),
        ("a platform without a format", &[edit("platforms/debian-12.yaml", "format: deb", "fromat: deb")]),
        ("a private key", &[edit("keys/main.asc", "PUBLIC KEY BLOCK", "PRIVATE KEY BLOCK")]),
        ("a key in KMS by its bare id", &[edit("keys/main.yaml", "", "private: {kms: 1234abcd-12ab-34cd-56ef-1234567890ab}\n")]),
        ("a runner that signs and builds", &[edit("runners/one.yaml", "", "key: 11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\nroles: [sign, build-deb]\narchitectures: [amd64]\n")]),
        ("a runner with a cut key", &[edit("runners/one.yaml", "", "key: 11qYAYKxCrfVS\nroles: [test]\narchitectures: [amd64, aarch46]\n")]),
        ("a runner in a folder", &[edit("runners/lab/one.yaml", "", "roles: [test]\n")]),
        ("a policy that nothing reads", &[edit("polcy.yaml", "", "gates: {}\n")]),
        ("a misplaced file does not hide the other mistakes", &[edit("build/2026/11/hello.yaml", "", "reason: x\n"), edit(HELLO, "debian-12:", "debian-21:")]),
        ("a broken platform hides only its own name", &[edit("platforms/debian-12.yaml", "format: deb", "format: debian"), edit(HELLO, "dsc: https", "dsc: gopher")]),
        ("a slip in the name of a build", &[edit(RELEASE, "builds/2026/11/hello.yaml", "builds/2026/11/helo.yaml")]),
        ("a platform in a .yml file", &[edit("platforms/fedora-43.yml", "", "format: rpm\n")]),
    ];
    insta::assert_snapshot!("configuration", answers(table));
}

#[test]
fn broken_yaml_is_answered() {
    #[rustfmt::skip]
    let table: &[(&str, &[Edit])] = &[
        ("an unknown field", &[edit(HELLO, "packages:", "package:")]),
        ("a field twice", &[edit(HELLO, "packages:", "reason: Again\npackages:")]),
        ("a missing field and another one's typo", &[edit(HELLO, "reason:", "raeson:"), edit(HELLO, "sha256:", "sha265:")]),
        ("no value", &[edit(HELLO, "reason: First build of this distribution", "reason:")]),
        ("a colon in a text", &[edit(HELLO, "reason: First", "reason: First: a")]),
        ("an open bracket", &[edit(BUILD, "[builds/2026/11/hello.yaml]", "[builds/2026/11/hello.yaml")]),
        ("an open quote", &[edit(HELLO, "reason: First", "reason: \"First")]),
        ("a bracket that lines follow", &[edit("platforms/debian-12.yaml", "architectures: [amd64, arm64]", "architectures: [amd64, arm64")]),
        ("a brace that lines follow", &[edit(HELLO, "platforms:\n", "platforms: {debian-12: [amd64]\nnotes: x\n")]),
        ("a quote that lines and quotes follow", &[edit(HELLO, "reason: First", "reason: \"First"), edit(HELLO, "0d7ca90a2ed69d48974a93a2248c36ae66f9afa35b646426ed87f217bb8da0c3", "\"75\"")]),
        ("several anchors", &[edit(HELLO, "debian-12: [amd64]", "debian-12: &a [*b]\n  debian-13: &c [*d]")]),
        ("a tab", &[edit(HELLO, "  debian-12:", "\tdebian-12:")]),
        ("indentation that does not fit", &[edit(HELLO, "      sha256:", "    sha256:")]),
        ("no space after the colon", &[edit(HELLO, "reason: First build", "reason:First-build")]),
        ("an at sign", &[edit(HELLO, "reason: First", "reason: @First")]),
        ("a short digest", &[edit(HELLO, "0d7ca90a", "")]),
        ("a digest that is no hexadecimal", &[edit(HELLO, "0d7ca90a", "0d7ca90g")]),
        ("a number with a leading zero", &[edit(BUILD, "_smp_build_ncpus: 4", "_smp_build_ncpus: 0777")]),
        ("a number as a ref", &[edit(BUILD, "ref: a10", "ref: 1.10")]),
        ("a date as a ref", &[edit(BUILD, "ref: a10", "ref: 2026-11-01")]),
        ("a password in an address", &[edit(BUILD, "https://git.example.org/rpms/nss.git", "https://me:hunter2@git.example.org/rpms/nss.git")]),
        ("an address without a scheme", &[edit(BUILD, "\"https://git.example.org/debian/openssl.git\"", "git@example.org:openssl.git")]),
        ("two sources", &[edit(HELLO, "      dsc:", "      git: https://example.org/hello.git\n      dsc:")]),
        ("no source", &[edit(HELLO, "      dsc: https", "      url: https")]),
        ("an alias", &[edit(HELLO, "platforms:", "flavors: &f [epel]\nwith: *f\nplatforms:")]),
        ("a merge key", &[edit(HELLO, "platforms:", "<<: {secure_boot: true}\nplatforms:")]),
        ("a tag", &[edit(HELLO, "reason: First", "reason: !!str First")]),
        ("a priority of another system", &[edit(HELLO, "platforms:", "priority: high\nplatforms:")]),
        ("a priority that is a number", &[edit(HELLO, "platforms:", "priority: 1\nplatforms:")]),
        ("a boolean in quotes", &[edit(HELLO, "platforms:", "secure_boot: 'yes'\nplatforms:")]),
        ("a second document", &[edit(HELLO, "packages:", "---\npackages:")]),
        ("a list at the top", &[edit(HELLO, "", "- reason\n")]),
        ("a NUL byte", &[edit(HELLO, "First build", "First\0build")]),
        ("text that runs backwards", &[edit(HELLO, "First build", "First\u{202e}build")]),
        ("wide characters before the mistake", &[edit(BUILD, "{git: \"https://git.example.org/debian/openssl.git\", ref", "{git: \"https://git.example.org/ö/openssl.git\", ref")]),
    ];
    insta::assert_snapshot!("yaml", answers(table));
}

#[test]
fn requests_that_need_missing_keys_are_answered() {
    let mut tree = in_use();
    tree.retain(|path, _| !path.ends_with(".asc"));
    insta::assert_snapshot!("keys", said(&tree));
}

#[test]
fn a_missing_project_file_is_answered() {
    let mut tree = in_use();
    tree.remove("millrace.yaml");
    insta::assert_snapshot!("missing", said(&tree));
}

#[test]
fn bytes_that_are_no_text_are_answered() {
    let mut tree = in_use();
    tree.insert(HELLO.into(), b"reason: caf\xe9 au lait\n".to_vec());
    tree.insert(
        BUILD.into(),
        [
            b"# ".to_vec(),
            vec![b'x'; pipeline_spec::limits::MAX_FILE_BYTES],
        ]
        .concat(),
    );
    tree.insert(RELEASE.into(), b"[".repeat(100));
    insta::assert_snapshot!("bytes", said(&tree));
}
