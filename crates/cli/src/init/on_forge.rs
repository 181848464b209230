//! What to do at the forge that the state repository will be on: steps, and the page that makes a GitHub App.

use std::net::IpAddr;
use std::path::Path;

use anyhow::Context;
use forge::app;
use forge::webhook::FullName;
use rand::RngCore as _;
use serde::Serialize;

use super::shell::quoted;
use crate::args::{ForgeKind, InitArgs, LISTEN};
use crate::failure::{Failure, Kind};
use crate::local::{Layout, private_file};

const PAGE: &str = include_str!("github-app.html");
/// Below the directory of `millrace init`.
const PAGE_FILE: &str = "github-app.html";
/// Below the folder of secrets.
const WEBHOOK_SECRET: &str = "webhook.secret";

/// Characters of a line of a step.
const LINE_CHARS: usize = 96;

/// The events that Gitea's form calls by these names.
const GITEA_EVENTS: &str =
    "Push, Create, Delete, Pull Request, Pull Request Synchronized, Pull Request Comment";

/// What the template's CODEOWNERS leaves to administrators, as Gitea's protection of a branch wants it.
const GITEA_PATTERNS: &str = "keys/**;runners/**;policy.yaml;millrace.yaml;.gitea/**;.millrace/**";

/// Leaves the files of the other forge out. Of both, each forge reads its own alone.
pub(super) fn keep(files: &mut Vec<(String, Vec<u8>)>, forge: Option<ForgeKind>) {
    let other = match forge {
        Some(ForgeKind::Github) => ".gitea/",
        Some(ForgeKind::Gitea) => ".github/",
        None => return,
    };
    files.retain(|(path, _)| !path.starts_with(other));
}

/// Where the state repository will be.
pub(super) struct Site {
    kind: ForgeKind,
    /// Where the forge itself begins: `https://github.com`.
    base: String,
    repository: FullName,
    /// Where the control plane will be.
    public: String,
}

/// One thing to do.
#[derive(Serialize)]
struct Step {
    what: String,
    /// A page of the forge.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    /// Lines for a shell.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    run: Vec<String>,
    /// Other lines: in the place of those, or for another shell.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    also: Vec<Block>,
}

/// Lines for a shell, and what they are for.
#[derive(Serialize)]
struct Block {
    what: String,
    run: Vec<String>,
}

impl Step {
    fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            at: None,
            run: Vec::new(),
            also: Vec::new(),
        }
    }

    fn at(mut self, page: String) -> Self {
        self.at = Some(page);
        self
    }

    fn run(mut self, line: String) -> Self {
        self.run.push(line);
        self
    }

    /// For people, below its number.
    fn text(&self, number: usize) -> String {
        let mut text = format!("\n{number}. {}\n", wrapped(&self.what));
        if let Some(page) = &self.at {
            text.push_str(&format!("   {page}\n"));
        }
        text.push_str(&indented(&self.run));
        for block in &self.also {
            text.push_str(&format!("\n   {}\n", wrapped(&block.what)));
            text.push_str(&indented(&block.run));
        }
        text
    }
}

impl Site {
    /// `None`: nobody said.
    pub(super) fn of(args: &InitArgs) -> anyhow::Result<Option<Self>> {
        let (Some(kind), Some(state), Some(public)) = (args.forge, &args.state, &args.public_url)
        else {
            return Ok(None);
        };
        fits(kind, state)?;
        let path = state.strip_suffix(".git").unwrap_or(state);
        let mut parts = path.rsplitn(3, '/');
        let (name, owner, base) = (parts.next(), parts.next(), parts.next());
        let found = owner
            .zip(name)
            .and_then(|(owner, name)| FullName::new(owner, name));
        let found = found.zip(base.filter(|base| !base.ends_with(['/', ':'])));
        let (repository, base) = found.ok_or_else(|| {
            let example = match kind {
                ForgeKind::Github => "https://github.com/acme/state.git",
                ForgeKind::Gitea => "https://gitea.example.org/acme/state.git",
            };
            let sentence =
                format!("--state {state} does not end in OWNER/NAME: write it as {example}");
            Failure::new(Kind::Usage, sentence)
        })?;
        Ok(Some(Self {
            kind,
            base: base.to_owned(),
            repository,
            public: public.clone(),
        }))
    }

