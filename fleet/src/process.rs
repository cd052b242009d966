//! The resource usage of processes, from Linux's `/proc`.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

/// The usage of some processes together: CPU time so far, memory and sockets now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    at: Instant,
    cpu: Duration,
    switches: u64,
    /// Resident memory, in bytes.
    pub(crate) memory: u64,
    /// Open sockets.
    pub(crate) sockets: u64,
}

impl Sample {
    /// Takes a sample.
    ///
    /// # Errors
    /// A process does not exist or belongs to another user, or this is not Linux.
    pub(crate) fn of(pids: &[u32]) -> io::Result<Self> {
        let mut sum = Sample { at: Instant::now(), cpu: Duration::ZERO, switches: 0, memory: 0, sockets: 0 };
        for pid in pids {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
            sum.cpu += cpu(&stat, rustix::param::clock_ticks_per_second())
                .ok_or_else(|| io::Error::other("its /proc/…/stat has an unexpected format"))?;
            sum.memory += 1024 * field(&fs::read_to_string(format!("/proc/{pid}/status"))?, "VmRSS:");
            for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
                // A thread may have ended meanwhile.
                let status = fs::read_to_string(thread?.path().join("status")).unwrap_or_default();
                sum.switches += field(&status, "voluntary_ctxt_switches:");
            }
            for file in fs::read_dir(format!("/proc/{pid}/fd"))? {
                let target = fs::read_link(file?.path()).unwrap_or_default();
                sum.sockets += u64::from(target.to_string_lossy().starts_with("socket:"));
            }
        }
        Ok(sum)
    }

    /// The CPU time used since an earlier sample, as a percentage of one core.
    pub(crate) fn cpu_percent_since(&self, earlier: &Sample) -> f64 {
        let seconds = self.at.duration_since(earlier.at).as_secs_f64();
        100.0 * self.cpu.saturating_sub(earlier.cpu).as_secs_f64() / seconds.max(f64::MIN_POSITIVE)
    }

    /// Wakeups of their threads in a second since an earlier sample.
    pub(crate) fn wake_ups_per_second_since(&self, earlier: &Sample) -> f64 {
        let seconds = self.at.duration_since(earlier.at).as_secs_f64();
        self.switches.saturating_sub(earlier.switches) as f64 / seconds.max(f64::MIN_POSITIVE)
    }
}

/// The idle CPU time of the machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine {
    idle: u64,
    total: u64,
}

impl Machine {
    /// The idle time so far; `None` if the system does not report it.
    pub(crate) fn now() -> Option<Self> {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        // proc_stat(5): user, nice, system, idle, iowait, irq, softirq, steal.
        let fields = stat.lines().next()?.split_ascii_whitespace().skip(1).take(8);
        let ticks: Vec<u64> = fields.map_while(|field| field.parse().ok()).collect();
        Some(Machine { idle: ticks.get(3)? + ticks.get(4)?, total: ticks.iter().sum() })
    }

    /// The idle time since an earlier reading, in percent of all cores.
    pub(crate) fn idle_percent_since(&self, earlier: &Machine) -> f64 {
        let total = self.total.saturating_sub(earlier.total).max(1);
        100.0 * self.idle.saturating_sub(earlier.idle) as f64 / total as f64
    }
}

/// User and system time of a `stat` line (proc_pid_stat(5), fields 14 and 15).
fn cpu(stat: &str, ticks_per_second: u64) -> Option<Duration> {
    // The name before may contain blanks and parentheses.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(Duration::from_secs_f64(ticks as f64 / ticks_per_second as f64))
}

/// The number of a line of `status`.
fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_ascii_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_parentheses_shifts_no_field() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 4 0 100 1 1";
        assert_eq!(cpu(stat, 100), Some(Duration::from_secs(2)));
        assert_eq!(cpu("7 (a) S 1", 100), None);
    }

    #[test]
    fn a_machine_is_idle_for_a_part_of_the_time() {
        let earlier = Machine { idle: 1_000, total: 4_000 };
        assert_eq!(Machine { idle: 1_050, total: 4_200 }.idle_percent_since(&earlier), 25.0);
        let now = Machine::now().unwrap();
        assert!(now.idle > 0 && now.total > now.idle, "{now:?}");
    }

    #[test]
    fn this_process_has_memory_sockets_and_cpu_time() {
        let me = [std::process::id()];
        let before = Sample::of(&me).unwrap();
        let _socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(200) {
            std::hint::black_box(());
        }
        let after = Sample::of(&me).unwrap();
        assert!(after.memory > 100_000, "{after:?}");
        assert!(after.sockets > before.sockets, "{after:?}");
        assert!(after.cpu_percent_since(&before) > 10.0, "{before:?} {after:?}");
        assert!(Sample::of(&[u32::MAX]).is_err());
    }
}
