//! The host functions that the filter uses. They pass bytes, so no header value can stop the VM.
#![expect(
    clippy::disallowed_methods,
    reason = "the one place that reads clocks, randomness and the environment"
)]

use std::time::Duration;

use protocol::{Node, NodeText};
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType, Status};

use crate::address::Address;
use crate::ambiguity::Ambiguity;
use crate::clock::Moment;
use crate::config::KeyService;
use crate::header_policy::HeaderPolicy;
use crate::headers::HeaderPairs;
use crate::lookup::{CalloutId, StreamId};
use crate::reply::Reply;
use crate::request::{self, Reading};

mod abi;
mod meters;

pub(super) use abi::allocate;
pub(super) use meters::Meters;

/// Filter state: the id of a valid key that is refused, or would be without shadow mode. Access logs show it as
/// `%FILTER_STATE(wasm.edge_key_auth.key_id:PLAIN)%`. An accepted key is in an identity header, which access logs can show
/// too, and filter state costs about as much as two headers.
pub(super) const KEY_ID: &str = "edge_key_auth.key_id";

/// Filter state: why a request was denied, or forwarded without a grant on a route that is not public. Access logs show it as `%FILTER_STATE(wasm.edge_key_auth.reason:PLAIN)%`.
pub(super) const REASON: &str = "edge_key_auth.reason";

/// The reason of a request whose bearer token the upstream judges.
pub(super) const LEFT_TO_UPSTREAM: &str = "left_to_upstream";

/// Both clocks now.
pub(super) fn now() -> Moment {
    Moment { monotonic: abi::clock_ms(abi::MONOTONIC), wall: abi::clock_ms(abi::REALTIME) }
}

/// The value of an environment variable of the VM; empty if it is not set.
pub(super) fn environment(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// 128 random bits as hexadecimal digits.
pub(super) fn random_id() -> Result<String, getrandom::Error> {
    Ok(random_bytes()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// 128 random bits.
pub(super) fn random_bytes() -> Result<[u8; 16], getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// 64 random bits.
pub(super) fn random_number() -> Result<u64, getrandom::Error> {
    getrandom::u64()
}

/// Sets the period of `on_tick`.
pub(super) fn tick_every(milliseconds: u64) {
    let set = hostcalls::set_tick_period(Duration::from_millis(milliseconds));
    debug_assert!(set.is_ok());
}

/// Passes the headers of the current request to `act`.
pub(super) fn with_headers<R>(policy: &HeaderPolicy, act: impl FnOnce(Reading<'_>) -> R) -> R {
    abi::with_header_map(MapType::HttpRequestHeaders as u32, |block| {
        act(match pairs(block) {
            Ok(pairs) => Reading::of(pairs, policy),
            Err(ambiguity) => Reading { removed: Vec::new(), head: Err(ambiguity) },
        })
    })
}

/// Removes the trailers of the current request that the policy removes.
pub(super) fn remove_trailers(policy: &HeaderPolicy) -> Result<(), Ambiguity> {
    abi::with_header_map(MapType::HttpRequestTrailers as u32, |block| {
        let names = request::trailers_to_remove(pairs(block)?, policy)?;
        names.iter().for_each(|name| remove(MapType::HttpRequestTrailers, name));
        Ok(())
    })
}

/// The pairs of a header list; `None` if the host call failed.
fn pairs(block: Option<&[u8]>) -> Result<HeaderPairs<'_>, Ambiguity> {
    HeaderPairs::new(block.ok_or(Ambiguity::Headers)?).map_err(|_| Ambiguity::Headers)
}

/// Removes a header of the current request.
pub(super) fn remove_header(name: &str) {
    remove(MapType::HttpRequestHeaders, name);
}

/// The SDK stops the VM if the host refuses to change headers, so a forged header is never forwarded.
fn remove(map: MapType, name: &str) {
    let removed = hostcalls::remove_map_value(map, name);
    debug_assert!(removed.is_ok());
}

/// Adds a header to the current request. It must not have one of this name.
pub(super) fn add_header(name: &str, value: &str) {
    let added = hostcalls::add_map_value(MapType::HttpRequestHeaders, name, value);
    debug_assert!(added.is_ok());
}

/// Sets a header of the current request; it replaces all headers with this name.
pub(super) fn set_header(name: &str, value: &str) {
    let set = hostcalls::set_map_value(MapType::HttpRequestHeaders, name, Some(value));
    debug_assert!(set.is_ok());
}

/// Answers the current request.
pub(super) fn send(reply: &Reply) {
    set_filter_state(REASON, reply.reason);
    if abi::send_local_response(reply.status, reply.reason, &reply.content.header_block, &reply.content.body)
        != abi::OK
    {
        log::error!("the host refused a reply of status {}", reply.status);
    }
}

/// Sets filter state of the current request, for access logs.
pub(super) fn set_filter_state(name: &str, value: &str) {
    let status = abi::set_property(name, value);
    if status != abi::OK {
        log::debug!("cannot set the filter state: {status}");
    }
}

/// The client's address of the current request; Envoy skips its configured trusted hops.
pub(super) fn source_address() -> Address {
    Address::read(&abi::property_bytes("source\0address").unwrap_or_default())
}

/// The Envoy that this VM runs in.
pub(super) fn node() -> Node {
    let text = |path| NodeText::of(&abi::property_bytes(path).unwrap_or_default());
    let number = |part| -> Option<u64> {
        let bytes = abi::property_bytes(&format!("xds\0node\0user_agent_build_version\0version\0{part}"))?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    };
    let version =
        || Some(format!("{}.{}.{}", number("major_number")?, number("minor_number")?, number("patch")?));
    Node {
        id: text("xds\0node\0id"),
        cluster: text("xds\0node\0cluster"),
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
