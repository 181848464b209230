//! The pages, as somebody on call meets them.

use runner_api::{Failure, FailureKind, Outcome};

use crate::fixture::{APP, RELEASE, build, release};
use crate::served::Served;
use crate::world::{Act, World};

const TOOL: &str = "builds/2026/11/tool.yaml";

/// One request failed with a stranger's words, one runs.
async fn busy() -> (World, Served) {
    let mut world = World::new().await;
    let served = Served::new(&world).await;
    let mut first = true;
    world.script(move |_| match std::mem::take(&mut first) {
        true => Act::Say(Outcome::Failed {
            failure: Failure {
                kind: FailureKind::Build,
                message: "<script>alert(1)</script> fails".to_owned(),
                excerpt: vec!["make: *** [all] Error 2".to_owned()],
            },
            artifacts: Vec::new(),
        }),
        false => Act::Hold,
    });
    world.merge(&[(APP, Some(&build(&["app"])))]).await;
    world.merge(&[(TOOL, Some(&build(&["tool"])))]).await;
    (world, served)
}

#[tokio::test]
async fn a_glance_shows_what_failed_why_and_where_its_log_is() {
    let (world, served) = busy().await;
    let page = served.text("/").await;
    let id = world.tasks(APP).remove(0).task.id;
    for expect in [
        "<b class=failed>1</b>request failed",
        "<b class=leased>1</b>task runs",
        "<b>the package:</b> &lt;script&gt;alert(1)&lt;/script&gt; fails",
        "make: *** [all] Error 2",
        &format!("<a href=\"/log/{id}\">log</a>"),
        "Example Linux",
    ] {
        assert!(page.contains(expect), "{expect}\n{page}");
    }
    let (failed, running) = (page.find("id=failed"), page.find("id=running"));
    assert!(failed < running, "what failed stands first");
    assert!(
        !page.contains("<script>alert"),
        "a stranger's words stay text"
    );
}

#[tokio::test]
async fn pages_load_nothing_from_elsewhere_and_work_without_scripts() {
    let (_world, served) = busy().await;
    let answer = served.get("/").await;
    let policy = answer.headers()["content-security-policy"].to_str();
    assert!(policy.expect("text").starts_with("default-src 'none'"));
    let page = answer.text().await.expect("text");
    assert!(!page.contains("://"), "{page}");
    assert!(
        page.contains("<noscript><meta http-equiv=refresh"),
        "{page}"
    );
    assert!(page.contains("prefers-color-scheme: dark"), "{page}");
    assert_eq!(served.get("/page.js").await.status(), 200);
}

#[tokio::test]
async fn an_empty_distribution_says_what_to_do() {
    let world = World::new().await;
    let page = Served::new(&world).await.text("/").await;
    assert!(page.contains("There are no requests yet"), "{page}");
}

#[tokio::test]
async fn a_task_has_the_end_of_its_log_without_escapes() {
    let (world, served) = busy().await;
    let id = world.tasks(APP).remove(0).task.id;
    let mut log = b"the beginning\n".to_vec();
    log.extend(std::iter::repeat_n(b"another line\n", 5_000).flatten());
    log.extend(b"\x1b[31m<b>the end</b>\x1b[0m\n");
    served.write_log(&id, 1, &log);
    let page = served.text(&format!("/task/{id}")).await;
    assert!(page.contains("\n&lt;b&gt;the end&lt;/b&gt;\n"), "{page}");
    assert!(!page.contains("the beginning"), "only the end is shown");
    let whole = served.get(&format!("/log/{id}")).await;
    let kind = whole.headers()["content-type"].to_str().expect("text");
    assert_eq!(kind, "text/plain; charset=utf-8");
    assert_eq!(whole.bytes().await.expect("bytes"), log);
}

#[tokio::test]
async fn a_request_has_a_page_with_its_tasks() {
    let mut world = World::new().await;
    let served = Served::new(&world).await;
    world.merge(&[(APP, Some(&build(&["app"])))]).await;
    let link = format!("/request/{APP}");
    let page = served.text("/").await;
    assert!(page.contains(&format!("<a href=\"{link}\">")), "{page}");
    let page = served.text(&link).await;
    let title = format!("<title>{APP} – Example Linux</title>");
    assert!(page.contains(&title), "{page}");
    for row in world.tasks(APP) {
        let task = format!("<a href=\"/task/{}\">", row.task.id);
        assert!(page.contains(&task), "{task}\n{page}");
    }
    let page = served
        .text(&format!("/task/{}", world.tasks(APP)[0].task.id))
        .await;
    assert!(page.contains(&format!("<a href=\"{link}\">")), "{page}");
    assert!(page.contains("– Example Linux</title>"), "{page}");
}

