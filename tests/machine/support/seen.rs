//! What people see of a request: the command line's answers, and the file on the branch `status`.

use std::process::Command;

use serde_json::Value;

use super::machine::{Machine, said};

impl Machine {
    /// Waits until the request is at rest; answers its phase.
    pub(crate) fn settle(&self, request: &str) -> String {
        let mut phase = String::new();
        self.wait(request, || {
            phase = text(&self.status(request)["phase"]);
            matches!(
                phase.as_str(),
                "succeeded" | "published" | "failed" | "reverted" | "removed" | "invalid"
            )
        });
        phase
    }

    /// Waits until the request is in this phase. One that has gone wrong is not waited for.
    #[track_caller]
    pub(crate) fn expect(&self, request: &str, wanted: &str) {
        let mut phase = String::new();
        self.wait(request, || {
            phase = text(&self.status(request)["phase"]);
            phase == wanted || matches!(phase.as_str(), "failed" | "invalid")
        });
        assert_eq!(phase, wanted, "{}", self.told(request));
    }

    /// `millrace status --json REQUEST`; null when it is not known.
    pub(crate) fn status(&self, request: &str) -> Value {
        let output = self.millrace(&["status", "--json", request]);
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    /// `millrace status REQUEST`, as it is printed.
    pub(crate) fn told(&self, request: &str) -> String {
        said(&self.millrace(&["status", request]))
    }

    /// The file of a request on the branch `status`; null when there is none.
    pub(crate) fn status_file(&self, request: &str) -> Value {
        let output = Command::new("git")
            .arg("--git-dir")
            .arg(self.path("one/state.git"))
            .args(["show", &format!("status:{request}")])
            .output()
            .expect("git starts");
        serde_saphyr::from_str(&String::from_utf8_lossy(&output.stdout)).unwrap_or_default()
    }

    /// The task whose title begins so; null when there is none.
    pub(crate) fn task(&self, request: &str, title: &str) -> Value {
        find(&self.status(request), title)
    }
}

/// The task of a status whose title begins so.
pub(crate) fn find(status: &Value, title: &str) -> Value {
    let tasks = status["tasks"].as_array().cloned().unwrap_or_default();
    tasks
        .into_iter()
        .find(|task| text(&task["title"]).starts_with(title))
        .unwrap_or_default()
}

/// A string of JSON, empty when it is none.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The digest of the artifact whose name ends so.
pub(crate) fn artifact<'a>(task: &'a Value, ending: &str) -> &'a str {
    let artifacts = task["artifacts"].as_array().expect("artifacts");
    let found = artifacts
        .iter()
        .find(|a| a["name"].as_str().is_some_and(|n| n.ends_with(ending)));
    found
        .and_then(|a| a["sha256"].as_str())
        .expect("the artifact")
}
