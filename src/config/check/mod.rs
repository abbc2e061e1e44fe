//! From tables to types: everything is checked, and every problem is told.

mod events;

mod connect;

pub(super) mod admin;

mod jupiterone;

mod access;

mod sharing;

use std::path::{Path, PathBuf};

use super::{
    Config, GRAPH_PATH, Graph, POLLING_INTERVAL, Polling, SHORTEST_POLLING_INTERVAL, START, STATE_DIR, Start,
    Tenant,
    error::{At, Problems},
    tables::{DurationText, Given, GraphTable, Root, StartText, TenantTable},
    values,
};
use crate::memory::{MAX_MEMORY, Memory, Size};

/// The longest tenant name, in characters.
const LONGEST_NAME: usize = 64;

/// The tenants of one file.
pub(super) struct Group<'f> {
    /// Its number among the files.
    pub(super) file: usize,
    /// Where its relative paths start.
    pub(super) folder: &'f Path,
    pub(super) tables: Vec<Given<TenantTable>>,
}

/// Checks the whole configuration: the main file, whose relative paths start
/// from `folder`, and the groups of tenants of other files. `None` only if a
/// problem was added, now or before.
pub(super) fn config<'f>(
    mut root: Root,
    folder: &'f Path,
    mut groups: Vec<Group<'f>>,
    problems: &mut Problems<'_>,
) -> Option<Config> {
    let allow_custom_hosts = root.allow_custom_hosts.unwrap_or(false);
    let mut check = Check { folder, allow_custom_hosts, problems };
    let state_dir = check.path(root.state_dir.as_ref(), "state_dir", STATE_DIR);
    groups.insert(0, Group { file: 0, folder, tables: std::mem::take(&mut root.tenant) });
    if groups.iter().all(|group| group.tables.is_empty()) && !check.problems.struck_any() {
        let (at, key) = match &root.tenants {
            Some(given) => (&given.at, "tenants"),
            None => (&At::Bytes(0..0), "tenant"),
        };
        check.problems.add(
            at,
            key,
            "there is no tenant",
            "write a section `[[tenant]]` with a `name`, and `[tenant.events]` with a `token`".to_owned(),
        );
    }
    let admin = root.admin.as_ref().map(|table| check.admin(table));
    let mut tenants = Vec::new();
    for group in &groups {
        check.problems.look_at(group.file);
        check.folder = group.folder;
        for (n, table) in group.tables.iter().enumerate() {
            tenants.push((group.file, n, table, check.tenant(table, &format!("tenant[{n}]"))));
        }
    }
    check.no_two_share(&tenants);
    check.problems.look_at(0);
    let max_memory = match &root.max_memory {
        Some(given) => max_memory(given, "max_memory", tenants.len(), check.problems),
        None => Some(Memory::by_default(tenants.len())),
    };
    Some(Config {
        state_dir: state_dir?,
        max_memory: max_memory?,
        allow_custom_hosts,
        admin: admin.map_or(Some(None), |made| made.map(Some))?,
        tenants: tenants.into_iter().map(|(.., tenant)| tenant).collect::<Option<_>>()?,
    })
}

/// Reads what the process may take, which has to do for so many tenants.
pub(super) fn max_memory(
    given: &Given<String>,
    key: &str,
    tenants: usize,
    problems: &mut Problems<'_>,
) -> Option<usize> {
    let read = values::size(&given.value).and_then(|max| match Memory::divide(max, tenants) {
        Ok(_) => Ok(max),
        Err(error) => {
            Err(format!("{error}; write a larger size, or leave it out: {} is the default", Size(MAX_MEMORY)))
        }
    });
    let sentence = match read {
        Ok(max) => return Some(max),
        Err(sentence) => sentence,
    };
    let (what, hint) = sentence.split_once("; ").unwrap_or((&sentence, ""));
    problems.add(&given.at, key, what, hint.to_owned());
    None
}

struct Check<'c, 'p> {
    folder: &'c Path,
    allow_custom_hosts: bool,
    problems: &'c mut Problems<'p>,
}

