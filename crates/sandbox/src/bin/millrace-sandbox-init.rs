//! The helper that the sandbox library starts: holds a workspace's mounts, supervises one command, or touches one file
//! inside. It takes its one request on standard input; people have no use for it.

use std::process::ExitCode;

fn main() -> ExitCode {
    sandbox::init::main()
}
