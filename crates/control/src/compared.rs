//! The plan that people reviewed, against the one that runs.
//!
//! It stops nothing: it says what differs, and why. What is only progress, as tasks that were done meanwhile, is in no
//! [`RequestPlan`], so that it is no difference.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{PullRow, RequestPlan, RequestSpec, ReviewedPlan};
use pipeline_spec::{BuildRequest, Config, PackageName, PlatformName, RequestPath};
use planner::{RepositoryPreview, Resolution, is_built, plan_build};
use ports::{Platform, StateRepo};
use runner_api::TaskRef;
use sha2::{Digest, Sha256};

use crate::dry_run::{DryRun, sources};
use crate::files::Files;
use crate::load::Loaded;
use crate::markdown::code;
use crate::{Control, Result};

/// Bytes of what is kept of one pull request's plan, roughly. A row has room for a few times as much.
const MAX_BYTES: usize = 30_000;
/// Packages that are named of one repository.
const MAX_NAMED: usize = 3;
/// Digits of a digest that people compare.
pub(crate) const DIGITS: usize = 16;

/// What a build request is planned as.
pub(crate) fn plan_of_build(
    build: &BuildRequest,
    config: &Config,
    refs: &BTreeMap<(String, String), Resolution>,
    sources: &[(PlatformName, PackageName, TaskRef)],
) -> RequestPlan {
    let known = refs
        .iter()
        .filter_map(|((url, git_ref), found)| match found {
            Resolution::Commit(commit) => Some((format!("{git_ref} of {url}"), commit.clone())),
            Resolution::Missing(_) | Resolution::Later(_) => None,
        });
    let architectures = build.platforms.iter().filter_map(|(name, wanted)| {
        let all = config.platforms.get(name)?.architectures.iter();
        let archs = all.filter(|arch| wanted.as_ref().is_none_or(|wanted| wanted.contains(arch)));
        Some((name.to_string(), archs.map(ToString::to_string).collect()))
    });
    let sources = sources.iter().map(|(platform, package, task)| {
        let id = task.id.as_str()[..DIGITS].to_owned();
        (format!("{package} on {platform}"), id)
    });
    RequestPlan {
        wish: wish(&RequestSpec::Build(Box::new(build.clone()))),
        refs: known.collect(),
        architectures: architectures.collect(),
        sources: sources.collect(),
        packages: None,
    }
}

/// What a release changes for clients, or its revert. `whole`: all of its builds are made.
pub(crate) fn plan_of_release<'a>(
    spec: Option<&RequestSpec>,
    repositories: impl Iterator<Item = (String, &'a RepositoryPreview)>,
    whole: bool,
) -> RequestPlan {
    let lines = |preview: &RepositoryPreview| {
        let packages = preview.packages.iter().map(|it| {
            let version =
                |version: &Option<String>| version.clone().unwrap_or("nothing".to_owned());
            let (from, to) = (version(&it.from), version(&it.to));
            format!("{} {}: {from} → {to}", it.name, it.arch)
        });
        packages.collect::<Vec<String>>()
    };
    let packages = repositories.map(|(name, preview)| (name, lines(preview)));
    RequestPlan {
        wish: spec.map(wish).unwrap_or_default(),
        packages: whole.then(|| packages.collect()),
        ..RequestPlan::default()
    }
}

/// Of all that decides what is done.
fn wish(spec: &RequestSpec) -> String {
    // Requests are plain data, so this cannot fail.
    let document = serde_json::to_vec(&spec.plain()).unwrap_or_default();
    short_digest([&document[..]])
}

/// Names what would be done, whatever commit it lies over and whatever of it is done: two plans with the same digest do
/// the same.
pub(crate) fn plan_digest(run: &DryRun) -> String {
    let documents = run.requests.iter().map(|request| {
        let document = (
            &request.path,
            &request.change,
            &request.plan,
            &request.problems,
        );
        serde_json::to_vec(&document).unwrap_or_default()
    });
    let documents: Vec<Vec<u8>> = documents.collect();
    short_digest(documents.iter().map(Vec::as_slice))
}

/// Lengths are in it, so that no byte changes its place unseen.
fn short_digest<'a>(documents: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for document in documents {
        hash.update((document.len() as u64).to_le_bytes());
        hash.update(document);
    }
    let digest = pipeline_spec::Sha256Digest::new(hash.finalize().into());
    digest.to_string()[..DIGITS].to_owned()
}

/// What is kept of the plan that people are shown of a pull request's commit.
pub(crate) fn reviewed(run: &DryRun, head: &str) -> ReviewedPlan {
    let mut reviewed = ReviewedPlan {
        digest: run.digest.clone(),
        head: head.to_owned(),
        ..ReviewedPlan::default()
    };
    let mut bytes = 0;
    for request in &run.requests {
        bytes += serde_json::to_string(&request.plan).map_or(0, |text| text.len());
        if bytes > MAX_BYTES {
            reviewed.left_out += 1;
        } else {
            let (path, plan) = (request.path.clone(), request.plan.clone());
            reviewed.requests.insert(path, plan);
        }
    }
    reviewed
}

