//! What the fakes do, by what people and programs do to them.

#![allow(clippy::disallowed_methods, reason = "a test starts git")]
#![allow(clippy::unwrap_used, reason = "what does not work here fails the test")]

mod support;

use fake_forge::forge::{Change, Counts, Fault, Forge, Kind, Limits, Manner, Role, sign};
use serde_json::{Value, json};
use support::{app_token, change, now, place, pull, receiver};

const BOTH: [Kind; 2] = [Kind::GitHub, Kind::Gitea];

fn numbers(list: &Value) -> Vec<u64> {
    let list = list.as_array().unwrap();
    list.iter()
        .map(|pull| pull["number"].as_u64().unwrap())
        .collect()
}

#[test]
fn a_pull_request_lives() {
    for kind in BOTH {
        let place = place(kind);
        let number = place.forge.open_pull(&pull("ann"));
        let head = place.forge.head_of(number);
        let list = place.get(&place.repo("/pulls?state=open")).json();
        assert_eq!(numbers(&list), [number], "{kind:?}: {list}");
        assert_eq!(list[0]["head"]["sha"], head.as_str());
        assert_eq!(list[0]["head"]["repo"]["id"], list[0]["base"]["repo"]["id"]);

        let next = place
            .forge
            .push_to_pull(number, &change("b.yaml", "b: 2\n"));
        let one = format!("/pulls/{number}");
        let now = place.get(&place.repo(&one)).json();
        assert_eq!(now["head"]["sha"], next.as_str());
        assert_eq!(now["mergeable"], true);

        let merge = place.forge.merge(number);
        let done = place.get(&place.repo(&one)).json();
        assert_eq!(done["state"], "closed");
        assert_eq!(done["merged"], true);
        assert_eq!(done["merge_commit_sha"], merge.as_str());
        assert_eq!(place.forge.tip("main"), merge);
        let list = place.get(&place.repo("/pulls?state=open")).json();
        assert_eq!(numbers(&list), Vec::<u64>::new());
    }
}

#[test]
fn a_fork_is_another_repository() {
    for kind in BOTH {
        let place = place(kind);
        let number = place.forge.open_pull(&pull("eve").from_fork());
        let shown = place.get(&place.repo(&format!("/pulls/{number}"))).json();
        assert_ne!(shown["head"]["repo"]["id"], shown["base"]["repo"]["id"]);
        let head = place
            .forge
            .push_to_pull(number, &change("b.yaml", "b: 2\n"));
        let lost = place.forge.open_pull(&pull("zoe").from_fork());
        place.forge.delete_fork("zoe");
        let left = place.get(&place.repo(&format!("/pulls/{lost}"))).json();
        assert_eq!(left["head"]["repo"], Value::Null);
        assert_eq!(left["head"]["sha"], place.forge.head_of(lost).as_str());
        // What is in the fork is no branch here, and can be fetched all the same.
        assert_eq!(
            git(&place.forge, &["branch", "--format=%(refname:short)"]),
            "main"
        );
        let kept = format!("refs/pull/{number}/head");
        assert_eq!(git(&place.forge, &["rev-parse", &kept]), head);
        place.forge.merge(number);
        assert_eq!(git(&place.forge, &["show", "main:b.yaml"]), "b: 2");
    }
}

#[test]
fn lists_have_pages() {
    for (kind, size) in [(Kind::GitHub, "per_page"), (Kind::Gitea, "limit")] {
        let place = place(kind);
        for number in 1..=5 {
            let branch = format!("add-{number}");
            let new = fake_forge::forge::NewPull::new("Add", &branch, "ann", &change(&branch, "x"));
            place.forge.open_pull(&new);
        }
        let mut seen = Vec::new();
        let mut url = place.repo(&format!("/pulls?state=open&{size}=2"));
        loop {
            let got = place.get(&url);
            seen.extend(numbers(&got.json()));
            let links = got.headers.get("link").cloned().unwrap_or_default();
            let next = links
                .split(", ")
                .find(|link| link.ends_with("rel=\"next\""));
            let Some(next) = next else { break };
            let whole = next.split(['<', '>']).nth(1).unwrap();
            whole.strip_prefix(&place.api).unwrap().clone_into(&mut url);
        }
        assert_eq!(seen, [5, 4, 3, 2, 1], "{kind:?}");
    }
}

