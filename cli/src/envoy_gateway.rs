//! Reads the resources of Envoy Gateway that load the filter, and judges their settings: `EnvoyExtensionPolicy`, and the
//! `EnvoyProxy` and `EnvoyPatchPolicy` around it.
//!
//! Kubernetes refuses unknown fields itself, so only settings of known fields are judged.

use std::collections::BTreeSet;

use crate::document::{Document, Format, Place, join};
use crate::envoy::is_our_name;
use crate::finding::Finding;
use crate::settings::Settings;

mod patch;
mod policy;
mod proxy;

/// An entry of a policy that loads the filter.
#[derive(Clone, Debug)]
pub struct Module<'d> {
    /// The settings that it passes to the filter.
    pub settings: Settings,
    /// The entry of `spec.wasm`.
    wasm: Place<'d>,
}

/// What the files of one configuration say together.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The environment variables of the edge token that policies name.
    tokens: BTreeSet<String>,
    /// The clusters that the bootstraps add; `None` if no file has a bootstrap.
    clusters: Option<BTreeSet<String>>,
}

/// The kind, if a file is one of Envoy Gateway's resources.
fn kind_of(document: &Document) -> Option<&str> {
    let root = document.root();
    let version = root.field("apiVersion")?.text()?;
    let kind = root.field("kind")?.text()?;
    version.starts_with("gateway.envoyproxy.io/").then_some(kind)
}

/// Whether a file is one of Envoy Gateway's resources, whatever it loads.
pub fn is_envoy_gateway(document: &Document) -> bool {
    kind_of(document).is_some()
}

/// The filters of ours that a policy loads.
pub fn modules(document: &Document) -> Vec<Module<'_>> {
    if kind_of(document) != Some("EnvoyExtensionPolicy") {
        return Vec::new();
    }
    let root = document.root();
    let name = root.at(&["metadata", "name"]);
    let entries = root.at(&["spec", "wasm"]).into_iter().flat_map(|wasm| wasm.items());
    let settings_of = |wasm: &Place<'_>| {
        let settings = match wasm.field("config") {
            Some(settings) => Settings::of_struct(&settings),
            None => Settings::nothing(wasm.path_of("config")),
        };
        let url = |source| wasm.at(&["code", source, "url"]);
        let names = [name.clone(), wasm.field("name"), url("image"), url("http")];
        let mut names = names.iter().flatten().filter_map(Place::text);
        (settings.are_ours() || names.any(is_our_name)).then_some(settings)
    };
    entries.filter_map(|wasm| Some(Module { settings: settings_of(&wasm)?, wasm })).collect()
}

impl Surroundings {
    /// What these files say.
    pub fn of<'d>(documents: impl Iterator<Item = &'d Document>) -> Self {
        let mut all = Surroundings::default();
        for document in documents {
            let modules = modules(document);
            all.tokens.extend(modules.iter().map(|module| module.settings.token_env().to_owned()));
            if let Some(clusters) = proxy::clusters(document) {
                all.clusters.get_or_insert_default().extend(clusters);
            }
        }
        all
    }
}

/// The findings on a resource.
pub fn judge(document: &Document, surroundings: &Surroundings) -> Vec<Finding> {
    match kind_of(document) {
        Some("EnvoyExtensionPolicy") => policy::judge(document, surroundings),
        Some("EnvoyProxy") => proxy::judge(document, surroundings),
        Some("EnvoyPatchPolicy") => patch::judge(document),
        _ => Vec::new(),
    }
}

/// The bootstrap in an `EnvoyProxy`, with its place; or why it cannot be read.
fn bootstrap(document: &Document) -> Option<(String, Result<Document, String>)> {
    let value = document.root().at(&["spec", "bootstrap", "value"])?;
    let read = Document::read(value.text()?, Format::Yaml).map_err(|error| error.to_string());
    Some((value.path, read))
}

/// A finding inside a text, with its path in the file around it.
fn inside(path: &str, finding: Finding) -> Finding {
    Finding { path: join(path, &finding.path), ..finding }
}
