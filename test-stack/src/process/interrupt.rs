//! SIGINT, SIGTERM and SIGHUP as a flag. Long waits poll it, so that child processes are stopped in order.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use anyhow::Result;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

fn flag() -> &'static Arc<AtomicBool> {
    static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    FLAG.get_or_init(Arc::default)
}

/// Catches SIGINT, SIGTERM and SIGHUP: they make [`requested`] true instead of ending the process.
///
/// # Errors
/// The signal handlers cannot be installed.
pub fn catch() -> Result<()> {
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(flag()))?;
    }
    Ok(())
}

/// Whether one of the signals has arrived.
pub fn requested() -> bool {
    flag().load(Ordering::Relaxed)
}
