//! Commits that git must not forget.
//!
//! git deletes what no ref reaches, in time or at once (`git gc --prune=now`). After a forced push that is the
//! history before it, and requests planned there still need it. So it has refs of our own, which `git push`
//! and `git clone` leave alone:
//!
//! ```text
//! refs/millrace/planned          the newest commit held, and all before it
//! refs/millrace/earlier/<hex>    what `planned` does not reach: one ref per forced push
//! ```
//!
//! To let such a history go for good, delete its ref: `git update-ref -d refs/millrace/earlier/<hex>`.

use crate::local::{self, Expect};
use crate::repository::is_known;
use crate::{CommitId, Error, Outcome, Repository, Result, names};

const NEWEST: &str = "refs/millrace/planned";
const EARLIER: &str = "refs/millrace/earlier";
/// Looks at the ref before giving up: others who hold a commit at the same moment move it.
const MAX_TRIES: usize = 8;

impl Repository {
    /// Keeps `commit` and all before it from being deleted, and what was held before, too. Of a server's
    /// repository that is the cache; the server is not told. Costs one read of a file when it is held already.
    pub fn hold(&self, commit: CommitId) -> Result<()> {
        let repo = self.handle();
        let newest = names::full_name(NEWEST)?;
        for _ in 0..MAX_TRIES {
            let held = local::tip(&repo, &newest)?;
            if let Some(held) = held
                && is_known(&repo, held)?
            {
                if self.is_ancestor(commit, held)? {
                    return Ok(());
                }
                // Before `planned` moves: at no moment is it held by nothing.
                if !self.is_ancestor(held, commit)? {
                    let earlier = names::full_name(&format!("{EARLIER}/{held}"))?;
                    let _held = local::move_branch(&repo, &earlier, Expect::Anything, held)?;
                }
            }
            let moved = local::move_branch(&repo, &newest, Expect::At(held), commit)?;
            if matches!(moved, Outcome::Committed(_)) {
                return Ok(());
            }
        }
        Err(Error::Locked {
            path: self.path().join(NEWEST),
        })
    }
}
