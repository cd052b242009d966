//! The phases of a run, one after the other, and its report.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::connection::Protocol;
use crate::deletes::Keys;
use crate::edge::{Edge, Fleet};
use crate::process::{Machine, Sample};
use crate::report::{Phase, Report, Usage};
use crate::table::number;

/// How long a phase waits for all edges to get a lease. Then the run continues without the others.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often the end of a phase is checked.
const CHECK: Duration = Duration::from_millis(50);

/// How often a long phase prints its progress.
const PROGRESS: Duration = Duration::from_secs(5);

/// How often the due verifies are sent.
const VERIFY_INTERVAL: Duration = Duration::from_millis(5);

/// The phases to run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) verifies_per_second: u32,
    pub(crate) idle: Duration,
    pub(crate) deletes: Option<(Keys, u32)>,
    pub(crate) interval: Duration,
    pub(crate) herd: bool,
    pub(crate) service_pids: Vec<u32>,
}

/// The resource usage of the service, the fleet and the machine at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Samples {
    service: Option<Sample>,
    fleet: Option<Sample>,
    machine: Option<Machine>,
}

impl Samples {
    /// The usage now.
    pub(crate) fn take(service_pids: &[u32]) -> Self {
        let service = (!service_pids.is_empty()).then(|| Sample::of(service_pids).ok()).flatten();
        Samples { service, fleet: Sample::of(&[std::process::id()]).ok(), machine: Machine::now() }
    }
}

/// A run in progress.
pub(crate) struct Course {
    fleet: Arc<Fleet>,
    edges: Vec<Arc<Edge>>,
    before: Samples,
    phase: Option<(&'static str, Instant, Samples)>,
    service_pids: Vec<u32>,
    report: Report,
}

/// Runs all phases, or until it is interrupted.
///
/// # Errors
/// Signal handlers cannot be installed.
pub(crate) async fn run(
    fleet: Fleet,
    plan: Plan,
    before: Samples,
    report: Report,
) -> std::io::Result<Report> {
    let fleet = Arc::new(fleet);
    let edges: Vec<Arc<Edge>> =
        (0..fleet.observations.edges()).map(|number| Arc::new(Edge::new(number))).collect();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let Plan { verifies_per_second, idle, mut deletes, interval, herd, service_pids } = plan;
    let mut course = Course { fleet, edges, before, phase: None, service_pids, report };
    let walk = async {
        course.acquire(verifies_per_second).await;
        course.idle(idle).await;
        if let Some((keys, count)) = &mut deletes {
            course.deletes(keys, *count, interval).await;
        }
        if herd {
            course.herd().await;
        }
    };
    let interrupted = tokio::select! {
        () = walk => false,
        _ = terminate.recv() => true,
        _ = interrupt.recv() => true,
    };
    course.end();
    course.report.interrupted = interrupted;
    course.report.recoveries = course.fleet.observations.take_recoveries();
    if let Some((keys, _)) = &mut deletes
        && let Err(message) = keys.clean_up().await
    {
        print_progress(&message);
    }
    Ok(course.report)
}

impl Course {
    async fn acquire(&mut self, verifies_per_second: u32) {
        self.begin("acquisition");
        for edge in &self.edges {
            tokio::spawn(Arc::clone(edge).keep_lease(Arc::clone(&self.fleet)));
        }
        if verifies_per_second > 0 {
            tokio::spawn(verify(Arc::clone(&self.fleet), self.edges.clone(), verifies_per_second));
        }
        self.until_all_are_back(|out| out == 0).await;
    }

    async fn idle(&mut self, lasting: Duration) {
        self.begin("idle");
        let began = Instant::now();
        let mut printed = began;
        while began.elapsed() < lasting {
            sleep(CHECK.min(lasting.saturating_sub(began.elapsed()))).await;
            let _ = self.fleet.observations.out();
            if printed.elapsed() >= PROGRESS {
                printed = Instant::now();
                self.check_leases();
                let syncs = self.fleet.observations.syncs() as f64 / began.elapsed().as_secs_f64();
                let (holding, out) = (self.holding(), self.fleet.observations.out().unwrap_or_default());
                let out = if out > 0 {
                    format!(", {} without an answer", number(out as f64, 0))
                } else {
                    String::new()
                };
                let (at, of) = (began.elapsed().as_secs(), lasting.as_secs());
                print_progress(&format!(
                    "idle, {at} of {of} s: {holding} hold a lease, {} syncs/s{out}",
                    number(syncs, 0)
                ));
            }
        }
    }

