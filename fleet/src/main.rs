//! A fleet of simulated edges with real connections, `cargo xtask fleet`. It measures a key service under load.
//!
//! [`edge`] is one edge, [`course`] the phases of a run, [`observations`] what all edges measure, [`report`] the result.

#![allow(
    clippy::disallowed_methods,
    reason = "it measures real services, and its edges are meant to differ each time"
)]

mod arguments;
mod chart;
mod connection;
mod course;
mod deletes;
mod edge;
mod observations;
mod open_files;
mod process;
mod recovery;
mod report;
mod statistics;
mod table;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use hyper::http::uri::Authority;
use tokio::net::{TcpStream, lookup_host};

use crate::arguments::{Arguments, EDGE_TOKEN, MANAGEMENT_TOKEN, bearer, create};
use crate::connection::{Address, Connector, Protocol};
use crate::course::{Plan, Samples};
use crate::deletes::Keys;
use crate::edge::{Fleet, introduce};
use crate::observations::Observations;
use crate::process::Sample;
use crate::report::Report;

/// A faster allocator leaves more of the machine to the service.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long an address may take to accept a connection at the start.
const REACH: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // One thread, so that the other cores are free for the service.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome =
        runtime.map_err(|error| error.to_string()).and_then(|runtime| runtime.block_on(run(arguments)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), String> {
    let token = bearer(EDGE_TOKEN)?;
    open_files::allow(arguments.connections())?;
    if !arguments.service_pids.is_empty() {
        Sample::of(&arguments.service_pids)
            .map_err(|error| format!("--service-pid: cannot read its usage: {error}"))?;
    }
    let json = create("--json", &arguments.json)?;
    let chart = create("--chart", &arguments.chart)?;

    let mut addresses = Vec::new();
    for service in &arguments.services {
        let address = reach("--service", service).await?;
        let connector = Connector::new(arguments.protocol(), vec![address.clone()], token.clone());
        introduce(&connector)
            .await
            .map_err(|failure| format!("--service: http://{service} does not serve edges: {failure}"))?;
        addresses.push(address);
    }
    let deletes = match (&arguments.public, arguments.deletes) {
        (Some(public), Some(count)) => Some((keys(public).await?, count)),
        _ => None,
    };

    let report = Report {
        edges: arguments.edges as usize,
        protocol: course::name(arguments.protocol()),
        services: arguments.services.iter().map(|service| format!("http://{service}")).collect(),
        wait_ms: arguments.wait_ms,
        verifies_per_second: arguments.verifies_per_second,
        interrupted: false,
        phases: Vec::new(),
        recoveries: Vec::new(),
        deletes: Vec::new(),
        failed_deletes: BTreeMap::new(),
    };
    let before = Samples::take(&arguments.service_pids);
    let began = Instant::now();
    let fleet = Fleet {
        connector: Connector::new(arguments.protocol(), addresses, token),
        observations: Observations::new(report.edges, began),
        wait_ms: arguments.wait_ms,
        began,
    };
    let plan = Plan {
        verifies_per_second: arguments.verifies_per_second,
        idle: Duration::from_secs(arguments.seconds),
        deletes,
        interval: Duration::from_millis(arguments.interval_ms),
        herd: arguments.herd,
        service_pids: arguments.service_pids,
    };
    let report = course::run(fleet, plan, before, report).await.map_err(|error| error.to_string())?;
    print!("{}", table::render(&report));
    let pretty = serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?;
    write("--json", json, pretty + "\n")?;
    write("--chart", chart, chart::draw(&report))
}

/// The keys of a user, through the public API at this address.
async fn keys(public: &Authority) -> Result<Keys, String> {
    let address = reach("--public", public).await?;
    let connector = Connector::new(Protocol::Http1, vec![address], bearer(MANAGEMENT_TOKEN)?);
    let (keys, email) = Keys::of_somebody(connector)
        .await
        .map_err(|error| format!("--public: http://{public}/api/users/: {error}"))?;
    course::print_progress(&format!(
        "the keys that are created and deleted belong to {}",
        email.escape_debug()
    ));
    Ok(keys)
}

/// The first of a host's addresses that accepts a connection.
async fn reach(flag: &str, authority: &Authority) -> Result<Address, String> {
    let cannot = |error: &dyn std::fmt::Display| format!("{flag}: cannot reach http://{authority}: {error}");
    let sockets = lookup_host(authority.as_str()).await.map_err(|error| cannot(&error))?;
    let mut outcome = Err(cannot(&"it has no address"));
    for socket in sockets {
        match tokio::time::timeout(REACH, TcpStream::connect(socket)).await {
            Ok(Ok(_)) => return Ok(Address { authority: authority.clone(), socket }),
            Ok(Err(error)) => outcome = Err(cannot(&error)),
            Err(_) => outcome = Err(cannot(&"no answer")),
        }
    }
    outcome
}

fn write(flag: &str, file: Option<File>, content: String) -> Result<(), String> {
    let Some(mut file) = file else { return Ok(()) };
    file.write_all(content.as_bytes()).map_err(|error| format!("{flag}: {error}"))
}
