//! Why a request that somebody asks for was never planned: the configuration is broken, or the file has
//! not come to the branch. The checkout that one stands in often knows how far it came.

use std::path::Path;

use control::Status;
use pipeline_spec::RequestPath;
use server::Head;

use crate::checkout::{Checkout, Whereabouts};
use crate::client::Client;
use crate::failure::{Failure, Kind};
use crate::names::did_you_mean;
use crate::render::short;

/// The failure to end with.
pub(crate) async fn missing(
    client: &Client,
    path: &RequestPath,
    status: &Status,
) -> anyhow::Result<Failure> {
    if !status.problems.is_empty() {
        return Ok(Failure::new(Kind::NotNow, broken(path, status)));
    }
    let head: Head = client.get("/api/v1/head").await?;
    // Without git, or outside of a checkout, nobody knows.
    let found = Checkout::find(Path::new("."))
        .ok()
        .flatten()
        .and_then(|checkout| Some((checkout.whereabouts(path, &head.branch).ok()??, checkout)));
    let known: Vec<&str> = status.requests.iter().map(|r| r.path.as_str()).collect();
    let planning = head.tip != head.planned || head.planned != status.commit;
    let cause = match &found {
        _ if planning => format!(
            "commit {} is being planned; ask again in a moment",
            short(&head.tip)
        ),
        Some((place, checkout)) => local(place, path, &head.branch, checkout.top()),
        None => format!(
            "commit it and push it{}",
            did_you_mean(path.as_str(), &known)
        ),
    };
    let planned = match status.commit.as_str() {
        "" => "nothing is planned yet".to_owned(),
        commit => format!("planned commit {}", short(commit)),
    };
    Ok(Failure::not_there(format!(
        "{path} is not on branch `{}` ({planned}): {cause}",
        head.branch
    )))
}

fn broken(path: &RequestPath, status: &Status) -> String {
    let mut sentence =
        format!("{path} is not planned, because the configuration is broken; mend it and push:");
    for problem in &status.problems {
        sentence.push_str(&format!("\n  {}: {}", problem.subject, problem.message));
    }
    sentence
}

fn local(place: &Whereabouts, path: &RequestPath, branch: &str, top: &Path) -> String {
    let top = top.display();
    match place {
        Whereabouts::WorkTree => format!(
            "the checkout {top} has it, and it is not committed; `git add {path}`, commit and push it"
        ),
        Whereabouts::Branch(other) if other == branch => {
            format!("the checkout {top} has it committed, and it is not pushed; `git push`")
        }
        Whereabouts::Pushed => format!(
            "the checkout {top} has it pushed; is it a checkout of this control plane's state repository?"
        ),
        Whereabouts::Branch(other) => format!(
            "the checkout {top} has it on branch `{other}`; merge that into `{branch}` and push it"
        ),
        Whereabouts::Detached => format!(
            "the checkout {top} has it on no branch; put the commit on `{branch}` and push it"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_it_came() {
        let path: RequestPath = "builds/2026/11/x.yaml".parse().expect("a path");
        let check = |place: Whereabouts, expect: &str| {
            assert_eq!(local(&place, &path, "main", Path::new("/c")), expect);
        };
        check(
            Whereabouts::WorkTree,
            "the checkout /c has it, and it is not committed; `git add builds/2026/11/x.yaml`, commit and push it",
        );
        check(
            Whereabouts::Branch("main".to_owned()),
            "the checkout /c has it committed, and it is not pushed; `git push`",
        );
        check(
            Whereabouts::Branch("topic".to_owned()),
            "the checkout /c has it on branch `topic`; merge that into `main` and push it",
        );
    }
}
