//! 1Password Connect: the vaults and items of the simulated account, read-only, made when they are asked for.
//!
//! Those that were there from the start have the ids that audit events and item usages name. What changed since is
//! remembered, and only that.
//!
//! Sources: Connect's OpenAPI file 1.7.1; for ids that are none (400) the issues 1Password/connect#45 and
//! connect-sdk-js#29; for 403 on a list of items, which that file leaves out, 1Password/connect#82.

mod account;
mod change;
mod detail;
mod filter;
mod item;
mod ledger;
mod lists;
mod state;
mod vault;

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use serde_json::{Value, json};

pub use self::change::{Change, ChangeError};
pub(crate) use self::{
    account::Account,
    detail::secret_canaries,
    ledger::{Listed, ListedVault, Shown},
    lists::ItemList,
    state::{ItemState, Presence, VaultState},
};
use self::{filter::equals, ledger::Ledger};
use crate::{
    Config, ConnectReport, answer::Answer, generate::World, route::ConnectCall, token::ConnectClaims,
};

/// The version of the server, as a header and `/health` tell it.
pub(crate) const VERSION: &str = "1.8.1";

/// An error of Connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    status: u16,
    message: String,
}

impl Refused {
    fn new(status: u16, message: impl Into<String>) -> Refused {
        Refused { status, message: message.into() }
    }

    /// Returns the error of an injected fault, in words that Connect says without a reason of the client's.
    ///
    /// Sources: 403 1Password/connect#82; 401 before 1.7.2 and 500 before the first sync, connect-sdk-python#9.
    pub(crate) fn on_order(status: u16) -> Refused {
        Refused::new(
            status,
            match status {
                401 => "invalid bearer token",
                403 => "Authorization: token does not have access to vault",
                500 => "failed to initiate, review service logs for details",
                _ => "something went wrong",
            },
        )
    }

    /// Returns the error that Connect before 1.7.0 told now and then (its changelog).
    pub(crate) fn locked() -> Refused {
        Refused::new(500, "database is locked")
    }

    /// Returns the error as it is sent.
    pub(crate) fn answer(self) -> Answer {
        Answer::value(self.status, &json!({"status": self.status, "message": self.message}))
    }
}

/// Makes what Connect tells of a vault or item from how it is.
#[derive(Debug)]
pub(crate) struct Contents {
    seed: u64,
    world: Arc<World>,
}

impl Contents {
    /// Returns a vault as a list tells it.
    pub(crate) fn vault_json(&self, state: &VaultState) -> Value {
        json!(self.vault(state))
    }

    /// Returns an item as a list tells it.
    pub(crate) fn item_json(&self, vault: u32, state: &ItemState) -> Value {
        json!(self.item(vault, state))
    }

    /// Returns an item in full.
    pub(crate) fn detail_json(&self, vault: u32, state: &ItemState) -> Value {
        json!(self.detail(vault, state))
    }

    /// Returns the items of a vault that are in use.
    pub(crate) fn active<'a>(&'a self, vault: &'a VaultState) -> impl Iterator<Item = ItemState> + 'a {
        vault.all(&self.world.cast).filter(|item| item.presence == Presence::Active)
    }
}

/// An answer that is not an error, and what it shows, if that is something to remember.
#[derive(Debug)]
pub(crate) enum Reply {
    /// One that is made.
    Whole(Answer, Option<Shown>),
    /// A list of items, still to be made.
    List(ItemList, Option<Shown>),
}

/// The Connect server of the account.
#[derive(Debug)]
pub(crate) struct Connect {
    pub(crate) contents: Arc<Contents>,
    account: Mutex<Account>,
    ledger: Mutex<Ledger>,
    changes_per_hour: f64,
    with_trashed: bool,
    /// Whether a valid token was seen: until then the server cannot sync.
    unlocked: AtomicBool,
}

impl Connect {
    pub(crate) fn new(config: &Config, world: Arc<World>) -> Connect {
        Connect {
            contents: Arc::new(Contents { seed: config.seed, world: Arc::clone(&world) }),
            account: Mutex::new(Account::new(config.seed, world)),
            ledger: Mutex::default(),
            changes_per_hour: config.connect_changes_per_hour,
            with_trashed: config.connect_lists_trashed,
            unlocked: AtomicBool::new(false),
        }
    }

    /// Returns the account as it is at this time, nanoseconds.
    pub(crate) fn account(&self, now: i64) -> MutexGuard<'_, Account> {
        let mut account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        account.catch_up(now, self.changes_per_hour);
        account
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request, whatever becomes of it.
    pub(crate) fn count(&self, call: &ConnectCall) {
        self.ledger().count(call);
    }

    /// Remembers what an answer showed that was sent to its end.
    pub(crate) fn note(&self, shown: Shown) {
        self.ledger().listed.note(shown);
    }

    /// Returns what was listed last.
    pub(crate) fn listed(&self) -> Listed {
        self.ledger().listed.clone()
    }

