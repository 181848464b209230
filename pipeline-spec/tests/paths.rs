//! What a path means.

use pipeline_spec::{PathKind, RequestKind, RequestPath, classify, is_config_path};

#[test]
fn every_path_has_one_meaning() {
    let check = |path: &str, expect: &str| {
        let kind = match classify(path) {
            PathKind::Project => "project",
            PathKind::Policy => "policy",
            PathKind::Platform(_) => "platform",
            PathKind::Flavor(_) => "flavor",
            PathKind::Repository(_) => "repository",
            PathKind::Key(_) => "key",
            PathKind::KeyFile(_) => "key file",
            PathKind::Runner(_) => "runner",
            PathKind::Request(path) if path.kind() == RequestKind::Build => "build",
            PathKind::Request(_) => "release",
            PathKind::Erratum(_) => "erratum",
            PathKind::Reserved => "reserved",
            PathKind::Misplaced(_) => "misplaced",
            PathKind::Other => "other",
        };
        assert_eq!(kind, expect, "{path}");
    };
    check("millrace.yaml", "project");
    check("millrace.yml", "misplaced");
    check("policy.yaml", "policy");
    check("platforms/almalinux-10.yaml", "platform");
    check("platforms/AlmaLinux.yaml", "misplaced");
    check("platforms/.yaml", "misplaced");
    check("platforms/a/b.yaml", "misplaced");
    check("platform/debian-12.yaml", "misplaced");
    check("flavors/epel.yaml", "flavor");
    check("repositories/baseos.yaml", "repository");
    check("keys/main.yaml", "key");
    check("keys/main.asc", "key file");
    check("keys/upstream/debian-12.asc", "key file");
    check("keys/upstream/README.md", "other");
    check("keys/main.gpg", "misplaced");
    check("keys/../x.asc", "misplaced");
    check("runners/one.yaml", "runner");
    check("builds/2026/11/openssl-fix.yaml", "build");
    check("builds/2026/11/SDL2.yaml", "build");
    check("builds/2026/11/a b.yaml", "misplaced");
    check("builds/2026/00/x.yaml", "misplaced");
    check("builds/26/11/x.yaml", "misplaced");
    check("builds/2026/11/deep/x.yaml", "misplaced");
    check("builds/2026/11/x.json", "misplaced");
    check("builds/2026/11/.gitkeep", "other");
    check("builds/2026/11/..yaml", "misplaced");
    check("builds/2026/11/.x.yaml", "misplaced");
    check("releases/2026/11/openssl-fix.yaml", "release");
    check("errata/2026/ALSA-2026:1234.yaml", "erratum");
    check("modifications/openssl/config.yaml", "reserved");
    check("tests/boot.yaml", "reserved");
    check("README.md", "other");
    check("CODEOWNERS", "other");
    check("examples/builds/2026-11/hello.yaml", "other");
    check(".github/CODEOWNERS", "other");
    check(".github/workflows/lint.yaml", "other");
    check(".gitea/workflows/lint.yaml", "other");
    check(".millrace/package", "other");
    check(".millrace/schemas/build.json", "other");
    check(".vscode/settings.json", "other");
    check("docs/notes.yaml", "other");
    check("", "other");
    check("/", "other");
    check("builds", "other");
}

#[test]
fn planning_reads_configuration_alone() {
    let check = |path: &str, expect: bool| assert_eq!(is_config_path(path), expect, "{path}");
    check("millrace.yaml", true);
    check("keys/upstream/debian-12.asc", true);
    check("platforms/Wrong.yaml", true);
    check("builds/2026/11/x.yaml", false);
    check("builds/wrong.yaml", false);
    check("errata/2026/ALSA-2026:1234.yaml", false);
    check("README.md", false);
}

#[test]
fn a_request_knows_its_name() {
    let path: RequestPath = "releases/2026/11/openssl-fix.yaml".parse().unwrap();
    assert_eq!(
        (path.kind(), path.name()),
        (RequestKind::Release, "openssl-fix")
    );
    assert_eq!(path.to_string(), "releases/2026/11/openssl-fix.yaml");
}

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

#[test]
fn rows_and_messages_know_scratch_builds() {
    let build: RequestPath = "builds/2026/11/app.yaml".parse().unwrap();
    let path = RequestPath::scratch(7, COMMIT, &build).unwrap();
    let text = format!("scratch/7/{COMMIT}/2026/11/app.yaml");
    assert_eq!(path.as_str(), text);
    assert_eq!((path.kind(), path.name()), (RequestKind::Scratch, "app"));
    assert_eq!(path.scratch_of(), Some(build.clone()));
    assert_eq!(RequestPath::stored(&text), Ok(path.clone()));
    let json = serde_json::to_string(&path).unwrap();
    assert_eq!(serde_json::from_str::<RequestPath>(&json).unwrap(), path);
    assert!(!build.is_scratch() && build.scratch_of().is_none());
    let release = "releases/2026/11/app.yaml".parse().unwrap();
    assert_eq!(RequestPath::scratch(7, COMMIT, &release), None);
    assert_eq!(RequestPath::scratch(7, COMMIT, &path), None);
    assert_eq!(RequestPath::scratch(7, "main", &build), None);
    for wrong in [
        "scratch/2026/11/app.yaml",
        "scratch/7/main/2026/11/app.yaml",
        &text.replace("scratch/7/", "scratch/07/"),
        &text.replace("scratch/7/", "scratch/-7/"),
        &text.replace("2026", "26"),
        &text.replace("app.yaml", "../app.yaml"),
    ] {
        assert!(RequestPath::stored(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn nobody_can_name_a_scratch_build() {
    let text = format!("scratch/7/{COMMIT}/2026/11/app.yaml");
    let error = text.parse::<RequestPath>().unwrap_err();
    assert!(error.to_string().contains("four parts"), "{error}");
    assert_eq!(classify(&text), PathKind::Other);
    assert_eq!(pipeline_spec::schema_of(&text), None);
    let source = "packages:\n  - source: {git: \"https://git.example.org/app.git\", ref: main}\n";
    let build = format!("reason: a test\nplatforms:\n  el-10:\n{source}with: [{text}]\n");
    let release = format!("from: [{text}]\nto: [base]\n");
    let path = |text: &str| text.parse::<RequestPath>().unwrap();
    let refused = [
        pipeline_spec::parse_build(&path("builds/2026/11/b.yaml"), build.as_bytes()).err(),
        pipeline_spec::parse_release(&path("releases/2026/11/b.yaml"), release.as_bytes()).err(),
    ];
    for found in refused {
        let found = found.expect("it is refused");
        let about = |it: &pipeline_spec::Diagnostic| it.message.contains("scratch/7/");
        assert!(found.iter().any(about), "{found:?}");
    }
}
