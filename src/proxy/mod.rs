//! The only code that knows proxy-wasm: it reads from the host, calls the pure core, and does what the core says.

mod host;
mod http;
mod root;
mod vm;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(proxy_wasm::types::LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(root::Root::default()));
}}
