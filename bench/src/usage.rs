//! What a process has consumed, by the accounting of Linux's scheduler, and the processors that threads may use.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

pub(crate) use self::system::{make_timers_exact, pin_thread, processors};

/// The processor time of all threads of a process so far. `schedstat` counts nanoseconds; `stat` counts
/// hundredths of a second, which is too coarse for a slice.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let mut sum = Duration::ZERO;
    for thread in threads(pid)? {
        let path = format!("/proc/{pid}/task/{thread}/schedstat");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        sum += Duration::from_nanos(first_number(&text).with_context(|| format!("{path} has no number"))?);
    }
    Ok(sum)
}

/// The resident memory of a process, in bytes.
pub(crate) fn memory(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(first_number).with_context(|| format!("{path} has no VmRSS"))?;
    Ok(kib * 1024)
}

/// Restricts all threads of a process to one processor.
pub(crate) fn pin(pid: u32, processor: usize) -> Result<()> {
    threads(pid)?.into_iter().try_for_each(|thread| pin_thread(Some(thread), processor))
}

#[cfg(target_os = "linux")]
mod system {
    use std::num::NonZeroU64;

    use anyhow::{Context, Result};
    use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_setaffinity, set_current_timer_slack};

    /// The processors that this process may use.
    pub(crate) fn processors() -> Result<Vec<usize>> {
        let set = sched_getaffinity(None).context("cannot read which processors are allowed")?;
        Ok((0..CpuSet::MAX_CPU).filter(|&processor| set.is_set(processor)).collect())
    }

    /// Restricts a thread to one processor; `None` for the calling one.
    pub(crate) fn pin_thread(thread: Option<u32>, processor: usize) -> Result<()> {
        let mut set = CpuSet::new();
        set.set(processor);
        let thread = thread.and_then(|thread| Pid::from_raw(i32::try_from(thread).ok()?));
        sched_setaffinity(thread, &set).with_context(|| format!("cannot use only processor {processor}"))
    }

    /// Lets the calling thread sleep exactly. By default, Linux delays each wake-up by up to 50 µs.
    pub(crate) fn make_timers_exact() -> Result<()> {
        set_current_timer_slack(NonZeroU64::new(1)).context("cannot make timers exact")
    }
}

/// Elsewhere, the crate is built with the others, and its program refuses to run.
#[cfg(not(target_os = "linux"))]
mod system {
    use anyhow::{Result, bail};

    pub(crate) fn processors() -> Result<Vec<usize>> {
        bail!("the benchmark needs Linux")
    }

    pub(crate) fn pin_thread(_: Option<u32>, _: usize) -> Result<()> {
        bail!("the benchmark needs Linux")
    }

    pub(crate) fn make_timers_exact() -> Result<()> {
        bail!("the benchmark needs Linux")
    }
}

fn threads(pid: u32) -> Result<Vec<u32>> {
    let path = format!("/proc/{pid}/task");
    let entries = fs::read_dir(&path).with_context(|| format!("cannot read {path}"))?;
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().parse()?));
    names.collect()
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_process_consumes_time_and_memory() {
        let before = cpu(std::process::id()).unwrap();
        let mut sum = 0_u64;
        while cpu(std::process::id()).unwrap() < before + Duration::from_millis(2) {
            sum = sum.wrapping_add(before.as_nanos() as u64);
        }
        assert!(memory(std::process::id()).unwrap() > 100_000, "{sum}");
    }

    #[test]
    fn the_first_number_of_a_line_counts() {
        assert_eq!(first_number("  123 456 7\n"), Some(123));
        assert_eq!(first_number("kB"), None);
    }
}
