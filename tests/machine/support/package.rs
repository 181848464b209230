//! Tiny packages of both kinds, in git repositories of their own.

use std::path::{Path, PathBuf};

use super::machine::{Machine, git};

/// The tree of a source package: paths and texts.
pub(crate) type Tree = Vec<(&'static str, String)>;

/// Debian packaging with debhelper; `during` is a line that runs in the build.
pub(crate) fn debhelper(version: &str, during: &str) -> Tree {
    let mut tree = debian("tiny", version, "debhelper-compat (= 13)", "");
    tree.push((
        "debian/rules",
        format!(
            "#!/usr/bin/make -f\n%:\n\tdh $@\noverride_dh_auto_install:\n\t{during}\n\tmkdir -p debian/tiny/usr/share/tiny\n\techo {version} > debian/tiny/usr/share/tiny/version\n"
        ),
    ));
    tree
}

/// Debian packaging by hand: it needs nothing but the base root. `during` is a line of the build, with
/// Make's `$` doubled.
pub(crate) fn deb(name: &str, during: &str) -> Tree {
    deb_with(name, "", "", during)
}

/// The same with build dependencies and dependencies.
pub(crate) fn deb_with(name: &str, build_depends: &str, depends: &str, during: &str) -> Tree {
    let mut tree = debian(name, "1.0", build_depends, depends);
    let rules = format!(
        "#!/usr/bin/make -f\nSHELL = /bin/bash\n\
         build build-arch build-indep:\n\t{during}\n\
         binary binary-arch: build\n\
         \tinstall -d debian/{name}/DEBIAN debian/{name}/usr/share/{name}\n\
         \techo 1.0 > debian/{name}/usr/share/{name}/version\n\
         \tdpkg-gencontrol -p{name} -Pdebian/{name}\n\
         \tdpkg-deb --root-owner-group --build debian/{name} ..\n\
         binary-indep clean:\n"
    );
    tree.push(("debian/rules", rules));
    tree
}

fn debian(name: &str, version: &str, build_depends: &str, depends: &str) -> Tree {
    let field = |name: &str, value: &str| match value {
        "" => String::new(),
        value => format!("{name}: {value}\n"),
    };
    let control = format!(
        "Source: {name}\nSection: misc\nPriority: optional\nMaintainer: T <t@localhost>\n{}Standards-Version: 4.6.2\nRules-Requires-Root: no\n\nPackage: {name}\nArchitecture: any\n{}Description: tiny\n tiny\n",
        field("Build-Depends", build_depends),
        field("Depends", depends),
    );
    let changelog = format!(
        "{name} ({version}) bookworm; urgency=low\n\n  * x\n\n -- T <t@localhost>  Sun, 01 Nov 2026 12:00:00 +0000\n"
    );
    vec![
        ("debian/changelog", changelog),
        ("debian/control", control),
        ("debian/source/format", "3.0 (native)\n".to_owned()),
    ]
}

/// A dist-git tree; `more` are lines of the preamble, `during` a line of `%build`.
pub(crate) fn rpm(name: &str, more: &str, during: &str) -> Tree {
    let spec = format!(
        "Name: {name}\nVersion: 1.0\nRelease: 1\nSummary: tiny\nLicense: MIT\nBuildArch: noarch\n{more}\n\
         %description\ntiny\n\n%build\n{during}\n\n\
         %install\nmkdir -p %{{buildroot}}/usr/share/{name}\necho 1.0 > %{{buildroot}}/usr/share/{name}/version\n\n\
         %files\n/usr/share/{name}\n"
    );
    vec![("package.spec", spec)]
}

impl Machine {
    /// Commits a tree; answers the repository's directory.
    pub(crate) fn source(&self, name: &str, tree: &Tree) -> PathBuf {
        let directory = self.path(&format!("sources/{name}"));
        for (path, text) in tree {
            let file = directory.join(path);
            std::fs::create_dir_all(file.parent().expect("a parent")).expect("a directory");
            std::fs::write(&file, text).expect("a file");
        }
        git(&directory, &["init", "--quiet", "--initial-branch=main"]);
        git(&directory, &["add", "--all"]);
        git(&directory, &["commit", "--quiet", "-m", "x"]);
        directory
    }
}

/// Platforms of a request, as it writes them.
pub(crate) const DEBIAN: &str = "debian-12: [amd64]";
pub(crate) const BRIDGE: &str = "bridge-12: [x86_64]";

/// A build request for the branch `main` of a source repository.
pub(crate) fn request(platform: &str, name: &str, directory: &Path) -> String {
    let url = format!("file://{}", directory.display());
    wish(platform, name, &format!("git: \"{url}\", ref: main"))
}

/// A build request for any source.
pub(crate) fn wish(platform: &str, name: &str, source: &str) -> String {
    format!(
        "reason: test\nplatforms: {{{platform}}}\npackages:\n  - source: {{{source}}}\n    name: {name}\n"
    )
}
