//! The events of the simulated account: any one of millions, made when it is asked for.
//!
//! Each stream has a pool of templates, serialised ahead, with places for the uuid and the time. Event
//! number `i` is a template, a uuid and a time, all computed from the seed and `i`; so serving an event
//! is a copy and two patches, and nothing need be remembered of what was served but its number.

mod clock;
mod items;
mod json;
mod people;
mod shapes;
mod uuid;
mod words;

use std::time::Duration;

use self::{
    clock::Arrivals,
    json::{Object, Text},
    people::ERAS,
    shapes::Frame,
    uuid::Uuids,
};
pub(crate) use self::{
    clock::TimeForm,
    json::Field,
    people::{Cast, MOST_VAULTS, Seen},
    shapes::Shape,
    uuid::{LENGTH as UUID_LENGTH, lower as lower_uuid, upper as upper_uuid},
};
use crate::{
    Config, Stream,
    mix::{Dice, mix},
    truth::{Truth, truth},
};

/// Everything that the account's events are made from.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) cast: Cast,
    uuids: Uuids,
    /// When the simulator started, nanoseconds since the epoch.
    pub(crate) start: i64,
    streams: [Pool; 3],
}

#[derive(Debug)]
struct Pool {
    arrivals: Arrivals,
    /// By era, then by template.
    templates: [Vec<Template>; ERAS],
    poison: Vec<Text>,
    /// An event is poison when its die is below this.
    poisonous: u64,
    dice: u64,
}

#[derive(Debug)]
struct Template {
    text: Text,
    truth: Truth,
}

/// One event of a stream.
#[derive(Debug)]
pub(crate) struct Event<'a> {
    text: &'a Text,
    /// What it must become; `None` of poison, which becomes nothing.
    pub(crate) truth: Option<&'a Truth>,
    /// When it happened as far as its timestamp tells, nanoseconds; its arrival where it tells nothing.
    pub(crate) time: i64,
}

impl Event<'_> {
    /// Returns the timestamp in whole milliseconds, rounded down, if the event has one.
    pub(crate) fn created_on(&self) -> Option<i64> {
        self.text.time.is_some().then(|| self.time.div_euclid(1_000_000))
    }

    /// Returns the bytes it takes at most.
    pub(crate) fn len(&self) -> usize {
        self.text.bytes.len()
    }
}

impl World {
    /// Makes the world of a configuration that starts at `start`, nanoseconds since the epoch.
    pub(crate) fn new(config: &Config, start: i64) -> World {
        let cast = Cast::new(config);
        let streams =
            Stream::ALL.map(|stream| Pool::new(config, backlog(config, stream), stream, start, &cast));
        World { cast, uuids: Uuids::new(config.seed), start, streams }
    }

    /// Returns how many events of a stream have arrived `elapsed` after the start.
    pub(crate) fn arrived(&self, stream: Stream, elapsed: Duration) -> u64 {
        self.streams[stream.index()].arrivals.arrived(elapsed)
    }

    /// Returns the first of `arrived` events that can have happened at `time` or later: nothing arrives before it happens.
    pub(crate) fn first_at(&self, stream: Stream, time: i64, arrived: u64) -> u64 {
        self.streams[stream.index()].arrivals.first_at(time, arrived)
    }

    /// Returns event number `index` of a stream, arrived or not.
    pub(crate) fn event(&self, stream: Stream, index: u64) -> Event<'_> {
        let pool = &self.streams[stream.index()];
        let happened = pool.arrivals.happened(index);
        if pool.poisonous > 0 {
            let die = mix(pool.dice ^ index);
            if die < pool.poisonous {
                let text = &pool.poison[(mix(die) % pool.poison.len() as u64) as usize];
                return Event { text, truth: None, time: Self::told(pool, text, index, happened) };
            }
        }
        let templates = &pool.templates[pool.arrivals.era(happened)];
        let template = &templates[(index % templates.len() as u64) as usize];
        let time = Self::told(pool, &template.text, index, happened);
        Event { text: &template.text, truth: Some(&template.truth), time }
    }

    fn told(pool: &Pool, text: &Text, index: u64, happened: i64) -> i64 {
        match text.time {
            Some((_, form)) => form.cut(happened),
            None => pool.arrivals.arrival(index),
        }
    }

    /// Appends an event's JSON.
    pub(crate) fn write(&self, stream: Stream, index: u64, event: &Event<'_>, out: &mut Vec<u8>) {
        let at = out.len();
        out.extend_from_slice(&event.text.bytes);
        if let Some(place) = event.text.uuid {
            out[at + place..at + place + UUID_LENGTH].copy_from_slice(&self.uuids.of(stream, index));
        }
        if let Some((place, form)) = event.text.time {
            form.write(event.time, &mut out[at + place..at + place + form.width()]);
        }
    }

    /// Returns the uuid of an event.
    pub(crate) fn uuid(&self, stream: Stream, index: u64) -> String {
        self.uuids.of(stream, index).iter().map(|byte| char::from(*byte)).collect()
    }

    /// Returns the number of the event with this uuid.
    pub(crate) fn index_of(&self, stream: Stream, uuid: &str) -> Option<u64> {
        self.uuids.index_of(stream, uuid)
    }
}

