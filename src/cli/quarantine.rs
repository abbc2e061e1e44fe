//! `opgraph quarantine`: what was set aside, and what is to become of it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use opgraph_state::{Listed, Quarantined, SledStore, Store, UnixMs};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{
    args::{DropEntries, Entries, ListEntries, RetryEntries, ShowEntry},
    ask::agreed,
    destination,
    failed::{Exit, Failed},
    out, run,
    status::ago,
};
use crate::{
    admin::short_reason,
    clock::Clock,
    config::Config,
    graph::Written,
    http::{Client, ClientSettings, Remedy},
    memory::Memory,
    supervisor::{Budgets, RunError, Shared},
    telemetry::Meter,
    tenant,
};

/// Digits of an id that a list shows at least, as with git.
const DIGITS: usize = 8;

/// One entry, and whose it is.
struct Held {
    tenant: String,
    id: String,
    listed: Listed,
}

/// An entry for machines, without its body.
#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    tenant: &'a str,
    stream: &'a str,
    at: UnixMs,
    reason: &'a str,
}

impl Held {
    fn line(&self) -> Line<'_> {
        let Held { tenant, id, listed } = self;
        Line { id, tenant, stream: &listed.id.stream, at: listed.at, reason: &listed.reason }
    }
}

/// `opgraph quarantine list`
pub(super) async fn list(list: ListEntries) -> Result<(), Failed> {
    let store = run::open(&Config::state_dir(&list.flags)?).await?;
    let held = held(&store, list.tenant.as_deref()).await?;
    if list.json {
        return out::json(&held.iter().map(Held::line).collect::<Vec<_>>());
    }
    if held.is_empty() {
        out::print("nothing is in quarantine");
        return Ok(());
    }
    let (now, digits) = (Clock::system().now(), digits(&held));
    for (at, entry) in held.iter().enumerate() {
        if at == 0 || held[at - 1].tenant != entry.tenant {
            let (head, of) = ("id", &entry.tenant);
            out::print(format_args!("{of}\n  {head:<digits$}  {:<16} {:>9}  reason", "stream", "set aside"));
        }
        out::print(format_args!(
            "  {}  {:<16} {:>9}  {}",
            &entry.id[..digits],
            entry.listed.id.stream,
            ago(Some(entry.listed.at), now),
            short_reason(&entry.listed.reason),
        ));
    }
    out::print("\nsee one whole: opgraph quarantine show ID\ndeliver again: opgraph quarantine retry ID…");
    Ok(())
}

/// `opgraph quarantine show`: the one place where a body is printed.
pub(super) async fn show(show: ShowEntry) -> Result<(), Failed> {
    #[derive(Serialize)]
    struct Whole<'a> {
        #[serde(flatten)]
        line: Line<'a>,
        kind: &'a str,
        body: &'a str,
    }
    let store = run::open(&Config::state_dir(&show.flags)?).await?;
    let held = held(&store, show.tenant.as_deref()).await?;
    let entry = found(&held, &show.id)?;
    let Some(whole) = store.quarantine_entry(&entry.tenant, &entry.listed.id).await? else {
        return Err(unknown(&show.id));
    };
    let Quarantined { stream, reason, body, at } = &whole;
    let kind = if Written::read(body).is_some() { "record" } else { "event" };
    if show.json {
        return out::json(&Whole { line: entry.line(), kind, body });
    }
    out::print(format_args!(
        "id         {}\ntenant     {}\nstream     {stream}\nset aside  {}\nreason     {reason}\n\n{body}",
        entry.id,
        entry.tenant,
        out::time(*at),
    ));
    Ok(())
}

/// `opgraph quarantine drop`
pub(super) async fn drop(drop: DropEntries) -> Result<(), Failed> {
    let store = run::open(&Config::state_dir(&drop.flags)?).await?;
    let held = held(&store, drop.tenant.as_deref()).await?;
    let named = named(&held, &drop.entries)?;
    if named.is_empty() {
        out::print("nothing is in quarantine");
        return Ok(());
    }
    let question = format!("Drop {} for good?", entries(named.len()));
    if !drop.yes && !agreed(&question)? {
        return Err(Failed::text(Exit::Other, "nothing was changed"));
    }
    for (tenant, of_it) in by_tenant(&named) {
        let ids = of_it.iter().map(|entry| entry.listed.id.clone()).collect();
        store.quarantine_drop(tenant, ids).await?;
    }
    out::print(format_args!("dropped {}", entries(named.len())));
    Ok(())
}

