//! The key service of this repository conforms to the edge API.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that is surprised should stop"
)]

use std::process::Command;

use test_stack::{Options, Stack, paths};

#[test]
#[ignore = "needs the built key service: cargo xtask test"]
fn the_key_service_conforms_to_the_edge_api() {
    let options = Options { envoys: 0, ..Options::default() };
    let stack = Stack::temporary(&options).unwrap_or_else(|error| panic!("{error:#}"));
    let service = stack.key_service();
    let mut conformance = Command::new(env!("CARGO_BIN_EXE_edge-key-auth"));
    conformance.args(["conformance", &service.edge_url("")]);
    conformance.args([
        "--create",
        r#""$KEY_SERVICE" key create --user demo@example.com --label conformance --scopes "*""#,
    ]);
    conformance.args([
        "--create-restricted",
        r#""$KEY_SERVICE" key create --user demo@example.com --label restricted --scopes "*" --projects 7"#,
    ]);
    conformance.args(["--delete", r#"printenv KEY | "$KEY_SERVICE" key leaked --source conformance"#]);
    conformance.env("KEY_SERVICE", paths::key_service()).envs(service.env().iter().cloned());
    let output = conformance.output().unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}{}", String::from_utf8_lossy(&output.stderr));
    println!("{report}");
}