    /// Writes what the steps need.
    pub(super) fn prepare(&self, layout: &Layout, distribution: &str) -> anyhow::Result<()> {
        match self.kind {
            ForgeKind::Github => {
                let page = layout.root().join(PAGE_FILE);
                let text = self.page(layout, distribution);
                std::fs::write(&page, text).with_context(|| format!("write {}", page.display()))
            }
            ForgeKind::Gitea => {
                let mut secret = [0u8; 32];
                rand::rngs::OsRng.fill_bytes(&mut secret);
                let line = format!("{}\n", hex::encode(secret));
                private_file(&layout.secrets().join(WEBHOOK_SECRET), line.as_bytes())
            }
        }
    }

    /// For people.
    pub(super) fn text(&self, layout: &Layout) -> String {
        let mut text =
            "next, so that pull requests get checks (docs/how-to/on-a-forge.md says more):\n"
                .to_owned();
        if let Some(warning) = self.warning() {
            text.push_str(&format!("\nwarning: {}\n", wrapped(&warning)));
        }
        for (number, step) in (1..).zip(self.steps(layout)) {
            text.push_str(&step.text(number));
        }
        text
    }

    /// For programs.
    pub(super) fn json(&self, layout: &Layout) -> serde_json::Value {
        serde_json::json!({
            "repository": self.repository.to_string(), "webhook": app::webhook_url(&self.public),
            "warning": self.warning(), "steps": self.steps(layout),
        })
    }

    /// Of a control plane that the forge does not reach.
    fn warning(&self) -> Option<String> {
        let what = match self.kind {
            ForgeKind::Github => {
                "GitHub cannot reach it, and makes no App with a webhook there. Give --public-url a name of the internet, though \
                 nothing answers at it yet, and"
            }
            ForgeKind::Gitea => "A Gitea elsewhere cannot reach it: add no webhook, and",
        };
        is_near(&self.public).then(|| {
            format!(
                "{} is an address of this machine or of a private network. {what} leave out --webhook-secret-file at the start. \
                 The forge is then asked once a minute; comments with /millrace need webhooks.",
                self.public
            )
        })
    }

    /// The branches are protected last: until then the first commits are pushed, and the check that `main` can demand
    /// is known to the forge once a pull request has it.
    fn steps(&self, layout: &Layout) -> Vec<Step> {
        let mut steps = vec![self.names(layout), self.push(layout)];
        steps.extend(match self.kind {
            ForgeKind::Github => self.github(layout),
            ForgeKind::Gitea => self.gitea(layout),
        });
        steps.extend([self.start(layout), self.protect()]);
        steps
    }

    /// Two blocks to choose from: whoever keeps the workflow has to name a package.
    fn names(&self, layout: &Layout) -> Step {
        let folder = match self.kind {
            ForgeKind::Github => ".github",
            ForgeKind::Gitea => ".gitea",
        };
        let what = format!(
            "Write your people's names into {folder}/CODEOWNERS. Without the workflow `lint`, since Millrace's own check says the \
             same:"
        );
        let keep = "Or with the workflow. It fails until .millrace/package names a package, which `cargo xtask packages \
                    --release` makes:";
        let without = format!("git rm -q {folder}/workflows/lint.yaml");
        Step {
            what,
            at: None,
            run: naming(layout, folder, &without),
            also: vec![Block {
                what: keep.to_owned(),
                run: naming(layout, folder, "editor .millrace/package"),
            }],
        }
    }

    fn push(&self, layout: &Layout) -> Step {
        let (new, plans) = match self.kind {
            ForgeKind::Github => (
                "new",
                "; in a private one GitHub protects branches for paid plans alone",
            ),
            ForgeKind::Gitea => ("repo/create", ""),
        };
        let state = quoted(&layout.state());
        Step::new(format!(
            "Make the repository {}, without any file in it, and push. It may be public or private{plans}. No secret is in it.",
            self.repository
        ))
        .at(format!("{}/{new}", self.base))
        .run(format!("git -C {state} push {}.git main", self.web()))
    }

    fn github(&self, layout: &Layout) -> Vec<Step> {
        let page = layout.root().join(PAGE_FILE);
        let owner = self.repository.owner();
        let mut fetch = Step::new(
            "Within an hour, fetch the App's key and secret, with curl and jq. CODE is at the end of the address that GitHub sent \
                 you to. What is printed is the App's number, and its page:",
        );
        fetch.run = self.conversion(layout);
        vec![
            Step::new(format!(
                "Make the GitHub App: open this page in a browser, and press the first button if {owner} is an organization, the \
                     second if it is your own account."
            ))
            .at(file_url(&page)),
            fetch,
            Step::new(
                "On the App's page, choose *Install App*, and install it on this repository alone.",
            ),
        ]
    }

