//! A small distribution: one RPM platform with two repositories, one Debian platform with one.

pub(crate) const CONFIG: &[(&str, &str)] = &[
    ("millrace.yaml", "version: 1\nname: Example Linux\n"),
    (
        "platforms/el-10.yaml",
        "format: rpm
architectures: [x86_64, aarch64]
buildroot: [bash]
repos:
  - name: baseos
    url: https://example.org/el/10/$arch/
    keys: [keys/upstream/el-10.asc]
",
    ),
    (
        "platforms/debian-12.yaml",
        "format: deb
architectures: [amd64]
archives:
  - url: host
    suites: [bookworm]
    components: [main]
",
    ),
    (
        "repositories/base.yaml",
        "format: rpm
platform: el-10
architectures: [x86_64, aarch64]
key: main
path: el/10/base
refuses:
  - {package: \"*-doc\"}
",
    ),
    (
        "repositories/extra.yaml",
        "format: rpm
platform: el-10
architectures: [x86_64, aarch64]
key: main
path: el/10/extra
accepts:
  - {package: \"*-doc\"}
",
    ),
    (
        "repositories/debian.yaml",
        "format: deb
platform: debian-12
architectures: [amd64]
key: main
path: debian/12
suite: bookworm
components: [main]
",
    ),
    ("keys/main.yaml", "private: {file: main.key}\n"),
    ("keys/main.asc", PUBLIC),
    ("keys/upstream/el-10.asc", PUBLIC),
    (
        "runners/builder.yaml",
        "key: 11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
roles: [build-rpm, build-deb, test, compose]
architectures: [x86_64, aarch64, amd64]
",
    ),
    (
        "runners/signer.yaml",
        "key: PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=\nroles: [sign]\n",
    ),
];

const PUBLIC: &str =
    "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\naGVsbG8=\n-----END PGP PUBLIC KEY BLOCK-----\n";

pub(crate) const APP: &str = "builds/2026/11/app.yaml";
pub(crate) const RELEASE: &str = "releases/2026/11/app.yaml";

/// A build request of `packages` for the RPM platform.
pub(crate) fn build(packages: &[&str]) -> String {
    build_on("el-10:", packages)
}

pub(crate) fn build_on(platform: &str, packages: &[&str]) -> String {
    let mut text = format!("reason: a test\nplatforms:\n  {platform}\npackages:\n");
    for name in packages {
        let url = url(name);
        text.push_str(&format!("  - source: {{git: \"{url}\", ref: main}}\n"));
    }
    text
}

pub(crate) fn url(package: &str) -> String {
    format!("https://git.example.org/{package}.git")
}

/// A release of `from` to `to`.
pub(crate) fn release(from: &[&str], to: &[&str]) -> String {
    format!("from: [{}]\nto: [{}]\n", from.join(", "), to.join(", "))
}
