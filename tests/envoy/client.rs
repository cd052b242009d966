//! An HTTP/1.1 client over a plain socket: it sends exactly the bytes it is given, however odd.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Longer than anything here may take: a request that gets no answer fails its test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// A header's value, however often it is there.
    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(header, _)| header == name).map(|(_, value)| value.as_str()).collect()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The values of a request header, as the echo upstream saw it.
    pub(crate) fn upstream_header(&self, name: &str) -> Vec<String> {
        let seen = self.json();
        let pairs = seen["headers"].as_array().unwrap_or_else(|| panic!("not from the upstream: {seen}"));
        let of_name = pairs.iter().filter(|pair| pair[0] == name);
        of_name.map(|pair| pair[1].as_str().unwrap().to_owned()).collect()
    }
}

pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
    /// An answer to HEAD has the length of a body that it does not have.
    is_head: bool,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Connection { stream: BufReader::new(stream), is_head: false }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> &mut Self {
        self.is_head = bytes.starts_with(b"HEAD ");
        self.stream.get_mut().write_all(bytes).unwrap();
        self
    }

    /// Whether the other side closes instead of answering.
    pub(crate) fn is_closed_unanswered(&mut self, bytes: &[u8]) -> bool {
        let sent = self.stream.get_mut().write_all(bytes);
        sent.is_err() || matches!(self.stream.read(&mut [0]), Ok(0) | Err(_))
    }

    pub(crate) fn receive(&mut self) -> Response {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.stream.read_line(&mut line).unwrap(), 0, "the connection ended after {lines:?}");
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let status = lines[0].split(' ').nth(1).unwrap().parse().unwrap();
        let split =
            |line: &String| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
        let headers: Vec<(String, String)> = lines[1..].iter().filter_map(split).collect();
        let length = headers
            .iter()
            .find(|(name, _)| name == "content-length")
            .map(|(_, length)| length.parse().unwrap());
        let length = length.filter(|_| !self.is_head);
        let mut body = vec![0; length.unwrap_or(0)];
        self.stream.read_exact(&mut body).unwrap();
        Response { status, headers, body }
    }
}

/// The bytes of a request; a body gets its length.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: api.example.com\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH") {
        head += &format!("content-length: {}\r\n", body.len());
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

/// One request on a connection of its own.
pub(crate) fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Response {
    Connection::open(address).send(&request(method, path, headers, body)).receive()
}

/// A GET request with this key.
pub(crate) fn get(address: SocketAddr, path: &str, key: &str) -> Response {
    send(address, "GET", path, &[("authorization", &format!("Bearer {key}"))], b"")
}
