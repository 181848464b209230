//! The checks that both packaging systems share: are the files there, and do they fit together?

use runner_agent::Halt;
use runner_build::Room;
use sandbox::{Command, Ended, Network, Owner};

/// Paths of the installed package, one a line, inside the workspace.
pub(crate) const LIST: &str = "/var/lib/millrace-files";

const SCRIPT: &str = include_str!("inspect.sh");

/// What is wrong with a package's files.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Problems {
    /// Missing files and links that lead nowhere.
    pub(crate) files: Vec<String>,
    /// Shared libraries that the loader does not find.
    pub(crate) libraries: Vec<String>,
}

/// Puts the paths among `lines` into the workspace as [`LIST`].
pub(crate) async fn remember(room: &Room<'_>, lines: &str) -> Result<(), Halt> {
    let paths: String = lines
        .lines()
        .filter(|line| line.starts_with('/') && *line != "/.")
        .flat_map(|line| [line, "\n"])
        .collect();
    let put = room
        .workspace()
        .write(LIST, 0o644, Owner::Root, paths.as_bytes());
    put.await.map_err(Halt::infrastructure)
}

/// Looks at every file of [`LIST`].
pub(crate) async fn inspect(room: &Room<'_>) -> Result<Problems, Halt> {
    let look = Command::prepare(["bash", "-c", SCRIPT, "bash", LIST]).network(Network::None);
    let (ended, said) = room.try_run(&look).await?;
    let mut problems = parse(&said);
    if !ended.success() {
        problems
            .files
            .push(format!("the check itself did not end well: {ended}"));
    }
    Ok(problems)
}

fn parse(said: &str) -> Problems {
    let mut problems = Problems::default();
    for line in said.lines() {
        match line.split_once('\t') {
            Some(("files", problem)) => problems.files.push(problem.to_owned()),
            Some(("libraries", problem)) => problems.libraries.push(problem.to_owned()),
            _ => {}
        }
    }
    problems
}

/// What a command ended with, and the line that says why, as one sentence.
pub(crate) fn words(ended: Ended, said: &str) -> String {
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
    let telling = [
        "Depends:",
        "nothing provides",
        "E: Unable to locate",
        "no candidate",
        "No match for argument",
        "GPG error",
        "NO_PUBKEY",
        "BADSIG",
        "is not signed",
        "signature",
        "Hash Sum mismatch",
        "checksum",
        "subprocess returned",
        "subprocess",
        "scriptlet failed",
        " conflicts ",
    ];
    let line = telling
        .iter()
        .find_map(|word| lines().find(|line| line.contains(word)))
        .or_else(|| lines().find(|line| line.starts_with("E: ") || line.starts_with("Error: ")))
        .or_else(|| lines().next_back());
    match line {
        Some(line) => format!("{line} ({ended})"),
        None => ended.to_string(),
    }
}

/// The last lines of an output, as evidence.
pub(crate) fn tail(said: &str) -> impl Iterator<Item = &str> {
    let lines: Vec<&str> = said
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let start = lines.len().saturating_sub(12);
    lines.into_iter().skip(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_check_are_sorted_by_case() {
        let said = "files\t/a is not there\nnoise\nlibraries\t/b needs libc.so.9 => not found\n";
        let expect = Problems {
            files: vec!["/a is not there".to_owned()],
            libraries: vec!["/b needs libc.so.9 => not found".to_owned()],
        };
        assert_eq!(parse(said), expect);
    }

    #[test]
    fn the_telling_line_is_quoted() {
        let check = |said: &str, expect: &str| assert_eq!(words(Ended::Exited(100), said), expect);
        check(
            "Reading\n x : Depends: y but it is not installable\nE: broken\n",
            "x : Depends: y but it is not installable (exit code 100)",
        );
        check("a\nE: broken\nb\n", "E: broken (exit code 100)");
        check("a\nb\n\n", "b (exit code 100)");
        check("", "exit code 100");
    }
}
