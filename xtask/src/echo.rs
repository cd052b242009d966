//! `cargo xtask echo`: runs the echo upstream until Ctrl-C.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use test_stack::echo::Echo;
use test_stack::process::interrupt;

/// Runs the echo upstream until it is interrupted.
///
/// # Errors
/// The address cannot be listened on.
pub fn run(listen: SocketAddr) -> Result<()> {
    interrupt::catch()?;
    let echo = Echo::start(listen)?;
    println!("echo: listening on {}", echo.address());
    while !interrupt::requested() {
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
