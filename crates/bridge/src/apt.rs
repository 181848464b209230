//! apt with a state of its own: an empty machine that knows the host's mirror and keys, and needs no root.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::control::{Stanza, stanzas};
use crate::sources::{self, Sources};
use crate::{Error, PackagePlan};

/// A private apt below one directory.
pub(crate) struct Apt {
    home: PathBuf,
    options: Vec<String>,
}

impl Apt {
    /// Sets the directories up. `etc` is the host's `/etc/apt`; its `apt.conf` (proxies) applies, its pins do not.
    pub(crate) fn new(home: PathBuf, etc: &Path) -> Result<Self, Error> {
        let Sources { lines, stanzas } = sources::read(etc)?;
        for directory in [
            "lists/partial",
            "cache/archives/partial",
            "sources.list.d",
            "debs",
        ] {
            let path = home.join(directory);
            std::fs::create_dir_all(&path).map_err(Error::io("create", &path))?;
        }
        let files = [
            ("sources.list", lines.join("\n") + "\n"),
            ("sources.list.d/host.sources", stanzas.join("\n")),
            ("status", String::new()),
        ];
        for (name, text) in files {
            let path = home.join(name);
            std::fs::write(&path, text).map_err(Error::io("write", &path))?;
        }
        let options = options(&home);
        Ok(Self { home, options })
    }

    /// Where the .debs are.
    pub(crate) fn debs(&self) -> PathBuf {
        self.home.join("debs")
    }

    /// Fetches the signed indexes.
    pub(crate) fn update(&self) -> Result<(), Error> {
        let doing = "fetch the package lists of Debian 12";
        self.run("apt-get", doing, &["update".to_owned()])
            .map_err(network)
            .map(drop)
    }

    /// The records of `names` and all that they depend on, sorted by name.
    pub(crate) fn closure(&self, names: &[String]) -> Result<Vec<Stanza>, Error> {
        let mut arguments: Vec<String> = [
            "install",
            "--yes",
            "--print-uris",
            "--no-install-recommends",
        ]
        .map(str::to_owned)
        .to_vec();
        arguments.extend_from_slice(names);
        let printed = self
            .run("apt-get", "resolve the packages of the bridge", &arguments)
            .map_err(no_package)?;
        let chosen: Vec<String> = printed.lines().filter_map(chosen).collect();
        let mut arguments = vec!["show".to_owned()];
        arguments.extend(chosen.iter().cloned());
        let shown = self.run("apt-cache", "read the package records", &arguments)?;
        let mut set = stanzas(&shown);
        // The same version may be in two suites; its record is the same.
        set.sort_by(|a, b| {
            (a.get("package"), a.get("sha256")).cmp(&(b.get("package"), b.get("sha256")))
        });
        set.dedup_by(|a, b| a.get("package") == b.get("package"));
        if set.len() != chosen.len() {
            let reason = format!(
                "apt chose {} packages and has records of {}",
                chosen.len(),
                set.len()
            );
            return Err(Error::malformed("the package records", reason));
        }
        Ok(set)
    }

    /// Fetches the .debs that are not there yet. apt checks each against the signed index.
    pub(crate) fn fetch(&self, plans: &[&PackagePlan]) -> Result<(), Error> {
        let debs = self.debs();
        let missing: Vec<String> = plans
            .iter()
            .filter(|plan| !debs.join(&plan.deb).exists())
            .map(|plan| format!("{}={}", plan.name, plan.debian_version))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let doing = format!("fetch {} packages of Debian 12", missing.len());
        let mut arguments = vec!["download".to_owned()];
        arguments.extend(missing);
        self.run("apt-get", &doing, &arguments)
            .map_err(network)
            .map(drop)
    }

    fn run(
        &self,
        program: &'static str,
        doing: &str,
        arguments: &[String],
    ) -> Result<String, Error> {
        let output = Command::new(program)
            .args(&self.options)
            .args(arguments)
            .current_dir(self.debs())
            .env("LC_ALL", "C.UTF-8")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .output()
            .map_err(|_| Error::Missing {
                program,
                package: "apt",
            })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(Error::command(program, doing, &output))
    }
}

