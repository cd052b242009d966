//! The root context: one configuration in one VM. It outlives every request, so callouts are sent from here.

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use super::http::Request;
use super::vm::Vm;
use super::{host, requests};
use crate::lookup::{CalloutId, StreamId};

/// The root context, unconfigured at first.
pub(super) struct Root(u32);

impl Root {
    pub(super) fn new(context: u32) -> Self {
        requests::add_root(context);
        Root(context)
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        requests::remove_root(self.0);
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, call: u32, headers: usize, body_size: usize, _: usize) {
        if let Some(vm) = requests::configuration(self.0) {
            vm.callout_ended(CalloutId(call), host::callout_status(headers), &host::callout_body(body_size));
        }
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        if requests::configuration(self.0).is_some() {
            // Envoy creates another root context for another configuration. This is the same configuration again, and
            // requests may be waiting.
            return true;
        }
        match Vm::configure(&host::configuration(size)) {
            Ok(vm) => {
                requests::configure(self.0, vm);
                true
            }
            Err(problems) => {
                for problem in problems {
                    log::error!("configuration refused: {problem}");
                }
                false
            }
        }
    }

    fn on_queue_ready(&mut self, _: u32) {
        if let Some(vm) = requests::configuration(self.0) {
            vm.wake();
        }
    }

    fn on_tick(&mut self) {
        if let Some(vm) = requests::configuration(self.0) {
            vm.tick();
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, stream: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Request::new(StreamId(stream), self.0)))
    }
}
