//! The suite of [`Forge`].

use std::future::Future;

use crate::{
    Annotation, Check, CheckState, Commit, Forge, Level, Permission, Pull, PullState, Reply,
};

/// People at a forge, and what they see there, in the hands of the suite.
pub trait ForgeWorld {
    /// `somebody` opens a pull request with a new commit; its number.
    fn open(
        &self,
        somebody: &str,
        title: &str,
        base: &str,
        home: Home,
    ) -> impl Future<Output = u64>;

    /// Its author pushes a new commit to it.
    fn push(&self, number: u64) -> impl Future<Output = ()>;

    /// Somebody closes it.
    fn close(&self, number: u64) -> impl Future<Output = ()>;

    /// Somebody merges it; where its base is then.
    fn merge(&self, number: u64) -> impl Future<Output = Commit>;

    /// `somebody` who is a stranger writes a comment below it. Where it can hold what the adapter writes itself to find
    /// its own comment, it does.
    fn imitate(&self, somebody: &str, number: u64) -> impl Future<Output = ()>;

    /// `somebody` writes a comment below it; its id.
    fn comment(&self, somebody: &str, number: u64, text: &str) -> impl Future<Output = u64>;

    /// What the adapter has answered below it, oldest first, without what it writes to find it again.
    fn answers(&self, number: u64) -> impl Future<Output = Vec<String>>;

    /// The login under which the adapter writes.
    fn program(&self) -> String;

    /// An administrator says what `somebody` may do.
    fn grant(&self, somebody: &str, permission: Permission) -> impl Future<Output = ()>;

    /// A commit that was pushed over, and that the forge does not have any more.
    fn gone(&self) -> impl Future<Output = Commit>;

    /// What people see beside a commit, in the order of the names.
    fn shown(&self, commit: &str) -> impl Future<Output = Vec<Shown>>;

    /// Requests so far that changed something at the forge.
    fn writes(&self) -> impl Future<Output = u64>;
}

/// Where the commits of a pull request are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    /// In the state repository.
    Own,
    /// In a fork.
    Fork,
}

/// A check as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// As in [`Check::name`].
    pub name: String,
    /// A forge that has one word for [`CheckState::Waiting`] and [`CheckState::Running`] shows either.
    pub state: CheckState,
    /// Its title.
    pub title: String,
    /// The text. Of a check without a pull request there may be none.
    pub text: String,
    /// Remarks on lines. Of a check without a pull request there may be none.
    pub annotations: usize,
}

/// *The same check updates, and never doubles.*
///
/// `make` gives the adapter, and the people of the same, still empty, forge.
pub async fn forge<F: Forge, W: ForgeWorld>(make: impl AsyncFn() -> (F, W)) {
    let (forge, world) = make().await;
    pulls_are_what_they_are_now(&forge, &world).await;
    let (forge, world) = make().await;
    more_pulls_than_a_page(&forge, &world).await;
    let (forge, world) = make().await;
    the_same_check_updates(&forge, &world).await;
    let (forge, world) = make().await;
    checks_stand_side_by_side(&forge, &world).await;
    let (forge, world) = make().await;
    annotations_are_those_of_the_newest_text(&forge, &world).await;
    let (forge, world) = make().await;
    every_state_is_shown(&forge, &world).await;
    let (forge, world) = make().await;
    newer_commits_keep_their_text(&forge, &world).await;
    let (forge, world) = make().await;
    strangers_are_not_in_the_way(&forge, &world).await;
    let (forge, world) = make().await;
    permissions(&forge, &world).await;
    let (forge, world) = make().await;
    a_comment_gets_one_answer(&forge, &world).await;
    let (forge, world) = make().await;
    answers_and_checks_are_not_mixed_up(&forge, &world).await;
}

async fn pull(forge: &impl Forge, number: u64) -> Pull {
    let pull = forge.pull(number).await.expect("read a pull request");
    pull.expect("a pull request that is there is found")
}

