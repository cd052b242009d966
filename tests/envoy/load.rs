//! Clients that never pause, and a record of all their requests.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use crate::client::{Connection, request};

/// The start of a request, and its status.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) begun: Instant,
    pub(crate) status: u16,
}

/// Connections to every worker of some Envoys, kept from one round to the next.
pub(crate) struct Clients(Vec<Connection>);

/// Clients at work.
pub(crate) struct Load<'scope> {
    shared: &'scope Shared,
    threads: Vec<ScopedJoinHandle<'scope, Vec<Seen>>>,
}

/// The state that a load shares with its clients.
#[derive(Default)]
pub(crate) struct Shared {
    stop: AtomicBool,
    warm: AtomicUsize,
    answered: AtomicUsize,
    /// The last status of each connection; 0 if none since `until_all_see` was called.
    latest: Mutex<Vec<u16>>,
}

impl Clients {
    /// Opens this number of connections to each address. The kernel spreads them over the workers.
    pub(crate) fn connect(addresses: &[SocketAddr], each: usize) -> Self {
        Clients(
            addresses.iter().flat_map(|&address| (0..each).map(move |_| Connection::open(address))).collect(),
        )
    }

    /// Makes every connection send this key as fast as it can. Returns once each has had one response.
    pub(crate) fn start<'scope, 'env>(
        &'env mut self,
        scope: &'scope Scope<'scope, 'env>,
        shared: &'scope Shared,
        key: &str,
    ) -> Load<'scope> {
        let count = self.0.len();
        *shared.latest.lock().unwrap() = vec![0; count];
        let mut threads = Vec::new();
        for (number, connection) in self.0.iter_mut().enumerate() {
            let bytes = request("GET", "/api/insights/", &[("authorization", &format!("Bearer {key}"))], b"");
            threads.push(scope.spawn(move || {
                let mut seen = Vec::new();
                while !shared.stop.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    let status = connection.send(&bytes).receive().status;
                    seen.push(Seen { begun, status });
                    shared.latest.lock().unwrap()[number] = status;
                    shared.answered.fetch_add(1, Ordering::Relaxed);
                    if seen.len() == 1 {
                        shared.warm.fetch_add(1, Ordering::Relaxed);
                    }
                }
                seen
            }));
        }
        while shared.warm.load(Ordering::Relaxed) < count {
            thread::sleep(Duration::from_micros(200));
        }
        Load { shared, threads }
    }
}

impl Load<'_> {
    /// Waits until requests that begin after this call have had responses, on a busy machine too.
    pub(crate) fn await_responses(&self) {
        let enough = self.shared.answered.load(Ordering::Relaxed) + 3 * self.threads.len();
        let began = Instant::now();
        while self.shared.answered.load(Ordering::Relaxed) < enough {
            assert!(began.elapsed() < Duration::from_secs(20), "the load has stopped");
            thread::sleep(Duration::from_micros(500));
        }
    }

    /// Waits until every connection gets this status.
    pub(crate) fn until_all_see(&self, status: u16) {
        self.shared.latest.lock().unwrap().fill(0);
        let began = Instant::now();
        while self.shared.latest.lock().unwrap().iter().any(|latest| *latest != status) {
            assert!(began.elapsed() < Duration::from_secs(30), "some connections do not get {status}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Stops the clients, and returns all their requests.
    pub(crate) fn stop(self) -> Vec<Seen> {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    }
}
