//! `millrace init`: what is in the state repository, for which forge, and what it says is to be done there.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::alone::installed;
use crate::person::{Said, millrace, said};

const GITHUB: [&str; 6] = [
    "--forge",
    "github",
    "--state",
    "https://github.com/acme/state.git",
    "--public-url",
    "https://build.example.org",
];
const GITEA: [&str; 6] = [
    "--forge",
    "gitea",
    "--state",
    "https://git.example.org:3000/forge/acme/state",
    "--public-url",
    "https://build.example.org/",
];
/// Millrace's page in the place of a forge.
const PAGE: &str = "new/github-app.html";

async fn init(words: &[&str]) -> (tempfile::TempDir, Said) {
    let folder = installed(&["millrace-runner", "millrace-signer"]);
    let mut init = tokio::process::Command::new(folder.path().join("millrace"));
    init.args(["init", "--name", "Example <&\" Linux"])
        .args(words)
        .arg(folder.path().join("new"));
    let said = said(init).await;
    (folder, said)
}

async fn well(words: &[&str]) -> (tempfile::TempDir, String) {
    let (folder, said) = init(words).await;
    assert_eq!(said.code, 0, "{said:?}");
    (folder, said.out)
}

/// A checkout of what was made: its files by their paths.
fn files(folder: &Path) -> (PathBuf, BTreeMap<String, String>) {
    let clone = folder.join("clone");
    let mut git = std::process::Command::new("git");
    git.args(["clone", "--quiet"])
        .arg(folder.join("new/state.git"));
    assert!(git.arg(&clone).status().expect("git starts").success());
    let mut files = BTreeMap::new();
    let mut left = vec![clone.clone()];
    while let Some(folder) = left.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_file() {
                let name = path
                    .strip_prefix(&clone)
                    .expect("below")
                    .display()
                    .to_string();
                files.insert(name, std::fs::read_to_string(path).expect("text"));
            } else if !path.ends_with(".git") {
                left.push(path);
            }
        }
    }
    (clone, files)
}

#[tokio::test]
async fn each_file_names_a_schema_that_is_there() {
    let (folder, _) = well(&[]).await;
    let (_, files) = files(folder.path());
    let mut named = 0;
    for (path, text) in &files {
        if !path.ends_with(".yaml") || path.starts_with(".git") {
            continue;
        }
        let (first, _) = text.split_once('\n').expect("a line");
        let schema = first.strip_prefix("# yaml-language-server: $schema=");
        let schema = schema.unwrap_or_else(|| panic!("{path}: {first}"));
        let up = "../".repeat(path.matches('/').count());
        let schema = schema
            .strip_prefix(&up)
            .unwrap_or_else(|| panic!("{path}: {schema}"));
        assert!(files.contains_key(schema), "{path}: {schema}");
        named += 1;
    }
    assert!(named > 15, "{named}");
    let example = &files["examples/builds/2026-11/hello.yaml"];
    assert!(
        example
            .starts_with("# yaml-language-server: $schema=../../../.millrace/schemas/build.json\n")
    );
    let editor: Value = serde_json::from_str(&files[".vscode/settings.json"]).expect("JSON");
    let known = editor["yaml.schemas"].as_object().expect("names");
    let known: Vec<&String> = known.keys().collect();
    let schemas = files
        .keys()
        .filter(|path| path.starts_with(".millrace/schemas/"));
    assert_eq!(known, schemas.collect::<Vec<_>>());
}

#[tokio::test]
async fn old_schemas_are_told_of_and_renewed() {
    let (folder, _) = well(&[]).await;
    let (clone, _) = files(folder.path());
    // The stand-in of the runner enrols none.
    for id in ["local-builder", "local-signer"] {
        std::fs::remove_file(clone.join(format!("runners/{id}.yaml"))).expect("it is there");
    }
    std::fs::remove_file(clone.join("keys/main.asc")).expect("it is there");
    let lint = async |words: &[&str]| {
        let mut lint = millrace(&["lint"]);
        lint.args(words).arg(&clone);
        let said = said(lint).await;
        assert_eq!(said.code, 0, "{said:?}");
        said.out
    };
    assert!(!lint(&[]).await.contains("schema"));
    std::fs::write(clone.join(".millrace/schemas/key.json"), "{}").expect("a file");
    std::fs::remove_file(clone.join(".millrace/schemas/build.json")).expect("it is there");
    let found = lint(&[]).await;
    assert_eq!(found.matches("warning[other-schema]").count(), 2, "{found}");
    assert!(found.contains("millrace lint --write-schemas"), "{found}");
    assert!(!lint(&["--write-schemas"]).await.contains("schema"));
    assert!(!lint(&[]).await.contains("schema"));
}