#[test]
fn a_check_is_written_and_updated() {
    let place = place(Kind::GitHub);
    let head = place.forge.tip("main");
    let remark = json!({
        "path": "a.yaml", "start_line": 3, "end_line": 3, "start_column": 1, "end_column": 2,
        "annotation_level": "failure", "message": "no such suite", "title": "line 3",
    });
    let new = json!({
        "name": "millrace / plan", "head_sha": head, "status": "in_progress", "external_id": "d1",
        "output": { "title": "one", "summary": "s", "annotations": [remark] },
    });
    let got = place.ask("POST", &place.repo("/check-runs"), &new);
    assert_eq!(got.status, 201);
    let own = format!("/check-runs/{}", got.json()["id"]);
    let update = json!({
        "status": "completed", "conclusion": "failure", "external_id": "d2",
        "output": { "title": "two", "summary": "t", "annotations": [remark] },
        "actions": [{ "label": "Retry", "description": "again", "identifier": "retry" }],
    });
    assert_eq!(place.ask("PATCH", &place.repo(&own), &update).status, 200);
    let checks = place.forge.checks(&head);
    assert_eq!(checks.len(), 1);
    let check = &checks[0];
    assert_eq!(check.title, "two");
    assert_eq!(check.conclusion.as_deref(), Some("failure"));
    assert_eq!(check.external_id, "d2");
    // An update adds annotations, and takes none away.
    assert_eq!(check.annotations, [remark.clone(), remark]);
    assert_eq!(check.actions[0].identifier, "retry");
    let list = format!("/commits/{head}/check-runs?check_name=millrace%20%2F%20plan&filter=latest");
    assert_eq!(place.get(&place.repo(&list)).json()["total_count"], 1);
    assert_eq!(place.forge.counts().writes, 2);
}

#[test]
fn a_check_against_the_rules_is_refused() {
    let place = place(Kind::GitHub);
    let head = place.forge.tip("main");
    let remark = |line: u64| json!({ "path": "a", "start_line": line, "end_line": line, "annotation_level": "notice", "message": "m" });
    let output = |output: Value| json!({ "name": "a", "head_sha": head, "output": output });
    let many: Vec<Value> = (1..=51).map(remark).collect();
    let action = |label: &str| json!({ "label": label, "description": "d", "identifier": "i" });
    let refused = [
        json!({ "head_sha": head }),
        json!({ "name": "a" }),
        json!({ "name": "a", "head_sha": "0123456789012345678901234567890123456789" }),
        json!({ "name": "a", "head_sha": head, "status": "completed" }),
        json!({ "name": "a", "head_sha": head, "conclusion": "splendid" }),
        output(json!({ "title": "t" })),
        output(json!({ "title": "t", "summary": "s".repeat(65_536) })),
        output(json!({ "title": "t", "summary": "s", "annotations": many })),
        output(json!({ "title": "t", "summary": "s", "annotations": [remark(0)] })),
        json!({ "name": "a", "head_sha": head, "actions": [action("a label of 21 letters")] }),
        json!({ "name": "a", "head_sha": head, "actions": ([(); 4].map(|()| action("a"))) }),
    ];
    for body in &refused {
        let got = place.ask("POST", &place.repo("/check-runs"), body);
        assert_eq!(got.status, 422, "{body}");
    }
    assert_eq!(place.forge.checks(&head), []);
    let good = place.ask(
        "POST",
        &place.repo("/check-runs"),
        &json!({ "name": "a", "head_sha": head }),
    );
    assert_eq!(good.status, 201);
}

