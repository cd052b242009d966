//! The host functions that the filter uses. They pass bytes, so no header value can stop the VM.
#![expect(
    clippy::disallowed_methods,
    reason = "the one place that reads clocks, randomness and the environment"
)]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use protocol::{Node, NodeText};
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType, MetricType, Status};

use crate::address::Address;
use crate::ambiguity::Ambiguity;
use crate::clock::Moment;
use crate::config::KeyService;
use crate::header_policy::HeaderPolicy;
use crate::headers::HeaderPairs;
use crate::lookup::{CalloutId, StreamId};
use crate::metrics::{Counter, Gauge, Histogram, Metrics};
use crate::reply::Reply;
use crate::request::{self, Reading};

/// The ABI's status for success.
const OK: u32 = 0;

/// Filter state: the id of the accepted key; in shadow mode also of a valid key that lacks the scope. Access logs show it as
/// `%FILTER_STATE(wasm.edge_key_auth.key_id:PLAIN)%`.
pub(super) const KEY_ID: &str = "edge_key_auth.key_id";

/// Filter state: why a request was denied, or forwarded without a grant on a route that is not public. Access logs show it as `%FILTER_STATE(wasm.edge_key_auth.reason:PLAIN)%`.
pub(super) const REASON: &str = "edge_key_auth.reason";

/// The reason of a request whose bearer token the upstream judges.
pub(super) const LEFT_TO_UPSTREAM: &str = "left_to_upstream";

/// This VM's clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Self {
        Clock(Instant::now())
    }

    pub(super) fn now(self) -> Moment {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Moment { monotonic: self.0.elapsed().as_millis() as u64, wall: wall.as_millis() as u64 }
    }
}

/// The value of an environment variable of the VM; empty if it is not set.
pub(super) fn environment(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// 128 random bits as hexadecimal digits.
pub(super) fn random_id() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// 64 random bits.
pub(super) fn random_number() -> Result<u64, getrandom::Error> {
    getrandom::u64()
}

/// The metrics' ids at the host.
#[derive(Debug)]
pub(super) struct Meters {
    counters: Vec<u32>,
    gauges: Vec<u32>,
    histograms: Vec<u32>,
}

impl Meters {
    pub(super) fn define() -> Self {
        let define = |kind, name| hostcalls::define_metric(kind, name).unwrap_or_default();
        Meters {
            counters: Counter::ALL.iter().map(|metric| define(MetricType::Counter, metric.name())).collect(),
            gauges: Gauge::ALL.iter().map(|metric| define(MetricType::Gauge, metric.name())).collect(),
            histograms: Histogram::ALL
                .iter()
                .map(|metric| define(MetricType::Histogram, metric.name()))
                .collect(),
        }
    }

    /// Exports everything new. Gauges are exported as changes, because all VMs of an Envoy share them.
    pub(super) fn export(&self, metrics: &mut Metrics) {
        let add = |ids: &[u32], at: usize, change: i64| {
            let result = ids.get(at).map(|&id| hostcalls::increment_metric(id, change));
            debug_assert!(matches!(result, Some(Ok(()))));
        };
        let record = |at: usize, value: u64| {
            let result = self.histograms.get(at).map(|&id| hostcalls::record_metric(id, value));
            debug_assert!(matches!(result, Some(Ok(()))));
        };
        metrics.drain(
            |counter, count| add(&self.counters, counter as usize, count as i64),
            |gauge, change| add(&self.gauges, gauge as usize, change),
            |histogram, value| record(histogram as usize, value),
        );
    }
}

/// Sets the period of `on_tick`.
pub(super) fn tick_every(milliseconds: u64) {
    let set = hostcalls::set_tick_period(Duration::from_millis(milliseconds));
    debug_assert!(set.is_ok());
}

/// A header list of the current request, as one block of bytes; `None` if the host call failed.
pub(super) struct HeaderBlock(Option<Vec<u8>>);

impl HeaderBlock {
    pub(super) fn of_request() -> Self {
        HeaderBlock(header_map_bytes(MapType::HttpRequestHeaders as u32))
    }

    pub(super) fn of_trailers() -> Self {
        HeaderBlock(header_map_bytes(MapType::HttpRequestTrailers as u32))
    }

    fn pairs(&self) -> Result<HeaderPairs<'_>, Ambiguity> {
        let block = self.0.as_ref().ok_or(Ambiguity::Headers)?;
        HeaderPairs::new(block).map_err(|_| Ambiguity::Headers)
    }

    /// The names of the trailers to remove.
    pub(super) fn trailers_to_remove(&self, policy: &HeaderPolicy) -> Result<Vec<&str>, Ambiguity> {
        request::trailers_to_remove(self.pairs()?, policy)
    }

    /// Reads the block of a request's headers.
    pub(super) fn read(&self, policy: &HeaderPolicy) -> Reading<'_> {
        match self.pairs() {
            Ok(pairs) => Reading::of(pairs, policy),
            Err(ambiguity) => Reading { removed: Vec::new(), head: Err(ambiguity) },
        }
    }
}

