//! A proxy between an Envoy and the key service. It can drop syncs while it forwards verifies, and records the callouts that
//! pass.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use serde_json::Value;
use test_stack::Envoy;

/// The proxy; it speaks HTTP/1.1 and runs until the process ends.
pub(crate) struct CutOff {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    drops_syncs: AtomicBool,
    passed: Mutex<Vec<Passed>>,
}

/// A callout that has passed, or an answer with 200 that the Envoy still waited for.
#[derive(Clone, Debug)]
pub(crate) struct Passed {
    /// The id of the edge that sent the callout.
    pub(crate) edge: String,
    pub(crate) is_sync: bool,
    /// A sync that the service may hold. An edge sends it only while it has a lease.
    pub(crate) may_be_held: bool,
    pub(crate) is_answer: bool,
    pub(crate) at: Instant,
    /// When the callout itself passed.
    pub(crate) sent_at: Instant,
}

impl CutOff {
    pub(crate) fn before(service: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let shared_with_all = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&shared_with_all);
                thread::spawn(move || pass_on(client, service, &shared));
            }
        });
        CutOff { address, shared }
    }

    /// Drops all syncs, and the answers to them, from now on.
    pub(crate) fn drop_syncs(&self) {
        self.shared.drops_syncs.store(true, Ordering::SeqCst);
    }

    /// The requests that have passed since this moment.
    pub(crate) fn passed_since(&self, moment: Instant) -> Vec<Passed> {
        let passed = self.shared.passed.lock().unwrap();
        passed[passed.partition_point(|passed| passed.at < moment)..].to_vec()
    }
}

/// Makes an Envoy reach the key service through the address `to`, over HTTP/1.1.
pub(crate) fn reroute(envoy: &Envoy, from: SocketAddr, to: SocketAddr) {
    envoy.process().stop().unwrap();
    let rendered = std::fs::read_to_string(envoy.config()).unwrap();
    let place = |at: SocketAddr| format!("address: {}, port_value: {} }}", at.ip(), at.port());
    // The listener has HTTP/2 options too; those of the cluster are the last in the file.
    let (options, policy) =
        (rendered.rfind("http2_protocol_options:").unwrap(), rendered.rfind("circuit_breakers:").unwrap());
    let mut rerouted = rendered.clone();
    rerouted.replace_range(options..policy, "http_protocol_options: {}\n      ");
    let rerouted = rerouted.replace(&place(from), &place(to));
    assert_ne!(rerouted, rendered);
    std::fs::write(envoy.config(), rerouted).unwrap();
    envoy.process().start().unwrap();
}

/// Passes one connection's requests on, one after the other, until either side closes or one is dropped.
fn pass_on(client: TcpStream, service: SocketAddr, shared: &Shared) -> Option<()> {
    let service = TcpStream::connect(service).ok()?;
    service.set_nodelay(true).ok()?;
    client.set_nodelay(true).ok()?;
    let (mut from_client, mut from_service) =
        (BufReader::new(client.try_clone().ok()?), BufReader::new(service.try_clone().ok()?));
    let (mut client, mut service) = (client, service);
    loop {
        let request = message(&mut from_client)?;
        let is_sync = request.starts_with(b"POST /edge/v1/sync");
        let is_cut = || is_sync && shared.drops_syncs.load(Ordering::SeqCst);
        let sent_at = Instant::now();
        let note = |is_answer| {
            let at = if is_answer { Instant::now() } else { sent_at };
            let body = body_of(&request)?;
            let edge = body["edge"].as_str()?.to_owned();
            let may_be_held = is_sync && body["wait_ms"].as_u64()? > 0;
            let passed = Passed { edge, is_sync, may_be_held, is_answer, at, sent_at };
            shared.passed.lock().unwrap().push(passed);
            Some(())
        };
        if !is_cut() {
            note(false)?;
            service.write_all(&request).ok()?;
            let response = message(&mut from_service)?;
            if !is_cut() && !has_closed(&client) {
                if response.starts_with(b"HTTP/1.1 200") {
                    note(true)?;
                }
                client.write_all(&response).ok()?;
                continue;
            }
        }
        // The callout is dropped. Read on, so that the connection stays open until Envoy closes it.
        let _ = from_client.read_to_end(&mut Vec::new());
        return None;
    }
}

/// Whether the other side has closed a connection on which it waits for an answer.
fn has_closed(connection: &TcpStream) -> bool {
    connection.set_nonblocking(true).unwrap();
    let has_closed = !connection.peek(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
    connection.set_nonblocking(false).unwrap();
    has_closed
}

/// The JSON body of a callout.
fn body_of(request: &[u8]) -> Option<Value> {
    let head = request.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    serde_json::from_slice(&request[head + 4..]).ok()
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
