//! Pages, questions of the command line, and published repositories: it changes nothing.

use functions::Boot;
use lambda_http::{Error, run};
use server::Config;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let boot = Boot::new().await?;
    let control = boot.control().await?;
    let config = Config {
        logs: None,
        admin: None,
        cloud: None,
        published_at: boot.settings.publishing_url.clone(),
        forge: None,
    };
    run(server::reading(control, config)).await
}
