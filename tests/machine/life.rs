//! A request's whole life: built, released, replaced, reverted, and an edited byte that is found.

use crate::support::package::{DEBIAN, debhelper, request};
use crate::support::{Machine, artifact, git, said};

#[test]
fn a_package_is_built_released_replaced_and_reverted() {
    let mut machine = Machine::new("life");
    machine.start();
    for (version, name) in [("1.0", "one"), ("2.0", "two")] {
        let source = machine.source(&format!("tiny-{version}"), &debhelper(version, "true"));
        let build = format!("builds/2026/11/{name}.yaml");
        machine.push(&build, &request(DEBIAN, "tiny", &source));
        machine.expect(&build, "succeeded");
        let release = format!("releases/2026/11/{name}.yaml");
        machine.push(&release, &format!("from: [{build}]\nto: [debian-12]\n"));
        machine.expect(&release, "published");
        assert_eq!(machine.apt_candidate("tiny").as_deref(), Some(version));
    }

    // The revert of the second release: the first package is back.
    let clone = machine.clone_path();
    git(&clone, &["revert", "--no-edit", "HEAD"]);
    git(&clone, &["push", "--quiet"]);
    machine.expect("releases/2026/11/two.yaml", "reverted");
    assert_eq!(machine.apt_candidate("tiny").as_deref(), Some("1.0"));
    let verified = machine.millrace(&["verify"]);
    assert!(verified.status.success(), "{}", said(&verified));

    // An edited byte in what is published: verify names the file.
    let build = machine.task("builds/2026/11/one.yaml", "build");
    machine.tamper(artifact(&build, "tiny_1.0_amd64.deb"));
    let verified = machine.millrace(&["verify"]);
    assert_eq!(verified.status.code(), Some(1), "{}", said(&verified));
    assert!(
        said(&verified).contains("tiny_1.0_amd64.deb"),
        "{}",
        said(&verified)
    );
}
