//! Millrace's own packages: `packaging/` against itself, and against those who rely on it. That they can be built,
//! installed and removed is judged by `cargo xtask packages`.

#![allow(
    clippy::disallowed_methods,
    reason = "a test reads files of the checkout"
)]

use std::collections::BTreeSet;
use std::path::Path;

/// Each package has a unit and a user of its name.
const PACKAGES: [&str; 3] = ["millrace", "millrace-runner", "millrace-signer"];
const UNITS: [&str; 3] = [
    "crates/cli/systemd/millrace.service",
    "runners/runner/systemd/millrace-runner.service",
    "runners/sign/systemd/millrace-signer.service",
];
/// What Debian calls otherwise.
const PLACES: [(&str, &str); 2] = [
    ("/lib/systemd/system/", "/usr/lib/systemd/system/"),
    (
        "/usr/share/zsh/vendor-completions/",
        "/usr/share/zsh/site-functions/",
    ),
];

fn read(path: &str) -> String {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::fs::read_to_string(top.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Paths that dpkg's package has.
fn deb(package: &str) -> BTreeSet<String> {
    let list = read(&format!("packaging/debian/{package}.install"));
    let mut paths = BTreeSet::new();
    for line in list.lines() {
        let mut path = format!("/{line}");
        for (debian, ours) in PLACES {
            if let Some(rest) = path.strip_prefix(debian) {
                path = format!("{ours}{rest}");
            }
        }
        paths.insert(path);
    }
    paths
}

/// The part of the spec that begins with `%WORD` for the package.
fn section(word: &str, package: &str) -> String {
    let spec = read("packaging/millrace.spec");
    let begin = match package {
        "millrace" => format!("%{word}"),
        _ => format!("%{word} -n {package}"),
    };
    let lines = spec.lines().skip_while(|line| *line != begin).skip(1);
    let lines: Vec<&str> = lines.take_while(|line| !line.is_empty()).collect();
    assert!(!lines.is_empty(), "the spec has no `{begin}`");
    lines.join("\n")
}

/// Paths that rpm's package has, folders left out.
fn rpm(package: &str) -> BTreeSet<String> {
    let files = section("files", package).replace("%{_unitdir}", "/usr/lib/systemd/system");
    let lines = files.lines();
    lines
        .filter(|line| !line.starts_with("%license ") && !line.starts_with("%dir "))
        .map(|line| line.trim_start_matches("%config(noreplace) "))
        // rpm compresses manual pages.
        .map(|line| line.trim_end_matches('*').to_owned())
        .collect()
}

/// The value of a setting, where it is first set.
fn setting<'a>(unit: &'a str, name: &str) -> &'a str {
    let mut lines = unit.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("the unit has no {name}=:\n{unit}"))
}

#[test]
fn both_formats_have_the_files_that_are_laid_out() {
    let makefile = read("packaging/Makefile")
        .replace("$(DESTDIR)", "")
        .replace("$(UNITS)", "/usr/lib/systemd/system")
        .replace("$(ZSH)", "/usr/share/zsh/site-functions");
    let commands = makefile
        .lines()
        .filter(|line| line.starts_with("\tinstall "));
    let laid_out: BTreeSet<String> = commands
        .filter_map(|line| line.split(' ').next_back())
        .map(str::to_owned)
        .collect();
    let mut packed = BTreeSet::new();
    for package in PACKAGES {
        assert_eq!(deb(package), rpm(package), "files of {package}");
        packed.extend(deb(package));
    }
    assert_eq!(packed, laid_out);
}

#[test]
fn what_people_edit_is_configuration() {
    for package in PACKAGES {
        let files = section("files", package);
        for path in rpm(package).iter().filter(|path| path.starts_with("/etc/")) {
            // debhelper makes everything below /etc a conffile.
            let marked = format!("%config(noreplace) {path}");
            assert!(files.lines().any(|line| line == marked), "{marked}");
        }
    }
}

