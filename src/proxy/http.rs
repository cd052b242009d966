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

    /// Whether the request may go on to the upstream now.
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
        #[cfg(feature = "provoke-panic")]
        assert!(!block.names(b"x-provoke-panic"), "provoked");
        let Reading { removed, head } = block.read(self.vm.header_policy());
        // Before anything is forwarded or answered: access logs and other filters see these headers too.
        removed.iter().for_each(|name| host::remove_header(name));
        let step = self.vm.arrive(head.as_ref().map_err(|error| *error), self.stream);
        self.progress = match step {
            Step::Decided(outcome) => self.vm.apply(outcome),
            Step::Hold(digest) => Progress::Held(digest),
        };
        self.progress.action()
    }

    /// The finished module does not export this callback: while a request is held, the host keeps its body back. Without
    /// the build's last step a host may take a pause for the headers' alone, and ask here whether the body may pass.
    fn on_http_request_body(&mut self, _: usize, _: bool) -> Action {
        self.passage()
    }

    /// Trailers come after the last byte of the body, so those of a held request reach only a module that the build's
    /// last step has not seen.
    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        if self.passage() == Action::Pause {
            return Action::Pause;
        }
        match host::HeaderBlock::of_trailers().trailers_to_remove(self.vm.header_policy()) {
            Ok(names) => {
                names.iter().for_each(|name| host::remove_trailer(name));
                Action::Continue
            }
            // The request has been forwarded: the host ends it at the upstream too.
            Err(ambiguity) => {
                if let Step::Decided(refusal) = self.vm.arrive(Err(ambiguity), self.stream) {
                    self.progress = self.vm.apply(refusal);
                }
                Action::Pause
            }
        }
    }
}

/// The host deletes a request's context when the request has ended, also when its client left while it was held.
impl Drop for Request {
    fn drop(&mut self) {
        if let Progress::Held(digest) = &self.progress {
            self.vm.leave(digest, self.stream);
        }
    }
}
