//! The chart: when edges acknowledged each delete, as SVG.

use std::fmt::Write;

use crate::deletes::DeleteReport;
use crate::report::Report;
use crate::statistics::Spread;
use crate::table::number;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 540.0;

/// The borders of the plot within the image.
const LEFT: f64 = 84.0;
const RIGHT: f64 = 932.0;
const TOP: f64 = 92.0;
const BOTTOM: f64 = 440.0;

/// One line of the chart.
struct Series {
    name: &'static str,
    color: &'static str,
    of: fn(&Spread) -> f64,
}

/// The lines, in colours that differ in print and for colour-blind readers.
const SERIES: [Series; 3] = [
    Series { name: "last edge", color: "#d55e00", of: |spread| spread.last_ms },
    Series { name: "median edge", color: "#0072b2", of: |spread| spread.median_ms },
    Series { name: "first edge", color: "#009e73", of: |spread| spread.first_ms },
];

/// Draws the deletes of a report.
pub(crate) fn draw(report: &Report) -> String {
    let deletes = &report.deletes;
    let most = deletes.iter().filter_map(|delete| Some(delete.acknowledged?.last_ms)).fold(1.0, f64::max);
    let step = step(most);
    let top = (most / step).ceil() * step;
    let x = |index: usize| match deletes.len() {
        1 => (LEFT + RIGHT) / 2.0,
        count => LEFT + 16.0 + (RIGHT - LEFT - 32.0) * index as f64 / (count - 1) as f64,
    };
    let y = |ms: f64| BOTTOM - (BOTTOM - TOP) * ms / top;

    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" font-family="Helvetica, Arial, 'Liberation Sans', sans-serif" font-size="14" fill="#222">
<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>
"##
    );
    let fewest = deletes.iter().map(|delete| delete.acknowledged_edges).min().unwrap_or_default();
    let mut edges = number(report.edges as f64, 0);
    if fewest < report.edges {
        edges = format!("{} or more of {edges}", number(fewest as f64, 0));
    }
    let title = format!("From a key's DELETE to its acknowledgement by {edges} edges");
    text(&mut svg, LEFT, 38.0, r#"font-size="20" font-weight="bold""#, &title);
    let many = number(deletes.len() as f64, 0);
    let subtitle = format!(
        "{many} deletes one after the other, {}, syncs held {} ms; time since the DELETE was sent",
        report.protocol,
        number(report.wait_ms as f64, 0)
    );
    text(&mut svg, LEFT, 62.0, r##"fill="#555""##, &subtitle);

    let digits = usize::from(step < 1.0);
    for line in 0..=(top / step).round() as usize {
        let ms = line as f64 * step;
        let at = y(ms);
        let color = if line == 0 { "#222" } else { "#ddd" };
        element(
            &mut svg,
            &format!(r#"<line x1="{LEFT}" y1="{at:.1}" x2="{RIGHT}" y2="{at:.1}" stroke="{color}"/>"#),
        );
        text(&mut svg, LEFT - 10.0, at + 5.0, r#"text-anchor="end""#, &number(ms, digits));
    }
    let middle = (TOP + BOTTOM) / 2.0;
    let upwards = format!(r#"text-anchor="middle" transform="rotate(-90 24 {middle})""#);
    text(&mut svg, 24.0, middle, &upwards, "milliseconds");
    for index in labelled(deletes.len()) {
        let anchor = r#"text-anchor="middle""#;
        text(&mut svg, x(index), BOTTOM + 22.0, anchor, &number(index as f64 + 1.0, 0));
    }
    text(&mut svg, (LEFT + RIGHT) / 2.0, BOTTOM + 48.0, r#"text-anchor="middle""#, "deletes, in order");

    let measured = |delete: &DeleteReport| delete.acknowledged;
    for (index, spread) in deletes.iter().enumerate().filter_map(|(index, one)| Some((index, measured(one)?)))
    {
        let (at, high, low) = (x(index), y(spread.last_ms), y(spread.first_ms));
        let bar = format!(
            r##"<line x1="{at:.1}" y1="{high:.1}" x2="{at:.1}" y2="{low:.1}" stroke="#ccc" stroke-width="2"/>"##
        );
        element(&mut svg, &bar);
    }
    let radius = if deletes.len() > 100 { 2.0 } else { 3.5 };
    for (number, Series { name, color, of }) in SERIES.iter().enumerate() {
        let points: Vec<(f64, f64)> = deletes
            .iter()
            .enumerate()
            .filter_map(|(index, delete)| Some((x(index), y(of(&measured(delete)?)))))
            .collect();
        let line: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let line = line.join(" ");
        element(
            &mut svg,
            &format!(r#"<polyline points="{line}" fill="none" stroke="{color}" stroke-width="1.5"/>"#),
        );
        for (x, y) in points {
            element(&mut svg, &format!(r#"<circle cx="{x:.1}" cy="{y:.1}" r="{radius}" fill="{color}"/>"#));
        }
        let (x, y) = (LEFT + 140.0 * number as f64, HEIGHT - 20.0);
        element(
            &mut svg,
            &format!(r#"<circle cx="{:.1}" cy="{:.1}" r="5" fill="{color}"/>"#, x + 5.0, y - 5.0),
        );
        text(&mut svg, x + 18.0, y, "", name);
    }
    svg + "</svg>\n"
}

fn element(svg: &mut String, element: &str) {
    svg.push_str(element);
    svg.push('\n');
}

fn text(svg: &mut String, x: f64, y: f64, attributes: &str, content: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(svg, r#"<text x="{x:.1}" y="{y:.1}" {attributes}>{}</text>"#, escaped(content));
}

/// Escapes text for XML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The step of a scale: 1, 2 or 5 times a power of ten, for four to ten lines up to `most`.
fn step(most: f64) -> f64 {
    let power = 10_f64.powf((most / 10.0).log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|step| most / step <= 10.0)
        .unwrap_or(most)
}

/// The indexes that the axis numbers: the first, and others at equal distances, at most twenty.
fn labelled(count: usize) -> impl Iterator<Item = usize> {
    let apart =
        [1, 2, 5, 10, 20, 50].into_iter().find(|apart| count <= 20 * apart).unwrap_or(count.div_ceil(20));
    let others = (1..=count / apart).map(move |nth| nth * apart - 1);
    std::iter::once(0).filter(move |_| count > 0 && apart > 1).chain(others)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_has_round_steps_and_room_for_everything() {
        for (most, expected) in [
            (1.0, 0.1),
            (7.0, 1.0),
            (10.0, 1.0),
            (11.0, 2.0),
            (95.0, 10.0),
            (480.0, 50.0),
            (7_200.0, 1_000.0),
        ] {
            let step = step(most);
            assert!((step - expected).abs() < 1e-9, "{most}: {step}");
        }
    }

    #[test]
    fn text_cannot_leave_its_place() {
        assert_eq!(escaped(r#"<a href="b">&"#), "&lt;a href=&quot;b&quot;&gt;&amp;");
    }

    #[test]
    fn numbers_on_the_axis_are_few_and_include_the_first() {
        let of = |count| labelled(count).map(|index| index + 1).collect::<Vec<_>>();
        assert_eq!(of(0), [0; 0]);
        assert_eq!(of(1), [1]);
        assert_eq!(of(5), [1, 2, 3, 4, 5]);
        assert_eq!(of(45), [1, 5, 10, 15, 20, 25, 30, 35, 40, 45]);
        assert!(of(100_000).len() <= 21);
    }
}
