//! Who logs in at git: what people have written down, or a GitHub App.
//!
//! An App's private key is read by the function `forge` alone. It writes a token that ends after an hour, and is good for git
//! alone, into the parameter that people would write: [`Lending`]. The others read it there, and anew in time.

use std::sync::Arc;

use forge::AnyForge;
use git::{Credentials, Login};
use platform_aws::{Parameters, WallClock};
use ports::{Clock, Error, Result};
use state_repo::{TOKEN_USER, lent};
use tokio::runtime::Handle;
use tokio::sync::Mutex;

/// How long a token is used that was read, in milliseconds. `forge` writes another one five minutes before its end, and
/// looks each minute.
const KEPT: i64 = 60_000;

/// `token` or `user:password`; nothing where the parameter says `none`, since it cannot be empty.
pub(crate) fn written(login: &str) -> Credentials {
    let login = login.trim();
    if login.is_empty() || login == "none" {
        return Credentials::None;
    }
    let (user, password) = login.split_once(':').unwrap_or((TOKEN_USER, login));
    Credentials::Basic {
        user: user.to_owned(),
        password: password.to_owned(),
    }
}

/// What `forge` has written into the parameter `name`.
pub(crate) fn read(parameters: Parameters, name: String) -> Arc<dyn Login> {
    let kept = Arc::new(Kept::new(WallClock));
    let lend = move || {
        let (kept, parameters, name) = (kept.clone(), parameters.clone(), name.clone());
        async move { kept.token(async || parameters.get(&name).await).await }
    };
    // It is read anew within a minute as it is.
    lent(Handle::current(), lend, async || {})
}

/// The App's own: for the function `forge`.
pub fn app_login(forge: Arc<AnyForge<WallClock>>) -> Arc<dyn Login> {
    let again = forge.clone();
    let refused = move || {
        let forge = again.clone();
        async move { forge.push_token_refused().await }
    };
    let lend = move || {
        let forge = forge.clone();
        async move { Ok(forge.push_token().await?.expose().to_owned()) }
    };
    lent(Handle::current(), lend, refused)
}

/// A token, and when it was read.
struct Kept<C> {
    clock: C,
    token: Mutex<Option<(i64, String)>>,
}

impl<C: Clock> Kept<C> {
    fn new(clock: C) -> Self {
        Self {
            clock,
            token: Mutex::default(),
        }
    }

    async fn token(&self, read: impl AsyncFnOnce() -> Result<String>) -> Result<String> {
        // Held while it is read: of many who need it, one reads.
        let mut kept = self.token.lock().await;
        let now = self.clock.now();
        if let Some((_, token)) = kept
            .as_ref()
            .filter(|(since, _)| (0..KEPT).contains(&(now - since)))
        {
            return Ok(token.clone());
        }
        let hint = |cause| Error::transient("log in as the App", format!("{cause}. {WHO_WRITES}"));
        let token = read().await.map_err(hint)?.trim().to_owned();
        *kept = Some((now, token.clone()));
        Ok(token)
    }
}

const WHO_WRITES: &str = "The function forge writes this parameter each hour: if it is not there after two minutes, its log says why";

/// Where the function `forge` writes an App's token for git.
pub struct Lending {
    pub(crate) parameters: Parameters,
    pub(crate) name: String,
    pub(crate) key: Option<String>,
    /// What was written last, by this process.
    pub(crate) last: Mutex<Option<forge::Secret>>,
}

impl Lending {
    /// Writes the token down, if it is another one than before.
    ///
    /// # Errors
    /// When the forge lends none, or it cannot be written.
    pub async fn lend(&self, forge: &AnyForge<WallClock>) -> Result<()> {
        let mut last = self.last.lock().await;
        let token = forge.push_token().await?;
        if last.as_ref() == Some(&token) {
            return Ok(());
        }
        let key = self.key.as_deref();
        let put = self.parameters.put_secret(&self.name, token.expose(), key);
        put.await?;
        *last = Some(token);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use memory::ManualClock;

    use super::*;

    #[tokio::test]
    async fn a_token_is_read_anew_before_it_may_have_ended() {
        let clock = ManualClock::at(1_000_000);
        let kept = Kept::new(clock.clone());
        let token = async |now: &str| kept.token(async || Ok(now.to_owned())).await;
        assert_eq!(token("a\n").await.ok().as_deref(), Some("a"));
        clock.pass(Duration::from_secs(59));
        assert_eq!(token("b").await.ok().as_deref(), Some("a"));
        clock.pass(Duration::from_secs(1));
        assert_eq!(token("b").await.ok().as_deref(), Some("b"));
    }

    #[tokio::test]
    async fn one_that_is_not_there_is_asked_for_again_and_the_error_says_who_writes_it() {
        let kept = Kept::new(ManualClock::at(0));
        let nothing = async || Err(Error::transient("read the parameter /x", "it is not there"));
        let error = kept.token(nothing).await.expect_err("it is not there");
        assert_eq!(
            error.to_string(),
            format!("log in as the App: read the parameter /x: it is not there. {WHO_WRITES}")
        );
        let token = kept.token(async || Ok("a".to_owned())).await;
        assert_eq!(token.ok().as_deref(), Some("a"));
    }

    #[test]
    fn what_people_write_is_a_token_or_user_and_password_or_none() {
        let check = |text: &str, expect: Option<(&str, &str)>| {
            let found = match written(text) {
                Credentials::Basic { user, password } => Some((user, password)),
                _ => None,
            };
            let found = found.as_ref().map(|(u, p)| (u.as_str(), p.as_str()));
            assert_eq!(found, expect, "{text:?}");
        };
        check("ghp_1\n", Some((TOKEN_USER, "ghp_1")));
        check("ada:pass:word", Some(("ada", "pass:word")));
        check("none\n", None);
    }
}
