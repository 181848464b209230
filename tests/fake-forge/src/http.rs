//! As much of HTTP/1.1 as tests need: one request a connection, and answers that may be lost or cut.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Error, Read as _, Result, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};

pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query, as they came.
    pub(crate) target: String,
    /// By their names in lower case.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    pub(crate) fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }
}

pub(crate) struct Response {
    /// Number and word.
    pub(crate) status: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) end: End,
}

/// How much of an answer arrives.
#[derive(Clone, Copy)]
pub(crate) enum End {
    Whole,
    /// So many bytes of its body.
    Cut(usize),
    Nothing,
}

impl Response {
    pub(crate) fn new(status: &str, body: &[u8]) -> Self {
        Self {
            status: status.to_owned(),
            headers: Vec::new(),
            body: body.to_vec(),
            end: End::Whole,
        }
    }

    pub(crate) fn nothing() -> Self {
        let mut response = Self::new("", b"");
        response.end = End::Nothing;
        response
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn code(&self) -> u16 {
        let word = self.status.split(' ').next().unwrap_or_default();
        word.parse().unwrap_or(0)
    }
}

/// Answers every connection to a new port of this machine, each on a thread of its own, until the process ends.
pub(crate) fn listen(answer: impl Fn(&Request) -> Response + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = std::sync::Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let answer = std::sync::Arc::clone(&answer);
            std::thread::spawn(move || {
                // A client that goes away in the middle is not the server's failure.
                let _ = serve(&stream.unwrap(), &*answer);
            });
        }
    });
    port
}

fn serve(stream: &TcpStream, answer: &dyn Fn(&Request) -> Response) -> Result<()> {
    let Some(request) = read(stream)? else {
        return Ok(());
    };
    write(stream, &answer(&request))
}

fn read(mut stream: &TcpStream) -> Result<Option<Request>> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Ok(None);
    };
    let headers = fields(&mut reader)?;
    if headers.get("expect").is_some_and(|e| e == "100-continue") {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let body = content(&mut reader, &headers)?;
    Ok(Some(Request {
        method,
        target,
        headers,
        body,
    }))
}

fn fields(reader: &mut BufReader<&TcpStream>) -> Result<HashMap<String, String>> {
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            return Ok(headers);
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
}

fn content(
    reader: &mut BufReader<&TcpStream>,
    headers: &HashMap<String, String>,
) -> Result<Vec<u8>> {
    let chunked = headers.get("transfer-encoding");
    if chunked.is_some_and(|encoding| encoding == "chunked") {
        return chunks(reader);
    }
    let length = headers.get("content-length");
    let mut body = vec![0; length.and_then(|length| length.parse().ok()).unwrap_or(0)];
    reader.read_exact(&mut body)?;
    Ok(body)
}

fn chunks(reader: &mut BufReader<&TcpStream>) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let size = usize::from_str_radix(line.trim(), 16).unwrap_or(0);
        let start = body.len();
        body.resize(start + size, 0);
        reader.read_exact(&mut body[start..])?;
        // The end of the line after the bytes.
        reader.read_line(&mut line)?;
        if size == 0 {
            return Ok(body);
        }
    }
}

fn write(mut stream: &TcpStream, response: &Response) -> Result<()> {
    let keep = match response.end {
        End::Whole => response.body.len(),
        End::Cut(bytes) => bytes.min(response.body.len()),
        End::Nothing => return stream.shutdown(Shutdown::Both),
    };
    let mut head = format!("HTTP/1.1 {}\r\n", response.status);
    for (name, value) in &response.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!(
        "Content-Length: {}\r\nConnection: close\r\n\r\n",
        response.body.len()
    ));
    stream.write_all(head.as_bytes())?;
    stream.write_all(&response.body[..keep])?;
    match response.end {
        End::Cut(_) => stream.shutdown(Shutdown::Both),
        _ => Ok(()),
    }
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Got {
    /// Its number.
    pub status: u16,
    /// By their names in lower case.
    pub headers: HashMap<String, String>,
    /// Whole.
    pub body: Vec<u8>,
}

impl Got {
    /// The body, or nothing where it is no JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// Sends one request to an address on this machine. An error is a connection that ends without an answer.
pub fn send(method: &str, url: &str, headers: &[(String, String)], body: &[u8]) -> Result<Got> {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    let mut head = format!("{method} /{path} HTTP/1.1\r\nHost: {host}\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if method != "GET" {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("Connection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut reader = BufReader::new(&stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| Error::other(format!("no answer of HTTP: {line:?}")))?;
    let headers = fields(&mut reader)?;
    let body = content(&mut reader, &headers)?;
    Ok(Got {
        status,
        headers,
        body,
    })
}

/// How long an answer is waited for: longer than any machine is slow, so that only what hangs is given up.
const ANSWER_WITHIN: std::time::Duration = std::time::Duration::from_secs(300);
