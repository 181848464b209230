//! How a list is read page by page, when a page may be larger than an answer may be.
//!
//! Callers: the adapters. Invariants: pure. Pages become smaller where one is too large, and larger again behind it; an
//! entry that is too large alone is left out, aloud, and hides no other. All of it has an end.

use crate::answer::Answer;

/// How many entries are asked for at a time. Each divides the one before it: so a page of any size can begin where a
/// larger one would. The first is the most that a Gitea gives unless it was told otherwise; at both forges it is below
/// an answer's limit as long as texts are not very long.
const SIZES: [usize; 4] = [50, 25, 5, 1];
/// Entries of a list. Of more than 3,000 open pull requests the newest are given; the others are met one by one, when
/// somebody pushes to them.
const MAX_ENTRIES: usize = 3_000;
/// Requests for one list: five times those of pages that fit.
const MAX_ASKED: usize = 300;

/// Where a list goes on.
#[derive(Debug)]
pub(crate) struct Pages {
    /// Entries before.
    at: usize,
    /// What the forge gives on a page, at most.
    most: usize,
    /// A page of this size is too large here.
    too_large: Option<usize>,
    asked: usize,
    is_over: bool,
}

/// A page to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page {
    /// Counted from 1.
    pub(crate) number: usize,
    /// Entries on it.
    pub(crate) size: usize,
}

impl Pages {
    /// From the beginning.
    pub(crate) fn new() -> Self {
        Self {
            at: 0,
            most: SIZES[0],
            too_large: None,
            asked: 0,
            is_over: false,
        }
    }

    /// The next one, if the list goes on.
    pub(crate) fn next(&mut self) -> Option<Page> {
        if self.is_over || self.at >= MAX_ENTRIES || self.asked == MAX_ASKED {
            return None;
        }
        self.asked += 1;
        let fits = |size: &usize| {
            *size <= self.most
                && self.at.is_multiple_of(*size)
                && self.too_large.is_none_or(|too_large| *size < too_large)
        };
        let size = SIZES.into_iter().find(fits).unwrap_or(1);
        Some(Page {
            number: self.at / size + 1,
            size,
        })
    }

    /// `page` was read, and had this many entries.
    pub(crate) fn read(&mut self, page: Page, entries: usize, answer: &Answer) {
        self.is_over = !answer.has_next() || (entries == 0 && page.size > 1);
        if entries < page.size {
            self.most = entries.max(1);
        }
        self.go_on(entries.max(1));
    }

    /// `page` is too large to be read.
    pub(crate) fn too_large(&mut self, page: Page, answer: &Answer) {
        if page.size > 1 {
            self.too_large = Some(page.size);
            return;
        }
        tracing::warn!(
            place = page.number,
            "one pull request in the forge's list is too large to be read: it is passed over; shorten its description"
        );
        self.is_over = !answer.has_next();
        self.go_on(1);
    }

    fn go_on(&mut self, entries: usize) {
        self.at += entries;
        self.too_large = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a list of entries of these weights, of which `fits` fit into an answer, from a forge that gives `most` on a
    /// page. The places of those that were read, and how many requests that took.
    fn check(weights: &[usize], fits: usize, most: usize) -> (Vec<usize>, usize) {
        let (mut pages, mut read, mut asked) = (Pages::new(), Vec::new(), 0);
        while let Some(page) = pages.next() {
            asked += 1;
            let each = page.size.min(most);
            let from = ((page.number - 1) * each).min(weights.len());
            let to = (from + each).min(weights.len());
            let link = [("link", "<https://x/y>; rel=\"next\"")];
            let links = if to < weights.len() { &link[..] } else { &[] };
            let answer = Answer::made(200, links, "");
            if weights[from..to].iter().sum::<usize>() > fits {
                pages.too_large(page, &answer);
            } else {
                read.extend(from..to);
                pages.read(page, to - from, &answer);
            }
        }
        read.sort_unstable();
        read.dedup();
        (read, asked)
    }

    #[test]
    fn all_that_fits_is_read() {
        let all = |count: usize| (0..count).collect::<Vec<_>>();
        assert_eq!(check(&[], 9, 50), (vec![], 1));
        assert_eq!(check(&[1; 50], 50, 50), (all(50), 1));
        assert_eq!(check(&[1; 120], 50, 50), (all(120), 3));
        // Pages of 25 fit, and are asked for behind each of 50 that does not.
        assert_eq!(check(&[1; 120], 30, 50), (all(120), 7));
        assert_eq!(check(&[1; 60], 1, 50).0, all(60));
        // A forge that gives fewer.
        for most in [30, 20, 7, 1] {
            assert_eq!(check(&[1; 120], 50, most).0, all(120), "{most}");
        }
        assert_eq!(check(&[1; 9_000], 50, 50), (all(3_000), 60));
        assert_eq!(check(&[1; 9_000], 1, 50).1, MAX_ASKED);
    }

    #[test]
    fn one_that_does_not_fit_hides_no_other() {
        for place in [0, 1, 24, 25, 49, 50, 77, 119] {
            let mut weights = vec![1; 120];
            weights[place] = 99;
            let (read, asked) = check(&weights, 50, 50);
            let others: Vec<usize> = (0..120).filter(|other| *other != place).collect();
            assert_eq!(read, others);
            assert!(asked < 25, "{asked}");
        }
        assert_eq!(check(&[99; 3], 50, 50).0, Vec::<usize>::new());
    }
}