/// How what runs stands to what was reviewed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Compared {
    /// Of the plan that was reviewed.
    pub(crate) digest: String,
    /// Requests that were not compared, since there were too many.
    pub(crate) left_out: usize,
    /// The commit that was reviewed, where another one was merged.
    pub(crate) other_head: Option<String>,
    /// What differs, in Markdown: the request, and why.
    pub(crate) differences: Vec<(RequestPath, String)>,
}

impl<P: Platform> Control<P> {
    /// Compares what a merged pull request brought with what was reviewed of it. `None`: nobody has.
    pub(crate) async fn compared(&self, pull: &PullRow) -> Result<Option<Compared>> {
        let Some(reviewed) = &pull.plan else {
            return Ok(None);
        };
        let mut compared = Compared {
            digest: reviewed.digest.clone(),
            left_out: reviewed.left_out,
            other_head: Some(reviewed.head.clone()).filter(|head| *head != pull.head),
            differences: Vec::new(),
        };
        for path in &pull.requests {
            let Some(plan) = reviewed.requests.get(path) else {
                if reviewed.left_out == 0 {
                    let why = "it was not in that plan".to_owned();
                    compared.differences.push((path.clone(), why));
                }
                continue;
            };
            let Some(loaded) = self.load(path).await? else {
                continue;
            };
            let (by, merged) = (&loaded.row.commit, pull.merged.as_ref());
            let repo = self.platform.state_repo();
            if let Some(merged) = merged.filter(|merged| *merged != by)
                && !repo.is_ancestor(by, merged).await?
            {
                // A later commit wishes it otherwise, and its row says so.
                continue;
            }
            if let Some(runs) = self.running(&loaded, plan).await? {
                let differences = differences(plan, &runs).into_iter();
                let of_path = differences.map(|why| (path.clone(), why));
                compared.differences.extend(of_path);
            }
        }
        Ok(Some(compared))
    }

    /// What a request is planned as by now. `None`: it is not, and its problems say why.
    async fn running(
        &self,
        loaded: &Loaded,
        reviewed: &RequestPlan,
    ) -> Result<Option<RequestPlan>> {
        use ledger::Phase as P;
        let row = &loaded.row;
        let spec = match row.phase {
            P::Invalid => return Ok(None),
            P::Removed | P::Reverting | P::Reverted => return Ok(Some(RequestPlan::default())),
            _ => &row.spec,
        };
        let config = &self.snapshot(&row.commit).await?.config;
        Ok(match spec {
            None => None,
            Some(RequestSpec::Build(build)) => {
                let refs = loaded.refs.iter();
                let refs =
                    refs.map(|(key, row)| (key.clone(), Resolution::Commit(row.commit.clone())));
                let refs = refs.collect();
                let plan = plan_build(loaded.view(), build, config, &refs, &[]);
                Some(plan_of_build(build, config, &refs, &sources(&plan)))
            }
            // Nothing to hold it against.
            Some(spec @ RequestSpec::Release(_)) if reviewed.packages.is_none() => {
                Some(plan_of_release(Some(spec), std::iter::empty(), false))
            }
            Some(spec @ RequestSpec::Release(wish)) => {
                let files = Files::Commit(&row.commit);
                let preview = self.preview(config, files, (Some(wish), loaded), Own::Aside);
                let (preview, from) = preview.await?;
                let whole = from.iter().all(|it| is_built(&it.view()));
                let repositories = preview.repositories.iter();
                let repositories = repositories.map(|(name, it)| (name.to_string(), it));
                Some(plan_of_release(Some(spec), repositories, whole))
            }
        })
    }
}

/// Whether what a release has in repositories is taken as not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Own {
    There,
    Aside,
}

/// Sentences in Markdown, as parts of one.
fn differences(reviewed: &RequestPlan, runs: &RequestPlan) -> Vec<String> {
    if reviewed.wish != runs.wish {
        return vec!["the request was changed after that plan was made".to_owned()];
    }
    let mut found = Vec::new();
    for (name, commit) in &runs.refs {
        let (shown, is) = (code(name), short(commit));
        match reviewed.refs.get(name) {
            Some(was) if was == commit => {}
            Some(was) => {
                let was = short(was);
                found.push(format!(
                    "{shown} was moved before the merge: {was} was planned, {is} is built"
                ));
            }
            None => found.push(format!(
                "{shown} was not looked up before the merge: {is} is built"
            )),
        }
    }
    for (platform, is) in &runs.architectures {
        let was = reviewed.architectures.get(platform);
        if let Some(was) = was.filter(|was| *was != is) {
            let (is, was) = (is.join(", "), was.join(", "));
            found.push(format!(
                "the configuration was changed in between: on {} it is built for {is}, and {was} was planned",
                code(platform)
            ));
        }
    }
    if found.is_empty() {
        found.extend(other_sources(reviewed, runs));
    }
    if let (Some(was), Some(is)) = (&reviewed.packages, &runs.packages) {
        found.extend(other_packages(was, is));
    }
    found
}

