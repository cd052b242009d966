//! Reads the resources of Istio that load the filter, and judges their settings: `TrafficExtension` and `WasmPlugin`.
//!
//! Kubernetes refuses unknown fields itself, so only settings of known fields are judged.

use crate::document::{Document, Place};
use crate::envoy::is_our_name;
use crate::finding::Finding;
use crate::settings::Settings;

/// A resource that loads the filter.
#[derive(Clone, Debug)]
pub struct Extension<'d> {
    /// The settings that it passes to the filter.
    pub settings: Settings,
    spec: Place<'d>,
    /// The part of `spec` that describes the module.
    wasm: Place<'d>,
}

/// Whether a file is one of Istio's resources for modules, whichever module it loads.
pub fn is_istio(document: &Document) -> bool {
    let root = document.root();
    let text = |name| root.field(name).and_then(|field| field.text()).unwrap_or_default();
    text("apiVersion").starts_with("extensions.istio.io/")
        && ["TrafficExtension", "WasmPlugin"].contains(&text("kind"))
}

/// The resource in a file, if it loads this filter.
pub fn extension(document: &Document) -> Option<Extension<'_>> {
    let root = document.root();
    let spec = root.field("spec").filter(|_| is_istio(document))?;
    let wasm = match root.field("kind")?.text()? {
        "TrafficExtension" => spec.field("wasm")?,
        _ => spec.clone(),
    };
    let settings = match wasm.field("pluginConfig") {
        Some(settings) => Settings::of_struct(&settings),
        None => Settings::nothing(wasm.path_of("pluginConfig")),
    };
    let names = [root.at(&["metadata", "name"]), wasm.field("pluginName"), wasm.field("url")];
    let mut names = names.iter().flatten().filter_map(Place::text);
    let is_ours = settings.are_ours() || names.any(is_our_name);
    is_ours.then_some(Extension { settings, spec, wasm })
}

/// The findings on a resource.
pub fn judge(extension: &Extension<'_>) -> Vec<Finding> {
    let Extension { settings, spec, wasm } = extension;
    let mut findings = Vec::new();
    findings.extend(fail_strategy(wasm));
    findings.extend(phase(spec));
    if let Some(kind) = wasm.field("type").filter(|kind| kind.text() == Some("NETWORK")) {
        findings.push(Finding::error(kind.path, "is NETWORK: the filter reads HTTP requests. Set HTTP"));
    }
    findings.extend(token(wasm, settings.token_env()));
    findings.extend(digest(wasm));
    findings.extend(cluster(settings));
    findings
}

fn fail_strategy(wasm: &Place<'_>) -> Option<Finding> {
    let strategy = wasm.field("failStrategy");
    let path = wasm.path_of("failStrategy");
    match strategy.as_ref().and_then(|strategy| strategy.text()) {
        Some("FAIL_RELOAD") => None,
        Some("FAIL_OPEN") => {
            let message = "is FAIL_OPEN: requests then pass unchecked if the VM fails, or if Istio cannot pull the module. \
                           Set FAIL_RELOAD";
            Some(Finding::error(path, message))
        }
        strategy => {
            let is =
                strategy.map_or("is missing, which means FAIL_CLOSE".to_owned(), |is| format!("is {is}"));
            let message = format!(
                "{is}: a failed VM then answers 503 until its pod restarts. Set FAIL_RELOAD, which Istio has since 1.27"
            );
            Some(Finding::hint(path, message))
        }
    }
}

fn phase(spec: &Place<'_>) -> Option<Finding> {
    if spec.field("phase").is_some_and(|phase| phase.text() == Some("AUTHN")) {
        return None;
    }
    let message = "is not AUTHN: AuthorizationPolicies can then run before the filter, and see identity headers that clients \
                   forge. Set AUTHN";
    Some(Finding::hint(spec.path_of("phase"), message))
}

fn token(wasm: &Place<'_>, variable: &str) -> Option<Finding> {
    let variables = wasm.at(&["vmConfig", "env"]);
    let named = variables.iter().flat_map(Place::items);
    let named =
        named.into_iter().find(|entry| entry.field("name").is_some_and(|name| name.text() == Some(variable)));
    let Some(entry) = named else {
        let path =
            variables.map_or_else(|| format!("{}.vmConfig.env", wasm.path), |variables| variables.path);
        let message = format!(
            "does not name {variable}, so the filter gets no edge token and refuses to load: add it, with valueFrom: HOST"
        );
        return Some(Finding::error(path, message));
    };
    if entry.field("valueFrom").is_some_and(|source| source.text() == Some("HOST")) {
        return None;
    }
    let message = format!(
        "holds the edge token, and whoever can read the resource can read it: set {variable} in the environment of the \
         proxy, and valueFrom: HOST"
    );
    Some(Finding::error(entry.path, message))
}

fn digest(wasm: &Place<'_>) -> Option<Finding> {
    let has_digest =
        wasm.field("sha256").and_then(|sha256| sha256.text()).is_some_and(|text| !text.is_empty());
    let url = wasm.field("url").and_then(|url| url.text()).unwrap_or_default();
    if has_digest || url.contains("@sha256:") || url.starts_with("file:") {
        return None;
    }
    let message = "is missing, so Istio loads whatever module is at the address: add the SHA-256 of the image's manifest, or \
                   of the file";
    Some(Finding::hint(wasm.path_of("sha256"), message))
}

fn cluster(settings: &Settings) -> Option<Finding> {
    let (path, cluster) = settings.cluster()?;
    let parts: Vec<_> = cluster.split('|').collect();
    let is_outbound = match parts[..] {
        ["outbound", port, _, host] => port.parse::<u16>().is_ok() && host.contains('.'),
        _ => false,
    };
    if is_outbound {
        return None;
    }
    let message = format!(
        "is {cluster:?}: Istio names the cluster of a service outbound|PORT||HOST, such as \
         outbound|8081||key-service.key-service.svc.cluster.local. If no cluster has the name, every key that is not cached \
         gets 503"
    );
    Some(Finding::hint(path, message))
}
