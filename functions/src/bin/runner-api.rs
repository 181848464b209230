//! Runners' calls, and people's commands.

use functions::{Boot, Secret};
use lambda_http::{Error, run};
use server::{Admin, Config};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let boot = Boot::new().await?;
    let control = boot.control().await?;
    let logs = boot.folder("logs")?;
    let token = boot.secret(Secret::AdminToken).await?;
    let place = format!(
        "the parameter {}",
        boot.settings.secret(Secret::AdminToken)?
    );
    if token.len() < 16 {
        return Err(format!("{place} is too short to be a token").into());
    }
    let admin = Some(Admin { token, place });
    run(server::changing(control, Config { logs, admin })).await
}
