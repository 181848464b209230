//! What `millrace up` says of a forge that answers.

use fake_forge::forge::{Forge, Kind};

use crate::up::{Up, made, private, up};

#[tokio::test]
async fn a_forge_that_answers_is_told_of_once() {
    let folder = made();
    let root = folder.path();
    let forge = Forge::start(Kind::Gitea, &root.join("forge"));
    let name = format!("{}/{}", Forge::OWNER, Forge::REPOSITORY);
    let token = private(root.join("token"), &forge.token());
    let mut command = up(root);
    command
        .args(["--forge", "gitea", "--forge-api", &forge.url()])
        .args(["--forge-repository", &name, "--forge-token-file"])
        .arg(&token);
    let mut up = Up::started(command).await;
    let said = up.says("the forge answers").await;
    let warnings = said.iter().filter(|line| line.contains("--public-url"));
    assert_eq!(warnings.count(), 1, "{said:#?}");
    let line = said.last().expect("a line");
    for words in [
        "INFO",
        &forge.url(),
        &name,
        "\"open\":0",
        &token.display().to_string(),
    ] {
        assert!(line.contains(words), "{words}: {line}");
    }
    assert!(!line.contains(&forge.token()), "{line}");
}
