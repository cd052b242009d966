//! Judges the connection manager around the filter: what it does to a path, and which address it takes for the client's.

use super::chain::Chain;
use crate::document::Place;
use crate::finding::Finding;

/// The findings on one connection manager that has the filter in one of its chains.
pub(super) fn judge(manager: &Place<'_>, chains: &[Chain<'_, '_>]) -> Vec<Finding> {
    const NOT_REFUSED: &str = "the filter then cannot refuse a path that two servers read differently, and the upstream \
                               gets another path than the client sent";
    let mut findings = Vec::new();
    for unchecked in chains.iter().filter(|chain| !chain.has_ours()) {
        let message = "has no edge-key-auth filter, although another chain of this connection manager has it: Envoy forwards \
                       requests that take this chain unchecked. Put the filter before its router";
        findings.push(Finding::error(unchecked.path(), message));
    }
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

/// The findings on connection managers without the filter, beside others that have it.
pub(super) fn around(managers: &[(&Place<'_>, Vec<Chain<'_, '_>>)]) -> Vec<Finding> {
    let has_ours = |chains: &[Chain<'_, '_>]| chains.iter().any(Chain::has_ours);
    let (with, without): (Vec<_>, Vec<_>) =
        managers.iter().filter(|(_, chains)| !chains.is_empty()).partition(|(_, chains)| has_ours(chains));
    let guarded: Vec<_> = with.iter().flat_map(|(manager, _)| clusters(manager)).collect();
    let mut findings = Vec::new();
    for (manager, chains) in without {
        let shared = clusters(manager).into_iter().find(|cluster| guarded.contains(cluster));
        if let (Some(cluster), Some(chain)) = (shared, chains.first()) {
            let message = format!(
                "has no edge-key-auth filter, and its routes lead to the cluster {cluster:?}, which another connection \
                 manager guards with the filter: requests can reach it here unchecked"
            );
            findings.push(Finding::hint(chain.path(), message));
        }
    }
    findings
}

/// The clusters that the routes of a connection manager name.
fn clusters<'d>(manager: &Place<'d>) -> Vec<&'d str> {
    let routes = manager.field("route_config").into_iter().flat_map(|routes| routes.everything());
    let named = routes.flat_map(|place| {
        let weighted = place.at(&["weighted_clusters", "clusters"]).into_iter().flat_map(|list| list.items());
        let weighted = weighted.filter_map(|cluster| cluster.field("name")?.text()).collect::<Vec<_>>();
        place.field("cluster").and_then(|cluster| cluster.text()).into_iter().chain(weighted)
    });
    named.collect()
}