    fn gitea(&self, layout: &Layout) -> Vec<Step> {
        let secret = layout.secrets().join(WEBHOOK_SECRET);
        vec![
            Step::new(
                "Make a user for Millrace, an administrator of this repository, and log in as that user. Make a token with the \
                 scopes write:repository, write:issue and read:user:",
            )
            .at(format!("{}/user/settings/applications", self.base))
            .run(editor(layout, "forge.token")),
            Step::new(format!(
                "Add a webhook to {}, of the type application/json, with the secret that is in {}, and the events \
                 {GITEA_EVENTS}.",
                app::webhook_url(&self.public),
                secret.display(),
            ))
            .at(format!("{}/settings/hooks/gitea/new", self.web())),
        ]
    }

    /// Nobody approves what is their own: whoever is alone must not ask for approvals.
    fn protect(&self) -> Step {
        let words = match self.kind {
            ForgeKind::Github => {
                "Protect the branch main: a pull request with approvals, reviews by code owners, and the check `millrace / plan`, \
                 which can be chosen once a pull request has it. If you are alone, ask for a pull request and the check, and for \
                 no approvals and no code owners: nobody approves their own. Protect status: only the App may push."
                    .to_owned()
            }
            ForgeKind::Gitea => format!(
                "Protect the branch main: approvals, the status `millrace / plan`, and the file patterns {GITEA_PATTERNS}, which \
                 administrators alone then change. If you are alone, ask for 0 approvals: nobody approves their own. Protect \
                 status: only Millrace's user may push."
            ),
        };
        Step::new(words).at(format!("{}/settings/branches", self.web()))
    }

    fn start(&self, layout: &Layout) -> Step {
        let secret = |name: &str| quoted(&layout.secrets().join(name));
        let (forge, login) = match self.kind {
            // The App's tokens log in at git, too.
            ForgeKind::Github => (
                "github",
                format!(
                    "--forge-app NUMBER --forge-token-file {}",
                    secret("forge.pem")
                ),
            ),
            ForgeKind::Gitea => {
                let token = secret("forge.token");
                (
                    "gitea",
                    format!("--forge-token-file {token} --state-token-file {token}"),
                )
            }
        };
        let api = self.api();
        let api = match api == forge::Address::GITHUB {
            true => String::new(),
            false => format!(" --forge-api {api}"),
        };
        let number = match self.kind {
            ForgeKind::Github => " NUMBER is what step 4 printed.",
            ForgeKind::Gitea => "",
        };
        let mut step = Step::new(format!("Start.{number}"))
            .run(format!(
                "millrace up --data {} --state {}.git \\",
                quoted(layout.root()),
                self.web()
            ))
            .run(format!("  --forge {forge}{api} \\"))
            .run(format!("  {login} \\"))
            .run(format!(
                "  --webhook-secret-file {} --public-url {}",
                secret(WEBHOOK_SECRET),
                self.public
            ));
        step.also.extend(self.passed_on());
        step
    }

    /// How what is sent to the public address comes to Millrace. `None`: it is where Millrace listens.
    fn passed_on(&self) -> Option<Block> {
        let (scheme, rest) = self.public.split_once("://")?;
        let host = rest.split('/').next()?;
        let (server, from) = match scheme {
            "http" => ("a web server", format!("http://{host}")),
            _ => ("a web server with a certificate", host.to_owned()),
        };
        let plain = from.strip_prefix("http://");
        let is_there = plain.is_some_and(|host| host == LISTEN || host == "localhost:7878");
        (!is_there).then(|| Block {
            what: format!(
                "Millrace listens on {LISTEN} without TLS. Let {server} pass {} to it, for example:",
                self.public
            ),
            run: vec![format!("caddy reverse-proxy --from {from} --to {LISTEN}")],
        })
    }

    /// Lines that exchange the code for what belongs to the App. GitHub gives it once: a line that fails ends them, nothing
    /// that is there is written over before all of the new is, and `app.json` stays until all is taken out of it.
    fn conversion(&self, layout: &Layout) -> Vec<String> {
        vec![
            format!(
                "(umask 077 && cd {} && jq -n empty &&",
                quoted(&layout.secrets())
            ),
            format!(
                " curl -fsS -o app.json -X POST {}/app-manifests/CODE/conversions &&",
                self.api()
            ),
            " jq -er .pem app.json > pem.new && jq -er .webhook_secret app.json > secret.new &&"
                .to_owned(),
            format!(
                " test -s pem.new && test -s secret.new && mv -f pem.new forge.pem && mv -f secret.new {WEBHOOK_SECRET} &&"
            ),
            " jq -er '\"number \\(.id), page \\(.html_url)\"' app.json && rm -f app.json)"
                .to_owned(),
        ]
    }

