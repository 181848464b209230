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
    init_at("new", words).await
}

/// In a directory of this name.
async fn init_at(name: &str, words: &[&str]) -> (tempfile::TempDir, Said) {
    let folder = installed(&["millrace-runner", "millrace-signer"]);
    let mut init = tokio::process::Command::new(folder.path().join("millrace"));
    init.args(["init", "--name", "Example <&\" Linux"])
        .args(words)
        .arg(folder.path().join(name));
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
    // `millrace up` and the step that starts it name this one.
    let fetch = steps[3]["what"].as_str().expect("words");
    assert!(fetch.contains("fetch the App's key"), "{fetch}");
    assert!(
        steps
            .iter()
            .all(|step| step["what"].as_str().is_some_and(|it| !it.contains('\n'))),
        "{steps:?}"
    );
}

#[tokio::test]
async fn the_token_of_gitea_is_made_in_the_step_that_up_names() {
    let (_folder, said) = well(&[&GITEA[..], &["--json"]].concat()).await;
    let said: Value = serde_json::from_str(&said).expect("JSON");
    let what = said["forge"]["steps"][2]["what"].as_str().expect("words");
    assert!(what.contains("Make a token"), "{what}");
}

/// The step that says `what`.
async fn step(words: &[&str], what: &str) -> (tempfile::TempDir, Value) {
    let (folder, said) = well(&[words, &["--json"]].concat()).await;
    let said: Value = serde_json::from_str(&said).expect("JSON");
    let steps = said["forge"]["steps"].as_array().expect("steps");
    let step = steps
        .iter()
        .find(|step| step["what"].as_str().is_some_and(|it| it.contains(what)));
    (folder, step.expect("the step").clone())
}

/// Lines to paste, of a step or of a block of it.
fn run_of(block: &Value) -> String {
    let lines = block["run"].as_array().expect("lines");
    let lines: Vec<&str> = lines.iter().filter_map(Value::as_str).collect();
    lines.join("\n")
}

/// Of the step that says `what`, the lines to paste.
async fn lines(words: &[&str], what: &str) -> (tempfile::TempDir, String) {
    let (folder, step) = step(words, what).await;
    let lines = run_of(&step);
    (folder, lines)
}

/// Pastes `lines` into a shell where `program` is a script; what follows them says where the shell is then.
fn pasted(folder: &Path, lines: &str, (program, script): (&str, &str)) -> std::process::Output {
    let programs = folder.join("programs");
    std::fs::create_dir_all(&programs).expect("a folder");
    let file = programs.join(program);
    std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).expect("a program");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    let path = std::env::var("PATH").expect("programs");
    std::process::Command::new("bash")
        .arg("-c")
        .arg(format!(
            "{lines}\nended=$?; echo \"$PWD $(umask)\"; exit $ended"
        ))
        .current_dir(folder)
        .env("PATH", format!("{}:{path}", programs.display()))
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_NAME"), "Ada")))
        .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_EMAIL"), "ada@example.org")))
        .output()
        .expect("bash starts")
}

/// GitHub gives the key once: whatever comes later must not cost it.
#[tokio::test]
async fn the_apps_key_survives_a_second_paste() {
    const GIVEN: &str =
        r#"{"id":123456,"pem":"-----KEY-----","webhook_secret":"s3cret","html_url":"https://x"}"#;
    // As curl does it: the file after `-o` is written when something has come.
    let answers = |answer: &str| {
        format!(
            "while [ $# -gt 0 ] && [ \"$1\" != -o ]; do shift; done\nprintf %s '{answer}' > \"${{2:-/dev/stdout}}\""
        )
    };
    let jq = std::process::Command::new("jq").arg("--version").output();
    assert!(jq.is_ok(), "`jq` is missing: apt-get install jq");
    let refuses = "echo 'curl: (22) 404' >&2; exit 22";
    let no_key = GIVEN.replace("\"-----KEY-----\"", "null");
    let (folder, lines) = lines(&GITHUB, "fetch the App's key").await;
    let secrets = folder.path().join("new/secrets");
    let kept = || {
        ["forge.pem", "webhook.secret"].map(|name| {
            std::fs::read_to_string(secrets.join(name)).unwrap_or_else(|_| "none".to_owned())
        })
    };
    let check = |script: &str, is_well: bool, expect: [&str; 2]| {
        let before = pasted(folder.path(), "true", ("curl", script)).stdout;
        let ended = pasted(folder.path(), &lines, ("curl", script));
        assert_eq!(ended.status.success(), is_well, "{script}: {ended:?}");
        assert_eq!(kept(), expect, "{script}");
        assert!(ended.stdout.ends_with(&before), "{script}: {ended:?}");
        String::from_utf8(ended.stdout).expect("text")
    };
    let (none, given) = (["none"; 2], ["-----KEY-----\n", "s3cret\n"]);
    check(refuses, false, none);
    check(&answers(""), false, none);
    check(&answers(&no_key), false, none);
    let said = check(&answers(GIVEN), true, given);
    assert!(
        said.starts_with("number 123456, page https://x\n"),
        "{said}"
    );
    assert!(!said.contains("s3cret"), "{said}");
    for name in ["forge.pem", "webhook.secret"] {
        let mode = std::fs::metadata(secrets.join(name)).expect("it is there");
        assert_eq!(mode.permissions().mode() & 0o777, 0o600, "{name}");
    }
    for script in [refuses, &answers(""), &answers(&no_key)] {
        check(script, false, given);
    }
}

