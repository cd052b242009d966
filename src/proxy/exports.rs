//! The callbacks of requests, and the host's allocation. `cargo xtask build` exports them in place of the SDK's.
//!
//! The SDK's dispatcher allocates an object for each request and looks it up in three maps. These functions allocate
//! nothing for a request that is decided at once. The SDK's dispatcher stays for root contexts.
#![allow(unsafe_code)]

use proxy_wasm::types::Action;

use super::{host, requests};
use crate::lookup::StreamId;

mod sdk {
    unsafe extern "C" {
        pub(super) safe fn proxy_on_context_create(context: u32, root: u32);
        pub(super) safe fn proxy_on_delete(context: u32);
    }
}

/// The root of a root context.
const NO_ROOT: u32 = 0;

#[unsafe(export_name = "edge_key_auth_on_memory_allocate")]
extern "C" fn on_memory_allocate(size: usize) -> *mut u8 {
    host::allocate(size)
}

#[unsafe(export_name = "edge_key_auth_on_context_create")]
extern "C" fn on_context_create(context: u32, root: u32) {
    match root {
        NO_ROOT => sdk::proxy_on_context_create(context, root),
        _ => requests::create(StreamId(context), root),
    }
}

#[unsafe(export_name = "edge_key_auth_on_request_headers")]
extern "C" fn on_request_headers(context: u32, _: usize, is_whole: bool) -> Action {
    requests::headers(StreamId(context), is_whole)
}

#[unsafe(export_name = "edge_key_auth_on_request_trailers")]
extern "C" fn on_request_trailers(context: u32, _: usize) -> Action {
    requests::trailers(StreamId(context))
}

#[unsafe(export_name = "edge_key_auth_on_delete")]
extern "C" fn on_delete(context: u32) {
    match requests::is_root(context) {
        true => sdk::proxy_on_delete(context),
        false => requests::delete(StreamId(context)),
    }
}
