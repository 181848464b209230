//! A login that ends: a token that somebody lends for a while, such as one of a GitHub App's installation.

use std::fmt;
use std::sync::Arc;

use git::{Credentials, Login};
use ports::Result;
use tokio::runtime::Handle;

/// The user that a token is sent with: GitHub wants this word, other forges take any.
pub const TOKEN_USER: &str = "x-access-token";

/// Asks `lend` for a token before each conversation with the server. Whoever lends keeps a token as long as it is good,
/// and gets another one in time; `refused` tells it that the server does not take the last one.
///
/// `runtime` is where it is asked; it must run as long as the repository is used, and the repository must not be used on
/// one of its own threads: git blocks.
pub fn lent<L, LF, R, RF>(runtime: Handle, lend: L, refused: R) -> Arc<dyn Login>
where
    L: Fn() -> LF + Send + Sync + 'static,
    LF: Future<Output = Result<String>> + Send + 'static,
    R: Fn() -> RF + Send + Sync + 'static,
    RF: Future<Output = ()> + Send + 'static,
{
    Arc::new(Lent {
        runtime,
        lend,
        refused,
    })
}

struct Lent<L, R> {
    runtime: Handle,
    lend: L,
    refused: R,
}

impl<L, R> fmt::Debug for Lent<L, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lent(…)")
    }
}

impl<L, LF, R, RF> Login for Lent<L, R>
where
    L: Fn() -> LF + Send + Sync,
    LF: Future<Output = Result<String>> + Send + 'static,
    R: Fn() -> RF + Send + Sync,
    RF: Future<Output = ()> + Send + 'static,
{
    fn credentials(&self) -> std::result::Result<Credentials, String> {
        match self.runtime.block_on((self.lend)()) {
            Ok(password) => Ok(Credentials::Basic {
                user: TOKEN_USER.to_owned(),
                password,
            }),
            Err(error) => Err(error.to_string()),
        }
    }

    fn refused(&self) {
        self.runtime.block_on((self.refused)());
    }
}
