//! What the machine needs, from Debian.

use std::process::Command;

use anyhow::{Result, bail};

use crate::sh::{self, cmd};

/// Debian packages and what each is for.
const PACKAGES: [(&str, &str); 29] = [
    ("apt-utils", "apt-ftparchive, a judge of Debian indexes"),
    ("binfmt-support", "emulated architectures"),
    ("bubblewrap", "the locked room of a build"),
    ("busybox-static", "the tiny root of the sandbox's tests"),
    ("ca-certificates", "https"),
    ("createrepo-c", "a judge of RPM repositories"),
    ("curl", "looking at what is published"),
    ("debhelper", "packages for tests"),
    ("dnf", "roots and clients for RPM"),
    ("dnf-plugins-core", "dnf builddep"),
    ("dpkg-dev", "dpkg-source and dpkg-scanpackages"),
    ("fakeroot", "packages for tests"),
    ("file", "looking at programs"),
    ("gcc", "C in some crates, and the linker"),
    ("git", "the judge of our git"),
    ("gnupg", "a judge of signatures"),
    ("iproute2", "network namespaces"),
    ("jq", "the lines that fetch an App's key"),
    ("libc6-dev", "C in some crates"),
    ("mmdebstrap", "roots for Debian packages"),
    ("pkg-config", "C in some crates"),
    ("python3-venv", "the emulator of AWS, and pip for it"),
    ("reprepro", "a judge of Debian repositories"),
    ("rpm", "rpm, rpmbuild, rpmkeys, rpmsign"),
    ("uidmap", "newuidmap, for runners without root"),
    ("util-linux", "unshare, setpriv"),
    ("xz-utils", "compressed packages"),
    ("zstd", "compressed packages"),
    ("make", "packages for tests"),
];

/// Programs that Node's own packages bring too, in place of Debian's: package, program, and what it is for. Debian's would
/// drive those out, so the program is looked for.
const PROGRAMS: [(&str, &str, &str); 2] = [
    ("nodejs", "node", "judges of forges and workflows"),
    ("npm", "npm", "installs these judges"),
];

/// Installs what is missing.
pub(crate) fn run() -> Result<()> {
    let packages = PACKAGES.iter().map(|(name, _)| *name);
    let mut missing: Vec<&str> = packages.filter(|name| !is_installed(name)).collect();
    let programs = PROGRAMS.iter().filter(|(_, program, _)| !runs(program));
    missing.extend(programs.map(|(package, ..)| *package));
    install(&missing)
}

fn runs(program: &str) -> bool {
    let version = Command::new(program).arg("--version").output();
    version.is_ok_and(|output| output.status.success())
}

fn install(missing: &[&str]) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    println!("== installing from Debian: {}", missing.join(" "));
    let root = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|out| out.stdout == b"0\n");
    if !root {
        bail!(
            "these Debian packages are missing: {0}\n  sudo apt-get install {0}",
            missing.join(" ")
        );
    }
    sh::run(&mut cmd("apt-get", &["-q", "update"]))?;
    let mut install = cmd(
        "apt-get",
        &["-q", "-y", "--no-install-recommends", "install"],
    );
    sh::run(
        install
            .args(missing)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}

/// What emulation needs from Debian.
const EMULATION: [&str; 2] = ["arch-test", "qemu-user-static"];

/// What running another architecture's programs needs: qemu, and the kernel told of it.
pub(crate) fn emulation() -> Result<()> {
    let missing: Vec<&str> = EMULATION
        .into_iter()
        .filter(|name| !is_installed(name))
        .collect();
    install(&missing)?;
    let registered = std::path::Path::new("/proc/sys/fs/binfmt_misc/qemu-aarch64");
    if !registered.exists() {
        let place = "/proc/sys/fs/binfmt_misc";
        // Mounted already is fine: the registration below tells.
        cmd("mount", &["-t", "binfmt_misc", "binfmt_misc", place])
            .status()
            .ok();
        // The package's own script leaves this out where it believes itself in a container.
        sh::run(&mut cmd("update-binfmts", &["--import", "qemu-aarch64"]))?;
        sh::run(&mut cmd("update-binfmts", &["--enable", "qemu-aarch64"]))?;
    }
    Ok(())
}

fn is_installed(name: &str) -> bool {
    Command::new("dpkg-query")
        .args(["-W", "-f", "${db:Status-Status}", name])
        .output()
        .is_ok_and(|output| output.stdout == b"installed")
}
