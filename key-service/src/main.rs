//! The `key-service` program.

use std::process::ExitCode;

/// With many connections, it takes less CPU than the system's allocator, and more memory: `docs/scale.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    key_service::cli::run()
}
