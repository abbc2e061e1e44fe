//! The newest warnings and errors, for those who look: a few, short, and without tokens.

use std::{
    collections::VecDeque,
    fmt::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use opgraph_state::UnixMs;
use serde::{Deserialize, Serialize};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id},
};
use tracing_subscriber::{
    layer::{Context, Layer},
    registry::LookupSpan,
};

use crate::{clock::Clock, secret::without_tokens, telemetry::Count};

/// How many are kept.
const KEPT: usize = 64;
/// How long a text may be, in characters.
const LONGEST: usize = 400;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// When it was last logged.
    pub at: UnixMs,
    /// `error` or `warn`.
    pub level: String,
    /// Whose it is, if it is a tenant's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The stream, if it is one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// What was logged, with its fields.
    pub text: String,
    /// How often it was logged in a row.
    pub times: u64,
}

/// Keeps the newest warnings and errors. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Warnings(Arc<Kept>);

#[derive(Debug, Default)]
struct Kept {
    newest: Mutex<VecDeque<Warning>>,
    errors: Count,
    warnings: Count,
}

impl Warnings {
    /// The kept ones, newest first.
    pub fn newest(&self) -> Vec<Warning> {
        self.lock().iter().cloned().collect()
    }

    /// How many errors and how many warnings there were in all.
    pub fn counts(&self) -> (u64, u64) {
        (self.0.errors.get(), self.0.warnings.get())
    }

    /// The layer that sees what is logged.
    pub fn layer(&self, clock: Clock) -> Collect {
        Collect { into: self.clone(), clock }
    }

    fn add(&self, warning: Warning) {
        if warning.level == "error" {
            self.0.errors.add(1)
        } else {
            self.0.warnings.add(1)
        }
        let mut newest = self.lock();
        let same = |known: &&mut Warning| {
            (&known.tenant, &known.stream, &known.text) == (&warning.tenant, &warning.stream, &warning.text)
        };
        // A request that fails again and again is one line.
        if let Some(known) = newest.front_mut().filter(same) {
            known.times += 1;
            known.at = warning.at;
            return;
        }
        newest.truncate(KEPT - 1);
        newest.push_front(warning);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Warning>> {
        self.0.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sees warnings and errors of this program; what other crates say may hold
/// more than we would show.
#[derive(Debug)]
pub struct Collect {
    into: Warnings,
    clock: Clock,
}

impl Collect {
    /// Whether it looks at this at all. The spans that say whose something is
    /// are as loud as errors.
    pub fn looks_at(metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("opgraph") && *metadata.level() <= Level::WARN
    }
}

/// Whose a span is.
#[derive(Debug, Default)]
struct Whose {
    tenant: Option<String>,
    stream: Option<String>,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Collect {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().replace(fields.whose);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let Fields { mut whose, message, rest } = fields;
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(of) = span.extensions().get::<Whose>() {
                whose.tenant = whose.tenant.or_else(|| of.tenant.clone());
                whose.stream = whose.stream.or_else(|| of.stream.clone());
            }
        }
        let level = if *event.metadata().level() == Level::ERROR { "error" } else { "warn" };
        let text = if rest.is_empty() { message } else { format!("{message}: {rest}") };
        self.into.add(Warning {
            at: self.clock.now(),
            level: level.to_owned(),
            tenant: whose.tenant,
            stream: whose.stream,
            text: shown(&text),
            times: 1,
        });
    }
}

/// One line of a bounded length, without what may be a token.
pub(super) fn shown(text: &str) -> String {
    let line: String = text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    let mut line = without_tokens(&line);
    if let Some((cut, _)) = line.char_indices().nth(LONGEST) {
        line.truncate(cut);
        line.push('…');
    }
    line
}

/// The fields of a span or an event.
#[derive(Default)]
struct Fields {
    whose: Whose,
    message: String,
    rest: String,
}

impl Fields {
    fn add(&mut self, name: &str, value: String) {
        match name {
            "message" => self.message = value,
            "tenant" => self.whose.tenant = Some(value),
            "stream" => self.whose.stream = Some(value),
            _ if value.is_empty() => {}
            // What went wrong reads without its name.
            _ => {
                let separator = if self.rest.is_empty() { "" } else { "; " };
                let named = if matches!(name, "error" | "cause" | "hint") { "" } else { name };
                let equals = if named.is_empty() { "" } else { " " };
                let _ = write!(self.rest, "{separator}{named}{equals}{value}");
            }
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field.name(), format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use tracing::{error, error_span, info, warn};
    use tracing_subscriber::{filter::filter_fn, layer::SubscriberExt, registry};

    use super::*;

    fn collected(log: impl FnOnce()) -> Warnings {
        let warnings = Warnings::default();
        let clock = Clock::reading(|| UnixMs(7));
        let layer = warnings.layer(clock).with_filter(filter_fn(Collect::looks_at));
        tracing::subscriber::with_default(registry().with(layer), log);
        warnings
    }

    #[test]
    fn a_warning_says_whose_it_is_and_what_went_wrong() {
        let warnings = collected(|| {
            let _tenant = error_span!("tenant", tenant = "acme").entered();
            let _stream = error_span!("stream", tenant = "acme", stream = "auditevents").entered();
            warn!(error = %"cannot read", cause = "busy", attempt = 3, "request failed");
            info!("nothing to see");
            tracing::warn!(target: "hyper", "authorization: Bearer secret");
        });
        let expect = Warning {
            at: UnixMs(7),
            level: "warn".to_owned(),
            tenant: Some("acme".to_owned()),
            stream: Some("auditevents".to_owned()),
            text: "request failed: cannot read; busy; attempt 3".to_owned(),
            times: 1,
        };
        assert_eq!((warnings.newest(), warnings.counts()), (vec![expect], (0, 1)));
    }

    #[test]
    fn what_may_be_a_token_is_left_out_and_long_texts_are_cut() {
        let warnings = collected(|| {
            warn!(error = %"got eyJhbGciOi.J9.abc\nwith ops_eyJzaWduSW4 and more", "refused");
            error!("{}", "é".repeat(9_999));
        });
        let newest = warnings.newest();
        assert_eq!(newest[1].text, "refused: got … with … and more");
        assert_eq!(newest[0].text.chars().count(), LONGEST + 1);
    }

    #[test]
    fn only_the_newest_are_kept_and_repeats_are_one() {
        let warnings = collected(|| {
            for _ in 0..1_000 {
                warn!("again");
            }
            for number in 0..KEPT - 1 {
                warn!("{number}");
            }
        });
        let newest = warnings.newest();
        assert_eq!((newest.len(), newest[0].text.as_str()), (KEPT, "62"));
        assert_eq!((newest[KEPT - 1].text.as_str(), newest[KEPT - 1].times), ("again", 1_000));
        warnings.add(Warning { text: "one more".to_owned(), ..newest[0].clone() });
        assert_eq!((warnings.newest().len(), warnings.counts()), (KEPT, (0, 1_064)));
    }
}
