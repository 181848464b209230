//! What the plan of a release is made of beside files: how it and its builds stand, and what its repositories publish.
//!
//! A pull request is planned when it or the branch moves. Of a release that is not enough: a build that had failed is
//! tried again, another release is published, and neither moves the branch. So each review looks whether one of these
//! is another than the plan was made of, with one row read for each.

use std::collections::BTreeSet;

use ledger::{Key, Leans, Row};
use pipeline_spec::{RepositoryName, RequestPath};
use ports::{Ledger, Platform};

use crate::load::unexpected;
use crate::{Control, Result};

impl<P: Platform> Control<P> {
    /// As they stand now: to be read before the plan, so that what moves meanwhile is seen the next time.
    pub(crate) async fn leans(
        &self,
        requests: &BTreeSet<RequestPath>,
        repositories: &BTreeSet<RepositoryName>,
    ) -> Result<Leans> {
        let mut leans = Leans::default();
        for path in requests {
            leans.requests.insert(path.clone(), self.phase(path).await?);
        }
        for name in repositories {
            let generation = self.generation(name).await?;
            leans.repositories.insert(name.clone(), generation);
        }
        Ok(leans)
    }

    /// Whether one of them is another by now.
    pub(crate) async fn has_moved(&self, leans: &Leans) -> Result<bool> {
        let requests = leans.requests.keys().cloned().collect();
        let repositories = leans.repositories.keys().cloned().collect();
        Ok(self.leans(&requests, &repositories).await? != *leans)
    }

    /// Empty: the ledger does not know it.
    async fn phase(&self, path: &RequestPath) -> Result<String> {
        let key = Key::request(path);
        Ok(match self.platform.ledger().get(&key).await? {
            None => String::new(),
            Some(record) => match record.row {
                Row::Request(row) => row.phase.word().to_owned(),
                _ => return Err(unexpected(&key)),
            },
        })
    }

    /// 0: nothing was ever published there.
    async fn generation(&self, name: &RepositoryName) -> Result<u64> {
        let key = Key::repository(name);
        Ok(match self.platform.ledger().get(&key).await? {
            None => 0,
            Some(record) => match record.row {
                Row::Repository(row) => row.pointer.generation,
                _ => return Err(unexpected(&key)),
            },
        })
    }
}
