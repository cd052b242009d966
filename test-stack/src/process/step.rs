//! Programs that run until they exit.

use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::interrupt;
use super::spawn::spawn;

/// How often the program's status is polled.
const POLL: Duration = Duration::from_millis(20);

/// Prints `what` and runs a program until it exits; it inherits the standard output and error. If [`interrupt`] catches a
/// signal meanwhile, the program gets SIGTERM.
///
/// # Errors
/// The program cannot be started, or exits with a status other than 0.
pub fn run_step(what: &str, command: Command) -> Result<()> {
    println!("==> {what}");
    let mut child = spawn(command, Signal::TERM)?;
    let mut is_terminating = false;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if interrupt::requested() && !is_terminating {
            kill_process(Pid::from_child(&child), Signal::TERM)?;
            is_terminating = true;
        }
        thread::sleep(POLL);
    };
    if !status.success() {
        bail!("{what} failed ({status})");
    }
    Ok(())
}
