//! The report as tables for the terminal.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::deletes::DeleteReport;
use crate::report::{Phase, Report, Usage};
use crate::statistics::{Latency, Spread};

/// The whole report.
pub(crate) fn render(report: &Report) -> String {
    let mut text = format!(
        "\n{} edges, {}, syncs held {} ms, {} verifies/s, at {}{}\n",
        number(report.edges as f64, 0),
        report.protocol,
        number(report.wait_ms as f64, 0),
        number(f64::from(report.verifies_per_second), 0),
        report.services.join(", "),
        if report.interrupted { "; ended early" } else { "" },
    );
    let mut add = |title: &str, rows: Vec<Vec<String>>| {
        if rows.len() > 1 {
            // Writing to a string cannot fail.
            let _ = write!(text, "\n{title}\n{}", aligned(&rows));
        }
    };
    add("Phases", phases(&report.phases));
    add("Until all edges are granted a lease (ms since it began)", recoveries(report));
    add("Deletes (ms since the DELETE was sent)", deletes(&report.deletes));
    let mut failures = vec![vec!["failure".to_owned(), "times".to_owned()]];
    failures.extend(all_failures(report).into_iter().map(|(kind, times)| vec![kind, times.to_string()]));
    add("Failures", failures);
    if report.phases.iter().all(|phase| phase.service.is_none()) {
        text += "\nThe service's memory, CPU and sockets are unknown. Name its process with --service-pid (on Linux).\n";
    }
    text
}

fn phases(phases: &[Phase]) -> Vec<Vec<String>> {
    let row = |name: &str, value: &dyn Fn(&Phase) -> String| {
        std::iter::once(name.to_owned()).chain(phases.iter().map(value)).collect::<Vec<_>>()
    };
    let mut rows = vec![
        row("", &|phase| phase.name.to_owned()),
        row("seconds", &|phase| number(phase.seconds, 1)),
        row("edges that hold a lease", &|phase| number(phase.holding as f64, 0)),
        row("leases lost", &|phase| number(phase.leases_lost as f64, 0)),
        row("oldest lease when renewed, ms", &|phase| number(phase.oldest_lease_ms as f64, 0)),
        row("syncs/s", &|phase| number(phase.syncs_per_second, 0)),
        row("  unheld, ms: p50, p99, most", &|phase| latency(phase.unheld)),
        row("  held, ms: p50, p99, most", &|phase| latency(phase.held)),
        row("  failed", &|phase| total(&phase.sync_failures)),
        row("verifies/s", &|phase| number(phase.verifies_per_second, 0)),
        row("  ms: p50, p99, most", &|phase| latency(phase.verifies)),
        row("  failed", &|phase| total(&phase.verify_failures)),
    ];
    let of = |usage: Option<&Usage>, value: fn(&Usage) -> f64, digits| {
        usage.map_or_else(|| "-".to_owned(), |usage| number(value(usage), digits))
    };
    let mut add = |name: &str, value: fn(&Usage) -> f64, digits| {
        rows.push(row(name, &|phase| of(phase.service.as_ref(), value, digits)));
    };
    if phases.iter().any(|phase| phase.service.is_some()) {
        add("service: CPU, % of a core", |usage| usage.cpu_percent, 1);
        add("service: wake-ups/s", |usage| usage.wake_ups_per_second, 0);
        add("service: memory, MiB", |usage| usage.memory_bytes as f64 / 1_048_576.0, 1);
        add("service: memory per edge, KiB", |usage| usage.memory_bytes_per_edge / 1_024.0, 1);
        add("service: sockets", |usage| usage.sockets as f64, 0);
    }
    rows.push(row("machine: CPU idle, % of all cores", &|phase| {
        phase.machine_idle_percent.map_or_else(|| "-".to_owned(), |idle| number(idle, 0))
    }));
    rows.push(row("fleet: CPU, % of a core", &|phase| {
        of(phase.fleet.as_ref(), |usage| usage.cpu_percent, 1)
    }));
    rows
}

