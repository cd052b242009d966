//! Requests that have deceived proxies and the servers behind them, by class, as raw bytes: what must not happen is
//! the same for all of them, and is looked at where it would happen, at the upstream.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation should stop the test"
)]

mod cases;
mod http1;
mod http2;
mod judge;
mod runner;
mod upstream;

use crate::cases::{headers, methods, paths, pseudo_headers, smuggling, trailers, upgrades};
use crate::runner::{Runner, Settings};

/// Each character is a byte: U+0000 to U+00FF.
fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).expect("Latin-1")).collect()
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn smuggling() {
    for settings in [Settings::Shipped, Settings::Lenient] {
        Runner::start(settings).http1(&smuggling::HTTP1);
    }
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn path_confusion() {
    for settings in [Settings::Shipped, Settings::Lenient, Settings::Normalising, Settings::EncodedSlashes] {
        let runner = Runner::start(settings);
        runner.http1_targets(&paths::TARGETS);
        runner.http1(&paths::HTTP1);
        runner.http2_paths(&paths::TARGETS);
        if settings == Settings::Shipped {
            let runner = runner.with_restricted_key();
            runner.http1_targets(&paths::PROJECT_TARGETS);
            runner.http2_paths(&paths::PROJECT_TARGETS);
        }
    }
    let runner = Runner::start(Settings::Posthog);
    for targets in [&paths::POSTHOG_TARGETS[..], &paths::TARGETS] {
        runner.http1_targets(targets);
        runner.http2_paths(targets);
    }
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn header_confusion() {
    for settings in [Settings::Shipped, Settings::Lenient] {
        let runner = Runner::start(settings);
        runner.http1(&headers::HTTP1);
        runner.http2(&headers::HTTP2);
    }
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn method_tricks() {
    for settings in [Settings::Shipped, Settings::Lenient] {
        let runner = Runner::start(settings);
        runner.http1(&methods::HTTP1);
        runner.http2(&methods::HTTP2);
    }
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn pseudo_headers() {
    for settings in [Settings::Shipped, Settings::Lenient] {
        Runner::start(settings).http2(&pseudo_headers::HTTP2);
    }
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn upgrades() {
    for settings in [Settings::Shipped, Settings::Lenient] {
        let runner = Runner::start(settings);
        runner.http1(&upgrades::HTTP1);
        runner.http2(&upgrades::HTTP2);
    }
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn trailers() {
    for settings in [Settings::Shipped, Settings::Lenient] {
        let runner = Runner::start(settings);
        runner.http1(&trailers::HTTP1);
        runner.http2(&trailers::HTTP2);
    }
}
