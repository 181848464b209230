//! What the judges need beside the checkout: pinned, with digests, in `target/terraform`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::{NotThere, Verdict};
use crate::sh::{cmd, output, target, top};

/// `terraform/`.
pub(super) fn folder() -> PathBuf {
    top().join("terraform")
}

/// Where judges keep what they install and make.
pub(super) fn work() -> PathBuf {
    target().join("terraform")
}

/// The program, which no registry of Debian, Python or npm carries: it is there, or its judges are left out.
pub(super) fn terraform() -> Option<Command> {
    let name = std::env::var_os("TERRAFORM").unwrap_or_else(|| "terraform".into());
    let there = Command::new(&name).arg("version").output();
    if !there.is_ok_and(|output| output.status.success()) {
        return None;
    }
    let mut command = Command::new(name);
    command.env("TF_IN_AUTOMATION", "1").env("TF_INPUT", "0");
    Some(command)
}

pub(super) fn no_terraform() -> Verdict {
    Verdict::LeftOut(
        "there is no program terraform, 1.11 or newer; TERRAFORM may name it".to_owned(),
    )
}

/// Why a judge cannot look without `program`, if that is not there.
pub(super) fn missing(program: &str, package: &str) -> Option<Verdict> {
    let there = Command::new(program).arg("--version").output();
    let works = there.is_ok_and(|output| output.status.success());
    (!works).then(|| {
        Verdict::LeftOut(format!(
            "{program} is missing: Debian's package is {package}"
        ))
    })
}

/// A Python environment of its own with what `terraform/judges/<name>.txt` lists, by digest.
pub(super) fn python(name: &str) -> Result<PathBuf> {
    let list = folder().join("judges").join(format!("{name}.txt"));
    let place = work().join(format!("python-{name}"));
    installed(&list, &place, || {
        let packages = ["python3", "-m", "venv"];
        output(cmd(packages[0], &packages[1..]).arg(&place))
            .context("make a Python environment: Debian's package is python3-venv")?;
        downloaded(
            cmd(
                place.join("bin/pip"),
                &[
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                    "--no-deps",
                    "--require-hashes",
                    "-r",
                ],
            )
            .arg(&list),
        )
    })?;
    Ok(place)
}

/// The simulator of IAM, by the digests of its lock file.
pub(super) fn node() -> Result<PathBuf> {
    let source = folder().join("judges/iam");
    let place = work().join("iam");
    installed(&source.join("package-lock.json"), &place, || {
        std::fs::create_dir_all(&place)?;
        for name in ["package.json", "package-lock.json"] {
            std::fs::copy(source.join(name), place.join(name))?;
        }
        downloaded(
            cmd(
                "npm",
                &["ci", "--ignore-scripts", "--no-audit", "--no-fund"],
            )
            .current_dir(&place),
        )
        .context("install the simulator of IAM: Debian's packages are nodejs and npm")
    })?;
    std::fs::copy(source.join("judge.mjs"), place.join("judge.mjs"))?;
    Ok(place)
}

/// Runs what fetches packages. Another digest than the pinned one is a failure; what cannot be fetched is not there.
fn downloaded(command: &mut Command) -> Result<()> {
    let Err(error) = output(command) else {
        return Ok(());
    };
    let said = format!("{error:#}");
    // The words of pip and of npm for it.
    if said.contains("DO NOT MATCH THE HASHES") || said.contains("EINTEGRITY") {
        return Err(error);
    }
    // The first line is the command's.
    let why = said.lines().nth(1).unwrap_or(&said);
    Err(NotThere(why.to_owned()).into())
}

/// Installs once for each content of `list`; what was installed by half is made anew.
fn installed(list: &Path, place: &Path, install: impl FnOnce() -> Result<()>) -> Result<()> {
    let wanted = std::fs::read(list).with_context(|| format!("read {}", list.display()))?;
    let mark = place.join("installed");
    if std::fs::read(&mark).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    if place.exists() {
        std::fs::remove_dir_all(place).with_context(|| format!("remove {}", place.display()))?;
    }
    println!("installing into {}", place.display());
    install()?;
    std::fs::write(&mark, wanted).with_context(|| format!("write {}", mark.display()))
}

/// HashiCorp's own archive of the provider, inside a Python package.
const PROVIDER: &str = "terraform-provider-aws_3.39.0_linux_amd64.zip";
const PROVIDER_SHA256: &str = "4b75e0a259b56d97e66b7d69f3f25bd4cc7be2440c0fe35529f46de7d40a49d3";

/// A file of settings for Terraform that knows the real provider 3.39.0 and no registry.
pub(super) fn older_provider() -> Result<PathBuf> {
    let python = python("provider")?;
    let find = "import sysconfig; print(sysconfig.get_path('purelib'))";
    let packages = output(&mut cmd(python.join("bin/python"), &["-c", find]))?;
    let archive = Path::new(&packages)
        .join("cloudrail/terraform_plugins")
        .join(PROVIDER);
    let digest = output(&mut cmd("sha256sum", &[&archive.to_string_lossy()]))?;
    ensure!(
        digest.starts_with(PROVIDER_SHA256),
        "{} is another one: {digest}",
        archive.display()
    );
    let mirror = work().join("mirror");
    let place = mirror.join("registry.terraform.io/hashicorp/aws");
    std::fs::create_dir_all(&place)?;
    std::fs::copy(&archive, place.join(PROVIDER)).context("copy the provider's archive")?;
    let settings = work().join("terraformrc");
    let text = format!(
        "disable_checkpoint = true\nprovider_installation {{\n  filesystem_mirror {{\n    path = \"{}\"\n  }}\n}}\n",
        mirror.display()
    );
    std::fs::write(&settings, text).context("write settings for terraform")?;
    Ok(settings)
}
