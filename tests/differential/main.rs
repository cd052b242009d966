//! The filter in front of real servers: does a request reach a handler of a class that its rule does not allow?
//!
//! Each server parses paths and overrides methods in its own way. Mutated requests go through Envoy to real servers, and each
//! handler reports its class.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation should stop the test"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "tests measure and wait by the real clock, and read their own settings"
)]

mod mutations;
mod server;

use std::env;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use test_stack::{Options, Stack};

use crate::mutations::{Caller, FORGED, Mutated, PUBLIC, SCOPED};
use crate::server::Server;

const EVERYTHING: &str = "phx_1234567890abcdef";
const INSIGHTS_ONLY: &str = "phx_demo_insights_only";
const PROJECTS_ONLY: &str = "phx_differential_projects_only";

/// The default number of requests to all servers; `DIFFERENTIAL_REQUESTS` overrides it.
const REQUESTS: u64 = 1_000;

/// The default seed; `DIFFERENTIAL_SEED` overrides it.
const SEED: u64 = 1;

/// Envoy passes header names with underscores to the filter, and closes a connection without delay after its last answer.
const ENVOY_CONFIG: &[(&str, &str)] = &[
    ("headers_with_underscores_action: REJECT_REQUEST", "headers_with_underscores_action: ALLOW"),
    ("stream_idle_timeout: 300s", "delayed_close_timeout: 0s"),
];

#[test]
#[ignore = "needs an Envoy and servers from PyPI and npm: cargo xtask test"]
fn no_request_reaches_a_handler_of_another_class_than_its_rule_says() {
    let (requests, seed) = (number("DIFFERENTIAL_REQUESTS", REQUESTS), number("DIFFERENTIAL_SEED", SEED));
    println!("{requests} requests, DIFFERENTIAL_SEED={seed}");
    let mut failures = Vec::new();
    let servers = Server::all();
    for server in &servers {
        failures.extend(attack(server, seed, requests / servers.len() as u64));
    }
    assert!(
        failures.is_empty(),
        "DIFFERENTIAL_SEED={seed}, {} of them:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

fn number(variable: &str, default: u64) -> u64 {
    env::var(variable).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}

/// Sends this number of requests to one server, and returns the failures.
fn attack(server: &Server, seed: u64, requests: u64) -> Vec<String> {
    let running = server.start();
    let options =
        Options { upstream: Some(running.address), envoy_config: ENVOY_CONFIG, ..Options::default() };
    let stack = Stack::temporary(&options).unwrap_or_else(|error| panic!("{error:#}"));
    let args = [
        "key",
        "create",
        "--user",
        "demo@example.com",
        "--label",
        "Projects only",
        "--scopes",
        "project:read",
    ];
    let args = [&args[..], &["--value-stdin"]].concat();
    stack.key_service().run(&args, PROJECTS_ONLY).unwrap();
    let edge = stack.envoys()[0].address();
    require_handlers(server, edge);

    let (mut handled, mut failures) = (0, Vec::new());
    for number in 0..requests {
        let request = Mutated::new(seed, number);
        let key = match request.caller {
            Caller::Nobody => None,
            Caller::Insights => Some(INSIGHTS_ONLY),
            Caller::Projects => Some(PROJECTS_ONLY),
        };
        let bytes = request.bytes(key);
        let answer = exchange(edge, &bytes);
        let Some(class) = header(&answer, "x-route-class") else { continue };
        handled += 1;
        let method = header(&answer, "x-route-method").unwrap_or_default();
        let caller = header(&answer, "x-route-caller").unwrap_or_default();
        let may = match request.caller {
            _ if class == "public" => caller == "nobody",
            Caller::Nobody => false,
            Caller::Insights => class == "insight" && is_reading(&method),
            Caller::Projects => class == "project" && is_reading(&method),
        };
        if !may || caller.contains(FORGED) {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            failures.push(format!(
                "{}, request {number}: {:?} ran the {class} handler as {method} for {caller}:\n{text}",
                server.name, request.caller
            ));
        }
    }
    println!("{}: {handled} of {requests} mutated requests reached a handler", server.name);
    failures
}

/// Checks that each handler can be reached and returns its class. Otherwise the test would prove nothing.
fn require_handlers(server: &Server, edge: SocketAddr) {
    for (class, path) in
        PUBLIC.iter().map(|path| ("public", path)).chain(SCOPED.iter().map(|(class, path)| (*class, path)))
    {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {EVERYTHING}\r\n\r\n"
        );
        let answer = exchange(edge, request.as_bytes());
        assert_eq!(
            header(&answer, "x-route-class").as_deref(),
            Some(class),
            "{}: {path}: {answer}",
            server.name
        );
    }
}

fn is_reading(method: &str) -> bool {
    ["GET", "HEAD", "OPTIONS"].contains(&method)
}

/// The head of the answer, and the received part of the body.
fn exchange(edge: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(edge).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.set_nodelay(true).unwrap();
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(read) if read > 0 => answer.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("neither answered nor closed: {}", String::from_utf8_lossy(bytes))
            }
            _ => break,
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn header(answer: &str, name: &str) -> Option<String> {
    let head = answer.split("\r\n\r\n").next()?;
    head.lines().find_map(|line| {
        let (header, value) = line.split_once(':')?;
        header.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}
