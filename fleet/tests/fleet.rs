//! The fleet against a real key service on SQLite. Started by `cargo xtask test`, which builds the service.

// Clippy's exception for tests does not cover helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use test_stack::{Options, Stack};

const EDGES: usize = 200;
const LOOPBACK: &str = "http://127.0.0.1:1";

#[derive(Deserialize)]
struct Report {
    interrupted: bool,
    phases: Vec<Phase>,
    recoveries: Vec<Recovery>,
    deletes: Vec<Delete>,
    failed_deletes: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct Phase {
    name: String,
    holding: usize,
    leases_lost: u64,
    syncs_per_second: f64,
    verifies_per_second: f64,
    verify_failures: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct Recovery {
    cause: String,
    edges: usize,
    still_out: usize,
    syncs_per_edge: f64,
    granted: Spread,
    failures: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct Delete {
    acknowledged_edges: usize,
    acknowledged: Spread,
    returned_ms: f64,
    revocation: Revocation,
}

#[derive(Deserialize)]
struct Revocation {
    edges: usize,
    acknowledged: usize,
    expired: usize,
}

#[derive(Deserialize)]
struct Key {
    label: String,
}

#[derive(Deserialize)]
struct Spread {
    first_ms: f64,
    median_ms: f64,
    last_ms: f64,
}

fn service() -> Stack {
    Stack::temporary(&Options { envoys: 0, ..Options::default() }).unwrap()
}

/// The program with the arguments and the environment that it needs for this service.
fn fleet(service: &Stack, arguments: &str) -> Command {
    let service = service.key_service();
    let mut fleet = bare_fleet(arguments);
    fleet.args(["--service", &service.edge_url("")]);
    fleet.env("EDGE_TOKEN", service.edge_token());
    fleet
}

fn bare_fleet(arguments: &str) -> Command {
    let mut fleet = Command::new(env!("CARGO_BIN_EXE_fleet"));
    fleet.args(arguments.split_ascii_whitespace()).env_remove("EDGE_TOKEN").env_remove("MANAGEMENT_TOKEN");
    fleet.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    fleet
}

fn succeeded(output: Output) -> (String, String) {
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(output.status.success(), "{out}{err}");
    (out, err)
}

fn refused(fleet: &mut Command) -> String {
    let output = fleet.output().unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

fn is_in_order(spread: &Spread) -> bool {
    0.0 <= spread.first_ms && spread.first_ms <= spread.median_ms && spread.median_ms <= spread.last_ms
}

/// Runs all phases, and checks results that do not depend on the machine's speed.
fn all_phases(protocol: &str) {
    let stack = service();
    let member = ["user", "add", "member@example.com", "--without-password", "--permissions", "insight:read"];
    stack.key_service().run(&member, "").unwrap();
    let token = stack
        .key_service()
        .run(&["token", "create", "--label", "fleet", "--can", "read,revoke,create"], "")
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (json, chart) = (folder.path().join("report.json"), folder.path().join("chart.svg"));
    let arguments = format!(
        "--edges {EDGES} {protocol} --seconds 4 --verifies-per-second 50 --deletes 3 --interval-ms 100 --herd"
    );
    let mut fleet = fleet(&stack, &arguments);
    fleet.args(["--public", &stack.key_service().url("")]).env("MANAGEMENT_TOKEN", token.trim());
    fleet.arg("--json").arg(&json).arg("--chart").arg(&chart);
    let (table, progress) = succeeded(fleet.output().unwrap());

    let report: Report = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
    assert!(!report.interrupted);
    let names: Vec<&str> = report.phases.iter().map(|phase| phase.name.as_str()).collect();
    assert_eq!(names, ["acquisition", "idle", "deletes", "herd"]);
    for phase in &report.phases {
        assert_eq!((phase.holding, phase.leases_lost), (EDGES, 0), "{}\n{table}{progress}", phase.name);
        assert!(phase.syncs_per_second > 0.0, "{}", phase.name);
        // A verify may fail because its connection was dropped.
        assert!(phase.verify_failures.is_empty() || phase.name == "herd", "{:?}", phase.verify_failures);
    }
    let rate = report.phases[1].verifies_per_second;
    assert!((40.0..60.0).contains(&rate), "{rate}");

    assert!(report.failed_deletes.is_empty());
    assert_eq!(report.deletes.len(), 3);
    for delete in &report.deletes {
        assert_eq!(delete.acknowledged_edges, EDGES);
        assert!(is_in_order(&delete.acknowledged));
        assert!(
            delete.acknowledged.last_ms <= delete.returned_ms,
            "it returned before the last edge acknowledged"
        );
        let Revocation { edges, acknowledged, expired } = delete.revocation;
        assert_eq!((edges, acknowledged, expired), (EDGES, EDGES, 0));
    }

    let causes: Vec<&str> = report.recoveries.iter().map(|recovery| recovery.cause.as_str()).collect();
    assert_eq!(causes, ["start", "herd"]);
    assert!(report.recoveries[1].failures["connection lost"] > 0, "no connection was dropped");
    for recovery in &report.recoveries {
        assert_eq!((recovery.edges, recovery.still_out), (EDGES, 0));
        assert!(is_in_order(&recovery.granted));
        assert!((1.0..5.0).contains(&recovery.syncs_per_edge), "{}", recovery.syncs_per_edge);
    }
    assert!(table.contains("edges that hold a lease") && table.contains("worst"), "{table}");
    let chart = fs::read_to_string(chart).unwrap();
    assert!(chart.contains("acknowledgement by 200 edges") && chart.matches("<circle").count() == 12);
    let keys = stack.key_service().run(&["key", "list", "--json"], "").unwrap();
    let keys: Vec<Key> = serde_json::from_str(&keys).unwrap();
    assert!(!keys.is_empty() && keys.iter().all(|key| key.label != "fleet"), "no key is left over");
}

#[test]
#[ignore = "needs the built key service: run `cargo xtask test`"]
fn edges_over_http_2_keep_their_leases_and_acknowledge_every_delete() {
    all_phases("");
}

#[test]
#[ignore = "needs the built key service: run `cargo xtask test`"]
fn edges_over_http_1_keep_their_leases_and_acknowledge_every_delete() {
    all_phases("--http1");
}

#[test]
#[ignore = "needs the built key service: run `cargo xtask test`"]
fn a_restart_of_the_service_is_survived_and_reported() {
    let stack = service();
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("report.json");
    let mut fleet = fleet(&stack, "--edges 50 --seconds 12");
    let child = fleet.arg("--json").arg(&json).spawn().unwrap();
    thread::sleep(Duration::from_secs(4));
    stack.key_service().process().kill().unwrap();
    stack.key_service().process().start().unwrap();
    succeeded(child.wait_with_output().unwrap());
    let report: Report = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
    let outage = report.recoveries.iter().find(|recovery| recovery.cause == "failures").unwrap();
    assert_eq!((outage.edges, outage.still_out), (50, 0));
    assert_eq!(report.phases.last().unwrap().holding, 50);
}

#[test]
#[ignore = "needs the built key service: run `cargo xtask test`"]
fn an_interrupt_ends_it_with_the_report_so_far() {
    let stack = service();
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("report.json");
    let child = fleet(&stack, "--edges 20 --seconds 600").arg("--json").arg(&json).spawn().unwrap();
    thread::sleep(Duration::from_secs(3));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let (table, _) = succeeded(child.wait_with_output().unwrap());
    assert!(table.contains("ended early"), "{table}");
    let report: Report = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
    let last = report.phases.last().unwrap();
    assert_eq!((report.interrupted, last.name.as_str(), last.holding), (true, "idle", 20));
}

#[test]
#[ignore = "needs the built key service: run `cargo xtask test`"]
fn a_token_that_the_service_refuses_is_named_before_any_edge_connects() {
    let stack = service();
    let mut wrong = fleet(&stack, "--edges 5");
    let stderr = refused(wrong.env_remove("EDGE_TOKEN").env("EDGE_TOKEN", "another-token-altogether"));
    assert!(stderr.contains("--service") && stderr.contains("refused the edge token"), "{stderr}");
    let public = stack.key_service().url("");
    let mut wrong = fleet(&stack, &format!("--edges 5 --deletes 1 --public {public}"));
    let stderr = refused(wrong.env("MANAGEMENT_TOKEN", "ekm_wrong"));
    assert!(stderr.contains("--public") && stderr.contains("status 401"), "{stderr}");
}

#[test]
fn a_missing_token_or_service_is_named() {
    let stderr = refused(&mut bare_fleet(&format!("--edges 5 --service {LOOPBACK}")));
    assert!(stderr.contains("EDGE_TOKEN is not set"), "{stderr}");
    let mut unreachable = bare_fleet(&format!("--edges 5 --service {LOOPBACK}"));
    let stderr = refused(unreachable.env("EDGE_TOKEN", "t"));
    assert!(stderr.contains("--service: cannot reach http://127.0.0.1:1: "), "{stderr}");
}
