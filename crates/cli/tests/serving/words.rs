//! Words and files that `millrace up` and `millrace init` refuse, and what they keep to themselves.

use std::path::Path;

use crate::up::{Up, commit, ended, made, millrace, private, up};

const KEY: &str =
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n";

/// Of 1024 bits, made for this test.
const SHORT: &str = "\
-----BEGIN RSA PRIVATE KEY-----
MIICXgIBAAKBgQDJ4/XrdskKd8WSB6jMtawu7dHiRPKpAaBNIYgWJxMVXc21vOme
wAmMqNhoWGsdAddvw1PVOe25s1nj3BXptm0EjBkbSmpj4QGb5v+MWguDT0vVOvWY
5T2XN6Vrn/NlD5sycVTQURJs8xcy3yLmCpB4wpife2zQ38yTZfSFKfkafwIDAQAB
AoGBAIWJNpvsEcXOuuuADXJ5p83Sl8Sl/iszXCgoSa79YW38gZf3wD60npxfAeTi
ttaU5T6TX9vlWQw/SPGiHQxdEXWG2SkaaG+GkQoX36ek9nVxQp1mLzs+qvN4kexJ
m/lHtV0/DTXOvvbi6pnbbnoUAo4RD3/Cyt2/QKAw4iPWh5tBAkEA9eiGvJXT/oAP
oOdUizM0dhwcNsBIhIbS9qiZZqxTwW/a2YUPlV7UrvQcBWxKGA4syX3JM2vYT/LG
WmQe/mhalwJBANIs/WsGXv3VkfwxNre6veCIYwxm0aFhT3c3nPsTygOBdxRoO5hz
qXPSmhYpelFBlOwmemwhkTMkGQ3pnjkaxFkCQQDUy4sM1nrE2PytOIGok37qVhj0
KCCYzjLwz6UvfCBeW/T+Fm8Nyyow230EFFlpx5pqIjdiEAj35hZPUiSf8p2xAkEA
oBUubF8s6Q/LopflgmmVCDk5oA+MaevReA9+3OpEuwjYJ04A3mxyS8rEHE85YDyg
boIcStICYz6Caste/UW6+QJAMNpAjKazWvZ/VisXJj8Urg71SxtrSkjNJghJNRBS
XD9S7oGNzuqaPTNzWuNrPLFrGRoL5TLUA3oP581Dj4KytA==
-----END RSA PRIVATE KEY-----
";

#[tokio::test]
async fn a_login_in_a_refused_word_is_not_repeated() {
    let folder = made();
    let new = folder.path().join("new").display().to_string();
    let login = "https://ada:hunter2@github.com/acme/state";
    let forge = ["--forge", "github", "--public-url", "https://b.example.org"];
    let init = [&["init", &new][..], &forge].concat();
    let check = async |args: &[&str]| {
        let (code, said) = ended(millrace(args)).await;
        assert_eq!(code, 2, "{args:?}: {said}");
        assert!(said.contains("github.com"), "{args:?}: {said}");
        assert!(!said.contains("hunter2"), "{args:?}: {said}");
    };
    check(&[&init[..], &["--state", login]].concat()).await;
    check(&[
        "init",
        &new,
        "--forge",
        "github",
        "--state",
        "https://github.com/a/b",
        "--public-url",
        login,
    ])
    .await;
    check(&["up", "--state", login]).await;
    check(&["up", "--state", "//ada:hunter2@github.com/acme/state"]).await;
    check(&["up", "--state", "ada:hunter2@github.com:acme/state"]).await;
    check(&["up", "--json", "--state", login]).await;
    check(&["up", login]).await;
    check(&[login]).await;
}

#[tokio::test]
async fn a_branch_that_cannot_be_planned_is_refused_with_another_one() {
    let folder = made();
    let root = folder.path();
    let on = |branch: &str| {
        let mut command = up(root);
        command.args(["--branch", branch]);
        command
    };
    // Answers are written there.
    let (code, said) = ended(on("status")).await;
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("writes its answers onto it"), "{said}");
    assert!(!root.join("data/millrace.db").exists());
    // Before anything was planned it may come later.
    let mut first = Up::started(on("later")).await;
    first.child.kill().await.expect("it is stopped");
    let mut first = Up::started(on("main")).await;
    first.says("\"planned\"").await;
    first.child.kill().await.expect("it is stopped");
    let (code, said) = ended(on("mian")).await;
    assert_eq!(code, 3, "{said}");
    assert!(
        said.contains("the branch mian: it is not in the state repository"),
        "{said}"
    );
    assert!(said.contains("`--branch main` goes on"), "{said}");
    let again = Up::started(on("main")).await;
    drop(again);
}

