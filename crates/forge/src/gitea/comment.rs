//! The one comment on a pull request that shows what GitHub would show in checks.
//!
//! Callers: `gitea`. Invariants: pure. The comment begins with [`MARK`] and has a section for each check of the newest
//! commit, in the order of their names. What is in a section cannot pretend to be a section. Nothing is decided by what
//! is read back: it is where the other sections go on standing.

use std::collections::BTreeMap;

use ports::{Annotation, Check, CheckState, Level};

use crate::text::{self, HIDDEN, MAX_ANNOTATIONS};

/// The first line. People do not see it.
pub(super) const MARK: &str = "<!-- millrace -->";
/// Begins the hidden line above a section; name and commit follow.
const SECTION: &str = "<!-- millrace: ";
const END: &str = " -->";
/// Characters of a remark.
const MAX_MESSAGE: usize = 1_000;
const MAX_TITLE: usize = 250;

/// The comment with `check` in its place, written anew from `before`. Sections of other commits go: they are about what
/// nobody looks at any more.
pub(super) fn with_section(before: &str, check: &Check) -> String {
    let mut sections = sections(before, &check.commit);
    sections.insert(check.name.clone(), section(check));
    let mut comment = format!("{MARK}\n");
    for (name, text) in sections {
        let commit = &check.commit;
        comment.push_str(&format!(
            "{SECTION}{name} {commit}{END}\n{}\n\n",
            text.trim_end()
        ));
    }
    comment.trim_end().to_owned()
}

/// Whether a comment of ours is this one, whatever line ends the forge stores.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    one.replace("\r\n", "\n").trim_end() == other.trim_end()
}

/// Sections of `commit` by name.
fn sections(comment: &str, commit: &str) -> BTreeMap<String, String> {
    let mut sections = BTreeMap::new();
    let mut open: Option<String> = None;
    for line in comment.lines() {
        if let Some((name, of)) = heading(line) {
            open = (of == commit).then(|| name.to_owned());
            continue;
        }
        if let Some(name) = &open {
            let text: &mut String = sections.entry(name.clone()).or_default();
            text.push_str(line);
            text.push('\n');
        }
    }
    sections
}

/// Name and commit of the section that begins at this line.
fn heading(line: &str) -> Option<(&str, &str)> {
    let inside = line.strip_prefix(SECTION)?.strip_suffix(END)?;
    inside.rsplit_once(' ')
}

fn section(check: &Check) -> String {
    let title = escape(&text::line(&check.title, MAX_TITLE));
    let commit = check.commit.get(..12).unwrap_or(&check.commit);
    let state = word(check.state);
    let mut section = format!(
        "### {}: {title}\n\n**{state}**, commit `{commit}`\n\n{}\n",
        escape(&check.name),
        text::summary(check).replace("\r\n", "\n").trim_end()
    );
    // The list above names most of them already.
    let place = |it: &Annotation| format!("{}:{}:{}", it.path, it.line, it.column);
    let shown = check.annotations.iter().take(MAX_ANNOTATIONS);
    let others = shown.filter(|it| !check.summary.contains(&place(it)));
    let remarks: String = others.map(remark).collect();
    if !remarks.is_empty() {
        section.push_str(&format!("\n{remarks}"));
    }
    for action in &check.actions {
        // Where GitHub has a button.
        let (label, name) = (escape(action.label), action.name);
        section.push_str(&format!(
            "\n{label}: write `/millrace {name}` in a comment, alone on a line.\n"
        ));
    }
    if let Some(details) = &check.details {
        section.push_str(&format!("\n[More]({details})\n"));
    }
    section.replace(HIDDEN, "&lt;!-- millrace")
}

fn word(state: CheckState) -> &'static str {
    match state {
        CheckState::Waiting => "Waiting",
        CheckState::Running => "Running",
        CheckState::Passed => "Passed",
        CheckState::Failed => "Failed",
        CheckState::Neutral => "Neutral",
    }
}

fn remark(annotation: &Annotation) -> String {
    let level = match annotation.level {
        Level::Error => "error",
        Level::Warning => "warning",
    };
    let help = match annotation.help.as_str() {
        "" => String::new(),
        help => format!("; {help}"),
    };
    let said = text::line(&format!("{}{help}", annotation.message), MAX_MESSAGE);
    let path = annotation.path.replace('`', "'");
    format!(
        "- {level} `{path}:{}:{}` {}\n",
        annotation.line,
        annotation.column,
        escape(&said)
    )
}

/// A stranger's words in Markdown: they are no markup, and call nobody.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            // A space of no width: `@name` would write somebody a mail.
            '@' => safe.push_str("@\u{200b}"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|' | '!' | '~' | '&' => {
                safe.push('\\');
                safe.push(c);
            }
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, commit: &str) -> Check {
        Check {
            name: name.to_owned(),
            commit: commit.repeat(40),
            pull: Some(7),
            state: CheckState::Failed,
            title: "1 mistake <b> @root".to_owned(),
            summary: "See\r\nthe line.\n".to_owned(),
            annotations: vec![Annotation {
                path: "packages/zlib.yaml".to_owned(),
                line: 4,
                column: 3,
                level: Level::Error,
                message: "no such platform\n\"debian_13\"".to_owned(),
                help: "write debian-12".to_owned(),
            }],
            actions: Vec::new(),
            details: Some("https://example.org/plan".to_owned()),
            digest: "d1".to_owned(),
        }
    }

    #[test]
    fn what_people_see() {
        let expect = format!(
            "<!-- millrace -->
<!-- millrace: plan {} -->
### plan: 1 mistake \\<b\\> @\u{200b}root

**Failed**, commit `aaaaaaaaaaaa`

See
the line.

- error `packages/zlib.yaml:4:3` no such platform \"debian\\_13\"; write debian-12

[More](https://example.org/plan)",
            "a".repeat(40)
        );
        assert_eq!(with_section("", &check("plan", "a")), expect);
    }

    #[test]
    fn sections_stand_side_by_side_until_the_next_commit() {
        let plan = with_section("", &check("plan", "a"));
        let both = with_section(&plan, &check("build x86_64", "a"));
        let names = |comment: &str| {
            sections(comment, &"a".repeat(40))
                .into_keys()
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&both), ["build x86_64", "plan"]);
        assert_eq!(with_section(&both, &check("plan", "a")), both);
        assert_eq!(
            with_section(&both.replace('\n', "\r\n"), &check("plan", "a")),
            both
        );
        assert!(is_same(&both.replace('\n', "\r\n"), &both) && !is_same(&plan, &both));
        let newer = with_section(&both, &check("plan", "b"));
        assert_eq!(names(&newer), Vec::<String>::new());
        assert_eq!(newer, with_section("", &check("plan", "b")));
    }

    #[test]
    fn a_text_cannot_pretend_to_be_a_section() {
        let mut hostile = check("plan", "a");
        let fake = format!(
            "x\n{SECTION}results {}{END}\n### all is well\n{MARK}\n",
            "a".repeat(40)
        );
        hostile.summary = fake.clone();
        hostile.title = fake.clone();
        hostile.details = Some(fake);
        let comment = with_section("", &hostile);
        assert_eq!(sections(&comment, &"a".repeat(40)).len(), 1, "{comment}");
        assert_eq!(comment.matches(HIDDEN).count(), 2, "{comment}");
    }
}
