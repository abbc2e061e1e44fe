//! The budgets of the process: one an account, whichever of its tenants asks.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use opgraph_state::{Store, StoreError, UnixMs};
use tracing::warn;

use crate::http::{Budget, Limits};

/// Who makes requests from which budget. Clones share it.
///
/// Two tenants of one account share its budget, first come first served. The
/// lowest of their limits hold for all of them.
#[derive(Clone, Debug, Default)]
pub struct Budgets(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    earlier: Earlier,
    shares: Mutex<HashMap<Owner, Share>>,
}

/// Until when runs of earlier processes may have made requests.
#[derive(Debug, Default)]
struct Earlier {
    accounts: HashMap<String, UnixMs>,
    /// Those of tenants of which the account is not known: it may be any.
    unknown: Option<UnixMs>,
}

/// Whose a budget is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Owner {
    Account(String),
    /// Nobody has told the tenant's account yet.
    Tenant(Arc<str>),
}

#[derive(Debug)]
struct Share {
    budget: Arc<Budget>,
    limits: Limits,
    /// The limits that each tenant was given.
    tenants: BTreeMap<Arc<str>, Limits>,
}

/// What a tenant knows when it asks for a budget.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking<'a> {
    pub(super) tenant: &'a Arc<str>,
    /// The account's uuid, if anybody has told it: the token, a checkpoint, the API.
    pub(super) account: Option<&'a str>,
    pub(super) limits: Limits,
    /// Until when earlier runs of the tenant may have made requests.
    pub(super) active_until: Option<UnixMs>,
    pub(super) now: UnixMs,
}

impl Budgets {
    /// Begins with what earlier processes left behind. An account's tenants may
    /// start again one after the other: its budget has to know of all of them
    /// before the first request of the first.
    ///
    /// # Errors
    ///
    /// The state cannot be read.
    pub async fn after_earlier_runs<T: Store>(store: &T) -> Result<Budgets, StoreError> {
        let mut earlier = Earlier::default();
        for (tenant, streams) in store.checkpoints().await? {
            let Some(until) = store.active_until(&tenant).await? else { continue };
            let mut known = false;
            for account in streams.into_values().filter_map(|checkpoint| checkpoint.source.account) {
                let latest = earlier.accounts.entry(account).or_insert(until);
                *latest = until.max(*latest);
                known = true;
            }
            if !known {
                earlier.unknown = earlier.unknown.max(Some(until));
            }
        }
        Ok(Budgets(Arc::new(Inner { earlier, shares: Mutex::default() })))
    }

    /// Answers the budget from which the tenant makes its requests from now on.
    pub(super) fn join(&self, asking: Asking<'_>) -> Arc<Budget> {
        let Asking { tenant, account, limits, active_until, now } = asking;
        let owner = match account {
            Some(account) => Owner::Account(account.to_owned()),
            None => Owner::Tenant(tenant.clone()),
        };
        let mut shares = self.shares();
        leave(&mut shares, tenant, Some(&owner));
        let share = shares.entry(owner).or_insert_with(|| {
            let until = active_until.max(account.and_then(|account| self.0.earlier.of(account)));
            let budget = Arc::new(Budget::new(limits, idle(until, now)));
            Share { budget, limits, tenants: BTreeMap::new() }
        });
        share.tenants.insert(tenant.clone(), limits);
        share.keep_to_the_lowest();
        if let (Some(account), true) = (account, share.limits != limits) {
            let Limits { per_minute, per_hour } = share.limits;
            warn!(
                account,
                per_minute, per_hour, "tenants of one account have different limits: the lowest hold for all"
            );
        }
        share.budget.clone()
    }

    /// The tenant is no more: its limits bind nobody.
    pub fn leave(&self, tenant: &str) {
        leave(&mut self.shares(), tenant, None);
    }

    fn shares(&self) -> MutexGuard<'_, HashMap<Owner, Share>> {
        self.0.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a tenant out of every share but one. An account's budget stays, so
/// that whoever comes back finds what is left of it.
fn leave(shares: &mut HashMap<Owner, Share>, tenant: &str, but: Option<&Owner>) {
    shares.retain(|owner, share| {
        if Some(owner) != but && share.tenants.remove(tenant).is_some() {
            share.keep_to_the_lowest();
        }
        matches!(owner, Owner::Account(_)) || !share.tenants.is_empty() || Some(owner) == but
    });
}

impl Earlier {
    fn of(&self, account: &str) -> Option<UnixMs> {
        self.accounts.get(account).copied().max(self.unknown)
    }
}

impl Share {
    fn keep_to_the_lowest(&mut self) {
        let lowest = self.tenants.values().copied().reduce(|one, other| Limits {
            per_minute: one.per_minute.min(other.per_minute),
            per_hour: one.per_hour.min(other.per_hour),
        });
        if let Some(lowest) = lowest.filter(|lowest| *lowest != self.limits) {
            self.limits = lowest;
            self.budget.keep_to(lowest);
        }
    }
}

/// How long the account has certainly made no request, as [`Budget::new`] wants it.
///
/// | earlier runs were active | answer                                          |
/// |--------------------------|-------------------------------------------------|
/// | never                    | none: a full budget                             |
/// | until some time ago      | that time: what has been refilled since         |
/// | until some time to come  | zero: an empty budget, which refills at once    |
///
/// The last is a run that was killed within its lease, or a clock that was set
/// back, by however much: the budget itself never asks the wall clock.
pub fn idle(active_until: Option<UnixMs>, now: UnixMs) -> Option<Duration> {
    active_until.map(|until| now.since(until))
}
