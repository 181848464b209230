//! The host name of an installation: what DNS and CloudFront are on AWS. It passes every request on to the HTTP API,
//! under the name that the API has, and changes neither path nor body, which runners sign.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result};

/// Longest head of a request, in bytes.
const MAX_HEAD: u64 = 64 << 10;
/// How long the end of a connection may take.
const LINGER: Duration = Duration::from_secs(5);

/// Answers the address of a front for `host`, which is known at `127.0.0.1:port`. It ends with the process.
pub(super) fn open(port: u16, host: &str) -> Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen")?;
    let address = listener.local_addr().context("listen")?;
    let host = host.to_owned();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let host = host.clone();
            // Who goes away in the middle of an answer is a client that was stopped.
            std::thread::spawn(move || pass(&client, port, &host).ok());
        }
    });
    Ok(format!("http://{address}"))
}

/// One request and its answer; both sides close then.
fn pass(mut client: &TcpStream, port: u16, host: &str) -> Result<()> {
    let mut reader = BufReader::new(client.take(MAX_HEAD));
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut head = line.clone();
    let mut length = 0;
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        match name.to_ascii_lowercase().as_str() {
            "host" | "connection" => continue,
            "content-length" => length = value.trim().parse().context("a length")?,
            "expect" => client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?,
            _ => {}
        }
        head.push_str(&line);
    }
    if head.trim().is_empty() {
        return Ok(());
    }
    head.push_str(&format!("Host: {host}\r\nConnection: close\r\n\r\n"));
    let mut service = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    service.write_all(head.as_bytes())?;
    reader.get_mut().set_limit(length);
    std::io::copy(&mut reader.take(length), &mut service)?;
    std::io::copy(&mut service, &mut client)?;
    // What a client has sent on in the meantime is read, not answered: a close with unread bytes would reset the
    // connection, and take the answer away.
    client.shutdown(Shutdown::Write)?;
    client.set_read_timeout(Some(LINGER))?;
    std::io::copy(&mut client, &mut std::io::sink()).ok();
    Ok(())
}
