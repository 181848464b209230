//! "Did you mean": the known name nearest to what was written.

/// Names longer than this are not compared; the work is quadratic in the length.
const MAX_CHARS: usize = 80;

/// The candidate nearest to `written`, when it is near enough to be meant: at most one edit in
/// three characters, where swapping two neighbours is one edit.
pub(crate) fn nearest<'a>(
    written: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let length = written.chars().count();
    if length > MAX_CHARS {
        return None;
    }
    let near = |candidate: &&'a str| {
        let distance = distance(&written.to_lowercase(), &candidate.to_lowercase());
        (distance, *candidate)
    };
    let (distance, best) = candidates
        .into_iter()
        // Lengths that differ by more than the edits allowed need no comparison.
        .filter(|candidate| {
            let other = candidate.chars().count();
            other <= MAX_CHARS && other.abs_diff(length) <= other.max(length).div_ceil(3)
        })
        .map(|candidate| near(&candidate))
        .min()?;
    (distance <= length.max(best.chars().count()).div_ceil(3)).then_some(best)
}

/// As [`nearest`], for a name that may be of something that was there once: one or two edits, none of
/// them in a number.
pub(crate) fn slip<'a>(
    written: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    const MOST_EDITS: usize = 2;
    let digits = |text: &str| text.replace(|c: char| !c.is_ascii_digit(), "");
    let best = nearest(written, candidates)?;
    let is_slip = distance(written, best) <= MOST_EDITS && digits(written) == digits(best);
    is_slip.then_some(best)
}

/// Edits (insert, delete, replace, swap neighbours) that turn `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = vec![0; b.len() + 1];
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

/// "write `x`", or the list of what there is.
pub(crate) fn help<'a>(
    written: &str,
    candidates: impl IntoIterator<Item = &'a str> + Clone,
    of: &str,
) -> String {
    const MAX_LISTED: usize = 12;
    let same_version = |name: &&str| !is_other_version(written, name);
    if let Some(best) = nearest(written, candidates.clone().into_iter().filter(same_version)) {
        return format!("did you mean `{best}`?");
    }
    let all: Vec<&str> = candidates.into_iter().collect();
    match all.len() {
        0 => format!("there are no {of} yet"),
        n if n > MAX_LISTED => {
            format!(
                "the {of} are: {}, and {} more",
                list(&all[..MAX_LISTED]),
                n - MAX_LISTED
            )
        }
        _ => format!("the {of} are: {}", list(&all)),
    }
}

/// Whether two names, not paths, differ in their numbers alone: `debian-13` is never a slip for
/// `debian-12`, and who follows the hint without a thought builds for the wrong distribution.
fn is_other_version(written: &str, name: &str) -> bool {
    let words = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "");
    !written.contains('/') && written != name && words(written) == words(name)
}

/// `a`, `b`, `c`
pub(crate) fn list(names: &[&str]) -> String {
    names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::{help, nearest};

    #[test]
    fn another_version_is_not_a_slip() {
        let known = ["debian-12", "debian-13"];
        let check = |written: &str, expect: &str| {
            assert_eq!(help(written, known, "platforms"), expect, "{written}");
        };
        check("debian-11", "the platforms are: `debian-12`, `debian-13`");
        check("debain-13", "did you mean `debian-13`?");
        let paths = ["builds/2026/10/tree.yaml"];
        let near = "did you mean `builds/2026/10/tree.yaml`?";
        assert_eq!(help("builds/2026/11/tree.yaml", paths, "builds"), near);
    }

    #[test]
    fn near_names_are_found() {
        let known = ["almalinux-9", "almalinux-10", "debian-12", "debian-13"];
        let check = |written: &str, expect: Option<&str>| {
            assert_eq!(nearest(written, known), expect, "{written}");
        };
        check("almalinux10", Some("almalinux-10"));
        check("almalniux-9", Some("almalinux-9"));
        check("Debian-12", Some("debian-12"));
        check("fedora-43", None);
        check("", None);
    }
}
