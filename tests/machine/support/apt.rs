//! The real apt on this host as a judge, in directories of its own, with nothing but the published key.

use std::path::PathBuf;
use std::process::{Command, Output};

use super::machine::{Machine, said};

impl Machine {
    /// The version of `package` that apt would install, when it sees the repository for the first time.
    /// `None`: it has none, or refuses the repository.
    pub(crate) fn apt_candidate(&self, package: &str) -> Option<String> {
        let directory = self.path("apt");
        std::fs::remove_dir_all(&directory).ok();
        for part in ["lists/partial", "cache/archives/partial"] {
            std::fs::create_dir_all(directory.join(part)).expect("a directory");
        }
        let key = self.clone_path().join("keys/main.asc");
        let line = format!(
            "deb [signed-by={}] {}/repos/debian/12 bookworm main\n",
            key.display(),
            self.url()
        );
        std::fs::write(directory.join("sources.list"), line).expect("a file");
        std::fs::write(directory.join("status"), "").expect("a file");
        let apt = Apt(directory);
        if !apt.run("apt-get", &["update"]).status.success() {
            return None;
        }
        let policy = said(&apt.run("apt-cache", &["policy", package]));
        let line = policy
            .lines()
            .find_map(|line| line.trim_start().strip_prefix("Candidate:"))?;
        Some(line.trim().to_owned())
    }
}

struct Apt(PathBuf);

impl Apt {
    fn run(&self, program: &str, words: &[&str]) -> Output {
        let option = |name: &str, path: &str| format!("{name}={}", self.0.join(path).display());
        let options = [
            "Dir::Etc::SourceParts=/dev/null".to_owned(),
            "APT::Sandbox::User=root".to_owned(),
            "APT::Update::Error-Mode=any".to_owned(),
            option("Dir::Etc::SourceList", "sources.list"),
            option("Dir::State::Lists", "lists"),
            option("Dir::Cache", "cache"),
            option("Dir::State::Status", "status"),
        ];
        Command::new(program)
            .args(options.iter().flat_map(|option| ["-o", option]))
            .args(words)
            .output()
            .expect("apt starts")
    }
}
