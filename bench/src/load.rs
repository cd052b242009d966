//! The load of this program: blocking connections, a thread each.
//!
//! It fills the caches, checks every status and measures latency. It also is the load of the slices if there is no `wrk`.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::connection::Connection;
use crate::usage;
use crate::variants::Variant;

/// Requests take every so many-th key, so that neighbours in memory are not used one after the other. It shares no factor with
/// the numbers of keys, so that every key has its turn.
pub(crate) const STRIDE: usize = 61_803;

/// Connections to the Envoy of a variant, and the requests that they send.
#[derive(Debug)]
pub(crate) struct Load {
    connections: Vec<Connection>,
    requests: Requests,
    status: u16,
}

/// The requests of a variant: one for each key.
#[derive(Debug)]
struct Requests {
    texts: Vec<Vec<u8>>,
    sent: AtomicUsize,
}

impl Requests {
    fn next(&self) -> &[u8] {
        &self.texts[place(self.sent.fetch_add(1, Ordering::Relaxed), self.texts.len())]
    }
}

/// Which of `count` keys the request of this number takes.
fn place(number: usize, count: usize) -> usize {
    number.wrapping_mul(STRIDE) % count
}

impl Load {
    /// Connects.
    ///
    /// # Errors
    /// Envoy does not accept a connection.
    pub(crate) fn connect(address: SocketAddr, variant: &Variant, connections: u16) -> Result<Self> {
        let text = |key: Option<&String>| {
            let credentials = key.map(|key| format!("Authorization: Bearer {key}\r\n")).unwrap_or_default();
            let headers = HEADERS.map(|(name, value)| format!("{name}: {value}\r\n")).concat();
            format!("GET {} HTTP/1.1\r\n{headers}{credentials}\r\n", variant.path).into_bytes()
        };
        let keys = variant.credentials.keys();
        let texts =
            if keys.is_empty() { vec![text(None)] } else { keys.iter().map(Some).map(text).collect() };
        let connections = (0..connections).map(|_| Connection::open(address));
        Ok(Load {
            connections: connections.collect::<Result<_>>()?,
            requests: Requests { texts, sent: AtomicUsize::new(0) },
            status: variant.status,
        })
    }

    /// How many requests have been sent.
    pub(crate) fn sent(&self) -> usize {
        self.requests.sent.load(Ordering::Relaxed)
    }

    /// Counts requests that another program has sent.
    pub(crate) fn skip(&self, requests: usize) {
        self.requests.sent.fetch_add(requests, Ordering::Relaxed);
    }

    /// Sends so many requests.
    ///
    /// # Errors
    /// A response does not arrive, or has another status than the variant's.
    pub(crate) fn send(&mut self, requests: usize) -> Result<()> {
        let until = self.sent() + requests;
        self.on_each_connection(|_, connection| {
            while connection.sent() < until {
                connection.exchange()?;
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Sends requests for this time, on each connection one after the other. Returns how many were answered.
    ///
    /// # Errors
    /// See [`send`](Self::send).
    pub(crate) fn run(&mut self, slice: Duration) -> Result<u64> {
        let until = Instant::now() + slice;
        let counts = self.on_each_connection(|_, connection| {
            let mut answered = 0;
            while Instant::now() < until {
                connection.exchange()?;
                answered += 1;
            }
            Ok(answered)
        })?;
        Ok(counts.into_iter().sum())
    }

    /// Sends so many requests a second for this time, at even distances, whether or not earlier ones have been answered: a
    /// connection that is late for its next request still counts from when that was due. Returns how long each response took,
    /// in nanoseconds, in no order.
    ///
    /// # Errors
    /// See [`send`](Self::send).
    pub(crate) fn latencies(&mut self, per_second: f64, slice: Duration) -> Result<Vec<u64>> {
        let connections = self.connections.len() as f64;
        let period = Duration::from_secs_f64(connections / per_second);
        let began = Instant::now();
        let times = self.on_each_connection(|index, connection| {
            usage::make_timers_exact()?;
            let mut times = Vec::new();
            let mut due = began + period.mul_f64(index as f64 / connections);
            while due < began + slice {
                thread::sleep(due.saturating_duration_since(Instant::now()));
                connection.exchange()?;
                times.push(due.elapsed().as_nanos() as u64);
                due += period;
            }
            Ok(times)
        })?;
        Ok(times.concat())
    }

    /// Runs a task on each connection at the same time. Returns their results.
    fn on_each_connection<T: Send>(
        &mut self,
        task: impl Fn(usize, &mut Sender<'_>) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        let (requests, status, task) = (&self.requests, self.status, &task);
        thread::scope(|scope| {
            let senders = self.connections.iter_mut().map(|of| Sender { connection: of, requests, status });
            let threads: Vec<_> = senders
                .enumerate()
                .map(|(index, mut sender)| scope.spawn(move || task(index, &mut sender)))
                .collect();
            let results = threads.into_iter().map(|thread| match thread.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            results.collect()
        })
    }
}

/// The headers of every request: those that curl sends.
pub(crate) const HEADERS: [(&str, &str); 3] =
    [("Host", "bench.example.com"), ("User-Agent", "bench/1.0"), ("Accept", "*/*")];

/// A connection that sends the variant's requests.
struct Sender<'a> {
    connection: &'a mut Connection,
    requests: &'a Requests,
    status: u16,
}

impl Sender<'_> {
    fn sent(&self) -> usize {
        self.requests.sent.load(Ordering::Relaxed)
    }

    fn exchange(&mut self) -> Result<()> {
        let status = self.connection.exchange(self.requests.next())?;
        if status != self.status {
            bail!("a request got {status} instead of {}", self.status);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;
    use crate::variants::ALL;

    #[test]
    fn every_key_has_its_turn_and_none_follows_its_neighbour() {
        for variant in ALL {
            let count = variant.credentials.keys().len().max(1);
            let places: BTreeSet<_> = (0..count).map(|number| place(number, count)).collect();
            assert_eq!(places.len(), count, "{}", variant.name);
        }
        assert!((0..99).all(|number| place(number, 100).abs_diff(place(number + 1, 100)) > 1));
    }

    /// A server that answers each request with this status, and takes this long for the first one.
    fn server(status: u16, first: Duration) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut pause = first;
            while stream.read(&mut [0; 2_048]).is_ok_and(|count| count > 0) {
                thread::sleep(std::mem::take(&mut pause));
                write!(stream, "HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n").unwrap();
            }
        });
        address
    }

    #[test]
    fn another_status_is_an_error() {
        let mut load = Load::connect(server(503, Duration::ZERO), &ALL[0], 1).unwrap();
        assert_eq!(load.send(1).unwrap_err().to_string(), "a request got 503 instead of 200");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_request_that_has_to_wait_for_the_one_before_counts_from_when_it_was_due() {
        let pause = Duration::from_millis(100);
        let mut load = Load::connect(server(200, pause), &ALL[0], 1).unwrap();
        let times = load.latencies(100.0, pause).unwrap();
        assert_eq!(times.len(), 10);
        // The last one was due 10 ms before the first response; the others waited longer.
        assert!(times.iter().all(|&time| time >= 9_000_000), "{times:?}");
        assert_eq!(load.sent(), 10);
    }
}