/// What became of a tenant's entries.
#[derive(Serialize)]
struct Retried<'a> {
    tenant: &'a str,
    delivered: usize,
    /// In quarantine still, with why.
    stay: Vec<Line<'a>>,
}

/// `opgraph quarantine retry`
pub(super) async fn retry(retry: RetryEntries) -> Result<(), Failed> {
    let config = Config::from_flags(&retry.flags)?;
    // Only files ask for one tenant before anything is looked at.
    let one = retry.tenant.as_deref().filter(|_| retry.destination.out.is_some());
    let config = destination::of(config, retry.destination, one, &retry.flags.file).await?;
    let store = run::open(&config.state_dir).await?;
    let before = held(&store, retry.tenant.as_deref()).await?;
    let named = named(&before, &retry.entries)?;
    if named.is_empty() && !retry.json {
        out::print("nothing is in quarantine");
    }
    // Whoever is not configured has no sink: that is said before anything is sent.
    let mut tenants = Vec::new();
    for (tenant, of_it) in by_tenant(&named) {
        let Some(configured) = config.tenants.iter().find(|configured| configured.name == tenant) else {
            let text = format!("tenant `{tenant}` has entries in quarantine and is not configured");
            return Err(Failed::text(Exit::Configuration, text)
                .hint("name its configuration with `--config`, or choose another with `--tenant`"));
        };
        tenants.push((configured, of_it));
    }
    let client = Client::new(&ClientSettings::default())
        .map_err(|error| Failed::new(Exit::Other, "make an HTTP client").because(error))?;
    let shared = Shared {
        store: store.clone(),
        client,
        // Nothing is asked of 1Password.
        budgets: Budgets::default(),
        memory: Memory::default(),
        clock: Clock::system(),
        closing: CancellationToken::new(),
        drain: Duration::ZERO,
    };
    for (configured, of_it) in tenants {
        let name = configured.name.as_str();
        let ids: Vec<_> = of_it.iter().map(|entry| entry.listed.id.clone()).collect();
        let asked: BTreeSet<_> = ids.iter().cloned().collect();
        tenant::retry(configured.clone(), ids, shared.clone(), Arc::new(Meter::default()))
            .await
            .map_err(|error| not_retried(name, &error))?;
        let after = held(&store, Some(name)).await?;
        let stay: Vec<_> = after.iter().filter(|entry| asked.contains(&entry.listed.id)).collect();
        let delivered = asked.len() - stay.len();
        if retry.json {
            out::json(&Retried { tenant: name, delivered, stay: stay.iter().map(|it| it.line()).collect() })?;
            continue;
        }
        out::print(format_args!(
            "{name}: delivered {}, {} stay in quarantine",
            entries(delivered),
            stay.len()
        ));
        let digits = digits(&after);
        for entry in stay {
            let reason = short_reason(&entry.listed.reason);
            out::print(format_args!("  {}  {:<16}  {reason}", &entry.id[..digits], entry.listed.id.stream));
        }
    }
    Ok(())
}

fn not_retried(tenant: &str, error: &RunError) -> Failed {
    let failed = Failed::tenant(tenant, error);
    match error.remedy() {
        Remedy::Retry { .. } => {
            failed.hint("nothing is lost: what was not delivered is still in quarantine; try again later")
        }
        _ => failed,
    }
}

/// Everything in quarantine, tenant by tenant, oldest first; of one tenant if one is named.
async fn held(store: &SledStore, tenant: Option<&str>) -> Result<Vec<Held>, Failed> {
    let known: Vec<String> = store.checkpoints().await?.into_keys().collect();
    if let Some(name) = tenant
        && !known.iter().any(|known| known == name)
    {
        return Err(no_tenant(name, &known));
    }
    let mut held = Vec::new();
    for name in known.into_iter().filter(|name| tenant.is_none_or(|tenant| tenant == name)) {
        for listed in store.quarantine_list(&name).await? {
            held.push(Held { tenant: name.clone(), id: listed.id.to_string(), listed });
        }
    }
    Ok(held)
}

fn no_tenant(name: &str, known: &[String]) -> Failed {
    let failed = Failed::text(Exit::Other, format!("there is no tenant `{name}`"));
    failed.hint(match known {
        [] => "this state directory is empty: name another with `--state-dir`".to_owned(),
        known => format!("tenants in this state directory: {}", known.join(", ")),
    })
}