fn recoveries(report: &Report) -> Vec<Vec<String>> {
    let head = [
        "cause",
        "at, s",
        "edges",
        "sent: last",
        "granted: first",
        "median",
        "last",
        "still out",
        "syncs/edge",
        "most",
        "failed",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for recovery in &report.recoveries {
        let mut row =
            vec![recovery.cause.to_owned(), number(recovery.at_s, 1), number(recovery.edges as f64, 0)];
        row.push(recovery.sent.map_or("-".to_owned(), |sent| number(sent.last_ms, 1)));
        row.extend(spread(recovery.granted));
        row.push(number(recovery.still_out as f64, 0));
        row.push(number(recovery.syncs_per_edge, 2));
        row.push(number(f64::from(recovery.most_syncs), 0));
        row.push(total(&recovery.failures));
        rows.push(row);
    }
    rows
}

/// The median and the worst value of each column.
fn deletes(deletes: &[DeleteReport]) -> Vec<Vec<String>> {
    let head =
        ["", "committed by", "received: last", "acknowledged: first", "median", "last", "returned", "edges"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let columns: [fn(&DeleteReport) -> Option<f64>; 6] = [
        |delete| Some(delete.committed_within_ms),
        |delete| Some(delete.received?.last_ms),
        |delete| Some(delete.acknowledged?.first_ms),
        |delete| Some(delete.acknowledged?.median_ms),
        |delete| Some(delete.acknowledged?.last_ms),
        |delete| Some(delete.returned_ms),
    ];
    let fewest = deletes.iter().map(|delete| delete.acknowledged_edges).min().unwrap_or_default();
    let sorted = columns.map(|column| {
        let mut values: Vec<f64> = deletes.iter().filter_map(column).collect();
        values.sort_by(f64::total_cmp);
        values
    });
    if !deletes.is_empty() {
        let mut add = |name: String, edges: String, pick: fn(&[f64]) -> Option<&f64>| {
            let values = sorted.iter().map(|values| pick(values).map_or("-".to_owned(), |ms| number(*ms, 1)));
            rows.push([name].into_iter().chain(values).chain([edges]).collect());
        };
        add(format!("median of {}", deletes.len()), String::new(), |values| {
            values.get(values.len().saturating_sub(1) / 2)
        });
        add("worst".to_owned(), number(fewest as f64, 0), |values| values.last());
    }
    rows
}

fn all_failures(report: &Report) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    let mut add = |what: &str, failures: &BTreeMap<String, u64>| {
        for (kind, times) in failures {
            *all.entry(format!("{what}: {kind}")).or_default() += times;
        }
    };
    for phase in &report.phases {
        add("sync", &phase.sync_failures);
        add("verify", &phase.verify_failures);
    }
    add("delete", &report.failed_deletes);
    all
}

fn total(failures: &BTreeMap<String, u64>) -> String {
    number(failures.values().sum::<u64>() as f64, 0)
}

fn latency(latency: Option<Latency>) -> String {
    let show = |Latency { p50_ms, p99_ms, max_ms }| {
        format!("{}, {}, {}", number(p50_ms, 1), number(p99_ms, 1), number(max_ms, 1))
    };
    latency.map_or_else(|| "-".to_owned(), show)
}

fn spread(spread: Option<Spread>) -> [String; 3] {
    let Some(Spread { first_ms, median_ms, last_ms }) = spread else { return ["-"; 3].map(str::to_owned) };
    [first_ms, median_ms, last_ms].map(|ms| number(ms, 1))
}

/// Formats a number with separated thousands and this many decimals.
pub(crate) fn number(value: f64, digits: usize) -> String {
    let plain = format!("{:.digits$}", value.abs());
    let (whole, fraction) = plain.split_at(plain.find('.').unwrap_or(plain.len()));
    let mut text = if value < 0.0 { "-".to_owned() } else { String::new() };
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text + fraction
}

/// Aligns the columns: the first to the left, the others to the right.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).filter_map(width).collect();
    let mut text = String::new();
    for row in rows {
        for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            let _ =
                if column == 0 { write!(text, "  {cell:<width$}") } else { write!(text, "  {cell:>width$}") };
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        let shown = [(0.0, 0), (999.95, 1), (1_234_567.0, 0), (-1_500.25, 1), (12.0, 2)]
            .map(|(value, digits)| number(value, digits));
        assert_eq!(shown, ["0", "1,000.0", "1,234,567", "-1,500.2", "12.00"]);
    }

    #[test]
    fn cells_stand_below_each_other() {
        let rows = [vec!["", "idle"], vec!["syncs/s", "5,000"]]
            .map(|row| row.into_iter().map(str::to_owned).collect());
        assert_eq!(aligned(&rows), "            idle\n  syncs/s  5,000\n");
    }
}
