//! Judges an `EnvoyProxy`: the edge token in its environment, and the cluster of the key service in its bootstrap.

use super::{Surroundings, bootstrap, inside};
use crate::document::{Document, Place};
use crate::finding::Finding;

/// The names of the clusters that the bootstrap adds; `None` if the file has no bootstrap, or if JSON patches make it.
pub(super) fn clusters(document: &Document) -> Option<Vec<String>> {
    let (_, Ok(bootstrap)) = bootstrap(document)? else { return None };
    let clusters = bootstrap.root().at(&["static_resources", "clusters"]);
    let clusters = clusters.into_iter().flat_map(|clusters| clusters.items());
    Some(clusters.filter_map(|cluster| Some(cluster.field("name")?.text()?.to_owned())).collect())
}

/// The findings on the proxies.
pub(super) fn judge(document: &Document, surroundings: &Surroundings) -> Vec<Finding> {
    let mut findings = Vec::new();
    match bootstrap(document) {
        Some((path, Err(error))) => findings.push(Finding::error(path, format!("is not YAML: {error}"))),
        Some((path, Ok(bootstrap))) => {
            findings.extend(bootstrap.findings.iter().map(|finding| inside(&path, finding.clone())));
            findings.extend(kind(document));
        }
        None => {}
    }
    for variable in &surroundings.tokens {
        findings.extend(token(document, variable));
    }
    findings
}

/// Only a merge keeps Envoy Gateway's own bootstrap.
fn kind(document: &Document) -> Option<Finding> {
    let bootstrap = document.root().at(&["spec", "bootstrap"])?;
    let kind = bootstrap.field("type").and_then(|kind| kind.text());
    if kind == Some("Merge") {
        return None;
    }
    let is = kind.map_or_else(|| "is missing, which means Replace".to_owned(), |kind| format!("is {kind}"));
    let message =
        format!("{is}: the value has to be a whole bootstrap then. Set Merge to add to Envoy Gateway's own");
    Some(Finding::hint(bootstrap.path_of("type"), message))
}

fn token(document: &Document, variable: &str) -> Option<Finding> {
    let kubernetes = document.root().at(&["spec", "provider", "kubernetes"]);
    let workloads = ["envoyDeployment", "envoyDaemonSet"].into_iter();
    let container = workloads.filter_map(|name| kubernetes.as_ref()?.at(&[name, "container"])).next();
    let variables = container.as_ref().and_then(|container| container.field("env"));
    let entries = variables.iter().flat_map(Place::items);
    let named = entries
        .into_iter()
        .find(|entry| entry.field("name").is_some_and(|name| name.text() == Some(variable)));
    let path = || {
        let default = "spec.provider.kubernetes.envoyDeployment.container.env";
        variables.as_ref().map_or_else(|| default.to_owned(), |variables| variables.path.clone())
    };
    match named {
        None => {
            let message = format!(
                "does not set {variable}, so the filter gets no edge token and refuses to load: add it, with valueFrom.secretKeyRef"
            );
            Some(Finding::error(path(), message))
        }
        Some(entry) if entry.field("value").is_some() => {
            let message = "holds the edge token, and whoever can read the resource can read it: use valueFrom.secretKeyRef";
            Some(Finding::error(entry.path_of("value"), message))
        }
        Some(_) => None,
    }
}