/// Removes a header of the current request.
pub(super) fn remove_header(name: &str) {
    remove(MapType::HttpRequestHeaders, name);
}

/// Removes a trailer of the current request.
pub(super) fn remove_trailer(name: &str) {
    remove(MapType::HttpRequestTrailers, name);
}

/// The SDK stops the VM if the host refuses to change headers, so a forged header is never forwarded.
fn remove(map: MapType, name: &str) {
    let removed = hostcalls::remove_map_value(map, name);
    debug_assert!(removed.is_ok());
}

/// Sets a header of the current request; it replaces all headers with this name.
pub(super) fn set_header(name: &str, value: &str) {
    let set = hostcalls::set_map_value(MapType::HttpRequestHeaders, name, Some(value));
    debug_assert!(set.is_ok());
}

/// Answers the current request.
pub(super) fn send(reply: &Reply) {
    let headers: Vec<(&str, &[u8])> =
        reply.headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    set_filter_state(REASON, reply.reason);
    if send_local_response(reply.status, reply.reason, &headers, &reply.body) != OK {
        log::error!("the host refused a reply of status {}", reply.status);
    }
}

/// Sets filter state of the current request, for access logs.
pub(super) fn set_filter_state(name: &str, value: &str) {
    let status = set_property(name, value);
    if status != OK {
        log::debug!("cannot set the filter state: {status}");
    }
}

/// The client's address of the current request; Envoy skips its configured trusted hops.
pub(super) fn source_address() -> Address {
    Address::read(&property_bytes("source\0address").unwrap_or_default())
}

/// The Envoy that this VM runs in.
pub(super) fn node() -> Node {
    let text = |path| NodeText::of(&property_bytes(path).unwrap_or_default());
    let number = |part| -> Option<u64> {
        let bytes = property_bytes(&format!("node\0user_agent_build_version\0version\0{part}"))?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    };
    let version =
        || Some(format!("{}.{}.{}", number("major_number")?, number("minor_number")?, number("patch")?));
    Node {
        id: text("node\0id"),
        cluster: text("node\0cluster"),
        version: version().unwrap_or_default().into(),
    }
}

/// Resumes the current request, which was held.
pub(super) fn resume() {
    let resumed = hostcalls::resume_http_request();
    debug_assert!(resumed.is_ok());
}

/// Makes a request the current one; false if it has ended.
pub(super) fn switch_to(stream: StreamId) -> bool {
    hostcalls::set_effective_context(stream.0).is_ok()
}

/// Wakes the root context through a shared queue of its own: a byte in the queue makes the host call `on_queue_ready`
/// in the worker's next event-loop turn. Callouts from there do not end with a client's request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wakeup(u32);

impl Wakeup {
    pub(super) fn register(name: &str) -> Result<Self, Status> {
        hostcalls::register_shared_queue(name).map(Wakeup)
    }

    /// Requests a call of `on_queue_ready`.
    pub(super) fn request(self) -> Result<(), Status> {
        hostcalls::enqueue_shared_queue(self.0, Some(b"1"))
    }

    /// Empties the queue.
    pub(super) fn take(self) {
        while let Ok(Some(_)) = hostcalls::dequeue_shared_queue(self.0) {}
    }
}

/// Posts JSON to the key service.
pub(super) fn post(
    service: &KeyService,
    authorization: &str,
    path: &str,
    body: &[u8],
    timeout_ms: u64,
) -> Result<CalloutId, Status> {
    let headers = vec![
        (":method", "POST"),
        (":path", path),
        (":authority", service.authority.as_str()),
        ("authorization", authorization),
        ("content-type", "application/json"),
    ];
    let timeout = Duration::from_millis(timeout_ms);
    hostcalls::dispatch_http_call(&service.cluster, headers, Some(body), vec![], timeout).map(CalloutId)
}

