//! Debian: good and bad packages, whole and damaged repositories.

use std::process::Command;

use openpgp::SigningKey;
use pipeline_spec::{Platform, Repository};
use runner_api::{Artifact, ArtifactKind, FailureKind, SmokeTask, TaskSpec, TestTask, Tree};

use testkit::{limits, named, run, write};

use crate::bench::{Bench, TIME, assert_failed, flipped, key, link_against_nothing, no_keys};

/// A package to be made; the rest of its control file is the same for all.
#[derive(Clone, Default)]
struct Wish<'a> {
    /// Lines of the control file.
    control: &'a str,
    /// Maintainer scripts: name and body.
    script: Option<(&'a str, &'a str)>,
    /// Path and target.
    link: Option<(&'a str, &'a str)>,
    /// A program whose library is nowhere.
    broken_program: bool,
}

fn platform() -> Platform {
    serde_json::from_str(
        r#"{"architectures": ["amd64"], "backend": "mmdebstrap", "buildroot": [],
  "format": "deb", "archives": [{"url": "host", "suites": ["bookworm"], "components": ["main"]}]}"#,
    )
    .expect("a platform")
}

fn make(bench: &Bench, name: &str, wish: &Wish<'_>) -> Artifact {
    let root = bench.path(&format!("{name}-root"));
    let control = format!(
        "Package: {name}\nVersion: 1:1.0-1\nArchitecture: amd64\nMaintainer: T <t@localhost>\n{}Description: d\n",
        wish.control
    );
    write(&root.join("DEBIAN/control"), &control, 0o644);
    write(
        &root.join(format!("usr/share/{name}/text")),
        "text\n",
        0o644,
    );
    if let Some((script, body)) = wish.script {
        write(
            &root.join("DEBIAN").join(script),
            &format!("#!/bin/sh\n{body}\n"),
            0o755,
        );
    }
    if let Some((path, target)) = wish.link {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::os::unix::fs::symlink(target, path).expect("a link");
    }
    let program = root.join(format!("usr/bin/{name}"));
    std::fs::create_dir_all(root.join("usr/bin")).expect("a directory");
    if wish.broken_program {
        link_against_nothing(&bench.path("c"), &program);
    } else {
        std::fs::copy("/bin/true", &program).expect("the host's /bin/true");
    }
    let deb = bench.path(&format!("{name}_1.0-1_amd64.deb"));
    run(
        Command::new("dpkg-deb")
            .args(["--root-owner-group", "-b"])
            .arg(&root)
            .arg(&deb),
        "dpkg",
    );
    bench.store_package(&deb, ArtifactKind::Deb, [name, "1:1.0-1", "amd64"])
}

