//! Tests of the command: what it finds in files, what it prints, and its exit codes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that is surprised should stop"
)]

mod catalogue;
mod documentation;
mod envoy_gateway;
mod host;
mod istio;
mod output;
mod settings;
mod shipped;

use edge_key_auth_cli::check::check;
use edge_key_auth_cli::document::{Document, Format};
use edge_key_auth_cli::finding::Severity;
use test_stack::envoy::configuration::{Shape, edit, template};

/// The findings in a text: severity, path and message.
fn findings(text: &str, format: Format) -> Vec<(Severity, String, String)> {
    let document = Document::read(text, format).unwrap();
    findings_in(vec![("file".to_owned(), document)])
}

/// The findings in several files of one configuration.
fn findings_in(files: Vec<(String, Document)>) -> Vec<(Severity, String, String)> {
    let findings = check(&files, None).into_iter().flat_map(|report| report.findings);
    findings.map(|(_, finding)| (finding.severity, finding.path, finding.message)).collect()
}

/// The shipped file for users to copy, with changes: pairs of a text that occurs once, and its replacement.
fn envoy_with(changes: &[(&str, &str)]) -> String {
    edit(&template(Shape::Envoy).unwrap(), changes).unwrap()
}