#[test]
fn statuses_and_comments_are_kept() {
    let place = place(Kind::Gitea);
    let number = place.forge.open_pull(&pull("ann"));
    let head = place.forge.head_of(number);
    for state in ["pending", "success"] {
        let body = json!({ "context": "millrace / plan", "state": state, "description": "d" });
        let got = place.ask("POST", &place.repo(&format!("/statuses/{head}")), &body);
        assert_eq!(got.status, 201);
    }
    assert_eq!(place.forge.statuses(&head).len(), 1);
    assert_eq!(place.forge.statuses(&head)[0].state, "success");
    let list = place
        .get(&place.repo(&format!("/commits/{head}/statuses")))
        .json();
    assert_eq!(list[0]["status"], "success", "the newest is first");

    let all = place.repo(&format!("/issues/{number}/comments"));
    let id = place.ask("POST", &all, &json!({ "body": "one" })).json()["id"].clone();
    let own = place.repo(&format!("/issues/comments/{id}"));
    assert_eq!(
        place.ask("PATCH", &own, &json!({ "body": "two" })).status,
        200
    );
    place.forge.comment(number, "ann", "thanks");
    let seen = place.forge.comments(number);
    let texts: Vec<&str> = seen.iter().map(|c| c.body.as_str()).collect();
    assert_eq!(texts, ["two", "thanks"]);
    assert_eq!(place.get(&all).json()[0]["user"]["login"], "millrace-bot");
}

#[test]
fn roles_are_told() {
    for kind in BOTH {
        let place = place(kind);
        place.forge.permit("ann", Role::Write);
        place.forge.permit("max", Role::Maintain);
        place.forge.open_pull(&pull("eve").from_fork());
        let of =
            |login: &str| place.get(&place.repo(&format!("/collaborators/{login}/permission")));
        assert_eq!(of("ann").json()["permission"], "write");
        assert_eq!(of("max").json()["permission"], "write");
        assert_eq!(of("eve").json()["permission"], "none");
        assert_eq!(of("nobody").status, 404);
    }
}

#[test]
fn an_app_proves_itself_within_ten_minutes() {
    let place = place(Kind::GitHub);
    let path = format!("/app/installations/{}/access_tokens", Forge::INSTALLATION);
    let ask = |token: &str| {
        let bearer = format!("Bearer {token}");
        place.ask_as(&bearer, "POST", &path, &json!({}))
    };
    let good = app_token(now() - 60, now() + 540);
    let got = ask(&good);
    assert_eq!(got.status, 201);
    let token = got.json()["token"].as_str().unwrap().to_owned();
    let other = format!("token {token}");
    assert_eq!(
        place
            .ask_as(&other, "GET", &place.repo(""), &Value::Null)
            .status,
        200
    );

    let mut forged = good.clone();
    forged.replace_range(good.len() - 4.., "AAAA");
    for bad in [
        app_token(now() + 60, now() + 300),
        app_token(now() - 60, now() + 900),
        app_token(now() - 700, now() - 100),
        forged,
        token.clone(),
    ] {
        assert_eq!(ask(&bad).status, 401);
    }
    // Another clock than ours: what was good is not.
    place.forge.later(3700);
    assert_eq!(ask(&good).status, 401);
    assert_eq!(
        place
            .ask_as(&other, "GET", &place.repo(""), &Value::Null)
            .status,
        401
    );
}

#[test]
fn less_permission_is_less() {
    let place = place(Kind::GitHub);
    let path = format!("/app/installations/{}/access_tokens", Forge::INSTALLATION);
    let app = format!("Bearer {}", app_token(now() - 60, now() + 540));
    let ask = |body: Value| place.ask_as(&app, "POST", &path, &body);
    assert_eq!(
        ask(json!({ "permissions": { "administration": "write" } })).status,
        422
    );
    assert_eq!(ask(json!({ "repositories": ["other"] })).status, 422);
    let token = ask(json!({ "permissions": { "checks": "read" } })).json()["token"].clone();
    let bearer = format!("Bearer {}", token.as_str().unwrap());
    let body = json!({ "name": "a", "head_sha": place.forge.tip("main") });
    assert_eq!(
        place
            .ask_as(&bearer, "POST", &place.repo("/check-runs"), &body)
            .status,
        403
    );
    assert_eq!(
        place
            .ask_as("", "GET", &place.repo(""), &Value::Null)
            .status,
        404
    );
    assert_eq!(place.get("/repos/someone/else").status, 404);
}

