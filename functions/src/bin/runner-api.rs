//! Runners' calls, and people's commands.

use std::sync::Arc;

use functions::{Boot, Own, Secret};
use lambda_http::{Error, run};
use server::{Admin, Config, Lend};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let boot = Boot::new().await?;
    let control = boot.control().await?;
    let token = boot.secret(Secret::AdminToken).await?;
    let place = format!(
        "the parameter {}",
        boot.settings.secret(Secret::AdminToken)?
    );
    if token.len() < 16 {
        return Err(format!("{place} is too short to be a token").into());
    }
    let admin = Some(Admin { token, place });
    let cloud: Option<Arc<dyn Lend>> = Some(Arc::new(Own::new(&boot.settings)));
    let config = Config {
        // No disk here lasts as long as a build.
        logs: None,
        admin,
        cloud,
        published_at: None,
        forge: None,
    };
    run(server::changing(control, config)).await
}
