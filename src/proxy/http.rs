//! One request's context.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use super::host;
use super::vm::{Progress, Vm};
use crate::filter::Step;
use crate::lookup::StreamId;
use crate::request::Reading;

/// One request in this VM.
pub(super) struct Request {
    vm: Rc<Vm>,
    stream: StreamId,
    progress: Progress,
}

impl Request {
    pub(super) fn new(vm: Rc<Vm>, stream: StreamId) -> Self {
        Request { vm, stream, progress: Progress::New }
    }

    /// Whether the host may continue the request now.
    fn passage(&mut self) -> Action {
        if let Progress::Held(_) = self.progress
            && self.vm.was_opened(self.stream)
        {
            self.progress = Progress::Open;
        }
        self.progress.action()
    }
}

impl Context for Request {}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let block = host::HeaderBlock::of_request();
        let Reading { removed, head } = block.read(self.vm.header_policy());
        // Remove before anything else: access logs and other filters see these headers too.
        removed.iter().for_each(|name| host::remove_header(name));
        let step = self.vm.arrive(head.as_ref().map_err(|error| *error), self.stream);
        self.progress = match step {
            // In this call, the headers were read and those with the names of identity headers were removed. To add is
            // cheaper than to replace. A request that was held may have changed since.
            Step::Decided(outcome) => self.vm.apply(outcome, host::add_header),
            Step::Hold(digest) => Progress::Held(digest),
        };
        self.progress.action()
    }

    /// `cargo xtask build` removes this export, because the host then holds the body of a paused request without a
    /// call into the VM. A module without that step may be asked here whether the body may pass.
    fn on_http_request_body(&mut self, _: usize, _: bool) -> Action {
        self.passage()
    }

    /// A finished module sees no trailers of a held request: they follow the body, which the host holds.
    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        if self.passage() == Action::Pause {
            return Action::Pause;
        }
        match host::HeaderBlock::of_trailers().trailers_to_remove(self.vm.header_policy()) {
            Ok(names) => {
                names.iter().for_each(|name| host::remove_trailer(name));
                Action::Continue
            }
            // The request was forwarded already; after this reply the host resets it at the upstream.
            Err(ambiguity) => {
                if let Step::Decided(refusal) = self.vm.arrive(Err(ambiguity), self.stream) {
                    self.progress = self.vm.apply(refusal, host::set_header);
                }
                Action::Pause
            }
        }
    }
}

/// The host deletes the context when the request has ended, also if its client left while it was held.
impl Drop for Request {
    fn drop(&mut self) {
        if let Progress::Held(digest) = &self.progress {
            self.vm.leave(digest, self.stream);
        }
    }
}
