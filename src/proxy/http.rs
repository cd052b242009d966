//! One request's context in the SDK's dispatcher, which `cargo xtask build` leaves out: see [`super::exports`].

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use super::requests;
use crate::lookup::StreamId;

/// One request in this VM.
pub(super) struct Request(StreamId);

impl Request {
    pub(super) fn new(stream: StreamId, root: u32) -> Self {
        requests::create(stream, root);
        Request(stream)
    }
}

impl Context for Request {}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _: usize, is_whole: bool) -> Action {
        requests::headers(self.0, is_whole)
    }

    /// `cargo xtask build` removes this export, because the host then holds the body of a paused request without a
    /// call into the VM. A module without that step may be asked here whether the body may pass.
    fn on_http_request_body(&mut self, _: usize, _: bool) -> Action {
        requests::passage(self.0)
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        requests::trailers(self.0)
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        requests::delete(self.0);
    }
}
