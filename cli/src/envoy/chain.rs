//! Judges the place of the filter among the HTTP filters.

use super::{Plugin, is_our_name, wasm_of};
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
    filters: Vec<Place<'d>>,
    /// Our filters: their indices, and the names of their identity headers.
    ours: Vec<(usize, [String; 3])>,
}

impl<'c, 'd> Chain<'c, 'd> {
    /// The filters of `manager`, if one is ours.
    pub(super) fn of(manager: &'c Place<'d>, plugins: &[Plugin<'d>]) -> Option<Self> {
        let filters = match manager.path.is_empty() && manager.value.is_array() {
            true => manager.items(),
            false => manager.field("http_filters")?.items(),
        };
        let headers_of = |filter: &Place<'d>| {
            if filter.field("config_discovery").is_some() {
                // ECDS has its settings, so the names are taken to be the default ones.
                let is_ours = filter.field("name")?.text().is_some_and(is_our_name);
                return is_ours.then(|| Settings::defaults().identity_headers());
            }
            let wasm = wasm_of(&filter.field("typed_config")?)?;
            let plugin = plugins.iter().find(|plugin| plugin.wasm.path == wasm.path)?;
            Some(plugin.settings.identity_headers())
        };
        let ours = filters.iter().enumerate();
        let ours: Vec<_> = ours.filter_map(|(at, filter)| Some((at, headers_of(filter)?))).collect();
        (!ours.is_empty()).then_some(Chain { manager, filters, ours })
    }

    /// The findings. `everything` are all places of the file.
    pub(super) fn judge(&self, everything: &[Place<'_>]) -> Vec<Finding> {
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
            findings.extend(disabled_by_route(filter, everything));
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

/// Routes and virtual hosts that turn our filter off.
fn disabled_by_route(filter: &Place<'_>, everything: &[Place<'_>]) -> Vec<Finding> {
    let Some(name) = filter.field("name").and_then(|name| name.text()) else { return Vec::new() };
    let mut findings = Vec::new();
    for place in everything {
        let own = place.field("typed_per_filter_config").into_iter().flat_map(|map| map.fields());
        for (_, config) in own.filter(|(other, _)| *other == name) {
            if let Some(option) = config.field("disabled").filter(|option| option.is_true()) {
                let message = "is true: Envoy then forwards the requests of these routes unchecked, with identity that \
                               clients forge. Remove it; for a route without keys, add a rule with public: true";
                findings.push(Finding::error(option.path, message));
            }
        }
    }
    findings
}