/// The status of the callout that has just ended; `None` if there was no response.
pub(super) fn callout_status(headers: usize) -> Option<u16> {
    if headers == 0 {
        return None;
    }
    let status = hostcalls::get_map_value_bytes(MapType::HttpCallResponseHeaders, ":status").ok()??;
    std::str::from_utf8(&status).ok()?.parse().ok()
}

/// The response body of the callout that has just ended.
pub(super) fn callout_body(size: usize) -> Vec<u8> {
    buffer(BufferType::HttpCallResponseBody, size)
}

/// The configuration of the plugin that is being configured.
pub(super) fn configuration(size: usize) -> Vec<u8> {
    buffer(BufferType::PluginConfiguration, size)
}

fn buffer(kind: BufferType, size: usize) -> Vec<u8> {
    hostcalls::get_buffer(kind, 0, size).ok().flatten().unwrap_or_default()
}

// These functions of the ABI (version 0.2.1) are called directly. The SDK copies each header into a string and panics
// on a name that is not UTF-8; its local responses carry no reason; and it panics if the host refuses to read or set
// a property.
#[allow(unsafe_code)]
mod raw {
    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        pub(super) fn proxy_get_header_map_pairs(map_type: u32, data: *mut *mut u8, size: *mut usize) -> u32;
        pub(super) fn proxy_get_property(
            path: *const u8,
            path_size: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        pub(super) fn proxy_set_property(
            path: *const u8,
            path_size: usize,
            value: *const u8,
            value_size: usize,
        ) -> u32;
        pub(super) fn proxy_send_local_response(
            status_code: u32,
            details: *const u8,
            details_size: usize,
            body: *const u8,
            body_size: usize,
            headers: *const u8,
            headers_size: usize,
            grpc_status: i32,
        ) -> u32;
    }
}

#[allow(unsafe_code)]
fn header_map_bytes(map_type: u32) -> Option<Vec<u8>> {
    let (mut data, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: both pointers are valid for a write.
    let status = unsafe { raw::proxy_get_header_map_pairs(map_type, &mut data, &mut size) };
    // SAFETY: the host has set both.
    unsafe { given(status, data, size) }
}

/// The value of a property; `None` if it has none. Zero bytes separate the parts of the path.
#[allow(unsafe_code)]
fn property_bytes(path: &str) -> Option<Vec<u8>> {
    let (mut data, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: the path is valid for its size, and both pointers are valid for a write.
    let status = unsafe { raw::proxy_get_property(path.as_ptr(), path.len(), &mut data, &mut size) };
    // SAFETY: the host has set both.
    unsafe { given(status, data, size) }
}

/// The buffer that a host call returned, if it succeeded.
///
/// # Safety
/// `data` and `size` are as the host call that returned `status` has left them, and are used once.
#[allow(unsafe_code)]
unsafe fn given(status: u32, data: *mut u8, size: usize) -> Option<Vec<u8>> {
    if status != OK {
        return None;
    }
    if data.is_null() {
        return Some(Vec::new());
    }
    // SAFETY: on success the host has had `proxy_on_memory_allocate` allocate exactly `size` bytes at `data`, as a boxed
    // slice whose owner is now the caller.
    Some(unsafe { Vec::from_raw_parts(data, size, size) })
}

#[allow(unsafe_code)]
fn send_local_response(status: u32, details: &str, headers: &[(&str, &[u8])], body: &[u8]) -> u32 {
    const NO_GRPC_STATUS: i32 = -1;
    let block = crate::headers::serialise(headers);
    let (details, details_size) = (details.as_ptr(), details.len());
    // SAFETY: each pointer is valid for its size, and the host only reads during the call.
    unsafe {
        raw::proxy_send_local_response(
            status,
            details,
            details_size,
            body.as_ptr(),
            body.len(),
            block.as_ptr(),
            block.len(),
            NO_GRPC_STATUS,
        )
    }
}

#[allow(unsafe_code)]
fn set_property(name: &str, value: &str) -> u32 {
    // SAFETY: each pointer is valid for its size, and the host only reads during the call.
    unsafe { raw::proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) }
}
