//! The adapters of both forges hold what the port says.

mod common;

use common::World;
use fake_forge::forge::Kind;
use ports::contract;

#[tokio::test]
async fn github() {
    contract::forge(async || {
        let world = World::new(Kind::GitHub);
        (world.github(), world)
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
