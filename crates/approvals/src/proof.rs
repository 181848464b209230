//! Approvals for one who has nothing but people's keys: the signer, which believes no control plane.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use pipeline_spec::{
    Approvals, ReleaseRequest, RepositoryName, RequestPath, parse_build, parse_release,
};
use runner_api::{Proof, ProofObject};

use crate::object::{Entry, Id, Kind, Objects};
use crate::people::People;
use crate::rules::lacking;
use crate::walk::{Found, Subject, Walk};

/// Most bytes of all objects of a proof together.
pub const MAX_PROOF_BYTES: usize = 4 << 20;
/// Most objects of a proof.
const MAX_PROOF_OBJECTS: usize = 20_000;
/// Builds of one release.
const MAX_BUILDS: usize = 1_000;

/// What people approved, as a signer has seen for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The builds that are released; of a removal none.
    pub builds: BTreeSet<RequestPath>,
    /// It is a removal: nothing of the request is released any more.
    pub removes: bool,
}

/// Makes the proof of what a walk has found. `files` are the bytes of the subject's files. `None`: it would be too large;
/// approvals on top of the newest commit make a small one.
#[must_use]
pub fn prove(walk: &Walk, objects: &Objects, found: &Found, files: &[Vec<u8>]) -> Option<Proof> {
    let mut wanted = BTreeSet::new();
    let mut people = BTreeSet::new();
    // The first of each person is the one nearest to the tip.
    for approval in found
        .approvals
        .iter()
        .filter(|it| people.insert(&it.person))
    {
        for commit in walk.way_to(approval.commit) {
            wanted.extend(walk.objects_of(commit, objects));
        }
        if let Ok(commit) = objects.commit(approval.commit) {
            for parent in &commit.parents {
                wanted.extend(walk.objects_of(*parent, objects));
            }
        }
    }
    let (mut list, mut size) = (Vec::new(), 0);
    let known = wanted.iter().filter_map(|id| objects.bytes(*id));
    let files = files.iter().map(|bytes| (Kind::Blob, &bytes[..]));
    for (kind, bytes) in known.chain(files) {
        size += bytes.len();
        list.push(ProofObject {
            kind: kind.word().to_owned(),
            bytes: BASE64.encode(bytes),
        });
    }
    let fits = size <= MAX_PROOF_BYTES && list.len() <= MAX_PROOF_OBJECTS;
    fits.then(|| Proof {
        commit: walk.tip().to_string(),
        objects: list,
    })
}

/// Sees for itself whether people approved of a request for a repository, at `now` in seconds since 1970; else says
/// why not.
///
/// What it cannot see: whether an approval was ended later. That is in commits that nobody showed.
///
/// # Errors
/// A sentence without its end.
pub fn check(
    proof: &Proof,
    (request, repository): (&RequestPath, &RepositoryName),
    (rules, people): (&[Approvals], &People),
    now: u64,
) -> Result<Proven, String> {
    let mut objects = read(proof)?;
    let tip: Id = proof
        .commit
        .parse()
        .map_err(|_| "its proof names no commit")?;
    let release = file(&objects, tip, request)?;
    let builds = match &release {
        None => BTreeSet::new(),
        Some(bytes) => {
            let broken = |_| format!("{request} cannot be read as it was approved");
            let wish = parse_release(request, bytes).map_err(broken)?;
            if !names(&wish, repository) {
                return Err(format!(
                    "{request} as it was approved does not release to {repository}"
                ));
            }
            stands_on(&objects, tip, wish.from)?
        }
    };
    let subject = Subject::Release {
        path: request.clone(),
        builds: builds.clone(),
    };
    let mut walk = Walk::new(subject, tip);
    loop {
        let needs = walk.needs(&objects);
        if needs.is_empty() {
            break;
        }
        for (id, _) in needs {
            objects.withhold(id, "it is not in the proof");
        }
    }
    let found = walk.found(&objects, people, now);
    let repositories = BTreeSet::from([repository.clone()]);
    let lacks = lacking(rules, &repositories, &found.people());
    match lacks.first() {
        None => Ok(Proven {
            builds,
            removes: release.is_none(),
        }),
        Some(lack) => Err(format!("{request} {}", lack.words(found.people().len()))),
    }
}

fn read(proof: &Proof) -> Result<Objects, String> {
    if proof.objects.len() > MAX_PROOF_OBJECTS {
        return Err("its proof has too many objects".to_owned());
    }
    let (mut objects, mut size) = (Objects::default(), 0);
    for object in &proof.objects {
        let kinds = [Kind::Commit, Kind::Tree, Kind::Blob];
        let kind = kinds.into_iter().find(|kind| kind.word() == object.kind);
        let bytes = BASE64.decode(&object.bytes).ok();
        let named = kind.zip(bytes).and_then(|(kind, bytes)| {
            let id = kind.name(&bytes)?;
            Some((id, kind, bytes))
        });
        let Some((id, kind, bytes)) = named else {
            return Err("its proof has something that is no object of git".to_owned());
        };
        size += bytes.len();
        if size > MAX_PROOF_BYTES {
            return Err(format!("its proof has more than {MAX_PROOF_BYTES} bytes"));
        }
        objects
            .give(id, kind, &bytes)
            .map_err(|error| error.to_string())?;
    }
    Ok(objects)
}

/// A file of a commit; `None`: it is not there.
fn file(objects: &Objects, tip: Id, path: &RequestPath) -> Result<Option<Vec<u8>>, String> {
    let lacking = || format!("its proof does not have {path}");
    let tree = objects.commit(tip).map_err(|_| lacking())?.tree;
    let entry = objects.entry(tree, path.as_str()).map_err(|_| lacking())?;
    let Some(Entry { id, .. }) = entry else {
        return Ok(None);
    };
    match objects.bytes(id) {
        Some((Kind::Blob, bytes)) => Ok(Some(bytes.to_vec())),
        _ => Err(lacking()),
    }
}

fn names(wish: &ReleaseRequest, repository: &RepositoryName) -> bool {
    let places = wish.place.iter().map(|placement| &placement.into);
    wish.to.iter().chain(places).any(|name| name == repository)
}

/// Builds with those that they are linked with.
fn stands_on(
    objects: &Objects,
    tip: Id,
    from: Vec<RequestPath>,
) -> Result<BTreeSet<RequestPath>, String> {
    let (mut builds, mut left) = (BTreeSet::new(), from);
    while let Some(path) = left.pop() {
        if !builds.insert(path.clone()) {
            continue;
        }
        if builds.len() > MAX_BUILDS {
            return Err("it stands on too many builds".to_owned());
        }
        let bytes = file(objects, tip, &path)?;
        let build = bytes.and_then(|bytes| parse_build(&path, &bytes).ok());
        left.extend(build.into_iter().flat_map(|build| build.with));
    }
    Ok(builds)
}
