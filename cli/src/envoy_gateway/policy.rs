//! Judges an `EnvoyExtensionPolicy`: what it targets, and how it loads the filter.

use super::{Module, Surroundings};
use crate::document::{Document, Place};
use crate::finding::Finding;

/// The findings on a policy, if it loads the filter.
pub(super) fn judge(document: &Document, surroundings: &Surroundings) -> Vec<Finding> {
    let modules = super::modules(document);
    let Some(spec) = document.root().field("spec").filter(|_| !modules.is_empty()) else {
        return Vec::new();
    };
    let mut findings = targets(&spec);
    for Module { settings, wasm } in &modules {
        if let Some(open) = wasm.field("failOpen").filter(|open| open.is_true()) {
            let message = "is true: requests then pass unchecked if the filter does not run, or if Envoy Gateway cannot pull the \
                           module. Set false";
            findings.push(Finding::error(open.path, message));
        }
        findings.extend(token(wasm, settings.token_env()));
        findings.extend(digest(wasm));
        if let Some((path, cluster)) = settings.cluster() {
            findings.extend(self::cluster(&path, cluster, surroundings));
        }
    }
    findings
}

/// Envoy Gateway runs the filter only for the routes of the target.
fn targets(spec: &Place<'_>) -> Vec<Finding> {
    const UNCHECKED: &str = "the requests of other routes of the Gateway then pass unchecked, with identity that clients forge. \
                             Target the Gateway";
    let lists = ["targetRefs", "targetSelectors"].into_iter().filter_map(|name| spec.field(name));
    let listed = lists.flat_map(|list| list.items());
    let all: Vec<_> = listed.chain(spec.field("targetRef")).collect();
    if all.is_empty() {
        let message = "is missing, so Envoy Gateway runs the filter for no request: target the Gateway";
        return vec![Finding::error(spec.path_of("targetRefs"), message)];
    }
    let mut findings = Vec::new();
    for target in all {
        let kind = target.field("kind").and_then(|kind| kind.text()).unwrap_or_default();
        if kind != "Gateway" {
            findings.push(Finding::error(target.path_of("kind"), format!("is {kind}: {UNCHECKED}")));
        } else if let Some(section) = target.field("sectionName") {
            let message = format!("limits the filter to one listener: {UNCHECKED} without sectionName");
            findings.push(Finding::error(section.path, message));
        }
    }
    findings
}

fn token(wasm: &Place<'_>, variable: &str) -> Option<Finding> {
    let keys = wasm.at(&["env", "hostKeys"]);
    let named = keys.iter().flat_map(Place::items).any(|key| key.text() == Some(variable));
    let path = keys.map_or_else(|| format!("{}.env.hostKeys", wasm.path), |keys| keys.path);
    let message =
        format!("does not name {variable}, so the filter gets no edge token and refuses to load: add it");
    (!named).then(|| Finding::error(path, message))
}

fn digest(wasm: &Place<'_>) -> Option<Finding> {
    let source = ["image", "http"].into_iter().find_map(|source| wasm.at(&["code", source]))?;
    let text = |name| source.field(name).and_then(|field| field.text()).unwrap_or_default();
    if !text("sha256").is_empty() || text("url").contains("@sha256:") {
        return None;
    }
    let message = "is missing, so Envoy Gateway loads whatever module is at the address: add the SHA-256 of the image's \
                   manifest, or of the file";
    Some(Finding::hint(source.path_of("sha256"), message))
}

/// The filter calls the key service outside any request, so it needs a cluster that no route has to keep.
fn cluster(path: &str, cluster: &str, surroundings: &Surroundings) -> Option<Finding> {
    const BOOTSTRAP: &str = "spec.bootstrap of the EnvoyProxy";
    if let Some(clusters) = &surroundings.clusters
        && !clusters.contains(cluster)
    {
        let message = format!(
            "no bootstrap adds the cluster {cluster:?}, so every key that is not cached gets 503: add it to {BOOTSTRAP}"
        );
        return Some(Finding::error(path, message));
    }
    if cluster.contains('/') {
        let message = format!(
            "is {cluster:?}, a cluster that Envoy Gateway makes of a route, and removes and renames with it: every key that is \
             not cached then gets 503. Name one of {BOOTSTRAP}"
        );
        return Some(Finding::hint(path, message));
    }
    None
}
