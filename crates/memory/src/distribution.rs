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

/// The secret half of `runners/builder.yaml`, for tests: vector 1 of RFC 8032, section 7.1.
pub const BUILDER_SECRET: [u8; 32] = [
    0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4,
    0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
];
/// The secret half of `runners/signer.yaml`: vector 2.
pub const SIGNER_SECRET: [u8; 32] = [
    0x4c, 0xcd, 0x08, 0x9b, 0x28, 0xff, 0x96, 0xda, 0x9d, 0xb6, 0xc3, 0x46, 0xec, 0x11, 0x4e, 0x0f,
    0x5b, 0x8a, 0x31, 0x9f, 0x35, 0xab, 0xa6, 0x24, 0xda, 0x8c, 0xf6, 0xed, 0x4f, 0xb8, 0xa6, 0xfb,
];

const PUBLIC: &str =
    "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\naGVsbG8=\n-----END PGP PUBLIC KEY BLOCK-----\n";