impl Check<'_, '_> {
    fn tenant(&mut self, given: &Given<TenantTable>, key: &str) -> Option<Tenant> {
        let table = &given.value;
        let name = self.required(
            table.name.as_ref(),
            given,
            key,
            "name",
            "name the account, as in `name = \"acme\"`",
        );
        let name = name.and_then(|name| self.name(name, &format!("{key}.name")));
        let polling_interval =
            self.polling(table.polling_interval.as_ref(), &format!("{key}.polling_interval"));
        let start = self.start(table.start.as_ref(), &format!("{key}.start"));
        let events = self.required(
            table.events.as_ref(),
            given,
            key,
            "events",
            "write a section `[tenant.events]` with a `token`",
        );
        let events = events.and_then(|events| self.events(events, &format!("{key}.events")));
        let connect = table.connect.as_ref().map(|table| self.connect(table, &format!("{key}.connect")));
        let jupiterone =
            table.jupiterone.as_ref().map(|table| self.jupiterone(table, &format!("{key}.jupiterone")));
        let graph = match (&table.graph, &jupiterone) {
            (None, Some(_)) => None,
            (table, _) => Some(self.graph(table.as_ref(), &format!("{key}.graph"))),
        };
        Some(Tenant {
            name: name?,
            description: table.description.clone(),
            tag_account_name: table.tag_account_name.unwrap_or(false),
            raw_data: table.raw_data.unwrap_or(true),
            polling_interval: polling_interval?,
            start: start?,
            events: events?,
            connect: connect.map_or(Some(None), |made| made.map(Some))?,
            jupiterone: jupiterone.map_or(Some(None), |made| made.map(Some))?,
            graph: graph.map_or(Some(None), |made| made.map(Some))?,
            // Only a command line can ask for them.
            files: None,
        })
    }

    fn name(&mut self, given: &Given<String>, key: &str) -> Option<String> {
        let name = &given.value;
        let length = name.chars().count();
        let what = if name.trim().is_empty() {
            "the name is empty".to_owned()
        } else if length > LONGEST_NAME {
            format!("the name has {length} characters; at most {LONGEST_NAME} are allowed")
        } else if name.chars().any(char::is_control) {
            "the name holds a control character, such as a line break".to_owned()
        } else {
            return Some(name.clone());
        };
        self.refuse(&given.at, key, what, "name the account, as in `name = \"acme\"`")
    }

    fn polling(&mut self, given: Option<&Given<DurationText>>, key: &str) -> Option<Polling> {
        let Some(Given { value: DurationText(text), at }) = given else {
            return Some(Polling::Every(POLLING_INTERVAL));
        };
        if text.eq_ignore_ascii_case("disabled") {
            return Some(Polling::Disabled);
        }
        match values::duration(text) {
            Ok(every) if every >= SHORTEST_POLLING_INTERVAL => Some(Polling::Every(every)),
            Ok(_) => self.refuse(
                at,
                key,
                format!("`{text}` is too short: a second is the shortest"),
                "30s is the default; write `DISABLED` to read only with `run --once`",
            ),
            Err(sentence) => self.refuse_sentence(at, key, &sentence),
        }
    }

    fn start(&mut self, given: Option<&Given<StartText>>, key: &str) -> Option<Start> {
        let Some(Given { value: StartText(text), at }) = given else { return Some(Start::Ago(START)) };
        values::start(text).or_else(|sentence| self.refuse_sentence(at, key, &sentence).ok_or(())).ok()
    }

    fn graph(&mut self, given: Option<&Given<GraphTable>>, key: &str) -> Option<Graph> {
        let path = given.and_then(|graph| graph.value.path.as_ref());
        Some(Graph { path: self.path(path, &format!("{key}.path"), GRAPH_PATH)? })
    }

    fn path(&mut self, given: Option<&Given<String>>, key: &str, default: &str) -> Option<PathBuf> {
        let Some(Given { value, at }) = given else { return Some(self.folder.join(default)) };
        if value.is_empty() {
            return self.refuse(at, key, "the path is empty", &format!("`{default}` is the default"));
        }
        if value.starts_with('~') {
            return self.refuse(
                at,
                key,
                "`~` means nothing here: only a shell expands it",
                "write the whole path",
            );
        }
        if value.contains('\0') {
            return self.refuse(at, key, "the path holds a zero byte", "correct the path");
        }
        Some(self.folder.join(value))
    }

    /// Asks for a key. Does not tell that it is missing if its table lost a key
    /// that could not be read: that one may have been meant.
    fn required<'g, T, U>(
        &mut self,
        value: Option<&'g T>,
        table: &Given<U>,
        key: &str,
        name: &str,
        hint: &str,
    ) -> Option<&'g T> {
        if value.is_none() && !self.problems.struck_in(key) {
            self.problems.add(&table.at, key, format!("`{name}` is missing"), hint.to_owned());
        }
        value
    }

    fn refuse<T>(&mut self, at: &At, key: &str, what: impl Into<String>, hint: &str) -> Option<T> {
        self.problems.add(at, key, what, hint.to_owned());
        None
    }

    /// Refuses with a sentence of two halves: what is wrong; what to write.
    fn refuse_sentence<T>(&mut self, at: &At, key: &str, sentence: &str) -> Option<T> {
        let (what, hint) = sentence.split_once("; ").unwrap_or((sentence, ""));
        self.problems.add(at, key, what, Some(hint.to_owned()).filter(|hint| !hint.is_empty()));
        None
    }
}