#[test]
fn webhooks_are_signed_and_delivered_as_asked() {
    for kind in BOTH {
        let place = place(kind);
        let (url, came) = receiver();
        place.forge.webhooks_to(&url, "s3cret");
        let number = place.forge.open_pull(&pull("ann"));
        place.forge.settle();
        let first = came.lock().unwrap().clone();
        for hook in &first {
            let wanted = format!("sha256={}", sign("s3cret", &hook.body));
            assert_eq!(hook.header("X-Hub-Signature-256"), wanted);
        }
        let opened = first.last().unwrap();
        let event = match kind {
            Kind::GitHub => "X-GitHub-Event",
            Kind::Gitea => "X-Gitea-Event",
        };
        assert_eq!(opened.header(event), "pull_request");
        assert_eq!(opened.json()["action"], "opened");
        assert_eq!(opened.json()["number"], number);

        let count = || came.lock().unwrap().len();
        let before = count();
        place.forge.deliver(Manner::Never);
        place
            .forge
            .push_to_pull(number, &change("b.yaml", "b: 2\n"));
        place.forge.settle();
        assert_eq!(count(), before);

        place.forge.deliver(Manner::Twice);
        place.forge.comment(number, "ann", "/millrace plan");
        place.forge.settle();
        assert_eq!(count(), before + 2);
        let ids: Vec<String> = came.lock().unwrap()[before..]
            .iter()
            .map(|hook| hook.header("X-GitHub-Delivery").to_owned())
            .collect();
        assert_eq!(ids[0], ids[1], "the same delivery twice");
        place.forge.deliver_again(&ids[0]);
        place.forge.settle();
        assert_eq!(count(), before + 3);

        place.forge.deliver(Manner::Held);
        let held = place.forge.deliveries().len();
        place.forge.push("main", &change("c.yaml", "c: 1\n"));
        place.forge.merge(number);
        place.forge.settle();
        assert_eq!(count(), before + 3);
        let held: Vec<String> = place.forge.deliveries()[held..]
            .iter()
            .map(|d| d.id.clone())
            .collect();
        place.forge.release(1);
        place.forge.settle();
        let late: Vec<String> = came.lock().unwrap()[before + 3..]
            .iter()
            .map(|hook| hook.header("X-GitHub-Delivery").to_owned())
            .collect();
        assert_ne!(late, held, "in another order");
        let sorted = |mut list: Vec<String>| {
            list.sort();
            list
        };
        assert_eq!(sorted(late), sorted(held), "all of them");
    }
}

#[test]
fn clicks_come_back() {
    let place = place(Kind::GitHub);
    let (url, came) = receiver();
    let head = place.forge.tip("main");
    let body = json!({
        "name": "plan", "head_sha": head, "conclusion": "failure",
        "actions": [{ "label": "Retry", "description": "again", "identifier": "retry" }],
    });
    place.ask("POST", &place.repo("/check-runs"), &body);
    place.forge.webhooks_to(&url, "s");
    place.forge.click(&head, "plan", "retry", "ann");
    place.forge.rerequest(&head, "plan", "ann");
    place.forge.rerequest_all(&head, "ann");
    place.forge.rename("other");
    place.forge.uninstall();
    place.forge.settle();
    let said: Vec<String> = came
        .lock()
        .unwrap()
        .iter()
        .map(|hook| {
            format!(
                "{} {}",
                hook.header("X-GitHub-Event"),
                hook.json()["action"]
            )
        })
        .collect();
    assert_eq!(
        said,
        [
            "ping null",
            "check_run \"requested_action\"",
            "check_run \"rerequested\"",
            "check_suite \"rerequested\"",
            "repository \"renamed\"",
            "installation \"deleted\"",
        ]
    );
    let clicked = came.lock().unwrap()[1].json();
    assert_eq!(clicked["requested_action"]["identifier"], "retry");
    assert_eq!(clicked["check_run"]["name"], "plan");
}