#[tokio::test]
async fn what_is_broken_is_told_in_words() {
    let folder = made();
    let root = folder.path();
    commit(
        &root.join("state.git"),
        "broken",
        "millrace.yaml",
        b"version: [",
    );
    let mut command = up(root);
    command.args(["--branch", "broken"]);
    let said = Up::started(command)
        .await
        .says("the configuration cannot be planned")
        .await;
    let line = said.last().expect("a line");
    assert!(line.contains("\"first\":\"millrace.yaml"), "{line}");
    assert!(!line.contains("Problem {"), "{line}");
}

/// `millrace up` with this file of a token, in the words of a forge.
async fn with_token(root: &Path, file: &Path, forge: &[&str]) -> (i32, String) {
    let mut up = up(root);
    up.args(forge).arg("--forge-token-file").arg(file);
    ended(up).await
}

#[tokio::test]
async fn files_that_are_no_secret_are_told_apart() {
    let folder = made();
    let root = folder.path();
    let pipe = root.join("pipe");
    let made = tokio::process::Command::new("mkfifo")
        .args(["-m", "600"])
        .arg(&pipe)
        .status();
    assert!(made.await.expect("mkfifo starts").success());
    let empty = private(root.join("empty"), "\n");
    let key = private(root.join("key"), KEY);
    let short = private(root.join("short"), SHORT);
    let token = private(root.join("token"), "ghp_MIIB\n");
    let github = ["--forge", "github", "--forge-repository", "acme/state"];
    let app = [&github[..], &["--forge-app", "7"]].concat();
    for (file, words, expect) in [
        (&pipe, &github[..], "is no regular file"),
        (&empty, &github, "is empty"),
        (&empty, &app, "is empty"),
        (&key, &app, "it is encrypted"),
        (&short, &app, "fewer than 2048 bits"),
        (&token, &app, "no RSA key in PEM"),
    ] {
        let (code, said) = with_token(root, file, words).await;
        assert_eq!(code, 3, "{said}");
        assert!(said.contains(expect), "{expect}: {said}");
        assert!(!said.contains("MII"), "{said}");
    }
}

#[tokio::test]
async fn words_that_fit_no_forge_are_the_usages_fault() {
    let folder = made();
    let token = private(folder.path().join("token"), "a-token\n");
    let api = [
        "--forge",
        "gitea",
        "--forge-api",
        "https://git.example.org/api/v1",
    ];
    for (words, expect) in [
        (
            &["--forge", "github"][..],
            "--forge needs --state, the repository's address at the forge",
        ),
        (
            &["--forge", "github", "--state", "https://git.example.org/x"],
            "OWNER/NAME",
        ),
        (
            &["--forge", "github", "--forge-repository", "state"],
            "OWNER/NAME",
        ),
        (
            &[
                "--forge",
                "gitea",
                "--forge-api",
                "ftp://x",
                "--forge-repository",
                "a/b",
            ],
            "neither http",
        ),
        (
            &[&api[..], &["--forge-app", "7", "--forge-repository", "a/b"]].concat(),
            "App 7",
        ),
        (&["--forge", "gitea"], "--forge-api"),
    ] {
        let (code, said) = with_token(folder.path(), &token, words).await;
        assert_eq!(code, 2, "{words:?}: {said}");
        assert!(said.contains(expect), "{words:?}: {said}");
    }
}

#[tokio::test]
async fn a_file_that_is_not_there_is_told_with_where_it_comes_from() {
    let folder = made();
    let root = folder.path();
    let none = root.join("none");
    let token = private(root.join("token"), "a-token\n");
    let named = ["--forge-repository", "acme/state"];
    let github = [&["--forge", "github", "--forge-app", "7"][..], &named].concat();
    let api = ["--forge-api", "https://git.example.org/api/v1"];
    let gitea = [&["--forge", "gitea"][..], &api, &named].concat();
    let printed = "of what `millrace init --forge` printed";
    for (words, step) in [(&github, "step 4"), (&gitea, "step 3")] {
        let (code, said) = with_token(root, &none, words).await;
        assert_eq!(code, 3, "{said}");
        assert!(said.contains(&format!("{step} {printed}")), "{said}");
        assert!(said.contains(&none.display().to_string()), "{said}");
    }
    let missing = none.display().to_string();
    let words = [&gitea[..], &["--webhook-secret-file", missing.as_str()]].concat();
    let (code, said) = with_token(root, &token, &words).await;
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("secrets/webhook.secret"), "{said}");
}
