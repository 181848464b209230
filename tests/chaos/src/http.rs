//! One call to the control plane, which may be dead, stopped or busy: nothing here waits long.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Longest wait for a connection or an answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Largest answer, in bytes.
const MAX_BYTES: u64 = 64 << 20;

/// Status code and body; `None`: it did not answer.
pub(crate) fn get(address: SocketAddr, path: &str) -> Option<(u16, Value)> {
    call(
        address,
        &format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n"),
    )
}

/// The same with a body and the token of people.
pub(crate) fn post(
    address: SocketAddr,
    path: &str,
    token: &str,
    body: &Value,
) -> Option<(u16, Value)> {
    let body = body.to_string();
    let head = format!(
        "POST {path} HTTP/1.0\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    call(address, &format!("{head}{body}"))
}

fn call(address: SocketAddr, request: &str) -> Option<(u16, Value)> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.take(MAX_BYTES).read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let code = head.split(' ').nth(1)?.parse().ok()?;
    Some((code, serde_json::from_str(body).unwrap_or(Value::Null)))
}
