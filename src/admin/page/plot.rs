//! The last hour as a curve: SVG, without a word of script.

use std::fmt::Write;

use crate::admin::{
    Plot,
    words::{UNKNOWN, lag, rate},
};

/// The curve's own units; the page stretches them.
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 96.0;

/// Lengths of time that a plot shows, in minutes: the shortest that holds all there is.
const WINDOWS: [usize; 4] = [5, 15, 30, 60];

/// Both curves, side by side.
pub(super) fn both(plot: &Plot) -> String {
    let rates: Vec<_> = plot.events_per_second.iter().map(|rate| Some(*rate)).collect();
    let speed = |rates: f64| format!("{} /s", rate(rates));
    let behind = |seconds: f64| lag(Some(seconds));
    let step = plot.step_seconds.max(1) as usize;
    format!(
        "<div class=\"plots\">{}{}</div>",
        figure("Events read", "rate", &rates, step, &speed),
        figure("Lag of the stream furthest behind", "lag", &plot.lag_seconds, step, &behind),
    )
}

/// One curve, with what it says in words above it.
fn figure(
    title: &str,
    class: &str,
    values: &[Option<f64>],
    step: usize,
    said: &dyn Fn(f64) -> String,
) -> String {
    let minutes = WINDOWS.into_iter().find(|minutes| values.len() * step <= minutes * 60).unwrap_or(60);
    let slots = (minutes * 60 / step).max(2);
    let most = values.iter().flatten().copied().fold(0.0, f64::max);
    let now = values.last().copied().flatten().map_or(UNKNOWN.to_owned(), said);
    let peak = if most > 0.0 { said(most) } else { UNKNOWN.to_owned() };
    let (line, area) = curve(values, slots, if most > 0.0 { most } else { 1.0 });
    format!(
        "<figure class=\"plot {class}\"><figcaption><b>{title}</b><span>now <strong>{now}</strong></span>\
         <span>peak {peak}</span></figcaption>\
         <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"{title} in the last {minutes} minutes: now {now}, at most {peak}\">\
         <path class=\"grid\" d=\"M0 1H{WIDTH}M0 {half}H{WIDTH}M0 {base}H{WIDTH}\"/>\
         <path class=\"area\" d=\"{area}\"/><path class=\"line\" d=\"{line}\"/></svg>\
         <div class=\"axis\"><span>{minutes} min ago</span><span>now</span></div></figure>",
        half = HEIGHT / 2.0,
        base = HEIGHT - 1.0,
    )
}

/// The line and the area below it. What nobody knew is a gap.
fn curve(values: &[Option<f64>], slots: usize, most: f64) -> (String, String) {
    let (mut line, mut area) = (String::new(), String::new());
    let x = |at: usize| WIDTH - (values.len() - 1 - at) as f64 * WIDTH / (slots - 1) as f64;
    let y = |value: f64| 3.0 + (HEIGHT - 5.0) * (1.0 - value / most);
    let mut last: Option<f64> = None;
    for (at, value) in values.iter().enumerate() {
        let at = x(at);
        match (value, last) {
            (Some(value), None) => {
                let _ = write!(line, "M{at:.1} {:.1}", y(*value));
                let _ = write!(area, "M{at:.1} {HEIGHT}L{at:.1} {:.1}", y(*value));
            }
            (Some(value), Some(_)) => {
                let _ = write!(line, "L{at:.1} {:.1}", y(*value));
                let _ = write!(area, "L{at:.1} {:.1}", y(*value));
            }
            (None, Some(before)) => {
                let _ = write!(area, "L{before:.1} {HEIGHT}Z");
            }
            (None, None) => {}
        }
        last = value.map(|_| at);
    }
    if let Some(before) = last {
        let _ = write!(area, "L{before:.1} {HEIGHT}Z");
    }
    (line, area)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_value_is_at_the_right_edge_and_the_largest_at_the_top() {
        let (line, area) = curve(&[Some(0.0), Some(10.0), Some(5.0)], 31, 10.0);
        assert_eq!(line, "M560.0 94.0L580.0 3.0L600.0 48.5");
        assert_eq!(area, "M560.0 96L560.0 94.0L580.0 3.0L600.0 48.5L600.0 96Z");
    }

    #[test]
    fn what_nobody_knew_is_a_gap() {
        let (line, area) = curve(&[None, Some(1.0), None, Some(1.0), None], 31, 1.0);
        assert_eq!(line.matches('M').count(), 2);
        assert_eq!((area.matches('M').count(), area.matches('Z').count()), (2, 2));
        assert_eq!(curve(&[], 31, 1.0), (String::new(), String::new()));
    }

    #[test]
    fn a_plot_is_as_long_as_what_there_is() {
        let plot = |points: usize| {
            let plot = Plot {
                step_seconds: 10,
                events_per_second: vec![1.0; points],
                lag_seconds: vec![Some(1.0); points],
            };
            both(&plot)
        };
        assert!(plot(30).contains("5 min ago") && plot(31).contains("15 min ago"));
        assert!(plot(360).contains("60 min ago"));
        assert!(plot(0).contains("now <strong>–</strong>"));
    }
}
