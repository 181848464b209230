//! git's objects, as far as approvals depend on them. Each is believed by its name alone: the name is the hash of
//! its bytes, and a hash that was made to fit two contents is seen.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use sha1_checked::Sha1;

use crate::commit::Commit;

/// Largest commit that is read, in bytes. The largest in Linux, a merge of 66 branches with their tags, has 80 KB.
pub const MAX_COMMIT_BYTES: usize = 1 << 20;
/// Largest tree that is read, in bytes: a folder of 200,000 requests.
pub const MAX_TREE_BYTES: usize = 16 << 20;

/// The mode of a folder's entry in a tree.
const FOLDER: u32 = 0o40_000;

/// The name of an object: the SHA-1 that git gives it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id([u8; 20]);

/// The text is not 40 hex digits.
#[derive(Debug, thiserror::Error)]
#[error("read {0:?} as the name of an object: 40 hex digits are expected")]
pub struct BadId(String);

impl FromStr for Id {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let mut id = [0; 20];
        match hex::decode_to_slice(text, &mut id) {
            Ok(()) => Ok(Self(id)),
            Err(_) => Err(BadId(text.chars().take(64).collect())),
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({self})")
    }
}

/// What an object is: part of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Who did what, upon what.
    Commit,
    /// A folder.
    Tree,
    /// A file.
    Blob,
}

impl Kind {
    /// git's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Tree => "tree",
            Self::Blob => "blob",
        }
    }

    /// The name that an object of these bytes has. `None`: the bytes were made so that others have the same.
    #[must_use]
    pub fn name(self, bytes: &[u8]) -> Option<Id> {
        let mut hash = Sha1::new();
        let head = format!("{} {}\0", self.word(), bytes.len());
        sha1_checked::Digest::update(&mut hash, head.as_bytes());
        sha1_checked::Digest::update(&mut hash, bytes);
        let result = hash.try_finalize();
        let id = Id((*result.hash()).into());
        (!result.has_collision()).then_some(id)
    }
}

/// Why an object is not taken for what it was given as.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// Its bytes have another name.
    #[error("take an object as {kind} {id}: its bytes are not those of that name")]
    OtherName {
        /// As it was called.
        id: Id,
        /// As it was called.
        kind: &'static str,
    },
}

/// Objects that were found to have the names that they were asked for by.
#[derive(Debug, Clone, Default)]
pub struct Objects(BTreeMap<Id, Object>);

#[derive(Debug, Clone)]
enum Object {
    Commit(Box<Commit>),
    Tree(Vec<u8>),
    Blob(Vec<u8>),
    /// It cannot be had, or not be read: why.
    Unusable(&'static str),
}

/// Why something is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gap {
    /// This object was not given yet.
    Missing(Id, Kind),
    /// This one will not be of use.
    Unusable(&'static str),
}

/// An entry of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// What it is: a file, a program, a link, a folder.
    pub mode: u32,
    /// Its content.
    pub id: Id,
}

impl Objects {
    /// Takes an object that was asked for.
    ///
    /// # Errors
    /// [`Error::OtherName`]: somebody gave other bytes.
    pub fn give(&mut self, id: Id, kind: Kind, bytes: &[u8]) -> Result<(), Error> {
        if kind.name(bytes) != Some(id) {
            let kind = kind.word();
            return Err(Error::OtherName { id, kind });
        }
        let object = match kind {
            Kind::Commit => match Commit::read(bytes) {
                Ok(commit) => Object::Commit(Box::new(commit)),
                Err(why) => Object::Unusable(why),
            },
            Kind::Tree if bytes.len() > MAX_TREE_BYTES => Object::Unusable("a folder is too large"),
            Kind::Tree => Object::Tree(bytes.to_vec()),
            Kind::Blob => Object::Blob(bytes.to_vec()),
        };
        self.0.insert(id, object);
        Ok(())
    }

