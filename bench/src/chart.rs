//! The chart: Envoy's CPU for a request over the variant without a filter, as SVG.

use std::fmt::Write;

use crate::report::{Report, Row};
use crate::variants::NONE;

const WIDTH: f64 = 860.0;
const ROW: f64 = 30.0;
const TOP: f64 = 86.0;
/// Where bars begin.
const LEFT: f64 = 220.0;
/// Where the longest bar ends.
const RIGHT: f64 = 760.0;

/// Draws a report. It is readable on light and dark pages.
pub(crate) fn draw(report: &Report) -> String {
    let rows: Vec<&Row> = report.rows.iter().filter(|row| row.name != NONE).collect();
    let most = rows.iter().map(|row| row.over_none_us.upper).fold(1.0, f64::max);
    let x = |us: f64| LEFT + (RIGHT - LEFT) * us.max(0.0) / most;
    let height = TOP + ROW * rows.len() as f64 + 48.0;
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" font-family="Helvetica, Arial, 'Liberation Sans', sans-serif" font-size="14" fill="#222">
<rect width="{WIDTH}" height="{height}" fill="#fff"/>
"##
    );
    let machine = &report.machine;
    text(
        &mut svg,
        16.0,
        34.0,
        r#"font-size="19" font-weight="bold""#,
        "CPU that a filter adds to a request, in µs",
    );
    let subtitle = format!(
        "Envoy {}, one worker, {}; median and quartiles of {} rounds",
        machine.envoy, machine.processor, report.rounds
    );
    text(&mut svg, 16.0, 58.0, r##"fill="#555""##, &subtitle);
    for (index, row) in rows.iter().enumerate() {
        let y = TOP + ROW * index as f64;
        let color = if row.name.starts_with("ours") { "#0072b2" } else { "#8a8a8a" };
        let (over, median) = (row.over_none_us, x(row.over_none_us.median));
        text(&mut svg, LEFT - 10.0, y + 15.0, r#"text-anchor="end""#, row.name);
        // Writing to a string cannot fail.
        let _ = writeln!(
            svg,
            r##"<rect x="{LEFT}" y="{y:.1}" width="{:.1}" height="20" fill="{color}"/><path d="M{:.1} {:.1}H{:.1}" stroke="#222" stroke-width="2"/>"##,
            median - LEFT,
            x(over.lower),
            y + 10.0,
            x(over.upper),
        );
        text(&mut svg, x(over.upper) + 8.0, y + 15.0, "", &format!("{:.2}", over.median));
    }
    let note =
        "Over the same Envoy without a filter. ext_authz: without the time of the server that it asks.";
    text(&mut svg, 16.0, height - 18.0, r##"font-size="12" fill="#555""##, note);
    svg + "</svg>\n"
}

fn text(svg: &mut String, x: f64, y: f64, attributes: &str, content: &str) {
    let content = content.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(svg, r#"<text x="{x:.1}" y="{y:.1}" {attributes}>{content}</text>"#);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Machine;

    #[test]
    fn bars_are_as_long_as_the_medians() {
        let machine = Machine {
            processor: "A<B".to_owned(),
            processors: 2,
            kernel: "6".to_owned(),
            load_average: 0.0,
            envoy: "1.40.0".to_owned(),
            module_bytes: 1,
            module_sha256: "00".to_owned(),
            empty_bytes: 1,
        };
        let svg = draw(&Report {
            machine,
            load: "wrk".to_owned(),
            rounds: 1,
            slice_s: 1,
            connections: 1,
            rows: vec![Row::of(NONE, 9.0, 0.0), Row::of("a", 11.0, 2.0), Row::of("ours: b", 13.0, 4.0)],
            vms: Vec::new(),
            skipped: Vec::new(),
        });
        let bar = |width: f64| format!(r#"width="{width:.1}" height="20""#);
        assert!(svg.contains(&bar((RIGHT - LEFT) / 2.0)) && svg.contains(&bar(RIGHT - LEFT)), "{svg}");
        assert!(svg.contains("A&lt;B") && !svg.contains(NONE));
    }
}
