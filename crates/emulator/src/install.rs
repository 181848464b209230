//! Virtual environments in `target/`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Error, Kind};

/// The checkout's folder for what is made.
pub(crate) fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target")
}

/// The Python of an environment that has `kind`; makes the environment if it is not there.
pub(crate) fn python(kind: Kind) -> Result<PathBuf, Error> {
    let folder = target().join(kind.name());
    let python = folder.join("bin/python");
    // Written last. Its name has the versions: others are another environment.
    let wanted = kind.requirements();
    let done = folder.join(format!("installed {}", wanted.join(" ")));
    let _lock = lock(kind)?;
    if done.exists() {
        return Ok(python);
    }
    if folder.exists() {
        let removed = fs::remove_dir_all(&folder);
        removed.map_err(io(format!("remove {}", folder.display())))?;
    }
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv"]).arg(&folder);
    run(
        "make a Python environment (Debian: python3-venv)",
        &mut venv,
    )?;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet"]).args(wanted);
    let operation = format!("install {} with pip", wanted.join(" and "));
    run(&operation, &mut pip)?;
    File::create(&done).map_err(io(format!("write {}", done.display())))?;
    Ok(python)
}

/// Held until it is dropped, by one process at a time.
fn lock(kind: Kind) -> Result<File, Error> {
    let path = target().join(format!("{}.lock", kind.name()));
    let name = format!("lock {}", path.display());
    fs::create_dir_all(target()).map_err(io(name.clone()))?;
    let file = File::create(&path).map_err(io(name.clone()))?;
    file.lock().map_err(io(name))?;
    Ok(file)
}

fn run(operation: &str, command: &mut Command) -> Result<(), Error> {
    let output = command.output().map_err(io(operation.to_owned()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(Error::Refused {
        operation: operation.to_owned(),
        said: String::from_utf8_lossy(&said).trim().to_owned(),
    })
}

fn io(operation: String) -> impl FnOnce(std::io::Error) -> Error {
    move |cause| Error::Io { operation, cause }
}
