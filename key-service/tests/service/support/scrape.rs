//! Reads `/metrics` as strictly as a scraper: OpenMetrics 1.0, text format.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use crate::support::{Process, client};

/// Values by series, written as in the text: `name{label="value"}`.
pub(crate) struct Scrape {
    pub(crate) text: String,
    series: BTreeMap<String, f64>,
}

impl Process {
    /// The metrics, as Prometheus would scrape them now.
    pub(crate) async fn scrape(&self) -> Scrape {
        let response = client().get(format!("{}/metrics", self.edge)).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let media_type = response.headers()["content-type"].to_str().unwrap().to_owned();
        assert_eq!(media_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
        Scrape::parse(response.text().await.unwrap())
    }

    /// Waits until so many syncs are held.
    pub(crate) async fn until_syncs_are_held(&self, count: f64) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.scrape().await.value("key_service_syncs_held") != count {
            assert!(Instant::now() < deadline, "not {count} syncs");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Scrape {
    fn parse(text: String) -> Self {
        let (mut series, mut families) = (BTreeMap::new(), HashSet::new());
        let (mut family, mut kind) = (String::new(), String::new());
        let lines = text.strip_suffix("# EOF\n").expect("it ends with an end mark");
        for line in lines.lines() {
            if let Some(comment) = line.strip_prefix("# ") {
                let (keyword, rest) = comment.split_once(' ').unwrap();
                let (name, text) = rest.split_once(' ').unwrap();
                assert!(is_name(name) && !text.is_empty(), "{line}");
                match keyword {
                    "HELP" => {
                        assert!(families.insert(name.to_owned()), "a family stands in one place: {line}")
                    }
                    "TYPE" => (family, kind) = (name.to_owned(), text.to_owned()),
                    "UNIT" => assert!(name.ends_with(&format!("_{text}")), "{line}"),
                    _ => panic!("{line}"),
                }
                continue;
            }
            let (name_and_labels, value) = line.rsplit_once(' ').unwrap();
            let name = name_and_labels.split('{').next().unwrap();
            let suffix = name.strip_prefix(&family).unwrap_or_else(|| panic!("{line} is not of {family}"));
            let allowed: &[&str] = match kind.as_str() {
                "counter" => &["_total"],
                "gauge" => &[""],
                "info" => &["_info"],
                "histogram" => &["_bucket", "_sum", "_count"],
                other => panic!("{other}"),
            };
            assert!(allowed.contains(&suffix), "{line}");
            check_labels(&name_and_labels[name.len()..]);
            let value: f64 = value.parse().unwrap();
            assert!(value.is_finite() && value >= 0.0, "{line}");
            assert!(series.insert(name_and_labels.to_owned(), value).is_none(), "twice: {line}");
        }
        let scrape = Scrape { text, series };
        scrape.check_histograms();
        scrape
    }

    /// Buckets are cumulative, and the last one holds all.
    fn check_histograms(&self) {
        for (count, all) in self.series.iter().filter(|(name, _)| name.contains("_count")) {
            let infinite = match count.split_once('{') {
                Some((name, labels)) => {
                    let labels = labels.trim_end_matches('}');
                    format!("{}_bucket{{le=\"+Inf\",{labels}}}", name.trim_end_matches("_count"))
                }
                None => format!("{}_bucket{{le=\"+Inf\"}}", count.trim_end_matches("_count")),
            };
            assert_eq!(self.series.get(&infinite), Some(all), "{infinite} and {count}");
        }
    }

    /// The value of one series.
    pub(crate) fn value(&self, series: &str) -> f64 {
        *self.series.get(series).unwrap_or_else(|| panic!("no {series} in\n{}", self.text))
    }

    /// Whether a series is there.
    pub(crate) fn has(&self, series: &str) -> bool {
        self.series.contains_key(series)
    }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// `{name="value",…}`, or nothing.
fn check_labels(labels: &str) {
    if labels.is_empty() {
        return;
    }
    let inner = labels.strip_prefix('{').and_then(|rest| rest.strip_suffix("\"}")).expect(labels);
    let mut names = HashSet::new();
    for pair in inner.split("\",") {
        let (name, value) = pair.split_once("=\"").expect(labels);
        assert!(is_name(name) && names.insert(name), "{labels}");
        assert!(!value.contains(['"', '\n', '\\']), "no value here needs escapes: {labels}");
    }
}
