//! One request's context.

use std::rc::Rc;

use protocol::KeyDigest;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use super::host;
use super::vm::Vm;
use crate::flow::Step;
use crate::lookup::StreamId;
use crate::request::RequestHead;

/// One request in this VM.
pub(super) struct Request {
    vm: Rc<Vm>,
    stream: StreamId,
    /// What the request waits for, while it is held.
    waits_for: Option<KeyDigest>,
}

impl Request {
    pub(super) fn new(vm: Rc<Vm>, stream: StreamId) -> Self {
        Request { vm, stream, waits_for: None }
    }
}

impl Context for Request {}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let block = host::HeaderBlock::of_request();
        #[cfg(feature = "provoke-panic")]
        assert!(!block.names(b"x-provoke-panic"), "provoked");
        let head = block.pairs().and_then(|pairs| RequestHead::read(pairs, self.vm.identity_headers()));
        let step = self.vm.arrive(head.as_ref().map_err(|error| *error), self.stream);
        if let Ok(head) = &head {
            head.forged.iter().for_each(|name| host::remove_header(name));
        }
        match step {
            Step::Wait(digest) => self.waits_for = Some(digest),
            Step::Reply(reply) => host::send(&reply),
            Step::ForwardPublic => return Action::Continue,
            Step::Forward(grant) => {
                self.vm.set_identity(&grant);
                return Action::Continue;
            }
        }
        Action::Pause
    }
}

/// The host deletes a request's context when the request has ended, also when its client left while it was held.
impl Drop for Request {
    fn drop(&mut self) {
        if let Some(digest) = &self.waits_for {
            self.vm.leave(digest, self.stream);
        }
    }
}
