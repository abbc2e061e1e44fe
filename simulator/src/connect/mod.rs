//! 1Password Connect: the vaults and items of the simulated account, read-only, made when they are asked for.
//!
//! Vaults and items have the ids that audit events and item usages name. Nothing changes over time.
//!
//! Sources: Connect's OpenAPI file 1.7.1; for ids that are none (400) the issues 1Password/connect#45 and
//! connect-sdk-js#29; for 403 on a list of items, which that file leaves out, 1Password/connect#82.

mod detail;
mod filter;
mod item;
mod vault;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use serde_json::json;

pub(crate) use self::detail::secret_canaries;
use self::filter::equals;
use crate::{answer::Answer, generate::World, route::ConnectCall, token::ConnectClaims};

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

    /// Returns the error as it is sent.
    pub(crate) fn answer(self) -> Answer {
        Answer::value(self.status, &json!({"status": self.status, "message": self.message}))
    }
}

/// The Connect server of the account.
#[derive(Debug)]
pub(crate) struct Connect {
    seed: u64,
    world: Arc<World>,
    /// Whether a valid token was seen: until then the server cannot sync.
    unlocked: AtomicBool,
}

impl Connect {
    pub(crate) fn new(seed: u64, world: Arc<World>) -> Connect {
        Connect { seed, world, unlocked: AtomicBool::new(false) }
    }

    /// Answers a call. Heartbeat and health need no token; a valid one is noticed there too.
    pub(crate) fn answer(
        &self,
        call: &ConnectCall,
        query: Option<&str>,
        token: Option<&str>,
    ) -> Result<Answer, Refused> {
        let claims = self.claims(token);
        match call {
            ConnectCall::Heartbeat => Ok(Answer::text(200, ".")),
            ConnectCall::Health => Ok(self.health()),
            ConnectCall::Vaults => self.vaults(&claims?, query),
            ConnectCall::Vault(id) => {
                let vault = self.vault_in_scope(&claims?, id)?;
                Ok(Answer::value(200, &self.vault(vault)))
            }
            ConnectCall::Items(id) => self.items(&claims?, id, query),
            ConnectCall::Item(vault, item) => self.full_item(&claims?, vault, item),
            ConnectCall::WrongMethod => Err(Refused::new(405, "method not allowed")),
            ConnectCall::Unknown => Err(Refused::new(404, "not found")),
        }
    }

    fn claims(&self, token: Option<&str>) -> Result<ConnectClaims, Refused> {
        let claims = token.and_then(|token| ConnectClaims::verify(token, self.seed));
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

    fn vaults(&self, claims: &ConnectClaims, query: Option<&str>) -> Result<Answer, Refused> {
        let name = equals(query, "name")?;
        let vaults: Vec<_> = (0..self.world.cast.vaults.len())
            .filter(|vault| claims.covers(&self.world.cast.vaults[*vault]))
            .map(|vault| self.vault(vault))
            .filter(|vault| name.is_none() || vault.name == name)
            .collect();
        Ok(Answer::value(200, &vaults))
    }

    fn items(&self, claims: &ConnectClaims, vault: &str, query: Option<&str>) -> Result<Answer, Refused> {
        let vault = self.vault_in_scope(claims, vault)?;
        let title = equals(query, "title")?;
        let items: Vec<_> = (self.world.cast.items.of_vault(vault))
            .map(|number| self.item(number))
            .filter(|item| title.is_none() || item.title == title)
            .collect();
        Ok(Answer::value(200, &items))
    }

    fn full_item(&self, claims: &ConnectClaims, vault: &str, item: &str) -> Result<Answer, Refused> {
        let vault = self.vault_in_scope(claims, vault)?;
        if !is_id(item) {
            return Err(Refused::new(400, "Invalid Item UUID"));
        }
        let items = &self.world.cast.items;
        let number = items.number_of(item).filter(|number| items.vault_of(*number) == vault);
        let number = number.ok_or_else(|| Refused::new(404, format!("item {item} not found")))?;
        Ok(Answer::value(200, &self.detail(number)))
    }

    /// Returns the index of the vault with this id, if the token may read it.
    fn vault_in_scope(&self, claims: &ConnectClaims, id: &str) -> Result<usize, Refused> {
        if !is_id(id) {
            return Err(Refused::new(400, "Invalid Vault UUID"));
        }
        let vault = self.world.cast.vault(id);
        let vault = vault.ok_or_else(|| Refused::new(404, format!("vault {id} not found")))?;
        match claims.covers(id) {
            true => Ok(vault as usize),
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
