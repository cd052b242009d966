//! The course of a run: start everything, fill the caches, then measure in turns.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use test_stack::{Options, Stack, paths};

use crate::gateway::{Gateway, Site};
use crate::load::Load;
use crate::machine::Machine;
use crate::report::{Latency, Report, Row};
use crate::statistics::{Quartiles, percentile};
use crate::variants::{EMPTY, NONE, Variant};
use crate::wrk::{self, Wrk};
use crate::{authorizer, keys, memory, usage};

/// How long a variant runs before it is measured, so that V8 has compiled what runs often.
const WARM_UP: Duration = Duration::from_secs(1);

/// The filter reports its counters once a second.
const REPORTED: Duration = Duration::from_millis(1_500);

/// With fewer keys, their memory is lost in the rest.
const FEWEST_KEYS_TO_WEIGH: u32 = 10_000;

/// What to run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) rounds: u32,
    pub(crate) latency_rounds: u32,
    pub(crate) additional_vms: u32,
    pub(crate) slice: Duration,
    pub(crate) connections: u16,
    pub(crate) variants: Vec<Variant>,
    /// The names of the others.
    pub(crate) not_chosen: Vec<&'static str>,
    /// The load of the slices; `None` for the one of this program.
    pub(crate) wrk: Option<Wrk>,
    pub(crate) envoy: PathBuf,
    pub(crate) empty: PathBuf,
}

/// A variant under way.
struct Running {
    variant: Variant,
    gateway: Gateway,
    load: Load,
    script: PathBuf,
    memory: u64,
    memory_per_key: Option<f64>,
    /// Lookups and requests before the first slice, and in the slices.
    before: (u64, usize),
    lookups: Option<f64>,
    slices: Vec<Slice>,
    latencies: Vec<(u64, u64)>,
}

/// What one slice measured.
#[derive(Clone, Copy)]
struct Slice {
    us: f64,
    requests_per_second: f64,
    busy: f64,
}

/// The processors of the parts.
struct Processors {
    envoy: usize,
    load: usize,
    servers: usize,
}

/// Runs it, with progress on standard error.
///
/// # Errors
/// This is not Linux or has one processor, a part does not start, or an answer is not the expected one.
pub(crate) fn run(plan: &Plan) -> Result<Report> {
    let processors = usage::processors()?;
    let [envoy, load, ref others @ ..] = processors[..] else {
        bail!("Envoy and the load need a processor each, and this process may use one");
    };
    let on = Processors { envoy, load, servers: others.first().copied().unwrap_or(load) };
    let ours = paths::built_wasm();
    let machine = Machine::read(&plan.envoy, &ours, &plan.empty, processors.len())?;

    let keys = plan.variants.iter().map(|variant| variant.credentials.valid()).max().unwrap_or_default();
    eprintln!("==> starting the key service with {keys} keys");
    let stack = Stack::temporary(&Options { envoys: 0, seeded: false, ..Options::default() })?;
    let service = stack.key_service();
    service.run(&["import", "-", "--create-users"], &keys::import(keys))?;
    usage::pin(service.process().pid().context("the key service has exited")?, on.servers)?;
    usage::pin(std::process::id(), on.load)?;

    let folder = paths::target().join("bench/envoys");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let site = Site {
        envoy: plan.envoy.clone(),
        empty: plan.empty.clone(),
        ours,
        key_service: service.edge_url("").trim_start_matches("http://").parse()?,
        authorizer: authorizer::start(on.servers)?,
        edge_token: service.edge_token().to_owned(),
        folder,
    };
    let mut vms = Vec::new();
    if plan.additional_vms > 0 {
        eprintln!("==> weighing VMs");
        vms = memory::of_vms(&site, plan.additional_vms)?;
    }
    let mut all = Vec::new();
    for (index, variant) in plan.variants.iter().enumerate() {
        eprintln!("==> {}/{}: preparing {}", index + 1, plan.variants.len(), variant.name);
        let prepared = prepare(*variant, index, &site, plan, on.envoy);
        all.push(prepared.with_context(|| format!("the variant {:?}", variant.name))?);
    }
    measure(&mut all, plan)?;
    let rows = rows(&all)?;
    let load = plan.wrk.as_ref().map_or("this program", |wrk| &wrk.version).to_owned();
    Ok(Report {
        machine,
        load,
        rounds: plan.rounds,
        slice_s: plan.slice.as_secs(),
        connections: plan.connections,
        rows,
        vms,
        skipped: skipped(plan),
    })
}

/// Starts a variant and fills its cache.
fn prepare(variant: Variant, index: usize, site: &Site, plan: &Plan, processor: usize) -> Result<Running> {
    let gateway = Gateway::start(site, variant.filter, 1, &index.to_string())?;
    let pid = gateway.pid()?;
    usage::pin(pid, processor)?;
    let script = site.folder.join(format!("{index}.lua"));
    wrk::write_script(&variant, &script)?;
    let mut load = Load::connect(gateway.address, &variant, plan.connections)?;
    // Some requests first, so that what a filter makes for those is not counted as the keys'.
    load.send(usize::from(plan.connections))?;
    let before = usage::memory(pid)?;
    let keys = variant.credentials.valid();
    load.send(keys as usize)?;
    let memory = usage::memory(pid)?;
    load.run(WARM_UP)?;
    let is_heavy = variant.filter.is_ours() && keys >= FEWEST_KEYS_TO_WEIGH;
    Ok(Running {
        variant,
        gateway,
        load,
        script,
        memory,
        memory_per_key: is_heavy.then(|| memory.saturating_sub(before) as f64 / f64::from(keys)),
        before: (0, 0),
        lookups: None,
        slices: Vec::new(),
        latencies: Vec::new(),
    })
}

