//! `edge-key-auth check`: everything that is wrong with a file, and the route tables in it.

use std::collections::BTreeSet;

use edge_key_auth::config::ShippedTable;
use serde_json::{Value, json};

use crate::catalogue::Catalogue;
use crate::document::Document;
use crate::envoy_gateway::Surroundings;
use crate::finding::{Finding, Severity};
use crate::settings::{Accepted, Settings, in_words};
use crate::table::{self, Row};
use crate::{envoy, envoy_gateway, istio};

/// What is known of one file.
#[derive(Debug)]
pub struct Report {
    /// The file's name.
    pub file: String,
    /// The findings, with their lines, in the order of the file.
    pub findings: Vec<(Option<usize>, Finding)>,
    /// The filters that are configured in it without an error of their own.
    pub filters: Vec<FilterReport>,
    /// How many filters it configures.
    pub configured: usize,
    /// How many of these have an error of their own, so that their rules were not judged.
    pub unread: usize,
}

/// One filter's configuration.
#[derive(Debug)]
pub struct FilterReport {
    /// Where its settings are; empty for a file of settings alone.
    pub path: String,
    /// The shipped table that its rules are those of; `None` for a list of rules.
    pub shipped: Option<ShippedTable>,
    /// Its rules, as they match.
    pub rows: Vec<Row>,
}

/// The settings in a document.
pub fn settings_in(document: &Document) -> Vec<Settings> {
    if istio::is_istio(document) {
        return istio::extension(document).map(|extension| extension.settings).into_iter().collect();
    }
    if envoy_gateway::is_envoy_gateway(document) {
        return envoy_gateway::modules(document).into_iter().map(|module| module.settings).collect();
    }
    match envoy::is_envoy(document) {
        true => envoy::plugins(document).into_iter().map(|plugin| plugin.settings).collect(),
        false => vec![Settings::of_struct(&document.root())],
    }
}

/// Checks the files of one configuration, and their scopes if there is a catalogue.
pub fn check(files: &[(String, Document)], catalogue: Option<&Catalogue>) -> Vec<Report> {
    let names = files.iter().flat_map(|(_, document)| envoy::filter_names(document)).collect();
    let surroundings = Surroundings::of(files.iter().map(|(_, document)| document));
    let mut reports: Vec<_> = files
        .iter()
        .map(|(file, document)| check_file(file, document, &names, &surroundings, catalogue))
        .collect();
    let configured: usize = reports.iter().map(|report| report.configured).sum();
    if let Some(report) = reports.last_mut().filter(|_| names.is_empty() && configured == 0) {
        let message = "no edge-key-auth filter is configured, so no request is checked: check the file that configures it too";
        report.findings.push((None, Finding::error("", message)));
    }
    reports
}

fn check_file(
    file: &str,
    document: &Document,
    names: &BTreeSet<String>,
    surroundings: &Surroundings,
    catalogue: Option<&Catalogue>,
) -> Report {
    let mut findings = document.findings.clone();
    let mut filters = Vec::new();
    let mut unread = 0;
    let all = settings_in(document);
    for settings in &all {
        findings.extend_from_slice(settings.findings());
        findings.extend(catalogue.iter().flat_map(|catalogue| catalogue.judge(settings)));
        match settings.read() {
            Ok(accepted) => {
                findings.extend(warnings(settings, &accepted));
                findings.extend(table::hints(settings, &accepted));
                filters.push(FilterReport {
                    path: accepted.path.clone(),
                    shipped: accepted.shipped,
                    rows: table::rows(&accepted),
                });
            }
            Err(problems) => {
                findings.extend(problems);
                unread += 1;
            }
        }
    }
    findings.extend(istio::extension(document).iter().flat_map(istio::judge));
    findings.extend(envoy_gateway::judge(document, surroundings));
    if envoy::is_envoy(document) {
        findings.extend(envoy::judge(document, names));
    }
    let mut findings: Vec<_> =
        findings.into_iter().map(|finding| (document.line_of(&finding.path), finding)).collect();
    findings.sort_by_key(|(line, _)| *line);
    Report { file: file.to_owned(), findings, filters, configured: all.len(), unread }
}

/// The filter's own warnings, which it logs when Envoy loads it.
fn warnings(settings: &Settings, accepted: &Accepted) -> Vec<Finding> {
    let hint = |warning| Finding::hint(settings.path_of(warning), &warning.message);
    accepted.config.warnings.iter().map(hint).collect()
}

impl Report {
    /// How many findings have this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|(_, finding)| finding.severity == severity).count()
    }

    /// The report for people.
    pub fn to_text(&self) -> String {
        let file = &self.file;
        let mut lines = Vec::new();
        for (line, Finding { severity, path, message }) in &self.findings {
            let line = line.map(|line| format!(":{line}")).unwrap_or_default();
            let path = if path.is_empty() { String::new() } else { format!("{path}: ") };
            lines.push(format!("{file}{line}: {}: {path}{message}", severity.as_str()));
        }
        for filter in &self.filters {
            let table = filter.shipped.map_or("routes", in_words);
            let at = if filter.path.is_empty() { String::new() } else { format!(" of {}", filter.path) };
            lines.push(format!(
                "{file}: {table}{at}, sorted so that the first line that matches a request decides:"
            ));
            lines.extend(columns(&filter.rows));
        }
        if self.unread > 0 {
            lines.push(format!(
                "{file}: the rules are not compared or printed, because the settings have errors"
            ));
        }
        let (errors, hints) = (self.count(Severity::Error), self.count(Severity::Hint));
        let found = match self.configured {
            0 => "no edge-key-auth filter, ".to_owned(),
            _ => String::new(),
        };
        lines.push(format!("{file}: {found}{}, {}", counted(errors, "error"), counted(hints, "hint")));
        lines.join("\n") + "\n"
    }

    /// The report for scripts.
    pub fn to_json(&self) -> Value {
        let findings = self.findings.iter().map(|(line, finding)| {
            let Finding { severity, path, message } = finding;
            json!({ "severity": severity, "path": path, "line": line, "message": message })
        });
        let filters = self.filters.iter().map(|filter| {
            let rows: Vec<_> = filter.rows.iter().map(Row::to_json).collect();
            json!({ "path": filter.path, "table": filter.shipped.map(ShippedTable::name), "routes": rows })
        });
        json!({
            "file": self.file,
            "findings": findings.collect::<Vec<_>>(),
            "filters": filters.collect::<Vec<_>>(),
        })
    }
}

/// Rows in columns as wide as their widest cell.
fn columns(rows: &[Row]) -> Vec<String> {
    let head = ["methods", "path", "requires (GET, HEAD, OPTIONS / others)", "rule"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(head).chain(rows.iter().map(Row::cells)).collect();
    let widths = [0, 1, 2, 3].map(|column| {
        rows.iter()
            .map(|row| row.get(column).map_or(0, |cell| cell.chars().count()))
            .max()
            .unwrap_or_default()
    });
    let line = |row: &[String; 4]| {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("  {}", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

fn counted(count: usize, thing: &str) -> String {
    match count {
        0 => format!("no {thing}s"),
        1 => format!("1 {thing}"),
        _ => format!("{count} {thing}s"),
    }
}