/// Returns a stream's share of the backlog; what does not divide goes to the last one.
fn backlog(config: &Config, stream: Stream) -> u64 {
    let share = |stream: Stream| {
        config.events / 100 * stream.percent() + config.events % 100 * stream.percent() / 100
    };
    match stream {
        Stream::AuditEvents => config.events - share(Stream::SigninAttempts) - share(Stream::ItemUsages),
        _ => share(stream),
    }
}

impl Pool {
    fn new(config: &Config, backlog: u64, stream: Stream, start: i64, cast: &Cast) -> Pool {
        let rate = config.rate * stream.percent() as f64 / 100.0;
        let seed = mix(config.seed ^ (stream.index() as u64) << 32);
        let count = (backlog / 8).clamp(256, 1024) as usize;
        let mut templates: [Vec<Template>; ERAS] = std::array::from_fn(|_| Vec::with_capacity(count));
        for at in 0..count {
            let mut dice = Dice::new(seed ^ mix(at as u64));
            let form = (at % 64 != 63).then(|| time_form(&mut dice, at));
            // Some templates are about the odd users, whom chance would leave out.
            let user = (1..=people::ODD).contains(&at).then(|| cast.people.len() - at);
            let frame = Frame { cast, complete: at == 0, user, blank: form.is_none() };
            let shape = shapes::roll(stream, &mut dice, &frame);
            for (era, templates) in templates.iter_mut().enumerate() {
                let text = write(&shape, &mut dice.clone(), &frame, form, era, at);
                templates.push(Template { text, truth: truth(&shape, cast, era) });
            }
        }
        Pool {
            arrivals: Arrivals::new(config.seed, stream, backlog, start, config.history, rate),
            templates,
            poison: poison(stream),
            poisonous: (config.poison.clamp(0.0, 1.0) * u64::MAX as f64) as u64,
            dice: mix(seed ^ 0x706f_6973_6f6e),
        }
    }
}

/// Rolls how a template writes its time; the first ones show every number of digits.
fn time_form(dice: &mut Dice, at: usize) -> TimeForm {
    let digits = if at < 10 { at as u8 } else { *dice.pick(&[9, 9, 9, 3, 6, 0, 8, 9, 3, 7]) };
    let east = if dice.chance(75) { None } else { Some(*dice.pick(&[0, -180, 345, 120, -420])) };
    TimeForm { digits, east }
}

/// Writes a template. The dice are the same in every era, so that only names differ.
fn write(
    shape: &Shape,
    dice: &mut Dice,
    frame: &Frame<'_>,
    form: Option<TimeForm>,
    era: usize,
    at: usize,
) -> Text {
    let mut object = Object::new(at % 16 == 5);
    object.uuid("uuid");
    match form {
        Some(form) => object.time("timestamp", form),
        None if dice.chance(50) => object.json("timestamp", "null"),
        None => {}
    }
    if at % 50 == 49 {
        object.json("schema_hint", r#"{"later":[1,{"than":"we know"}],"v":2.5e3}"#);
    }
    shape.write(&mut object, |seen, object| seen.write(&frame.cast.people, era, object));
    shape.write_circumstances(dice, frame, &mut object);
    if at % 7 == 3 {
        object.reverse();
    }
    object.finish()
}

/// Events that cannot be mapped: no uuid, or a wrong type.
fn poison(stream: Stream) -> Vec<Text> {
    let bare = |json: &str| Text { bytes: json.as_bytes().into(), uuid: None, time: None };
    let form = TimeForm { digits: 9, east: None };
    let word = if stream == Stream::SigninAttempts { "category" } else { "action" };
    let broken = |uuid: Option<&'static str>, value: &'static str| {
        let mut object = Object::new(false);
        match uuid {
            Some("") => {}
            Some(json) => object.json("uuid", json),
            None => object.uuid("uuid"),
        }
        object.time("timestamp", form);
        object.json(word, value);
        object.finish()
    };
    vec![
        broken(Some(""), "\"fill\""),
        broken(Some("null"), "\"fill\""),
        broken(Some("42"), "\"fill\""),
        broken(Some("\"\""), "\"fill\""),
        broken(None, "7"),
        broken(None, "{\"word\":\"fill\"}"),
        bare("null"),
        bare("\"an event\""),
    ]
}

#[cfg(test)]
mod tests;
