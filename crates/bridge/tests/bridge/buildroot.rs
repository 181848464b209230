//! A root from the bridge, and a package built in it, by the real dnf, rpm and rpmbuild.
#![allow(
    clippy::disallowed_methods,
    reason = "tests run real tools on real files"
)]

use crate::lab::Lab;

const SOURCE: &str = r#"#include <stdio.h>
#include <zlib.h>
int main(void) { printf("zlib %s\n", zlibVersion()); return 0; }
"#;

/// A package as RPM distributions have it: their names in BuildRequires, a library, a script, a subpackage.
const SPEC: &str = r#"Name: probe
Version: 1.0
Release: 1%{?dist}
Summary: Says which zlib it has
License: MIT
Source0: probe.c
BuildRequires: gcc make zlib-devel >= 1.2 pkgconfig(zlib) pkgconfig(ncursesw) readline-devel openssl-devel
BuildRequires: perl-interpreter /usr/bin/perl %{?more}
%description
Says it.
%package devel
Summary: Library
Requires: %{name}%{?_isa} = %{version}-%{release} pkgconfig(zlib)
%description devel
It.
%prep
%setup -c -T
cp %{SOURCE0} .
%build
gcc %{optflags} -o probe probe.c $(pkg-config --libs zlib)
gcc %{optflags} -shared -fPIC -Wl,-soname,libprobe.so.1 -o libprobe.so.1 probe.c -lz
%install
install -Dm755 probe %{buildroot}%{_bindir}/probe
install -Dm755 libprobe.so.1 %{buildroot}%{_libdir}/libprobe.so.1
printf '#!/usr/bin/perl\nuse strict;\nuse Text::Wrap;\n' > script
install -Dm755 script %{buildroot}%{_bindir}/probe-script
%files
%{_bindir}/probe*
%{_libdir}/libprobe.so.1
%files devel
%changelog
* Mon Jan 01 2024 A Packager <packager@example.org> - 1.0-1
- First.
"#;

const SRPM: &str = "rpmbuild/SRPMS/probe-1.0-1.br12.src.rpm";

#[test]
fn a_root_is_what_dnf_and_rpm_expect() {
    let lab = Lab::with_buildroot();
    let check = |script: &str, expect: &str| {
        assert_eq!(lab.inside(script).good().trim(), expect, "{script}")
    };
    let count: usize = lab.inside("rpm -qa | wc -l").good().trim().parse().unwrap();
    assert!((100..200).contains(&count), "{count} packages");
    check("rpm -Va", "");
    check("rpm -qa gpg-pubkey | wc -l", "1");
    check("rpm -qf /bin/sh /usr/bin/cc --qf '%{name}\\n'", "bash\ngcc");
    check(
        "rpm -q --qf '%{name}\\n' --whatprovides rpm-build gcc-c++ 'libc.so.6(GLIBC_2.34)(64bit)'",
        "rpm\ng++\nlibc6",
    );
    check(
        "rpm -E '%dist %_dbpath %_libdir %_buildshell %_buildhost'",
        ".br12 /usr/lib/sysimage/rpm /usr/lib/x86_64-linux-gnu /bin/bash bridge-12",
    );
    check(
        "readlink /bin /sbin /lib /lib64",
        "usr/bin\nusr/sbin\nusr/lib\nusr/lib64",
    );
    check("find / -xdev -xtype l -path '/usr/bin/*'", "");
    check("stat -c '%G %a' /usr/sbin/unix_chkpwd", "shadow 2755");
    // Removing what was there is noticed.
    check(
        "rm /usr/bin/make; rpm -V make; true",
        "missing     /usr/bin/make",
    );
    // Names by which a build root of an RPM distribution is asked for.
    let names = "bash bzip2 coreutils cpio diffutils findutils gawk gcc gcc-c++ grep gzip info make patch \
                 redhat-rpm-config rpm-build sed shadow-utils system-release tar unzip util-linux which xz";
    let mut arguments = vec!["install"];
    arguments.extend(names.split_whitespace());
    lab.dnf(&arguments).good();
    let closure = lab.dnf(&["repoclosure", "--repo", "bridge-12"]).good();
    assert!(!closure.contains("unresolved"), "{closure}");
}

#[test]
fn a_package_is_built_installed_and_run() {
    let lab = Lab::with_buildroot();
    std::fs::write(lab.root().join("build/probe.c"), SOURCE).unwrap();
    std::fs::write(lab.root().join("build/probe.spec"), SPEC).unwrap();
    let srpm = lab.root().join("build").join(SRPM);
    let srpm = srpm.to_str().unwrap();

    lab.build(
        "rpmbuild -bs --define '_sourcedir /build' --define 'more nonesuch-devel' probe.spec",
    )
    .good();
    let unknown = lab.dnf(&["builddep", srpm]).bad();
    assert!(
        unknown.contains("No matching package to install: 'nonesuch-devel'"),
        "{unknown}"
    );

    lab.build("rpmbuild -bs --define '_sourcedir /build' probe.spec")
        .good();
    let rebuild = format!("rpmbuild --rebuild {SRPM}");
    let missing = lab.build(&rebuild).bad();
    assert!(
        missing.contains("Failed build dependencies")
            && missing.contains("zlib-devel >= 1.2 is needed by probe"),
        "{missing}"
    );
    lab.dnf(&["builddep", srpm]).good();
    lab.build(&rebuild).good();

    let digests = "sha256sum rpmbuild/RPMS/x86_64/*.rpm";
    let first = lab.build(digests).good();
    for name in [
        "probe",
        "probe-devel",
        "probe-debuginfo",
        "probe-debugsource",
    ] {
        assert!(
            first.contains(&format!("/{name}-1.0-1.br12.x86_64.rpm\n")),
            "{name}: {first}"
        );
    }
    lab.build(&rebuild).good();
    assert_eq!(
        lab.build(digests).good(),
        first,
        "two builds of one SRPM differ"
    );

    let requires = lab
        .build("rpm -qp --requires rpmbuild/RPMS/x86_64/probe-1*.rpm")
        .good();
    for need in [
        "libz.so.1()(64bit)",
        "libc.so.6(GLIBC_2.34)(64bit)",
        "rtld(GNU_HASH)",
        "perl(Text::Wrap)",
    ] {
        assert!(
            requires.lines().any(|line| line == need),
            "{need}: {requires}"
        );
    }
    let built = |name: &str| {
        lab.root()
            .join(format!(
                "build/rpmbuild/RPMS/x86_64/{name}-1.0-1.br12.x86_64.rpm"
            ))
            .display()
            .to_string()
    };
    lab.dnf(&["install", &built("probe"), &built("probe-devel")])
        .good();
    let said = lab.inside("probe && probe-script && rpm -V probe").good();
    assert!(said.starts_with("zlib 1."), "{said}");
}
