//! Judges the connection manager around the filter: what it does to a path, and which address it takes for the client's.

use crate::document::Place;
use crate::finding::Finding;

/// The findings on one connection manager.
pub(super) fn judge(manager: &Place<'_>) -> Vec<Finding> {
    const NOT_REFUSED: &str = "the filter then cannot refuse a path that two servers read differently, and the upstream \
                               gets another path than the client sent";
    let mut findings = Vec::new();
    for option in ["normalize_path", "merge_slashes"] {
        if let Some(option) = manager.field(option).filter(|option| option.is_true()) {
            findings.push(Finding::hint(option.path, format!("is true: {NOT_REFUSED}. Set it to false")));
        }
    }
    let action = manager.field("path_with_escaped_slashes_action");
    for (name, number) in [("UNESCAPE_AND_REDIRECT", 3), ("UNESCAPE_AND_FORWARD", 4)] {
        if let Some(action) = action.as_ref().filter(|action| action.is_enum(name, number)) {
            let message = format!("is {name}: {NOT_REFUSED}. Set KEEP_UNCHANGED");
            findings.push(Finding::hint(&action.path, message));
        }
    }
    findings.extend(address(manager));
    findings
}

/// See "Which address counts" in `docs/configuration.md`.
fn address(manager: &Place<'_>) -> Option<Finding> {
    // A list of filters has no connection manager around it.
    manager.value.as_object()?;
    let takes_peer = manager.field("use_remote_address").is_some_and(|option| option.is_true());
    let hops = manager.field("xff_num_trusted_hops").and_then(|hops| hops.value.as_u64()).unwrap_or_default();
    let has_extension = manager.field("original_ip_detection_extensions").is_some();
    if takes_peer || hops > 0 || has_extension {
        return None;
    }
    let message = "is not true: the address is then the last of X-Forwarded-For, which any client can write, so one \
                   client can take the lookups of all. Set it to true; behind a proxy, set xff_num_trusted_hops too";
    Some(Finding::hint(manager.path_of("use_remote_address"), message))
}