#[test]
fn an_old_name_leads_to_the_new_one() {
    for (kind, code) in [(Kind::GitHub, 301), (Kind::Gitea, 307)] {
        let place = place(kind);
        let old = place.forge.clone_url();
        place.forge.rename("other");
        let got = place.get(&place.repo("/pulls"));
        assert_eq!(got.status, code);
        let there = got.headers["location"].clone();
        let path = there.strip_prefix(&place.api).unwrap();
        assert_eq!(place.get(path).status, 200);
        assert_ne!(place.forge.clone_url(), old);
        let listed = git(&place.forge, &["ls-remote", &old, "refs/heads/main"]);
        assert!(listed.starts_with(&place.forge.tip("main")), "{listed}");
    }
}

#[test]
fn what_is_uninstalled_gets_in_nowhere() {
    for kind in BOTH {
        let place = place(kind);
        place.forge.uninstall();
        assert_eq!(place.get(&place.repo("")).status, 401);
        if kind == Kind::GitHub {
            let app = format!("Bearer {}", app_token(now() - 60, now() + 540));
            let path = format!("/app/installations/{}/access_tokens", Forge::INSTALLATION);
            let got = place.ask_as(&app, "POST", &path, &json!({}));
            assert_eq!(got.status, 404);
        }
    }
}

#[test]
fn faults_happen_as_often_as_asked() {
    let place = place(Kind::GitHub);
    let head = place.forge.tip("main");
    let body = json!({ "name": "a", "head_sha": head });
    let post = || {
        place.try_as(
            &format!("token {}", place.token),
            "POST",
            &place.repo("/check-runs"),
            &body,
        )
    };
    let forge = &place.forge;
    forge.fault("POST", "check-runs", Fault::Status(502), 2);
    assert_eq!(post().unwrap().status, 502);
    assert_eq!(post().unwrap().status, 502);
    forge.fault("", "", Fault::TooMany(7), 1);
    let got = post().unwrap();
    assert_eq!(
        (got.status, got.headers["retry-after"].as_str()),
        (429, "7")
    );
    forge.fault("", "", Fault::RateLimit(9), 1);
    let got = post().unwrap();
    assert_eq!(
        (got.status, got.headers["x-ratelimit-remaining"].as_str()),
        (403, "0")
    );
    forge.fault("", "", Fault::Secondary(None), 1);
    assert_eq!(post().unwrap().status, 403);
    forge.fault("", "", Fault::LoseRequest, 1);
    assert!(post().is_err());
    assert_eq!(forge.checks(&head), []);
    forge.fault("", "", Fault::LoseAnswer, 1);
    assert!(post().is_err());
    assert_eq!(forge.checks(&head).len(), 1);
    forge.fault("", "", Fault::CutAnswer(10), 1);
    assert!(post().is_err());
    forge.fault("", "", Fault::Page, 1);
    assert_eq!(post().unwrap().json(), Value::Null);
    assert_eq!(forge.all_checks(&head).len(), 3);
    let counts = Counts {
        requests: 9,
        writes: 3,
        refused: 6,
        pushes: 0,
    };
    assert_eq!(forge.counts(), counts);
}

#[test]
fn limits_are_held_and_end() {
    let place = place(Kind::GitHub);
    let limits = Limits {
        writes_a_minute: Some(2),
        writes_an_hour: Some(3),
        requests_an_hour: None,
    };
    place.forge.limit(limits);
    let body = json!({ "name": "a", "head_sha": place.forge.tip("main") });
    let post = || place.ask("POST", &place.repo("/check-runs"), &body);
    assert_eq!([post().status, post().status], [201, 201]);
    let refused = post();
    assert_eq!(refused.status, 403);
    let wait: i64 = refused.headers["retry-after"].parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(place.get(&place.repo("")).status, 200, "reading is free");
    place.forge.later(wait);
    assert_eq!([post().status, post().status], [201, 403]);
    place.forge.later(60);
    assert_eq!(post().status, 403, "the hour's are spent");
}

