//! Finds the filter in an Envoy configuration, and judges the settings of Envoy around it.
//!
//! The configuration may be a bootstrap, a listener, a resource of LDS or ECDS, a config dump, or a list of `http_filters`: the
//! tree is searched, so it does not matter which.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::document::{Document, Place};
use crate::finding::Finding;

mod chain;
mod manager;
mod plugin;

use chain::Chain;
use plugin::wasm_of;
pub use plugin::{Plugin, is_our_name};

/// Fields that make a file one of Envoy's.
const ENVOY_FIELDS: [&str; 10] = [
    "@type",
    "admin",
    "configs",
    "dynamic_resources",
    "filter_chains",
    "http_filters",
    "node",
    "resources",
    "static_resources",
    "typed_config",
];

/// Whether this is a file of Envoy's, rather than the filter's settings alone.
pub fn is_envoy(document: &Document) -> bool {
    match &document.value {
        Value::Object(fields) => {
            ENVOY_FIELDS.iter().any(|name| fields.contains_key(*name)) || !plugins(document).is_empty()
        }
        value => value.is_array(),
    }
}

/// The Wasm filters of ours in a file.
pub fn plugins(document: &Document) -> Vec<Plugin<'_>> {
    let wasm = document.root().everything().into_iter().filter_map(|place| wasm_of(&place));
    wasm.filter_map(Plugin::of).collect()
}

/// The names under which HTTP filters of a file are ours.
pub fn filter_names(document: &Document) -> BTreeSet<String> {
    let plugins = plugins(document);
    let managers = document.root().everything();
    let chains = managers.iter().flat_map(|manager| Chain::all_of(manager, &plugins));
    chains.flat_map(|chain| chain.names()).collect()
}

/// The findings on Envoy's settings. `names` are those of our filters in all files of Envoy's configuration.
pub fn judge(document: &Document, names: &BTreeSet<String>) -> Vec<Finding> {
    let plugins = &plugins(document);
    let everything = document.root().everything();
    let mut findings = Vec::new();
    for plugin in plugins {
        findings.extend(plugin::judge(plugin));
        findings.extend(wrapped(plugin, &everything));
        findings.extend(unknown_cluster(document, plugin));
    }
    let managers: Vec<_> =
        everything.iter().map(|manager| (manager, Chain::all_of(manager, plugins))).collect();
    for (manager, chains) in &managers {
        findings.extend(chains.iter().flat_map(Chain::judge));
        if chains.iter().any(Chain::has_ours) {
            findings.extend(manager::judge(manager, chains));
        }
    }
    findings.extend(manager::around(&managers));
    findings.extend(everything.iter().flat_map(|place| turned_off(place, names)));
    findings
}

/// Envoy accepts a file in which the cluster is missing; each callout then fails.
fn unknown_cluster(document: &Document, plugin: &Plugin<'_>) -> Option<Finding> {
    let root = document.root();
    let clusters = root.at(&["static_resources", "clusters"])?.items();
    let dynamic = root.at(&["dynamic_resources", "cds_config"]);
    let (path, name) = plugin.settings.cluster()?;
    let is_defined =
        clusters.iter().any(|cluster| cluster.field("name").and_then(|name| name.text()) == Some(name));
    if is_defined || dynamic.is_some() {
        return None;
    }
    let message = format!(
        "the file defines no cluster {name:?}, so every key that is not cached gets 503: add it to \
         static_resources.clusters"
    );
    Some(Finding::error(path, message))
}

/// Envoy runs a filter inside another message only for the requests that this message chooses.
fn wrapped(plugin: &Plugin<'_>, everything: &[Place<'_>]) -> Option<Finding> {
    let wrapper = everything.iter().find_map(|place| {
        let config = place.field("typed_config")?;
        let is_wrapper = config.contains(&plugin.wasm)
            && wasm_of(&config).is_none()
            && config.field("http_filters").is_none();
        is_wrapper.then_some(config)
    })?;
    let message = "wraps the filter, so Envoy can skip it for some requests, which are then unchecked, with identity that \
                   clients forge: put the filter itself into http_filters";
    Some(Finding::error(wrapper.path, message))
}

/// Routes and virtual hosts that turn a filter of ours off.
fn turned_off(place: &Place<'_>, names: &BTreeSet<String>) -> Vec<Finding> {
    let configs = place.field("typed_per_filter_config").into_iter().flat_map(|map| map.fields());
    let ours = configs.filter(|(name, _)| names.contains(*name) || is_our_name(name));
    let options = ours.filter_map(|(_, config)| config.field("disabled").filter(|option| option.is_true()));
    let message = "is true: Envoy then forwards the requests of these routes unchecked, with identity that clients forge. \
                   Remove it; for a route without keys, add a rule with public: true";
    options.map(|option| Finding::error(option.path, message)).collect()
}