/// The entries that a command line names, each once; all if it names none.
fn named<'h>(held: &'h [Held], entries: &Entries) -> Result<Vec<&'h Held>, Failed> {
    if entries.ids.is_empty() {
        return Ok(held.iter().collect());
    }
    let mut named: Vec<&Held> = Vec::new();
    for id in &entries.ids {
        let entry = found(held, id)?;
        if !named.iter().any(|known| std::ptr::eq(*known, entry)) {
            named.push(entry);
        }
    }
    Ok(named)
}

/// Finds the entry whose id starts like this.
fn found<'h>(held: &'h [Held], prefix: &str) -> Result<&'h Held, Failed> {
    let prefix = prefix.to_ascii_lowercase();
    let mut like: Vec<&Held> = held.iter().filter(|entry| entry.id.starts_with(&prefix)).collect();
    match like.as_slice() {
        [] => Err(unknown(&prefix)),
        [one] => Ok(one),
        [first, rest @ ..] if rest.iter().all(|entry| entry.id == first.id) => {
            Err(Failed::text(Exit::Other, format!("`{prefix}` is in the quarantine of several tenants"))
                .hint("say which with `--tenant`"))
        }
        _ => {
            like.truncate(5);
            let ids: Vec<&str> = like.iter().map(|entry| entry.id.as_str()).collect();
            let text = format!("`{prefix}` stands for more than one entry");
            Err(Failed::text(Exit::Other, text).hint(format!("write more of it: {}", ids.join(", "))))
        }
    }
}

fn unknown(prefix: &str) -> Failed {
    Failed::text(Exit::Other, format!("no entry in quarantine has an id like `{prefix}`"))
        .hint("see them with `opgraph quarantine list`")
}

fn by_tenant<'h>(named: &[&'h Held]) -> Vec<(&'h str, Vec<&'h Held>)> {
    let mut tenants: Vec<(&str, Vec<&Held>)> = Vec::new();
    for entry in named {
        match tenants.iter_mut().find(|(name, _)| *name == entry.tenant) {
            Some((_, of_it)) => of_it.push(entry),
            None => tenants.push((&entry.tenant, vec![entry])),
        }
    }
    tenants
}

/// How many digits tell the entries apart.
fn digits(held: &[Held]) -> usize {
    let ids: BTreeSet<&str> = held.iter().map(|entry| entry.id.as_str()).collect();
    let shared = |(one, next): (&&str, &&str)| {
        one.bytes().zip(next.bytes()).take_while(|(one, next)| one == next).count()
    };
    let longest = ids.iter().zip(ids.iter().skip(1)).map(shared).max();
    longest.map_or(DIGITS, |shared| (shared + 1).max(DIGITS))
}

fn entries(count: usize) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") }
}

#[cfg(test)]
mod tests {
    use opgraph_state::{Fingerprint, QuarantineId};

    use super::*;

    fn held(ids: &[&str]) -> Vec<Held> {
        let entry = |id: &&str| Held {
            tenant: "acme".to_owned(),
            id: format!("{id:0<32}"),
            listed: Listed {
                id: QuarantineId { stream: "s".to_owned(), body: Fingerprint(0) },
                reason: String::new(),
                at: UnixMs(0),
            },
        };
        ids.iter().map(entry).collect()
    }

    #[test]
    fn as_many_digits_are_shown_as_tell_all_entries_apart() {
        assert_eq!(digits(&held(&["ab"])), 8);
        assert_eq!(digits(&held(&["ab", "ac"])), 8);
        assert_eq!(digits(&held(&["0123456789a", "7", "0123456789b"])), 11);
    }

    #[test]
    fn a_prefix_names_one_entry_or_none_is_touched() {
        let two = held(&["ab", "ac"]);
        assert_eq!(found(&two, "AB").ok().map(|entry| &entry.id), Some(&two[0].id));
        let failed = |prefix: &str| found(&two, prefix).err().map(|failed| failed.to_string());
        assert!(
            failed("a").is_some_and(|text| text.contains("more than one") && text.contains("write more"))
        );
        assert!(failed("f").is_some_and(|text| text.contains("no entry")));
        let several = held(&["ab", "ab"]);
        assert!(found(&several, "ab").is_err_and(|failed| failed.to_string().contains("--tenant")));
        let ids = Entries { ids: vec!["ab".to_owned(), "abA".to_lowercase()[..2].to_owned()], all: false };
        assert_eq!(named(&two, &ids).map(|named| named.len()).ok(), Some(1), "named twice, taken once");
    }

    #[test]
    fn a_reason_fits_a_line() {
        assert_eq!(short_reason("no\nuuid\u{1b}[2J"), "no uuid [2J");
        assert_eq!(short_reason(&"é".repeat(500)).chars().count(), 161);
    }
}
