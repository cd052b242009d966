//! The state of the host: requests, callouts and metrics.

use std::collections::{BTreeMap, HashMap, VecDeque};

pub(crate) type Headers = Vec<(String, Vec<u8>)>;

/// The state of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The filter holds it.
    Held,
    /// It went on to the upstream with these headers.
    Forwarded(Headers),
    /// The filter answered it.
    Replied { status: u32, details: String, headers: Headers, body: String },
}

/// A callout that the module sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Callout {
    pub(crate) id: u32,
    pub(crate) cluster: String,
    pub(crate) headers: Headers,
    pub(crate) body: String,
    pub(crate) timeout_ms: u32,
}

#[derive(Debug, Default)]
pub(super) struct Stream {
    pub(super) headers: Headers,
    pub(super) trailers: Headers,
    pub(super) iteration: Iteration,
    /// The held part of the body: the sizes of its pieces, and whether each is the last of the request.
    pub(super) kept_back: Vec<(u32, bool)>,
    /// How many bytes of the body have gone on to the upstream.
    pub(super) passed: u32,
    /// The client's address, with a port.
    pub(super) address: String,
    pub(super) reply: Option<Outcome>,
}

impl Stream {
    /// A header list by its number in the ABI.
    pub(super) fn map(&mut self, number: i32) -> &mut Headers {
        match number {
            0 => &mut self.headers,
            1 => &mut self.trailers,
            other => panic!("header list {other} is not served"),
        }
    }
}

/// How far the host lets the parts of a request, as Envoy's filter manager does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Iteration {
    /// Everything passes.
    Continues,
    /// The headers are stopped; the body's and the trailers' callbacks say whether these pass, and the headers with them.
    Stopped,
    /// Headers, body and trailers are stopped until the filter resumes the request.
    #[default]
    AllStopped,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) environment: Vec<String>,
    pub(super) allow_on_headers_stop_iteration: bool,
    pub(super) configuration: Vec<u8>,
    pub(super) now_ns: u64,
    pub(super) effective: u32,
    pub(super) streams: HashMap<u32, Stream>,
    /// Each root context's queue, in the order of their numbers from 1.
    pub(super) queues: Vec<(u32, VecDeque<Vec<u8>>)>,
    pub(super) roots: Vec<u32>,
    pub(super) callouts: Vec<Callout>,
    /// Clusters that callouts can be sent to; any if `None`.
    pub(super) clusters: Option<Vec<String>>,
    /// Whether replies to requests are refused.
    pub(super) refuses_replies: bool,
    /// Whether trailers are withheld from the module.
    pub(super) withholds_trailers: bool,
    /// Whether the callback for trailers runs.
    pub(super) is_at_trailers: bool,
    /// The root context that has sent each callout, in the order of their numbers from 1.
    pub(super) sent_by: Vec<u32>,
    pub(super) answer: (Headers, Vec<u8>),
    pub(super) log: Vec<String>,
    pub(super) tick_ms: u32,
    pub(super) metrics: Vec<(String, i64)>,
    /// The filter state, by request and name.
    pub(super) filter_state: HashMap<(u32, String), String>,
    pub(super) host_calls: BTreeMap<&'static str, u64>,
}
