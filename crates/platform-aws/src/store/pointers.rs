//! Pointers: small documents that are replaced whole, each from what the writer has seen.

use std::sync::atomic::{AtomicU32, Ordering};

use aws_sdk_s3::error::ProvideErrorMetadata as _;
use aws_sdk_s3::operation::put_object::PutObjectError;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use pipeline_spec::RepositoryName;
use ports::{Error, Result};

use super::S3Store;
use crate::retry::{Stop, again, answer};

const POINTERS: &str = "pointers/";
/// Of a pointer: it names a tree and little else.
const MAX_POINTER_BYTES: u64 = 16 << 20;
/// Metadata of a pointer: which write it is of.
const MARK: &str = "write";
/// How often a pointer is looked at again that changed its ETag and not its bytes.
const LOOKS: u32 = 8;

pub(super) fn parse(operation: &str, name: &str) -> Result<RepositoryName> {
    let parsed = name.parse::<RepositoryName>();
    parsed.map_err(|cause| Error::corrupt(operation, cause))
}

fn key(name: &RepositoryName) -> String {
    format!("{POINTERS}{name}")
}

/// How one conditional put ended.
enum Put {
    Done,
    /// The condition does not hold.
    Other,
}

impl S3Store {
    /// Its bytes and ETag.
    pub(super) async fn read_pointer(
        &self,
        operation: &str,
        name: &RepositoryName,
    ) -> Result<Option<(Bytes, String)>> {
        self.read(operation, &key(name), MAX_POINTER_BYTES).await
    }

    pub(super) async fn pointer_names(&self) -> Result<Vec<RepositoryName>> {
        let operation = "list pointers";
        let list = self.clients.s3().await.list_objects_v2();
        let mut list = list.bucket(self.bucket()).prefix(POINTERS);
        let mut names = Vec::new();
        loop {
            let page = answer(self.clients.patience(), operation, || list.clone().send()).await?;
            for object in page.contents() {
                let name = object.key().and_then(|key| key.strip_prefix(POINTERS));
                names.push(parse(operation, name.unwrap_or_default())?);
            }
            if page.is_truncated != Some(true) {
                names.sort_unstable();
                return Ok(names);
            }
            list = list.set_continuation_token(page.next_continuation_token);
        }
    }

    /// Whether it was `expected`, and is `new` now.
    pub(super) async fn swap_pointer(
        &self,
        operation: &str,
        name: &RepositoryName,
        expected: Option<&[u8]>,
        new: Bytes,
    ) -> Result<bool> {
        let Some(expected) = expected else {
            let put = self.put_pointer(operation, name, None, new).await?;
            return Ok(matches!(put, Put::Done));
        };
        for _ in 0..LOOKS {
            let Some((bytes, tag)) = self.read_pointer(operation, name).await? else {
                return Ok(false);
            };
            if bytes != expected {
                return Ok(false);
            }
            match self
                .put_pointer(operation, name, Some(tag), new.clone())
                .await?
            {
                Put::Done => return Ok(true),
                // Its bytes may be the same still: the port compares bytes, S3 compares tags.
                Put::Other => {}
            }
        }
        Err(Error::transient(operation, "others change it all the time"))
    }

    /// Puts if the ETag is `tag`; without one, if nothing is there.
    async fn put_pointer(
        &self,
        operation: &str,
        name: &RepositoryName,
        tag: Option<String>,
        new: Bytes,
    ) -> Result<Put> {
        let mark = format!("{:032x}", rand::random::<u128>());
        let absent = tag.is_none().then(|| "*".to_owned());
        let s3 = self.clients.s3().await;
        let requests = AtomicU32::new(0);
        let call = || {
            requests.fetch_add(1, Ordering::Relaxed);
            s3.put_object()
                .bucket(self.bucket())
                .key(key(name))
                .set_if_match(tag.clone())
                .set_if_none_match(absent.clone())
                .metadata(MARK, &mark)
                .body(ByteStream::from(new.clone()))
                .send()
        };
        match again(self.clients.patience(), operation, |_| false, call).await {
            Ok(_) => Ok(Put::Done),
            Err(Stop::Refused(refusal)) if is_other(&refusal) => {
                // An earlier request of this call may have been done, and its answer lost.
                let lost = requests.load(Ordering::Relaxed) > 1;
                let own = lost && self.mark(operation, name).await? == Some(mark);
                Ok(if own { Put::Done } else { Put::Other })
            }
            Err(stop) => Err(stop.into_error(operation)),
        }
    }

    async fn mark(&self, operation: &str, name: &RepositoryName) -> Result<Option<String>> {
        let found = self.fetch(operation, &key(name), None).await;
        let found = found.map_err(|stop| stop.into_error(operation))?;
        Ok(found.metadata.and_then(|mut all| all.remove(MARK)))
    }
}

fn is_other(refusal: &PutObjectError) -> bool {
    matches!(refusal.code(), Some("PreconditionFailed" | "NoSuchKey"))
}
