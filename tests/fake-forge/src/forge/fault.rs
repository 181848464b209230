//! What may go wrong between us and a forge, and how much it lets us do.

use std::time::Duration;

use super::Counts;
use crate::http::{End, Request, Response};

/// What happens to a request.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// It is answered with this status, 500, 502 or 503, and does nothing.
    Status(u16),
    /// 403: the hour's requests are spent; there are more in so many seconds.
    RateLimit(u32),
    /// 429, with `Retry-After`: so many seconds.
    TooMany(u32),
    /// 403 for writing too fast, with `Retry-After` if this says so.
    Secondary(Option<u32>),
    /// The connection is closed before anything is done.
    LoseRequest,
    /// It is done, and the connection is closed instead of answering.
    LoseAnswer,
    /// It is done, and only so many bytes of the answer's body arrive.
    CutAnswer(usize),
    /// It is done, and the answer is 200 with a page for people, as proxies have them.
    Page,
    /// It is done, and the answer lacks this field: no forge does so, and no judge lets it through.
    Without(&'static str),
    /// It is done after a while.
    Slow(Duration),
}

/// Faults that are still to happen: each once.
#[derive(Default)]
pub(crate) struct Faults(Vec<(String, String, Fault)>);

impl Faults {
    pub(crate) fn add(&mut self, method: &str, word: &str, fault: Fault) {
        self.0.push((method.to_owned(), word.to_owned(), fault));
    }

    /// An empty method or word stands for any.
    pub(crate) fn take(&mut self, request: &Request) -> Option<Fault> {
        let meets = |(method, word, _): &(String, String, Fault)| {
            (method.is_empty() || *method == request.method) && request.target.contains(word)
        };
        self.0.iter().position(meets).map(|at| self.0.remove(at).2)
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

/// The answer, where a fault answers instead of the forge.
pub(crate) fn instead(fault: Fault, now: i64) -> Option<Response> {
    let json = |status: &str, message: &str| {
        let body = serde_json::json!({ "message": message, "documentation_url": "https://docs.github.com/rest" });
        Response::new(status, body.to_string().as_bytes())
            .with("Content-Type", "application/json; charset=utf-8")
    };
    Some(match fault {
        Fault::Status(503) => json("503 Service Unavailable", "Service unavailable"),
        Fault::Status(502) => Response::new("502 Bad Gateway", b"<html>Unicorn!</html>")
            .with("Content-Type", "text/html"),
        Fault::Status(code) => json(&format!("{code} Error"), "Server Error"),
        Fault::RateLimit(seconds) => {
            json("403 Forbidden", "API rate limit exceeded for installation.")
                .with("X-RateLimit-Limit", "5000")
                .with("X-RateLimit-Remaining", "0")
                .with("X-RateLimit-Used", "5000")
                .with("X-RateLimit-Resource", "core")
                .with("X-RateLimit-Reset", (now + i64::from(seconds)).to_string())
        }
        Fault::TooMany(seconds) => json("429 Too Many Requests", "Too many requests.")
            .with("Retry-After", seconds.to_string()),
        Fault::Secondary(seconds) => {
            let answer = json("403 Forbidden", SECONDARY);
            match seconds {
                Some(seconds) => answer.with("Retry-After", seconds.to_string()),
                None => answer,
            }
        }
        Fault::LoseRequest => Response::nothing(),
        Fault::LoseAnswer
        | Fault::CutAnswer(_)
        | Fault::Page
        | Fault::Without(_)
        | Fault::Slow(_) => return None,
    })
}

/// What a fault does to the forge's own answer.
pub(crate) fn spoil(fault: Fault, mut answer: Response) -> Response {
    match fault {
        Fault::LoseAnswer => answer.end = End::Nothing,
        Fault::CutAnswer(bytes) => answer.end = End::Cut(bytes),
        Fault::Without(field) => {
            let mut body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            body.as_object_mut().unwrap().remove(field);
            answer.body = body.to_string().into_bytes();
        }
        Fault::Page => {
            return Response::new("200 OK", b"<html>Sign in</html>")
                .with("Content-Type", "text/html");
        }
        _ => {}
    }
    answer
}

/// GitHub's words.
const SECONDARY: &str = "You have exceeded a secondary rate limit and have been temporarily blocked from content creation. Please retry your request again later.";

/// How much is let through. GitHub's own numbers: 80 writes a minute, 500 an hour, 5,000 requests an hour.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// Requests that write, in any 60 seconds; the next is refused with 403 and `Retry-After`.
    pub writes_a_minute: Option<usize>,
    /// The same in any 3,600 seconds.
    pub writes_an_hour: Option<usize>,
    /// All requests, in any 3,600 seconds; the next is refused with 403 and `X-RateLimit-Reset`.
    pub requests_an_hour: Option<usize>,
}

/// What was asked, and when what was let through.
#[derive(Default)]
pub(crate) struct Spent {
    pub(crate) counts: Counts,
    /// Every request and its status.
    pub(crate) lines: Vec<String>,
    requests: Vec<i64>,
    writes: Vec<i64>,
}

const MINUTE: i64 = 60;
const HOUR: i64 = 3600;

impl Spent {
    pub(crate) fn request(&mut self, now: i64, limits: &Limits) -> Result<(), Fault> {
        over(&self.requests, now, HOUR, limits.requests_an_hour)
            .map_or(Ok(()), |wait| Err(Fault::RateLimit(wait)))?;
        self.requests.push(now);
        Ok(())
    }

    pub(crate) fn write(&mut self, now: i64, limits: &Limits) -> Result<(), Fault> {
        let minute = over(&self.writes, now, MINUTE, limits.writes_a_minute);
        let hour = over(&self.writes, now, HOUR, limits.writes_an_hour);
        hour.or(minute)
            .map_or(Ok(()), |wait| Err(Fault::Secondary(Some(wait))))?;
        self.writes.push(now);
        Ok(())
    }

    /// What has not changed is told for nothing.
    pub(crate) fn forgive(&mut self) {
        self.requests.pop();
    }

    /// Requests of the last hour.
    pub(crate) fn hour(&self, now: i64) -> usize {
        within(&self.requests, now, HOUR).len()
    }
}

/// The seconds to wait, if there were `limit` in the last `window` seconds.
fn over(times: &[i64], now: i64, window: i64, limit: Option<usize>) -> Option<u32> {
    let recent = within(times, now, window);
    let limit = limit?;
    (recent.len() >= limit).then(|| {
        // Room comes when the oldest that still counts is out of the window.
        let oldest = recent.get(recent.len() - limit).copied().unwrap_or(now);
        u32::try_from(oldest + window - now).unwrap_or(0).max(1)
    })
}

fn within(times: &[i64], now: i64, window: i64) -> &[i64] {
    let first = times.partition_point(|time| *time <= now - window);
    &times[first..]
}
