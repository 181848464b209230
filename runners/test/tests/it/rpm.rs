//! RPM: good and bad packages, whole and damaged repositories, with the bridge as the platform.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use pipeline_spec::{Platform, Repository};
use runner_api::{
    Artifact, ArtifactKind, FailureKind, PublicKeys, SmokeTask, TaskSpec, TestTask, Tree,
};

use testkit::{bridge, limits, named, run, write};

use crate::bench::{Bench, TIME, assert_failed, flipped, key, link_against_nothing};

const KEY: &str = "keys/bridge-12.asc";

fn platform() -> Platform {
    serde_json::from_value(serde_json::json!({
        "architectures": ["x86_64"], "backend": "dnf", "format": "rpm",
        "first": ["bridge-base"], "buildroot": ["gcc"],
        "repos": [{"name": "bridge-12", "url": format!("file://{}", bridge().repository.display()), "keys": [KEY]}],
    }))
    .expect("a platform")
}

fn keys() -> PublicKeys {
    let armored = std::fs::read_to_string(&bridge().gpgkey).expect("the bridge's key");
    BTreeMap::from([(KEY.parse().expect("a path"), armored)])
}

/// A package to be made; the rest of its spec file is the same for all.
#[derive(Clone, Default)]
struct Wish<'a> {
    /// Lines of the preamble.
    head: &'a str,
    /// Sections, such as scriptlets.
    scripts: &'a str,
    /// Path and target of a link.
    link: Option<(&'a str, &'a str)>,
    /// A program whose library is nowhere.
    broken_program: bool,
}

/// The file `name-1:1.0-1`.
fn make(bench: &Bench, name: &str, wish: &Wish<'_>) -> std::path::PathBuf {
    let program = bench.path(&format!("{name}-program"));
    if wish.broken_program {
        link_against_nothing(&bench.path("c"), &program);
    } else {
        std::fs::copy("/bin/true", &program).expect("the host's /bin/true");
    }
    let (link, linked) = match wish.link {
        Some((path, target)) => (
            format!(
                "mkdir -p $(dirname %{{buildroot}}{path})\nln -s {target} %{{buildroot}}{path}\n"
            ),
            path,
        ),
        None => (String::new(), ""),
    };
    let text = format!(
        "%global debug_package %{{nil}}\n%global _build_id_links none\n%global __os_install_post %{{nil}}\nAutoReqProv: no\n\
         Name: {name}\nEpoch: 1\nVersion: 1.0\nRelease: 1\nSummary: s\nLicense: MIT\n{head}\
         %description\nd\n%install\ninstall -D -m 755 {program} %{{buildroot}}/usr/bin/{name}\n\
         mkdir -p %{{buildroot}}/usr/share/{name}\necho text > %{{buildroot}}/usr/share/{name}/text\n\
         echo doc > %{{buildroot}}/usr/share/{name}/doc\n{link}\
         {scripts}\n%files\n/usr/bin/{name}\n/usr/share/{name}/text\n%doc /usr/share/{name}/doc\n%ghost /usr/share/{name}/ghost\n{linked}\n",
        head = wish.head,
        scripts = wish.scripts,
        program = program.display(),
    );
    let spec = bench.path(&format!("{name}.spec"));
    write(&spec, &text, 0o644);
    let top = format!("_topdir {}", bench.path("rpmbuild").display());
    run(
        Command::new("rpmbuild")
            .args([
                "-bb",
                "--quiet",
                "--target",
                "x86_64",
                "--define",
                "_buildshell /bin/bash",
                "--define",
                &top,
            ])
            .arg(&spec),
        "rpm",
    );
    bench.path(&format!("rpmbuild/RPMS/x86_64/{name}-1.0-1.x86_64.rpm"))
}

fn stored(bench: &Bench, name: &str, file: &Path) -> Artifact {
    bench.store_package(file, ArtifactKind::Rpm, [name, "1:1.0-1", "x86_64"])
}