fn measure(all: &mut [Running], plan: &Plan) -> Result<()> {
    let named = |running: &Running| format!("the variant {:?}", running.variant.name);
    thread::sleep(REPORTED);
    for running in &mut *all {
        running.before = (running.gateway.lookups()?, running.load.sent());
    }
    for round in 1..=plan.rounds {
        eprintln!("==> round {round} of {}", plan.rounds);
        for running in &mut *all {
            let slice = slice(running, plan).with_context(|| named(running))?;
            running.slices.push(slice);
        }
    }
    thread::sleep(REPORTED);
    for running in all.iter_mut().filter(|running| running.variant.filter.is_ours()) {
        let (lookups, sent) = running.before;
        let requests = running.load.sent() - sent;
        running.lookups = Some((running.gateway.lookups()? - lookups) as f64 / requests as f64);
    }
    for round in 1..=plan.latency_rounds {
        eprintln!("==> latency, round {round} of {}", plan.latency_rounds);
        for running in &mut *all {
            let rate = half_of_the_rate(running)?;
            let mut times = running.load.latencies(rate, plan.slice).with_context(|| named(running))?;
            let mut at = |share| percentile(&mut times, share).context("no request was due");
            running.latencies.push((at(0.5)?, at(0.99)?));
        }
    }
    Ok(())
}

/// Puts a variant under as much load as it takes.
fn slice(running: &mut Running, plan: &Plan) -> Result<Slice> {
    let pid = running.gateway.pid()?;
    let (began, before) = (Instant::now(), usage::cpu(pid)?);
    let (requests, elapsed) = match &plan.wrk {
        None => (running.load.run(plan.slice)?, began.elapsed()),
        Some(wrk) => {
            let (address, from) = (running.gateway.address, running.load.sent());
            let connections = plan.connections;
            let counts =
                wrk.run(&running.variant, address, &running.script, connections, plan.slice, from)?;
            running.load.skip(counts.requests as usize);
            (counts.requests, counts.elapsed)
        }
    };
    let cpu = usage::cpu(pid)?.saturating_sub(before).as_secs_f64();
    if requests == 0 {
        bail!("no request was answered in {} s", plan.slice.as_secs());
    }
    Ok(Slice {
        us: cpu * 1e6 / requests as f64,
        requests_per_second: requests as f64 / elapsed.as_secs_f64(),
        busy: cpu / elapsed.as_secs_f64(),
    })
}

fn median(running: &Running, of: impl Fn(&Slice) -> f64) -> Result<Quartiles> {
    Quartiles::of(running.slices.iter().map(of)).context("there is no round")
}

fn half_of_the_rate(running: &Running) -> Result<f64> {
    Ok(median(running, |slice| slice.requests_per_second)?.median / 2.0)
}

fn rows(all: &[Running]) -> Result<Vec<Row>> {
    let of = |name: &str| all.iter().find(|running| running.variant.name == name).context("a row is missing");
    let none = &of(NONE)?.slices;
    let over_none = |running: &Running| {
        let differences = running.slices.iter().zip(none).map(|(slice, none)| slice.us - none.us);
        Quartiles::of(differences).context("there is no round")
    };
    let empty = over_none(of(EMPTY)?)?.median;
    let row = |running: &Running| {
        let over_none_us = over_none(running)?;
        let us = |of: fn(&(u64, u64)) -> u64| {
            Quartiles::of(running.latencies.iter().map(|times| of(times) as f64 / 1_000.0))
        };
        let latency = match (us(|times| times.0), us(|times| times.1)) {
            (Some(p50_us), Some(p99_us)) => {
                Some(Latency { requests_per_second: half_of_the_rate(running)?, p50_us, p99_us })
            }
            _ => None,
        };
        Ok(Row {
            name: running.variant.name,
            us: median(running, |slice| slice.us)?,
            over_none_us,
            of_empty: over_none_us.median / empty,
            requests_per_second: median(running, |slice| slice.requests_per_second)?.median,
            busy: median(running, |slice| slice.busy)?.median,
            lookups: running.lookups,
            memory: running.memory,
            memory_at_the_end: usage::memory(running.gateway.pid()?)?,
            memory_per_key: running.memory_per_key,
            latency,
        })
    };
    all.iter().map(row).collect()
}

fn skipped(plan: &Plan) -> Vec<String> {
    let mut skipped: Vec<String> = plan.not_chosen.iter().map(|name| format!("{name}: not chosen")).collect();
    if plan.wrk.is_none() {
        skipped.push("wrk: not on the PATH, or not wanted; this program sent the requests".to_owned());
    }
    if plan.latency_rounds == 0 {
        skipped.push("latency: --latency-rounds is 0".to_owned());
    }
    if plan.additional_vms == 0 {
        skipped.push("memory of a VM: --vms is 0".to_owned());
    }
    skipped
}
