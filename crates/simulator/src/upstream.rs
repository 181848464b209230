//! The sources of the simulated distribution: a ref is a version, and a version is a commit.

/// Packages, each with what it build-requires.
pub(crate) const PACKAGES: &[(&str, &[&str])] = &[
    ("lib", &[]),
    ("tool", &[]),
    ("app", &["lib-devel"]),
    ("gui", &["app-devel", "lib-devel"]),
];

/// Versions that there are, from 1. The last one does not compile.
pub(crate) const VERSIONS: u32 = 57;
/// Versions that end in this digit do not compile.
pub(crate) const BROKEN: u32 = 7;

pub(crate) fn url(package: &str) -> String {
    format!("https://git.example.org/{package}.git")
}

pub(crate) fn git_ref(version: u32) -> String {
    format!("v{version}")
}

/// A commit that has this version; a ref that moved names another one with the same.
pub(crate) fn commit(version: u32, moved: u32) -> String {
    format!("{moved:032x}{version:08x}")
}

/// The version of a commit made by [`commit`].
pub(crate) fn version(commit: &str) -> u32 {
    u32::from_str_radix(&commit[32..], 16).expect("a commit of this upstream")
}

pub(crate) fn requires(package: &str) -> Vec<String> {
    let found = PACKAGES.iter().find(|(name, _)| *name == package);
    let requires = found.map_or(&[][..], |(_, requires)| requires);
    requires.iter().map(|name| (*name).to_owned()).collect()
}

/// Whether this version of a package (`17.0-1`) does not compile.
pub(crate) fn is_broken(version: &str) -> bool {
    version
        .split_once('.')
        .and_then(|(major, _)| major.parse::<u32>().ok())
        .is_some_and(|major| major % 10 == BROKEN)
}
