//! `millrace lint`.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use approvals::People;
use pipeline_spec::{Color, Config, Diagnostic, Severity, is_config_path, lint};

use crate::Verdict;
use crate::args::LintArgs;
use crate::failure::Failure;
use crate::init::editors::schema_files;
use crate::render::{Output, count, note};

/// Files of a checkout that are read at most.
const MAX_FILES: usize = 1_000_000;

pub(crate) fn run(args: &LintArgs, output: &Output) -> anyhow::Result<Verdict> {
    let top = top(&args.directory)?;
    if args.write_schemas {
        write_schemas(&top)?;
    }
    let files = read_tree(&top)?;
    let mut diagnostics = lint(&files);
    diagnostics.extend(people(&files));
    let is_well = diagnostics.iter().all(|d| d.severity != Severity::Error);
    if output.json {
        output.print_json(&diagnostics)?;
    } else {
        let color = if output.color {
            Color::Always
        } else {
            Color::Never
        };
        output.print(&text(&diagnostics, files.len(), args, color))?;
    }
    Ok(if is_well {
        Verdict::Well
    } else {
        Verdict::NotWell
    })
}

/// What is wrong with the keys of people who approve.
fn people(files: &[(String, Vec<u8>)]) -> Vec<Diagnostic> {
    let read = files.iter().filter(|(path, _)| is_config_path(path));
    let (config, _) = Config::load(read.map(|(path, bytes)| (path, bytes)));
    let (people, mut found) = People::read(&config);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    found.extend(people.ended(now.unwrap_or_default().as_secs()));
    found
}

fn text(diagnostics: &[Diagnostic], files: usize, args: &LintArgs, color: Color) -> String {
    let shown: Vec<Diagnostic> = diagnostics
        .iter()
        .filter(|d| args.notes || d.severity != Severity::Note)
        .cloned()
        .collect();
    let mut text: String = shown
        .iter()
        .map(|d| format!("{}\n", d.render(color)))
        .collect();
    let found = match pipeline_spec::count(&shown) {
        none if none.is_empty() => "nothing to mend".to_owned(),
        found => found,
    };
    let hidden = match diagnostics.len() - shown.len() {
        0 => String::new(),
        n => format!(
            "; {} on what cannot be used yet: millrace lint --notes",
            count(n, "note")
        ),
    };
    text.push_str(&format!("{files} files read: {found}{hidden}\n"));
    text
}

fn write_schemas(top: &Path) -> anyhow::Result<()> {
    for (path, bytes) in schema_files() {
        let file = top.join(path);
        let folder = file.parent().context("find the folder of the schemas")?;
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&file, bytes))
            .with_context(|| format!("write {}", file.display()))?;
    }
    Ok(())
}

/// The checkout that `directory` lies in, as `git` looks for it.
fn top(directory: &Path) -> anyhow::Result<PathBuf> {
    let given = directory.display();
    if !directory.exists() {
        return Err(Failure::not_there(format!("{given} does not exist")).into());
    }
    if directory.join("millrace.yaml").exists() {
        return Ok(directory.to_owned());
    }
    let whole = directory
        .canonicalize()
        .with_context(|| format!("find {given}"))?;
    // Above a checkout of something else there is nothing of ours.
    let below = |above: &&Path| !above.join(".git").exists();
    let inside = whole.ancestors().take_while(below).count() + 1;
    let mut above = whole.ancestors().take(inside);
    match above.find(|above| above.join("millrace.yaml").exists()) {
        Some(top) => {
            note(&format!("millrace: the checkout {}", top.display()));
            Ok(top.to_owned())
        }
        None => Err(Failure::not_there(format!(
            "{given} has no millrace.yaml, nor has a folder above it: give the checkout of a state repository"
        ))
        .into()),
    }
}

/// Every file below `directory` but git's own. Symbolic links are not followed.
fn read_tree(directory: &Path) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    let mut queue: Vec<PathBuf> = vec![directory.to_owned()];
    while let Some(current) = queue.pop() {
        let entries =
            std::fs::read_dir(&current).with_context(|| format!("read {}", current.display()))?;
        for entry in entries {
            let entry = entry?;
            let kind = entry.file_type()?;
            let path = entry.path();
            if kind.is_dir() && entry.file_name() != ".git" {
                queue.push(path);
            } else if kind.is_file() {
                let name = path
                    .strip_prefix(directory)
                    .expect("it was found below")
                    .to_string_lossy();
                let bytes =
                    std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
                files.push((name.into_owned(), bytes));
            }
            if files.len() > MAX_FILES {
                bail!("{} has more than {MAX_FILES} files", directory.display());
            }
        }
    }
    files.sort();
    Ok(files)
}
