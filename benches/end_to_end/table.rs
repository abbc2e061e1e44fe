//! What was measured, in lines that fit a page.

use std::fmt::Write;

use opgraph_bench::place::Sink;

use crate::Measured;

/// One run in one line.
pub(crate) fn line(measured: &Measured) -> String {
    let Measured { sink, events, program, floor } = measured;
    let each = |seconds: f64| seconds * 1e6 / *events as f64;
    format!(
        "{:<6} {:>8.0} events/s, {:>5.2} µs CPU an event, floor {:>5.2}, {:>4.0} MB",
        name(*sink),
        *events as f64 / program.seconds,
        each(program.cpu),
        each(floor.cpu),
        program.peak as f64 / 1e6,
    )
}

/// The medians, a sink a line, as Markdown.
pub(crate) fn table(all: &[Measured], sinks: &[Sink]) -> String {
    let mut text = String::from(
        "| sink | events/s | CPU µs an event | the floor's | ratio | difference | peak memory | bytes in an event | out |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for sink in sinks {
        let of = |value: fn(&Measured) -> f64| {
            median(all.iter().filter(|measured| measured.sink == *sink).map(value).collect())
        };
        let _ = writeln!(
            text,
            "| {} | {:.0} | {:.2} | {:.2} | {:.2} | {:+.2} | {:.0} MB | {:.0} | {:.0} |",
            name(*sink),
            of(|one| one.events as f64 / one.program.seconds),
            of(|one| micros(one, one.program.cpu)),
            of(|one| micros(one, one.floor.cpu)),
            of(|one| one.program.cpu / one.floor.cpu),
            of(|one| micros(one, one.program.cpu - one.floor.cpu)),
            of(|one| one.program.peak as f64 / 1e6),
            of(|one| one.program.received as f64 / one.events as f64),
            of(|one| one.program.sent as f64 / one.events as f64),
        );
    }
    text
}

fn micros(measured: &Measured, seconds: f64) -> f64 {
    seconds * 1e6 / measured.events as f64
}

fn name(sink: Sink) -> &'static str {
    match sink {
        Sink::Gzip => "gzip",
        Sink::Plain => "plain",
        Sink::Graph => "graph",
    }
}

/// The middle one, or the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}