    /// Returns what was asked, and how often the account has changed by now.
    pub(crate) fn report(&self, now: i64) -> ConnectReport {
        let changes = self.account(now).changes();
        ConnectReport { changes, ..self.ledger().asked.clone() }
    }

    /// Answers a call. Heartbeat and health need no token; a valid one is noticed there too.
    pub(crate) fn answer(
        &self,
        call: &ConnectCall,
        query: Option<&str>,
        token: Option<&str>,
        now: i64,
    ) -> Result<Reply, Refused> {
        let claims = self.claims(token);
        match call {
            ConnectCall::Heartbeat => Ok(Reply::Whole(Answer::text(200, "."), None)),
            ConnectCall::Health => Ok(Reply::Whole(self.health(), None)),
            ConnectCall::Vaults => self.vaults(&claims?, query, now),
            ConnectCall::Vault(id) => {
                let vault = self.vault_in_scope(&claims?, id, now)?;
                Ok(Reply::Whole(Answer::value(200, &self.contents.vault(&vault)), None))
            }
            ConnectCall::Items(id) => self.items(&claims?, id, query, now),
            ConnectCall::Item(vault, item) => self.full_item(&claims?, vault, item, now),
            ConnectCall::WrongMethod => Err(Refused::new(405, "method not allowed")),
            ConnectCall::Unknown => Err(Refused::new(404, "not found")),
        }
    }

    fn claims(&self, token: Option<&str>) -> Result<ConnectClaims, Refused> {
        let claims = token.and_then(|token| ConnectClaims::verify(token, self.contents.seed));
        if claims.is_some() {
            self.unlocked.store(true, Ordering::Relaxed);
        }
        claims.ok_or_else(|| Refused::new(401, "invalid bearer token"))
    }

    fn health(&self) -> Answer {
        let sync = if self.unlocked.load(Ordering::Relaxed) { "ACTIVE" } else { "TOKEN_NEEDED" };
        Answer::value(
            200,
            &json!({
                "name": "1Password Connect API",
                "version": VERSION,
                "dependencies": [
                    {"service": "sync", "status": sync},
                    {"service": "sqlite", "status": "ACTIVE", "message": "simulated"},
                ],
            }),
        )
    }

    fn vaults(&self, claims: &ConnectClaims, query: Option<&str>, now: i64) -> Result<Reply, Refused> {
        let name = equals(query, "name")?;
        let cast = &self.contents.world.cast;
        let all: Vec<_> = (self.account(now).vaults())
            .filter(|vault| claims.covers(&cast.vault_id(vault.at)))
            .map(Arc::clone)
            .collect();
        let told: Vec<_> = (all.iter().map(|vault| self.contents.vault(vault)))
            .filter(|vault| name.is_none() || vault.name.as_deref() == name.as_deref())
            .collect();
        let answer = Answer::value(200, &told);
        Ok(Reply::Whole(answer, name.is_none().then_some(Shown::Vaults(all))))
    }

    fn items(
        &self,
        claims: &ConnectClaims,
        vault: &str,
        query: Option<&str>,
        now: i64,
    ) -> Result<Reply, Refused> {
        let vault = self.vault_in_scope(claims, vault, now)?;
        let title = equals(query, "title")?;
        let shown = title.is_none().then(|| Shown::Items(Arc::clone(&vault)));
        let contents = Arc::clone(&self.contents);
        Ok(Reply::List(ItemList { contents, vault, title, with_trashed: self.with_trashed }, shown))
    }

    fn full_item(&self, claims: &ConnectClaims, vault: &str, item: &str, now: i64) -> Result<Reply, Refused> {
        let vault = self.vault_in_scope(claims, vault, now)?;
        if !is_id(item) {
            return Err(Refused::new(400, "Invalid Item UUID"));
        }
        let cast = &self.contents.world.cast;
        let state = (cast.items.number_of(item))
            .and_then(|number| vault.item(number, cast))
            .filter(|state| self.with_trashed || state.presence == Presence::Active);
        let state = state.ok_or_else(|| Refused::new(404, format!("item {item} not found")))?;
        let answer = Answer::value(200, &self.contents.detail(vault.at, &state));
        Ok(Reply::Whole(answer, Some(Shown::Detail(vault.at, state))))
    }

    /// Returns the vault with this id, if the token may read it.
    fn vault_in_scope(&self, claims: &ConnectClaims, id: &str, now: i64) -> Result<Arc<VaultState>, Refused> {
        if !is_id(id) {
            return Err(Refused::new(400, "Invalid Vault UUID"));
        }
        let vault = self.account(now).vault(id).map(Arc::clone);
        let vault = vault.ok_or_else(|| Refused::new(404, format!("vault {id} not found")))?;
        match claims.covers(id) {
            true => Ok(vault),
            false => Err(Refused::new(403, format!("vault {id} is not in scope"))),
        }
    }
}

/// Whether text is an id: `^[\da-z]{26}$` (Connect's OpenAPI file).
fn is_id(text: &str) -> bool {
    text.len() == 26 && text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
}

#[cfg(test)]
mod tests;
