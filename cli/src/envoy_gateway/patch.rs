//! Judges an `EnvoyPatchPolicy`, which can change what Envoy Gateway makes of a policy with the filter.

use crate::document::{Document, Place};
use crate::envoy::is_our_name;
use crate::finding::Finding;

/// The findings on the patches that name the filter.
pub(super) fn judge(document: &Document) -> Vec<Finding> {
    let patches = document.root().at(&["spec", "jsonPatches"]);
    let patches = patches.iter().flat_map(Place::items);
    patches.filter_map(|patch| operation(&patch.field("operation")?)).collect()
}

fn operation(operation: &Place<'_>) -> Option<Finding> {
    let text = |name| operation.field(name).and_then(|field| field.text()).unwrap_or_default();
    let (path, selected) = (text("path"), text("jsonPath"));
    if !is_our_name(path) && !is_our_name(selected) {
        return None;
    }
    let target = if path.is_empty() { selected } else { path };
    let value = operation.field("value");
    let is_open = value.as_ref().is_some_and(|value| match target.rsplit(['/', '.']).next() {
        Some("failure_policy") => value.is_enum("FAIL_OPEN", 3),
        Some("fail_open") => value.is_true(),
        _ => false,
    });
    if is_open {
        let message =
            "makes Envoy forward the requests of a failed VM unchecked: set failure_policy to FAIL_RELOAD";
        return Some(Finding::error(operation.path_of("value"), message));
    }
    if text("op") == "remove" && path.is_empty() {
        let message = "removes the filter, so requests pass unchecked: remove the EnvoyExtensionPolicy instead, if you want that";
        return Some(Finding::error(operation.path_of("op"), message));
    }
    None
}
