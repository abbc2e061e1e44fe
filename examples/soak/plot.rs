//! Four small panels in one SVG.

use std::fmt::Write;

/// One line of a panel.
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    /// Seconds, value.
    pub(crate) points: Vec<(f64, f64)>,
}

/// One panel: lines that share an axis.
pub(crate) struct Panel {
    pub(crate) title: &'static str,
    pub(crate) lines: Vec<Line>,
    /// What is said below the title.
    pub(crate) note: String,
}

const WIDTH: f64 = 430.0;
const HEIGHT: f64 = 250.0;
/// The plot within its panel: left, top, right, bottom.
const FRAME: [f64; 4] = [62.0, 52.0, 415.0, 220.0];
const COLORS: [&str; 2] = ["#0a66c2", "#c2560a"];

/// Draws the panels, two in a row.
pub(crate) fn svg(title: &str, panels: &[Panel], seconds: f64) -> String {
    let rows = panels.len().div_ceil(2) as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <title>{title}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"12\" y=\"20\" font-size=\"13\">{title}</text>\n",
        2.0 * WIDTH,
        rows * HEIGHT + 30.0,
    );
    for (n, panel) in panels.iter().enumerate() {
        let (x, y) = ((n % 2) as f64 * WIDTH, (n / 2) as f64 * HEIGHT + 30.0);
        let _ = writeln!(svg, "<g transform=\"translate({x} {y})\">");
        draw(&mut svg, panel, seconds.max(1.0));
        svg.push_str("</g>\n");
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw(svg: &mut String, panel: &Panel, seconds: f64) {
    let [left, top, right, bottom] = FRAME;
    let largest = panel.lines.iter().flat_map(|line| &line.points).map(|point| point.1).fold(0.0, f64::max);
    let (step, ceiling) = scale(largest);
    let x = |at: f64| left + (right - left) * at / seconds;
    let y = |value: f64| bottom - (bottom - top) * value / ceiling;
    let _ = writeln!(svg, "<text x=\"12\" y=\"18\" font-weight=\"bold\">{}</text>", panel.title);
    let _ = writeln!(svg, "<text x=\"12\" y=\"34\" fill=\"#555\">{}</text>", panel.note);
    let unit = panel.lines.first().map_or("", |line| line.unit);
    for n in 0..=(ceiling / step).round() as u32 {
        let value = f64::from(n) * step;
        let at = y(value);
        let _ = writeln!(
            svg,
            "<line x1=\"{left}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#333\">{value} {unit}</text>",
            left - 5.0,
            at + 4.0,
        );
    }
    let (step, _) = scale(seconds / 60.0);
    for n in 0..=(seconds / 60.0 / step) as u32 {
        let minutes = f64::from(n) * step;
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#333\">{minutes} min</text>",
            x(minutes * 60.0),
            bottom + 16.0,
        );
    }
    for (n, (line, color)) in panel.lines.iter().zip(COLORS).enumerate() {
        let points: Vec<String> =
            line.points.iter().map(|(at, value)| format!("{:.1},{:.1}", x(*at), y(*value))).collect();
        let _ = writeln!(
            svg,
            "<polyline fill=\"none\" stroke=\"{color}\" stroke-width=\"1.5\" points=\"{}\"/>\
             <text x=\"{right}\" y=\"{}\" text-anchor=\"end\" fill=\"{color}\">{}</text>",
            points.join(" "),
            18.0 + 16.0 * n as f64,
            line.name,
        );
    }
}

/// A round step of which four or five reach `largest`, and where they end.
fn scale(largest: f64) -> (f64, f64) {
    let rough = (largest / 4.0).max(0.25);
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|times| times * power).into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(rough);
    (step, (largest / step).ceil().max(1.0) * step)
}
