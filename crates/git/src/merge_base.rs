//! Where two histories part.
//!
//! From both commits the history is walked down, each side with its own colour. Where the colours meet is a commit that
//! both have; what is below it is of no interest, and the walk ends when nothing else is left. The order of the walk
//! decides what it costs and not what it answers: times are what strangers wrote.

use std::collections::{BTreeSet, HashMap};

use gix::ObjectId;

use crate::{CommitId, Error, Repository, Result, read};

/// What two commits have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergeBase {
    /// This commit is in the history of both, and in that of no other such commit. Of several, the newest by its time.
    At(CommitId),
    /// Nothing.
    Nowhere,
    /// It was not found among as many commits as the caller allows.
    TooFar,
}

impl Repository {
    /// Where the histories of `one` and `other` part. At most `limit` commits are read. What is not here, as behind the
    /// edge of a shallow copy, is as if it were not.
    pub fn merge_base(&self, one: CommitId, other: CommitId, limit: usize) -> Result<MergeBase> {
        drop(self.handle_with(one)?);
        let repo = self.handle_with(other)?;
        for tip in [one, other] {
            read::object(&repo, tip.0)?;
        }
        let mut walk = Walk::new(&repo, limit);
        walk.colour(one.0, Colour::One)?;
        walk.colour(other.0, Colour::Other)?;
        walk.meet()?;
        if walk.is_cut {
            return Ok(MergeBase::TooFar);
        }
        walk.thin_out()?;
        let newest = walk.met.last();
        Ok(newest.map_or(MergeBase::Nowhere, |(_, id)| MergeBase::At(CommitId(*id))))
    }
}

/// Whose history a commit is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Colour {
    One,
    Other,
    /// That of both.
    Both,
    /// That of a commit which is in that of both.
    Below,
}

impl Colour {
    fn with(self, more: Self) -> Self {
        match (self, more) {
            (one, other) if one == other => one,
            (Self::Below, _) | (_, Self::Below) => Self::Below,
            _ => Self::Both,
        }
    }

    /// Of the parents of a commit that has this one.
    fn of_parents(self) -> Self {
        match self {
            Self::Both => Self::Below,
            colour => colour,
        }
    }
}

#[derive(Debug)]
struct Seen {
    colour: Colour,
    time: i64,
    parents: Vec<ObjectId>,
}

/// Commits by their time.
type ByTime = BTreeSet<(i64, ObjectId)>;

struct Walk<'a> {
    repo: &'a gix::Repository,
    /// Commits that may still be read.
    left: usize,
    /// More would have been read.
    is_cut: bool,
    seen: HashMap<ObjectId, Seen>,
    /// To go on from, of one colour each.
    one: ByTime,
    other: ByTime,
    /// To go on from, in the history of both.
    shared: ByTime,
    /// In the history of both, and not below another such commit, as far as is known.
    met: ByTime,
    was_one: bool,
}

impl<'a> Walk<'a> {
    fn new(repo: &'a gix::Repository, limit: usize) -> Self {
        Self {
            repo,
            left: limit,
            is_cut: false,
            seen: HashMap::new(),
            one: ByTime::new(),
            other: ByTime::new(),
            shared: ByTime::new(),
            met: ByTime::new(),
            was_one: false,
        }
    }

    /// Finds all places where the two histories part.
    fn meet(&mut self) -> Result<()> {
        while !self.is_cut
            && let Some(commit) = self.next()
        {
            self.go_on(commit)?;
        }
        Ok(())
    }

    /// Where times are off, one that was met can be below another. If that takes too long, the newest has to do.
    fn thin_out(&mut self) -> Result<()> {
        while !self.is_cut
            && self.met.len() > 1
            && let Some((_, commit)) = self.shared.pop_last()
        {
            self.go_on(commit)?;
        }
        Ok(())
    }

    /// The newest first, so that what is shared is met before what is below it. Both sides by turns: a side whose clock
    /// was slow is not left behind until the other is at its beginning.
    fn next(&mut self) -> Option<ObjectId> {
        let newest = |commits: &ByTime| commits.last().map(|(time, _)| *time);
        let alone = newest(&self.one).max(newest(&self.other))?;
        let next = if newest(&self.shared) >= Some(alone) {
            self.shared.pop_last()
        } else if self.other.is_empty() || !self.was_one && !self.one.is_empty() {
            self.was_one = true;
            self.one.pop_last()
        } else {
            self.was_one = false;
            self.other.pop_last()
        };
        next.map(|(_, commit)| commit)
    }

    fn go_on(&mut self, commit: ObjectId) -> Result<()> {
        let Some(seen) = self.seen.get(&commit) else {
            return Ok(());
        };
        let colour = seen.colour.of_parents();
        for parent in seen.parents.clone() {
            self.colour(parent, colour)?;
        }
        Ok(())
    }

    /// Gives a commit one colour more. If that is new, it is gone on from.
    fn colour(&mut self, commit: ObjectId, more: Colour) -> Result<()> {
        let Some(seen) = self.seen.get_mut(&commit) else {
            return self.first_seen(commit, more);
        };
        let (before, now) = (seen.colour, seen.colour.with(more));
        if before == now {
            return Ok(());
        }
        seen.colour = now;
        let entry = (seen.time, commit);
        self.queue(before).remove(&entry);
        self.queue(now).insert(entry);
        match now {
            Colour::Both => self.met.insert(entry),
            _ => self.met.remove(&entry),
        };
        Ok(())
    }

    fn first_seen(&mut self, commit: ObjectId, colour: Colour) -> Result<()> {
        let Some(left) = self.left.checked_sub(1) else {
            self.is_cut = true;
            return Ok(());
        };
        self.left = left;
        let Some((time, parents)) = time_and_parents(self.repo, commit)? else {
            return Ok(());
        };
        self.queue(colour).insert((time, commit));
        let seen = Seen {
            colour,
            time,
            parents,
        };
        self.seen.insert(commit, seen);
        Ok(())
    }

    fn queue(&mut self, colour: Colour) -> &mut ByTime {
        match colour {
            Colour::One => &mut self.one,
            Colour::Other => &mut self.other,
            Colour::Both | Colour::Below => &mut self.shared,
        }
    }
}

/// `None`: it is not here.
fn time_and_parents(
    repo: &gix::Repository,
    commit: ObjectId,
) -> Result<Option<(i64, Vec<ObjectId>)>> {
    let error = || Error::corrupt(format!("read commit {commit}"));
    let Some(object) = repo.try_find_object(commit).map_err(error())? else {
        return Ok(None);
    };
    let object = object.try_into_commit().map_err(error())?;
    let parents = object.decode().map_err(error())?.parents().collect();
    // A time that nobody can read is an old one.
    let time = object.time().map_or(i64::MIN, |time| time.seconds);
    Ok(Some((time, parents)))
}
