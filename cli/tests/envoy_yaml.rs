//! A real Envoy reads the scalars of YAML as the command does.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that is surprised should stop"
)]

use serde_json::Value;
use test_stack::process::Process;
use test_stack::{paths, ports};

#[test]
#[ignore = "needs Envoy: cargo xtask test"]
fn envoy_reads_the_same_scalars() {
    let envoy = paths::tool(paths::ENVOY_VARIABLE).unwrap_or_else(|error| panic!("{error:#}"));
    let admin = ports::free().unwrap();
    let file = paths::workspace().join("cli/tests/yaml/scalars.yaml");
    let listen = format!(
        "admin: {{ address: {{ socket_address: {{ address: {}, port_value: {} }} }} }}",
        admin.ip(),
        admin.port()
    );
    let file = file.to_string_lossy().into_owned();
    let args =
        ["--config-path", &file, "--config-yaml", &listen, "--concurrency", "1", "--disable-hot-restart"];
    let log = paths::target().join("envoy-yaml.log");
    let process = Process::new("envoy", &envoy, args, &[], log, format!("http://{admin}/ready"));
    process.start().unwrap_or_else(|error| panic!("{error:#}"));
    let info = ureq::get(format!("http://{admin}/server_info")).call().unwrap();
    let info: Value = serde_json::from_reader(info.into_body().into_reader()).unwrap();
    let expected: Value = serde_json::from_str(include_str!("yaml/scalars.json")).unwrap();
    assert_eq!(info["node"]["metadata"], expected);
    process.stop().unwrap();
}