/// Why a build waits is often that another one is urgent.
#[tokio::test]
async fn a_priority_is_shown_where_it_is_not_the_normal_one() {
    let mut world = World::new().await;
    let served = Served::new(&world).await;
    world.script(|_| Act::Hold);
    let urgent = build(&["app"]) + "priority: urgent\n";
    world
        .merge(&[(APP, Some(&urgent)), (TOOL, Some(&build(&["tool"])))])
        .await;
    for (address, expect) in [
        ("/", 1),
        (&*format!("/request/{APP}"), 1),
        (&*format!("/request/{TOOL}"), 0),
    ] {
        let page = served.text(address).await;
        assert_eq!(
            page.matches("(urgent)").count(),
            expect,
            "{address}\n{page}"
        );
    }
}

#[tokio::test]
async fn what_is_not_there_is_a_page_too() {
    let world = World::new().await;
    let served = Served::new(&world).await;
    let check = async |path: &str, code: u16, expect: &str| {
        let answer = served.get(path).await;
        assert_eq!(answer.status().as_u16(), code, "{path}");
        let kind = answer.headers()["content-type"].to_str().expect("text");
        assert!(kind.starts_with("text/html"), "{path}: {kind}");
        let page = answer.text().await.expect("text");
        assert!(page.contains(expect), "{path}: {page}");
    };
    check("/task/abcd", 404, "no task or request is called abcd").await;
    check("/task/nope", 404, "&quot;nope&quot; is neither").await;
    check("/request/builds/2026/11/x.yaml", 404, "was never planned").await;
    check("/request/<b>", 404, "&lt;b&gt;").await;
}

#[tokio::test]
async fn what_waits_for_a_failure_is_not_in_progress() {
    let mut world = World::new().await;
    let served = Served::new(&world).await;
    world.script(|_| {
        Act::Say(Outcome::Failed {
            failure: Failure {
                kind: FailureKind::Build,
                message: "make failed".to_owned(),
                excerpt: Vec::new(),
            },
            artifacts: Vec::new(),
        })
    });
    world.merge(&[(APP, Some(&build(&["app"])))]).await;
    let text = release(&[APP], &["base"]);
    world.merge(&[(RELEASE, Some(&text))]).await;
    let page = served.text("/").await;
    assert!(
        page.contains("<h2 id=waiting>Waits for what failed"),
        "{page}"
    );
    assert!(!page.contains("In progress"), "{page}");
}

#[tokio::test]
async fn published_repositories_are_listed() {
    let mut world = World::new().await;
    let served = Served::new(&world).await;
    let page = served.text("/repos/").await;
    assert!(page.contains("Nothing is published yet."), "{page}");
    let release = release(&[APP], &["base"]);
    world
        .merge(&[(APP, Some(&build(&["app"]))), (RELEASE, Some(&release))])
        .await;
    for address in ["/repos", "/repos/"] {
        let page = served.text(address).await;
        let link = page.split("<a href=\"/repos/").nth(1).expect("a link");
        let (path, _) = link.split_once('"').expect("its end");
        let below = served.text(&format!("/repos/{path}")).await;
        assert!(below.contains("<h2>base /</h2>"), "{below}");
        assert_eq!(page.matches("<a href=\"/repos/").count(), 1, "{page}");
    }
}

/// As `millrace why` says it, on its own page and where it stands among others.
#[tokio::test]
async fn a_blocked_task_says_what_it_waits_for() {
    let mut world = World::new().await;
    let served = Served::new(&world).await;
    world.script(|grant| match grant.spec.title().starts_with("source ") {
        true => Act::Work,
        false => Act::Hold,
    });
    world.merge(&[(APP, Some(&build(&["app"])))]).await;
    let tasks = world.tasks(APP);
    let blocked = tasks.iter().find(|it| it.state.word() == "blocked");
    let blocked = blocked.expect("its test waits for its build");
    let page = served.text(&format!("/task/{}", blocked.task.id)).await;
    assert!(page.contains("it waits for: build app for el-10"), "{page}");
    for address in ["/", &format!("/request/{APP}")] {
        let page = served.text(address).await;
        assert!(page.contains("it waits for: build app for el-10"), "{page}");
    }
}
