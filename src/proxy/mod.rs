//! The adapter to proxy-wasm, the only code that uses it: it reads from the host, calls the pure modules and carries
//! out what they return.

mod exports;
mod host;
mod http;
mod requests;
mod root;
mod vm;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(proxy_wasm::types::LogLevel::Info);
    proxy_wasm::set_root_context(|context| Box::new(root::Root::new(context)));
}}