#[tokio::test]
async fn the_page_has_the_same_lines() {
    let (folder, lines) = lines(&GITHUB, "fetch the App's key").await;
    let page = std::fs::read_to_string(folder.path().join(PAGE)).expect("the page");
    let lines = lines
        .replace('&', "&amp;")
        .replace('>', "&gt;")
        .replace('"', "&quot;");
    assert!(page.contains(&lines), "{page}");
    let root = folder.path().join("new").display().to_string();
    let guide = include_str!("../../../../docs/how-to/on-a-forge.md").replace("\n   ", "\n");
    let lines = lines
        .replace("&amp;", "&")
        .replace("&gt;", ">")
        .replace("&quot;", "\"");
    assert!(
        guide.contains(&lines.replace(&root, "/srv/example")),
        "{lines}"
    );
}

#[tokio::test]
async fn names_are_committed_before_anything_is_pushed() {
    for (words, folder_of) in [(&GITHUB[..], ".github"), (&GITEA, ".gitea")] {
        let (folder, lines) = lines(words, "CODEOWNERS").await;
        let ended = pasted(folder.path(), &lines, ("editor", "echo '* @ada' > \"$1\""));
        assert!(ended.status.success(), "{ended:?}");
        let (_, files) = files(folder.path());
        assert_eq!(files[&format!("{folder_of}/CODEOWNERS")], "* @ada\n");
        assert!(!files.contains_key(&format!("{folder_of}/workflows/lint.yaml")));
        // A second time there is such a folder: nothing of where the shell is then is touched.
        let ended = pasted(folder.path(), &lines, ("editor", "echo touched >&2"));
        assert!(!ended.status.success(), "{ended:?}");
        assert!(
            !String::from_utf8_lossy(&ended.stderr).contains("touched"),
            "{ended:?}"
        );
    }
}

#[tokio::test]
async fn the_workflow_can_be_kept() {
    for (words, folder_of) in [(&GITHUB[..], ".github"), (&GITEA, ".gitea")] {
        let (folder, step) = step(words, "CODEOWNERS").await;
        let lines = run_of(&step["also"][0]);
        let ended = pasted(
            folder.path(),
            &lines,
            ("editor", "echo 'mine @ada' > \"$1\""),
        );
        assert!(ended.status.success(), "{ended:?}");
        let (_, files) = files(folder.path());
        for file in [".millrace/package", &format!("{folder_of}/CODEOWNERS")] {
            assert_eq!(files[file], "mine @ada\n", "{file}");
        }
        assert!(files.contains_key(&format!("{folder_of}/workflows/lint.yaml")));
    }
}

#[tokio::test]
async fn a_directory_with_a_space_is_quoted() {
    for words in [&GITHUB[..], &GITEA, &[]] {
        let (folder, said) = init_at("a 14", words).await;
        assert_eq!(said.code, 0, "{said:?}");
        let root = folder.path().join("a 14").display().to_string();
        for line in ["git clone", "millrace up --data"] {
            let end = if line == "git clone" {
                "/state.git"
            } else {
                ""
            };
            let line = format!("{line} '{root}{end}'");
            assert!(said.out.contains(&line), "{line}: {said:?}");
        }
        let page = std::fs::read_to_string(folder.path().join("a 14/github-app.html"));
        assert_eq!(page.is_ok(), words == GITHUB);
        if let Ok(page) = page {
            assert!(
                page.contains(&format!("cd '{root}/secrets' &amp;&amp;")),
                "{page}"
            );
            assert!(said.out.contains("/a%2014/github-app.html"), "{said:?}");
        }
    }
}

