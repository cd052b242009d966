//! One request's context.

use std::rc::Rc;

use protocol::KeyDigest;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use super::host;
use super::vm::{Passage, Vm};
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
        let passage = match step {
            Step::Decided(outcome) => self.vm.apply(outcome),
            Step::Hold(digest) => {
                self.waits_for = Some(digest);
                Passage::Closed
            }
        };
        match passage {
            Passage::Open => Action::Continue,
            Passage::Closed => Action::Pause,
        }
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