#[test]
fn a_unit_finds_program_user_folder_and_configuration_of_its_package() {
    for (package, unit) in PACKAGES.into_iter().zip(UNITS) {
        let unit = read(unit);
        let files = rpm(package);
        let unit_path = format!("/usr/lib/systemd/system/{package}.service");
        assert!(files.contains(&unit_path), "{unit_path}");
        let mut words = setting(&unit, "ExecStart").split(' ');
        let program = words.next().expect("a program");
        assert!(files.contains(program), "{program} is not in {package}");
        if let Some(config) = words.skip_while(|word| *word != "--config").nth(1) {
            assert!(files.contains(config), "{config} is not in {package}");
        }
        assert_eq!(setting(&unit, "User"), package);
        assert_eq!(setting(&unit, "StateDirectory"), package);
        let mode = setting(&unit, "StateDirectoryMode");
        let makes = format!("/usr/lib/{package}/account {package} {mode} ");
        for script in [
            section("post", package),
            read(&format!("packaging/debian/{package}.postinst")),
        ] {
            assert!(script.contains(&makes), "no `{makes}` in\n{script}");
        }
    }
}

#[test]
fn versions_are_the_workspace_s() {
    let cargo = read("Cargo.toml");
    let version = cargo
        .lines()
        .find_map(|line| line.strip_prefix("version = "))
        .expect("a version")
        .trim_matches('"');
    let changelog = read("packaging/debian/changelog");
    let newest = format!("millrace ({version}-");
    assert!(changelog.starts_with(&newest), "{newest}");
    let spec = read("packaging/millrace.spec");
    let line = spec.lines().find(|line| line.starts_with("Version:"));
    assert_eq!(
        line.and_then(|line| line.split_whitespace().nth(1)),
        Some(version)
    );
}

#[test]
fn a_package_enables_and_starts_nothing() {
    let rules = read("packaging/debian/rules");
    assert!(
        rules.contains("\tdh_installsystemd --no-enable\n"),
        "{rules}"
    );
    let mut scripts = read("packaging/millrace.spec");
    for package in PACKAGES {
        for script in ["postinst", "postrm"] {
            scripts += &read(&format!("packaging/debian/{package}.{script}"));
        }
    }
    for line in scripts.lines().filter(|line| line.contains("systemctl")) {
        for word in ["enable", "start", "restart", "preset"] {
            assert!(!line.split(' ').any(|is| is == word), "{word} in {line}");
        }
    }
}

#[test]
fn a_machine_of_a_fleet_finds_what_it_expects() {
    let machine = read("terraform/modules/runner-fleet/user-data.sh.tftpl");
    let unit = read(UNITS[1]);
    let start = setting(&unit, "ExecStart");
    let home = format!("/var/lib/{}", setting(&unit, "StateDirectory"));
    let user = setting(&unit, "User");
    for expected in [
        format!("\nExecStart={start}%"),
        format!("cat >{} <<", start.split(' ').next_back().expect("a file")),
        "/etc/systemd/system/millrace-runner.service.d/".to_owned(),
        "systemctl enable --now millrace-runner.service ".to_owned(),
        format!("chown {user}: "),
        format!("\nwork: {home}\n"),
    ] {
        assert!(machine.contains(&expected), "no `{expected}` in the script");
    }
    // The account comes with the package, of either kind.
    for script in ["debian/millrace-runner.postinst", "millrace.spec"] {
        let script = read(&format!("packaging/{script}"));
        assert!(script.contains(&format!("/account {user} ")), "{script}");
    }
}

#[test]
fn what_every_runner_needs_is_required() {
    let guide = read("docs/how-to/runner-elsewhere.md");
    let row = guide.lines().find(|line| line.starts_with("| all |"));
    let row = row.expect("a row for all runners");
    let control = read("packaging/debian/control");
    let (_, runner) = control
        .split_once("Package: millrace-runner\n")
        .expect("a package");
    let depends = setting(&runner.replace("Depends: ", "Depends="), "Depends").to_owned();
    for name in row.split('`').skip(1).step_by(2) {
        assert!(
            depends.split(", ").any(|is| is == name),
            "{name} is not in Depends: {depends}"
        );
    }
}