async fn open_numbers(forge: &impl Forge, base: &str) -> Vec<u64> {
    let pulls = forge.open_pulls(base).await.expect("list pull requests");
    pulls.iter().map(|pull| pull.number).collect()
}

async fn pulls_are_what_they_are_now(forge: &impl Forge, world: &impl ForgeWorld) {
    assert!(
        open_numbers(forge, "main").await.is_empty(),
        "an empty forge has no pull requests"
    );
    let none = forge.pull(4_711).await.expect("read what is not there");
    assert_eq!(none, None, "a pull request that nobody opened is none");

    let first = world
        .open("ada", "Build \"zlib\" <again>", "main", Home::Own)
        .await;
    let second = world.open("eve", "More", "main", Home::Fork).await;
    let other = world.open("ada", "Elsewhere", "stable", Home::Own).await;
    let third = world.open("ada", "Third", "main", Home::Own).await;
    assert_eq!(
        open_numbers(forge, "main").await,
        [first, second, third],
        "in the order of their numbers"
    );
    assert_eq!(
        open_numbers(forge, "stable").await,
        [other],
        "against that base alone"
    );
    assert!(
        open_numbers(forge, "mai").await.is_empty(),
        "a base is a whole name"
    );

    let before = pull(forge, first).await;
    assert_eq!(before.number, first);
    assert_eq!(before.title, "Build \"zlib\" <again>");
    assert_eq!(
        (before.author.as_str(), before.base.as_str()),
        ("ada", "main")
    );
    assert_eq!((before.is_own, &before.state), (true, &PullState::Open));
    assert!(is_commit(&before.head), "{:?} is no commit id", before.head);
    let listed = forge.open_pulls("main").await.expect("list pull requests");
    assert_eq!(
        listed.first(),
        Some(&before),
        "a list says what the pull request itself says"
    );
    let fork = pull(forge, second).await;
    assert_eq!(
        (fork.is_own, fork.author.as_str()),
        (false, "eve"),
        "its commits are in a fork"
    );

    world.push(first).await;
    let after = pull(forge, first).await;
    assert_ne!(after.head, before.head, "a push is seen");
    world.close(second).await;
    assert_eq!(pull(forge, second).await.state, PullState::Closed);
    let merged = world.merge(first).await;
    let state = pull(forge, first).await.state;
    assert_eq!(
        state,
        PullState::Merged(merged),
        "what was merged says where its base was then"
    );
    assert_eq!(
        open_numbers(forge, "main").await,
        [third],
        "what is decided is not listed"
    );
    commits_know_their_pull(forge, pull(forge, first).await, &pull(forge, third).await).await;
}

async fn commits_know_their_pull(forge: &impl Forge, merged: Pull, open: &Pull) {
    let PullState::Merged(commit) = merged.state.clone() else {
        panic!("{merged:?} is not merged");
    };
    let pull_of = async |commit: &str| forge.pull_of(commit).await.expect("ask for a pull request");
    assert_eq!(
        pull_of(&commit).await,
        Some(merged.clone()),
        "as which it was merged"
    );
    for other in [&merged.head, &open.head, &"ab".repeat(20)] {
        let found = pull_of(other).await;
        assert_eq!(found, None, "{other} is on no branch, or came along");
    }
}

fn is_commit(commit: &str) -> bool {
    commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit())
}

async fn more_pulls_than_a_page(forge: &impl Forge, world: &impl ForgeWorld) {
    let mut numbers = Vec::new();
    for nth in 0..53 {
        numbers.push(
            world
                .open("ada", &format!("Number {nth}"), "main", Home::Own)
                .await,
        );
    }
    assert_eq!(
        open_numbers(forge, "main").await,
        numbers,
        "all pages are read"
    );
}

/// A pull request, and a check on its newest commit.
async fn on_a_pull(forge: &impl Forge, world: &impl ForgeWorld) -> Check {
    let number = world.open("ada", "Build zlib", "main", Home::Own).await;
    let commit = pull(forge, number).await.head;
    Check {
        name: "plan".to_owned(),
        commit,
        pull: Some(number),
        state: CheckState::Running,
        title: "Making the plan".to_owned(),
        summary: "One **moment**.".to_owned(),
        annotations: Vec::new(),
        actions: Vec::new(),
        details: Some("https://millrace.example.org/plan/1".to_owned()),
        digest: "digest-1".to_owned(),
    }
}