fn options(home: &Path) -> Vec<String> {
    let at = |name: &str| home.join(name).display().to_string();
    [
        ("Dir::Etc::SourceList", at("sources.list")),
        ("Dir::Etc::SourceParts", at("sources.list.d")),
        ("Dir::Etc::Preferences", "/dev/null".to_owned()),
        ("Dir::Etc::PreferencesParts", "/dev/null".to_owned()),
        ("Dir::State", at("")),
        ("Dir::State::lists", at("lists")),
        ("Dir::State::status", at("status")),
        ("Dir::Cache", at("cache")),
        ("Dir::Cache::archives", at("cache/archives")),
        ("APT::Architecture", "amd64".to_owned()),
        ("APT::Architectures", "amd64".to_owned()),
        ("APT::Default-Release", String::new()),
        // The directory may be closed to apt's own user.
        ("APT::Sandbox::User", String::new()),
        ("APT::Update::Error-Mode", "any".to_owned()),
        ("Acquire::Languages", "none".to_owned()),
        (
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled",
            "false".to_owned(),
        ),
        (
            "Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled",
            "false".to_owned(),
        ),
        ("Acquire::Retries", "3".to_owned()),
        ("Dpkg::Use-Pty", "0".to_owned()),
        ("quiet", "1".to_owned()),
    ]
    .into_iter()
    .flat_map(|(name, value)| ["-o".to_owned(), format!("{name}={value}")])
    .collect()
}

/// `'uri' name_version_arch.deb size hash` as `name=version`.
fn chosen(line: &str) -> Option<String> {
    let file = line
        .strip_prefix('\'')?
        .split_once("' ")?
        .1
        .split(' ')
        .next()?;
    let mut parts = file.split('_');
    let (name, version) = (parts.next()?, parts.next()?);
    Some(format!("{name}={}", version.replace("%3a", ":")))
}

/// What keeps apt from fetching, the disk aside, is the network.
fn network(error: Error) -> Error {
    match error {
        Error::Command { doing, output, .. } => Error::Network { doing, output },
        other => other,
    }
}

fn no_package(error: Error) -> Error {
    let Error::Command { output, .. } = &error else {
        return error;
    };
    let unknown = |line: &str| {
        let name = line.strip_prefix("E: Unable to locate package ")?;
        Some(name.trim().to_owned())
    };
    let virtual_only = |line: &str| {
        let name = line
            .strip_prefix("E: Package '")?
            .strip_suffix("' has no installation candidate")?;
        Some(name.to_owned())
    };
    let names: Vec<String> = output
        .lines()
        .filter_map(|line| unknown(line).or_else(|| virtual_only(line)))
        .collect();
    if names.is_empty() {
        error
    } else {
        Error::NoPackage { names }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chosen_packages() {
        let check = |line: &str, expect: Option<&str>| {
            assert_eq!(chosen(line).as_deref(), expect, "{line}")
        };
        check(
            "'http://m/pool/g/gmp/libgmp10_6.2.1_amd64.deb' libgmp10_2%3a6.2.1_amd64.deb 1 SHA256:0",
            Some("libgmp10=2:6.2.1"),
        );
        check("Reading package lists...", None);
        check("'x", None);
    }

    #[test]
    fn messages() {
        let failed = |output: &str| Error::Command {
            doing: "fetch it".to_owned(),
            program: "apt-get",
            status: "exit status: 100".to_owned(),
            output: output.to_owned(),
        };
        let check =
            |error: Error, expect: &str| assert!(error.to_string().starts_with(expect), "{error}");
        check(
            no_package(failed("E: Unable to locate package nosuch")),
            "find nosuch: the mirror has no such package; leave it out of --include",
        );
        check(
            no_package(failed("E: Package 'awk' has no installation candidate")),
            "find awk: the mirror",
        );
        check(
            no_package(failed("E: broken")),
            "fetch it: apt-get answers exit status: 100:\nE: broken",
        );
        check(
            network(failed("E: timeout")),
            "fetch it: the mirror that apt is configured with does not answer. Check",
        );
    }
}
