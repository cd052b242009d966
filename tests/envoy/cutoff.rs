//! A proxy between an Envoy and the key service that can swallow syncs while verifies go through.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// The proxy; it speaks HTTP/1.1 and runs until the process ends.
pub(crate) struct CutOff {
    pub(crate) address: SocketAddr,
    swallows_syncs: Arc<AtomicBool>,
}

impl CutOff {
    pub(crate) fn before(service: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let swallows_syncs = Arc::new(AtomicBool::new(false));
        let swallows = Arc::clone(&swallows_syncs);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let swallows = Arc::clone(&swallows);
                thread::spawn(move || pass_on(client, service, &swallows));
            }
        });
        CutOff { address, swallows_syncs }
    }

    /// From now on syncs, and answers to them, get lost.
    pub(crate) fn swallow_syncs(&self) {
        self.swallows_syncs.store(true, Ordering::SeqCst);
    }
}

/// Passes one connection's requests on, one after the other, until either side closes or one is swallowed.
fn pass_on(client: TcpStream, service: SocketAddr, swallows: &AtomicBool) -> Option<()> {
    let service = TcpStream::connect(service).ok()?;
    service.set_nodelay(true).ok()?;
    client.set_nodelay(true).ok()?;
    let (mut from_client, mut from_service) =
        (BufReader::new(client.try_clone().ok()?), BufReader::new(service.try_clone().ok()?));
    let (mut client, mut service) = (client, service);
    loop {
        let request = message(&mut from_client)?;
        let is_sync = request.starts_with(b"POST /edge/v1/sync");
        let is_cut = || is_sync && swallows.load(Ordering::SeqCst);
        if !is_cut() {
            service.write_all(&request).ok()?;
            let response = message(&mut from_service)?;
            if !is_cut() {
                client.write_all(&response).ok()?;
                continue;
            }
        }
        // Swallowed: nothing more comes on this connection until Envoy gives it up.
        let _ = from_client.read_to_end(&mut Vec::new());
        return None;
    }
}

/// One message of HTTP/1.1 with a content-length.
fn message(from: &mut impl BufRead) -> Option<Vec<u8>> {
    let (mut bytes, mut length) = (Vec::new(), 0);
    loop {
        let start = bytes.len();
        if from.read_until(b'\n', &mut bytes).ok()? == 0 {
            return None;
        }
        let line = String::from_utf8_lossy(&bytes[start..]).to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line.trim_end().is_empty() {
            break;
        }
    }
    let start = bytes.len();
    bytes.resize(start + length, 0);
    from.read_exact(&mut bytes[start..]).ok()?;
    Some(bytes)
}
