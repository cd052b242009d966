//! Tests of the manifests for Istio and for Envoy Gateway: their fields, the filter's settings in them, and the names that have to agree.
//!
//! `schemas/` has the schemas of their kinds, each with its source. Descriptions, and rules in CEL (`x-kubernetes-validations`),
//! are left out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that is surprised should stop"
)]

mod envoy_gateway;
mod fields;
mod istio;
mod schemas;

use std::fs;
use std::path::{Path, PathBuf};

use edge_key_auth_cli::document::{Document, Format};
use serde_json::Value;

/// The folders of manifests.
const FOLDERS: [&str; 2] = ["envoy-gateway", "istio"];

/// One document of a file in these folders.
#[derive(Clone)]
struct Manifest {
    /// The file, from its folder on.
    file: String,
    value: Value,
}

impl Manifest {
    fn kind(&self) -> &str {
        self.value["kind"].as_str().unwrap_or_default()
    }

    fn namespace(&self) -> &str {
        self.value["metadata"]["namespace"].as_str().unwrap()
    }

    fn name(&self) -> &str {
        self.value["metadata"]["name"].as_str().unwrap()
    }
}

/// All manifests, in the order of their files.
fn manifests() -> Vec<Manifest> {
    let root = test_stack::paths::workspace();
    let mut files = Vec::new();
    for folder in FOLDERS {
        find(&root.join(folder), &mut files);
    }
    files.sort();
    let manifests = files.iter().flat_map(|path| {
        let file = path.strip_prefix(&root).unwrap().display().to_string();
        let text = fs::read_to_string(path).unwrap();
        let documents = text.split("\n---\n").map(|text| yaml(&file, text)).collect::<Vec<_>>();
        documents.into_iter().map(move |value| Manifest { file: file.clone(), value })
    });
    manifests.collect()
}

/// The only manifest of a kind in a file.
fn manifest(file: &str, kind: &str) -> Manifest {
    let found: Vec<_> =
        manifests().into_iter().filter(|found| found.file == file && found.kind() == kind).collect();
    let [manifest] = &found[..] else { panic!("{file} has {} of the kind {kind}", found.len()) };
    manifest.clone()
}

/// A value in YAML, in which every field is given once.
fn yaml(file: &str, text: &str) -> Value {
    let document = Document::read(text, Format::Yaml).unwrap_or_else(|error| panic!("{file}: {error}"));
    assert_eq!(document.findings, [], "{file}");
    document.value
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => find(&path, files),
            false => files.push(path),
        }
    }
}