#[test]
fn what_has_not_changed_is_not_told_again() {
    let place = place(Kind::GitHub);
    let path = place.repo("/pulls");
    let tag = place.get(&path).headers["etag"].clone();
    let ask = || {
        let headers = [
            ("Authorization".to_owned(), format!("token {}", place.token)),
            ("User-Agent".to_owned(), "test".to_owned()),
            ("If-None-Match".to_owned(), tag.clone()),
        ];
        fake_forge::send("GET", &format!("{}{path}", place.api), &headers, b"").unwrap()
    };
    assert_eq!(ask().status, 304);
    place.forge.open_pull(&pull("ann"));
    assert_eq!(ask().status, 200);
}

#[test]
fn a_push_by_git_wants_a_login_and_moves_pull_requests() {
    for kind in BOTH {
        let place = place(kind);
        let number = place.forge.open_pull(&pull("ann"));
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("copy");
        let run = |args: &[&str]| {
            let output = std::process::Command::new("git")
                .args(["-c", "user.name=a", "-c", "user.email=a@example.org"])
                .args(args)
                .env("GIT_TERMINAL_PROMPT", "0")
                .output()
                .unwrap();
            output.status.success()
        };
        let at = copy.to_str().unwrap();
        assert!(run(&[
            "clone",
            "--quiet",
            "-b",
            "add-b",
            &place.forge.clone_url(),
            at
        ]));
        assert!(run(&[
            "-C",
            at,
            "commit",
            "--quiet",
            "--allow-empty",
            "-m",
            "more"
        ]));
        assert!(!run(&["-C", at, "push", "--quiet"]), "nobody may push");
        let login = format!(
            "http.extraHeader=Authorization: {}",
            place.forge.git_login()
        );
        assert!(run(&["-C", at, "-c", &login, "push", "--quiet"]));
        assert_eq!(place.forge.head_of(number), place.forge.tip("add-b"));
        let kept = format!("refs/pull/{number}/head");
        assert_eq!(
            git(&place.forge, &["rev-parse", &kept]),
            place.forge.tip("add-b")
        );
        assert!(!run(&[
            "-C",
            at,
            "-c",
            &login,
            "push",
            "--quiet",
            "origin",
            "HEAD:refs/pull/9/head"
        ]));
        assert_eq!(place.forge.counts().pushes, 1);

        // It is there, and whoever pushed does not know.
        assert!(run(&[
            "-C",
            at,
            "commit",
            "--quiet",
            "--allow-empty",
            "-m",
            "again"
        ]));
        place
            .forge
            .fault("POST", "git-receive-pack", Fault::LoseAnswer, 1);
        assert!(!run(&["-C", at, "-c", &login, "push", "--quiet"]));
        assert_eq!(place.forge.counts().pushes, 2);
    }
}

#[test]
fn a_branch_may_go_or_be_rewritten() {
    for kind in BOTH {
        let place = place(kind);
        let number = place.forge.open_pull(&pull("ann"));
        let first = place.forge.head_of(number);
        let other = place
            .forge
            .force_push_to_pull(number, &change("b.yaml", "b: 3\n"));
        assert_eq!(
            git(&place.forge, &["merge-base", &first, &other]),
            place.forge.tip("main")
        );
        place.forge.delete_branch("add-b");
        let shown = place.get(&place.repo(&format!("/pulls/{number}"))).json();
        assert_eq!(shown["state"], "closed");
        assert_eq!(shown["merged"], false);
        assert_eq!(shown["head"]["sha"], other.as_str());
        let gone = Change::new("away").delete("README.md");
        place.forge.push("main", &gone);
        assert_eq!(git(&place.forge, &["ls-tree", "main"]), "");
    }
}

fn git(forge: &Forge, args: &[&str]) -> String {
    let output = std::process::Command::new("git")
        .arg("-C")
        .arg(forge.folder())
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned()
}