    /// The page whose button sends the manifest to GitHub.
    fn page(&self, layout: &Layout, distribution: &str) -> String {
        let manifest = app::manifest(&format!("Millrace of {distribution}"), &self.public);
        let rows = app::PERMISSIONS
            .map(|it| format!("<tr><td>{}<td>{}<td>{}</tr>\n", it.label, it.level, it.why));
        let owner = self.repository.owner();
        PAGE.replace("{{repository}}", &escaped(&self.repository.to_string()))
            .replace("{{owner}}", &escaped(owner))
            .replace("{{base}}", &escaped(&self.base))
            .replace("{{webhook}}", &escaped(&app::webhook_url(&self.public)))
            .replace("{{permissions}}", &rows.concat())
            .replace(
                "{{events}}",
                &app::EVENTS.map(|event| event.replace('_', " ")).join(", "),
            )
            .replace(
                "{{conversion}}",
                &escaped(&self.conversion(layout).join("\n")),
            )
            .replace("{{manifest}}", &escaped(&manifest.to_string()))
    }

    fn web(&self) -> String {
        format!("{}/{}", self.base, self.repository)
    }

    fn api(&self) -> String {
        match (self.kind, self.base.as_str()) {
            (ForgeKind::Github, "https://github.com") => forge::Address::GITHUB.to_owned(),
            (ForgeKind::Github, base) => format!("{base}/api/v3"),
            (ForgeKind::Gitea, base) => format!("{base}/api/v1"),
        }
    }
}

/// Refuses what the forge cannot have. A Gitea may be below a path; GitHub's pages are, and are no repositories.
fn fits(kind: ForgeKind, state: &str) -> Result<(), Failure> {
    let (scheme, rest) = state.split_once("://").unwrap_or_default();
    let parts: Vec<&str> = rest.split('/').collect();
    let sentence = match (kind, &parts[..]) {
        (ForgeKind::Gitea, ["github.com", ..]) => {
            format!("--state {state}: github.com is GitHub: use `--forge github`")
        }
        (ForgeKind::Github, [host, owner, name, _, ..]) => format!(
            "--state {state} has more than OWNER/NAME: write {scheme}://{host}/{owner}/{name}"
        ),
        _ => return Ok(()),
    };
    Err(Failure::new(Kind::Usage, sentence))
}

/// Lines that commit names, and do `then` before. One chain: what fails must not have the rest run in another folder.
fn naming(layout: &Layout, folder: &str, then: &str) -> Vec<String> {
    vec![
        format!(
            "git clone {} my-distribution && cd my-distribution &&",
            quoted(&layout.state())
        ),
        format!("  editor {folder}/CODEOWNERS &&"),
        format!("  {then} &&"),
        "  git commit -q -a -m 'Names of our people' && git push -q".to_owned(),
    ]
}

/// For a browser, which ends an address at a space.
fn file_url(path: &Path) -> String {
    let plain = |()| format!("file://{}", path.display());
    reqwest::Url::from_file_path(path).map_or_else(plain, String::from)
}

/// Below a step.
fn indented(lines: &[String]) -> String {
    lines.iter().map(|line| format!("     {line}\n")).collect()
}

/// Whether an address says by itself that the internet does not reach it. What a name stands for is not looked up.
fn is_near(address: &str) -> bool {
    let Ok(url) = address.parse::<reqwest::Url>() else {
        return false;
    };
    let host = url.host_str().unwrap_or_default();
    match host.trim_matches(['[', ']']).parse() {
        Ok(IpAddr::V4(ip)) => {
            ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified()
        }
        Ok(IpAddr::V6(ip)) => {
            let is_local = ip.is_unique_local() || ip.is_unicast_link_local();
            ip.is_loopback() || ip.is_unspecified() || is_local
        }
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

/// A line that makes a file that only its owner may read, and opens it.
fn editor(layout: &Layout, name: &str) -> String {
    let file = quoted(&layout.secrets().join(name));
    format!("install -m 600 /dev/null {file} && editor {file}")
}

/// In lines that a terminal shows whole, below a number.
fn wrapped(text: &str) -> String {
    let (mut lines, mut length) = (String::new(), 0);
    for word in text.split(' ') {
        let new = word.chars().count();
        if length > 0 && length + 1 + new > LINE_CHARS {
            lines.push_str("\n   ");
            length = 0;
        } else if length > 0 {
            lines.push(' ');
            length += 1;
        }
        lines.push_str(word);
        length += new;
    }
    lines
}

/// For text and attributes of HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