/// The cases of a test of these packages; they may depend on `tiny-data` of another build.
async fn test(wishes: &[(&str, Wish<'_>)]) -> Vec<String> {
    let bench = Bench::new().await;
    let data = make(&bench, "tiny-data", &Wish::default());
    // Not for users, and not tested.
    let debug = make(
        &bench,
        "tiny-dbgsym",
        &Wish {
            control: "Depends: no-such-package-here\n",
            ..Wish::default()
        },
    );
    let made = wishes.iter().map(|(name, wish)| make(&bench, name, wish));
    let packages = made.chain([debug]).collect();
    let task = TestTask {
        package: "tiny".parse().expect("a name"),
        platform: "debian-12".parse().expect("a name"),
        target: platform(),
        keys: no_keys(),
        arch: "amd64".parse().expect("an architecture"),
        build: named("build"),
        dependencies: vec![named("other")],
        limits: limits(),
    };
    let inputs = vec![(named("build"), packages), (named("other"), vec![data])];
    let outcome = bench.run(TaskSpec::Test(Box::new(task)), inputs).await;
    bench.cases(outcome, FailureKind::Test)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_package_passes() {
    let wish = Wish {
        control: "Depends: libc6, tiny-data (= 1:1.0-1), media-types\n",
        script: Some((
            "postinst",
            "test -e /usr/share/tiny-data/text && test $(grep -c : /proc/net/dev) = 1",
        )),
        link: Some(("usr/share/tiny/link", "../tiny-data/text")),
        ..Wish::default()
    };
    let expect = [
        "ok 1 - install tiny",
        "ok 2 - files of tiny",
        "ok 3 - libraries of tiny",
        "ok 4 - verify tiny",
        "ok 5 - remove tiny",
    ];
    assert_eq!(test(&[("tiny", wish)]).await, expect);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_package_fails_in_the_case_that_shows_it() {
    let with_script = |name, body| Wish {
        script: Some((name, body)),
        ..Wish::default()
    };
    let cases = [
        (
            "dangling",
            Wish {
                link: Some(("usr/lib/x/link", "nowhere")),
                ..Wish::default()
            },
            "files of dangling",
            "/usr/lib/x/link is a link to nowhere, which does not exist",
        ),
        (
            "library",
            Wish {
                broken_program: true,
                ..Wish::default()
            },
            "libraries of library",
            "/usr/bin/library needs libnowhere.so.1 => not found",
        ),
        (
            "depends",
            Wish {
                control: "Depends: no-such-package-here\n",
                ..Wish::default()
            },
            "install depends",
            "no-such-package-here",
        ),
        (
            "postinst",
            with_script("postinst", "exit 1"),
            "install postinst",
            "post-installation script",
        ),
        (
            "missing",
            with_script("postinst", "rm /usr/share/missing/text"),
            "files of missing",
            "/usr/share/missing/text is not there",
        ),
        (
            "changed",
            with_script("postinst", "echo more >> /usr/share/changed/text"),
            "verify changed",
            "/usr/share/changed/text",
        ),
        (
            "prerm",
            with_script("prerm", "exit 1"),
            "remove prerm",
            "pre-removal script",
        ),
        (
            "left",
            with_script(
                "postrm",
                "mkdir -p /usr/share/left; touch /usr/share/left/text",
            ),
            "remove left",
            "/usr/share/left/text is left behind",
        ),
    ];
    let wishes: Vec<(&str, Wish<'_>)> = cases
        .iter()
        .map(|(name, wish, ..)| (*name, wish.clone()))
        .collect();
    let found = test(&wishes).await;
    for (_, _, case, words) in &cases {
        assert_failed(&found, case, words);
    }
}

/// What is done to a repository after it was signed.
#[derive(Clone, Copy, PartialEq)]
enum Harm {
    None,
    /// A byte of the package.
    Package,
    /// A byte of what is signed.
    InRelease,
    /// A byte of an index.
    Index,
    /// The public key is another one.
    Key,
}

fn layout() -> Repository {
    serde_json::from_str(
        r#"{"platform": "debian-12", "architectures": ["amd64"], "key": "main", "keep": 1, "format": "deb",
  "path": "debian", "suite": "stable", "components": ["main"]}"#,
    )
    .expect("a layout")
}

fn signatures(bench: &Bench, composed: &[Artifact], key: &SigningKey) -> Vec<Artifact> {
    let release = composed
        .iter()
        .find(|artifact| artifact.name.ends_with("/Release"))
        .expect("a Release");
    let signed = repo_deb::sign_release(&bench.load(release), key, TIME.unsigned_abs())
        .expect("a signature");
    vec![
        bench.store(
            "dists/stable/InRelease",
            &signed.in_release,
            ArtifactKind::Signature,
        ),
        bench.store(
            "dists/stable/Release.gpg",
            &signed.release_gpg,
            ArtifactKind::Signature,
        ),
    ]
}

async fn smoke(harm: Harm, install: &[&str]) -> Vec<String> {
    let bench = Bench::new().await;
    let depends = Wish {
        control: "Depends: tiny-data, media-types\n",
        ..Wish::default()
    };
    let packages = [
        make(&bench, "tiny", &depends),
        make(&bench, "tiny-data", &Wish::default()),
    ];
    let mut composed = bench.compose(&layout(), &packages).await;
    let signing = key();
    let mut signatures = signatures(&bench, &composed, &signing);
    let mut tree: Tree = serde_json::from_slice(&bench.load(&composed[0])).expect("a tree");
    for (path, file) in &mut tree.files {
        let harmed = match harm {
            Harm::Package => path.ends_with("/tiny_1.0-1_amd64.deb"),
            Harm::Index => path.contains("/binary-amd64/"),
            Harm::None | Harm::InRelease | Harm::Key => false,
        };
        if harmed {
            *file = flipped(&bench, path, file);
        }
    }
    composed[0] = bench.store(
        "tree.json",
        &serde_json::to_vec(&tree).expect("JSON"),
        ArtifactKind::Tree,
    );
    if harm == Harm::InRelease {
        let text = String::from_utf8(bench.load(&signatures[0])).expect("UTF-8");
        let text = text.replace("Suite: stable", "Suite: stablf");
        signatures[0] = bench.store(
            "dists/stable/InRelease",
            text.as_bytes(),
            ArtifactKind::Signature,
        );
    }
    let known = if harm == Harm::Key { key() } else { signing };
    let task = SmokeTask {
        repository: "test".parse().expect("a name"),
        layout: layout(),
        public_key: known.public().to_armored(),
        platform: "debian-12".parse().expect("a name"),
        target: platform(),
        keys: no_keys(),
        arch: "amd64".parse().expect("an architecture"),
        compose: named("compose"),
        signatures: named("signatures"),
        install: install.iter().map(|name| (*name).to_owned()).collect(),
        limits: limits(),
    };
    let inputs = vec![
        (named("compose"), composed),
        (named("signatures"), signatures),
    ];
    let outcome = bench.run(TaskSpec::Smoke(Box::new(task)), inputs).await;
    bench.cases(outcome, FailureKind::Smoke)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_repository_is_used_as_its_users_will() {
    assert_eq!(
        smoke(Harm::None, &[]).await,
        ["ok 1 - apt-get update of stable"]
    );
    let expect = [
        "ok 1 - apt-get update of stable",
        "ok 2 - install tiny",
        "ok 3 - install tiny-data",
    ];
    assert_eq!(smoke(Harm::None, &["tiny", "tiny-data"]).await, expect);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_repository_is_refused() {
    let cases = [
        (Harm::Key, "apt-get update of stable", "NO_PUBKEY"),
        (Harm::InRelease, "apt-get update of stable", "BADSIG"),
        (Harm::Index, "apt-get update of stable", "Hash Sum mismatch"),
        (Harm::Package, "install tiny", "Hash Sum mismatch"),
    ];
    for (harm, case, words) in cases {
        assert_failed(&smoke(harm, &["tiny"]).await, case, words);
    }
    // The platform has it, the repository has not.
    assert_failed(
        &smoke(Harm::None, &["hostname"]).await,
        "install hostname",
        "does not find hostname in this repository",
    );
    assert_failed(
        &smoke(Harm::None, &["no-such-package"]).await,
        "install no-such-package",
        "Unable to locate package",
    );
}
