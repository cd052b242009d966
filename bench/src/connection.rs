//! A client's connection, which sends one request at a time.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// How long a response may take.
const LIMIT: Duration = Duration::from_secs(10);

/// The most headers of a response.
const MOST_HEADERS: usize = 32;

/// A connection over HTTP/1.1.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LIMIT))?;
        Ok(Connection { stream, buffer: Vec::new() })
    }

    /// Sends a request and reads the whole response. Returns its status.
    ///
    /// # Errors
    /// The connection ends, the response takes longer than 10 s, or it has no `content-length`.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> Result<u16> {
        self.stream.write_all(request)?;
        self.buffer.clear();
        let mut chunk = [0; 2_048];
        loop {
            let count = self.stream.read(&mut chunk).context("no response")?;
            if count == 0 {
                bail!("the connection ended before the response did");
            }
            self.buffer.extend_from_slice(&chunk[..count]);
            if let Some((status, length)) = measure(&self.buffer)?
                && self.buffer.len() >= length
            {
                return Ok(status);
            }
        }
    }
}

/// The status and the length of a response, of which these are the first bytes; `None` if the headers are incomplete.
fn measure(bytes: &[u8]) -> Result<Option<(u16, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(bytes)? else { return Ok(None) };
    let status = response.code.context("a response has no status")?;
    let mut lengths = response.headers.iter().filter(|of| of.name.eq_ignore_ascii_case("content-length"));
    let body =
        lengths.next().with_context(|| format!("a response of status {status} has no content-length"))?;
    let body: usize = std::str::from_utf8(body.value)?.parse()?;
    Ok(Some((status, head + body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_ends_with_its_body() {
        let bytes = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nok";
        assert_eq!(measure(bytes).unwrap(), Some((401, bytes.len())));
        assert_eq!(measure(&bytes[..bytes.len() - 1]).unwrap(), Some((401, bytes.len())));
        assert_eq!(measure(&bytes[..40]).unwrap(), None);
    }

    #[test]
    fn a_response_without_a_length_is_refused() {
        let error = measure(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap_err();
        assert!(error.to_string().contains("content-length"), "{error}");
    }
}
