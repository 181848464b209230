//! The sources of the pretended distribution: packages, what they need, and the files that they become.

/// A source package of which every version is alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: &'static str,
    /// What it needs to be built.
    pub requires: &'static [&'static str],
    /// An architecture that it does not want.
    pub refuses: Option<&'static str>,
}

/// Every package there is.
pub const PACKAGES: [Package; 6] = [
    package("lib", &[], None),
    package("tool", &[], None),
    package("app", &["lib-devel"], None),
    package("gui", &["app-devel", "lib-devel"], None),
    package("boot", &[], Some("arm64")),
    package("docs", &["tool-devel"], None),
];
/// Versions that end in this digit do not compile.
const BROKEN: u32 = 7;

const fn package(
    name: &'static str,
    requires: &'static [&'static str],
    refuses: Option<&'static str>,
) -> Package {
    Package {
        name,
        requires,
        refuses,
    }
}

/// The package of that name.
pub fn find(name: &str) -> Option<Package> {
    PACKAGES.into_iter().find(|package| package.name == name)
}

/// Whether that version does not compile, whoever tries.
pub fn is_broken(version: u32) -> bool {
    version % 10 == BROKEN
}

/// What is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Platform {
    /// RPM, for x86_64.
    El,
    /// Debian, for amd64 and arm64.
    Deb,
}

impl Platform {
    /// As the state repository calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::El => "el",
            Self::Deb => "deb",
        }
    }

    /// Its architectures; the first one makes the sources and what fits all.
    pub fn architectures(self) -> &'static [&'static str] {
        match self {
            Self::El => &["x86_64"],
            Self::Deb => &["amd64", "arm64"],
        }
    }

    /// A version as the packaging system writes it.
    pub fn version(self, version: u32) -> String {
        match self {
            Self::El => format!("{version}-1"),
            Self::Deb => version.to_string(),
        }
    }
}

/// What a repository has of one version: package name and architecture, which retention counts by, and
/// the names of the files.
pub fn files(platform: Platform, package: Package, version: u32) -> Vec<(String, Vec<String>)> {
    let name = package.name;
    let wanted = platform.architectures().iter().copied();
    let wanted = wanted.filter(|arch| Some(*arch) != package.refuses);
    match platform {
        Platform::El => {
            let file = |name: &str, arch: &str| format!("{name}-{version}-1.{arch}.rpm");
            let doc = format!("{name}-doc");
            let mut all = vec![
                (format!("{name} src"), vec![file(name, "src")]),
                (format!("{doc} noarch"), vec![file(&doc, "noarch")]),
            ];
            all.extend(wanted.map(|arch| (format!("{name} {arch}"), vec![file(name, arch)])));
            all
        }
        Platform::Deb => {
            let file = |name: &str, arch: &str| format!("{name}_{version}_{arch}.deb");
            let doc = format!("{name}-doc");
            let source = vec![
                format!("{name}_{version}.dsc"),
                format!("{name}_{version}.tar.xz"),
            ];
            let mut all = vec![
                (format!("{name} source"), source),
                (format!("{doc} all"), vec![file(&doc, "all")]),
            ];
            all.extend(wanted.map(|arch| (format!("{name} {arch}"), vec![file(name, arch)])));
            all
        }
    }
}
