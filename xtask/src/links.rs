//! Links between the documents: the file is there, and so is the heading.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::sh::{cmd, output};

/// Looks at every Markdown file that git knows.
pub(crate) fn check(top: &Path) -> Result<()> {
    let list = output(cmd("git", &["ls-files", "*.md"]).current_dir(top))?;
    let mut broken = Vec::new();
    for name in list.lines() {
        // A file that is removed and not committed yet has no links.
        let Ok(text) = std::fs::read_to_string(top.join(name)) else {
            continue;
        };
        for (line, target) in targets(&text) {
            if let Some(why) = problem(&top.join(name), &text, &target)? {
                broken.push(format!("{name}:{line}: {target}: {why}"));
            }
        }
    }
    if !broken.is_empty() {
        bail!("links that lead nowhere:\n{}", broken.join("\n"));
    }
    Ok(())
}

/// Targets of `[text](target)` outside of code, with their lines.
fn targets(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut code = false;
    for (n, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            code = !code;
        }
        if code {
            continue;
        }
        // Every second part is inside of backquotes.
        for prose in line.split('`').step_by(2) {
            let mut rest = prose;
            while let Some((_, tail)) = rest.split_once("](") {
                let Some((target, tail)) = tail.split_once(')') else {
                    break;
                };
                found.push((n + 1, target.to_owned()));
                rest = tail;
            }
        }
    }
    found
}

/// Why a target of `file` leads nowhere. Addresses of others are not looked at: they need the network.
fn problem(file: &Path, text: &str, target: &str) -> Result<Option<String>> {
    if target.contains("://") || target.starts_with("mailto:") {
        return Ok(None);
    }
    let (path, heading) = target.split_once('#').unwrap_or((target, ""));
    let there: PathBuf = match path {
        "" => file.to_owned(),
        path => file.parent().context("a file is in a folder")?.join(path),
    };
    if !there.exists() {
        return Ok(Some("no such file".to_owned()));
    }
    if heading.is_empty() {
        return Ok(None);
    }
    let other = match path {
        "" => text.to_owned(),
        _ => {
            std::fs::read_to_string(&there).with_context(|| format!("read {}", there.display()))?
        }
    };
    let known = other
        .lines()
        .any(|line| slug(line).as_deref() == Some(heading));
    Ok((!known).then(|| "no such heading".to_owned()))
}

/// The name that forges and mdBook give a heading.
fn slug(line: &str) -> Option<String> {
    let text = line
        .strip_prefix('#')?
        .trim_start_matches('#')
        .strip_prefix(' ')?;
    let text = text.trim().to_lowercase();
    let slug = text.chars().filter_map(|c| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
        _ => None,
    });
    Some(slug.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: Option<&str>) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let found = targets(text);
        let found = found.iter().find_map(|(line, target)| {
            let why = problem(&file, text, target).expect("it can be read");
            why.map(|why| format!("{line}: {why}"))
        });
        assert_eq!(found.as_deref(), expect, "{text}");
    }

    #[test]
    fn a_link_leads_somewhere() {
        check("[a](src/main.rs) and [b](../README.md)", None);
        check(
            "[a](src/main.rs) and\n[b](nowhere.md)",
            Some("2: no such file"),
        );
        check("[a](https://example.org/nowhere) `[b](nowhere)`", None);
        check("```\n[a](nowhere)\n```\n", None);
        check("# What it is, then\n[a](#what-it-is-then)", None);
        check(
            "# What it is\n[a](#what-it-was)",
            Some("2: no such heading"),
        );
    }
}
