//! Scratch builds: people read them and fetch their packages, and no call that changes something takes their path.

use ledger::{About, Asked, Wish};
use memory::MemoryForge;
use pipeline_spec::RequestPath;
use ports::{Permission, Platform, Pull, PullState};

use crate::fixture::{APP, build};
use crate::served::{Served, TOKEN};
use crate::world::World;

#[tokio::test]
async fn packages_are_fetched_and_no_command_names_the_path() {
    let (mut world, forge) = (World::with_checks().await, MemoryForge::default());
    forge.set_permission("ada", Permission::Write);
    let repo = world.memory.state_repo().clone();
    repo.reset("topic", &world.tip("main").await);
    let new = world.next_commit(&[(APP, Some(&build(&["app"])))]);
    let head = repo.push("topic", "Ada <ada@example.org>", new);
    let number = forge.open_pull(Pull {
        number: 0,
        title: "a change".to_owned(),
        author: "ada".to_owned(),
        head: head.clone(),
        base: "main".to_owned(),
        is_own: true,
        state: PullState::Open,
    });
    let asked = Asked {
        id: "comment 1".to_owned(),
        login: "ada".to_owned(),
        about: About::Pull { number },
        wishes: vec![Wish::Scratch { commit: None }],
        comment: None,
    };
    let begun = world.control.ask(&forge, &asked).await;
    begun.expect("no fault is armed");
    world.quiet().await;
    let path = RequestPath::scratch(number, &head, &crate::world::path(APP)).expect("a build");
    let served = Served::new(&world).await;
    let page = served.text(&format!("/request/{path}")).await;
    assert!(page.contains("succeeded"), "{page}");
    let task = world.task(path.as_str(), "build app for el-10 x86_64");
    let id = &task.task.id;
    assert!(
        served
            .text(&format!("/task/{id}"))
            .await
            .contains("scratch/")
    );
    let file = &task.artifacts()[0];
    let answer = served.get(&format!("/scratch/{id}/{}", file.name)).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-disposition"], "attachment");
    let bytes = answer.bytes().await.expect("a body");
    assert_eq!(Some(bytes), world.memory.store().bytes(&file.sha256));
    let missing = served.get(&format!("/scratch/{id}/other")).await;
    assert_eq!(missing.status(), 404);
    for command in ["cancel", "retry"] {
        let call = served.call("POST", &format!("/api/v1/{command}"));
        let call = call.bearer_auth(TOKEN);
        let body = format!("{{\"subject\":\"{path}\"}}");
        let (code, why) = served.refused(call.body(body)).await;
        assert_eq!(code, 400, "{why}");
        assert!(why.contains("is neither a request's path"), "{why}");
    }
    // Of a real build nothing is given out so.
    world.merge(&[(APP, Some(&build(&["app"])))]).await;
    let real = world.task(APP, "build app for el-10 x86_64");
    let (id, name) = (&real.task.id, &real.artifacts()[0].name);
    let refused = served.get(&format!("/scratch/{id}/{name}")).await;
    assert_eq!(refused.status(), 404);
}
