//! Every field of every manifest is known to its kind, and a misspelt one is named.

use edge_key_auth_cli::check::check;
use edge_key_auth_cli::document::{Document, Format};
use serde_json::Value;

use crate::schemas::{problems, problems_of_bootstrap, problems_of_overlay};
use crate::{Manifest, manifests, yaml};

/// Fields whose own fields are names that users choose.
const MAPS: [&str; 6] = ["annotations", "data", "labels", "matchLabels", "portLevelMtls", "selector"];

/// The kinds that have the filter's settings.
const EXTENSIONS: [&str; 3] = ["EnvoyExtensionPolicy", "TrafficExtension", "WasmPlugin"];

/// The overlays that Istio knows in the parameters of a Gateway.
const OVERLAY: &str = "deployment";

#[test]
fn every_manifest_is_valid() {
    let manifests = manifests();
    assert!(manifests.len() >= 28, "{}", manifests.len());
    for manifest in &manifests {
        assert_eq!(all_problems(manifest), Vec::<String>::new(), "{}: {}", manifest.file, manifest.kind());
    }
}

#[test]
fn a_misspelt_field_of_any_manifest_is_named() {
    let mut tried = 0;
    for manifest in manifests() {
        for path in fields(&manifest.value, &[]) {
            let (misspelt, value) = misspell(&manifest.value, &path);
            let problems = all_problems(&Manifest { value, ..manifest.clone() });
            assert!(
                problems.iter().any(|problem| problem.contains(&misspelt)),
                "{}: {path:?} as {misspelt}: {problems:?}",
                manifest.file
            );
            tried += 1;
        }
        for (part, problems_of, path) in embedded(&manifest).iter().flat_map(|(part, problems_of)| {
            fields(part, &[]).into_iter().map(move |path| (part, problems_of, path))
        }) {
            let (misspelt, value) = misspell(part, &path);
            let problems = problems_of(&value);
            assert!(
                problems.iter().any(|problem| problem.contains(&misspelt)),
                "{}: {path:?} as {misspelt}: {problems:?}",
                manifest.file
            );
            tried += 1;
        }
    }
    assert!(tried > 500, "{tried}");
}

/// The problems of a manifest, of the filter's settings in it, and of the part of a Deployment in it.
fn all_problems(manifest: &Manifest) -> Vec<String> {
    let mut all = problems(manifest);
    if EXTENSIONS.contains(&manifest.kind()) {
        let document = Document::read(&manifest.value.to_string(), Format::Json).unwrap();
        let reports = check(&[(manifest.file.clone(), document)], None);
        let findings = reports.into_iter().flat_map(|report| report.findings);
        all.extend(findings.map(|(_, finding)| format!("{}: {}", finding.path, finding.message)));
    }
    if manifest.kind() == "ConfigMap" {
        let data = manifest.value["data"].as_object().into_iter().flatten();
        all.extend(data.filter(|(name, _)| *name != OVERLAY).map(|(name, _)| format!("{name}: no overlay")));
    }
    all.extend(embedded(manifest).iter().flat_map(|(part, problems_of)| problems_of(part)));
    all
}

/// A value that a manifest has as text, and what finds the problems in it.
type Embedded = (Value, fn(&Value) -> Vec<String>);

/// The part of a Deployment in a ConfigMap, or the part of a bootstrap in an EnvoyProxy.
fn embedded(manifest: &Manifest) -> Option<Embedded> {
    let value = &manifest.value;
    let text = |value: &Value| value.as_str().map(|text| yaml(&manifest.file, text));
    match manifest.kind() {
        "ConfigMap" => Some((text(&value["data"][OVERLAY])?, problems_of_overlay)),
        "EnvoyProxy" => Some((text(&value["spec"]["bootstrap"]["value"])?, problems_of_bootstrap)),
        _ => None,
    }
}

/// The paths of all fields, except those whose names users choose.
fn fields(value: &Value, path: &[String]) -> Vec<Vec<String>> {
    let below = |name: &str| [path, &[name.to_owned()]].concat();
    match value {
        Value::Object(_)
            if path.last().is_some_and(|last| MAPS.contains(&last.as_str())) && !is_struct(value) =>
        {
            Vec::new()
        }
        Value::Object(fields_of_it) => {
            let inner = fields_of_it.iter().flat_map(|(name, value)| fields(value, &below(name)));
            let inner: Vec<_> = inner.collect();
            fields_of_it.keys().map(|name| below(name)).chain(inner).collect()
        }
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.flat_map(|(at, item)| fields(item, &below(&at.to_string()))).collect()
        }
        _ => Vec::new(),
    }
}

/// Whether an object is a message although users choose the names in others of its name: the `selector` of Istio.
fn is_struct(value: &Value) -> bool {
    value.get("matchLabels").is_some()
}

/// The value with one field misspelt, and that field's name.
fn misspell(value: &Value, path: &[String]) -> (String, Value) {
    let mut value = value.clone();
    let (last, parents) = path.split_last().unwrap();
    let parent = parents.iter().fold(&mut value, |value, name| match value {
        Value::Array(items) => &mut items[name.parse::<usize>().unwrap()],
        value => &mut value[name.as_str()],
    });
    let fields = parent.as_object_mut().unwrap();
    let field = fields.remove(last).unwrap();
    let misspelt = format!("{last}Q");
    fields.insert(misspelt.clone(), field);
    (misspelt, value)
}
