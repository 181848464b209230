//! The adapters of both forges hold what the port says.

mod common;

use common::World;
use fake_forge::forge::Kind;
use forge::{Login, Secret};
use ports::contract;

#[tokio::test]
async fn github_as_an_app() {
    contract::forge(async || {
        let world = World::new(Kind::GitHub);
        (world.github(), world)
    })
    .await;
}

#[tokio::test]
async fn github_with_a_token() {
    contract::forge(async || {
        let world = World::new(Kind::GitHub);
        let token = Secret::new(&world.fake.token());
        (world.github_as(Login::Token(token)), world)
    })
    .await;
}

#[tokio::test]
async fn gitea() {
    contract::forge(async || {
        let world = World::new(Kind::Gitea);
        (world.gitea(), world)
    })
    .await;
}