async fn write(forge: &impl Forge, check: &Check) {
    forge.write_check(check).await.expect("write a check");
}

async fn only(world: &impl ForgeWorld, commit: &str) -> Shown {
    let mut shown = world.shown(commit).await;
    assert_eq!(shown.len(), 1, "a check is shown once: {shown:#?}");
    shown.remove(0)
}

async fn the_same_check_updates(forge: &impl Forge, world: &impl ForgeWorld) {
    let mut check = on_a_pull(forge, world).await;
    write(forge, &check).await;
    let first = only(world, &check.commit).await;
    assert_eq!(
        (first.name.as_str(), first.title.as_str()),
        ("plan", "Making the plan")
    );
    assert!(!first.state.is_done(), "it runs: {first:?}");
    assert!(
        first.text.contains("One **moment**."),
        "the text is shown: {first:?}"
    );

    let writes = world.writes().await;
    write(forge, &check).await;
    assert_eq!(
        world.writes().await,
        writes,
        "writing twice is the same as once"
    );
    assert_eq!(only(world, &check.commit).await, first);

    check.state = CheckState::Passed;
    check.title = "Builds 2 packages".to_owned();
    check.summary = "| package |\n|---|\n| zlib |\n".to_owned();
    check.digest = "digest-2".to_owned();
    write(forge, &check).await;
    let second = only(world, &check.commit).await;
    assert_eq!(
        (second.state, second.title.as_str()),
        (CheckState::Passed, "Builds 2 packages")
    );
    assert!(
        second.text.contains("| zlib |"),
        "the newer text: {second:?}"
    );
    assert!(
        !second.text.contains("moment"),
        "the older text is gone: {second:?}"
    );
    let writes = world.writes().await;
    write(forge, &check).await;
    assert_eq!(
        world.writes().await,
        writes,
        "nor does a check that ended cost anything twice"
    );
}

async fn checks_stand_side_by_side(forge: &impl Forge, world: &impl ForgeWorld) {
    let plan = on_a_pull(forge, world).await;
    let mut build = plan.clone();
    build.name = "build".to_owned();
    build.title = "2 of 5 tasks".to_owned();
    build.summary = "Two are **done**.".to_owned();
    build.digest = "digest-b".to_owned();
    write(forge, &plan).await;
    write(forge, &build).await;
    write(forge, &plan).await;
    let shown = world.shown(&plan.commit).await;
    let names: Vec<_> = shown.iter().map(|shown| shown.name.as_str()).collect();
    assert_eq!(
        names,
        ["build", "plan"],
        "a commit has one check of each name"
    );
    assert!(shown[0].text.contains("Two are **done**."), "{shown:#?}");
    assert!(shown[1].text.contains("One **moment**."), "{shown:#?}");

    let mut alone = on_a_pull(forge, world).await;
    alone.pull = None;
    write(forge, &alone).await;
    let shown = only(world, &alone.commit).await;
    assert_eq!(
        shown.title, "Making the plan",
        "a check needs no pull request"
    );
    assert_eq!(
        world.shown(&plan.commit).await.len(),
        2,
        "another commit is another check"
    );
}

fn annotations(count: u32) -> Vec<Annotation> {
    let annotation = |line| Annotation {
        path: "builds/zlib.yaml".to_owned(),
        line,
        column: 3,
        level: if line % 2 == 0 {
            Level::Error
        } else {
            Level::Warning
        },
        message: format!("mistake {line}"),
        help: String::new(),
    };
    (1..=count).map(annotation).collect()
}

