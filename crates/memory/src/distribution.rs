//! A small distribution to test with: one RPM platform with two repositories, one Debian platform with one.

/// Paths and texts of the configuration: a state repository without requests.
pub const CONFIG: &[(&str, &str)] = &[
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
