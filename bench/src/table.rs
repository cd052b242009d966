//! The report as Markdown, for the terminal and for `docs/performance.md`.

use std::fmt::Write;

use crate::report::{Report, Row};
use crate::statistics::Quartiles;
use crate::variants::{EMPTY, EXT_AUTHZ, HIT, HIT_OF_FEW, HIT_OF_MANY, LUA, MISS};

/// The whole report.
pub(crate) fn render(report: &Report) -> String {
    let machine = &report.machine;
    let mut text = format!(
        "\n{}, {} processors, Linux {}, load average {:.1} before the run.\nEnvoy {}. Module of {} bytes, SHA-256 {}; \
         the empty filter has {} bytes.\nLoad: {}, {} connections. Each variant: {} slices of {} s, in turns.\n\n",
        machine.processor,
        machine.processors,
        machine.kernel,
        machine.load_average,
        machine.envoy,
        number(machine.module_bytes as f64),
        machine.module_sha256,
        number(machine.empty_bytes as f64),
        report.load,
        report.connections,
        report.rounds,
        report.slice_s,
    );
    text += &table(
        &[
            "variant",
            "Envoy's CPU, µs a request",
            "over no filter, µs",
            "× empty",
            "requests/s",
            "busy",
            "lookups",
        ],
        report.rows.iter().map(|row| {
            vec![
                row.name.to_owned(),
                spread(row.us, 2),
                spread(row.over_none_us, 2),
                format!("{:.2}", row.of_empty),
                number(row.requests_per_second),
                format!("{:.0} %", row.busy * 100.0),
                row.lookups.map_or_else(String::new, |lookups| format!("{lookups:.2}")),
            ]
        }),
    );
    text += "\nMedian (lower to upper quartile). Busy: of Envoy's processor. Lookups: a request.\n";
    if report.rows.iter().any(|row| row.latency.is_some()) {
        text += "\n";
        text += &table(
            &["variant", "requests/s", "median, µs", "99th percentile, µs"],
            report.rows.iter().filter_map(|row| {
                let of = row.latency?;
                let rate = number(of.requests_per_second);
                Some(vec![row.name.to_owned(), rate, whole(of.p50_us), whole(of.p99_us)])
            }),
        );
        text += "\nLatency at half of the load above, from when a request was due.\n";
    }
    text += "\n";
    text += &table(
        &["variant", "Envoy's memory, MB", "at the end", "bytes a cached key"],
        report.rows.iter().map(|row| {
            let per_key = row.memory_per_key.map_or_else(String::new, number);
            vec![row.name.to_owned(), mb(row.memory as f64), mb(row.memory_at_the_end as f64), per_key]
        }),
    );
    // Writing to a string cannot fail.
    for vm in &report.vms {
        let _ = writeln!(text, "\nOne more VM of {}: {} MB.", vm.name, mb(vm.bytes));
    }
    text += &comparisons(&report.rows);
    for skipped in &report.skipped {
        let _ = writeln!(text, "\nSkipped: {skipped}.");
    }
    text
}

/// A Markdown table whose columns are aligned: the first to the left, the others to the right.
fn table(heads: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let heads = heads.iter().map(|&head| head.to_owned()).collect();
    let lines: Vec<Vec<String>> = std::iter::once(heads).chain(rows).collect();
    let width =
        |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        for (column, (cell, &width)) in line.iter().zip(&widths).enumerate() {
            let _ = match column {
                0 => write!(text, "| {cell:<width$} |"),
                _ => write!(text, " {cell:>width$} |"),
            };
        }
        text += "\n";
        if index == 0 {
            for (column, &width) in widths.iter().enumerate() {
                text += if column == 0 { "|" } else { "" };
                text += &"-".repeat(width + 1);
                text += if column == 0 { "-|" } else { ":|" };
            }
            text += "\n";
        }
    }
    text
}

fn spread(of: Quartiles, digits: usize) -> String {
    format!("{:.digits$} ({:.digits$} to {:.digits$})", of.median, of.lower, of.upper)
}

fn whole(of: Quartiles) -> String {
    format!("{} ({} to {})", number(of.median), number(of.lower), number(of.upper))
}

fn mb(bytes: f64) -> String {
    format!("{:.1}", bytes / 1e6)
}

/// A whole number with commas between thousands.
fn number(value: f64) -> String {
    let digits = format!("{value:.0}");
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits.as_str()), |digits| ("-", digits));
    let groups = digits.as_bytes().rchunks(3).rev();
    let groups: Vec<_> = groups.map(String::from_utf8_lossy).collect();
    format!("{sign}{}", groups.join(","))
}

/// Pairs of variants that are worth a sentence; those that were not measured are left out.
fn comparisons(rows: &[Row]) -> String {
    let of = |name| rows.iter().find(|row| row.name == name);
    let over_none = |name| of(name).map(|row| row.over_none_us.median);
    let mut text = String::new();
    for (what, name, other) in
        [("a hit", HIT, EMPTY), ("a hit", HIT, LUA), (EXT_AUTHZ, EXT_AUTHZ, HIT), ("a miss", MISS, EXT_AUTHZ)]
    {
        if let (Some(us), Some(of_other)) = (over_none(name), over_none(other)) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "\nOver no filter, {what} costs {:.2} × {other}.", us / of_other);
        }
    }
    if let (Some(few), Some(many)) = (of(HIT_OF_FEW), of(HIT_OF_MANY)) {
        let more = (many.us.median / few.us.median - 1.0) * 100.0;
        let _ = writeln!(text, "\nEnvoy's CPU a request: {HIT_OF_MANY} {more:+.1} % over {HIT_OF_FEW}.");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated() {
        let texts = [0.4, 999.6, 38_412.0, 1_000_000.0, -12_345.0].map(number);
        assert_eq!(texts, ["0", "1,000", "38,412", "1,000,000", "-12,345"]);
    }

    #[test]
    fn a_table_is_aligned_and_is_markdown() {
        let rows = [vec!["a".to_owned(), "1,000".to_owned()], vec!["longer".to_owned(), "µ".to_owned()]];
        assert_eq!(
            table(&["name", "n"], rows.into_iter()),
            "| name   |     n |\n|--------|------:|\n| a      | 1,000 |\n| longer |     µ |\n"
        );
    }

    #[test]
    fn a_comparison_needs_both_rows() {
        let mut rows = vec![Row::of(HIT, 16.0, 4.0), Row::of(EMPTY, 14.0, 2.0)];
        assert_eq!(comparisons(&rows), "\nOver no filter, a hit costs 2.00 × empty SDK filter.\n");
        rows = vec![Row::of(HIT_OF_FEW, 20.0, 8.0), Row::of(HIT_OF_MANY, 21.0, 9.0)];
        let expected = "\nEnvoy's CPU a request: ours: hit, 100,000 keys +5.0 % over ours: hit, 100 keys.\n";
        assert_eq!(comparisons(&rows), expected);
    }
}