async fn annotations_are_those_of_the_newest_text(forge: &impl Forge, world: &impl ForgeWorld) {
    let mut check = on_a_pull(forge, world).await;
    write(forge, &check).await;
    check.state = CheckState::Failed;
    for (nth, count) in [120, 3, 0, 50, 51].into_iter().enumerate() {
        check.annotations = annotations(count);
        check.title = format!("{count} mistakes");
        check.digest = format!("digest-{nth}");
        for _ in 0..2 {
            write(forge, &check).await;
            let shown = only(world, &check.commit).await;
            assert_eq!(
                shown.annotations, count as usize,
                "all annotations, and no older ones"
            );
            assert_eq!(
                (shown.title.as_str(), shown.state),
                (check.title.as_str(), CheckState::Failed)
            );
        }
    }
}

async fn every_state_is_shown(forge: &impl Forge, world: &impl ForgeWorld) {
    let mut check = on_a_pull(forge, world).await;
    use CheckState::{Failed, Neutral, Passed, Running, Waiting};
    for (nth, state) in [Waiting, Running, Failed, Waiting, Neutral, Passed, Running]
        .into_iter()
        .enumerate()
    {
        check.state = state;
        check.digest = format!("digest-{nth}");
        write(forge, &check).await;
        let shown = only(world, &check.commit).await.state;
        match state.is_done() {
            true => assert_eq!(shown, state, "after number {nth}"),
            false => assert!(
                !shown.is_done(),
                "{shown:?} is shown in the place of {state:?}"
            ),
        }
    }
    // The text stays and the state changes.
    check.state = Passed;
    write(forge, &check).await;
    assert_eq!(
        only(world, &check.commit).await.state,
        Passed,
        "a state is written for itself"
    );
}

async fn newer_commits_keep_their_text(forge: &impl Forge, world: &impl ForgeWorld) {
    let old = on_a_pull(forge, world).await;
    write(forge, &old).await;
    let number = old.pull.expect("it is on a pull request");
    world.push(number).await;
    let mut new = old.clone();
    new.commit = pull(forge, number).await.head;
    new.summary = "The *newer* plan.".to_owned();
    new.digest = "digest-new".to_owned();
    write(forge, &new).await;
    let mut late = old.clone();
    late.state = CheckState::Passed;
    late.summary = "The *older* plan, late.".to_owned();
    late.digest = "digest-late".to_owned();
    write(forge, &late).await;
    let shown = only(world, &new.commit).await;
    assert!(
        shown.text.contains("The *newer* plan."),
        "what is late is not written over what is newer: {shown:?}"
    );
    assert_eq!(
        only(world, &old.commit).await.state,
        CheckState::Passed,
        "the older commit has its check still"
    );

    let mut gone = old.clone();
    gone.commit = world.gone().await;
    write(forge, &gone).await;
    assert!(
        world.shown(&gone.commit).await.is_empty(),
        "a commit that is gone has no check, and that is fine"
    );
    let mut nowhere = new.clone();
    nowhere.pull = Some(4_711);
    nowhere.state = CheckState::Passed;
    write(forge, &nowhere).await;
    let shown = only(world, &new.commit).await;
    assert_eq!(
        shown.state,
        CheckState::Passed,
        "a pull request that is gone does not keep a check from its commit"
    );
}

async fn strangers_are_not_in_the_way(forge: &impl Forge, world: &impl ForgeWorld) {
    let mut check = on_a_pull(forge, world).await;
    let number = check.pull.expect("it is on a pull request");
    world.imitate("eve", number).await;
    write(forge, &check).await;
    assert!(
        only(world, &check.commit)
            .await
            .text
            .contains("One **moment**."),
        "a stranger's comment is not ours"
    );
    check.title = "<!-- millrace --> \"quoted\" @ada `code` | \u{1f600}".to_owned();
    check.summary = "<!-- millrace -->\n</details>\n```\nnot closed\n\u{1f600}".to_owned();
    check.annotations = annotations(2);
    check.annotations[0].message =
        "<!-- millrace -->\n- error `x:1:1` and more\n\n# text".to_owned();
    check.digest = "digest-hostile".to_owned();
    write(forge, &check).await;
    assert_eq!(
        only(world, &check.commit).await.annotations,
        2,
        "texts of strangers stay in their place"
    );
    let writes = world.writes().await;
    write(forge, &check).await;
    assert_eq!(
        world.writes().await,
        writes,
        "whatever a text holds, twice is once"
    );
}

