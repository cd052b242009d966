//! Judges the place of the filter among the HTTP filters.

use super::plugin::{Plugin, is_our_name};
use crate::document::Place;
use crate::finding::Finding;
use crate::settings::Settings;

const ROUTER: &str = "envoy.extensions.filters.http.router.v3.Router";

/// Filters whose actions are in the routes.
const RATE_LIMITS: [&str; 2] = [
    "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
    "envoy.extensions.filters.http.ratelimit.v3.RateLimit",
];

/// The HTTP filters of one connection manager, or of a file that is such a list.
pub(super) struct Chain<'c, 'd> {
    /// The connection manager.
    manager: &'c Place<'d>,
    /// The list of its filters.
    list: Place<'d>,
    filters: Vec<Place<'d>>,
    /// Our filters: their indices, and the names of their identity headers.
    ours: Vec<(usize, [String; 4])>,
}

impl<'c, 'd> Chain<'c, 'd> {
    /// The chains of a connection manager, or the only one of a file that is a list: first that of ordinary requests, then
    /// those of upgrades that have one of their own. None if `manager` is neither.
    pub(super) fn all_of(manager: &'c Place<'d>, plugins: &[Plugin<'d>]) -> Vec<Self> {
        if manager.path.is_empty() && manager.value.is_array() {
            return vec![Chain::of(manager, manager.clone(), plugins)];
        }
        let Some(filters) = manager.field("http_filters") else { return Vec::new() };
        let upgrades = manager.field("upgrade_configs").into_iter().flat_map(|upgrades| upgrades.items());
        let own =
            upgrades.filter_map(|upgrade| upgrade.field("filters")).filter(|own| !own.items().is_empty());
        [filters].into_iter().chain(own).map(|list| Chain::of(manager, list, plugins)).collect()
    }

    fn of(manager: &'c Place<'d>, list: Place<'d>, plugins: &[Plugin<'d>]) -> Self {
        let filters = list.items();
        let headers_of = |filter: &Place<'d>| {
            if filter.field("config_discovery").is_some() {
                // ECDS has its settings, so the names are taken to be the default ones.
                let is_ours = filter.field("name")?.text().is_some_and(is_our_name);
                return is_ours.then(|| Settings::defaults().identity_headers());
            }
            let plugin = plugins.iter().find(|plugin| filter.contains(&plugin.wasm))?;
            Some(plugin.settings.identity_headers())
        };
        let ours = filters.iter().enumerate();
        let ours = ours.filter_map(|(at, filter)| Some((at, headers_of(filter)?))).collect();
        Chain { manager, list, filters, ours }
    }

    /// Whether one of its filters is ours.
    pub(super) fn has_ours(&self) -> bool {
        !self.ours.is_empty()
    }

    /// The path of its list.
    pub(super) fn path(&self) -> &str {
        &self.list.path
    }

    /// The names of our filters.
    pub(super) fn names(&self) -> Vec<String> {
        let ours = self.ours.iter().filter_map(|(at, _)| self.filters.get(*at)?.field("name")?.text());
        ours.map(str::to_owned).collect()
    }

    /// The findings.
    pub(super) fn judge(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (at, headers) in &self.ours {
            let (before, Some(filter)) = (&self.filters[..*at], self.filters.get(*at)) else { continue };
            for other in before {
                findings.extend(self.comes_too_early(other, filter, headers));
            }
            for (option, effect) in [
                ("disabled", "Envoy then forwards requests unchecked"),
                ("is_optional", "an Envoy without Wasm then forwards requests unchecked"),
            ] {
                if let Some(option) = filter.field(option).filter(|option| option.is_true()) {
                    findings.push(Finding::error(option.path, format!("is true: {effect}. Remove it")));
                }
            }
        }
        findings
    }

    /// What is wrong with `other` before our filter.
    fn comes_too_early(&self, other: &Place<'_>, filter: &Place<'_>, headers: &[String]) -> Option<Finding> {
        let config = other.field("typed_config");
        let is = |names: &[&str]| {
            config.as_ref().is_some_and(|config| names.iter().any(|name| config.is_message(name)))
        };
        if is(&[ROUTER]) {
            let message = format!(
                "is after the router, {}, which forwards requests before they are checked: put the \
                                   router last",
                other.path
            );
            return Some(Finding::error(&filter.path, message));
        }
        let is_rate_limit = is(&RATE_LIMITS);
        let mut texts = other.everything();
        if is_rate_limit {
            let routes = self.manager.field("route_config");
            texts.extend(
                routes.iter().flat_map(Place::everything).filter(|place| place.path.contains("rate_limits")),
            );
        }
        let texts: Vec<String> =
            texts.iter().filter_map(|place| Some(place.text()?.to_ascii_lowercase())).collect();
        let used = headers.iter().find(|name| texts.iter().any(|text| text.contains(name.as_str())))?;
        let message = format!(
            "uses {used} before {} has set it, so it sees the value that the client sent: put it after that filter",
            filter.path
        );
        Some(Finding::error(&other.path, message))
    }
}
