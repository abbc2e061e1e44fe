//! The file: the example with what was answered in it, all else commented out.
//!
//! So every key stands in it, explained, and a key that the example gains is in
//! every file that is written from then on.

use crate::secret::TokenSource;

use super::answers::{Answers, Plan};

/// Every key, with its default.
const EXAMPLE: &str = include_str!("../../../docs/config.example.toml");

/// What takes the place of the example's first line.
const FIRST_LINE: &str = "# opgraph: written by `opgraph init`. What is not said here has its default.";

/// A value, and the section and key at which it stands.
type Setting = (&'static str, &'static str, String);

/// Writes the file. It holds no token.
pub(super) fn text(answers: &Answers) -> String {
    let settings = settings(answers);
    let mut used = vec![false; settings.len()];
    let mut lines = vec![FIRST_LINE.to_owned()];
    let mut section = "";
    // The keys that have a line of their own; the others take that of an alternative.
    let own: Vec<(&str, &str)> = keys(EXAMPLE).collect();
    for line in EXAMPLE.lines().skip(1) {
        let Some(part) = part(line) else {
            lines.push(line.to_owned());
            continue;
        };
        match part {
            Part::Header(name) => {
                section = name;
                let wanted = settings.iter().any(|(at, _, _)| *at == section);
                lines.push(commented_unless(wanted, line));
            }
            Part::Key { name, active } => {
                let at = settings.iter().position(|(of, key, _)| *of == section && *key == name);
                match at {
                    Some(at) if !used[at] && (active || !own.contains(&(section, name))) => {
                        used[at] = true;
                        lines.push(format!("{name} = {}", settings[at].2));
                    }
                    _ => lines.push(commented_unless(!active, line)),
                }
            }
        }
    }
    lines.push(String::new());
    lines.join("\n")
}

fn commented_unless(whole: bool, line: &str) -> String {
    if whole { line.to_owned() } else { format!("# {line}") }
}

/// A line of the example that is more than a comment.
enum Part<'l> {
    Header(&'l str),
    Key { name: &'l str, active: bool },
}

fn part(line: &str) -> Option<Part<'_>> {
    if line.starts_with('[') {
        return Some(Part::Header(line.trim_matches(['[', ']'])));
    }
    let (rest, active) = match line.strip_prefix("# ") {
        Some(rest) => (rest, false),
        None => (line, true),
    };
    let (name, _) = rest.split_once(" = ")?;
    let is_key = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    is_key.then_some(Part::Key { name, active })
}

/// The keys that stand uncommented, with their sections.
fn keys(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut section = "";
    text.lines().filter_map(move |line| match part(line)? {
        Part::Header(name) => {
            section = name;
            None
        }
        Part::Key { name, active } => active.then_some((section, name)),
    })
}

fn settings(answers: &Answers) -> Vec<Setting> {
    let mut all: Vec<Setting> = Vec::new();
    let mut set = |section, key, value: Option<String>| {
        all.extend(value.map(|value| (section, key, value)));
    };
    let yes = |is: bool| is.then(|| "true".to_owned());

    set("", "state_dir", answers.state_dir.as_deref().map(quoted));
    set("", "allow_custom_hosts", yes(answers.allow_custom_hosts));

    set("tenant", "name", Some(quoted(&answers.name)));
    set("tenant", "tag_account_name", yes(answers.tag_account_name));
    set("tenant", "polling_interval", answers.polling_interval.as_deref().map(quoted));
    set("tenant", "start", answers.start.as_deref().map(quoted));

    set("tenant.events", "base_url", answers.events_url.as_deref().map(quoted));
    set("tenant.events", "token", Some(token(&answers.events_token)));
    let streams = answers.streams.as_ref().map(|streams| {
        format!("[{}]", streams.iter().map(|name| quoted(name.trim())).collect::<Vec<_>>().join(", "))
    });
    set("tenant.events", "streams", streams);

    if let Some(connect) = &answers.connect {
        set("tenant.connect", "base_url", Some(quoted(&connect.url)));
        set("tenant.connect", "token", Some(token(&connect.token)));
        set("tenant.connect", "item_details", (!connect.item_details).then(|| "false".to_owned()));
    }
    if let Some(jupiterone) = &answers.jupiterone {
        set("tenant.jupiterone", "base_url", jupiterone.url.as_deref().map(quoted));
        set("tenant.jupiterone", "account", Some(quoted(&jupiterone.account)));
        set("tenant.jupiterone", "token", Some(token(&jupiterone.token)));
        match &jupiterone.plan {
            Plan::Instance(id) => set("tenant.jupiterone", "integration_instance_id", Some(quoted(id))),
            Plan::Scope(prefix) => set("tenant.jupiterone", "scope", Some(quoted(prefix))),
        }
    }
    set("tenant.graph", "path", answers.graph.as_deref().map(quoted));
    all
}

fn token(source: &TokenSource) -> String {
    match source {
        TokenSource::Env(name) => format!("{{ env = {} }}", quoted(name)),
        TokenSource::File(path) => format!("{{ file = {} }}", quoted(&path.display().to_string())),
        TokenSource::Op(reference) => format!("{{ op = {} }}", quoted(reference)),
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
