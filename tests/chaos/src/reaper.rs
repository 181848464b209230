//! The first process of the namespace: it starts the real one and reaps whoever is left behind.
//!
//! A runner outlives its killed control plane. When it ends, somebody must reap it, or it would look
//! alive to whoever asks for its process id.

use std::process::{Command, ExitCode};

use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, wait};

/// Ends as the program itself does, started again with the same words.
pub(crate) fn run() -> ExitCode {
    let own = match std::env::current_exe() {
        Ok(own) => own,
        Err(error) => {
            eprintln!("chaos: find this program's own file: {error}");
            return ExitCode::from(2);
        }
    };
    let child = Command::new(own).args(std::env::args_os().skip(1)).spawn();
    let child = match child {
        Ok(child) => child,
        Err(error) => {
            eprintln!("chaos: start again as a second process: {error}");
            return ExitCode::from(2);
        }
    };
    let is_ours = |pid: nix::unistd::Pid| u32::try_from(pid.as_raw()) == Ok(child.id());
    loop {
        match wait() {
            Ok(WaitStatus::Exited(pid, code)) if is_ours(pid) => {
                return ExitCode::from(u8::try_from(code).unwrap_or(2));
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if is_ours(pid) => {
                eprintln!("chaos: ended by {signal}");
                return ExitCode::from(2);
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => {
                eprintln!("chaos: wait for the second process: {error}");
                return ExitCode::from(2);
            }
        }
    }
}