    async fn deletes(&mut self, keys: &mut Keys, count: u32, interval: Duration) {
        self.begin("deletes");
        for nth in 1..=count {
            let said = match keys.delete_one(&self.fleet.observations).await {
                Ok(delete) => {
                    let times = delete.acknowledged.map_or_else(String::new, |times| {
                        let ms = [times.first_ms, times.median_ms, times.last_ms].map(|ms| number(ms, 1));
                        format!(" after {} (first), {} (median), {} ms (last)", ms[0], ms[1], ms[2])
                    });
                    let edges = number(delete.acknowledged_edges as f64, 0);
                    self.report.deletes.push(delete);
                    format!("acknowledged by {edges} edges{times}")
                }
                Err(error) => {
                    *self.report.failed_deletes.entry(error.to_string()).or_default() += 1;
                    format!("failed: {error}")
                }
            };
            let _ = self.fleet.observations.out();
            print_progress(&format!("delete {nth} of {count}: {said}"));
            if nth < count {
                sleep(interval).await;
            }
        }
    }

    async fn herd(&mut self) {
        self.begin("herd");
        print_progress("dropping all connections");
        self.fleet.observations.all_go_out("herd");
        self.fleet.connector.drop_all();
        // Wait until all are calm, so that edges that fail again are counted.
        self.until_all_are_back(|_| false).await;
    }

    /// Waits until few enough edges are out, until all are back and calm, or until [`PATIENCE`] is over.
    async fn until_all_are_back(&self, is_enough: fn(usize) -> bool) {
        let began = Instant::now();
        let mut printed = began;
        while let Some(out) = self.fleet.observations.out().filter(|out| !is_enough(*out)) {
            if began.elapsed() > PATIENCE {
                print_progress(&format!(
                    "{} edges have no lease after {} s; going on",
                    number(out as f64, 0),
                    PATIENCE.as_secs()
                ));
                return;
            }
            if printed.elapsed() >= PROGRESS {
                printed = Instant::now();
                let back = self.fleet.observations.edges() - out;
                let all = number(self.fleet.observations.edges() as f64, 0);
                print_progress(&format!("{} of {all} edges were granted a lease", number(back as f64, 0)));
            }
            sleep(CHECK).await;
        }
    }

    /// Ends the current phase and begins another.
    fn begin(&mut self, name: &'static str) {
        self.end();
        self.phase = Some((name, Instant::now(), Samples::take(&self.service_pids)));
    }

    fn end(&mut self) {
        let Some((name, began, first)) = self.phase.take() else { return };
        self.check_leases();
        let counts = self.fleet.observations.take_counts();
        let holding = self.fleet.observations.holding();
        let mut phase = Phase::new(name, began.elapsed().as_secs_f64(), holding, counts);
        let last = Samples::take(&self.service_pids);
        let usage = |first: Option<Sample>, last: Option<Sample>, before: Option<Sample>| {
            Some(Usage::between(first?, last?, before?, self.edges.len()))
        };
        phase.service = usage(first.service, last.service, self.before.service);
        phase.machine_idle_percent =
            last.machine.zip(first.machine).map(|(last, first)| last.idle_percent_since(&first));
        phase.fleet = usage(first.fleet, last.fleet, self.before.fleet);
        print_progress(&format!(
            "{name}: {} s, {} hold a lease, {} were lost",
            number(phase.seconds, 1),
            self.holding(),
            phase.leases_lost
        ));
        self.report.phases.push(phase);
    }

    /// Checks all leases, so that each lost lease counts in its own phase.
    fn check_leases(&self) {
        let now = self.fleet.now();
        for edge in &self.edges {
            edge.check_lease(&self.fleet, now);
        }
    }

    fn holding(&self) -> String {
        number(self.fleet.observations.holding() as f64, 0)
    }
}

/// Sends verifies at this rate, from one edge after the other.
async fn verify(fleet: Arc<Fleet>, edges: Vec<Arc<Edge>>, per_second: u32) {
    let began = Instant::now();
    let mut sent = 0;
    let mut ticks = interval(VERIFY_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut edges = edges.iter().cycle();
    loop {
        ticks.tick().await;
        let due = (began.elapsed().as_secs_f64() * f64::from(per_second)) as u64;
        for edge in edges.by_ref().take((due - sent) as usize) {
            let (edge, fleet) = (Arc::clone(edge), Arc::clone(&fleet));
            tokio::spawn(async move { edge.verify(&fleet).await });
        }
        sent = due;
    }
}

/// Prints a line of progress on standard error.
pub(crate) fn print_progress(line: &str) {
    eprintln!("{line}");
}

/// The name of a protocol.
pub(crate) fn name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http1 => "HTTP/1.1",
        Protocol::Http2 => "HTTP/2",
    }
}
