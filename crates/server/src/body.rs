//! Bodies of callers who have proven nothing yet: whoever knows a runner's name, or the address of the forge's door,
//! may send one. They are bounded in size, in time, and all together.

use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::Error;

/// What every call may send without asking for room, in bytes; and the unit in which room is given.
const PIECE_BYTES: usize = 64 * 1024;
/// Pieces in memory beyond the first of each call: 64 MiB, four of the largest results, or two of the largest
/// deliveries, at a time.
const PIECES: usize = 1024;
/// Longest time in which a body comes. The largest one needs 4.5 Mbit/s.
const TIME: Duration = Duration::from_secs(30);

/// Memory is the process's, and so is the room in it. Who fills his own leaves that of others alone.
#[derive(Debug)]
pub(crate) struct Room(Semaphore);

/// That of runners.
pub(crate) static RUNNERS: Room = Room::new();
/// That of the forge.
pub(crate) static FORGE: Room = Room::new();

/// A body, and its room for as long as it is held.
pub(crate) struct Held<'a> {
    pub(crate) bytes: Bytes,
    _room: Vec<SemaphorePermit<'a>>,
}

impl Room {
    const fn new() -> Self {
        Self(Semaphore::const_new(PIECES))
    }

    /// The whole body, at most `limit` bytes.
    ///
    /// A body that is slow, or that finds no room, is the world's trouble (5xx): who sends it tries again.
    pub(crate) async fn read(&self, body: Body, limit: usize) -> Result<Held<'_>, Error> {
        within(TIME, gather(body, limit, &self.0)).await
    }
}

async fn within<'a>(
    time: Duration,
    body: impl Future<Output = Result<Held<'a>, Error>>,
) -> Result<Held<'a>, Error> {
    tokio::time::timeout(time, body).await.unwrap_or_else(|_| {
        Err(Error::Unavailable(format!(
            "the body did not come within {} s",
            time.as_secs()
        )))
    })
}

async fn gather(body: Body, limit: usize, room: &Semaphore) -> Result<Held<'_>, Error> {
    let too_large = || Error::TooLarge(format!("the body has more than {limit} bytes"));
    let cut_off = |_| Error::BadRequest("the body is cut off: send all of it".to_owned());
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    let mut stream = body.into_data_stream();
    let mut bytes = BytesMut::new();
    let mut taken: Vec<SemaphorePermit<'_>> = Vec::new();
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(cut_off)?;
        if bytes.len() + piece.len() > limit {
            return Err(too_large());
        }
        // As it comes, not as it is announced: who sends nothing takes no room.
        while bytes.len() + piece.len() > (taken.len() + 1) * PIECE_BYTES {
            taken.push(room.try_acquire().map_err(|_| full())?);
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(Held {
        bytes: bytes.freeze(),
        _room: taken,
    })
}

/// Waiting instead would let bodies that are half there wait for each other.
fn full() -> Error {
    tracing::warn!("too many large bodies at once; one was told to come again");
    Error::Unavailable("too many large bodies at once: try again".to_owned())
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    /// A body of unknown length: `pieces` of [`PIECE_BYTES`], and then nothing, for ever if it `hangs`.
    fn body(pieces: usize, end: End) -> Body {
        let piece = Bytes::from(vec![b' '; PIECE_BYTES]);
        let pieces = stream::iter(vec![piece; pieces]).map(Ok::<_, std::io::Error>);
        match end {
            End::Comes => Body::from_stream(pieces),
            End::Never => Body::from_stream(pieces.chain(stream::pending())),
        }
    }

    enum End {
        Comes,
        Never,
    }

    fn says(result: Result<Held<'_>, Error>) -> String {
        match result {
            Ok(held) => format!("{} bytes", held.bytes.len()),
            Err(error) => format!("{}: {error}", error.status().as_u16()),
        }
    }

    #[tokio::test]
    async fn a_body_has_its_limit() {
        let room = Semaphore::new(10);
        let limit = 3 * PIECE_BYTES;
        let check = async |body: Body, expect: &str| {
            assert_eq!(says(gather(body, limit, &room).await), expect);
            assert_eq!(room.available_permits(), 10, "room is given back");
        };
        let refused = "413: the body has more than 196608 bytes";
        check(body(0, End::Comes), "0 bytes").await;
        check(body(3, End::Comes), "196608 bytes").await;
        check(body(4, End::Comes), refused).await;
        check(Body::from(vec![0; limit]), "196608 bytes").await;
        check(Body::from(vec![0; limit + 1]), refused).await;
    }

    #[tokio::test]
    async fn all_together_have_one_too() {
        let room = Semaphore::new(4);
        let limit = 100 * PIECE_BYTES;
        // Three pieces of room are held by somebody whose body does not end.
        let mut slow = Box::pin(gather(body(4, End::Never), limit, &room));
        tokio::select! {
            biased;
            _ = &mut slow => panic!("it does not end"),
            () = std::future::ready(()) => {}
        }
        let check = async |pieces: usize, expect: &str| {
            let read = gather(body(pieces, End::Comes), limit, &room).await;
            assert_eq!(says(read), expect);
        };
        check(1, "65536 bytes").await;
        check(2, "131072 bytes").await;
        check(3, "503: too many large bodies at once: try again").await;
        drop(slow);
        check(5, "327680 bytes").await;
        // Whoever works with a body has it in memory still.
        let held = gather(body(4, End::Comes), limit, &room).await;
        check(3, "503: too many large bodies at once: try again").await;
        drop(held);
        check(3, "196608 bytes").await;
    }

    #[tokio::test]
    async fn a_body_that_does_not_end_is_not_waited_for() {
        let room = Semaphore::new(4);
        let never = gather(body(2, End::Never), 1 << 20, &room);
        let read = within(Duration::from_millis(1), never).await;
        assert_eq!(says(read), "503: the body did not come within 0 s");
        assert_eq!(room.available_permits(), 4, "its room is given back");
    }
}