#[tokio::test]
async fn each_forge_gets_its_own_files_and_any_forge_both() {
    for (words, expect) in [
        (&GITHUB[..], [true, false]),
        (&GITEA, [false, true]),
        (&[], [true, true]),
    ] {
        let (folder, _) = well(words).await;
        let (_, files) = files(folder.path());
        for file in ["CODEOWNERS", "workflows/lint.yaml"] {
            let found =
                [".github", ".gitea"].map(|folder| files.contains_key(&format!("{folder}/{file}")));
            assert_eq!(found, expect, "{words:?} {file}");
        }
        assert!(
            !files.contains_key("CODEOWNERS"),
            "Gitea would read it before its own"
        );
        assert!(files.contains_key(".millrace/package"));
    }
}

#[tokio::test]
async fn what_to_click_at_github() {
    let (folder, said) = well(&GITHUB).await;
    let root = folder.path().join("new");
    for words in [
        "https://github.com/new",
        "push https://github.com/acme/state.git main",
        &format!("file://{}/github-app.html", root.display()),
        "https://api.github.com/app-manifests/CODE/conversions",
        "https://github.com/acme/state/settings/branches",
        "`millrace / plan`",
        ".github/CODEOWNERS",
        "--forge github \\\n",
        "--forge-app NUMBER",
        "--public-url https://build.example.org\n",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(
        !said.contains("--state-token-file"),
        "an App pushes: {said}"
    );
    let page = std::fs::read_to_string(folder.path().join(PAGE)).expect("the page");
    assert!(!page.contains("{{"), "{page}");
    assert!(page.contains(r#"action="https://github.com/organizations/acme/settings/apps/new""#));
    assert!(page.contains(r#"formaction="https://github.com/settings/apps/new""#));
    let (_, rest) = page
        .split_once("name=\"manifest\" value=\"")
        .expect("the manifest");
    let (sent, _) = rest.split_once('"').expect("its end");
    let sent = sent
        .replace("&quot;", "\"")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&");
    let sent: Value = serde_json::from_str(&sent).expect("JSON");
    let expect = forge::app::manifest(
        "Millrace of Example <&\" Linux",
        "https://build.example.org",
    );
    assert_eq!(sent, expect);
    assert!(
        !root.join("secrets/webhook.secret").exists(),
        "GitHub makes it"
    );
}

#[tokio::test]
async fn what_to_click_at_gitea() {
    let (folder, said) = well(&GITEA).await;
    let file = folder.path().join("new/secrets/webhook.secret");
    for words in [
        "https://git.example.org:3000/forge/repo/create",
        "https://git.example.org:3000/forge/user/settings/applications",
        "https://git.example.org:3000/forge/acme/state/settings/hooks/gitea/new",
        "https://build.example.org/webhook",
        &file.display().to_string(),
        ".gitea/CODEOWNERS",
        "--forge gitea --forge-api https://git.example.org:3000/forge/api/v1 \\\n",
        "secrets/forge.token --state-token-file ",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let secret = std::fs::read_to_string(&file).expect("the secret");
    assert_eq!(secret.trim().len(), 64);
    assert!(!said.contains(secret.trim()), "a secret is on no screen");
    let mode = std::fs::metadata(&file)
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!folder.path().join(PAGE).exists());
}

#[tokio::test]
async fn programs_get_the_same_steps() {
    let (_folder, said) = well(&[&GITHUB[..], &["--json"]].concat()).await;
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(said["forge"]["repository"], "acme/state");
    assert_eq!(
        said["forge"]["webhook"],
        "https://build.example.org/webhook"
    );
    let steps = said["forge"]["steps"].as_array().expect("steps");
    assert_eq!(steps.len(), 7);
    assert!(
        steps
            .iter()
            .all(|step| step["what"].as_str().is_some_and(|it| !it.contains('\n'))),
        "{steps:?}"
    );
}

#[tokio::test]
async fn a_forge_wants_its_addresses() {
    let (_, said) = init(&["--forge", "gitea", "--state", "https://x.org/a/b"]).await;
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.err.contains("--public-url"), "{said:?}");
    let swap = |state| GITHUB.map(|word| if word.ends_with(".git") { state } else { word });
    for (state, code, expect) in [
        (
            "git@github.com:acme/state.git",
            2,
            "write an http(s) address",
        ),
        (
            "https://user:secret@github.com/acme/state",
            2,
            "without a login",
        ),
        (
            "https://github.com/state.git",
            3,
            "does not end in OWNER/NAME",
        ),
        (
            "https://github.com/acme/..",
            3,
            "does not end in OWNER/NAME",
        ),
    ] {
        let (folder, said) = init(&swap(state)).await;
        assert_eq!(said.code, code, "{said:?}");
        assert!(said.err.contains(expect), "{said:?}");
        assert!(
            !folder.path().join("new").exists(),
            "nothing is made: {state}"
        );
    }
}