/// The cases of a test of these packages; they may require `tiny-data` of another build.
async fn test(wishes: &[(&str, Wish<'_>)]) -> Vec<String> {
    let bench = Bench::new().await;
    let data = stored(
        &bench,
        "tiny-data",
        &make(&bench, "tiny-data", &Wish::default()),
    );
    // Not for users, and not tested.
    let debug = Wish {
        head: "Requires: no-such-package-here\n",
        ..Wish::default()
    };
    let debug = stored(
        &bench,
        "tiny-debuginfo",
        &make(&bench, "tiny-debuginfo", &debug),
    );
    let made = wishes
        .iter()
        .map(|(name, wish)| stored(&bench, name, &make(&bench, name, wish)));
    let packages = made.chain([debug]).collect();
    let task = TestTask {
        package: "tiny".parse().expect("a name"),
        platform: "bridge-12".parse().expect("a name"),
        target: platform(),
        keys: keys(),
        arch: "x86_64".parse().expect("an architecture"),
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
        head: "Requires: tiny-data = 1:1.0-1, bc\n",
        scripts: "%post\ntest -e /usr/share/tiny-data/text && test -x /usr/bin/bc",
        link: Some(("/usr/share/tiny/link", "../tiny-data/text")),
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
    let scripts = |scripts| Wish {
        scripts,
        ..Wish::default()
    };
    let cases = [
        (
            "dangling",
            Wish {
                link: Some(("/usr/lib/x/link", "nowhere")),
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
            "libnowhere.so.1 => not found",
        ),
        (
            "requires",
            Wish {
                head: "Requires: no-such-package-here\n",
                ..Wish::default()
            },
            "install requires",
            "nothing provides no-such-package-here",
        ),
        (
            "pre",
            scripts("%pre\nexit 1"),
            "install pre",
            "scriptlet failed",
        ),
        (
            "post",
            scripts("%post\nexit 1"),
            "install post",
            "scriptlet failed",
        ),
        (
            "changed",
            scripts("%post\necho more >> /usr/share/changed/text"),
            "verify changed",
            "/usr/share/changed/text",
        ),
        (
            "preun",
            scripts("%preun\nexit 1"),
            "remove preun",
            "scriptlet failed",
        ),
        (
            "left",
            scripts("%postun\nmkdir -p /usr/share/left; touch /usr/share/left/text"),
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
    /// The package was never signed.
    Unsigned,
    /// A byte of what is signed.
    Repomd,
    /// A byte of an index.
    Index,
    /// The public key is another one.
    Key,
}

fn layout() -> Repository {
    serde_json::from_str(
        r#"{"platform": "bridge-12", "architectures": ["x86_64"], "key": "main", "keep": "all", "format": "rpm", "path": "bridge/12"}"#,
    )
    .expect("a layout")
}

async fn smoke(harm: Harm, install: &[&str]) -> Vec<String> {
    let bench = Bench::new().await;
    let (signing, time) = (key(), TIME.unsigned_abs());
    let depends = Wish {
        head: "Requires: tiny-data, bc\n",
        ..Wish::default()
    };
    let packages = [("tiny", depends), ("tiny-data", Wish::default())].map(|(name, wish)| {
        let file = make(&bench, name, &wish);
        if harm != Harm::Unsigned {
            repo_rpm::sign_file(&file, &signing, time).expect("a signature");
        }
        stored(&bench, name, &file)
    });
    let mut composed = bench.compose(&layout(), &packages).await;
    let repomd = composed
        .iter()
        .find(|artifact| artifact.name == "x86_64/repodata/repomd.xml")
        .expect("an index");
    let signature = signing
        .sign_detached_armored(&bench.load(repomd), time)
        .expect("a signature");
    let signatures = vec![bench.store(
        "x86_64/repodata/repomd.xml.asc",
        signature.as_bytes(),
        ArtifactKind::Signature,
    )];
    let mut tree: Tree = serde_json::from_slice(&bench.load(&composed[0])).expect("a tree");
    for (path, file) in &mut tree.files {
        let harmed = match harm {
            Harm::Package => path.ends_with("/tiny-1.0-1.x86_64.rpm"),
            Harm::Repomd => path == "x86_64/repodata/repomd.xml",
            Harm::Index => path.contains("primary.xml"),
            Harm::None | Harm::Unsigned | Harm::Key => false,
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
    let known = if harm == Harm::Key { key() } else { signing };
    let task = SmokeTask {
        repository: "test".parse().expect("a name"),
        layout: layout(),
        public_key: known.public().to_armored(),
        platform: "bridge-12".parse().expect("a name"),
        target: platform(),
        keys: keys(),
        arch: "x86_64".parse().expect("an architecture"),
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
        ["ok 1 - dnf makecache of x86_64"]
    );
    let expect = [
        "ok 1 - dnf makecache of x86_64",
        "ok 2 - install tiny",
        "ok 3 - install tiny-data",
    ];
    assert_eq!(smoke(Harm::None, &["tiny", "tiny-data"]).await, expect);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_repository_is_refused() {
    let cases = [
        (Harm::Key, "dnf makecache of x86_64", "signature"),
        (Harm::Repomd, "dnf makecache of x86_64", "signature"),
        (Harm::Index, "dnf makecache of x86_64", "checksum"),
        (Harm::Package, "install tiny", "checksum"),
        (Harm::Unsigned, "install tiny", "is not signed"),
    ];
    for (harm, case, words) in cases {
        assert_failed(&smoke(harm, &["tiny"]).await, case, words);
    }
    // The platform has it, the repository has not.
    assert_failed(
        &smoke(Harm::None, &["bc"]).await,
        "install bc",
        "does not find bc in this repository",
    );
}
