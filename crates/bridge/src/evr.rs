//! Debian versions as RPM's epoch, version and release.
//!
//! `[epoch:]upstream[-revision]` becomes `[epoch:]version-release`:
//! * the revision is the release; a version without one gets release `0`, to which Debian's policy (5.6.12) says it is equal;
//! * `-` inside the upstream version becomes `.`: RPM forbids it there, and ignores which separator stands between segments;
//! * `~` and `+` stay: both sort `~` before everything, and `+` is a separator to RPM.
//!
//! The orders differ in one place: Debian sorts letters before other characters, RPM sorts numbers above letters.
//! So nothing here may rely on it alone: [`crate::plan`] keeps a version in a requirement only if RPM's own comparison
//! agrees with what apt resolved.

use std::fmt;

use serde::Serialize;

/// Epoch, version and release as RPM writes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Evr {
    pub(crate) epoch: Option<u32>,
    pub(crate) version: String,
    /// None in requirements that name no revision: RPM then compares versions only.
    pub(crate) release: Option<String>,
}

impl Evr {
    /// A package's own version: always with a release.
    pub(crate) fn of_package(debian: &str) -> Self {
        let evr = Self::of_relation(debian);
        Self {
            release: Some(evr.release.unwrap_or_else(|| "0".to_owned())),
            ..evr
        }
    }

    /// A version inside a relation, `foo (>= 1.2)`.
    pub(crate) fn of_relation(debian: &str) -> Self {
        let (epoch, rest) = match debian.split_once(':') {
            Some((epoch, rest)) => (epoch.parse().ok().filter(|epoch| *epoch > 0), rest),
            None => (None, debian),
        };
        let (version, release) = match rest.rsplit_once('-') {
            Some((version, release)) => (version, Some(clean(release))),
            None => (rest, None),
        };
        Self {
            epoch,
            version: clean(version),
            release,
        }
    }

    /// The release of a package; packages always have one.
    pub(crate) fn release(&self) -> &str {
        self.release.as_deref().unwrap_or("0")
    }
}

/// Keeps what RPM allows in a version: letters, digits and `._+~^`.
fn clean(text: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '+' | '~' | '^');
    text.chars()
        .map(|c| if allowed(c) { c } else { '.' })
        .collect()
}

impl fmt::Display for Evr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(epoch) = self.epoch {
            write!(f, "{epoch}:")?;
        }
        f.write_str(&self.version)?;
        match &self.release {
            Some(release) => write!(f, "-{release}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(debian: &str, package: &str, relation: &str) {
        assert_eq!(
            Evr::of_package(debian).to_string(),
            package,
            "{debian} as a package"
        );
        assert_eq!(
            Evr::of_relation(debian).to_string(),
            relation,
            "{debian} in a relation"
        );
    }

    #[test]
    fn versions() {
        check("1.2-3", "1.2-3", "1.2-3");
        check("12.4", "12.4-0", "12.4");
        check("1:1.2.13.dfsg-1", "1:1.2.13.dfsg-1", "1:1.2.13.dfsg-1");
        check("0:1-1", "1-1", "1-1");
        check("2.36-9+deb12u10", "2.36-9+deb12u10", "2.36-9+deb12u10");
        check("1.0~rc1-2~bpo", "1.0~rc1-2~bpo", "1.0~rc1-2~bpo");
        check("2023-05-01-1", "2023.05.01-1", "2023.05.01-1");
        check(
            "5:7.0.15-1~deb12u1",
            "5:7.0.15-1~deb12u1",
            "5:7.0.15-1~deb12u1",
        );
    }
}
