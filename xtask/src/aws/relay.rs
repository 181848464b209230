//! Passes requests on: the host name of an installation, which DNS and CloudFront are on AWS, and the door to AWS of
//! each component, at which its calls are seen. Neither path nor body changes, which clients sign.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

/// Longest head of a request, in bytes.
const MAX_HEAD: u64 = 64 << 10;
/// Longest body that is shown to who looks on, in bytes: a transaction of DynamoDB has 4 MB at most.
const MAX_SEEN: u64 = 8 << 20;
/// How long the end of a connection may take.
const LINGER: Duration = Duration::from_secs(5);

/// A request, as far as rights depend on it.
#[derive(Debug, Default)]
pub(super) struct Request {
    pub(super) method: String,
    /// Path and query, as they came.
    pub(super) target: String,
    /// Names are in small letters.
    pub(super) headers: Vec<(String, String)>,
    /// Empty for all methods but `POST`: files are not kept.
    pub(super) body: Vec<u8>,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Is told of each request and the status of its answer.
pub(super) type Watch = Arc<dyn Fn(&Request, u16) + Send + Sync>;

/// To where, and what happens on the way.
#[derive(Clone)]
pub(super) struct Relay {
    /// On this machine.
    pub(super) port: u16,
    /// The name in the place of the one that the client knew.
    pub(super) host: Option<String>,
    pub(super) watch: Option<Watch>,
}

impl Relay {
    /// Listens, and answers its address. It ends with the process.
    pub(super) fn open(self) -> Result<String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen")?;
        let address = listener.local_addr().context("listen")?;
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let relay = self.clone();
                std::thread::spawn(move || {
                    // Who goes away in the middle of an answer is a client that was stopped; whoever is not answered
                    // says so itself.
                    relay.pass(&client).ok();
                });
            }
        });
        Ok(format!("http://{address}"))
    }

    /// One request and its answer; both sides close then.
    fn pass(&self, mut client: &TcpStream) -> Result<()> {
        let mut reader = BufReader::new(client.take(MAX_HEAD));
        let Some((mut request, mut head, length)) = self.head(&mut reader, client)? else {
            return Ok(());
        };
        head.push_str("Connection: close\r\n\r\n");
        let mut service = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        service.write_all(head.as_bytes())?;
        reader.get_mut().set_limit(length);
        if request.method == "POST" && self.watch.is_some() {
            ensure!(length <= MAX_SEEN, "a body of {length} bytes");
            reader.take(length).read_to_end(&mut request.body)?;
            service.write_all(&request.body)?;
        } else {
            std::io::copy(&mut reader.take(length), &mut service)?;
        }
        let mut answer = BufReader::new(service);
        let mut line = String::new();
        answer.read_line(&mut line)?;
        if let Some(watch) = &self.watch {
            let status = line.split(' ').nth(1).and_then(|word| word.parse().ok());
            watch(&request, status.context("an answer without a status")?);
        }
        client.write_all(line.as_bytes())?;
        std::io::copy(&mut answer, &mut client)?;
        // What a client has sent on in the meantime is read, not answered: a close with unread bytes would reset the
        // connection, and take the answer away.
        client.shutdown(Shutdown::Write)?;
        client.set_read_timeout(Some(LINGER))?;
        std::io::copy(&mut client, &mut std::io::sink()).ok();
        Ok(())
    }

    /// The head, as it is read, as it is sent on, and the length of the body. Nothing if the client said nothing.
    fn head(
        &self,
        reader: &mut impl std::io::BufRead,
        mut client: &TcpStream,
    ) -> Result<Option<(Request, String, u64)>> {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split(' ').map(str::to_owned);
        let mut request = Request {
            method: words.next().unwrap_or_default(),
            target: words.next().context("a request without a target")?,
            ..Request::default()
        };
        let mut head = line.clone();
        let mut length = 0;
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 || line == "\r\n" {
                break;
            }
            let (name, value) = line.split_once(':').unwrap_or((&line, ""));
            let (name, value) = (name.to_ascii_lowercase(), value.trim());
            match name.as_str() {
                "host" if self.host.is_some() => continue,
                "connection" => continue,
                "content-length" => length = value.parse().context("a length")?,
                "transfer-encoding" => bail!("a body without a length"),
                "expect" => {
                    client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
                    continue;
                }
                _ => {}
            }
            head.push_str(&line);
            request.headers.push((name, value.to_owned()));
        }
        if let Some(host) = &self.host {
            head.push_str(&format!("Host: {host}\r\n"));
        }
        Ok(Some((request, head, length)))
    }
}