async fn permissions(forge: &impl Forge, world: &impl ForgeWorld) {
    for permission in [Permission::Read, Permission::Write, Permission::Admin] {
        world.grant("ada", permission).await;
        let asked = forge.permission("ada").await.expect("ask for a permission");
        assert_eq!(asked, permission);
    }
    for nobody in [
        "nobody-of-this-name",
        "",
        "..",
        "ada/../eve",
        "ada?x",
        "a b",
        "ädä",
    ] {
        let asked = forge
            .permission(nobody)
            .await
            .expect("ask for nobody's permission");
        assert!(asked <= Permission::Read, "{nobody:?} may write");
    }
}

async fn answer(forge: &impl Forge, (pull, comment): (u64, u64), text: &str) {
    let reply = Reply {
        pull,
        comment,
        written: 0,
        text: text.to_owned(),
    };
    forge.answer(&reply).await.expect("answer a comment");
}

async fn a_comment_gets_one_answer(forge: &impl Forge, world: &impl ForgeWorld) {
    let number = world.open("ada", "Build zlib", "main", Home::Own).await;
    let other = world.open("ada", "Build curl", "main", Home::Own).await;
    let one = world.comment("ada", number, "/millrace retry").await;
    answer(forge, (number, one), "2 tasks *go* again, of `a|b`.").await;
    let expect = ["2 tasks *go* again, of `a|b`."];
    assert_eq!(world.answers(number).await, expect, "it is answered");
    let writes = world.writes().await;
    answer(forge, (number, one), expect[0]).await;
    answer(forge, (number, one), "Something else.").await;
    assert_eq!(world.writes().await, writes, "twice is once");
    assert_eq!(world.answers(number).await, expect);
    // More than a page of them.
    for nth in 0..120 {
        world.comment("eve", number, &format!("talk {nth}")).await;
    }
    answer(forge, (number, one), "Something else.").await;
    assert_eq!(world.writes().await, writes, "however much is said");
    let two = world.comment("ada", number, "/millrace cancel").await;
    answer(forge, (number, two), "* first\n* second\n").await;
    answer(forge, (number, two), "* first\n* second\n").await;
    let expect = [expect[0], "* first\n* second"];
    let shown = world.answers(number).await;
    let shown: Vec<&str> = shown.iter().map(|it| it.trim_end()).collect();
    assert_eq!(shown, expect, "another comment gets its own");
    assert!(
        world.answers(other).await.is_empty(),
        "it stays where it is"
    );
    let writes = world.writes().await;
    answer(forge, (4_711, two), "Nobody reads it.").await;
    assert_eq!(world.writes().await, writes, "what is gone is not answered");
}

async fn answers_and_checks_are_not_mixed_up(forge: &impl Forge, world: &impl ForgeWorld) {
    let mut check = on_a_pull(forge, world).await;
    let number = check.pull.expect("it is on a pull request");
    let asked = world.comment("ada", number, "/millrace plan").await;
    answer(forge, (number, asked), "The plan was made anew.").await;
    write(forge, &check).await;
    check.title = "Builds 2 packages".to_owned();
    check.digest = "digest-2".to_owned();
    write(forge, &check).await;
    let shown = only(world, &check.commit).await;
    assert_eq!(shown.title, "Builds 2 packages");
    assert!(shown.text.contains("One **moment**."), "{shown:?}");
    let answers = world.answers(number).await;
    assert_eq!(answers, ["The plan was made anew."]);
    let program = world.program();
    let is_program = forge.is_program(&program).await.expect("ask who it is");
    assert!(is_program, "{program} writes here");
    for somebody in ["ada", "eve", "", "a b"] {
        let is_program = forge.is_program(somebody).await.expect("ask who it is");
        assert!(!is_program, "{somebody:?} is a person");
    }
}
