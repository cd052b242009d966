//! Programs that run to their end.

use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::interrupt;
use super::spawn::spawn;

/// How often it is looked at whether the program has ended.
const POLL: Duration = Duration::from_millis(20);

/// Runs a program to its end, its output going where ours goes. Where signals are caught, one that asks us to end is
/// passed on.
///
/// # Errors
/// It cannot be started, or it ends with a status other than 0.
pub fn step(what: &str, command: Command) -> Result<()> {
    println!("==> {what}");
    let mut child = spawn(command, Signal::TERM)?;
    let mut told_to_end = false;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if interrupt::requested() && !told_to_end {
            kill_process(Pid::from_child(&child), Signal::TERM)?;
            told_to_end = true;
        }
        thread::sleep(POLL);
    };
    if !status.success() {
        bail!("{what} failed ({status})");
    }
    Ok(())
}
