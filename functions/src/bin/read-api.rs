//! Pages, questions of the command line, and published repositories: it changes nothing.

use functions::Boot;
use lambda_http::{Error, run};
use server::Config;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let boot = Boot::new().await?;
    let control = boot.control().await?;
    let logs = boot.folder("logs")?;
    run(server::reading(control, Config { logs, admin: None })).await
}