#[tokio::test]
async fn an_address_is_no_directory() {
    for address in [
        "https://ada:hunter2@git.example.org/x",
        "git@git.example.org:x",
    ] {
        let (folder, said) = init_at(address, &[]).await;
        assert_eq!(said.code, 3, "{said:?}");
        assert!(said.err.contains("give a DIRECTORY"), "{said:?}");
        assert!(!said.err.contains("hunter2"), "{said:?}");
        let first = address.split('/').next().expect("a part");
        assert!(!folder.path().join(first).exists());
    }
}

#[tokio::test]
async fn it_says_how_the_public_address_comes_to_millrace() {
    for (public, expect) in [
        (
            "https://build.example.org/m",
            Some("caddy reverse-proxy --from build.example.org --to 127.0.0.1:7878"),
        ),
        (
            "http://build.example.org",
            Some("caddy reverse-proxy --from http://build.example.org --to 127.0.0.1:7878"),
        ),
        ("http://127.0.0.1:7878", None),
    ] {
        let words = [&GITEA[..5], &[public]].concat();
        let (_folder, step) = step(&words, "Start.").await;
        let found = step.get("also").map(|blocks| run_of(&blocks[0]));
        assert_eq!(found.as_deref(), expect, "{public}");
    }
}

#[tokio::test]
async fn the_branches_are_protected_last() {
    let patterns = "keys/**;runners/**;policy.yaml;millrace.yaml;.gitea/**;.millrace/**";
    let guide = include_str!("../../../../docs/how-to/on-a-forge.md");
    assert!(guide.contains(patterns));
    for (words, expect) in [(&GITHUB[..], "no approvals"), (&GITEA, patterns)] {
        let (_folder, said) = well(words).await;
        let places = [
            "CODEOWNERS",
            "push https://",
            " millrace up ",
            "Protect the branch",
        ];
        let places = places.map(|word| said.find(word).unwrap_or_else(|| panic!("{word}: {said}")));
        assert!(places.is_sorted(), "{places:?}: {said}");
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(expect), "{said}");
        assert!(said.contains("If you are alone"), "{said}");
    }
}

#[tokio::test]
async fn an_address_that_no_forge_reaches_is_told_of() {
    let at = |public| {
        GITHUB.map(|word| {
            if word.ends_with("build.example.org") {
                public
            } else {
                word
            }
        })
    };
    for near in [
        "http://127.0.0.1:7878",
        "http://localhost:7878",
        "http://192.168.1.4",
        "http://[::1]:7878",
        "http://[fd00::1]",
    ] {
        let (_folder, said) = well(&at(near)).await;
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains("warning: "), "{near}: {said}");
        assert!(
            said.contains("leave out --webhook-secret-file"),
            "{near}: {said}"
        );
    }
    for far in [
        "https://build.example.org",
        "http://192.0.2.1",
        "http://[2001:db8::1]",
    ] {
        let (_folder, said) = well(&at(far)).await;
        assert!(!said.contains("warning: "), "{far}: {said}");
    }
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
            "as https://HOST/OWNER/NAME.git; ssh is not taken",
        ),
        (
            "https://user:secret@github.com/acme/state",
            2,
            "without a login",
        ),
        (
            "https://github.com/state.git",
            2,
            "does not end in OWNER/NAME",
        ),
        ("https://github.com/acme/..", 2, "without a login"),
        (
            "https://github.com/acme/state/tree/main",
            2,
            "write https://github.com/acme/state\n",
        ),
        ("http:github.com/acme/state", 2, "without a login"),
    ] {
        let (folder, said) = init(&swap(state)).await;
        assert_eq!(said.code, code, "{said:?}");
        assert!(said.err.contains(expect), "{said:?}");
        assert!(!said.err.contains("secret"), "{said:?}");
        assert!(
            !folder.path().join("new").exists(),
            "nothing is made: {state}"
        );
    }
}

#[tokio::test]
async fn a_wrong_address_of_a_gitea_is_not_answered_with_githubs() {
    for (state, expect) in [
        (
            "https://github.com/acme/state",
            "github.com is GitHub: use `--forge github`",
        ),
        (
            "https://git.example.org/state",
            "as https://gitea.example.org/acme/state.git",
        ),
        ("git@git.example.org:acme/state.git", "as https://HOST/"),
    ] {
        let words = [&GITEA[..3], &[state], &GITEA[4..]].concat();
        let (folder, said) = init(&words).await;
        assert_eq!(said.code, 2, "{said:?}");
        assert!(said.err.contains(expect), "{said:?}");
        assert!(
            !said.err.contains("https://github.com/acme/state.git"),
            "{said:?}"
        );
        assert!(
            !folder.path().join("new").exists(),
            "nothing is made: {state}"
        );
    }
}
