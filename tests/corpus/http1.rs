//! HTTP/1 as raw bytes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than Envoy lets any request wait.
const PATIENCE: Duration = Duration::from_secs(30);

/// The next request on the same connection, from another client. A smuggled request would take its place.
pub(crate) const NEXT: &str = "GET /decide/?next HTTP/1.1\r\nHost: next\r\nConnection: close\r\n\r\n";

/// Sends these bytes, then [`NEXT`], waits until Envoy has closed the connection, and returns the answers.
pub(crate) fn exchange(edge: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(edge).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    // Envoy may refuse and close before it has read everything.
    let _ = stream.write_all(bytes).and_then(|()| stream.write_all(NEXT.as_bytes()));
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => answer.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("neither answered nor closed: {:?}", String::from_utf8_lossy(bytes))
            }
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}
