//! The disk with the ledger is lost in the middle of a build: what was there comes back from the state
//! repository and the artifact store, and what was under way ends as if nothing had been.

use serde_json::Value;

use crate::support::package::{DEBIAN, deb, request};
use crate::support::{Machine, find, git, said, text};

const OLD: &str = "builds/2026/11/old.yaml";
const NEW: &str = "builds/2026/11/new.yaml";
const OLD_RELEASE: &str = "releases/2026/11/old.yaml";
const NEW_RELEASE: &str = "releases/2026/11/new.yaml";

#[test]
fn a_ledger_that_is_deleted_in_the_middle_of_a_build_is_rebuilt() {
    let mut machine = Machine::new("lost-ledger");
    machine.start();
    let old = machine.source("old", &deb("old", "true"));
    machine.push(OLD, &request(DEBIAN, "old", &old));
    machine.expect(OLD, "succeeded");
    machine.push(OLD_RELEASE, &format!("from: [{OLD}]\nto: [debian-12]\n"));
    machine.expect(OLD_RELEASE, "published");
    let before = [OLD, OLD_RELEASE].map(|path| machine.status(path));

    let new = machine.source("new", &deb("new", "echo the build is here; sleep 5"));
    let release = format!("from: [{NEW}]\nto: [debian-12]\n");
    machine.write(&[
        (NEW, Some(&request(DEBIAN, "new", &new))),
        (NEW_RELEASE, Some(&release)),
    ]);
    let wish = machine.push_all("one more", &[]);
    machine.wait("the build", || log_says(&machine, "the build is here"));
    // The branch has heard of it: what it has not heard of is planned anew, and nothing is to be seen.
    machine.wait("its status", || {
        text(&find(&machine.status_file(NEW), "build")["state"]) == "leased"
    });
    machine.kill_control_plane();
    for name in ["millrace.db", "millrace.db-wal", "millrace.db-shm"] {
        std::fs::remove_file(machine.path("one/data").join(name)).ok();
    }

    let refused = machine.millrace(&["up", "--no-runners", "--listen", "127.0.0.1:0"]);
    assert_eq!(refused.status.code(), Some(3), "{}", said(&refused));
    let words = said(&refused);
    assert!(words.contains("`millrace recover` rebuilds it"), "{words}");

    let recovered = machine.millrace(&["recover", "--json"]);
    assert!(recovered.status.success(), "{}", said(&recovered));
    let told: Value = serde_json::from_slice(&recovered.stdout).expect("JSON");
    assert_eq!(
        (&told["requests"], &told["again"], &told["repositories"]),
        (&Value::from(4), &Value::from(1), &Value::from(1)),
        "{told}"
    );
    let again = machine.millrace(&["recover"]);
    assert_eq!(again.status.code(), Some(5), "{}", said(&again));

    machine.start();
    machine.expect(NEW_RELEASE, "published");
    let after = [OLD, OLD_RELEASE].map(|path| machine.status(path));
    assert_eq!(after, before, "what is done was touched");
    let build = machine.task(NEW, "build");
    let ends: Vec<String> = build["attempts"]
        .as_array()
        .expect("attempts")
        .iter()
        .map(|attempt| text(&attempt["end"]))
        .collect();
    assert_eq!(ends, ["the ledger was lost while it ran", "succeeded"]);
    for name in ["old", "new"] {
        assert_eq!(machine.apt_candidate(name).as_deref(), Some("1.0"));
    }
    let verified = machine.millrace(&["verify"]);
    assert!(verified.status.success(), "{}", said(&verified));
    let head = git(&machine.path("one/state.git"), &["rev-parse", "main"]);
    assert_eq!(head, wish, "the machine wrote to main");

    // A person who is not sure rebuilds a ledger that is there: it is put aside, and nothing changes.
    let sure = [OLD, OLD_RELEASE, NEW, NEW_RELEASE].map(|path| machine.status(path));
    machine.kill_control_plane();
    let replaced = machine.millrace(&["recover", "--replace"]);
    assert!(replaced.status.success(), "{}", said(&replaced));
    assert!(
        said(&replaced).contains("data/set-aside-1"),
        "{}",
        said(&replaced)
    );
    machine.start();
    let same = [OLD, OLD_RELEASE, NEW, NEW_RELEASE].map(|path| machine.status(path));
    assert_eq!(same, sure);
}

/// The log of the new package's build, as far as it is.
fn log_says(machine: &Machine, word: &str) -> bool {
    let task = machine.task(NEW, "build");
    let log = machine.get(&format!("/api/v1/log/{}", text(&task["id"])));
    log.is_some_and(|log| log.contains(&format!("\n{word}")))
}