    /// Says that an object cannot be had: it is not there, or is too large.
    pub fn withhold(&mut self, id: Id, why: &'static str) {
        self.0.entry(id).or_insert(Object::Unusable(why));
    }

    /// Names of all that were given.
    pub fn ids(&self) -> impl Iterator<Item = Id> + '_ {
        let given = self.0.iter();
        given
            .filter(|(_, object)| !matches!(object, Object::Unusable(_)))
            .map(|(id, _)| *id)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes of an object that was given.
    #[must_use]
    pub fn bytes(&self, id: Id) -> Option<(Kind, &[u8])> {
        match self.0.get(&id)? {
            Object::Commit(commit) => Some((Kind::Commit, commit.bytes())),
            Object::Tree(bytes) => Some((Kind::Tree, bytes)),
            Object::Blob(bytes) => Some((Kind::Blob, bytes)),
            Object::Unusable(_) => None,
        }
    }

    pub(crate) fn commit(&self, id: Id) -> Result<&Commit, Gap> {
        match self.0.get(&id) {
            Some(Object::Commit(commit)) => Ok(commit),
            Some(Object::Unusable(why)) => Err(Gap::Unusable(why)),
            Some(_) => Err(Gap::Unusable("a commit is something else")),
            None => Err(Gap::Missing(id, Kind::Commit)),
        }
    }

    fn tree(&self, id: Id) -> Result<&[u8], Gap> {
        match self.0.get(&id) {
            Some(Object::Tree(bytes)) => Ok(bytes),
            Some(Object::Unusable(why)) => Err(Gap::Unusable(why)),
            Some(_) => Err(Gap::Unusable("a folder is something else")),
            None => Err(Gap::Missing(id, Kind::Tree)),
        }
    }

    /// What a tree has at `path`. A file in the place of a folder has nothing below it.
    pub(crate) fn entry(&self, tree: Id, path: &str) -> Result<Option<Entry>, Gap> {
        let mut at = Entry {
            mode: FOLDER,
            id: tree,
        };
        for name in path.split('/') {
            if at.mode != FOLDER {
                return Ok(None);
            }
            match lookup(self.tree(at.id)?, name.as_bytes()).map_err(Gap::Unusable)? {
                Some(entry) => at = entry,
                None => return Ok(None),
            }
        }
        Ok(Some(at))
    }
}

impl Objects {
    /// The folders that are read for what is at `path`, as far as they are known.
    pub(crate) fn folders(&self, tree: Id, path: &str) -> Vec<Id> {
        let (mut folders, mut at) = (vec![tree], tree);
        for name in path.split('/') {
            match self.tree(at).map(|tree| lookup(tree, name.as_bytes())) {
                Ok(Ok(Some(entry))) if entry.mode == FOLDER => at = entry.id,
                _ => break,
            }
            folders.push(at);
        }
        folders
    }
}

/// The one entry of that name. The tree is read to its end: of two entries of one name, others might see
/// the other one.
fn lookup(mut tree: &[u8], name: &[u8]) -> Result<Option<Entry>, &'static str> {
    const BROKEN: &str = "a folder cannot be read";
    let mut found = None;
    while !tree.is_empty() {
        let space = tree.iter().position(|byte| *byte == b' ').ok_or(BROKEN)?;
        let end = tree.iter().position(|byte| *byte == 0).ok_or(BROKEN)?;
        let id = tree.get(end + 1..end + 21).ok_or(BROKEN)?;
        let own = tree.get(space + 1..end).ok_or(BROKEN)?;
        if own == name {
            let mode = std::str::from_utf8(&tree[..space]).map_err(|_| BROKEN)?;
            let mode = u32::from_str_radix(mode, 8).map_err(|_| BROKEN)?;
            let id = Id(id.try_into().map_err(|_| BROKEN)?);
            if found.replace(Entry { mode, id }).is_some() {
                return Err("a folder has two entries of one name");
            }
        }
        tree = &tree[end + 21..];
    }
    Ok(found)
}
