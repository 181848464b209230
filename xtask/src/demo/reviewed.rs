//! Pull requests as a packager opens them at a forge, and what is seen on their pages.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use fake_forge::forge::{Change, Forge, NewPull, Page};

use super::{Demo, PATIENCE};
use crate::aws::Installation;
use crate::sh::{bin, cmd, output};

const PLAN: &str = "millrace / plan";
const SCRATCH: &str = "millrace / scratch build";
const RESULTS: &str = "millrace / build and release";
const LOOK: Duration = Duration::from_millis(500);
/// Says in which order webhooks come that were held back.
pub(super) const ORDER: u64 = 5;

/// A packager, who sees the forge's pages and knows where the control plane is.
pub(super) struct Packager<'a> {
    pub(super) demo: &'a Demo,
    pub(super) forge: &'a Forge,
    pub(super) installed: &'a Installation,
}

impl Packager<'_> {
    /// Opens a pull request with a mistake, sees it on its line, and mends it. Answers its number and the plan.
    pub(super) fn mends(
        &self,
        title: &str,
        path: &str,
        text: &str,
        mistake: [&str; 2],
    ) -> Result<(u64, Page)> {
        let [right, wrong] = mistake;
        let change = Change::new(title).write(path, &text.replace(right, wrong));
        let pull = self.opens(title, &change);
        let page = self.sees(pull, PLAN, "with a mistake", |page| page.is_bad)?;
        ensure!(
            page.text.contains(path) && page.text.contains(wrong),
            "the mistake {wrong} in {path} is not named:\n{}",
            page.text
        );
        println!("{}", page.text);
        let change = Change::new("Mend it").write(path, text);
        self.forge.push_to_pull(pull, &change);
        let page = self.sees_plan(pull)?;
        Ok((pull, page))
    }

    /// Opens a pull request and sees the plan. Answers its number and what was seen.
    pub(super) fn proposes(&self, title: &str, change: &Change) -> Result<(u64, Page)> {
        let pull = self.opens(title, change);
        let page = self.sees_plan(pull)?;
        Ok((pull, page))
    }

    fn opens(&self, title: &str, change: &Change) -> u64 {
        let branch = title.to_lowercase().replace(' ', "-");
        self.forge
            .open_pull(&NewPull::new(title, &branch, "ada", change))
    }

    fn sees_plan(&self, pull: u64) -> Result<Page> {
        let page = self.sees(pull, PLAN, "as a plan", |page| page.is_good)?;
        println!("{}", page.text);
        Ok(page)
    }

    /// Merges it; `request` comes to be in `phase`, and the page says that all is done.
    pub(super) fn merges(&self, pull: u64, request: &str, phase: &str) -> Result<Page> {
        self.forge.merge(pull);
        self.waits(&format!("{request} is not {phase}"), || {
            Ok(self.phase(request)?.as_deref() == Some(phase))
        })?;
        let page = self.sees(pull, RESULTS, "done", |page| page.is_good)?;
        println!("{}", page.text);
        Ok(page)
    }

    /// Has the packages of `pull` built before the merge, fetches one as a person would, and answers its name and version
    /// as dpkg reads them.
    pub(super) fn tries_out(&self, pull: u64) -> Result<(Page, String)> {
        self.forge.comment(pull, Forge::OWNER, "/millrace scratch");
        // At a Gitea the text comes after the state.
        let page = self.sees(pull, SCRATCH, "done, with a package", |page| {
            page.is_good && package_on(page).is_some()
        })?;
        println!("{}", page.text);
        let link = package_on(&page).context("it was just there")?;
        let file = self.demo.path("tried.deb");
        let fetch = [
            "--silent",
            "--show-error",
            "--fail",
            "--location",
            "--output",
        ];
        output(cmd("curl", &fetch).arg(&file).arg(link))?;
        let field = |name: &str| output(cmd("dpkg-deb", &["--field"]).arg(&file).arg(name));
        let named = format!("{} {}", field("Package")?, field("Version")?);
        println!("#{pull}: {link} has {named}");
        Ok((page, named))
    }

    /// Somebody who may asks for another try of what failed, which is nothing, and is answered.
    pub(super) fn asks_for_a_retry(&self, pull: u64) -> Result<()> {
        let asked = self.forge.comment(pull, Forge::OWNER, "/millrace retry");
        let mut answer = None;
        self.waits("a command in a comment is not answered", || {
            let mut comments = self.forge.comments(pull).into_iter();
            answer = comments.rfind(|it| it.id > asked);
            Ok(answer.is_some())
        })?;
        let answer = answer.context("it was just there")?;
        println!("#{pull} is answered: {}", answer.body);
        Ok(())
    }

    /// Comments of people who asked for something there, and comments of others since the first of them.
    pub(super) fn asked_and_answered(&self, pull: u64) -> (usize, usize) {
        let comments = self.forge.comments(pull).into_iter();
        let since = comments.skip_while(|it| it.author != Forge::OWNER);
        let (asked, answered): (Vec<_>, Vec<_>) = since.partition(|it| it.author == Forge::OWNER);
        (asked.len(), answered.len())
    }

    /// Waits until the control plane knows what is on `main`. Before that, pull requests are held against nothing.
    pub(super) fn waits_for_main(&self) -> Result<()> {
        let tip = self.forge.tip("main");
        self.waits(&format!("{tip} on main is not planned"), || {
            Ok(self.status(&[])?.is_some_and(|it| it["commit"] == tip))
        })
    }

    fn phase(&self, request: &str) -> Result<Option<String>> {
        let Some(file) = self.status(&[request])? else {
            return Ok(None);
        };
        let phase = file["phase"].as_str().map(str::to_owned);
        if let Some("failed" | "invalid") = phase.as_deref() {
            bail!("{request} has failed: {file}");
        }
        Ok(phase)
    }

    /// As the control plane says; nothing before it knows of what it is asked.
    fn status(&self, of: &[&str]) -> Result<Option<serde_json::Value>> {
        let words = ["status", "--json", "--url", &self.installed.url];
        let Ok(text) = output(cmd(bin("millrace"), &words).args(of)) else {
            return Ok(None);
        };
        serde_json::from_str(&text).context("read the status")
    }

    /// Waits until people see the check so.
    fn sees(
        &self,
        pull: u64,
        check: &str,
        how: &str,
        is_so: impl Fn(&Page) -> bool,
    ) -> Result<Page> {
        let mut seen = None;
        self.waits(&format!("{check} of #{pull} is not seen {how}"), || {
            seen = self.forge.page(pull, check).filter(|page| is_so(page));
            Ok(seen.is_some())
        })?;
        let page = seen.context("it was just there")?;
        println!(
            "#{pull} {check}, {how}, after {} s: {}",
            self.demo.began.elapsed().as_secs(),
            page.title
        );
        Ok(page)
    }

    fn waits(&self, else_say: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
        let began = Instant::now();
        while !is_so()? {
            self.forge.release(ORDER);
            ensure!(
                began.elapsed() < Duration::from_secs(PATIENCE.into()),
                "{else_say}. {}",
                self.installed.trouble().unwrap_or_default()
            );
            std::thread::sleep(LOOK);
        }
        Ok(())
    }
}

/// Where the page of a scratch build has a package of it.
fn package_on(page: &Page) -> Option<&str> {
    let links = page.text.split('(').skip(1);
    let mut links = links.filter_map(|it| it.split_once(')').map(|(link, _)| link));
    links.find(|link| link.contains("/scratch/") && link.ends_with(".deb"))
}