fn other_sources(reviewed: &RequestPlan, runs: &RequestPlan) -> Option<String> {
    let is_other = |(name, id): &(&String, &String)| {
        let was = reviewed.sources.get(*name);
        was.is_some_and(|was| was != *id)
    };
    let mut others = runs.sources.iter().filter(is_other);
    let (first, _) = others.next()?;
    let rest = match others.count() {
        0 => String::new(),
        n => format!(" and {n} more are"),
    };
    let verb = if rest.is_empty() { " is" } else { "" };
    Some(format!(
        "the configuration was changed in between: the source of {}{rest}{verb} made otherwise",
        code(first)
    ))
}

fn other_packages(
    was: &BTreeMap<String, Vec<String>>,
    is: &BTreeMap<String, Vec<String>>,
) -> Vec<String> {
    let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    let mut found = Vec::new();
    for name in names {
        let lines = |of: &BTreeMap<String, Vec<String>>| -> BTreeSet<String> {
            of.get(name).into_iter().flatten().cloned().collect()
        };
        let (was, is) = (lines(was), lines(is));
        let gone: Vec<&String> = was.difference(&is).collect();
        let new: Vec<&String> = is.difference(&was).collect();
        if gone.is_empty() && new.is_empty() {
            continue;
        }
        found.push(format!(
            "another release came between: in {} it is {} now, and {} was planned",
            code(name),
            some(&new),
            some(&gone)
        ));
    }
    found
}

fn some(lines: &[&String]) -> String {
    let shown: Vec<String> = lines.iter().take(MAX_NAMED).map(|it| code(it)).collect();
    match (shown.is_empty(), lines.len().saturating_sub(MAX_NAMED)) {
        (true, _) => "nothing".to_owned(),
        (false, 0) => shown.join(", "),
        (false, more) => format!("{} and {more} more", shown.join(", ")),
    }
}

fn short(commit: &str) -> String {
    code(commit.get(..12).unwrap_or(commit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(refs: &[(&str, &str)], archs: &[&str], sources: &[(&str, &str)]) -> RequestPlan {
        let map = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            pairs
                .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
                .collect()
        };
        let archs = archs.iter().map(|arch| (*arch).to_owned()).collect();
        RequestPlan {
            wish: "w".to_owned(),
            refs: map(refs),
            architectures: BTreeMap::from([("el-10".to_owned(), archs)]),
            sources: map(sources),
            packages: None,
        }
    }

    fn release(lines: &[&str]) -> RequestPlan {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        RequestPlan {
            wish: "w".to_owned(),
            packages: Some(BTreeMap::from([("base".to_owned(), lines)])),
            ..RequestPlan::default()
        }
    }

    fn check(reviewed: &RequestPlan, runs: &RequestPlan, expect: &[&str]) {
        assert_eq!(differences(reviewed, runs), expect);
    }

    #[test]
    fn progress_is_no_difference() {
        let plan = build(&[("main of u", "1")], &["x86_64"], &[("app on el-10", "s")]);
        check(&plan, &plan, &[]);
        // Not looked up yet.
        check(&plan, &build(&[], &["x86_64"], &[]), &[]);
        // Its builds are made by now.
        let unknown = RequestPlan {
            packages: None,
            ..release(&[])
        };
        check(&unknown, &release(&["app x86_64: nothing → 1"]), &[]);
    }

    #[test]
    fn each_difference_has_its_reason() {
        let plan = build(&[("main of u", "1")], &["x86_64"], &[("app on el-10", "s")]);
        let other = RequestPlan {
            wish: "x".to_owned(),
            ..plan.clone()
        };
        check(
            &plan,
            &other,
            &["the request was changed after that plan was made"],
        );
        check(
            &plan,
            &build(&[("main of u", "2")], &["x86_64"], &[("app on el-10", "t")]),
            &["`main of u` was moved before the merge: `1` was planned, `2` is built"],
        );
        check(
            &build(&[], &["x86_64"], &[]),
            &plan,
            &["`main of u` was not looked up before the merge: `1` is built"],
        );
        check(
            &plan,
            &build(
                &[("main of u", "1")],
                &["x86_64", "ppc64le"],
                &[("app on el-10", "t")],
            ),
            &[
                "the configuration was changed in between: on `el-10` it is built for x86_64, ppc64le, and x86_64 was planned",
            ],
        );
        check(
            &plan,
            &build(&[("main of u", "1")], &["x86_64"], &[("app on el-10", "t")]),
            &[
                "the configuration was changed in between: the source of `app on el-10` is made otherwise",
            ],
        );
        check(
            &release(&["app x86_64: 1 → 2", "lib x86_64: nothing → 1"]),
            &release(&["app x86_64: 3 → 2", "lib x86_64: nothing → 1"]),
            &[
                "another release came between: in `base` it is `app x86_64: 3 → 2` now, and `app x86_64: 1 → 2` was planned",
            ],
        );
    }
}
